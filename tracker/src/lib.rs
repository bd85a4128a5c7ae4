//! The meeting point: who is there, at which address, and which groups they are in.
//!
//! [`directory`] is what the tracker knows, as a deterministic state machine. [`server`] speaks with its clients,
//! sans-IO. `host` (feature `edge`) runs it over real sockets, on a thread of any program; `cli` is the command line
//! of the program `tracker`.

#[cfg(feature = "edge")]
pub mod cli;
pub mod directory;
#[cfg(feature = "edge")]
pub mod host;
pub mod server;
