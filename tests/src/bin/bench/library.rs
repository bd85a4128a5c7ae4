//! One run with the library alone: an endpoint a member, each on a thread of its own with the loop of the feature
//! `edge` and its own socket. No tracker, no JSON, no pipes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use decury_common::base::id::{GroupId, GroupName, Incarnation, UserName};
use decury_common::base::limits::{DELIVERIES_MAX, HISTORY_MAX, STORE_MESSAGES, SUSPECT_AFTER};
use decury_common::edge::{Driver, Waker};
use decury_common::endpoint::{Config, Endpoint, Event, JoinGroup, SendError};
use decury_common::machine::{Machine as _, Wakeup};
use decury_common::wire::membership::Addresses;

use super::checks::Message;
use super::conductor::Conductor;
use super::event::{Counts, Member};
use super::figures::Figures;
use super::options::{Mode, Run};
use super::process;
use super::witness::{Bye, News, Shared, Witness};
use super::workload::{self, push_text, read_text};

/// The only group.
const GROUP: GroupId = GroupId(1);
/// Messages of a paced run sent in one turn: the network must not wait for a sender that is late.
const SENT_PER_TURN: usize = 256;

/// Runs it; the error is what was wrong.
pub(crate) fn run(run: &Run) -> Result<Figures, String> {
    let mut drivers = Vec::new();
    for _ in 0..run.members {
        let mut driver = Driver::new().map_err(|error| error.to_string())?;
        let address = driver.bind_udp((Ipv4Addr::LOCALHOST, 0).into()).map_err(|error| error.to_string())?;
        drivers.push((driver, address));
    }
    let addresses: Vec<SocketAddr> = drivers.iter().map(|&(_, address)| address).collect();
    let wakers: Vec<Waker> = drivers.iter().map(|(driver, _)| driver.waker()).collect();
    let wake_all = || wakers.iter().for_each(Waker::wake);
    let (shared, start) = (Shared::new(run), OnceLock::new());
    process::forget_own_peak();
    let (news, reports) = channel();
    let mut members = Vec::new();
    for (me, (driver, _)) in drivers.into_iter().enumerate() {
        members.push((Node::join(driver, &addresses, run, me)?, Witness::new(me, run, &shared, &news)?));
    }
    drop(news);
    let conductor = Conductor { run, shared: &shared, reports };
    thread::scope(|scope| {
        for (node, witness) in members {
            scope.spawn(|| node.live(witness, &start));
        }
        let result = conduct(&conductor, &start, &wake_all);
        // The threads end when the run does, however.
        shared.over.store(true, Ordering::Release);
        wake_all();
        result
    })
}

fn conduct(
    conductor: &Conductor<'_>,
    start: &OnceLock<Instant>,
    wake_all: &dyn Fn(),
) -> Result<Figures, String> {
    conductor.assemble()?;
    let cpu = process::own_cpu();
    start.get_or_init(Instant::now);
    wake_all();
    let sent = conductor.await_deliveries()?;
    let cpu = process::own_cpu().saturating_sub(cpu);
    let peak_kib = process::own_peak_kib() / conductor.run.members as u64;

    conductor.shared.over.store(true, Ordering::Release);
    wake_all();
    let said = conductor.await_ends()?;
    conductor.figures(&sent, said, cpu, peak_kib)
}

/// A member: an endpoint and the loop around it.
struct Node {
    driver: Driver,
    endpoint: Endpoint,
    group: GroupName,
    sent: u64,
    received: u64,
    /// The window is full.
    is_blocked: bool,
    all_sent: bool,
}

impl Node {
    fn join(driver: Driver, addresses: &[SocketAddr], run: &Run, me: usize) -> Result<Node, String> {
        let now = driver.now();
        let incarnation = |member: usize| Incarnation(member as u64 + 1);
        let address = |member: usize| Addresses::from_iter([addresses[member]]);
        let config = Config {
            incarnation: incarnation(me),
            name: name(me)?,
            addresses: address(me),
            suspect_after: SUSPECT_AFTER,
            history: HISTORY_MAX,
            store: STORE_MESSAGES,
            deliveries: DELIVERIES_MAX,
            seed: me as u64,
        };
        let mut endpoint = Endpoint::new(config, now);
        let group = "bench".parse().map_err(|bad| format!("{bad}"))?;
        let contacts = (0..me).map(|member| (incarnation(member), address(member))).collect();
        let join = JoinGroup { name: group, id: GROUP, order: run.order.kind(), contacts };
        endpoint.join(now, join).map_err(|error| error.to_string())?;
        let all_sent = me >= run.senders();
        Ok(Node { driver, endpoint, group, sent: 0, received: 0, is_blocked: false, all_sent })
    }

