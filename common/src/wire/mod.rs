//! Frames to bytes and back: versioned, bounded, nothing trusted.
//!
//! A datagram is a [`Header`] and then frames, one after the other, each in postcard's encoding. A
//! [`Frame::Section`] names the group and the view that the frames after it belong to. One file per family of
//! frames: `mesh`, `gossip`, `multicast`, `order`, `membership`; `tracker` is the other protocol, over TCP, whose framing is in
//! `stream`.
//!
//! Every list that a frame can carry has its limit in its type, so that nothing is allocated on the word of a
//! stranger; what does not decode, or leaves bytes over, is refused whole.

pub mod figures;
pub mod gossip;
pub mod membership;
pub mod mesh;
pub mod multicast;
pub mod order;
mod packet;
mod section;
pub mod stream;
pub mod tracker;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use packet::{Header, Packer, Unpacker};
pub use section::{Beacon, Section};

/// The version of this wire format; a datagram of another version is refused.
pub const VERSION: u8 = 1;

/// Why bytes were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The first byte is not [`VERSION`].
    #[error("another version of the protocol")]
    Version,
    /// Shorter than a header.
    #[error("too short to be a datagram")]
    Short,
    /// A frame that does not decode, or exceeds a limit.
    #[error("a frame that does not decode")]
    Frame,
}

/// One thing said by one node to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame<'a> {
    /// Mesh: I am here.
    Hello(mesh::Hello),
    /// Mesh: straight to one of your addresses.
    Ping(mesh::Ping),
    /// Mesh: whom somebody hears.
    Links(mesh::Links),
    /// What follows is about this group and view.
    Section(Section),
    /// Membership: where I stand in this section's group.
    Beacon(Beacon),
    /// Multicast: a message, or a fragment of one.
    #[serde(borrow)]
    Data(multicast::Data<'a>),
    /// Multicast: the number of this datagram.
    PacketNumber(multicast::PacketNumber),
    /// Multicast: what I hold of everyone.
    Acks(multicast::Acks),
    /// Multicast: send me what I lack.
    Request(multicast::Request),
    /// Order: what I propose for your messages.
    Proposals(order::Proposals),
    /// Order: what I have decided for mine.
    Decisions(order::Decisions),
    /// Order: whose decisions I hold, up to where.
    Decided(order::Decided),
    /// Membership: take me in. (Boxed: it is rare, and large beside the others.)
    Join(Box<membership::Join>),
    /// Membership: you can't come in.
    Refuse(membership::Refuse),
    /// Membership: I have promised a higher attempt.
    Nack(membership::Nack),
    /// Membership: I hold all that the cut of this attempt asks for.
    Ready(membership::Ready),
    /// Membership: all were ready; this attempt is a view.
    Install(membership::Install),
    /// Membership: a fragment of a `Prepare`, `Promise`, `Cut`, `Recall` or `Past`.
    #[serde(borrow)]
    Parcel(membership::Parcel<'a>),
    /// Membership: which fragments of a parcel have come.
    ParcelAck(membership::ParcelAck),
    /// Gossip: who I am.
    Card(Box<gossip::Card>),
    /// Gossip: a group that I am in.
    Listing(Box<gossip::Listing>),
    /// Gossip: somebody whom I hear.
    Acquaintance(Box<gossip::Acquaintance>),
}
