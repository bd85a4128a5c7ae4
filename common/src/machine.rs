//! The one shape of every state machine that speaks UDP: what a driver must know, and all it must know.
//!
//! A driver (the mio loop in `edge`, the simulator) feeds datagrams and the time, then drains, in this order,
//! [`Machine::poll_persist`], [`Machine::poll_transmit`] and its own `poll_event`, and sleeps until
//! [`Machine::poll_timeout`]. Draining late, or calling a handler early or twice, is harmless.
//! (The shape is that of `quinn-proto` and `str0m`.)

use std::net::SocketAddr;

use crate::base::time::Instant;

/// Bytes to put on the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// One datagram, or several of `segment` bytes each (the last may be shorter).
    pub bytes: Vec<u8>,
    /// The length of each datagram in `bytes` when there are several (generic segmentation offload).
    pub segment: Option<usize>,
}

impl Transmit {
    /// The datagrams in `bytes`.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks(self.segment.unwrap_or(self.bytes.len()).max(1))
    }
}

/// When a machine wants [`Machine::handle_timeout`] to be called, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wakeup {
    /// Not before this instant.
    pub at: Instant,
    /// The timer behind it, for traces: a machine that spins is found by its reason.
    pub reason: &'static str,
}

impl Wakeup {
    /// The earlier of two wakeups, either of which may be missing.
    pub fn earliest(a: Option<Wakeup>, b: Option<Wakeup>) -> Option<Wakeup> {
        match (a, b) {
            (Some(a), Some(b)) => Some(if b.at < a.at { b } else { a }),
            (a, b) => a.or(b),
        }
    }
}

/// Something that must be durable before anything that follows it is sent.
///
/// No layer asks for durability yet; the type has no values, so that a driver's handling of it costs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Persist {}

/// A state machine that speaks UDP.
pub trait Machine {
    /// A datagram has arrived. Garbage is counted, never an error. The bytes may be decoded in place.
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &mut [u8]);

    /// Time has passed. Early or late calls are harmless.
    fn handle_timeout(&mut self, now: Instant);

    /// The next thing to make durable; to be drained before [`Machine::poll_transmit`].
    fn poll_persist(&mut self) -> Option<Persist>;

    /// The next bytes to send. Packing happens here, so that all that is due for one peer leaves together.
    fn poll_transmit(&mut self, now: Instant) -> Option<Transmit>;

    /// The next deadline; `None` if only input can change anything.
    fn poll_timeout(&self) -> Option<Wakeup>;
}

/// A connection, as its machine and its driver call it. Numbers are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// What a machine wants done with its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamAction {
    /// Open a connection (even numbers are the machine's to give; accepted ones get odd numbers from the driver).
    /// [`StreamMachine::handle_opened`] or [`StreamMachine::handle_closed`] follows.
    Open {
        /// Its number from now on.
        stream: StreamId,
        /// Whom to connect to.
        to: SocketAddr,
    },
    /// Write these bytes. A driver that holds more than its bound of unwritten bytes for a connection closes it.
    Write {
        /// On which connection.
        stream: StreamId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Write what is left, then close; nothing is reported of it any more.
    Close {
        /// Which.
        stream: StreamId,
    },
}

/// A state machine that speaks over ordered byte streams (TCP): the twin of [`Machine`].
pub trait StreamMachine {
    /// A connection is open, asked for by [`StreamAction::Open`] or accepted.
    fn handle_opened(&mut self, now: Instant, stream: StreamId, peer: SocketAddr);

    /// Bytes have arrived, cut anywhere.
    fn handle_bytes(&mut self, now: Instant, stream: StreamId, bytes: &[u8]);

    /// A connection has ended or could not be opened.
    fn handle_closed(&mut self, now: Instant, stream: StreamId);

    /// Time has passed. Early or late calls are harmless.
    fn handle_stream_timeout(&mut self, now: Instant);

    /// The next thing to do.
    fn poll_stream(&mut self, now: Instant) -> Option<StreamAction>;

    /// The next deadline.
    fn poll_stream_timeout(&self) -> Option<Wakeup>;
}
