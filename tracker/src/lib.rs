//! The meeting point: who is there, at which address, and which groups they are in.
//!
//! [`directory`] is what the tracker knows, as a deterministic state machine. [`server`] speaks with its clients,
//! sans-IO.

pub mod directory;
pub mod server;
