//! The network: every datagram passes all rules, in the order in which they were made; together they decide its fate.

mod rule;

use std::collections::BTreeSet;
use std::time::Duration;

use decury_common::base::rng::Rng;
use decury_common::base::time::Instant;

use super::frames;
use super::host::HostId;

pub use decury_common::fault::{Fate, Fault, Ratio};
pub use rule::{Effect, FrameAction, FrameFilter, Hosts, Rule};

/// What a loss costs a byte stream.
const REPETITION: Duration = Duration::from_millis(200);

/// A rule in force, to remove or ask about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleId(u32);

#[derive(Clone, Debug)]
struct Active {
    id: RuleId,
    rule: Rule,
    hits: u64,
    held: Vec<Held>,
    /// When a narrow line has carried all that waits.
    free_at: Instant,
}

/// A datagram held back by a rule.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) from: HostId,
    pub(crate) to: HostId,
    pub(crate) bytes: Vec<u8>,
}

/// The links between all hosts.
#[derive(Clone, Debug)]
pub struct Network {
    rng: Rng,
    /// The least and the most time that a datagram needs without any rule.
    latency: (Duration, Duration),
    rules: Vec<Active>,
    made: u32,
}

impl Network {
    pub(crate) fn new(rng: Rng) -> Network {
        let latency = (Duration::from_micros(200), Duration::from_micros(1_000));
        Network { rng, latency, rules: Vec::new(), made: 0 }
    }

    /// How long a datagram travels when no rule says otherwise: from `least` to `most`.
    pub fn set_latency(&mut self, least: Duration, most: Duration) {
        self.latency = (least, most);
    }

    /// Puts a rule in force.
    pub fn add(&mut self, rule: Rule) -> RuleId {
        self.made += 1;
        let id = RuleId(self.made);
        self.rules.push(Active { id, rule, hits: 0, held: Vec::new(), free_at: Instant::ZERO });
        id
    }

    /// How many datagrams a rule has done something to.
    pub fn hits(&self, id: RuleId) -> u64 {
        self.rules.iter().find(|active| active.id == id).map_or(0, |active| active.hits)
    }

    /// How many datagrams a rule holds back.
    pub fn held(&self, id: RuleId) -> usize {
        self.rules.iter().find(|active| active.id == id).map_or(0, |active| active.held.len())
    }

    /// Takes a rule back; what it held is returned.
    pub(crate) fn remove(&mut self, id: RuleId) -> Vec<Held> {
        match self.rules.iter().position(|active| active.id == id) {
            Some(index) => self.rules.remove(index).held,
            None => Vec::new(),
        }
    }

    /// Takes all rules back; what they held is returned.
    pub(crate) fn heal(&mut self) -> Vec<Held> {
        self.rules.drain(..).flat_map(|active| active.held).collect()
    }

    /// The links between so many hosts on which something is wrong, each one way.
    pub(crate) fn disturbed(&self, hosts: usize) -> BTreeSet<(HostId, HostId)> {
        let mut links = BTreeSet::new();
        for rule in self.rules.iter().map(|active| &active.rule).filter(|rule| !rule.effect.is_harmless()) {
            let among = |set: Hosts| (0..hosts).map(HostId).filter(move |host| set.has(*host));
            links.extend(among(rule.from).flat_map(|from| among(rule.to).map(move |to| (from, to))));
        }
        links
    }

    /// The fate of a datagram. Frames may be taken out of it.
    pub(crate) fn judge(&mut self, now: Instant, from: HostId, to: HostId, bytes: &mut Vec<u8>) -> Fate {
        let (least, most) = self.latency;
        let mut fate = Fate { delay: self.rng.between(least, most), ..Fate::default() };
        for active in &mut self.rules {
            if !active.rule.from.has(from) || !active.rule.to.has(to) {
                continue;
            }
            let hit = match &active.rule.effect {
                Effect::Frames { filter, ratio, action } => {
                    let (stays, taken) = frames::split(bytes, |section, frame| filter.wants(section, frame));
                    let taken = taken.filter(|_| ratio.hits(&mut self.rng));
                    let hit = taken.is_some();
                    if let Some(taken) = taken.filter(|_| *action != FrameAction::Watch) {
                        match stays {
                            Some(stays) => *bytes = stays,
                            None => fate.lost = Some("all its frames taken"),
                        }
                        if *action == FrameAction::Hold {
                            active.held.push(Held { from, to, bytes: taken });
                        }
                    }
                    hit
                }
                Effect::Fault(fault) => fault.apply(bytes.len(), &mut self.rng, &mut fate),
                Effect::Narrow { carries, queue } => {
                    let line = (*carries, *queue);
                    squeeze(now, line, bytes.len(), &mut active.free_at, &mut fate)
                }
                Effect::NoRelay => {
                    let passed_on = frames::hops(bytes) > 0;
                    fate.lost = fate.lost.or(passed_on.then_some("passed on"));
                    passed_on
                }
            };
            active.hits += u64::from(hit);
            if fate.lost.is_some() {
                break;
            }
        }
        fate
    }

    /// How long a piece of a byte stream travels now; `None` while the link is cut. What is lost costs a repetition.
    pub(crate) fn stream_travel(&mut self, from: HostId, to: HostId) -> Option<Duration> {
        let mut travel = self.travel();
        for active in &self.rules {
            if !active.rule.from.has(from) || !active.rule.to.has(to) {
                continue;
            }
            match active.rule.effect {
                Effect::Fault(Fault::Cut) => return None,
                Effect::Fault(Fault::Loss(ratio)) if ratio.hits(&mut self.rng) => travel += REPETITION,
                Effect::Fault(Fault::Delay(least, most)) => travel += self.rng.between(least, most),
                _ => {}
            }
        }
        Some(travel)
    }