    fn live(mut self, mut witness: Witness<'_>, start: &OnceLock<Instant>) {
        let result = self.turns(&mut witness, start);
        let stats = self.endpoint.stats();
        let bye = Bye {
            sent: self.sent,
            received: self.received,
            datagrams: stats.datagrams_sent,
            retransmitted: stats.data_repeated,
        };
        witness.end(result.map(|()| bye));
    }

    fn turns(&mut self, witness: &mut Witness<'_>, start: &OnceLock<Instant>) -> Result<(), String> {
        let mut next_message = None;
        while !witness.shared.is_over() {
            let wakeup = Wakeup::earliest(self.endpoint.poll_timeout(), next_message.take());
            self.driver.wait(wakeup).map_err(|error| error.to_string())?;
            self.driver.receive(&mut self.endpoint);
            loop {
                if let Some(&start) = start.get().filter(|_| !self.all_sent && !self.is_blocked) {
                    next_message = self.send(witness, start)?;
                }
                self.driver.transmit(&mut self.endpoint);
                if !self.handle_events(witness)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Sends what is due; when more will be.
    fn send(&mut self, witness: &Witness<'_>, start: Instant) -> Result<Option<Wakeup>, String> {
        let run = witness.run;
        for _ in 0..SENT_PER_TURN {
            let time = start.elapsed();
            let due = workload::due(run, witness.me, self.sent + 1);
            if due >= run.duration() || (run.mode == Mode::Burst && time >= run.duration()) {
                self.all_sent = true;
                witness.tell(News::Sent(witness.me, self.sent));
                return Ok(None);
            }
            if let Some(left) = due.checked_sub(time).filter(|left| !left.is_zero()) {
                return Ok(Some(Wakeup { at: self.driver.clock().now() + left, reason: "a message is due" }));
            }
            let mut text = Vec::with_capacity(run.size);
            push_text(&mut text, self.sent + 1, run.size);
            witness.shared.stamps.stamp(witness.me, self.sent + 1);
            match self.endpoint.send(self.driver.now(), self.group, Bytes::from(text)) {
                Ok(_) => self.sent += 1,
                Err(SendError::Busy) => {
                    self.is_blocked = true;
                    return Ok(None);
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        self.driver.stay_awake();
        Ok(None)
    }

    /// Takes all that has happened; whether anything has.
    fn handle_events(&mut self, witness: &mut Witness<'_>) -> Result<bool, String> {
        let at = Instant::now();
        let mut some = false;
        while let Some(event) = self.endpoint.poll_event() {
            some = true;
            match event {
                Event::Message { from, id, clock, position, payload, .. } => {
                    self.received += 1;
                    let mut counts = Counts::default();
                    for (name, count) in clock.iter() {
                        counts[member(name)?] = count;
                    }
                    let (from, seq) = (member(from)?, id.count);
                    let number = read_text(&payload, witness.run.size);
                    witness.message(at, &Message { from, seq, number, clock: counts, position })?;
                }
                Event::Joined { view, .. } | Event::View { view, .. } => witness.view(view.members.len())?,
                Event::Writable { .. } => self.is_blocked = false,
                Event::Refused { reason, .. } => return Err(format!("not taken in: {reason:?}")),
                _ => {}
            }
        }
        Ok(some)
    }
}

fn name(member: usize) -> Result<UserName, String> {
    format!("m{member}").parse().map_err(|bad| format!("{bad}"))
}

fn member(name: UserName) -> Result<usize, String> {
    Member::named(name.as_str())
        .map(|member| member.0)
        .ok_or_else(|| format!("{name} is none of the members"))
}
