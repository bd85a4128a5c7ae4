//! The lab: faults on purpose, on what arrives over UDP, before the protocol sees it.
//!
//! The rules in force are [`Spec`]s; what they do is what the simulator's network does (`decury_common::fault`), drawn
//! from a seeded generator. A datagram whose time has not come waits here, in the order of arrival to come, and within a
//! bound: what exceeds it is lost, as a network would lose it.

mod spec;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use decury_common::base::id::{Incarnation, UserName};
use decury_common::base::limits::PEERS_MAX;
use decury_common::base::rng::Rng;
use decury_common::base::time::Instant;
use decury_common::fault::Fate;
use decury_common::machine::Wakeup;

pub use spec::{BadSpec, Source, Spec};

/// Rules in force at the same time.
pub(super) const RULES_MAX: usize = 32;
/// What delayed datagrams may take, each counted with [`OVERHEAD`].
const WAITING_BYTES: usize = 32 * 1024 * 1024;
/// What keeping a datagram takes, beside its bytes.
const OVERHEAD: usize = 128;

/// The faults of one node, and what they delay.
#[derive(Clone, Debug)]
pub(super) struct Lab {
    rules: Vec<Spec>,
    rng: Rng,
    /// By when they arrive, then by number: those of one instant in the order of coming.
    waiting: BTreeMap<(Instant, u64), (SocketAddr, Vec<u8>)>,
    waiting_bytes: usize,
    numbered: u64,
    /// Who is behind which node, as the tracker said lately.
    met: VecDeque<(Incarnation, UserName)>,
}

impl Lab {
    pub(super) fn new(rules: Vec<Spec>, seed: u64) -> Lab {
        let rng = Rng::from_seed(seed);
        Lab { rules, rng, waiting: BTreeMap::new(), waiting_bytes: 0, numbered: 0, met: VecDeque::new() }
    }

    /// The rules in force.
    pub(super) fn rules(&self) -> &[Spec] {
        &self.rules
    }

    /// One more rule; false if there are too many.
    #[must_use]
    pub(super) fn add(&mut self, rule: Spec) -> bool {
        let fits = self.rules.len() < RULES_MAX;
        if fits {
            self.rules.push(rule);
        }
        fits
    }

    /// No rule is in force any more: what was delayed arrives now.
    pub(super) fn clear(&mut self, now: Instant) {
        self.rules.clear();
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = (0..).map(|number| (now, number)).zip(waiting.into_values()).collect();
        self.numbered = self.waiting.len() as u64;
    }

    /// The tracker has told who is behind a node.
    pub(super) fn meet(&mut self, node: Incarnation, name: UserName) {
        self.met.retain(|(known, _)| *known != node);
        self.met.push_back((node, name));
        if self.met.len() > PEERS_MAX {
            self.met.pop_front();
        }
    }

    /// Who is behind a node.
    pub(super) fn name_of(&self, node: Incarnation) -> Option<UserName> {
        self.met.iter().find(|(known, _)| *known == node).map(|&(_, name)| name)
    }

