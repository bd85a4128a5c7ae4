//! Between two nodes: whose datagram this is, and whether it is meant for this node.
//!
//! The layer where datagrams will be sealed and replays refused. Until then it passes bytes through and checks the
//! header only: what is addressed to an earlier incarnation at the same address, or comes from oneself, is refused.

use thiserror::Error;

use crate::base::id::Incarnation;
use crate::wire::{DecodeError, Header, Packer, Unpacker};

/// Why a datagram was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Its header does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It is meant for another node, or for another incarnation at this address.
    #[error("meant for another node")]
    NotForMe,
    /// It says that it comes from this very node.
    #[error("comes from this node itself")]
    FromMe,
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

    /// Checks a datagram that has arrived; gives its sender and its frames.
    pub fn open<'a>(&self, bytes: &'a [u8]) -> Result<(Incarnation, Unpacker<'a>), OpenError> {
        let (header, frames) = Unpacker::new(bytes)?;
        if header.to.is_some_and(|to| to != self.me) {
            return Err(OpenError::NotForMe);
        }
        if header.from == self.me {
            return Err(OpenError::FromMe);
        }
        Ok((header.from, frames))
    }

    /// An empty datagram for `to`.
    pub fn packer(&self, to: Incarnation) -> Packer {
        Packer::new(Header { from: self.me, to: Some(to) })
    }
}
