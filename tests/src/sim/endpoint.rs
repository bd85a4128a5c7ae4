//! A host that runs an [`Endpoint`], and the least possible user in front of it: it finds groups in the directory,
//! repeats what was refused or was too much at the time, and writes down what it sees.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use decury_common::base::id::{GroupName, Incarnation, MemberId, MessageId};
use decury_common::base::limits;
use decury_common::base::time::Instant;
use decury_common::endpoint::{
    Config, Endpoint, Event, JoinError, JoinGroup, MemberStatus, SendError, Stats,
};
use decury_common::machine::{Machine, Wakeup};
use decury_common::order::OrderKind;

use super::checks::Violation;
use super::history::{Change, Delivery, Noticed, What};
use super::host::{Boot, Command, Desk, Gauge, HostId, Program, Starter};

/// How often a node that wants to get in asks the directory again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How often one that is in renews its entry.
const RENEW: Duration = Duration::from_secs(5);

/// How many messages a node keeps for newcomers: few, so that there often are more.
pub const HISTORY: usize = 20;

/// How many deliveries may wait: at some nodes so few that their senders often have to.
fn deliveries(seed: u64) -> usize {
    match seed % 4 {
        0 => 1,
        1 => 8,
        2 => 64,
        _ => limits::DELIVERIES_MAX,
    }
}

/// Starts endpoints that suspect after the given silence.
pub fn starter(suspect_after: Duration) -> Starter {
    starter_storing(suspect_after, limits::STORE_MESSAGES)
}

/// The same, each keeping so many messages for others.
pub fn starter_storing(suspect_after: Duration, store: usize) -> Starter {
    Rc::new(move |boot| Box::new(EndpointHost::new(boot, suspect_after, store)))
}

#[derive(Clone)]
struct EndpointHost {
    endpoint: Endpoint,
    incarnation: Incarnation,
    host: HostId,
    seats: BTreeMap<GroupName, Seat>,
    quitting: bool,
}

/// The wish to be in a group, and how far it has come.
#[derive(Clone, Debug)]
struct Seat {
    order: OrderKind,
    /// Who I am there, once the endpoint has been told to join.
    member: Option<MemberId>,
    state: State,
    /// When to ask the directory.
    ask_at: Instant,
    /// What the endpoint was too busy to take.
    outbox: VecDeque<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Joining,
    In,
    Leaving,
}

impl EndpointHost {
    fn new(boot: Boot, suspect_after: Duration, store: usize) -> EndpointHost {
        let config = Config {
            incarnation: boot.incarnation,
            name: boot.name,
            addresses: std::iter::once(boot.host.address()).collect(),
            suspect_after,
            history: HISTORY,
            store,
            deliveries: deliveries(boot.seed),
            seed: boot.seed,
        };
        EndpointHost {
            endpoint: Endpoint::new(config, boot.now),
            incarnation: boot.incarnation,
            host: boot.host,
            seats: BTreeMap::new(),
            quitting: false,
        }
    }

    /// Asks the directory for a group: enters it, or tells the endpoint of whom it does not know yet.
    fn ask(&mut self, group: GroupName, desk: &mut Desk<'_>) {
        let Some(seat) = self.seats.get_mut(&group) else { return };
        seat.ask_at = desk.now + if seat.state == State::In { RENEW } else { ASK_AGAIN };
        let who = (self.incarnation, self.host);
        let Some(answer) = desk.directory.ask(desk.world_now, group, seat.order, who) else { return };
        if seat.member.is_some() {
            self.endpoint.add_contacts(desk.now, group, &answer.contacts);
            return;
        }
        let join = JoinGroup { name: group, id: answer.id, order: answer.order, contacts: answer.contacts };
        match self.endpoint.join(desk.now, join) {
            Ok(member) => {
                seat.member = Some(member);
                desk.record(What::Joining { group, member });
            }
            // The former stay there is not over yet: asked again soon.
            Err(JoinError::Already) => {}
            Err(error @ JoinError::TooManyGroups) => {
                let what = format!("{} can't join {group}: {error}", self.host);
                desk.history.violate(Violation { at: desk.world_now, promise: "joining", what });
            }
        }
    }

