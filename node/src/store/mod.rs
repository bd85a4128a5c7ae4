//! What survives the program: identity, groups not left, what was said, private messages on their way.
//!
//! A session gives out tasks and takes answers. A [`Store`] does the tasks: on a thread of its own in a file of the data
//! directory, or at once in [`memory`], where nothing survives. The thread gathers what has come into one transaction, so
//! that a busy node pays for one disk write per batch; the loop never waits for the disk, and when too much waits it
//! takes nothing more from the session.
//!
//! When the file cannot be written, the session is told once and goes on; what could not be kept waits here, within
//! bounds, and is tried again.

#[cfg(feature = "edge")]
mod file;
pub mod memory;

#[cfg(feature = "edge")]
pub use file::{Store, StoreError};
