//! One person's program: the engine behind every front end.

pub mod session;
