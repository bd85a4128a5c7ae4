//! What is known of one sender's messages: which wait, what I proposed, what is final, who knows.

use std::collections::VecDeque;

use bytes::Bytes;

use super::runs::Runs;
use crate::base::id::Rank;
use crate::base::time::Instant;
use crate::order::clock::{self, Clock};

/// A message that is not delivered.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) index: u64,
    pub(super) count: u64,
    pub(super) payload: Bytes,
    pub(super) sent_at: Option<Instant>,
    /// Its sender's clock, its own entry included.
    pub(super) clock: Clock,
    /// The counter that its sender proposed.
    pub(super) proposal: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Stream {
    /// The clock of its latest message.
    pub(super) clock: Clock,
    /// My proposals.
    pub(super) mine: Runs,
    /// What is final.
    pub(super) finals: Runs,
    queue: VecDeque<Pending>,
    accepted: u64,
    delivered: u64,
    /// Up to where each member holds all finals, by rank.
    decided: Vec<u64>,
}

impl Stream {
    pub(super) fn new(members: usize) -> Stream {
        Stream {
            clock: clock::zero(members),
            mine: Runs::default(),
            finals: Runs::default(),
            queue: VecDeque::new(),
            accepted: 0,
            delivered: 0,
            decided: vec![0; members],
        }
    }

    pub(super) fn accept(&mut self, pending: Pending) {
        self.accepted = pending.index;
        self.queue.push_back(pending);
    }

    pub(super) fn accepted(&self) -> u64 {
        self.accepted
    }

    pub(super) fn front(&self) -> Option<&Pending> {
        self.queue.front()
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = &Pending> {
        self.queue.iter()
    }

    pub(super) fn deliver(&mut self) -> Option<Pending> {
        let pending = self.queue.pop_front()?;
        self.delivered = pending.index;
        self.forget();
        Some(pending)
    }

    /// A member says up to where it holds all finals.
    pub(super) fn hears_decided(&mut self, member: Rank, upto: u64) {
        if let Some(known) = self.decided.get_mut(member).filter(|known| **known < upto) {
            *known = upto;
            self.forget();
        }
    }

    /// Up to where this member holds all finals, as it says.
    pub(super) fn decided_by(&self, member: Rank) -> u64 {
        self.decided[member]
    }

    /// Up to where every member holds all finals.
    pub(super) fn known_to_all(&self) -> u64 {
        self.decided.iter().copied().min().unwrap_or(0)
    }

    /// Until a member knows that a message is stable and has delivered it, it keeps what it knows of its place.
    fn forget(&mut self) {
        let stable = self.known_to_all().min(self.delivered);
        self.mine.forget(stable);
        self.finals.forget(stable);
    }
}
