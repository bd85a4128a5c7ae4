//! How much this member may have under way.

use super::fragments;
use crate::base::limits::{RING_SLOTS, WINDOW_BYTES, WINDOW_SLOTS};

/// The own stream's limits: fragments and bytes that not every member holds, fragments that not every member has
/// delivered.
#[derive(Clone, Debug, Default)]
pub(super) struct SendWindow {
    /// The last fragment there is.
    last: u64,
    stable: u64,
    /// Payload bytes above `stable`.
    bytes: usize,
}

impl SendWindow {
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn stable(&self) -> u64 {
        self.stable
    }

    pub(super) fn is_all_stable(&self) -> bool {
        self.stable == self.last
    }

    /// Whether a message of `len` bytes fits, when all members have delivered up to `delivered`.
    pub(super) fn fits(&self, len: usize, delivered: u64) -> bool {
        let last = self.last + fragments::count(len);
        last - self.stable <= WINDOW_SLOTS as u64
            && self.bytes + len <= WINDOW_BYTES
            && last - delivered.min(self.last) <= (RING_SLOTS - WINDOW_SLOTS) as u64
    }

    /// Takes the next number for a fragment of `len` bytes.
    pub(super) fn push(&mut self, len: usize) -> u64 {
        self.last += 1;
        self.bytes += len;
        self.last
    }

    /// Every member holds all up to `stable`; `len` tells a fragment's bytes.
    pub(super) fn advance(&mut self, stable: u64, len: impl Fn(u64) -> usize) {
        for seq in self.stable + 1..=stable {
            self.bytes = self.bytes.saturating_sub(len(seq));
            self.stable = seq;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::PAYLOAD_MAX;

    #[test]
    fn fragments_bytes_and_deliveries_each_close_the_window() {
        let mut window = SendWindow::default();
        assert!(window.fits(PAYLOAD_MAX, 0));
        while window.fits(1, 0) {
            window.push(1);
        }
        assert_eq!(window.last(), WINDOW_SLOTS as u64);
        window.advance(1, |_| 1);
        assert!(window.fits(1, 0));
        window.advance(window.last(), |_| 1);
        assert!(window.is_all_stable());
        while window.fits(1000, 0) {
            window.push(1000);
        }
        assert_eq!(window.bytes, 262_000, "the bytes were the limit");
        window.advance(window.last(), |_| 1000);
        while window.fits(1, 0) {
            let seq = window.push(1);
            window.advance(seq, |_| 1);
        }
        assert_eq!(window.last(), (RING_SLOTS - WINDOW_SLOTS) as u64, "nothing was delivered");
        assert!(window.fits(PAYLOAD_MAX, window.last()));
    }
}
