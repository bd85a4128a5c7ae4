//! One person's program: the engine behind every front end, and the front ends.
//!
//! [`session`] is the engine, sans-IO; [`store`] keeps what it wants kept; [`ui`] turns lines into its commands and its
//! events into lines. Behind feature `edge` are the program's own parts: arguments (`cli`), what is on the disk (`data`),
//! where others can reach it (`addresses`), which front end runs on what (`front`), and the loop around all (`runtime`).

#[cfg(feature = "edge")]
mod addresses;
#[cfg(feature = "edge")]
mod bell;
#[cfg(feature = "edge")]
pub mod cli;
#[cfg(feature = "edge")]
pub mod data;
#[cfg(feature = "edge")]
mod front;
#[cfg(feature = "edge")]
mod local_time;
#[cfg(feature = "edge")]
pub mod runtime;
pub mod session;
pub mod store;
pub mod ui;
