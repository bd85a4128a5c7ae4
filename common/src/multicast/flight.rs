//! What is under way to one peer of this member's own stream: sent, not acknowledged; when it counts as lost; and how
//! much may be under way at once.
//!
//! Fragments are kept as runs of consecutive numbers that were sent at the same instant, so that a window costs a few
//! entries. A fragment is *lost* when one that was sent later is acknowledged and it is overdue (the idea of RACK, RFC
//! 8985), or when nothing at all is acknowledged for a time-out (RFC 6298). The amount under way grows with
//! acknowledgements and shrinks on a time-out, or when a good part of it is lost: isolated loss is no congestion.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use super::ranges::Ranges;
use super::timing::Timing;
use crate::base::limits::WINDOW_SLOTS;
use crate::base::time::Instant;
use crate::machine::Wakeup;
use crate::mesh::Rtt;

/// Fragments that may be under way before anything is known of the path.
const LIMIT_FIRST: u64 = 256;
/// Fragments that are sent again on a time-out.
const LIMIT_TIMEOUT: u64 = 16;
/// The limit does not fall below this by gaps.
const LIMIT_GAPS: u64 = 64;
/// Loss of less than one in this many is no sign of congestion.
const CONGESTED_ONE_IN: u64 = 8;
/// A suspected peer is sent one fragment in this time.
const SUSPECTED_INTERVAL: Duration = Duration::from_secs(1);

/// Fragments `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: u64,
    last: u64,
    /// When they were sent last.
    at: Instant,
    /// They were sent before: an acknowledgement may be for either copy.
    repeated: bool,
    /// To be sent again; no longer counted as under way.
    lost: bool,
}

impl Run {
    fn len(&self) -> u64 {
        self.last - self.first + 1
    }
}

/// The stream to one peer.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    timing: Timing,
    /// Disjoint, rising.
    runs: VecDeque<Run>,
    /// The first that was never sent to this peer.
    unsent: u64,
    /// Fragments in runs that are not lost.
    under_way: u64,
    lost: u64,
    limit: u64,
    /// When, and as which number, the latest of those acknowledged was sent.
    newest: (Instant, u64),
    /// Losses of what was sent before do not lower the limit again.
    lowered: Instant,
    timeouts: u32,
    suspected: bool,
}

impl Flight {
    pub(super) fn new(now: Instant) -> Flight {
        Flight {
            timing: Timing::default(),
            runs: VecDeque::new(),
            unsent: 1,
            under_way: 0,
            lost: 0,
            limit: LIMIT_FIRST,
            newest: (Instant::ZERO, 0),
            lowered: now,
            timeouts: 0,
            suspected: false,
        }
    }

    pub(super) fn timing(&self) -> &Timing {
        &self.timing
    }

    pub(super) fn set_rtt(&mut self, rtt: Rtt) {
        self.timing.set(rtt);
    }

    pub(super) fn is_suspected(&self) -> bool {
        self.suspected
    }

    pub(super) fn suspect(&mut self, suspected: bool) {
        if self.suspected && !suspected {
            self.timeouts = 0;
        }
        self.suspected = suspected;
    }

    /// The next fragment to send, if one is due and there is room; `end` is the last there is.
    pub(super) fn next(&self, end: u64) -> Option<u64> {
        if self.under_way >= if self.suspected { 1 } else { self.limit } {
            None
        } else if self.lost > 0 {
            self.runs.iter().find(|run| run.lost).map(|run| run.first)
        } else {
            (!self.suspected && self.unsent <= end).then_some(self.unsent)
        }
    }

    /// A fragment is on its way. Returns whether it is a repetition.
    pub(super) fn sent(&mut self, now: Instant, seq: u64) -> bool {
        if seq >= self.unsent {
            self.unsent = seq + 1;
            self.add(self.runs.len(), Run { first: seq, last: seq, at: now, repeated: false, lost: false });
            return false;
        }
        let found = self.carve(seq, seq);
        if let Some(run) = self.runs.get(found.start).copied().filter(|_| !found.is_empty()) {
            self.forget(run);
            self.runs.remove(found.start);
            self.add(found.start, Run { at: now, repeated: true, lost: false, ..run });
        }
        true
    }

    /// The peer asked for a fragment and is sent it: whatever was due, this copy counts.
    pub(super) fn answered(&mut self, now: Instant, seq: u64) {
        if seq < self.unsent {
            self.sent(now, seq);
        }
    }

    /// Puts a run that is under way into its place, joined to the one before if both were sent alike.
    fn add(&mut self, place: usize, run: Run) {
        self.under_way += run.len();
        if let Some(before) = place.checked_sub(1).and_then(|place| self.runs.get_mut(place)) {
            let alike = (before.at, before.repeated, before.lost) == (run.at, run.repeated, run.lost);
            if alike && before.last + 1 == run.first {
                before.last = run.last;
                return;
            }
        }
        self.runs.insert(place, run);
    }

