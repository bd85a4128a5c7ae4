//! Groups of endpoints in virtual time.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod faults;
mod flood;
mod held;
mod history;
mod life;
mod net;
mod private;
mod robust;
