//! What one member keeps of a group's past, and tells others: the last messages, in the order of delivery.
//!
//! A member's knowledge is one number of each other member: the counts of a member's messages have no gaps, and what is
//! known of them (delivered, or never to come) is always their beginning. So what somebody lacks is what stands here with
//! higher counts. At an install at which somebody may have to be told something, a [`Mark`] remembers how long the store
//! was, and what was known, on this member's own side, and, once this member has been told the rest, of all sides.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::{Event, VectorClock};
use crate::base::id::{GroupName, Incarnation, MemberId, MessageId, UserName, ViewId};
use crate::base::limits::{FRAGMENT_MAX, HISTORY_MAX, MEMBERS_MAX, PAST_BYTES, STORE_BYTES, STORE_MESSAGES};
use crate::base::list::List;
use crate::base::time::Instant;
use crate::membership::{Known, View, note};
use crate::wire::membership::{Past, Recall, Said};

/// What others may be told is kept this long after it was last asked for.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// Bytes of short messages that are kept, and let go, together: an allocation for each slows a burst by a twentieth.
const BLOCK: usize = 64 * 1024;

/// A message that was delivered, as a member keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: MessageId,
    pub(super) from: UserName,
    pub(super) clock: VectorClock,
    pub(super) payload: Bytes,
}

/// The store, what is known, and for whom it is kept.
#[derive(Clone, Debug)]
pub(super) struct History {
    /// What newcomers are told.
    limit: usize,
    /// How many messages are kept.
    store: usize,
    entries: VecDeque<Entry>,
    /// What is left of the block that payloads of short ones are copied to.
    block: BytesMut,
    bytes: usize,
    /// How many messages stood before these.
    gone: u64,
    known: Known,
    /// The members of the view that passed last: what is known of them is not forgotten.
    members: BTreeSet<MemberId>,
    marks: Vec<Mark>,
}

/// An install with members that come from elsewhere.
#[derive(Clone, Debug)]
struct Mark {
    view: ViewId,
    members: Vec<Incarnation>,
    /// When it was installed: all that this member's side had said.
    before: Place,
    /// When this member had been told the rest.
    after: Option<Place>,
    until: Instant,
}

/// How far the past went at one time.
#[derive(Clone, Debug)]
struct Place {
    /// How many messages there had been.
    end: u64,
    known: Known,
}

impl History {
    /// Keeps the last `store` messages, at most [`STORE_MESSAGES`], and tells newcomers the last `limit`, at most
    /// [`HISTORY_MAX`]. `known`: what this node knows from an earlier stay.
    pub(super) fn new(limit: usize, store: usize, known: Known) -> History {
        History {
            limit: limit.min(HISTORY_MAX),
            store: store.min(STORE_MESSAGES),
            entries: VecDeque::new(),
            block: BytesMut::new(),
            bytes: 0,
            gone: 0,
            known,
            members: BTreeSet::new(),
            marks: Vec::new(),
        }
    }

    /// A message is delivered.
    pub(super) fn push(&mut self, now: Instant, mut entry: Entry) {
        if entry.payload.len() <= FRAGMENT_MAX {
            // A part of the datagram that it came in, all of which it would keep.
            entry.payload = self.copy(&entry.payload);
        }
        self.bytes += entry.payload.len();
        self.entries.push_back(entry);
        if self.is_over(1) {
            self.marks.retain(|mark| mark.until > now);
            while self.is_over(if self.marks.is_empty() { 1 } else { 2 }) {
                let Some(first) = self.entries.pop_front() else { return };
                self.bytes -= first.payload.len();
                self.gone += 1;
            }
        }
    }

    fn copy(&mut self, payload: &[u8]) -> Bytes {
        if self.block.capacity() < payload.len() {
            self.block = BytesMut::with_capacity(BLOCK);
        }
        self.block.extend_from_slice(payload);
        self.block.split().freeze()
    }

    fn is_over(&self, times: usize) -> bool {
        self.entries.len() > times * self.store || self.bytes > times * STORE_BYTES
    }

    /// Of each member the number of its last message that is known: of views that are over, and what was told.
    pub(super) fn known(&self) -> &Known {
        &self.known
    }

