//! What is held of one sender, the own stream included: fragments in, whole messages out, forgotten when allowed.

use std::collections::VecDeque;

use super::Arrived;
use super::fragments;
use super::ranges::Ranges;
use super::ring::{Ring, Slot};
use crate::base::id::Rank;
use crate::base::limits::{FRAGMENT_MAX, FRAGMENTS_MAX, RING_SLOTS};
use crate::wire::membership::Holding;
use crate::wire::multicast::Ack;

/// What became of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    New,
    /// New, and it opens a gap or closes one: the sender should know at once.
    Gap,
    Duplicate,
    Refused,
}

/// One sender's stream, as held here. Numbers of fragments, in this order:
/// freed (the ring's floor) <= delivered <= handed <= whole <= contiguous.
#[derive(Clone, Debug)]
pub(super) struct ReceiveWindow {
    sender: Rank,
    ring: Ring,
    /// All up to here has come.
    contiguous: u64,
    /// What has come beyond.
    beyond: Ranges,
    /// Where the last whole message of the contiguous prefix ends.
    whole: u64,
    /// How many messages that prefix has, and the last one's number among all that its sender has sent to the group.
    messages: (u64, u64),
    /// Where the last message ends that was handed out.
    handed: u64,
    /// How many were.
    index: u64,
    /// The ends of those that the application does not have yet.
    waiting: VecDeque<u64>,
    /// Where the last message ends that the application has.
    delivered: u64,
    /// Fragments further than this are refused.
    limit: u64,
    /// Stretches of fragments that were no messages.
    malformed: u64,
}

impl ReceiveWindow {
    pub(super) fn new(sender: Rank) -> ReceiveWindow {
        ReceiveWindow {
            sender,
            ring: Ring::default(),
            contiguous: 0,
            beyond: Ranges::default(),
            whole: 0,
            messages: (0, 0),
            handed: 0,
            index: 0,
            waiting: VecDeque::new(),
            delivered: 0,
            limit: RING_SLOTS as u64,
            malformed: 0,
        }
    }

