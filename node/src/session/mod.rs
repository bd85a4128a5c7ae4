//! Commands in, events out: all a front end ever sees. The engine of the program, without a socket.

mod api;
mod text;
pub mod tracker_client;

pub use api::{Command, ErrorCode, Event, GroupSummary, Notice, Request};
pub use text::{Text, sanitise};
