//! Link state: who matters to every peer, and whom it hears, as far as this node knows; and what it still has to tell to
//! whom.
//!
//! Each node numbers its own set and raises the number with each change. A newer set is passed on to everybody else, with
//! a little time between so that several go together; with each of the next heartbeats once more; and then one set after
//! the other rides on heartbeats for ever, so that every loss heals without an acknowledgement.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use crate::base::id::Incarnation;
use crate::base::time::Instant;
use crate::wire::mesh::{Links, Neighbour};

/// The newest known set of each node, by its origin.
pub(super) type Sets = BTreeMap<Incarnation, Links>;

/// How often a set that is new is told to each peer, before it waits its turn.
const TIMES: u8 = 3;

/// How far a set can be ahead of the one that is known: no node's links change as often.
const NUMBERS_AHEAD: u64 = 1 << 32;
/// The same for the first set of a node, whose number may have been driven up by others.
const FIRST_MAX: u64 = u64::MAX / 2;

/// All sets that one node knows, its own among them.
#[derive(Clone, Debug)]
pub(super) struct LinkState {
    me: Incarnation,
    sets: Sets,
}

impl LinkState {
    pub(super) fn new(me: Incarnation) -> LinkState {
        let own = Links { origin: me, number: 0, peers: Default::default() };
        LinkState { me, sets: BTreeMap::from([(me, own)]) }
    }

    pub(super) fn sets(&self) -> &Sets {
        &self.sets
    }

    /// Who matters to this node now, and whom it hears; whether that is another set than before.
    pub(super) fn hear(&mut self, peers: impl Iterator<Item = Neighbour>) -> bool {
        let peers = peers.collect();
        let Some(own) = self.sets.get_mut(&self.me).filter(|own| own.peers != peers) else { return false };
        own.peers = peers;
        own.number = own.number.saturating_add(1);
        true
    }

    /// A set has come; whether it is news. One of this node's own with a higher number than it ever gave is overtaken. One
    /// so high that its origin cannot have come to it is refused: nobody shall use the numbers up.
    pub(super) fn take(&mut self, links: &Links) -> bool {
        let known = self.sets.get_mut(&links.origin);
        let limit = known.as_ref().map_or(FIRST_MAX, |known| known.number.saturating_add(NUMBERS_AHEAD));
        match known {
            _ if links.number > limit => return false,
            Some(known) if links.number <= known.number => return false,
            Some(own) if links.origin == self.me => own.number = links.number.saturating_add(1),
            _ => _ = self.sets.insert(links.origin, links.clone()),
        }
        true
    }

    /// Forgets the sets of all others than these.
    pub(super) fn retain(&mut self, wanted: impl Fn(Incarnation) -> bool) {
        let me = self.me;
        self.sets.retain(|&origin, _| origin == me || wanted(origin));
    }

    /// How `node` hears this node straight, if it does.
    pub(super) fn hears_me(&self, node: Incarnation) -> Option<Neighbour> {
        self.hears(node, self.me)
    }

    /// Whether these two say that they hear each other straight.
    pub(super) fn are_mutual(&self, one: Incarnation, other: Incarnation) -> bool {
        self.hears(one, other).is_some() && self.hears(other, one).is_some()
    }

    fn hears(&self, node: Incarnation, other: Incarnation) -> Option<Neighbour> {
        let peers = &self.sets.get(&node)?.peers;
        peers.iter().find(|peer| peer.node == other && peer.is_heard()).copied()
    }

    fn after(&self, origin: Option<Incarnation>) -> Option<Incarnation> {
        let after = origin.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.sets.range((after, Bound::Unbounded)).next().or_else(|| self.sets.first_key_value());
        next.map(|(&origin, _)| origin)
    }
}

/// What one peer is still to be told.
#[derive(Clone, Debug, Default)]
pub(super) struct Telling {
    /// Whose sets, and how many times more.
    due: BTreeMap<Incarnation, u8>,
    /// When to tell them without waiting for a heartbeat.
    at: Option<Instant>,
    told_at: Instant,
    /// Whose set had its turn last.
    turn: Option<Incarnation>,
}

impl Telling {
    /// There is news. It leaves at once, unless others left within `gap`.
    pub(super) fn add(&mut self, now: Instant, gap: Duration, origin: Incarnation) {
        self.due.insert(origin, TIMES);
        self.hurry(now, gap);
    }

    /// It has just begun to hear this node: it is to know all.
    pub(super) fn add_all(&mut self, now: Instant, gap: Duration, state: &LinkState) {
        for &origin in state.sets.keys() {
            self.due.entry(origin).or_insert(1);
        }
        self.hurry(now, gap);
    }

    fn hurry(&mut self, now: Instant, gap: Duration) {
        let at = now.max(self.told_at + gap);
        self.at = Some(self.at.map_or(at, |other| other.min(at)));
    }

    /// When something is to be told without waiting for a heartbeat.
    pub(super) fn at(&self) -> Option<Instant> {
        self.at
    }