    pub(super) fn contiguous(&self) -> u64 {
        self.contiguous
    }

    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    pub(super) fn malformed(&self) -> u64 {
        self.malformed
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Slot> {
        self.ring.get(seq)
    }

    /// The parts of `first` to `last` that have not come and would be accepted.
    pub(super) fn missing(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.beyond.gaps(first.max(self.contiguous + 1), last.min(self.limit))
    }

    /// How many fragments up to `upto` have not come.
    pub(super) fn lacking(&self, upto: u64) -> u64 {
        self.beyond.gaps(self.contiguous + 1, upto).map(|(first, last)| last - first + 1).sum()
    }

    pub(super) fn accept(&mut self, seq: u64, slot: Slot) -> Accepted {
        if seq > self.limit || seq == 0 || slot.payload.len() > FRAGMENT_MAX {
            return Accepted::Refused;
        }
        if seq <= self.contiguous || !self.ring.insert(seq, slot) {
            return Accepted::Duplicate;
        }
        if seq == self.contiguous + 1 {
            let gap = !self.beyond.is_empty();
            self.advance(seq);
            return if gap { Accepted::Gap } else { Accepted::New };
        }
        let before = self.beyond.count();
        self.beyond.insert(seq);
        if self.beyond.count() == before { Accepted::New } else { Accepted::Gap }
    }

    fn advance(&mut self, seq: u64) {
        let from = self.contiguous + 1;
        self.contiguous = self.beyond.take_from(seq + 1).unwrap_or(seq);
        for seq in from..=self.contiguous {
            if self.ends_message(self.whole + 1, seq) {
                let head = self.ring.get(self.whole + 1).and_then(|slot| slot.head.as_ref());
                self.messages = (self.messages.0 + 1, head.map_or(self.messages.1, |head| head.count));
                self.whole = seq;
            }
        }
    }

    /// Whether a message, or what takes the place of one, that began with `first` ends with `seq`. A sender that never
    /// ends one is cut off at the size of the largest; all members see its stream alike.
    fn ends_message(&self, first: u64, seq: u64) -> bool {
        seq - first + 1 == FRAGMENTS_MAX as u64 || self.ring.get(seq).is_some_and(|slot| slot.last)
    }

    /// The next whole message that ends at `upto` or before.
    pub(super) fn poll(&mut self, upto: u64) -> Option<Arrived> {
        while self.handed < self.whole {
            let first = self.handed + 1;
            let last = (first..=self.whole).find(|&seq| self.ends_message(first, seq))?;
            if last > upto {
                return None;
            }
            self.handed = last;
            let message = fragments::join((first..=last).filter_map(|seq| self.ring.get(seq)));
            if let Some((head, payload)) = message {
                self.index += 1;
                self.waiting.push_back(last);
                return Some(Arrived { sender: self.sender, index: self.index, head, payload });
            }
            self.skip(last);
        }
        None
    }

    /// Passes over fragments that are no message; they count as delivered along with the message before them.
    fn skip(&mut self, last: u64) {
        self.malformed += 1;
        match self.waiting.back_mut() {
            Some(end) => *end = last,
            None => self.delivered = last,
        }
    }

    /// The application has message number `index`, and all before it. Whether that is news.
    pub(super) fn deliver(&mut self, index: u64) -> bool {
        let before = self.delivered;
        while self.index - (self.waiting.len() as u64) < index {
            let Some(end) = self.waiting.pop_front() else { break };
            self.delivered = end;
        }
        self.delivered > before
    }

    /// Every member holds all up to `stable`: forgets what is delivered as well.
    pub(super) fn free(&mut self, stable: u64) {
        let upto = stable.min(self.delivered);
        if upto > self.ring.floor() {
            self.ring.free(upto);
            self.limit = self.limit.max(upto + RING_SLOTS as u64);
        }
    }

    /// A cut that reaches to `upto` is to be fetched. The sender may have gone on from an acknowledgement that makes
    /// all stable that is held here, unknown here; frozen, nobody would tell any more. Hence one more ring's length.
    pub(super) fn widen(&mut self, upto: u64) {
        self.limit = self.limit.max(upto.min(self.ring.floor() + 2 * RING_SLOTS as u64));
    }

    pub(super) fn ack(&self) -> Ack {
        Ack {
            contiguous: self.contiguous,
            undelivered: self.contiguous - self.delivered,
            beyond: self.beyond.to_spans(self.contiguous),
        }
    }

    pub(super) fn holding(&self) -> Holding {
        let (mut messages, mut ends) = (Ranges::default(), Vec::new());
        for (first, last, count) in self.whole_beyond() {
            messages.insert_range(first, last);
            ends.push((last, count));
        }
        let count_at = |end| ends.iter().find(|&&(seq, _)| seq == end).map_or(0, |&(_, count)| count);
        Holding {
            contiguous: self.whole,
            messages: self.messages.0,
            count: self.messages.1,
            beyond: messages.to_spans(self.whole),
            counts: messages.iter().map(|(_, last)| count_at(last)).collect(),
        }
    }

    /// The whole messages beyond the contiguous prefix: first and last fragment, and its sender's count.
    pub(super) fn whole_beyond(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        self.beyond.iter().flat_map(move |(first, last)| {
            let mut start = None;
            (first..=last).filter_map(move |seq| {
                let slot = self.ring.get(seq)?;
                start = slot.head.as_ref().map(|head| (seq, head.count)).or(start);
                let (start, count) = start.take_if(|_| slot.last)?;
                Some((start, seq, count))
            })
        })
    }

    /// Its sender's counts of the whole messages that were not handed out though nothing before them is missing.
    pub(super) fn unread(&self) -> impl Iterator<Item = u64> + '_ {
        let slots = (self.handed + 1..=self.whole).filter_map(|seq| self.ring.get(seq));
        slots.filter_map(|slot| slot.head.as_ref()).map(|head| head.count)
    }

    /// How many whole messages the contiguous prefix has, and the last one's number among all of its sender.
    pub(super) fn messages(&self) -> (u64, u64) {
        self.messages
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.ring.capacity()
    }
}
