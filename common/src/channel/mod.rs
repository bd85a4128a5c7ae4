//! Between two nodes: whose datagram this is, and whether it is meant for this node.
//!
//! The layer where datagrams will be sealed and replays refused. Until then it passes bytes through and looks at the
//! header only. What is sealed will be all behind the header, from end to end: a relay can read and change nothing else.

use thiserror::Error;

use crate::base::id::Incarnation;
use crate::wire::{DecodeError, Header, Packer, Unpacker};

/// Why a datagram was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Its header does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It says that it comes from this very node.
    #[error("comes from this node itself")]
    FromMe,
}

/// What a datagram that has arrived is.
#[derive(Clone, Debug)]
pub enum Opened<'a> {
    /// It is for this node.
    Mine(Header, Unpacker<'a>),
    /// It is for another one: this node is a relay, or an earlier incarnation was at this address.
    ForOther {
        /// Its sender.
        from: Incarnation,
        /// Its receiver.
        to: Incarnation,
        /// How many nodes have passed it on.
        hops: u8,
    },
}

/// Opens and closes one node's datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    me: Incarnation,
}

impl Channel {
    /// The channel of the node `me`.
    pub fn new(me: Incarnation) -> Channel {
        Channel { me }
    }

    /// Checks a datagram that has arrived.
    pub fn open<'a>(&self, bytes: &'a [u8]) -> Result<Opened<'a>, OpenError> {
        let (header, frames) = Unpacker::new(bytes)?;
        if header.from == self.me {
            return Err(OpenError::FromMe);
        }
        Ok(match header.to {
            Some(to) if to != self.me => Opened::ForOther { from: header.from, to, hops: header.hops },
            _ => Opened::Mine(header, frames),
        })
    }

    /// An empty datagram for `to`.
    pub fn packer(&self, to: Incarnation) -> Packer {
        Packer::new(Header { from: self.me, to: Some(to), hops: 0 })
    }

    /// An empty datagram for whoever is at an address.
    pub fn packer_for_anybody(&self) -> Packer {
        Packer::new(Header { from: self.me, to: None, hops: 0 })
    }
}
