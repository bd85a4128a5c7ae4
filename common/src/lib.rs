//! Decury's protocol: reliable, ordered multicast among at most ten members, as a state machine.
//!
//! Nothing in this crate opens a socket, starts a thread, reads a clock or draws real randomness (except
//! [`edge`], behind the feature of that name). Time, bytes and a seed go in; bytes, deadlines and events come out.
//! The programs drive it over real sockets, the simulator in virtual time: the same code.

pub mod base;
pub mod channel;
#[cfg(feature = "edge")]
pub mod edge;
pub mod endpoint;
pub mod group;
pub mod machine;
pub mod membership;
pub mod mesh;
pub mod multicast;
pub mod order;
pub mod wire;
