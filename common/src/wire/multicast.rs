//! Frames of the reliable multicast, all within the view that their section names.

use serde::{Deserialize, Serialize};

use crate::base::limits::{ACK_RANGES_MAX, MEMBERS_MAX, REQUEST_RANGES_MAX};
use crate::base::list::List;
use crate::base::time::Instant;

/// A message, or one of its fragments. Fragments have consecutive `seq`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data<'a> {
    /// The original sender's rank (a holder may send it on).
    pub sender: u8,
    /// The fragment's number among its sender's in this view, from 1.
    pub seq: u64,
    /// Present in a message's first fragment, absent in the others.
    pub head: Option<Head>,
    /// The message ends with this fragment.
    pub last: bool,
    /// The fragment's bytes.
    #[serde(borrow)]
    pub payload: &'a [u8],
}

/// What a message says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The message's number among all that its sender has sent to the group, from 1.
    pub count: u64,
    /// How many messages of whom the sender had delivered: only the entries that changed since its previous message
    /// in this view. Empty in `fifo`.
    pub deps: Deps,
    /// The counter that the sender proposes for its place in the sequence; 0 in `fifo` and `causal`.
    pub proposal: u64,
    /// When the application handed it over, by the sender's clock. Few of those sent in quick succession say it.
    pub sent_at: Option<Instant>,
}

/// Entries of a vector clock: (rank, how many messages of that member in this view).
pub type Deps = List<(u8, u64), MEMBERS_MAX>;

/// The how-manieth datagram with messages of its own this is, of its sender to its receiver in this view, from 1.
///
/// Fragments are told apart by their own numbers; which *copy* of one has come, and how long it took, only this says
/// (as the packet numbers of QUIC do, RFC 9002).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketNumber(pub u64);

/// A packet's number given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newest {
    /// The highest that has come.
    pub number: u64,
    /// How long ago, in microseconds.
    pub held_us: u32,
}

/// The receive vector: what the sender of this frame holds, of each member by rank.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acks {
    /// All of its own fragments up to this one are held by every member.
    pub stable: u64,
    /// The newest packet of who is told this; absent if none has come.
    pub newest: Option<Newest>,
    /// One entry per member of the view.
    pub of: List<Ack, MEMBERS_MAX>,
}

/// What is held of one member's fragments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// All up to this one.
    pub contiguous: u64,
    /// How many of those belong to messages not yet delivered to the application.
    pub undelivered: u64,
    /// Ranges beyond, rising.
    pub beyond: List<Span, ACK_RANGES_MAX>,
}

/// A range, as the distance from the end of what stands before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// How many are missing before it; at least 1.
    pub gap: u32,
    /// How many it has; at least 1.
    pub len: u32,
}

/// A repair request, to any holder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What is wanted.
    pub ranges: List<Wanted, REQUEST_RANGES_MAX>,
}

/// Fragments `first` to `last` of the member with rank `sender`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Whose.
    pub sender: u8,
    /// From this `seq`.
    pub first: u64,
    /// To this one, inclusive.
    pub last: u64,
}
