//! What newcomers are told: the last messages of the group, kept by every member.
//!
//! At an install with new members each of the others keeps what it had delivered by then, for a while. The newcomer
//! asks one of them after the other, part by part, until one has told all; what is delivered to it meanwhile waits for
//! that. (So a change of view does not wait for history, and nobody but the newcomer does.) Those who came together
//! from the former view have delivered the same messages, so it does not matter who tells.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::{Event, VectorClock};
use crate::base::id::{GroupName, Incarnation, MemberId, MessageId, UserName, ViewId};
use crate::base::limits::{HISTORY_MAX, MEMBERS_MAX};
use crate::base::list::List;
use crate::base::time::Instant;
use crate::membership::View;
use crate::wire::membership::{Past, Recall, Said};

/// Bytes of messages after which a part of the past ends.
const PART_BYTES: usize = 64 * 1024;
/// What a newcomer may be told is kept this long after it was last asked for.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// Members whose messages are remembered as known.
const KNOWN_MAX: usize = 1_024;

/// Of each member the number of its last message that is known here.
pub type Known = BTreeMap<MemberId, u64>;

/// A message that was delivered, as a member keeps it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: MessageId,
    pub(super) from: UserName,
    pub(super) clock: VectorClock,
    pub(super) payload: Bytes,
}

/// What one member keeps of a group's past.
#[derive(Clone, Debug)]
pub(super) struct History {
    limit: usize,
    last: VecDeque<Entry>,
    kept: Vec<Kept>,
}

/// The past as it was at one install.
#[derive(Clone, Debug)]
struct Kept {
    view: ViewId,
    members: Vec<Incarnation>,
    entries: Vec<Entry>,
    /// Whether what was said before these is still being told to this member itself.
    pending: bool,
    until: Instant,
}

impl History {
    /// Keeps the last `limit` messages, at most [`HISTORY_MAX`].
    pub(super) fn new(limit: usize) -> History {
        History { limit: limit.min(HISTORY_MAX), last: VecDeque::new(), kept: Vec::new() }
    }

    /// A message is delivered.
    pub(super) fn push(&mut self, entry: Entry) {
        self.last.push_back(entry);
        if self.last.len() > self.limit {
            self.last.pop_front();
        }
    }

    /// What was said before everything that is kept: this member has been told it, or will not be told more.
    pub(super) fn put_before(&mut self, entries: &[Entry]) {
        let before = |room: usize| entries[entries.len() - room.min(entries.len())..].iter().cloned();
        for kept in self.kept.iter_mut().filter(|kept| kept.pending) {
            kept.pending = false;
            kept.entries.splice(..0, before(self.limit - kept.entries.len()));
        }
        before(self.limit - self.last.len()).rev().for_each(|entry| self.last.push_front(entry));
    }

    /// A view with new members is installed. `pending`: this member is still being told what was said before it came.
    pub(super) fn keep(&mut self, now: Instant, view: &View, pending: bool) {
        self.kept.retain(|kept| kept.until > now);
        if self.kept.len() == MEMBERS_MAX {
            self.kept.remove(0);
        }
        let entries = self.last.iter().cloned().collect();
        let members = view.members.iter().map(|member| member.id.incarnation).collect();
        self.kept.push(Kept { view: view.id, members, entries, pending, until: now + KEPT_FOR });
    }

    /// Whether this node can, and may, be told now what was said before that view; `None` if nothing is kept of it.
    pub(super) fn may_tell(&self, view: ViewId, node: Incarnation) -> Option<bool> {
        let kept = self.kept.iter().find(|kept| kept.view == view)?;
        Some(!kept.pending && kept.members.contains(&node))
    }

    /// The answer to a newcomer.
    pub(super) fn recall(&mut self, now: Instant, recall: Recall) -> Past {
        let Recall { view, first } = recall;
        let Some(kept) = self.kept.iter_mut().find(|kept| kept.view == view) else {
            return Past { view, first, total: None, said: List::new() };
        };
        kept.until = now + KEPT_FOR;
        let mut bytes = 0;
        let begin = usize::try_from(first).unwrap_or(usize::MAX).min(kept.entries.len());
        let fits = |entry: &&Entry| {
            let fits = bytes < PART_BYTES;
            bytes += entry.payload.len();
            fits
        };
        let said = kept.entries[begin..].iter().take_while(fits).map(Entry::to_wire).collect();
        Past { view, first, total: u32::try_from(kept.entries.len()).ok(), said }
    }
}

impl Entry {
    fn to_wire(&self) -> Said {
        Said {
            id: self.id,
            from: self.from,
            clock: self.clock.iter().collect(),
            payload: self.payload.iter().copied().collect(),
        }
    }

    /// As what a newcomer is told.
    pub(super) fn into_event(self, group: GroupName, view: ViewId) -> Event {
        Event::Message {
            group,
            view,
            from: self.from,
            id: self.id,
            clock: self.clock,
            position: None,
            uniform: None,
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

/// Notes the last messages of some members as known.
pub(super) fn note(known: &mut Known, messages: impl Iterator<Item = MessageId>) {
    for id in messages {
        let last = known.entry(id.sender).or_default();
        *last = id.count.max(*last);
    }
    while known.len() > KNOWN_MAX {
        known.pop_first();
    }
}