    /// More is known: what was delivered in a view that is over, or what was told.
    pub(super) fn learn(&mut self, messages: impl Iterator<Item = MessageId>) {
        let last = messages.map(|id| (id.sender, id.count));
        note(&mut self.known, last, |member| self.members.contains(&member));
    }

    /// A view begins.
    pub(super) fn enter(&mut self, view: &View) {
        self.members = view.members.iter().map(|member| member.id).collect();
    }

    /// Whether it is a member of the view that passed last.
    pub(super) fn is_member(&self, member: MemberId) -> bool {
        self.members.contains(&member)
    }

    /// A view is installed, with members that come from elsewhere.
    pub(super) fn mark_before(&mut self, now: Instant, view: &View) {
        self.marks.retain(|mark| mark.until > now);
        if self.marks.len() == MEMBERS_MAX {
            self.marks.remove(0);
        }
        let members = view.members.iter().map(|member| member.id.incarnation).collect();
        let before = self.place();
        self.marks.push(Mark { view: view.id, members, before, after: None, until: now + KEPT_FOR });
    }

    /// This member knows now what the others said before that view, as far as anybody does.
    pub(super) fn mark_after(&mut self, now: Instant, view: ViewId) {
        let place = self.place();
        if let Some(mark) = self.marks.iter_mut().find(|mark| mark.view == view) {
            (mark.after, mark.until) = (Some(place), now + KEPT_FOR);
        }
    }

    fn place(&self) -> Place {
        Place { end: self.gone + self.entries.len() as u64, known: self.known.clone() }
    }

    /// Whether this node can, and may, be told now what it asks for; `None` if nothing is remembered of that view.
    pub(super) fn may_tell(&self, node: Incarnation, recall: &Recall) -> Option<bool> {
        let mark = self.marks.iter().find(|mark| mark.view == recall.view)?;
        Some(mark.members.contains(&node) && (!recall.is_new || mark.after.is_some()))
    }

    /// The answer to somebody who asks.
    pub(super) fn recall(&mut self, now: Instant, recall: &Recall) -> Past {
        let &Recall { view, part, is_new, known: ref digest } = recall;
        let mark = self.marks.iter_mut().find(|mark| mark.view == view);
        let place = mark.and_then(|mark| {
            mark.until = now + KEPT_FOR;
            if is_new { mark.after.as_ref() } else { Some(&mark.before) }
        });
        let Some(place) = place else {
            return Past { view, part, known: None, said: List::new(), more: false };
        };
        let digest: Known = digest.iter().copied().collect();
        let is_news = |sender: &MemberId, count: u64| digest.get(sender).is_none_or(|&known| known < count);
        let end = usize::try_from(place.end.saturating_sub(self.gone)).unwrap_or(usize::MAX);
        let begin = if is_new { end.saturating_sub(self.limit) } else { 0 };
        let entries = self.entries.iter().take(end).skip(begin);
        let mut news = entries.filter(|entry| is_news(&entry.id.sender, entry.id.count)).peekable();
        let (mut said, mut bytes) = (List::new(), 0);
        while bytes < PAST_BYTES && !said.is_full() {
            let Some(entry) = news.next() else { break };
            bytes += entry.weight();
            let _has_room = said.try_push(entry.to_wire());
        }
        let more = news.peek().is_some();
        let known = place.known.iter().filter(|&(sender, &count)| is_news(sender, count));
        Past { view, part, known: Some(known.map(|(&sender, &count)| (sender, count)).collect()), said, more }
    }
}

impl Entry {
    /// About how many bytes it takes on the wire.
    fn weight(&self) -> usize {
        let clock: usize = self.clock.iter().map(|(name, _)| name.as_str().len() + 6).sum();
        self.payload.len() + self.from.as_str().len() + clock + 32
    }

    fn to_wire(&self) -> Said {
        Said {
            id: self.id,
            from: self.from,
            clock: self.clock.iter().collect(),
            payload: self.payload.iter().copied().collect(),
        }
    }

    /// As what somebody is told.
    pub(super) fn into_event(self, group: GroupName, view: ViewId) -> Event {
        Event::Message {
            group,
            view,
            from: self.from,
            id: self.id,
            clock: self.clock,
            position: None,
            uniform: None,
            placed: None,
            caught_up: true,
            sent_at: None,
            payload: self.payload,
        }
    }

