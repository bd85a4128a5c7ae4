//! Frames by which the members of a view agree on one order, in ranges of consecutive messages of one sender.

use serde::{Deserialize, Serialize};

use crate::base::limits::{AGREED_MAX, MEMBERS_MAX};
use crate::base::list::List;

/// Messages `first` to `first + len - 1` of one sender, by their numbers in this view, share a counter. (A message's
/// priority is the counter, the proposer's rank, the sender's rank, its number: never equal for two.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    /// The first message.
    pub first: u64,
    /// How many; at least 1.
    pub len: u32,
    /// The counter.
    pub counter: u64,
    /// The rank of the member that proposed it.
    pub rank: u8,
}

impl Agreed {
    /// The last message.
    pub fn last(&self) -> u64 {
        self.first.saturating_add(u64::from(self.len)).saturating_sub(1)
    }
}

/// What a receiver proposes for the messages of the one it is sent to; repeated until their decision is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposals {
    /// Rising, without overlap.
    pub ranges: List<Agreed, AGREED_MAX>,
}

/// What the sender of this frame has decided for its own messages; repeated until the receiver says it has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decisions {
    /// Rising, without overlap.
    pub ranges: List<Agreed, AGREED_MAX>,
}

/// Up to which message of each member, by rank, the sender of this frame holds all decisions, and so all messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// One entry per member of the view.
    pub upto: List<u64, MEMBERS_MAX>,
    /// `safe`: the same is to be told in return, deliveries wait for it.
    pub ask: bool,
}