    /// Sends what waits in a group's outbox, until the endpoint is busy.
    fn flush(&mut self, group: GroupName, desk: &mut Desk<'_>) {
        let Some(seat) = self.seats.get_mut(&group) else { return };
        while let Some(payload) = seat.outbox.pop_front() {
            match self.endpoint.send(desk.now, group, payload.clone()) {
                Ok(id) => desk.record(What::Sent { group, id, payload }),
                Err(SendError::Busy) => {
                    seat.outbox.push_front(payload);
                    return;
                }
                Err(SendError::NotAMember | SendError::Size) => {}
            }
        }
    }

    fn leave(&mut self, group: GroupName, desk: &mut Desk<'_>) {
        let Some(seat) = self.seats.get_mut(&group) else { return };
        seat.outbox.clear();
        desk.directory.leave(group, self.incarnation);
        match seat.member {
            Some(member) if self.endpoint.leave(desk.now, group).is_ok() => {
                seat.state = State::Leaving;
                desk.record(What::Leaving { group, member });
            }
            Some(_) => {}
            None => {
                self.seats.remove(&group);
            }
        }
    }

    fn on_event(&mut self, event: Event, desk: &mut Desk<'_>) {
        match event {
            Event::Joined { group, view } => {
                let Some(seat) = self.seats.get_mut(&group) else { return };
                if seat.state == State::Joining {
                    seat.state = State::In;
                }
                if let Some(member) = seat.member {
                    desk.record(What::View { group, member, view, change: None });
                }
            }
            Event::View { group, view, joined, left, cause } => {
                if let Some(member) = self.member(group) {
                    let change = Some(Change { joined, left, cause });
                    desk.record(What::View { group, member, view, change });
                }
            }
            Event::Message {
                group,
                view,
                from,
                id,
                clock,
                payload,
                position,
                uniform,
                placed,
                caught_up,
                sent_at,
            } => {
                self.measure(id, sent_at, desk);
                let Some(member) = self.member(group) else { return };
                let delivery = Delivery { view, from, id, position, uniform, placed, clock, payload };
                desk.record(match caught_up {
                    true => What::Told { group, member, delivery },
                    false => What::Delivered { group, member, delivery },
                });
            }
            Event::HistoryGap { group } => {
                if let Some(member) = self.member(group) {
                    desk.record(What::Gap { group, member });
                }
            }
            Event::Private { from, id, payload, sent_at } => {
                self.measure(id, sent_at, desk);
                desk.record(What::Heard { from, id, payload });
                self.endpoint.accept_private(desk.now, id);
            }
            Event::Confirmed { id, .. } => desk.record(What::Confirmed { id }),
            Event::Unconfirmed { ids, .. } => {
                ids.into_iter().for_each(|id| desk.record(What::Unconfirmed { id }));
            }
            Event::Left { group, clean } => {
                if let Some(member) = self.seats.remove(&group).and_then(|seat| seat.member) {
                    desk.record(What::Left { group, member, clean });
                }
            }
            Event::Refused { group, .. } => self.refused(group, desk),
            Event::Writable { group } => self.flush(group, desk),
            Event::Suspected { group, .. }
            | Event::Back { group, .. }
            | Event::Alone { group }
            | Event::WaitingFor { group, .. }
            | Event::MergeRefused { group } => self.noticed(group, &event, desk),
            Event::PrivateWritable { .. } => {}
        }
    }

    fn refused(&mut self, group: GroupName, desk: &mut Desk<'_>) {
        let Some(seat) = self.seats.get_mut(&group) else { return };
        seat.ask_at = desk.now + ASK_AGAIN;
        if let Some(member) = seat.member.take() {
            desk.record(What::Refused { group, member });
        }
    }

    fn noticed(&self, group: GroupName, event: &Event, desk: &mut Desk<'_>) {
        let notice = match *event {
            Event::Suspected { member, .. } => Noticed::Suspected(member),
            Event::Back { member, .. } => Noticed::Back(member),
            Event::Alone { .. } => Noticed::Alone,
            Event::WaitingFor { member, .. } => Noticed::WaitingFor(member),
            Event::MergeRefused { .. } => Noticed::MergeRefused,
            _ => return,
        };
        if let Some(member) = self.member(group) {
            desk.record(What::Noticed { group, member, notice });
        }
    }

    fn measure(&self, id: MessageId, sent_at: Option<Instant>, desk: &mut Desk<'_>) {
        let latency = |at| self.endpoint.latency(desk.now, id.sender.incarnation, at);
        if let Some(latency) = sent_at.and_then(latency) {
            desk.record(What::Measured { id, latency });
        }
    }

