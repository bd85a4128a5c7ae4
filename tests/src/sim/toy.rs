//! A toy protocol, to try the simulator on: one fixed view of all hosts, messages numbered, repeated until
//! acknowledged, delivered in the order of their numbers. And bugs to choose from, each of which must be caught.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use decury_common::base::id::{GroupName, Incarnation, MemberId, MessageId, ViewId};
use decury_common::base::time::Instant;
use decury_common::endpoint::{VectorClock, ViewInfo};
use decury_common::machine::{Machine, Persist, Transmit, Wakeup};
use decury_common::order::OrderKind;

use super::history::{Delivery, What};
use super::host::{Boot, Command, Desk, Gauge, HostId, Program, Starter};

const REPEAT: Duration = Duration::from_millis(20);

/// What is wrong with a toy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    Nothing,
    NeverRepeats,
    ForgetsOrder,
    ForgetsDuplicates,
    Spins,
    Storms,
    Oversized,
    Panics,
    Chatters,
    Grows,
}

/// The datagrams of the toy's protocol: a message, or the acknowledgement of one.
const DATA: u8 = 0;
const ACK: u8 = 1;

#[derive(Clone, Debug)]
struct Toy {
    bug: Bug,
    peers: Vec<SocketAddr>,
    /// What is not acknowledged yet, by whom, and when to repeat it.
    unacked: BTreeMap<(u64, SocketAddr), (Bytes, Instant)>,
    outgoing: VecDeque<Transmit>,
    /// What came of whom, not delivered yet; and the next number.
    early: BTreeMap<SocketAddr, BTreeMap<u64, Bytes>>,
    next: BTreeMap<SocketAddr, u64>,
    delivered: VecDeque<(HostId, u64, Bytes)>,
    sent: u64,
    polls: u64,
}

impl Toy {
    fn datagram(kind: u8, number: u64, payload: &[u8]) -> Vec<u8> {
        [&[kind][..], &number.to_le_bytes(), payload].concat()
    }

    fn send(&mut self, now: Instant, payload: &Bytes) -> u64 {
        self.sent += 1;
        for to in self.peers.clone() {
            self.unacked.insert((self.sent, to), (payload.clone(), now + REPEAT));
            let mut bytes = Toy::datagram(DATA, self.sent, payload);
            if self.bug == Bug::Oversized {
                bytes.resize(2_000, 0);
            }
            self.outgoing.push_back(Transmit { to, bytes, segment: None });
        }
        self.sent
    }

    fn take(&mut self, from: SocketAddr, number: u64, payload: Bytes) {
        let Some(host) = HostId::at(from) else { return };
        let next = self.next.entry(from).or_insert(1);
        match self.bug {
            Bug::ForgetsDuplicates if number < *next => self.delivered.push_back((host, number, payload)),
            Bug::ForgetsOrder => {
                let early = self.early.entry(from).or_default();
                if early.insert(number, payload.clone()).is_none() {
                    self.delivered.push_back((host, number, payload));
                }
            }
            _ if number >= *next => {
                let early = self.early.entry(from).or_default();
                early.insert(number, payload);
                while let Some(payload) = early.remove(next) {
                    self.delivered.push_back((host, *next, payload));
                    *next += 1;
                }
            }
            _ => {}
        }
    }
}

