//! The only I/O of the library (feature `edge`): sockets, the loop around them, the real clock, real randomness.
//!
//! [`Driver`] is what a program needs. It owns a [`Udp`] socket for a
//! [`Machine`](crate::machine::Machine), the TCP connections ([`Streams`]) for a
//! [`StreamMachine`](crate::machine::StreamMachine), the [`Clock`], and gives out the [`Waker`]. [`token`] says which
//! poll tokens are taken; [`limits`] has every bound. [`random_u64`] draws incarnations and seeds,
//! [`reachable_at`] names this machine's addresses.
//!
//! Nothing here knows the protocol. Nothing a peer does is an error to the program: garbage, floods, resets and slow
//! readers are bounded, counted and logged.
//!
//! A program's main loop is short:
//!
//! ```no_run
//! # use decury_common::edge::{token, Driver};
//! # use decury_common::machine::{Machine, StreamMachine, Wakeup};
//! # fn run(mut session: impl Machine + StreamMachine) -> std::io::Result<()> {
//! let mut driver = Driver::new()?;
//! driver.bind_udp("0.0.0.0:0".parse().unwrap())?; // datagrams, for a Machine
//! driver.listen("127.0.0.1:7400".parse().unwrap())?; // a listener, for a StreamMachine that wants one
//! let waker = driver.waker(); // for the threads that feed the program
//! loop {
//!     let wakeup = Wakeup::earliest(session.poll_timeout(), session.poll_stream_timeout());
//!     driver.wait(wakeup)?; // sleeps until there is something to do
//!     if driver.has_event(token::SIGNALS) {
//!         break;
//!     }
//!     driver.receive(&mut session); // arrived datagrams, then the timeout if it is due
//!     driver.receive_streams(&mut session);
//!     let now = driver.now();
//!     // ... the program's own commands, at `now` ...
//!     driver.transmit(&mut session); // what must be durable, then datagrams
//!     driver.transmit_streams(&mut session);
//!     // ... the program's own events ...
//! }
//! # Ok(()) }
//! ```
//!
//! A machine that speaks one protocol only leaves out the other's calls. Datagrams come with the time at which they were
//! read; all later calls of a turn see one time. Every call is bounded; what they leave is remembered, and the next
//! `wait` then doesn't sleep.

mod clock;
mod driver;
mod entropy;
mod interfaces;
pub mod limits;
mod local_network;
mod overdue;
mod streams;
mod timer;
pub mod token;
mod udp;
mod waker;

pub use clock::Clock;
pub use driver::Driver;
pub use entropy::{NoEntropy, random_u64};
pub use interfaces::reachable_at;
pub use local_network::LocalNetwork;
pub use streams::Streams;
pub use udp::{Udp, UdpStats};
pub use waker::Waker;
