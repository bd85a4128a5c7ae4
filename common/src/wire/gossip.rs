//! Frames by which nodes that know each other tell who they are, whom they hear, and which groups they are in.

use serde::{Deserialize, Serialize};

use super::membership::Addresses;
use super::tracker::Peer;
use crate::base::id::{GroupName, Incarnation, UserName};
use crate::base::limits::MEMBERS_MAX;
use crate::base::list::List;
use crate::order::OrderKind;

/// Who I am: the first word to a stranger, and from time to time that I am still here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The person's name.
    pub name: UserName,
    /// Where I can be reached.
    pub addresses: Addresses,
    /// The number of my list of groups; it rises whenever that changes.
    pub version: u32,
    /// How many [`Listing`]s that list has.
    pub groups: u8,
    /// The version of your list that I have all of; 0: none.
    pub has: u32,
    /// Answer at once.
    pub probe: bool,
    /// I end.
    pub going: bool,
}

/// One of the groups that I am in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The version of the list that it belongs to.
    pub version: u32,
    /// The group.
    pub group: GroupName,
    /// Its order.
    pub order: OrderKind,
    /// Those in my view of it.
    pub members: List<Peer, MEMBERS_MAX>,
}

/// Somebody whom I hear myself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acquaintance {
    /// The running node.
    pub incarnation: Incarnation,
    /// Where it says, or seems, to be.
    pub addresses: Addresses,
}

/// What a node that knows nobody yet calls into its local network, as bytes of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The running node.
    pub incarnation: Incarnation,
    /// The person's name.
    pub name: UserName,
    /// The port of its UDP socket; its address is the one that the call comes from.
    pub port: u16,
}

impl Call {
    /// What all calls begin with, and nothing else that may come to the same port.
    const MAGIC: [u8; 4] = *b"dcry";

    /// To bytes. (Encoding into memory cannot fail.)
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Call::MAGIC.to_vec();
        bytes.push(super::VERSION);
        bytes.extend(postcard::to_stdvec(self).unwrap_or_default());
        bytes
    }

    /// From bytes; `None` for anything that is no call of this version.
    pub fn decode(bytes: &[u8]) -> Option<Call> {
        let rest = bytes.strip_prefix(&Call::MAGIC)?.strip_prefix(&[super::VERSION])?;
        match postcard::take_from_bytes(rest) {
            Ok((call, [])) => Some(call),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::{ADDRESSES_MAX, NAME_MAX};
    use crate::wire::{Frame, Header, Packer, Unpacker};

    fn longest<T: std::str::FromStr<Err = crate::base::id::BadName>>() -> T {
        "x".repeat(NAME_MAX).parse().unwrap()
    }

    #[test]
    fn the_largest_frames_fit_into_a_datagram_each_and_survive() {
        let address = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap();
        let addresses: Addresses = [address; ADDRESSES_MAX].into();
        let incarnation = Incarnation(u64::MAX);
        let card = Card {
            name: longest(),
            addresses: addresses.clone(),
            version: u32::MAX,
            groups: u8::MAX,
            has: u32::MAX,
            probe: true,
            going: true,
        };
        let peer = Peer { incarnation, name: longest() };
        let members = (0..MEMBERS_MAX).map(|_| peer).collect();
        let listing = Listing { version: u32::MAX, group: longest(), order: OrderKind::Safe, members };
        let frames = [
            Frame::Card(Box::new(card)),
            Frame::Listing(Box::new(listing)),
            Frame::Acquaintance(Box::new(Acquaintance { incarnation, addresses })),
        ];
        for frame in frames {
            let mut packer = Packer::new(Header { from: incarnation, to: None, hops: 0 });
            assert!(packer.push(&frame), "{frame:?}");
            let bytes = packer.finish();
            let (header, mut frames) = Unpacker::new(&bytes).unwrap();
            assert_eq!(header.to, None);
            assert_eq!(frames.next_frame(), Ok(Some((None, frame))));
        }
    }

    #[test]
    fn a_call_survives_and_anything_else_is_none() {
        let call = Call { incarnation: Incarnation(7), name: longest(), port: 4_000 };
        let bytes = call.encode();
        assert_eq!(Call::decode(&bytes), Some(call));
        assert_eq!(Call::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Call::decode(&[&bytes[..], b"x"].concat()), None);
        assert_eq!(Call::decode(b"M-SEARCH * HTTP/1.1"), None);
        assert_eq!(Call::decode(b""), None);
    }
}
