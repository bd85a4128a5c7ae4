//! The sockets' side over real sockets on the loopback interface.

#![allow(clippy::unwrap_used, reason = "a setup that fails is a test that fails")]

mod connections;
mod datagrams;
mod descriptors;
mod local_network;
mod support;
mod turns;
