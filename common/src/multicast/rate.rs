//! How much may be under way to one peer: what its path carries in its least round trip, and a little more.
//!
//! Two things are measured, as BBR does (Cardwell et al., ACM Queue 14(5), 2016; delivery rate as in
//! draft-ietf-ccwg-bbr): the *rate* at which the peer acknowledges bytes, of which the best of the last rounds counts,
//! and the *least round trip* of the last seconds, in which nothing had to queue. What exceeds their product waits in
//! some queue: [`SLACK`] of it is wanted, so that the path never runs dry while acknowledgements dawdle and more rate is
//! found when there is more; beyond, every further byte would only make everybody's messages late.
//!
//! Isolated loss says nothing about the path. Where a good part of a round is lost, a queue is shorter than the slack:
//! then a ceiling comes down, and rises again slowly.

use std::time::Duration;

use crate::base::limits::{DATAGRAM_MAX, RECEIVE_BUFFER, WINDOW_BYTES};
use crate::base::time::Instant;

/// The queueing delay that a saturated path is given.
const SLACK: Duration = Duration::from_millis(20);
/// Bytes that may be under way before anything is measured (RFC 6928).
const FIRST: u64 = 10 * DATAGRAM_MAX as u64;
/// The limit falls no lower, unless the peer's buffer is smaller.
const FLOOR: u64 = 8 * DATAGRAM_MAX as u64;
/// The limit rises no higher: what one member may have under way at all, heads included.
const CEILING: u64 = 2 * WINDOW_BYTES as u64;
/// Rounds of which the best rate counts.
const ROUNDS: usize = 8;
/// A least round trip counts for so long.
const LEAST_FOR: Duration = Duration::from_secs(10);
/// The start is over after this many rounds in which the rate did not rise by a quarter.
const FLAT_ROUNDS: u32 = 3;
/// Loss of less than one byte in this many is no sign of a full queue.
const CONGESTED_ONE_IN: u64 = 16;

/// What was known when something was sent: from it and its acknowledgement follows the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    delivered: u64,
    delivered_at: Instant,
}

/// The path to one peer.
#[derive(Clone, Debug)]
pub(super) struct Rate {
    /// Bytes under way at most, by what is measured.
    limit: u64,
    /// The same by loss.
    ceiling: u64,
    /// The same by the peer's buffer.
    credit: u64,
    /// Bytes acknowledged, and when the last of them were.
    delivered: u64,
    delivered_at: Instant,
    round: Round,
    /// Bytes a second in the last rounds.
    best: [u64; ROUNDS],
    /// The least round trip of this period, and of the one before.
    least: [Option<Duration>; 2],
    period_ends: Instant,
    /// Rounds in a row without more rate.
    flat: u32,
}

/// From a moment until what was sent after it is acknowledged.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    number: usize,
    /// What had been delivered when it began.
    from: u64,
    lost: u64,
    /// The limit kept something back.
    limited: bool,
}

impl Rate {
    pub(super) fn new(now: Instant) -> Rate {
        Rate {
            limit: FIRST,
            ceiling: CEILING,
            credit: RECEIVE_BUFFER as u64,
            delivered: 0,
            delivered_at: now,
            round: Round::default(),
            best: [0; ROUNDS],
            least: [None; 2],
            period_ends: now + LEAST_FOR,
            flat: 0,
        }
    }

    /// How many bytes may be under way.
    pub(super) fn limit(&self) -> u64 {
        self.limit.min(self.ceiling).min(self.credit)
    }

    /// The peer has room for so many bytes of this node's.
    pub(super) fn set_credit(&mut self, bytes: u64) {
        self.credit = bytes.max(2 * DATAGRAM_MAX as u64);
    }

    /// For what is sent now. `before`: bytes under way without it.
    pub(super) fn stamp(&mut self, now: Instant, before: u64) -> Stamp {
        if before == 0 {
            // A pause is no slow path.
            self.delivered_at = now;
        }
        Stamp { delivered: self.delivered, delivered_at: self.delivered_at }
    }

    /// There was more to send than the limit allowed.
    pub(super) fn limited(&mut self) {
        self.round.limited = true;
    }

    /// So many bytes count as lost.
    pub(super) fn lost(&mut self, bytes: u64) {
        self.round.lost += bytes;
    }

    /// Nothing at all comes back, again and again.
    pub(super) fn silence(&mut self) {
        self.ceiling = FLOOR;
    }

    /// A round trip took this long.
    pub(super) fn measure(&mut self, now: Instant, trip: Duration) {
        if now >= self.period_ends {
            self.least = [None, self.least[0]];
            self.period_ends = now + LEAST_FOR;
        }
        self.least[0] = Some(self.least[0].map_or(trip, |least| least.min(trip)));
    }

    /// So many bytes are acknowledged. `newest`: when the last of them that was sent but once left, and with which
    /// stamp.
    pub(super) fn acknowledged(&mut self, now: Instant, bytes: u64, newest: Option<(Instant, Stamp)>) {
        self.delivered += bytes;
        self.delivered_at = now;
        let Some((sent_at, stamp)) = newest else { return };
        let micros = now.since(stamp.delivered_at).max(now.since(sent_at)).as_micros() as u64;
        let rate = (self.delivered - stamp.delivered) * 1_000_000 / micros.max(1);
        let best = &mut self.best[self.round.number % ROUNDS];
        *best = rate.max(*best);
        if stamp.delivered >= self.round.from {
            self.end_round();
        }
    }

