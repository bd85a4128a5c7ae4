//! The program `tracker` over real sockets, and a tracker on a thread of this process.
#![allow(clippy::unwrap_used, reason = "all of this is tests, the helpers too")]

mod clients;
mod hosted;
mod reports;
mod starting;
mod support;
