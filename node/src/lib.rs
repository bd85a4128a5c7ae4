//! One person's program: the engine behind every front end, and the front ends.

pub mod session;
pub mod ui;