impl Machine for Toy {
    fn handle_datagram(&mut self, _now: Instant, from: SocketAddr, bytes: &mut [u8]) {
        let Some((&kind, rest)) = bytes.split_first() else { return };
        let Some((number, payload)) = rest.split_first_chunk() else { return };
        let number = u64::from_le_bytes(*number);
        assert!(self.bug != Bug::Panics || number < 3, "number {number} is too large for me");
        if kind == ACK {
            self.unacked.remove(&(number, from));
        } else {
            self.take(from, number, Bytes::copy_from_slice(payload));
            let bytes = Toy::datagram(ACK, number, &[]);
            self.outgoing.push_back(Transmit { to: from, bytes, segment: None });
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.bug == Bug::NeverRepeats {
            self.unacked.clear();
        }
        for ((number, to), (payload, at)) in &mut self.unacked {
            if *at <= now {
                *at = now + REPEAT;
                let bytes = Toy::datagram(DATA, *number, payload);
                self.outgoing.push_back(Transmit { to: *to, bytes, segment: None });
            }
        }
        if self.bug == Bug::Chatters {
            let chatter = |to: &SocketAddr| Transmit { to: *to, bytes: vec![9], segment: None };
            self.outgoing.extend(self.peers.iter().map(chatter));
        }
        self.polls = now.as_micros();
    }

    fn poll_persist(&mut self) -> Option<Persist> {
        None
    }

    fn poll_transmit(&mut self, _now: Instant) -> Option<Transmit> {
        if self.bug == Bug::Storms && self.sent > 0 {
            return Some(Transmit { to: self.peers[0], bytes: vec![9], segment: None });
        }
        self.outgoing.pop_front()
    }

    fn poll_timeout(&self) -> Option<Wakeup> {
        let repeat = self.unacked.values().map(|(_, at)| Wakeup { at: *at, reason: "repeat" });
        let first = repeat.min_by_key(|wakeup| wakeup.at);
        match self.bug {
            Bug::Spins if self.sent > 0 => Some(Wakeup { at: Instant::ZERO, reason: "nothing" }),
            Bug::Chatters => Some(Wakeup { at: Instant::from_micros(self.polls + 9_000), reason: "chatter" }),
            _ => first,
        }
    }
}

#[derive(Clone)]
struct ToyHost {
    toy: Toy,
    hosts: usize,
    member: MemberId,
    waiting: Vec<What>,
}

/// The member that host `host` is: everyone knows everyone in advance.
fn member(host: HostId) -> MemberId {
    MemberId { incarnation: Incarnation(host.0 as u64 + 1), join: 0 }
}

/// Starts toys that know `hosts` hosts, in the one group that they know.
pub(crate) fn starter(hosts: usize, bug: Bug) -> Starter {
    Rc::new(move |boot: Boot| {
        let others = (0..hosts).map(HostId).filter(|host| *host != boot.host);
        let toy = Toy {
            bug,
            peers: others.map(HostId::address).collect(),
            unacked: BTreeMap::new(),
            outgoing: VecDeque::new(),
            early: BTreeMap::new(),
            next: BTreeMap::new(),
            delivered: VecDeque::new(),
            sent: 0,
            polls: 0,
        };
        let (member, name) = (member(boot.host), boot.name);
        let waiting = vec![What::Started { incarnation: member.incarnation, name }];
        Box::new(ToyHost { toy, hosts, member, waiting })
    })
}

impl ToyHost {
    fn view(&self, order: OrderKind) -> ViewInfo {
        let members = (0..self.hosts).map(HostId);
        let members =
            members.filter_map(|host| Some((member(host), host.to_string().parse().ok()?))).collect();
        ViewInfo { id: view_id(), order, members }
    }
}

fn view_id() -> ViewId {
    ViewId { number: 1, coordinator: member(HostId(0)) }
}

fn the_group() -> Option<GroupName> {
    "g".parse().ok()
}

impl Program for ToyHost {
    fn machine(&mut self) -> Option<&mut dyn Machine> {
        Some(&mut self.toy)
    }

    fn command(&mut self, command: Command, desk: &mut Desk<'_>) {
        self.attend(desk);
        match command {
            Command::Join { group, order } => {
                desk.record(What::Joining { group, member: self.member });
                let view = self.view(order);
                desk.record(What::View { group, member: self.member, view, change: None });
            }
            Command::Send { group, payload } => {
                let count = self.toy.send(desk.now, &payload);
                let id = MessageId { sender: self.member, count };
                desk.record(What::Sent { group, id, payload: payload.clone() });
                self.toy.delivered.push_back((desk.host, count, payload));
            }
            Command::Leave { .. } | Command::Say { .. } | Command::Quit | Command::List => {}
        }
    }