    fn member(&self, group: GroupName) -> Option<MemberId> {
        self.seats.get(&group).and_then(|seat| seat.member)
    }
}

impl Program for EndpointHost {
    fn machine(&mut self) -> Option<&mut dyn Machine> {
        Some(&mut self.endpoint)
    }

    fn command(&mut self, command: Command, desk: &mut Desk<'_>) {
        match command {
            Command::Join { group, order } => {
                if self.quitting || self.seats.contains_key(&group) {
                    return;
                }
                let state = State::Joining;
                let seat = Seat { order, member: None, state, ask_at: desk.now, outbox: VecDeque::new() };
                self.seats.insert(group, seat);
                self.ask(group, desk);
            }
            Command::Leave { group } => self.leave(group, desk),
            Command::Quit => {
                self.quitting = true;
                let groups: Vec<GroupName> = self.seats.keys().copied().collect();
                groups.into_iter().for_each(|group| self.leave(group, desk));
            }
            Command::List => {}
            Command::Say { to, payload } => {
                let Some(node) = self.endpoint.find(to).filter(|_| !self.quitting) else { return };
                if let Ok(id) = self.endpoint.send_private(desk.now, &node, payload.clone()) {
                    desk.record(What::Said { to, id, payload });
                }
            }
            Command::Send { group, payload } => {
                if let Some(seat) = self.seats.get_mut(&group)
                    && seat.state == State::In
                {
                    seat.outbox.push_back(payload);
                    if seat.outbox.len() == 1 {
                        self.flush(group, desk);
                    }
                }
            }
        }
    }

    fn attend(&mut self, desk: &mut Desk<'_>) -> bool {
        let mut some = false;
        while let Some(event) = self.endpoint.poll_event() {
            some = true;
            self.on_event(event, desk);
        }
        let due = |(group, seat): (&GroupName, &Seat)| {
            (seat.state != State::Leaving && seat.ask_at <= desk.now).then_some(*group)
        };
        let groups: Vec<GroupName> = self.seats.iter().filter_map(due).collect();
        for group in groups {
            some = true;
            self.ask(group, desk);
        }
        some
    }

    fn has_ended(&self) -> bool {
        self.quitting && self.seats.is_empty()
    }

    fn wakeup(&self) -> Option<Wakeup> {
        let waiting = self.seats.values().filter(|seat| seat.state != State::Leaving);
        waiting.map(|seat| Wakeup { at: seat.ask_at, reason: "directory" }).min_by_key(|wakeup| wakeup.at)
    }

    fn wants(&self, group: GroupName) -> bool {
        self.seats.get(&group).is_some_and(|seat| seat.state != State::Leaving)
    }

    fn status(&self) -> String {
        let mut text = format!("next {:?}, {:?}", self.endpoint.poll_timeout(), self.endpoint.stats());
        for (group, seat) in &self.seats {
            let view = self.endpoint.view(*group);
            // Writing into a string does not fail.
            let _ = write!(
                text,
                "\n    {group}: {:?} as {:?}, outbox {}, view {:?}",
                seat.state,
                seat.member,
                seat.outbox.len(),
                view.map(|view| (view.id, view.members.iter().map(|(id, _)| *id).collect::<Vec<_>>())),
            );
            for member in self.endpoint.members(*group) {
                let _ = write!(text, "\n      {} {:?} rtt {:?}", member.id, member.reached, member.rtt);
            }
            for held in self.endpoint.held(*group).iter().take(10) {
                let _ = write!(text, "\n      holds {} for {}", held.id, held.waits_for);
            }
        }
        text
    }

    fn is_flushed(&self) -> bool {
        self.seats.values().all(|seat| seat.outbox.is_empty())
    }

    fn stats(&self) -> Stats {
        self.endpoint.stats()
    }

    fn members(&self, group: GroupName) -> Vec<MemberStatus> {
        self.endpoint.members(group)
    }

    fn gauges(&self) -> Vec<Gauge> {
        let held = self.seats.keys().map(|group| self.endpoint.held(*group).len()).max().unwrap_or(0);
        vec![
            Gauge { name: "held messages", value: held, limit: limits::MEMBERS_MAX * limits::RING_SLOTS },
            Gauge { name: "groups", value: self.endpoint.groups().len(), limit: limits::GROUPS_MAX },
        ]
    }

    fn boxed_clone(&self) -> Box<dyn Program> {
        Box::new(self.clone())
    }
}
