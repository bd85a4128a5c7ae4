//! Ranges of one sender's consecutive messages that share a counter and the rank of who proposed it.
//!
//! All priorities of the protocol are kept so: agreement costs per range, not per message.

use std::collections::VecDeque;

use crate::base::id::Rank;
use crate::wire::order::Agreed;

/// The part of a priority that a range shares; the rest is the sender's rank and the message's number.
pub(super) type Stamp = (u64, Rank);

/// Ranges that wait for what comes before them.
const EARLY_MAX: usize = 64;

/// Messages `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) stamp: Stamp,
}

/// Runs one after the other without gaps, from the message after `floor` on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Runs {
    floor: u64,
    runs: VecDeque<Run>,
    /// From the wire, beyond a gap: an earlier datagram is late.
    early: Vec<Run>,
}

impl Runs {
    /// No run yet; the first will begin after `floor`.
    pub(super) fn after(floor: u64) -> Runs {
        Runs { floor, ..Runs::default() }
    }

    /// The message before the first run.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// The last message of the last run; the floor if there is none.
    pub(super) fn upto(&self) -> u64 {
        self.runs.back().map_or(self.floor, |run| run.last)
    }

    /// Goes on to `last`; a stamp equal to the last one makes its run longer.
    pub(super) fn extend(&mut self, last: u64, stamp: Stamp) {
        let first = self.upto() + 1;
        if last < first {
            return;
        }
        match self.runs.back_mut() {
            Some(run) if run.stamp == stamp => run.last = last,
            _ => self.runs.push_back(Run { first, last, stamp }),
        }
    }

    /// Takes a range from the wire, not beyond `limit`. One that does not begin where these end waits until they do.
    pub(super) fn take(&mut self, agreed: &Agreed, limit: u64) {
        let last = agreed.last().min(limit);
        let run = Run { first: agreed.first, last, stamp: (agreed.counter, Rank::from(agreed.rank)) };
        if run.first > run.last || run.last <= self.upto() {
            return;
        }
        if run.first > self.upto() + 1 {
            if self.early.len() < EARLY_MAX && !self.early.contains(&run) {
                self.early.push(run);
            }
            return;
        }
        self.extend(run.last, run.stamp);
        while let Some(at) = self.early.iter().position(|run| run.first <= self.upto() + 1) {
            let run = self.early.swap_remove(at);
            self.extend(run.last, run.stamp);
        }
    }

    /// The run that `number` stands in.
    pub(super) fn run(&self, number: u64) -> Option<&Run> {
        let at = self.runs.partition_point(|run| run.last < number);
        self.runs.get(at).filter(|run| run.first <= number)
    }

    pub(super) fn get(&self, number: u64) -> Option<Stamp> {
        self.run(number).map(|run| run.stamp)
    }

    /// Forgets everything up to `floor`.
    pub(super) fn forget(&mut self, floor: u64) {
        self.floor = self.floor.max(floor.min(self.upto()));
        while self.runs.front().is_some_and(|run| run.last <= self.floor) {
            self.runs.pop_front();
        }
        if let Some(run) = self.runs.front_mut() {
            run.first = run.first.max(self.floor + 1);
        }
    }

    /// Forgets everything beyond `last`.
    pub(super) fn truncate(&mut self, last: u64) {
        while self.runs.back().is_some_and(|run| run.first > last) {
            self.runs.pop_back();
        }
        if let Some(run) = self.runs.back_mut() {
            run.last = run.last.min(last);
        }
    }

    /// The runs from message `first` on, the first one cut there.
    pub(super) fn from(&self, first: u64) -> impl Iterator<Item = Run> + '_ {
        let at = self.runs.partition_point(|run| run.last < first);
        self.runs.range(at..).map(move |run| Run { first: run.first.max(first), ..*run })
    }
}

impl Run {
    pub(super) fn to_wire(self) -> Agreed {
        Agreed {
            first: self.first,
            len: u32::try_from(self.last - self.first + 1).unwrap_or(u32::MAX),
            counter: self.stamp.0,
            rank: self.stamp.1 as u8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(first: u64, len: u32, counter: u64) -> Agreed {
        Agreed { first, len, counter, rank: 1 }
    }

    #[test]
    fn ranges_join_overlap_and_never_leave_a_gap() {
        let mut runs = Runs::default();
        runs.take(&agreed(1, 3, 7), 100);
        runs.take(&agreed(5, 3, 9), 100);
        assert_eq!(runs.upto(), 3);
        runs.take(&agreed(2, 4, 7), 100);
        runs.take(&agreed(6, 4, 9), 7);
        assert_eq!(
            (runs.upto(), runs.get(5), runs.get(6), runs.get(8)),
            (7, Some((7, 1)), Some((9, 1)), None)
        );
        runs.forget(4);
        assert_eq!((runs.floor(), runs.get(4), runs.get(5)), (4, None, Some((7, 1))));
        runs.truncate(5);
        assert_eq!(runs.upto(), 5);
        runs.forget(9);
        assert_eq!((runs.floor(), runs.upto()), (5, 5));
    }

    #[test]
    fn ranges_that_come_in_another_order_are_not_lost() {
        let mut runs = Runs::default();
        runs.take(&agreed(6, 2, 9), 100);
        runs.take(&agreed(4, 2, 8), 100);
        runs.take(&agreed(9, 1, 9), 100);
        assert_eq!(runs.upto(), 0);
        runs.take(&agreed(1, 3, 7), 100);
        assert_eq!((runs.upto(), runs.get(4), runs.get(7)), (7, Some((8, 1)), Some((9, 1))));
        runs.take(&agreed(8, 1, 9), 100);
        assert_eq!((runs.upto(), runs.early.len()), (9, 0));
    }

    #[test]
    fn a_range_beyond_all_numbers_is_harmless() {
        let mut runs = Runs::default();
        runs.take(&agreed(u64::MAX, u32::MAX, 1), u64::MAX);
        runs.take(&agreed(0, 0, 1), 10);
        (2..1_000).for_each(|first| runs.take(&agreed(2 * first, 1, first), u64::MAX));
        assert_eq!((runs.upto(), runs.early.len()), (0, EARLY_MAX));
    }
}
