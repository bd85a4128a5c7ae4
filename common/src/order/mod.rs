//! Received to delivered: in which order messages reach the application.
//!
//! One [`Order`] serves exactly one view, between the multicast, which hands it whole messages in each sender's
//! order, and the application. It holds a message back until its turn has come, and can always say what for.
//!
//! At the end of a view its members accept the same messages (the cut) and deliver until nothing moves: what was
//! delivered then is the same at all, and what is still held is discarded by all alike.

mod causal;
mod clock;
mod fifo;
mod kind;
mod table;
#[cfg(test)]
mod tests;

pub use clock::Clock;
pub use kind::{BadOrder, OrderKind};
pub use table::{OrderReport, OrderTable};

use bytes::Bytes;

use causal::Causal;
use fifo::Fifo;

use crate::base::id::Rank;
use crate::multicast::Arrived;
use crate::wire::multicast::Deps;

/// A message whose turn has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// Who sent it.
    pub sender: Rank,
    /// The how-manieth of its sender in this view, from 1.
    pub index: u64,
    /// The how-manieth of its sender in the group, from 1.
    pub count: u64,
    /// What was sent.
    pub payload: Bytes,
    /// What its sender had delivered when it sent it, this message included; empty in `fifo`.
    pub clock: Clock,
}

/// A message whose turn has not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldMessage {
    /// Who sent it.
    pub sender: Rank,
    /// The how-manieth of its sender in this view, from 1.
    pub index: u64,
    /// The how-manieth of its sender in the group, from 1.
    pub count: u64,
    /// The message without which it cannot be delivered: whose, and its index.
    pub waits_for: (Rank, u64),
}

/// The order of one view.
#[derive(Clone, Debug)]
pub struct Order {
    rule: Rule,
}

#[derive(Clone, Debug)]
enum Rule {
    Fifo(Fifo),
    Causal(Causal),
}

impl Order {
    /// The order of a new view of `members` members, in which this node has rank `me`. `None` for an order that this
    /// version does not have.
    pub fn new(kind: OrderKind, me: Rank, members: usize) -> Option<Order> {
        let rule = match kind {
            OrderKind::Fifo => Rule::Fifo(Fifo::default()),
            OrderKind::Causal => Rule::Causal(Causal::new(me, members)),
            OrderKind::Total | OrderKind::Safe => return None,
        };
        Some(Order { rule })
    }

    /// Which order it is.
    pub fn kind(&self) -> OrderKind {
        match self.rule {
            Rule::Fifo(_) => OrderKind::Fifo,
            Rule::Causal(_) => OrderKind::Causal,
        }
    }

    /// The dependencies of my next message. To be called exactly once for each message that is sent, in order.
    pub fn stamp(&mut self) -> Deps {
        match &mut self.rule {
            Rule::Fifo(_) => Deps::new(),
            Rule::Causal(causal) => causal.stamp(),
        }
    }

    /// A message has come, its sender's next.
    pub fn accept(&mut self, arrived: Arrived) {
        match &mut self.rule {
            Rule::Fifo(fifo) => fifo.accept(arrived),
            Rule::Causal(causal) => causal.accept(arrived),
        }
    }

    /// The next message whose turn has come.
    pub fn poll_deliver(&mut self) -> Option<Ordered> {
        match &mut self.rule {
            Rule::Fifo(fifo) => fifo.poll_deliver(),
            Rule::Causal(causal) => causal.poll_deliver(),
        }
    }

    /// Messages that wait for others, by sender, each sender's in order.
    pub fn held(&self) -> impl Iterator<Item = HeldMessage> + '_ {
        let causal = match &self.rule {
            Rule::Fifo(_) => None,
            Rule::Causal(causal) => Some(causal),
        };
        causal.into_iter().flat_map(Causal::held)
    }

    /// Entries of dependencies that no correct member would send; they were ignored.
    pub fn refused(&self) -> u64 {
        match &self.rule {
            Rule::Fifo(fifo) => fifo.refused(),
            Rule::Causal(causal) => causal.refused(),
        }
    }

    /// What this member knows about the order of messages not stable yet, for its `Promise`.
    pub fn report(&self) -> OrderReport {
        OrderReport::None
    }

    /// Takes the decisions of a cut for its own.
    pub fn adopt(&mut self, table: &OrderTable) {
        match table {
            OrderTable::None => {}
        }
    }
}

/// What a coordinator decides from the reports of those who go together, each with its rank in their prior view.
pub fn decide(kind: OrderKind, _reports: &[(Rank, &OrderReport)]) -> OrderTable {
    match kind {
        OrderKind::Fifo | OrderKind::Causal | OrderKind::Total | OrderKind::Safe => OrderTable::None,
    }
}
