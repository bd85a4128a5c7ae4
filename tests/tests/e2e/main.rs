//! The programs as people run them: real processes, real sockets on loopback, signals, crashes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of this is tests, the helpers too")]

mod harness;
mod process;
mod pseudo;

mod crash;
mod demo;
mod ends;
mod figures;
mod groups;
mod hostile;
mod idle;
mod lab;
mod peers;
mod private;
mod relays;
mod store;
mod talk;
mod terminal;
mod text;
mod tracker;