    fn end_round(&mut self) {
        let Round { number, from, lost, limited } = self.round;
        let delivered = self.delivered - from;
        self.round = Round { from: self.delivered, lost: 0, limited: false, number };
        if lost * CONGESTED_ONE_IN > delivered + lost {
            self.ceiling = (self.limit() * 3 / 4).max(FLOOR);
            self.flat = FLAT_ROUNDS;
        } else if limited {
            self.ceiling = (self.ceiling + self.ceiling / 8).min(CEILING);
        }
        // A round in which there was not enough to send tells nothing about how much there might have been.
        if limited {
            self.adjust();
            self.round.number += 1;
            self.best[self.round.number % ROUNDS] = 0;
        }
    }

    fn adjust(&mut self) {
        let now = self.best[self.round.number % ROUNDS];
        let others = self.best.iter().enumerate().filter(|&(at, _)| at != self.round.number % ROUNDS);
        let before = others.map(|(_, &rate)| rate).max().unwrap_or(0);
        self.flat = if now > before + before / 4 { 0 } else { self.flat + 1 };
        let trip = self.least.iter().flatten().min().copied().unwrap_or_default() + SLACK;
        let carried = u128::from(now.max(before)) * trip.as_micros() / 1_000_000;
        let carried = u64::try_from(carried).unwrap_or(u64::MAX);
        let wanted = if self.flat < FLAT_ROUNDS { carried.max(self.limit * 2) } else { carried };
        self.limit = wanted.clamp(self.limit / 2, self.limit * 2).clamp(FLOOR, CEILING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path of `bytes_per_ms` with `trip` ms of delay and an endless queue, and a sender that always has more.
    /// Returns the limit and the last round trip, in ms, after `ms` of it.
    fn saturate(rate: &mut Rate, (bytes_per_ms, trip): (u64, u64), lost_one_in: u64, ms: u64) -> (u64, u64) {
        const PACKET: u64 = 1_000;
        let at = |ms: u64| Instant::from_micros(1_000_000 + ms * 1_000);
        let mut under_way = std::collections::VecDeque::new();
        let (mut bytes, mut free_at, mut number, mut last_trip) = (0, 0_u64, 0_u64, 0);
        for now in 0..ms {
            while let Some(&(back, sent, stamp, number)) = under_way.front()
                && back <= now * 1_000
            {
                under_way.pop_front();
                bytes -= PACKET;
                last_trip = now - sent;
                match number % lost_one_in {
                    1 => rate.lost(PACKET),
                    _ => {
                        rate.measure(at(now), Duration::from_millis(now - sent));
                        rate.acknowledged(at(now), PACKET, Some((at(sent), stamp)));
                    }
                }
            }
            while bytes < rate.limit() {
                let stamp = rate.stamp(at(now), bytes);
                free_at = free_at.max(now * 1_000) + PACKET * 1_000 / bytes_per_ms;
                number += 1;
                under_way.push_back((free_at + trip * 1_000, now, stamp, number));
                bytes += PACKET;
            }
            rate.limited();
        }
        (rate.limit(), last_trip)
    }

    fn roomy() -> Rate {
        let mut rate = Rate::new(Instant::from_micros(1_000_000));
        rate.set_credit(u64::MAX);
        rate
    }

    #[test]
    fn a_saturated_path_carries_its_rate_and_waits_no_longer_than_the_slack() {
        for (bytes_per_ms, trip) in [(1_000, 10), (2_000, 100), (10_000, 2), (4_000, 40)] {
            let mut rate = roomy();
            let (limit, last_trip) = saturate(&mut rate, (bytes_per_ms, trip), u64::MAX, 5_000);
            let carried = bytes_per_ms * trip;
            assert!(limit >= carried, "{limit} is less than the path holds, {carried}");
            let most = trip + SLACK.as_millis() as u64 * 3 / 2;
            assert!(last_trip <= most, "{bytes_per_ms} bytes/ms, {trip} ms: {last_trip} ms at last");
        }
    }

    #[test]
    fn more_rate_is_found_when_there_is_more() {
        let mut rate = roomy();
        saturate(&mut rate, (500, 20), u64::MAX, 2_000);
        let (limit, _) = saturate(&mut rate, (4_000, 20), u64::MAX, 2_000);
        assert!(limit >= 4_000 * 20, "{limit}");
    }

    #[test]
    fn isolated_loss_leaves_the_limit_alone_and_heavy_loss_lowers_it() {
        let limit = |one_in| saturate(&mut roomy(), (4_000, 20), one_in, 3_000).0;
        let lossless = limit(u64::MAX);
        assert!(limit(100) >= lossless * 9 / 10, "{} of {lossless}", limit(100));
        assert!(limit(5) < lossless / 2, "{} of {lossless}", limit(5));
    }

    #[test]
    fn who_has_little_to_say_keeps_the_limit() {
        let mut rate = roomy();
        let (limit, _) = saturate(&mut rate, (4_000, 20), u64::MAX, 3_000);
        for ms in (10_000..20_000).step_by(100) {
            let now = Instant::from_micros(ms * 1_000);
            let stamp = rate.stamp(now, 0);
            let later = now + Duration::from_millis(20);
            rate.acknowledged(later, 100, Some((now, stamp)));
        }
        assert!(rate.limit() >= limit * 9 / 10, "{} of {limit}", rate.limit());
    }

    #[test]
    fn a_peer_with_a_small_buffer_is_sent_no_more_than_it_holds() {
        let mut rate = roomy();
        rate.set_credit(9_000);
        assert_eq!(saturate(&mut rate, (4_000, 20), u64::MAX, 1_000).0, 9_000);
    }
}