    fn attend(&mut self, desk: &mut Desk<'_>) -> bool {
        let some = !self.waiting.is_empty() || !self.toy.delivered.is_empty();
        for what in self.waiting.drain(..) {
            desk.record(what);
        }
        while let (Some((host, count, payload)), Some(group)) = (self.toy.delivered.pop_front(), the_group())
        {
            let id = MessageId { sender: member(host), count };
            let Ok(from) = host.to_string().parse() else { break };
            let delivery = Delivery {
                view: view_id(),
                from,
                id,
                clock: VectorClock::default(),
                position: None,
                uniform: None,
                placed: None,
                payload,
            };
            desk.record(What::Delivered { group, member: self.member, delivery });
        }
        some
    }

    fn wakeup(&self) -> Option<Wakeup> {
        None
    }

    fn wants(&self, group: GroupName) -> bool {
        the_group() == Some(group)
    }

    fn status(&self) -> String {
        format!("{} unacknowledged", self.toy.unacked.len())
    }

    fn gauges(&self) -> Vec<Gauge> {
        let value =
            if self.toy.bug == Bug::Grows { self.toy.sent.try_into().unwrap_or(usize::MAX) } else { 0 };
        vec![Gauge { name: "messages kept", value, limit: 10 }]
    }

    fn boxed_clone(&self) -> Box<dyn Program> {
        Box::new(self.clone())
    }
}

mod tests {
    use super::*;
    use crate::sim::network::{Fault, Hosts, Ratio, Rule};
    use crate::sim::plan::{Plan, Step};
    use crate::sim::report;
    use crate::sim::run::{Outcome, run_hosts};
    use crate::sim::shrink::shrink_hosts;
    use crate::sim::world::World;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Three toys that say twenty things each within two seconds, under the given rules.
    fn plan(rules: Vec<Rule>) -> Plan {
        let mut plan = Plan::quiet(7, 3, OrderKind::Fifo);
        plan.groups = vec![(the_group().unwrap(), OrderKind::Fifo)];
        plan.length = Duration::from_secs(2);
        plan.at(millis(0), Step::Rules(rules, plan.length));
        for host in (0..3).map(HostId) {
            plan.at(millis(0), Step::Start(host));
            plan.at(millis(0), Step::Join(host, 0));
        }
        for number in 0..60 {
            plan.at(millis(1 + number * 8), Step::Send(HostId(number as usize % 3), 0, 1, 50));
        }
        plan.steps.sort_by_key(|(at, _)| *at);
        plan
    }

    fn bad_weather() -> Vec<Rule> {
        vec![
            Rule::everywhere(Fault::Loss(Ratio(1, 5))),
            Rule::everywhere(Fault::Duplicate(Ratio(1, 5), millis(50))),
            Rule::everywhere(Fault::Reorder(Ratio(1, 5), millis(50))),
            Rule::everywhere(Fault::Late(Ratio(1, 10), millis(500))),
        ]
    }

    fn outcome(plan: &Plan, bug: Bug) -> Outcome {
        run_hosts(plan, &starter(3, bug))
    }

    fn caught(bug: Bug) -> String {
        outcome(&plan(bad_weather()), bug).violation.map_or_else(|| "nothing".into(), |v| v.to_string())
    }

    #[test]
    fn a_correct_protocol_survives_bad_weather() {
        let outcome = outcome(&plan(bad_weather()), Bug::Nothing);
        assert_eq!(outcome.violation, None);
        assert_eq!(outcome.delivered, 3 * (60 + 3));
    }

    #[test]
    fn a_run_replays_exactly() {
        let (a, b) =
            (outcome(&plan(bad_weather()), Bug::Nothing), outcome(&plan(bad_weather()), Bug::Nothing));
        assert_eq!((a.fingerprint, a.figures), (b.fingerprint, b.figures));
        let mut other = plan(bad_weather());
        other.seed += 1;
        assert_ne!(outcome(&other, Bug::Nothing).fingerprint, a.fingerprint);
    }

    #[test]
    fn every_bug_of_the_toy_is_caught_by_the_check_that_is_there_for_it() {
        let bugs = [
            (Bug::NeverRepeats, "termination"),
            (Bug::ForgetsOrder, "first in, first out"),
            (Bug::ForgetsDuplicates, "no creation, no duplication"),
            (Bug::Spins, "no spinning"),
            (Bug::Storms, "no storms"),
            (Bug::Oversized, "datagrams fit"),
            (Bug::Chatters, "idle traffic"),
            (Bug::Grows, "bounded state"),
        ];
        for (bug, promise) in bugs {
            let caught = caught(bug);
            assert!(caught.starts_with(promise), "{bug:?}: {caught}");
        }
    }

