//! How another thread gets the loop's attention.

use std::sync::Arc;

/// Ends a [`Driver::wait`](super::Driver::wait), from any thread. Clones wake the same loop.
#[derive(Clone, Debug)]
pub struct Waker(Arc<mio::Waker>);

impl Waker {
    pub(super) fn new(registry: &mio::Registry) -> std::io::Result<Waker> {
        Ok(Waker(Arc::new(mio::Waker::new(registry, super::token::WAKER)?)))
    }

    /// The wait under way ends at once, or the next one does. Several calls may count as one.
    pub fn wake(&self) {
        if let Err(error) = self.0.wake() {
            log::error!("cannot wake the loop: {error}");
        }
    }
}