    fn forget(&mut self, run: Run) {
        let count = if run.lost { &mut self.lost } else { &mut self.under_way };
        *count -= run.len();
    }

    /// The peer holds all up to `contiguous`, and what is beyond.
    pub(super) fn acknowledge(&mut self, now: Instant, contiguous: u64, beyond: &Ranges) {
        let mut acked = 0;
        let mut sample = None;
        for (first, last) in std::iter::once((0, contiguous)).chain(beyond.iter()) {
            let found = self.carve(first, last);
            for place in found.clone() {
                let run = self.runs[place];
                acked += run.len();
                self.forget(run);
                // Too early for the later copy: it is the earlier one that has come.
                if !run.repeated || now.since(run.at) >= self.timing.smoothed() / 2 {
                    self.newest = self.newest.max((run.at, run.last));
                }
                // After a time-out the acknowledgement is late, whatever it covers.
                if !run.repeated && !run.lost && self.timeouts == 0 {
                    sample = sample.max(Some(run.at));
                }
            }
            self.runs.drain(found);
        }
        self.unsent = self.unsent.max(contiguous + 1);
        if acked > 0 {
            self.timeouts = 0;
            self.limit = (self.limit + acked).min(WINDOW_SLOTS as u64);
        }
        if let Some(sent_at) = sample {
            self.timing.sample(now.since(sent_at));
        }
        self.find_gaps(now);
    }

    /// Splits runs so that `first` to `last` are covered by whole ones, and returns which.
    fn carve(&mut self, first: u64, last: u64) -> Range<usize> {
        let mut start = self.runs.partition_point(|run| run.last < first);
        if self.runs.get(start).is_some_and(|run| run.first < first) {
            self.split(start, first);
            start += 1;
        }
        let end = self.runs.partition_point(|run| run.first <= last);
        if end > start && self.runs[end - 1].last > last {
            self.split(end - 1, last + 1);
        }
        start..end.max(start)
    }

    /// Makes two runs of one; the second begins with `at`.
    fn split(&mut self, place: usize, at: u64) {
        let run = self.runs[place];
        self.runs[place].last = at - 1;
        self.runs.insert(place + 1, Run { first: at, ..run });
    }