    #[test]
    fn a_panic_is_a_violation() {
        let caught = caught(Bug::Panics);
        assert!(caught.starts_with("no panic: 'number 3 is too large for me'"), "{caught}");
    }

    #[test]
    fn a_cut_link_delays_and_healing_repairs() {
        let cut = vec![Rule::on(HostId(0), HostId(1), Fault::Cut)];
        assert_eq!(outcome(&plan(cut), Bug::Nothing).violation, None);
    }

    #[test]
    fn a_member_that_never_comes_back_prevents_convergence() {
        let mut plan = plan(Vec::new());
        plan.at(millis(1_000), Step::Kill(HostId(2)));
        plan.steps.sort_by_key(|(at, _)| *at);
        let outcome = outcome(&plan, Bug::Nothing);
        assert_eq!(outcome.violation.map(|violation| violation.promise), Some("termination"));
    }

    #[test]
    fn a_stopped_process_reads_later_and_a_stalled_reader_too() {
        let mut world = World::new(3);
        for _ in 0..2 {
            let host = world.add_host(Default::default(), starter(2, Bug::Nothing));
            world.start(host);
            world.join(host, the_group().unwrap(), OrderKind::Fifo);
        }
        let [a, b] = [HostId(0), HostId(1)];
        let delivered = |world: &World| world.history.delivered();
        world.pause(b, millis(500));
        world.send(a, the_group().unwrap(), 10);
        world.run_for(millis(400));
        assert_eq!(delivered(&world), 1);
        world.run_for(millis(200));
        assert_eq!(delivered(&world), 2);

        world.stall(b, millis(500));
        world.send(a, the_group().unwrap(), 10);
        let sent = world.figures().sent;
        world.run_for(millis(400));
        assert_eq!(delivered(&world), 3);
        assert!(world.figures().sent > sent, "its machine goes on acknowledging");
        world.run_for(millis(200));
        assert_eq!(delivered(&world), 4);
    }

    #[test]
    fn a_copy_of_a_world_goes_on_as_the_original_does() {
        let mut world = World::new(9);
        for _ in 0..2 {
            let host = world.add_host(Default::default(), starter(2, Bug::Nothing));
            world.start(host);
            world.join(host, the_group().unwrap(), OrderKind::Fifo);
        }
        world.add_rule(Rule::everywhere(Fault::Loss(Ratio(1, 3))));
        world.add_rule(Rule {
            from: Hosts::one(HostId(0)),
            to: Hosts::ALL,
            effect: Fault::Delay(millis(1), millis(9)).into(),
        });
        world.send(HostId(0), the_group().unwrap(), 10);
        let mut copy = world.clone();
        for world in [&mut world, &mut copy] {
            world.send(HostId(1), the_group().unwrap(), 10);
            world.run_for(millis(300));
        }
        assert_eq!(world.history.fingerprint(), copy.history.fingerprint());
        assert_eq!(world.history.delivered(), 4);
    }

    #[test]
    fn a_failing_plan_shrinks_to_the_few_steps_that_matter() {
        let plan = plan(bad_weather());
        let starter = starter(3, Bug::Grows);
        let (smaller, ended) = shrink_hosts(&plan, &run_hosts(&plan, &starter), 200, &starter);
        assert_eq!(ended.violation.map(|violation| violation.promise), Some("bounded state"));
        // One host must start, join, and send eleven messages.
        assert_eq!(smaller.steps.len(), 13, "{:?}", smaller.steps);
    }

    #[test]
    fn a_report_says_what_was_broken_and_how_to_see_it_again() {
        let plan = plan(bad_weather());
        let outcome = outcome(&plan, Bug::ForgetsOrder);
        let text = report::report_hosts(&plan, &outcome, &starter(3, Bug::ForgetsOrder));
        for part in
            ["seed 7: 3 hosts", "n0 -> n1", "n2: ", "BROKEN: first in, first out: ", "--seed 7 --runs 1"]
        {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains("NOT REPRODUCIBLE"));
    }
}
