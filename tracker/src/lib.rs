//! The meeting point: who is there, at which address, and which groups they are in.
//!
//! [`directory`] is what the tracker knows, as a deterministic state machine. [`server`] speaks with its clients,
//! sans-IO. [`enquiry`] is what a passer-by asks it. `host` (feature `edge`) runs a server over real sockets, on a thread
//! of any program; `reports` asks one; `cli` is the command line of the program `tracker`.

#[cfg(feature = "edge")]
pub mod cli;
pub mod directory;
pub mod enquiry;
#[cfg(feature = "edge")]
pub mod host;
#[cfg(feature = "edge")]
pub mod reports;
pub mod server;
