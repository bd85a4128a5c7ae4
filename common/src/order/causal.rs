//! CBCAST: no message before one that its sender had delivered or sent before it.
//!
//! A message carries the entries of its sender's clock that changed since its sender's previous message; every receiver
//! rebuilds the clock, sender by sender. A message is delivered when it is its sender's next and every other entry of
//! its clock is covered by what is delivered here. The queues have no limit of their own: a message in them is not
//! delivered, and of those the multicast holds a ring's length per sender at most.

use std::collections::VecDeque;

use bytes::Bytes;

use super::clock::{self, Clock};
use super::{Awaited, HeldMessage, Ordered};
use crate::base::id::Rank;
use crate::base::time::Instant;
use crate::multicast::Arrived;
use crate::wire::multicast::Deps;

/// A message that is not delivered.
#[derive(Clone, Debug)]
struct Pending {
    index: u64,
    count: u64,
    payload: Bytes,
    sent_at: Option<Instant>,
    /// Its sender's clock, its own entry included.
    clock: Clock,
}

/// One sender's stream.
#[derive(Clone, Debug)]
struct Sender {
    /// The clock of its latest message.
    clock: Clock,
    queue: VecDeque<Pending>,
}

/// The hold-back queues of one view.
#[derive(Clone, Debug)]
pub(super) struct Causal {
    me: Rank,
    /// How many messages of whom are delivered here.
    delivered: Clock,
    /// The same when I sent last.
    stamped: Clock,
    senders: Vec<Sender>,
    refused: u64,
}

impl Causal {
    pub(super) fn new(me: Rank, members: usize) -> Causal {
        let zero = clock::zero(members);
        let sender = Sender { clock: zero.clone(), queue: VecDeque::new() };
        Causal { me, delivered: zero.clone(), stamped: zero, senders: vec![sender; members], refused: 0 }
    }

    pub(super) fn stamp(&mut self) -> Deps {
        let deps = clock::changes(self.me, &self.stamped, &self.delivered);
        self.stamped = self.delivered.clone();
        deps
    }

    pub(super) fn accept(&mut self, arrived: Arrived) {
        let Arrived { sender: rank, index, head, payload } = arrived;
        let Some(sender) = self.senders.get_mut(rank) else { return };
        self.refused += clock::apply(rank, &mut sender.clock, &head.deps);
        sender.clock[rank] = index;
        let clock = sender.clock.clone();
        let (count, sent_at) = (head.count, head.sent_at);
        sender.queue.push_back(Pending { index, count, payload, sent_at, clock });
    }

    pub(super) fn poll_deliver(&mut self) -> Option<Ordered> {
        let delivered = &self.delivered;
        let ready = |(rank, sender): (Rank, &Sender)| {
            let next = sender.queue.front()?;
            lacking(rank, &next.clock, delivered).is_none().then_some(rank)
        };
        let rank = self.senders.iter().enumerate().find_map(ready)?;
        let Pending { index, count, payload, sent_at, clock } = self.senders[rank].queue.pop_front()?;
        self.delivered[rank] = index;
        Some(Ordered {
            sender: rank,
            index,
            count,
            payload,
            clock,
            position: None,
            uniform: None,
            placed: None,
            sent_at,
        })
    }

    pub(super) fn held(&self) -> impl Iterator<Item = HeldMessage> + '_ {
        let all = self
            .senders
            .iter()
            .enumerate()
            .flat_map(|(rank, sender)| sender.queue.iter().map(move |pending| (rank, pending)));
        all.filter_map(|(sender, pending)| {
            let before = (sender, pending.index - 1);
            let behind = (before.1 > self.delivered[sender]).then_some(before);
            let waits_for = lacking(sender, &pending.clock, &self.delivered).or(behind)?;
            let waits_for = Awaited::Message(waits_for.0, waits_for.1);
            Some(HeldMessage { sender, index: pending.index, count: pending.count, waits_for })
        })
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }
}

/// The first entry of another member in a message's clock that is not covered.
fn lacking(sender: Rank, clock: &Clock, delivered: &Clock) -> Option<(Rank, u64)> {
    let mut entries = clock.iter().copied().zip(delivered).enumerate();
    entries
        .find(|&(rank, (needed, &have))| rank != sender && needed > have)
        .map(|(rank, (needed, _))| (rank, needed))
}
