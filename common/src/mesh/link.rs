//! One way of one link: whether this node hears a peer straight, with no relay between.
//!
//! A link is down once nothing has come over it for a while, five heartbeats as a rule: at a loss of a fifth that happens
//! to a good link every few minutes only. One that was down is up again when it has been heard for two heartbeats without
//! a gap, so that a bad link does not come and go with every datagram. Only numbered heartbeats and pings count, each
//! newer than all before: what a queue has held back says nothing about the link by now. Who does not know whether it is
//! heard sends ever more rarely, and says so: then silence means nothing for longer.

use std::time::Duration;

use super::peer::PROBE_LAST;
use crate::base::time::Instant;
use crate::wire::mesh::{Neighbour, Ping};

/// Heartbeats for which a link that was down must have been heard.
const PROVEN: u32 = 2;
/// How long one is waited for who is in no hurry: it misses one turn.
const SLOW_SILENCE: Duration =
    Duration::from_millis(500).saturating_add(PROBE_LAST).saturating_add(PROBE_LAST);

#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    up: bool,
    /// The highest number that came.
    newest: u64,
    /// When it came.
    at: Option<Instant>,
    /// Since when it is heard without a gap.
    since: Instant,
    slow: bool,
    /// Which of my addresses works, by the peer's counting.
    way: u8,
}

impl Link {
    pub(super) fn is_up(&self) -> bool {
        self.up
    }

    /// What others are told of it.
    pub(super) fn way(&self) -> u8 {
        match (self.up, self.slow) {
            (false, _) => Neighbour::UNHEARD,
            (true, true) => self.way + Neighbour::SLOW,
            (true, false) => self.way,
        }
    }

    /// A heartbeat or a ping of this number has come.
    fn handle_number(&mut self, now: Instant, pace: Duration, number: u64) {
        if number <= self.newest {
            return;
        }
        self.newest = number;
        if self.at.is_none_or(|at| now.since(at) > pace * PROVEN) {
            self.since = now;
        }
        self.up |= self.at.is_none() || now.since(self.since) >= pace * PROVEN;
        self.at = Some(now);
    }

    /// A ping came by the address that it names; the next may take long or not.
    pub(super) fn handle_ping(&mut self, now: Instant, pace: Duration, ping: Ping) {
        if ping.number < self.newest {
            return;
        }
        self.handle_number(now, pace, ping.number);
        self.slow = ping.slow;
        self.up |= ping.slow;
        if self.way == 0 && ping.way < Neighbour::SLOW {
            self.way = ping.way;
        }
    }

    /// A heartbeat came: the peer sends at its usual pace.
    pub(super) fn handle_hello(&mut self, now: Instant, pace: Duration, number: u64) {
        self.slow &= number <= self.newest;
        self.handle_number(now, pace, number);
    }

    /// When it is down unless something comes: after this silence, or a longer one.
    pub(super) fn expires_at(&self, silence: Duration) -> Option<Instant> {
        let silence = if self.slow { SLOW_SILENCE.max(silence) } else { silence };
        self.at.filter(|_| self.up).map(|at| at + silence)
    }

    /// Time has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant, silence: Duration) {
        if self.expires_at(silence).is_some_and(|at| at <= now) {
            self.up = false;
            self.slow = false;
            self.way = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Duration = Duration::from_millis(100);
    const SILENCE: Duration = Duration::from_millis(500);

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    /// A link that was heard at these times, as it is at `now`.
    fn heard(times: &[u64], now: u64) -> Link {
        let mut link = Link::default();
        for &time in times {
            link.handle_timeout(at(time), SILENCE);
            link.handle_hello(at(time), PACE, time + 1);
        }
        link.handle_timeout(at(now), SILENCE);
        link
    }

    #[test]
    fn a_link_is_up_at_once_and_down_after_silence() {
        assert!(!Link::default().is_up());
        assert!(heard(&[0], 499).is_up());
        assert!(!heard(&[0], 500).is_up());
        assert!(heard(&[0, 450], 949).is_up());
    }

    #[test]
    fn a_link_that_was_down_must_prove_itself() {
        assert!(!heard(&[0, 1_000, 1_001, 1_199], 1_199).is_up());
        assert!(heard(&[0, 1_000, 1_100, 1_200], 1_200).is_up());
        assert!(!heard(&[0, 1_000, 1_100, 1_301, 1_400], 1_400).is_up(), "with a gap it begins anew");
        assert!(heard(&[0, 1_000, 1_150, 1_350], 1_350).is_up());
    }

    #[test]
    fn who_sends_rarely_and_says_so_is_waited_for() {
        let mut link = heard(&[0], 1_000);
        link.handle_ping(at(1_000), PACE, Ping { number: 2_000, way: 3, slow: true });
        assert!(link.is_up() && link.way() == 3 + Neighbour::SLOW);
        link.handle_timeout(at(5_400), SILENCE);
        assert!(link.is_up());
        link.handle_timeout(at(5_500), SILENCE);
        assert!(!link.is_up() && link.way() == Neighbour::UNHEARD);
        link.handle_ping(at(6_000), PACE, Ping { number: 2_001, way: 1, slow: true });
        link.handle_hello(at(6_000), PACE, 2_002);
        link.handle_timeout(at(6_500), SILENCE);
        assert!(!link.is_up(), "a heartbeat says that the next comes soon");
    }

    #[test]
    fn the_way_that_worked_first_is_kept() {
        let mut link = heard(&[0], 0);
        for (number, way) in [(2, 2), (3, 1)] {
            link.handle_ping(at(0), PACE, Ping { number, way, slow: false });
        }
        assert_eq!(link.way(), 2);
    }

    #[test]
    fn what_was_held_back_does_not_count() {
        let mut link = heard(&[0, 100, 200], 200);
        for number in [1, 101, 200] {
            link.handle_hello(at(600), PACE, number);
            link.handle_ping(at(600), PACE, Ping { number, way: 1, slow: true });
        }
        link.handle_timeout(at(700), SILENCE);
        assert!(!link.is_up());
    }
}
