//! How another thread wakes the loop: only when that is about to sleep, since a busy loop looks by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use decury_common::edge::Waker;

/// Wakes the loop, but only one that is about to sleep.
#[derive(Debug)]
pub(crate) struct Bell {
    waker: Waker,
    armed: AtomicBool,
}

impl Bell {
    pub(crate) fn new(waker: Waker) -> Arc<Bell> {
        Arc::new(Bell { waker, armed: AtomicBool::new(false) })
    }

    /// The loop is going to sleep. It must look once more after this call.
    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// There is news.
    pub(crate) fn ring(&self) {
        if self.armed.swap(false, Ordering::SeqCst) {
            self.waker.wake();
        }
    }

    /// There is news that even a busy loop must not miss.
    pub(crate) fn ring_anyway(&self) {
        self.waker.wake();
    }
}
