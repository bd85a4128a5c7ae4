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
mod total;

pub use clock::Clock;
pub use kind::{BadOrder, OrderKind};
pub use table::{OrderReport, OrderTable};

use std::time::Duration;

use bytes::Bytes;

use causal::Causal;
use fifo::Fifo;
use total::Total;

use crate::base::id::Rank;
use crate::base::time::Instant;
use crate::machine::Wakeup;
use crate::multicast::Arrived;
use crate::wire::multicast::Deps;
use crate::wire::{Frame, Packer, Section};

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
    /// `total` and `safe`: its place in the group's sequence, from 1.
    pub position: Option<u64>,
    /// `safe`: whether it is delivered within the promise; `Some(false)` marks it.
    pub uniform: Option<bool>,
    /// `total` and `safe`: what fixed its place.
    pub placed: Option<Placed>,
    /// When it was handed over, by its sender's clock, if it says so.
    pub sent_at: Option<Instant>,
}

/// What fixed a message's place in the sequence of `total` or `safe`, at the member that delivers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// Its sender's decision, while the view lasted.
    BySender,
    /// Its sender's decision too, but it came with the install that ended the view.
    AtTheEnd,
    /// The change of view that ended the view: none of those who took part knew a decision of the sender's.
    ByTheChange,
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
    /// What it cannot be delivered without.
    pub waits_for: Awaited,
}

/// What a message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Another message: whose, and its index.
    Message(Rank, u64),
    /// `total` and `safe`: the place that this member proposes for it.
    Proposal(Rank),
    /// `total` and `safe`: the place that this member, its sender, decides.
    Decision(Rank),
    /// `safe`: the word of this member that it holds the message and its place.
    Acknowledgement(Rank),
}

impl Awaited {
    /// Whose part is lacking.
    pub fn whom(self) -> Rank {
        match self {
            Awaited::Message(of, _)
            | Awaited::Proposal(of)
            | Awaited::Decision(of)
            | Awaited::Acknowledgement(of) => of,
        }
    }
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
    Total(Box<Total>),
}

impl Order {
    /// The order of a new view of `members` members, in which this node has rank `me`. `position`: how many messages the
    /// group's sequence has before this view.
    pub fn new(kind: OrderKind, me: Rank, members: usize, position: u64) -> Order {
        let total = |uniform| Rule::Total(Box::new(Total::new(uniform, me, members, position)));
        let rule = match kind {
            OrderKind::Fifo => Rule::Fifo(Fifo::default()),
            OrderKind::Causal => Rule::Causal(Causal::new(me, members)),
            OrderKind::Total => total(false),
            OrderKind::Safe => total(true),
        };
        Order { rule }
    }

    /// Which order it is.
    pub fn kind(&self) -> OrderKind {
        match &self.rule {
            Rule::Fifo(_) => OrderKind::Fifo,
            Rule::Causal(_) => OrderKind::Causal,
            Rule::Total(total) if total.is_uniform() => OrderKind::Safe,
            Rule::Total(_) => OrderKind::Total,
        }
    }

    /// Whether the order lets this member send one more message now.
    pub fn can_send(&self) -> bool {
        match &self.rule {
            Rule::Fifo(_) | Rule::Causal(_) => true,
            Rule::Total(total) => total.can_send(),
        }
    }

    /// The dependencies of my next message, and the counter that I propose for it. To be called exactly once for each
    /// message that is sent, in order.
    pub fn stamp(&mut self) -> (Deps, u64) {
        match &mut self.rule {
            Rule::Fifo(_) => (Deps::new(), 0),
            Rule::Causal(causal) => (causal.stamp(), 0),
            Rule::Total(total) => total.stamp(),
        }
    }

    /// A message has come, its sender's next.
    pub fn accept(&mut self, arrived: Arrived) {
        match &mut self.rule {
            Rule::Fifo(fifo) => fifo.accept(arrived),
            Rule::Causal(causal) => causal.accept(arrived),
            Rule::Total(total) => total.accept(arrived),
        }
    }