    /// A heartbeat leaves: the next set in turn rides on it.
    pub(super) fn heartbeat(&mut self, state: &LinkState, to: Incarnation) {
        self.turn = state.after(self.turn);
        if let Some(origin) = self.turn.filter(|&origin| origin != to) {
            self.due.entry(origin).or_insert(1);
        }
    }

    /// The sets that leave now, each once, as many as fit into so many bytes. What does not is due at once.
    pub(super) fn take(&mut self, now: Instant, state: &LinkState, mut room: usize) -> Vec<Links> {
        let mut sets = Vec::new();
        let mut all = true;
        self.due.retain(|origin, times| {
            let Some(links) = state.sets.get(origin) else { return false };
            let needed = Links::frame_max(links.peers.len());
            if needed > room {
                all = false;
                return true;
            }
            room -= needed;
            sets.push(links.clone());
            *times -= 1;
            *times > 0
        });
        self.told_at = now;
        self.at = if all { None } else { Some(now) };
        sets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Incarnation = Incarnation(5);
    const GAP: Duration = Duration::from_millis(30);

    fn set(origin: u64, number: u64, heard: &[u64]) -> Links {
        let peers = heard.iter().map(|&node| Neighbour { node: Incarnation(node), way: 0 }).collect();
        Links { origin: Incarnation(origin), number, peers }
    }

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn origins(sets: &[Links]) -> Vec<u64> {
        sets.iter().map(|links| links.origin.0).collect()
    }

    #[test]
    fn a_set_is_news_once_and_an_older_one_never() {
        let mut state = LinkState::new(ME);
        assert!(state.take(&set(1, 7, &[5])));
        assert!(!state.take(&set(1, 7, &[5])) && !state.take(&set(1, 6, &[])));
        assert!(state.hears_me(Incarnation(1)).is_some());
        assert!(state.take(&set(1, 8, &[])));
        assert!(state.hears_me(Incarnation(1)).is_none());
        state.retain(|_| false);
        assert_eq!(state.sets().len(), 1, "its own is kept");
    }

    #[test]
    fn a_set_of_mine_that_i_never_sent_is_overtaken() {
        let mut state = LinkState::new(ME);
        assert!(state.hear([Neighbour { node: Incarnation(1), way: 0 }].into_iter()));
        assert!(!state.hear([Neighbour { node: Incarnation(1), way: 0 }].into_iter()));
        assert!(!state.take(&set(5, 1, &[9])));
        assert!(state.take(&set(5, 40, &[9])));
        assert_eq!(state.sets()[&ME], set(5, 41, &[1]));
    }

    #[test]
    fn nobody_can_use_up_the_numbers_of_another() {
        let mut state = LinkState::new(ME);
        assert!(!state.take(&set(5, u64::MAX, &[9])) && !state.take(&set(1, u64::MAX, &[9])));
        assert!(state.hear([Neighbour { node: Incarnation(1), way: 0 }].into_iter()));
        assert_eq!(state.sets()[&ME], set(5, 1, &[1]));
        assert!(state.take(&set(1, 7, &[5])));
        assert!(!state.take(&set(1, 8 + NUMBERS_AHEAD, &[])) && state.take(&set(1, 7 + NUMBERS_AHEAD, &[])));
        assert!(LinkState::new(ME).take(&set(1, 8 + NUMBERS_AHEAD, &[])), "a newcomer knows no number yet");
    }

    #[test]
    fn news_is_told_at_once_and_with_the_next_heartbeats_and_then_in_turn() {
        let mut state = LinkState::new(ME);
        state.take(&set(1, 1, &[]));
        state.take(&set(2, 1, &[]));
        let mut telling = Telling::default();
        telling.add(at(100), GAP, Incarnation(2));
        assert_eq!(telling.at(), Some(at(100)));
        assert_eq!(origins(&telling.take(at(100), &state, 1_000)), [2]);
        assert_eq!(telling.at(), None);
        telling.add(at(110), GAP, Incarnation(1));
        assert_eq!(telling.at(), Some(at(130)), "what follows soon waits for more");
        assert_eq!(origins(&telling.take(at(130), &state, 1_000)), [1, 2]);
        let mut heartbeat = || {
            telling.heartbeat(&state, Incarnation(9));
            origins(&telling.take(at(200), &state, 1_000))
        };
        assert_eq!(heartbeat(), [1, 2]);
        assert_eq!(heartbeat(), [1, 2]);
        assert_eq!([heartbeat(), heartbeat(), heartbeat()].concat(), [5, 1, 2]);
    }

    #[test]
    fn what_does_not_fit_follows_at_once() {
        let mut state = LinkState::new(ME);
        (1..=4).for_each(|origin| _ = state.take(&set(origin, 1, &[1, 2, 3])));
        let mut telling = Telling::default();
        telling.add_all(at(100), GAP, &state);
        let room = 2 * Links::frame_max(3);
        assert_eq!(origins(&telling.take(at(100), &state, room)), [1, 2]);
        assert_eq!(telling.at(), Some(at(100)));
        assert_eq!(origins(&telling.take(at(100), &state, room)), [3, 4]);
        assert_eq!(origins(&telling.take(at(100), &state, room)), [5]);
        assert_eq!(telling.at(), None);
    }
}
