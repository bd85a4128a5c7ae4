//! Frames between any two nodes in touch.

use serde::{Deserialize, Serialize};

use crate::base::id::Incarnation;
use crate::base::limits::{CHANNEL_OVERHEAD, DATAGRAM_MAX, PEERS_MAX};
use crate::base::list::List;
use crate::base::time::Instant;

/// A heartbeat: I am here, and I hear you. (Round-trip times as in RFC 6298, by echo with the holding time given; with
/// the time of sending it is what NTP's clients and servers exchange.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Rises with each that this node sends to this peer.
    pub number: u64,
    /// When I send it, by my clock.
    pub at: Instant,
    /// Your newest that I have; absent until there is one.
    pub echo: Option<Echo>,
    /// Answer at once: I do not know yet whether you are there.
    pub probe: bool,
}

/// The peer's own heartbeat given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// Its number.
    pub number: u64,
    /// How long I kept it before I sent this, in microseconds.
    pub held_us: u32,
}

/// Sent straight to one of the receiver's addresses while the sender does not know whether that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// Rises with each ping and each heartbeat that this node sends to this peer; that of the heartbeat beside it.
    pub number: u64,
    /// Which address this is of those that the sender knows, from 1; 0: where it heard the receiver last.
    pub way: u8,
    /// The sender is in no hurry: the next may take as long as probes back off.
    pub slow: bool,
}

/// Link state: who matters to a node, and whom of them it hears straight, with no relay between. Each passes on what it
/// learns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    /// Whose set this is.
    pub origin: Incarnation,
    /// Rises with each change: only the newest counts.
    pub number: u64,
    /// Those who matter to it.
    pub peers: List<Neighbour, PEERS_MAX>,
}

impl Links {
    /// The most bytes that the frame of a set of so many takes.
    pub const fn frame_max(peers: usize) -> usize {
        24 + 9 * peers
    }
}

// Any set fits a datagram, with a heartbeat.
const _: () = assert!(Links::frame_max(PEERS_MAX) + CHANNEL_OVERHEAD + 80 <= DATAGRAM_MAX);

/// One who matters to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Who.
    #[serde(with = "fixed")]
    pub node: Incarnation,
    /// What its [`Ping`] said of the way, which tells it which of my addresses works, plus [`Neighbour::SLOW`] perhaps;
    /// or [`Neighbour::UNHEARD`].
    pub way: u8,
}

impl Neighbour {
    /// Added to the way: it was heard, but sends so rarely that this may be over.
    pub const SLOW: u8 = 0x40;
    /// In place of the way: it is not heard straight.
    pub const UNHEARD: u8 = u8::MAX;

    /// Whether it is heard straight.
    pub fn is_heard(&self) -> bool {
        self.way != Neighbour::UNHEARD
    }

    /// Whether that is of late.
    pub fn is_heard_steadily(&self) -> bool {
        self.way < Neighbour::SLOW
    }
}

/// An incarnation in eight bytes: random numbers only get longer as varints.
mod fixed {
    use serde::{Deserializer, Serializer};

    use crate::base::id::Incarnation;

    pub(super) fn serialize<S: Serializer>(node: &Incarnation, serializer: S) -> Result<S::Ok, S::Error> {
        postcard::fixint::le::serialize(&node.0, serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Incarnation, D::Error> {
        postcard::fixint::le::deserialize(deserializer).map(Incarnation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Frame, Header, Packer, Unpacker};

    #[test]
    fn the_largest_set_fits_a_datagram_beside_a_heartbeat_and_one_entry_more_is_refused() {
        let origin = Incarnation(u64::MAX);
        let peers = |n: usize| (0..n).map(|_| Neighbour { node: origin, way: 255 });
        let links = Links { origin, number: u64::MAX, peers: peers(PEERS_MAX).collect() };
        let mut packer = Packer::new(Header { from: origin, to: Some(Incarnation(1)), hops: 3 });
        let echo = Some(Echo { number: u64::MAX, held_us: u32::MAX });
        let hello = Hello { number: u64::MAX, at: Instant::from_micros(u64::MAX), echo, probe: true };
        assert!(packer.push(&Frame::Hello(hello)));
        assert!(packer.push(&Frame::Ping(Ping { number: u64::MAX, way: 8, slow: true })));
        let before = packer.room();
        assert!(packer.push(&Frame::Links(links.clone())));
        assert!(before - packer.room() <= Links::frame_max(PEERS_MAX));
        let bytes = packer.finish();
        let (header, mut frames) = Unpacker::new(&bytes).unwrap();
        assert_eq!(header.hops, 3);
        assert_eq!(std::iter::from_fn(|| frames.next_frame().unwrap()).count(), 3);

        let too_many: Vec<Neighbour> = peers(PEERS_MAX + 1).collect();
        let bytes = postcard::to_allocvec(&(origin, 1u64, too_many)).unwrap();
        assert!(postcard::from_bytes::<Links>(&bytes).is_err());
    }

    #[test]
    fn a_datagram_that_is_passed_on_differs_in_its_count_of_hops_alone() {
        let header = Header { from: Incarnation(7), to: Some(Incarnation(9)), hops: 254 };
        let mut packer = Packer::new(header);
        assert!(packer.push(&Frame::Ping(Ping { number: 1, way: 1, slow: false })));
        let mut bytes = packer.finish();
        for hops in [255, 255] {
            let passed = Header::pass_on(&bytes);
            assert_eq!(Unpacker::new(&passed).unwrap().0, Header { hops, ..header });
            assert_eq!((&passed[2..], passed[0]), (&bytes[2..], bytes[0]));
            bytes = passed;
        }
    }
}
