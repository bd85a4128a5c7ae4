//! The program `node` as a user starts it: what it says, how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of this is tests, the helpers too")]

mod input;
mod run;
mod start;
mod stop;
