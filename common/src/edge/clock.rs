//! The one real clock: the only place where the library asks what time it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::base::time::Instant;

/// How far the system's time of day may stray from this clock before it is believed again: it was set, or the machine
/// slept. Below that, [`Clock::unix_micros`] never runs backwards.
const STEP: Duration = Duration::from_millis(100);

/// A monotonic clock; [`Instant::ZERO`] is when it was started.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: std::time::Instant,
    origin_unix: Duration,
}

impl Clock {
    /// A clock that stands at [`Instant::ZERO`].
    pub fn start() -> Clock {
        Clock { origin: std::time::Instant::now(), origin_unix: unix_now() }
    }

    /// The time since the start.
    pub fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }

    /// When that was, or will be, in microseconds since 1970: by the time of day at the start, unless that has been
    /// set since.
    pub fn unix_micros(&self, instant: Instant) -> u64 {
        let since_origin = Duration::from_micros(instant.as_micros());
        let (elapsed, unix) = (self.origin.elapsed(), unix_now());
        let expected = self.origin_unix + elapsed;
        let at = if expected.abs_diff(unix) < STEP {
            self.origin_unix + since_origin
        } else {
            (unix + since_origin).saturating_sub(elapsed)
        };
        u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
    }
}

/// Zero if the system's date is before 1970.
fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_starts_at_zero_and_knows_the_time_of_day() {
        let clock = Clock::start();
        let first = clock.now();
        assert!(first < Instant::from_micros(1_000_000));
        assert!(clock.now() >= first);
        let unix = clock.unix_micros(first);
        assert!(unix.abs_diff(unix_now().as_micros() as u64) < 5_000_000);
        assert_eq!(clock.unix_micros(first + Duration::from_secs(1)), unix + 1_000_000);
    }

    #[test]
    fn a_time_of_day_that_was_set_is_believed() {
        let mut clock = Clock::start();
        clock.origin_unix += Duration::from_secs(3600);
        let unix = clock.unix_micros(clock.now());
        assert!(unix.abs_diff(unix_now().as_micros() as u64) < 5_000_000);
    }
}
