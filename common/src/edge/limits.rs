//! The bounds of the sockets' side. Those of the protocol are in [`base::limits`](crate::base::limits).

use std::time::Duration;

/// Buffers read with one system call.
pub const UDP_BUFFERS: usize = 8;
/// Bytes of one such buffer: the kernel may hand over up to 64 datagrams of one sender as one (GRO). More or larger
/// buffers than these fall out of the processor's cache and are slower.
pub const UDP_BUFFER_BYTES: usize = 64 * 1024;
/// Buffers read in one turn of the loop, so that a flood cannot keep a machine from sending.
pub const UDP_BUFFERS_PER_TURN: usize = 4 * UDP_BUFFERS;
/// What [`Machine::poll_transmit`](crate::machine::Machine::poll_transmit) is asked for in one turn at most, so that
/// a machine with much to send still listens.
pub const UDP_TRANSMITS_PER_TURN: usize = 256;
/// The largest payload of a UDP datagram over IPv4, and so of one offloaded send.
pub const UDP_PAYLOAD_MAX: usize = 65_507;
/// Bytes of kernel buffer asked for in each direction. Loss begins when a burst of all peers exceeds what is granted.
pub const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Accepted connections at one time; further ones are closed at once.
pub const ACCEPTED_MAX: usize = 1_024;
/// Connections opened by the machine itself at one time; a flood of clients does not use these up.
pub const OPENED_MAX: usize = 64;
/// Connections accepted in one turn of the loop.
pub const ACCEPTS_PER_TURN: usize = 64;
/// Connections that the kernel keeps before they are accepted: after a restart all clients come back at once.
pub const LISTEN_BACKLOG: i32 = 1_024;
/// How long accepting pauses when the system has no descriptor or memory for another connection.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes that wait to be written on one connection; a peer that reads too slowly is closed at this bound.
pub const UNWRITTEN_MAX: usize = 256 * 1024;
/// Bytes read with one system call from one connection.
pub const STREAM_READ_BYTES: usize = 16 * 1024;
/// Reads from one connection in one turn of the loop; the rest waits until the others had theirs.
pub const STREAM_READS_PER_TURN: usize = 4;
/// Connections served in one turn of the loop; the rest follows in the next.
pub const STREAMS_PER_TURN: usize = 128;
/// What [`StreamMachine::poll_stream`](crate::machine::StreamMachine::poll_stream) is asked for in one turn at most.
pub const STREAM_ACTIONS_PER_TURN: usize = 4_096;
/// A connection that is not open by then is given up (the kernel would try for two minutes).
pub const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// A closing connection whose peer has not taken the rest by then is dropped.
pub const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// The shortest sleep before a deadline that was already due in the turn before.
pub const OVERDUE_SLEEP: Duration = Duration::from_micros(200);

const _: () = {
    assert!(UDP_BUFFERS_PER_TURN.is_multiple_of(UDP_BUFFERS));
    assert!(UDP_PAYLOAD_MAX <= UDP_BUFFER_BYTES);
    assert!(crate::base::limits::DATAGRAM_MAX <= UDP_PAYLOAD_MAX);
    assert!(UNWRITTEN_MAX >= 2 * crate::base::limits::MESSAGE_MAX);
};