    /// Those that one sent later has overtaken.
    fn overtaken(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| !run.lost && (run.at, run.last) < self.newest)
    }

    fn find_gaps(&mut self, now: Instant) {
        let overdue = |run: &Run, patience| now >= run.at + patience;
        let patience = self.timing.patience();
        if !self.overtaken().any(|run| overdue(run, patience)) {
            return;
        }
        let before = self.under_way;
        let newest = self.newest;
        let mut latest = Instant::ZERO;
        for run in &mut self.runs {
            if !run.lost && (run.at, run.last) < newest && overdue(run, patience) {
                run.lost = true;
                latest = latest.max(run.at);
                self.lost += run.len();
                self.under_way -= run.len();
            }
        }
        let lost = before - self.under_way;
        if latest >= self.lowered && lost * CONGESTED_ONE_IN > self.limit {
            self.limit = (self.limit * 3 / 4).max(LIMIT_GAPS);
            self.lowered = now;
        }
    }

    /// Time has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.find_gaps(now);
        let timeout = self.timeout();
        let before = self.under_way;
        for run in self.runs.iter_mut().filter(|run| !run.lost && now >= run.at + timeout) {
            run.lost = true;
            self.lost += run.len();
            self.under_way -= run.len();
        }
        let lost = before - self.under_way;
        if lost > 0 {
            self.timeouts += 1;
            // A few at the end of a burst, which nothing could overtake, are isolated loss as well.
            if self.timeouts > 1 || lost > LIMIT_TIMEOUT {
                self.limit = self.limit.min(LIMIT_TIMEOUT);
                self.lowered = now;
            }
        }
    }

    fn timeout(&self) -> Duration {
        if self.suspected { SUSPECTED_INTERVAL } else { self.timing.backed_off(self.timeouts) }
    }

    pub(super) fn poll_timeout(&self) -> Option<Wakeup> {
        let patience = self.timing.patience();
        let gap = self.overtaken().map(|run| run.at).min();
        let gap = gap.map(|at| Wakeup { at: at + patience, reason: "a fragment was overtaken" });
        let oldest = self.runs.iter().filter(|run| !run.lost).map(|run| run.at).min();
        let oldest = oldest.map(|at| Wakeup { at: at + self.timeout(), reason: "nothing acknowledged" });
        Wakeup::earliest(gap, oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    /// Sends all that may be sent of a stream that ends with `end`; returns the numbers.
    fn send(flight: &mut Flight, now: Instant, end: u64) -> Vec<u64> {
        let mut sent = Vec::new();
        while let Some(seq) = flight.next(end) {
            flight.sent(now, seq);
            sent.push(seq);
        }
        sent
    }

    fn ranges(list: &[(u64, u64)]) -> Ranges {
        let mut ranges = Ranges::default();
        list.iter().for_each(|&(first, last)| ranges.insert_range(first, last));
        ranges
    }

    /// A flight to a peer that is 10 ms away.
    fn measured() -> Flight {
        let mut flight = Flight::new(at(0));
        for seq in 1..=50 {
            let now = at(20 * seq);
            flight.sent(now, seq);
            flight.acknowledge(now + Duration::from_millis(10), seq, &Ranges::default());
        }
        flight
    }

    #[test]
    fn acknowledged_in_time_nothing_is_repeated_and_no_timer_runs() {
        let mut flight = measured();
        assert_eq!(send(&mut flight, at(2000), 60), (51..=60).collect::<Vec<_>>());
        flight.handle_timeout(at(2005));
        flight.acknowledge(at(2010), 60, &Ranges::default());
        assert_eq!(send(&mut flight, at(2010), 60), []);
        assert_eq!(flight.poll_timeout(), None);
        assert_eq!((flight.under_way, flight.lost), (0, 0));
    }

    #[test]
    fn a_gap_is_repeated_once_after_the_allowance() {
        let mut flight = measured();
        send(&mut flight, at(2000), 60);
        flight.acknowledge(at(2010), 52, &ranges(&[(55, 60)]));
        assert_eq!(send(&mut flight, at(2010), 60), []);
        let due = flight.poll_timeout().unwrap();
        assert!(due.at > at(2011) && due.at < at(2014), "{due:?}");
        flight.handle_timeout(due.at);
        assert_eq!(send(&mut flight, due.at, 60), [53, 54]);
        flight.acknowledge(due.at, 52, &ranges(&[(55, 60)]));
        assert_eq!(send(&mut flight, due.at, 60), [], "an old vector repeats nothing");
        flight.acknowledge(at(2024), 60, &Ranges::default());
        assert_eq!(flight.poll_timeout(), None);
    }

    #[test]
    fn time_outs_repeat_a_bounded_amount_and_back_off() {
        let mut flight = measured();
        assert_eq!(send(&mut flight, at(2000), 1000).len(), 306, "50 acknowledgements have raised the limit");
        let mut gaps = Vec::new();
        let mut now = at(2000);
        for _ in 0..10 {
            let due = flight.poll_timeout().unwrap();
            gaps.push((due.at - now).as_millis());
            now = due.at;
            flight.handle_timeout(now);
            assert_eq!(send(&mut flight, now, 1000), (51..=66).collect::<Vec<_>>());
        }
        assert!(gaps[0] >= 20 && gaps[0] < 40, "{gaps:?}");
        assert!(gaps.windows(2).all(|pair| pair[1] >= pair[0]));
        assert_eq!(gaps[9], 1000);
        flight.acknowledge(now, 200, &Ranges::default());
        assert_eq!(send(&mut flight, now, 1000).first(), Some(&201), "then it goes on");
    }

    #[test]
    fn a_suspected_peer_gets_one_fragment_a_second() {
        let mut flight = measured();
        send(&mut flight, at(2000), 60);
        flight.suspect(true);
        assert_eq!(send(&mut flight, at(2100), 90), []);
        flight.handle_timeout(at(3000));
        assert_eq!(send(&mut flight, at(3000), 90), [51]);
        flight.handle_timeout(at(3900));
        assert_eq!(send(&mut flight, at(3900), 90), []);
        flight.handle_timeout(at(4000));
        assert_eq!(send(&mut flight, at(4000), 90), [51]);
        flight.suspect(false);
        assert_eq!(send(&mut flight, at(4001), 90).len(), 15);
    }

    #[test]
    fn isolated_loss_leaves_the_limit_alone_and_heavy_loss_lowers_it() {
        let mut flight = measured();
        flight.limit = 400;
        send(&mut flight, at(2000), 450);
        flight.acknowledge(at(2014), 99, &ranges(&[(101, 300)]));
        assert!(flight.limit > 400);
        let limit = flight.limit;
        flight.acknowledge(at(2015), 99, &ranges(&[(101, 300), (450, 450)]));
        assert!(flight.limit < limit);
    }

    #[test]
    fn what_others_have_repaired_is_not_sent_at_all() {
        let mut flight = Flight::new(at(0));
        flight.acknowledge(at(1), 10, &Ranges::default());
        assert_eq!(send(&mut flight, at(1), 12), [11, 12]);
    }
}
