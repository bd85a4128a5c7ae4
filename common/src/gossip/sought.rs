//! Who is looked for, where, and when the next card goes there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::id::Incarnation;
use crate::base::time::Instant;
use crate::wire::membership::Addresses;

/// Nodes that are looked for at a time.
const SOUGHT_MAX: usize = 64;
/// Of them, those that one friend has told of.
const SOUGHT_OF_ONE: usize = SOUGHT_MAX / 4;
/// Addresses that a person may name.
const NAMED_MAX: usize = 64;
/// The first wait between two cards, which doubles
const WAIT_FIRST: Duration = Duration::from_millis(50);
/// up to this.
const WAIT_LAST: Duration = Duration::from_secs(2);
/// Who was told of is looked for so long after that, but no longer than twice as long in all: it makes room for others.
const TOLD_FOR: Duration = Duration::from_secs(15);
/// Who was a friend is looked for so long after it fell silent.
const MISSED_FOR: Duration = Duration::from_secs(3600);

/// All that is looked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Sought {
    nodes: BTreeMap<Incarnation, Node>,
    named: BTreeMap<SocketAddr, Named>,
    /// The addresses that are left of an attempt.
    left: Vec<SocketAddr>,
}

#[derive(Clone, Debug)]
struct Node {
    addresses: Addresses,
    attempts: Attempts,
    since: Instant,
    until: Instant,
    /// The friend that told of it first.
    teller: Option<Incarnation>,
}

/// An address at which somebody may be, whoever it is.
#[derive(Clone, Copy, Debug)]
struct Named {
    attempts: Attempts,
    /// When it is given up; never if a person named it.
    until: Option<Instant>,
}

/// When the next card is due, and how long the wait after that is.
#[derive(Clone, Copy, Debug)]
struct Attempts {
    at: Instant,
    wait: Duration,
}

impl Attempts {
    fn new(now: Instant) -> Attempts {
        Attempts { at: now, wait: WAIT_FIRST }
    }

    fn made(&mut self, now: Instant) {
        self.at = now + self.wait;
        self.wait = (self.wait * 2).min(WAIT_LAST);
    }
}

impl Sought {
    /// A person names an address; one that is named already is tried at once. False if there are too many.
    pub(super) fn name(&mut self, now: Instant, address: SocketAddr) -> bool {
        let is_full = self.named.len() >= NAMED_MAX && !self.named.contains_key(&address);
        let remembered =
            self.named.iter().find(|(_, named)| named.until.is_some()).map(|(&address, _)| address);
        let room = !is_full || remembered.is_some_and(|address| self.named.remove(&address).is_some());
        if room {
            self.named.insert(address, Named { attempts: Attempts::new(now), until: None });
        }
        room
    }

    /// Somebody was there in a former run: looked for like a friend that fell silent. What a person names goes first.
    pub(super) fn remember(&mut self, now: Instant, address: SocketAddr) {
        if is_dialable(&address) && self.named.len() < NAMED_MAX {
            let remembered = Named { attempts: Attempts::new(now), until: Some(now + MISSED_FOR) };
            self.named.entry(address).or_insert(remembered);
        }
    }

    /// Somebody hears this node there: a friend, or this node itself.
    pub(super) fn tell(
        &mut self,
        now: Instant,
        teller: Option<Incarnation>,
        node: Incarnation,
        addresses: &[SocketAddr],
    ) {
        let of_teller = || self.nodes.values().filter(|sought| sought.teller == teller).count();
        let has_room = self.nodes.len() < SOUGHT_MAX && (teller.is_none() || of_teller() < SOUGHT_OF_ONE);
        if !has_room && !self.nodes.contains_key(&node) {
            return;
        }
        let (attempts, since, until) = (Attempts::new(now), now, now);
        let new = || Node { addresses: Addresses::new(), attempts, since, until, teller };
        let sought = self.nodes.entry(node).or_insert_with(new);
        sought.until = sought.until.max((now + TOLD_FOR).min(sought.since + 2 * TOLD_FOR));
        for address in addresses.iter().filter(|address| is_dialable(address)) {
            if !sought.addresses.contains(address) && sought.addresses.try_push(*address).is_ok() {
                sought.attempts = Attempts::new(now);
            }
        }
    }

