//! How far a peer's clock is from this node's, as NTP estimates it (RFC 5905, sections 8 and 10).
//!
//! A heartbeat of mine, sent at t1, arrives there at t2; one of the peer's, sent at t3, brings the news at t4. Whatever
//! the two ways took, the peer's clock is ahead by at most t2 - t1 and at least t3 - t4. The middle is the estimate, half
//! of the round trip its error. Queues make round trips longer and estimates worse, so the best of the last few counts.

use std::time::Duration;

use arrayvec::ArrayVec;

use crate::base::time::Instant;

/// How many measurements are kept: the stages of NTP's clock filter.
const STAGES: usize = 8;
/// Older ones are of no use: clocks drift apart.
const AGE_MAX: Duration = Duration::from_secs(10);
/// How fast two clocks that nobody disciplines may drift apart, in parts per million.
const DRIFT_PPM: u64 = 100;
/// The three readings of whole microseconds that a round trip's half depends on.
const PRECISION: Duration = Duration::from_micros(2);
/// Nothing takes so long: the stamp is wrong.
const LATENCY_MAX: Duration = Duration::from_secs(3_600);

/// How far another clock is ahead of this node's own, and the error of that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockOffset {
    /// Microseconds that it is ahead; negative if it is behind.
    pub ahead_us: i64,
    /// The true offset differs by no more than this.
    pub error: Duration,
}

/// How long something took that began by one clock and ended by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// How long.
    pub time: Duration,
    /// The error of it: that of the offset between the two clocks.
    pub clock_error: Duration,
}

impl ClockOffset {
    /// How long before `now`, by this node's own clock, it was `then` by the other one. `None` if that is no time that
    /// anything can have taken: the stamp is made up, or a clock was set.
    pub fn latency(&self, now: Instant, then: Instant) -> Option<Latency> {
        let elapsed = i128::from(now.as_micros()) + i128::from(self.ahead_us) - i128::from(then.as_micros());
        let error = i128::try_from(self.error.as_micros()).ok()?;
        let time = Duration::from_micros(u64::try_from(elapsed.max(0)).ok()?);
        (elapsed >= -error && time <= LATENCY_MAX).then_some(Latency { time, clock_error: self.error })
    }
}

/// A measurement.
#[derive(Clone, Copy, Debug)]
struct Sample {
    since: Instant,
    ahead_us: i64,
    round_trip: Duration,
}

impl Sample {
    fn offset(&self, now: Instant) -> ClockOffset {
        let age = u64::try_from(now.since(self.since).as_micros()).unwrap_or(u64::MAX);
        let drift = Duration::from_micros(age.saturating_mul(DRIFT_PPM) / 1_000_000);
        ClockOffset { ahead_us: self.ahead_us, error: self.round_trip / 2 + PRECISION + drift }
    }
}

/// The last measurements of one peer's clock.
#[derive(Clone, Debug, Default)]
pub(super) struct ClockFilter {
    samples: ArrayVec<Sample, STAGES>,
}

impl ClockFilter {
    /// A round trip is over: it left here and came back at these times, and the peer, which had held it for so long,
    /// sent it back at that time by its own clock.
    pub(super) fn update(&mut self, (left, back): (Instant, Instant), (returned, held): (Instant, Duration)) {
        let Some(round_trip) = back.since(left).checked_sub(held) else { return };
        let micros = |at: Instant| i128::from(at.as_micros());
        let held = i128::try_from(held.as_micros()).unwrap_or(i128::MAX);
        let arrived = micros(returned) - held;
        let twice = (arrived - micros(left)) + (micros(returned) - micros(back));
        let Ok(ahead_us) = i64::try_from(twice / 2) else { return };
        if self.samples.is_full() {
            self.samples.remove(0);
        }
        self.samples.push(Sample { since: left, ahead_us, round_trip });
    }

