//! Received to delivered: in which order messages reach the application.
//!
//! One [`Order`] serves exactly one view, between the multicast, which hands it whole messages in each sender's
//! order, and the application. It holds a message back until its turn has come, and can always say what for.
//!
//! At the end of a view its members accept the same messages (the cut) and deliver until nothing moves: what was
//! delivered then is the same at all, and what is still held is discarded by all alike.

mod kind;
mod table;

pub use kind::{BadOrder, OrderKind};
pub use table::{OrderReport, OrderTable};

use arrayvec::ArrayVec;
use bytes::Bytes;

use crate::base::id::Rank;
use crate::base::limits::MEMBERS_MAX;
use crate::multicast::Arrived;
use crate::wire::multicast::Deps;

/// How many messages of each member of the view, by rank.
pub type Clock = ArrayVec<u64, MEMBERS_MAX>;

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
    /// What its sender had delivered when it sent it, itself included; empty in `fifo`.
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
    kind: OrderKind,
}

impl Order {
    /// The order of a new view of `members` members, in which this node has rank `me`. `None` for an order that this
    /// version does not have.
    pub fn new(kind: OrderKind, _me: Rank, _members: usize) -> Option<Order> {
        Some(Order { kind })
    }

    /// Which order it is.
    pub fn kind(&self) -> OrderKind {
        self.kind
    }

    /// The dependencies of my next message. To be called exactly once for each message that is sent, in order.
    pub fn stamp(&mut self) -> Deps {
        Deps::new()
    }

    /// A message has come, its sender's next.
    pub fn accept(&mut self, _arrived: Arrived) {}

    /// The next message whose turn has come.
    pub fn poll_deliver(&mut self) -> Option<Ordered> {
        None
    }

    /// Messages that wait for others, by sender, each sender's in order.
    pub fn held(&self) -> impl Iterator<Item = HeldMessage> + '_ {
        std::iter::empty()
    }

    /// Entries of dependencies that no correct member would send; they were ignored.
    pub fn refused(&self) -> u64 {
        0
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