    /// A friend has fallen silent. If there are too many, who has been missed for longest is given up.
    pub(super) fn miss(&mut self, now: Instant, node: Incarnation, addresses: &Addresses) {
        if self.nodes.len() >= SOUGHT_MAX {
            let oldest = self.nodes.iter().min_by_key(|(_, sought)| sought.until).map(|(&node, _)| node);
            oldest.map(|node| self.nodes.remove(&node));
        }
        let (addresses, attempts) = (addresses.clone(), Attempts::new(now));
        let until = now + MISSED_FOR;
        self.nodes.insert(node, Node { addresses, attempts, since: now, until, teller: None });
    }

    pub(super) fn forget(&mut self, node: Incarnation) {
        self.nodes.remove(&node);
    }

    /// A friend answers at `path`: who is sought there, and else only where the friend says that it is, is its former self.
    /// (What it says alone does not tell: in two local networks the same addresses are common.)
    pub(super) fn forget_at(&mut self, path: SocketAddr, is_there: impl Fn(&SocketAddr) -> bool) {
        let is_former = |node: &Node| node.addresses.contains(&path) && node.addresses.iter().all(&is_there);
        self.nodes.retain(|_, sought| !is_former(sought));
    }

    pub(super) fn tidy(&mut self, now: Instant) {
        self.nodes.retain(|_, sought| sought.until > now);
        self.named.retain(|_, named| named.until.is_none_or(|until| until > now));
    }

    /// The next address that is due, `mine` left out. `is_there`: whether a friend is at that address, as it says;
    /// `answers`: whether one answers there.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        mine: &Addresses,
        is_there: impl Fn(&SocketAddr) -> bool,
        answers: impl Fn(&SocketAddr) -> bool,
    ) -> Option<SocketAddr> {
        for (address, Named { attempts, .. }) in &mut self.named {
            if attempts.at > now {
                continue;
            }
            if is_there(address) || mine.contains(address) {
                *attempts = Attempts { at: now + WAIT_LAST, wait: WAIT_FIRST };
                continue;
            }
            attempts.made(now);
            return Some(*address);
        }
        while self.left.is_empty() {
            let sought = self.nodes.values_mut().find(|sought| sought.attempts.at <= now)?;
            sought.attempts.made(now);
            let is_free = |address: &&SocketAddr| !mine.contains(address) && !answers(address);
            self.left.extend(sought.addresses.iter().filter(is_free));
        }
        self.left.pop()
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        let nodes = self.nodes.values().map(|sought| sought.attempts.at.min(sought.until));
        nodes.chain(self.named.values().map(|named| named.attempts.at)).min()
    }

    /// Whether anybody is looked for.
    pub(super) fn is_searching(&self) -> bool {
        !self.nodes.is_empty() || !self.named.is_empty()
    }
}

/// Whether a datagram to it can be meant for one node.
fn is_dialable(address: &SocketAddr) -> bool {
    let ip = address.ip();
    let is_broadcast = matches!(ip, std::net::IpAddr::V4(v4) if v4.is_broadcast());
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u64) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], n as u16))
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn one_friend_cannot_take_all_places() {
        let mut sought = Sought::default();
        (1..=1_000).for_each(|n| sought.tell(at(0), Some(Incarnation(7)), Incarnation(n), &[address(n)]));
        sought.tell(at(0), Some(Incarnation(8)), Incarnation(2_000), &[address(2_000)]);
        assert_eq!(sought.nodes.len(), SOUGHT_OF_ONE + 1);
    }

    #[test]
    fn who_never_answers_makes_room_although_told_of_again_and_again() {
        let mut sought = Sought::default();
        for second in 0..30 {
            sought.tell(at(second), None, Incarnation(1), &[address(1)]);
            sought.tidy(at(second));
            assert_eq!(sought.nodes.len(), 1);
        }
        sought.tell(at(30), None, Incarnation(1), &[address(1)]);
        sought.tidy(at(30));
        assert_eq!(sought.nodes.len(), 0);
    }

    #[test]
    fn nobody_is_sought_where_a_friend_is() {
        let mut sought = Sought::default();
        sought.miss(at(0), Incarnation(1), &[address(1), address(2)].into_iter().collect());
        let answers = |there: &SocketAddr| *there == address(2);
        assert_eq!(sought.poll(at(0), &Addresses::new(), |_| true, answers), Some(address(1)));
        assert_eq!(sought.poll(at(0), &Addresses::new(), |_| true, answers), None);
        sought.forget_at(address(2), answers);
        sought.forget_at(address(3), |_| true);
        assert_eq!(sought.nodes.len(), 1);
        sought.forget_at(address(2), |_| true);
        assert_eq!(sought.nodes.len(), 0);
    }
}
