//! What the order `safe` adds: nothing is delivered before every member is known to hold it and its final place.
//!
//! A member's [`Decided`](crate::wire::order::Decided) acknowledges both, as it takes decisions only about messages that
//! it holds. What one member has delivered, every promise of a change of view therefore knows, message and place: it
//! comes to all, in the same place, whoever has vanished at once after delivering it. For this no acknowledgement is
//! given after a promise (a frozen member says nothing), and a place that a change of view decides is above everything
//! that any promiser has seen.
//!
//! Only its sender decides about a message: at the latest by being ready for a cut in which it has promised. A message
//! whose sender is absent from a change, and whose final place nobody present knows, may be delivered elsewhere in a
//! place that nobody here can know: here it comes marked, last, outside the promise.

use std::time::Duration;

use super::Total;
use super::announce::REPEAT;
use super::runs::{Runs, Stamp};
use crate::base::id::Rank;
use crate::base::time::Instant;
use crate::order::table::TotalTable;

/// Where marked messages stand: after all others, each sender's in order. No counter of a correct member is as high.
pub(super) const MARKED: Stamp = (u64::MAX, 0);

/// Whose word on decisions is overdue, and when it is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Question {
    at: Option<Instant>,
    wait: Duration,
}

impl Question {
    /// It has been answered, is not needed, or not possible.
    pub(super) fn clear(&mut self) {
        *self = Question::default();
    }

    pub(super) fn at(&self) -> Option<Instant> {
        self.at
    }

    /// An answer is needed: whether it is time to ask for it.
    pub(super) fn is_due(&mut self, now: Instant, timeout: Duration) -> bool {
        if self.at.is_none() {
            self.wait = timeout.max(REPEAT.0);
        }
        now >= *self.at.get_or_insert(now + self.wait)
    }

    pub(super) fn asked(&mut self, now: Instant, timeout: Duration) {
        self.wait = (self.wait * 2).min(REPEAT.1.max(timeout));
        self.at = Some(now + self.wait);
    }
}

impl Total {
    /// Whose acknowledgement of a final place is missing, if the place is final here.
    pub(super) fn lacks_acknowledgement(&self, sender: Rank, index: u64) -> Option<Rank> {
        let stream = &self.streams[sender];
        stream.finals.get(index).filter(|_| self.uniform)?;
        (0..self.streams.len()).find(|&member| stream.decided_by(member) < index)
    }

    /// Whether that member is to be asked now up to where it holds all decisions: deliveries wait for its word.
    pub(super) fn asks(&mut self, now: Instant, member: Rank) -> bool {
        let waits = self.uniform
            && self.streams.iter().any(|stream| {
                stream.front().is_some() && stream.decided_by(member) < stream.decided_by(self.me)
            });
        self.announcer.asks(now, member, waits)
    }

    /// Whether the next message of that sender comes marked.
    pub(super) fn is_marked(&self, sender: Rank) -> bool {
        let adopted = self.adopted.as_ref().filter(|_| self.finished);
        let stamp =
            adopted.zip(self.streams[sender].front()).and_then(|(all, next)| all[sender].get(next.index));
        stamp == Some(MARKED)
    }

    /// Ready for a cut, its decisions about my own messages are mine, for good: somebody may install by it and vanish.
    /// Of other senders' messages only those decisions are final that somebody has from the sender.
    pub(super) fn keep_finals(&mut self, table: &TotalTable, adopted: &[Runs]) {
        for (rank, (stream, runs)) in self.streams.iter_mut().zip(adopted).enumerate() {
            let known = table.of.get(rank).and_then(|of| of.finals.last()).map_or(0, |last| last.last());
            let upto = if rank == self.me { u64::MAX } else { known };
            let decided = runs.from(stream.finals.upto() + 1).take_while(|run| run.stamp != MARKED);
            let decided: Vec<_> = decided.take_while(|run| run.first <= upto).collect();
            for run in decided {
                stream.finals.extend(run.last.min(upto), run.stamp);
            }
        }
    }
}
