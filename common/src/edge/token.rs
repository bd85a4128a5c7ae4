//! Who is who in the poll.

use mio::Token;

/// The [`Waker`](super::Waker).
pub const WAKER: Token = Token(0);
/// The UDP socket.
pub const UDP: Token = Token(1);
/// The TCP listener.
pub const LISTENER: Token = Token(2);
/// The timer behind wakeups finer than a millisecond.
pub const TIMER: Token = Token(3);
/// Left to the program, for `signal-hook-mio`. (4 to 15 are the program's.)
pub const SIGNALS: Token = Token(4);
/// The first TCP connection; the others follow.
pub const FIRST_STREAM: Token = Token(16);