    /// Whether a rule names a person: then the sender of a datagram must be known.
    pub(super) fn names_people(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.from(), Some(Source::Person(_))))
    }

    /// A datagram has come from an address, where these people are known to be. True if it arrives at once; later
    /// arrivals come from [`Lab::poll_arrival`].
    #[must_use]
    pub(super) fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        people: &[UserName],
        bytes: &[u8],
    ) -> bool {
        let fate = self.judge(from, people, bytes.len());
        let mut at_once = false;
        for delay in fate.arrivals() {
            match delay.is_zero() && !at_once {
                true => at_once = true,
                false => self.delay(now + delay, from, bytes),
            }
        }
        at_once
    }

    /// The next delayed datagram whose time has come.
    pub(super) fn poll_arrival(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        let first = self.waiting.first_entry().filter(|entry| entry.key().0 <= now)?;
        let (from, bytes) = first.remove();
        self.waiting_bytes -= bytes.len() + OVERHEAD;
        Some((from, bytes))
    }

    /// When the next delayed datagram arrives.
    pub(super) fn poll_timeout(&self) -> Option<Wakeup> {
        let ((at, _), _) = self.waiting.first_key_value()?;
        Some(Wakeup { at: *at, reason: "lab: a delayed datagram arrives" })
    }

    fn judge(&mut self, from: SocketAddr, people: &[UserName], len: usize) -> Fate {
        let mut fate = Fate::default();
        let concerns = |rule: &&Spec| match rule.from() {
            None => true,
            Some(Source::Person(name)) => people.contains(&name),
            Some(Source::Host(ip)) => from.ip() == ip,
            Some(Source::Address(address)) => from == address,
        };
        let rules = || self.rules.iter().filter(concerns);
        for fault in rules().flat_map(Spec::faults).chain(rules().filter_map(Spec::duplication)) {
            fault.apply(len, &mut self.rng, &mut fate);
        }
        fate
    }

    fn delay(&mut self, until: Instant, from: SocketAddr, bytes: &[u8]) {
        let needed = bytes.len() + OVERHEAD;
        if self.waiting_bytes + needed > WAITING_BYTES {
            log::debug!("the lab holds as much as it can: a datagram from {from} is lost");
            return;
        }
        self.waiting_bytes += needed;
        self.numbered += 1;
        self.waiting.insert((until, self.numbered), (from, bytes.to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Instant = Instant::from_micros(1_000_000);

    fn lab(rules: &[&str]) -> Lab {
        Lab::new(rules.iter().map(|rule| rule.parse().unwrap()).collect(), 1)
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn after(ms: u64) -> Instant {
        NOW + Duration::from_millis(ms)
    }

    /// Whether a datagram of that person's, from that address, arrives at once, and when else.
    fn fate(lab: &mut Lab, person: &str, from: &str) -> (bool, Vec<Instant>) {
        let people = [person.parse().unwrap()];
        let at_once = lab.handle_datagram(NOW, address(from), &people, b"x");
        let mut later = Vec::new();
        while let Some(wakeup) = lab.poll_timeout() {
            assert_eq!(lab.poll_arrival(wakeup.at).unwrap(), (address(from), b"x".to_vec()));
            later.push(wakeup.at);
        }
        (at_once, later)
    }

    #[test]
    fn a_rule_is_about_a_person_a_machine_a_socket_or_everybody() {
        let mut lab = lab(&["from=ann,cut", "from=10.0.0.2,cut", "from=10.0.0.3:5,cut", "delay=1s"]);
        let cut = (false, vec![]);
        let delayed = (false, vec![after(1_000)]);
        assert_eq!(fate(&mut lab, "ann", "10.0.0.1:5"), cut);
        assert_eq!(fate(&mut lab, "bob", "10.0.0.2:9"), cut);
        assert_eq!(fate(&mut lab, "bob", "10.0.0.3:5"), cut);
        assert_eq!(fate(&mut lab, "bob", "10.0.0.3:6"), delayed);
        assert_eq!(fate(&mut lab, "bob", "10.0.0.1:5"), delayed);
    }

    #[test]
    fn delays_of_several_rules_add_and_copies_are_delayed_too() {
        let mut lab = lab(&["dup=1", "delay=1s", "from=ann,delay=500ms"]);
        let (at_once, later) = fate(&mut lab, "ann", "10.0.0.1:5");
        assert!(!at_once && later.len() == 2, "{later:?}");
        assert_eq!(later[0], after(1_500));
        assert!(later[1] >= later[0] && later[1] < after(1_510));
    }

    #[test]
    fn what_is_not_delayed_arrives_at_once_and_its_copy_soon() {
        let (at_once, later) = fate(&mut lab(&["dup=1"]), "ann", "10.0.0.1:5");
        assert!(at_once && later.len() == 1 && later[0] < after(10));
        assert_eq!(fate(&mut lab(&["from=bob,cut"]), "ann", "10.0.0.1:5"), (true, vec![]));
    }

    #[test]
    fn jitter_makes_datagrams_overtake_each_other() {
        let mut lab = lab(&["jitter=50ms"]);
        for number in 0..100 {
            assert!(!lab.handle_datagram(NOW, address("10.0.0.1:5"), &[], &[number]));
        }
        let arrivals: Vec<u8> =
            std::iter::from_fn(|| lab.poll_arrival(after(50))).map(|(_, b)| b[0]).collect();
        assert_eq!(arrivals.len(), 100);
        assert!(!arrivals.is_sorted());
    }

    #[test]
    fn what_exceeds_the_bound_is_lost() {
        let mut lab = lab(&["delay=5s"]);
        let datagram = vec![0; 60_000];
        for _ in 0..1_000 {
            assert!(!lab.handle_datagram(NOW, address("10.0.0.1:5"), &[], &datagram));
        }
        assert!(lab.waiting_bytes <= WAITING_BYTES && lab.waiting_bytes > WAITING_BYTES - 70_000);
        let arrived = std::iter::from_fn(|| lab.poll_arrival(after(5_000))).count();
        assert_eq!(arrived, WAITING_BYTES / (60_000 + OVERHEAD));
        assert_eq!((lab.waiting_bytes, lab.poll_timeout()), (0, None));
    }

    #[test]
    fn clearing_the_rules_lets_everything_arrive_in_the_order_of_arrival() {
        let mut lab = lab(&["delay=5s"]);
        for number in 0..3 {
            assert!(!lab.handle_datagram(after(number), address("10.0.0.1:5"), &[], &[number as u8]));
        }
        assert!(lab.poll_arrival(after(4_999)).is_none());
        lab.clear(after(10));
        assert_eq!(lab.poll_timeout().unwrap().at, after(10));
        let arrivals: Vec<u8> =
            std::iter::from_fn(|| lab.poll_arrival(after(10))).map(|(_, b)| b[0]).collect();
        assert_eq!(arrivals, [0, 1, 2]);
        assert_eq!(fate(&mut lab, "ann", "10.0.0.1:5"), (true, vec![]));
    }

    #[test]
    fn there_is_a_limit_to_rules() {
        let mut lab = lab(&[]);
        let rule = "loss=0.5".parse().unwrap();
        assert!((0..RULES_MAX).all(|_| lab.add(rule)));
        assert!(!lab.add(rule));
        assert_eq!(lab.rules().len(), RULES_MAX);
    }
}