    /// How long a datagram that was held back travels when it is let go.
    pub(crate) fn travel(&mut self) -> Duration {
        let (least, most) = self.latency;
        self.rng.between(least, most)
    }
}

/// A datagram enters a line that carries so many bytes a millisecond, and lets so many wait. Whether it must.
fn squeeze(
    now: Instant,
    (carries, queue): (u64, u64),
    len: usize,
    free_at: &mut Instant,
    fate: &mut Fate,
) -> bool {
    let micros = |bytes: u64| Duration::from_micros(bytes * 1_000 / carries);
    let wait = free_at.since(now);
    if wait > micros(queue) {
        fate.lost = Some("the line is full");
        return true;
    }
    *free_at = (*free_at).max(now) + micros(len as u64);
    fate.delay += free_at.since(now);
    !wait.is_zero()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::frames::Kind;
    use decury_common::base::id::{Incarnation, MemberId, ViewId};
    use decury_common::wire::membership::{Install, Nack};
    use decury_common::wire::{Frame, Header, Packer, Section};

    const A: HostId = HostId(0);
    const B: HostId = HostId(1);

    fn network(rules: impl IntoIterator<Item = Rule>) -> Network {
        let mut network = Network::new(Rng::from_seed(1));
        for rule in rules {
            network.add(rule);
        }
        network
    }

    fn lost(network: &mut Network, from: HostId, to: HostId) -> bool {
        network.judge(Instant::ZERO, from, to, &mut vec![0; 100]).lost.is_some()
    }

    #[test]
    fn a_cut_is_one_way_and_a_partition_is_not() {
        let mut cut = network([Rule::on(A, B, Fault::Cut)]);
        assert!(lost(&mut cut, A, B) && !lost(&mut cut, B, A));
        let mut parted = network(Rule::partition(&[Hosts::one(A), Hosts::one(B).and(HostId(2))]));
        assert!(lost(&mut parted, A, B) && lost(&mut parted, B, A));
        assert!(!lost(&mut parted, B, HostId(2)));
        parted.heal();
        assert!(!lost(&mut parted, A, B));
    }

    #[test]
    fn loss_duplication_and_delay_come_as_often_as_asked() {
        let mut network = network([
            Rule::everywhere(Fault::Loss(Ratio(1, 5))),
            Rule::everywhere(Fault::Duplicate(Ratio(1, 2), Duration::from_millis(5))),
            Rule::everywhere(Fault::Delay(Duration::from_millis(10), Duration::from_millis(20))),
            Rule::everywhere(Fault::Mtu(1000)),
        ]);
        let (mut gone, mut doubled) = (0, 0);
        for _ in 0..10_000 {
            let fate = network.judge(Instant::ZERO, A, B, &mut vec![0; 1000]);
            gone += u32::from(fate.lost.is_some());
            doubled += u32::from(!fate.copies.is_empty());
            assert!(fate.lost.is_some() || fate.delay >= Duration::from_millis(10));
        }
        assert!((1_800..2_200).contains(&gone), "{gone} of 10000 lost");
        assert!((3_700..4_300).contains(&doubled), "{doubled} of 10000 doubled");
        assert!(network.judge(Instant::ZERO, A, B, &mut vec![0; 1001]).lost.is_some());
    }

    #[test]
    fn a_narrow_line_delays_what_waits_and_loses_what_finds_it_full() {
        let mut network = network([Rule::on(A, B, Effect::Narrow { carries: 1_000, queue: 2_000 })]);
        network.set_latency(Duration::ZERO, Duration::ZERO);
        let mut enter = |at: u64| {
            let fate = network.judge(Instant::from_micros(at), A, B, &mut vec![0; 1_000]);
            fate.lost.is_none().then_some(fate.delay.as_micros())
        };
        assert_eq!(
            [0, 0, 0, 0, 1_000].map(&mut enter),
            [1, 2, 3, 0, 3].map(|ms| (ms > 0).then_some(ms * 1_000))
        );
    }

    #[test]
    fn one_frame_is_held_back_while_the_rest_of_its_datagram_passes() {
        let member = |n| MemberId { incarnation: Incarnation(n), join: 0 };
        let attempt = ViewId { number: 2, coordinator: member(1) };
        let section = Section { group: decury_common::base::id::GroupId(1), view: Some(attempt) };
        let mut packer = Packer::new(Header { from: Incarnation(1), to: Some(Incarnation(2)), hops: 0 });
        assert!(packer.push_in(section, &Frame::Nack(Nack { attempt, promised: attempt })));
        assert!(packer.push_in(section, &Frame::Install(Install { attempt })));
        let whole = packer.finish();

        let mut network = network([]);
        let id = network.add(Rule::on(A, B, Effect::hold(FrameFilter::kind(Kind::Install))));
        let mut bytes = whole.clone();
        assert_eq!(network.judge(Instant::ZERO, A, B, &mut bytes).lost, None);
        assert!(frames::describe(&bytes).contains("Nack") && !frames::describe(&bytes).contains("Install"));
        assert_eq!((network.held(id), network.hits(id)), (1, 1));
        let mut other_way = whole.clone();
        network.judge(Instant::ZERO, B, A, &mut other_way);
        assert_eq!(other_way, whole);
        let held = network.remove(id);
        assert!(frames::describe(&held[0].bytes).contains("Install"));
    }
}
