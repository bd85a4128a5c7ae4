//! When the receive vector is due to whom.
//!
//! Every member gets it: its sender soon, because it waits; the others later, because they only learn what is stable and
//! who could repair. It rides on whatever leaves before that.

use std::time::Duration;

use super::timing::{ACK_DELAY, NEWS_DELAY};
use crate::base::id::Rank;
use crate::base::limits::WINDOW_SLOTS;
use crate::base::time::Instant;

/// After this many fragments of one peer its acknowledgement waits no longer.
const AT_ONCE_AFTER: usize = WINDOW_SLOTS / 4;

#[derive(Clone, Debug, Default)]
struct Due {
    /// Then even alone.
    at: Option<Instant>,
    /// On the next datagram, if there is one.
    rides: bool,
    /// Fragments that came from this peer since the last.
    fragments: usize,
}

/// The schedule, by rank.
#[derive(Clone, Debug)]
pub(super) struct AckSchedule {
    me: Rank,
    dues: Vec<Due>,
    /// Everybody has a deadline already: further news change nothing.
    all_due: bool,
}

impl AckSchedule {
    pub(super) fn new(me: Rank, members: usize) -> AckSchedule {
        AckSchedule { me, dues: vec![Due::default(); members], all_due: false }
    }

    /// A fragment that was not held has come; `gap` if it opens a gap or closes one.
    pub(super) fn received(&mut self, now: Instant, from: Rank, sender: Rank, gap: bool) {
        self.soon(now, from);
        self.soon(now, sender);
        let due = &mut self.dues[from];
        due.fragments += 1;
        if gap || due.fragments >= AT_ONCE_AFTER {
            due.at = Some(now);
        }
        if !self.all_due {
            (0..self.dues.len()).for_each(|rank| self.within(now, rank, NEWS_DELAY));
            self.all_due = true;
        }
    }

    /// A fragment that was held has come again: the peer does not know.
    pub(super) fn repeated(&mut self, now: Instant, from: Rank) {
        self.soon(now, from);
    }

    /// The application has more of that sender.
    pub(super) fn delivered(&mut self, now: Instant, sender: Rank) {
        self.within(now, sender, NEWS_DELAY);
    }

    /// That member waits for what is delivered.
    pub(super) fn at_once(&mut self, now: Instant, rank: Rank) {
        self.dues[rank].at = Some(now);
    }

    /// Worth telling if something leaves anyway.
    pub(super) fn ride(&mut self, rank: Rank) {
        self.dues[rank].rides = true;
    }

    fn soon(&mut self, now: Instant, rank: Rank) {
        self.within(now, rank, ACK_DELAY);
    }

    fn within(&mut self, now: Instant, rank: Rank, delay: Duration) {
        if rank != self.me {
            let due = &mut self.dues[rank];
            due.at = Some(due.at.map_or(now + delay, |at| at.min(now + delay)));
        }
    }

    pub(super) fn is_due(&self, now: Instant, rank: Rank) -> bool {
        self.dues[rank].at.is_some_and(|at| at <= now)
    }

    pub(super) fn may_ride(&self, rank: Rank) -> bool {
        self.dues[rank].rides || self.dues[rank].at.is_some()
    }

    pub(super) fn written(&mut self, rank: Rank) {
        self.dues[rank] = Due::default();
        self.all_due = false;
    }

    pub(super) fn deadline(&self, rank: Rank) -> Option<Instant> {
        self.dues[rank].at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sender_is_told_soon_the_others_later_and_nobody_twice() {
        let mut schedule = AckSchedule::new(0, 3);
        let now = Instant::from_micros(1_000_000);
        schedule.received(now, 1, 1, false);
        schedule.received(now + Duration::from_micros(500), 1, 1, false);
        assert_eq!(schedule.deadline(1), Some(now + ACK_DELAY));
        assert_eq!(schedule.deadline(2), Some(now + NEWS_DELAY));
        assert_eq!(schedule.deadline(0), None);
        assert!(schedule.may_ride(2) && !schedule.is_due(now, 2));
        schedule.written(1);
        assert_eq!(schedule.deadline(1), None);
        assert!(!schedule.may_ride(1));
        for _ in 0..AT_ONCE_AFTER {
            schedule.received(now, 1, 1, false);
        }
        assert!(schedule.is_due(now, 1));
        schedule.received(now, 2, 2, true);
        assert!(schedule.is_due(now, 2));
    }
}