    /// The best estimate.
    pub(super) fn best(&self, now: Instant) -> Option<ClockOffset> {
        let recent = self.samples.iter().filter(|sample| now.since(sample.since) <= AGE_MAX);
        recent.map(|sample| sample.offset(now)).min_by_key(|offset| offset.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AHEAD: i64 = -5_000_000;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    /// A round trip that begins at `left`, with a peer whose clock is `AHEAD` and holds it for a second.
    fn round_trip(filter: &mut ClockFilter, left: u64, there: u64, back: u64) {
        let returned = (left + there + 1_000_000).strict_add_signed(AHEAD);
        let home = left + there + 1_000_000 + back;
        filter.update((at(left), at(home)), (at(returned), Duration::from_secs(1)));
    }

    #[test]
    fn whatever_the_two_ways_take_the_true_offset_lies_within_the_error() {
        for (there, back) in [(100, 100), (50, 5_000), (90_000, 0), (0, 0), (7, 12)] {
            let mut filter = ClockFilter::default();
            round_trip(&mut filter, 10_000_000, there, back);
            let offset = filter.best(at(11_100_000)).unwrap();
            let wrong = Duration::from_micros(offset.ahead_us.abs_diff(AHEAD));
            assert!(wrong <= offset.error, "{there}, {back}: {offset:?}");
            let half = Duration::from_micros((there + back) / 2);
            assert!(offset.error <= half + Duration::from_micros(150), "{there}, {back}: {offset:?}");
        }
    }

    #[test]
    fn the_shortest_round_trip_of_the_last_few_counts_until_it_is_too_old() {
        let mut filter = ClockFilter::default();
        assert_eq!(filter.best(at(0)), None);
        round_trip(&mut filter, 10_000_000, 80, 60);
        for late in 1..STAGES as u64 {
            round_trip(&mut filter, 10_000_000 + late * 100_000, 80, 4_000);
        }
        assert_eq!(filter.best(at(12_000_000)).unwrap().ahead_us, AHEAD + 10);
        round_trip(&mut filter, 11_000_000, 80, 6_000);
        assert_eq!(filter.best(at(12_000_000)).unwrap().ahead_us, AHEAD - 1_960);
        assert_eq!(filter.best(at(22_000_000)), None);
    }

    #[test]
    fn the_error_grows_with_age_since_clocks_drift() {
        let mut filter = ClockFilter::default();
        round_trip(&mut filter, 10_000_000, 100, 100);
        let error = |seconds: u64| filter.best(at(10_000_000 + seconds * 1_000_000)).unwrap().error;
        assert_eq!(error(9) - error(2), Duration::from_micros(700));
    }

    #[test]
    fn a_stamp_that_cannot_be_true_gives_no_latency() {
        let clock = ClockOffset { ahead_us: 1_000, error: Duration::from_micros(50) };
        let time = |then| clock.latency(at(10_000), at(then)).map(|latency| latency.time.as_micros());
        assert_eq!(time(9_000), Some(2_000));
        assert_eq!(time(11_050), Some(0), "within the error it has just been sent");
        assert_eq!(time(11_051), None);
        assert_eq!(time(u64::MAX), None);
        let late = |now| clock.latency(at(now), at(0)).is_some();
        assert!(late(3_599_999_000) && !late(3_599_999_001) && !late(u64::MAX));
        let far = ClockOffset { ahead_us: i64::MAX, error: Duration::MAX };
        assert_eq!(far.latency(at(u64::MAX), at(0)), None);
        assert!(ClockOffset { ahead_us: i64::MIN, ..far }.latency(at(0), at(u64::MAX)).is_some());
    }

    #[test]
    fn a_peer_that_tells_nonsense_about_its_clock_is_not_measured() {
        let mut filter = ClockFilter::default();
        let ms = Duration::from_millis;
        filter.update((at(0), at(1_000)), (at(u64::MAX), ms(0)));
        filter.update((at(0), at(1_000)), (at(5), ms(2)));
        filter.update((at(0), at(u64::MAX)), (at(0), Duration::MAX));
        assert_eq!(filter.best(at(1_000)), None);
    }
}