    /// From what was told.
    pub(super) fn from_wire(said: Said) -> Entry {
        let Said { id, from, clock, payload } = said;
        Entry { id, from, clock: clock.iter().copied().collect(), payload: Bytes::copy_from_slice(&payload) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::membership::Member;

    const NOW: Instant = Instant::ZERO;
    const NODE: Incarnation = Incarnation(1);

    fn member() -> MemberId {
        MemberId { incarnation: NODE, join: 0 }
    }

    fn view() -> View {
        let me = Member { id: member(), name: "ann".parse().unwrap(), addresses: Default::default() };
        View { id: ViewId { number: 1, coordinator: member() }, members: vec![me] }
    }

    fn say(history: &mut History, now: Instant, counts: std::ops::RangeInclusive<u64>) {
        for count in counts {
            let (id, from) = (MessageId { sender: member(), count }, "ann".parse().unwrap());
            let (clock, payload) = (VectorClock::default(), Bytes::from(vec![0; 10_000]));
            history.push(now, Entry { id, from, clock, payload });
        }
    }

    fn ask(history: &mut History, is_new: bool, known: u64) -> (Vec<u64>, bool) {
        let known = [(member(), known)].into_iter().collect();
        let past = history.recall(NOW, &Recall { view: view().id, part: 1, is_new, known });
        (past.said.iter().map(|said| said.id.count).collect(), past.more)
    }

    #[test]
    fn all_that_is_stored_before_the_mark_is_told_part_by_part_and_the_last_to_newcomers() {
        let mut history = History::new(3, 100, Known::new());
        say(&mut history, NOW, 1..=9);
        history.mark_before(NOW, &view());
        let recall = |is_new| Recall { view: view().id, part: 1, is_new, known: List::new() };
        assert_eq!(history.may_tell(NODE, &recall(true)), Some(false), "not before it knows all itself");
        say(&mut history, NOW, 10..=10);
        history.mark_after(NOW, view().id);
        say(&mut history, NOW, 11..=12);
        assert_eq!(history.may_tell(NODE, &recall(true)), Some(true));
        assert_eq!(history.may_tell(Incarnation(2), &recall(false)), Some(false), "not of that view");
        assert_eq!(ask(&mut history, false, 0), ((1..=7).collect(), true));
        assert_eq!(ask(&mut history, false, 7), (vec![8, 9], false));
        assert_eq!(ask(&mut history, true, 0), (vec![8, 9, 10], false));
    }

    #[test]
    fn what_is_known_of_a_member_of_the_view_is_not_forgotten_for_those_who_are_gone() {
        let mut history = History::new(0, 10, Known::new());
        history.enter(&view());
        history.learn([MessageId { sender: member(), count: 7 }].into_iter());
        let gone = |n| MemberId { incarnation: Incarnation(n), join: 0 };
        history.learn((2..5_000).map(|n| MessageId { sender: gone(n), count: 1 }));
        assert_eq!(history.known().get(&member()), Some(&7));
    }

    #[test]
    fn a_short_message_does_not_keep_its_datagram() {
        let mut history = History::new(0, 10, Known::new());
        let datagram = Bytes::from(vec![7; 1_400]);
        let (id, from) = (MessageId { sender: member(), count: 1 }, "ann".parse().unwrap());
        let (clock, payload) = (VectorClock::default(), datagram.slice(100..105));
        history.push(NOW, Entry { id, from, clock, payload });
        assert!(datagram.is_unique());
        assert_eq!(history.entries[0].payload, [7; 5][..]);
    }

    #[test]
    fn twice_as_many_are_stored_while_somebody_may_ask() {
        let mut history = History::new(0, 10, Known::new());
        say(&mut history, NOW, 1..=15);
        assert_eq!(history.entries.len(), 10);
        history.mark_before(NOW, &view());
        say(&mut history, NOW, 16..=30);
        assert_eq!(history.entries.len(), 20);
        assert_eq!(ask(&mut history, false, 0), ((11..=15).collect(), false));
        say(&mut history, NOW + KEPT_FOR, 31..=31);
        assert_eq!(history.entries.len(), 10);
        let mut large = History::new(0, STORE_MESSAGES, Known::new());
        say(&mut large, NOW, 1..=1_000);
        assert!(large.bytes <= STORE_BYTES && large.bytes > STORE_BYTES - 10_000);
    }
}
