//! Frames between any two nodes in touch.

use serde::{Deserialize, Serialize};

use crate::base::time::Instant;

/// A heartbeat: I am here, and I hear you. (Round-trip times as in RFC 6298, by echo with the holding time given; with
/// the time of sending it is what NTP's clients and servers exchange.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Rises with each that this node sends to this peer.
    pub number: u64,
    /// When I send it, by my clock.
    pub at: Instant,
    /// Your newest that I have, if I have heard you lately: absent means that I do not hear you.
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
