//! Front ends: text in, commands out; events in, text out. None of them holds protocol state.
//!
//! [`input`] turns lines into commands for all of them, [`model`] keeps what all of them show. [`line`](mod@line) is
//! for people and pipes, [`json`] for programs. Behind the feature `edge` are the threads that a front end runs on
//! (`threads`), and what edits lines at a terminal (`editor`, on a `screen`).

mod colour;
mod commands;
pub mod complete;
#[cfg(feature = "edge")]
pub mod editor;
mod figures;
pub mod input;
pub mod json;
pub mod line;
pub mod lines;
pub mod model;
#[cfg(feature = "edge")]
pub mod recall;
#[cfg(feature = "edge")]
pub mod screen;
#[cfg(feature = "edge")]
pub mod terminal;
#[cfg(feature = "edge")]
pub mod threads;

use std::io;

use crate::session::Event;

/// Something that shows events.
pub trait FrontEnd {
    /// Shows what happened at `at` (microseconds since 1970). An error means that nobody can see it any more.
    fn show(&mut self, at: u64, event: &Event) -> io::Result<()>;

    /// Nothing more is to be shown at the moment: lets everything be seen.
    fn flush(&mut self) -> io::Result<()>;
}
