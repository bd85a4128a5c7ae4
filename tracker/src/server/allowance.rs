//! How many requests a client may make: a bucket of tokens.

use std::time::Duration;

use decury_common::base::time::Instant;

/// Requests that may come at once: a sign-in with a report of every group and a script's questions.
pub(super) const BURST: u32 = 512;
/// Requests per second in the long run.
pub(super) const PER_SECOND: u32 = 128;

/// What one client has left.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    left: u32,
    /// Up to when tokens have been added.
    filled: Instant,
}

impl Allowance {
    /// A full one.
    pub(super) fn new(now: Instant) -> Allowance {
        Allowance { left: BURST, filled: now }
    }

    /// Takes one token; false if none is left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let step = Duration::from_secs(1) / PER_SECOND;
        let earned = now.since(self.filled).as_micros() / step.as_micros();
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        if earned >= BURST - self.left {
            (self.left, self.filled) = (BURST, now);
        } else {
            self.left += earned;
            self.filled += step * earned;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_a_rate() {
        let mut now = Instant::ZERO;
        let mut allowance = Allowance::new(now);
        let allowed = (0..2 * BURST).filter(|_| allowance.take(now)).count();
        assert_eq!(allowed, BURST as usize);
        let allowed = (0..10_000).filter(|_| {
            now += Duration::from_millis(1);
            allowance.take(now)
        });
        assert!((1_270..=1_290).contains(&allowed.count()), "128 a second for ten seconds");
    }
}