    /// A frame about the order has come from the member with rank `from`; others are ignored.
    pub fn handle_frame(&mut self, from: Rank, frame: &Frame<'_>) {
        let Rule::Total(total) = &mut self.rule else { return };
        match frame {
            Frame::Proposals(proposals) => total.handle_proposals(from, proposals),
            Frame::Decisions(decisions) => total.handle_decisions(from, decisions),
            Frame::Decided(decided) => total.handle_decided(from, decided),
            _ => {}
        }
    }

    /// The next message whose turn has come.
    pub fn poll_deliver(&mut self) -> Option<Ordered> {
        match &mut self.rule {
            Rule::Fifo(fifo) => fifo.poll_deliver(),
            Rule::Causal(causal) => causal.poll_deliver(),
            Rule::Total(total) => total.poll_deliver(),
        }
    }

    /// Messages that wait for others, by sender, each sender's in order.
    pub fn held(&self) -> Vec<HeldMessage> {
        match &self.rule {
            Rule::Fifo(_) => Vec::new(),
            Rule::Causal(causal) => causal.held().collect(),
            Rule::Total(total) => total.held(),
        }
    }

    /// The first in the queue, if it waits for a member's part in placing it.
    pub fn head(&self) -> Option<HeldMessage> {
        let Rule::Total(total) = &self.rule else { return None };
        total.first_held()
    }

    /// Entries that no correct member would send; they were ignored.
    pub fn refused(&self) -> u64 {
        match &self.rule {
            Rule::Fifo(fifo) => fifo.refused(),
            Rule::Causal(causal) => causal.refused(),
            Rule::Total(total) => total.refused(),
        }
    }

    /// Adds the frames about the order that are due for one member; true if more is due than fitted.
    #[must_use]
    pub fn write(&mut self, now: Instant, to: Rank, section: Section, packer: &mut Packer) -> bool {
        match &mut self.rule {
            Rule::Fifo(_) | Rule::Causal(_) => false,
            Rule::Total(total) => total.write(now, to, section, packer),
        }
    }

    /// That member can't be reached yet: nothing is due for it.
    pub fn discard(&mut self, to: Rank) {
        if let Rule::Total(total) = &mut self.rule {
            total.discard(to);
        }
    }

    /// A heartbeat is about to leave for that member; after `timeout` without an answer from it something is probably
    /// lost.
    pub fn heartbeat(&mut self, to: Rank, timeout: Duration) {
        if let Rule::Total(total) = &mut self.rule {
            total.heartbeat(to);
            total.set_timeout(to, timeout);
        }
    }

    /// The next deadline: then [`Order::write`] has something for somebody.
    pub fn poll_timeout(&self) -> Option<Wakeup> {
        match &self.rule {
            Rule::Fifo(_) | Rule::Causal(_) => None,
            Rule::Total(total) => total.poll_timeout(),
        }
    }

    /// Freezes, and tells what this member knows about the order of messages not stable yet, for its `Promise`.
    pub fn report(&mut self) -> OrderReport {
        match &mut self.rule {
            Rule::Fifo(_) | Rule::Causal(_) => OrderReport::None,
            Rule::Total(total) => OrderReport::Total(total.report()),
        }
    }

    /// Takes the decisions of a cut for its own. All messages of the cut have been accepted.
    pub fn adopt(&mut self, table: &OrderTable) {
        if let (Rule::Total(total), OrderTable::Total(table)) = (&mut self.rule, table) {
            total.adopt(table);
        }
    }

    /// The view ends with what was adopted last: all that is decided so can be delivered.
    pub fn finish(&mut self) {
        if let Rule::Total(total) = &mut self.rule {
            total.finish();
        }
    }
}

/// What a coordinator decides from the reports of those who go together, each with its rank in their prior view.
pub fn decide(kind: OrderKind, reports: &[(Rank, &OrderReport)]) -> OrderTable {
    if matches!(kind, OrderKind::Fifo | OrderKind::Causal) {
        return OrderTable::None;
    }
    let total = reports.iter().filter_map(|&(rank, report)| match report {
        OrderReport::Total(report) => Some((rank, report)),
        OrderReport::None => None,
    });
    OrderTable::Total(total::decide(kind == OrderKind::Safe, &total.collect::<Vec<_>>()))
}
