//! What is under way to one peer of this member's own stream: sent, not acknowledged; and when it counts as lost.
//!
//! Fragments are kept as runs of consecutive numbers that were sent at the same instant, so that a window costs a few
//! entries. Datagrams are numbered, and the peer gives back the highest number that has come: a fragment whose packet has
//! a lower one, that is not acknowledged and is overdue, is *lost* (RFC 9002, section 6.1). When nothing at all is acknowledged for a time-out, only the oldest is sent again, as a probe (RFC 9002, section
//! 6.2): its acknowledgement tells which of the others have arrived, and a peer that was merely slow to answer is not
//! sent everything twice. How much may be under way is `rate`'s to say.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use super::ranges::Ranges;
use super::rate::{Rate, Stamp};
use super::timing::Timing;
use crate::base::limits::ACK_RANGES_MAX;
use crate::base::time::Instant;
use crate::machine::Wakeup;
use crate::mesh::Rtt;
use crate::wire::multicast::{Newest, PacketNumber};

/// After so many time-outs in a row the path is taken for dead.
const SILENT_AFTER: u32 = 2;
/// Packets whose time of sending is remembered.
const PACKETS_MAX: usize = 1_024;
/// A suspected peer is sent one fragment in this time.
const SUSPECTED_INTERVAL: Duration = Duration::from_secs(1);

/// Fragments `first` to `last`, of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: u64,
    last: u64,
    /// On the wire.
    bytes: u64,
    /// When they were sent last, and with which packet.
    at: Instant,
    packet: u64,
    /// What was known then of the path.
    stamp: Stamp,
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
    rate: Rate,
    /// Disjoint, rising.
    runs: VecDeque<Run>,
    /// The first that was never sent to this peer.
    unsent: u64,
    /// Bytes in runs that are not lost.
    under_way: u64,
    /// Fragments in runs that are.
    lost: u64,
    /// A fragment that is to be sent again whatever the limit says, to make the peer answer.
    probe: Option<u64>,
    packets: Packets,
    /// The peer's last word reaches to this number; a vector has room for so many ranges only.
    told: u64,
    /// When something was sent, or acknowledged.
    moved_at: Instant,
    timeouts: u32,
    suspected: bool,
}

impl Flight {
    pub(super) fn new(now: Instant) -> Flight {
        Flight {
            timing: Timing::default(),
            rate: Rate::new(now),
            runs: VecDeque::new(),
            unsent: 1,
            under_way: 0,
            lost: 0,
            probe: None,
            packets: Packets::default(),
            told: 0,
            moved_at: now,
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

    /// The peer has room for so many bytes of this member's.
    pub(super) fn set_credit(&mut self, bytes: u64) {
        self.rate.set_credit(bytes);
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
        if self.probe.is_some() {
            return self.probe;
        }
        if self.under_way >= if self.suspected { 1 } else { self.rate.limit() } {
            None
        } else if self.lost > 0 {
            self.runs.iter().find(|run| run.lost).map(|run| run.first)
        } else {
            (!self.suspected && self.unsent <= end).then_some(self.unsent)
        }
    }

    /// There may be more to send than [`Flight::next`] gives.
    pub(super) fn held_back(&mut self, end: u64) {
        if self.unsent <= end || self.lost > 0 {
            self.rate.limited();
        }
    }

    /// A datagram is begun. Gives its number, if it is to carry messages and has none yet.
    pub(super) fn number_packet(&mut self, now: Instant) -> Option<PacketNumber> {
        self.packets.open(now).map(PacketNumber)
    }

    /// What is written now belongs to another datagram.
    pub(super) fn end_packet(&mut self) {
        self.packets.is_open = false;
    }

    /// A fragment of so many bytes is on its way, with the packet numbered last. Returns whether it is a repetition.
    pub(super) fn sent(&mut self, now: Instant, seq: u64, bytes: u64) -> bool {
        self.moved_at = now;
        self.probe = self.probe.filter(|&probe| probe != seq);
        let stamp = self.rate.stamp(now, self.under_way);
        let packet = self.packets.last;
        let run = Run { first: seq, last: seq, bytes, at: now, packet, stamp, repeated: true, lost: false };
        if seq >= self.unsent {
            self.unsent = seq + 1;
            self.add(self.runs.len(), Run { repeated: false, ..run });
            return false;
        }
        let found = self.carve(seq, seq);
        if let Some(former) = self.runs.get(found.start).copied().filter(|_| !found.is_empty()) {
            self.forget(former);
            self.runs.remove(found.start);
            self.add(found.start, run);
        }
        true
    }

    /// The peer asked for a fragment and is sent it: whatever was due, this copy counts.
    pub(super) fn answered(&mut self, now: Instant, seq: u64, bytes: u64) {
        if seq < self.unsent {
            self.sent(now, seq, bytes);
        }
    }

    /// Puts a run that is under way into its place, joined to the one before if both were sent alike.
    fn add(&mut self, place: usize, run: Run) {
        self.under_way += run.bytes;
        if let Some(before) = place.checked_sub(1).and_then(|place| self.runs.get_mut(place)) {
            let kind = |run: &Run| (run.packet, run.stamp, run.repeated, run.lost);
            let alike = kind(before) == kind(&run);
            if alike && before.last + 1 == run.first {
                before.last = run.last;
                before.bytes += run.bytes;
                return;
            }
        }
        self.runs.insert(place, run);
    }

    fn forget(&mut self, run: Run) {
        match run.lost {
            true => self.lost -= run.len(),
            false => self.under_way -= run.bytes,
        }
    }

    /// The peer holds all up to `contiguous`, and what is beyond; of my packets it has this one last.
    pub(super) fn acknowledge(
        &mut self,
        now: Instant,
        contiguous: u64,
        beyond: &Ranges,
        newest: Option<Newest>,
    ) {
        if let Some(trip) = newest.and_then(|newest| self.packets.acknowledge(now, newest)) {
            self.timing.sample(trip);
            self.rate.measure(now, trip);
        }
        let mut acked = 0;
        let mut sample: Option<Run> = None;
        for (first, last) in std::iter::once((0, contiguous)).chain(beyond.iter()) {
            let found = self.carve(first, last);
            for run in self.runs.range(found.clone()) {
                acked += run.bytes;
                match run.lost {
                    true => self.lost -= run.len(),
                    false => self.under_way -= run.bytes,
                }
                if !run.repeated && sample.is_none_or(|sample| sample.packet < run.packet) {
                    sample = Some(*run);
                }
            }
            self.runs.drain(found);
        }
        self.unsent = self.unsent.max(contiguous + 1);
        self.told = beyond.end().filter(|_| beyond.count() == ACK_RANGES_MAX).unwrap_or(u64::MAX);
        self.probe = self.probe.filter(|&probe| probe > contiguous && !beyond.contains(probe));
        if acked > 0 {
            self.timeouts = 0;
            self.moved_at = now;
            self.rate.acknowledged(now, acked, sample.map(|run| (run.at, run.stamp)));
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

    /// Makes two runs of one; the second begins with `at`. Each gets its share of the bytes.
    fn split(&mut self, place: usize, at: u64) {
        let run = self.runs[place];
        let bytes = run.bytes * (at - run.first) / run.len();
        self.runs[place] = Run { last: at - 1, bytes, ..run };
        self.runs.insert(place + 1, Run { first: at, bytes: run.bytes - bytes, ..run });
    }

    /// Those that a packet sent later has overtaken, as far as the peer has said what it holds.
    fn overtaken(&self) -> impl Iterator<Item = &Run> {
        let known = self.runs.iter().take_while(|run| run.first <= self.told);
        known.filter(|run| !run.lost && run.packet < self.packets.newest)
    }

    fn find_gaps(&mut self, now: Instant) {
        let overdue = |run: &Run, patience| now >= run.at + patience;
        let patience = self.timing.patience();
        if !self.overtaken().any(|run| overdue(run, patience)) {
            return;
        }
        let before = self.under_way;
        let (newest, told) = (self.packets.newest, self.told);
        for run in self.runs.iter_mut().take_while(|run| run.first <= told) {
            if !run.lost && run.packet < newest && overdue(run, patience) {
                run.lost = true;
                self.lost += run.len();
                self.under_way -= run.bytes;
            }
        }
        self.rate.lost(before - self.under_way);
    }

    /// Time has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.find_gaps(now);
        if self.time_out_at().is_none_or(|at| now < at) {
            return;
        }
        self.probe = self.runs.front().map(|run| run.first);
        self.timeouts += 1;
        if self.timeouts >= SILENT_AFTER {
            self.rate.silence();
        }
    }

    /// When a probe is due: something is under way, and nothing has moved.
    fn time_out_at(&self) -> Option<Instant> {
        let waits = self.under_way > 0 && self.probe.is_none();
        let timeout = if self.suspected { SUSPECTED_INTERVAL } else { self.timing.backed_off(self.timeouts) };
        waits.then(|| self.moved_at + timeout)
    }

    pub(super) fn poll_timeout(&self) -> Option<Wakeup> {
        let patience = self.timing.patience();
        let gap = self.overtaken().map(|run| run.at).min();
        let gap = gap.map(|at| Wakeup { at: at + patience, reason: "a fragment was overtaken" });
        let silent = self.time_out_at().map(|at| Wakeup { at, reason: "nothing acknowledged" });
        Wakeup::earliest(gap, silent)
    }
}

/// The numbered datagrams to one peer.
#[derive(Clone, Debug, Default)]
struct Packets {
    /// The last number given.
    last: u64,
    /// The highest that has come back.
    newest: u64,
    /// The datagram being written has the last number.
    is_open: bool,
    /// When the last ones were sent.
    sent_at: VecDeque<Instant>,
}

impl Packets {
    fn open(&mut self, now: Instant) -> Option<u64> {
        if std::mem::replace(&mut self.is_open, true) {
            return None;
        }
        if self.sent_at.len() == PACKETS_MAX {
            self.sent_at.pop_front();
        }
        self.sent_at.push_back(now);
        self.last += 1;
        Some(self.last)
    }

    /// The round trip that an echo proves, if it is news.
    fn acknowledge(&mut self, now: Instant, newest: Newest) -> Option<Duration> {
        let Newest { number, held_us } = newest;
        if number <= self.newest || number > self.last {
            return None;
        }
        self.newest = number;
        let kept = usize::try_from(self.last - number).unwrap_or(usize::MAX);
        let sent_at = self.sent_at.len().checked_sub(kept + 1).and_then(|at| self.sent_at.get(at).copied());
        self.sent_at.drain(..self.sent_at.len().saturating_sub(kept));
        Some(now.since(sent_at?).saturating_sub(Duration::from_micros(u64::from(held_us))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: u64 = 100;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    /// Sends all that may be sent of a stream that ends with `end`, a fragment a packet; returns the numbers.
    fn send(flight: &mut Flight, now: Instant, end: u64) -> Vec<u64> {
        let mut sent = Vec::new();
        while let Some(seq) = flight.next(end) {
            flight.end_packet();
            flight.number_packet(now);
            flight.sent(now, seq, BYTES);
            sent.push(seq);
        }
        sent
    }

    /// The peer holds all up to `contiguous` and what is listed; the last but so many of my packets came last.
    fn acknowledge(flight: &mut Flight, now: Instant, contiguous: u64, beyond: &[(u64, u64)], but: u64) {
        let mut ranges = Ranges::default();
        beyond.iter().for_each(|&(first, last)| ranges.insert_range(first, last));
        let newest = Newest { number: flight.packets.last - but, held_us: 0 };
        flight.acknowledge(now, contiguous, &ranges, Some(newest));
    }

    /// A flight to a peer that is 10 ms away.
    fn measured() -> Flight {
        let mut flight = Flight::new(at(0));
        for seq in 1..=50 {
            let now = at(20 * seq);
            assert_eq!(send(&mut flight, now, seq), [seq]);
            acknowledge(&mut flight, now + Duration::from_millis(10), seq, &[], 0);
        }
        flight
    }

    #[test]
    fn acknowledged_in_time_nothing_is_repeated_and_no_timer_runs() {
        let mut flight = measured();
        assert_eq!(send(&mut flight, at(2000), 60), (51..=60).collect::<Vec<_>>());
        flight.handle_timeout(at(2005));
        acknowledge(&mut flight, at(2010), 60, &[], 0);
        assert_eq!(send(&mut flight, at(2010), 60), []);
        assert_eq!(flight.poll_timeout(), None);
        assert_eq!((flight.under_way, flight.lost), (0, 0));
    }

    #[test]
    fn a_gap_is_repeated_once_after_the_allowance() {
        let mut flight = measured();
        send(&mut flight, at(2000), 60);
        acknowledge(&mut flight, at(2010), 52, &[(55, 60)], 0);
        assert_eq!(send(&mut flight, at(2010), 60), []);
        let due = flight.poll_timeout().unwrap();
        assert!(due.at > at(2011) && due.at < at(2014), "{due:?}");
        flight.handle_timeout(due.at);
        assert_eq!(send(&mut flight, due.at, 60), [53, 54]);
        acknowledge(&mut flight, due.at, 52, &[(55, 60)], 0);
        assert_eq!(send(&mut flight, due.at, 60), [], "an old vector repeats nothing");
        acknowledge(&mut flight, at(2024), 60, &[], 0);
        assert_eq!(flight.poll_timeout(), None);
    }

    #[test]
    fn without_any_answer_one_fragment_probes_ever_more_rarely() {
        let mut flight = measured();
        let mut now = at(2000);
        assert_eq!(send(&mut flight, now, 60).len(), 10);
        let mut gaps = Vec::new();
        for _ in 0..10 {
            let due = flight.poll_timeout().unwrap();
            gaps.push((due.at - now).as_millis());
            now = due.at;
            flight.handle_timeout(now);
            assert_eq!(send(&mut flight, now, 60), [51]);
        }
        assert!(gaps[0] >= 20 && gaps[0] < 40, "{gaps:?}");
        assert!(gaps.windows(2).all(|pair| pair[1] >= pair[0]));
        assert_eq!(gaps[9], 1000);
    }

    #[test]
    fn the_answer_to_a_probe_tells_what_is_lost() {
        let mut flight = measured();
        send(&mut flight, at(2000), 60);
        let now = flight.poll_timeout().unwrap().at;
        flight.handle_timeout(now);
        assert_eq!(send(&mut flight, now, 60), [51]);
        acknowledge(&mut flight, now + Duration::from_millis(10), 53, &[(58, 58)], 0);
        assert_eq!(send(&mut flight, now + Duration::from_millis(10), 60), [54, 55, 56, 57, 59, 60]);
    }

    #[test]
    fn a_peer_that_was_merely_slow_to_answer_is_sent_one_fragment_twice() {
        let mut flight = measured();
        send(&mut flight, at(2000), 60);
        let now = flight.poll_timeout().unwrap().at;
        flight.handle_timeout(now);
        assert_eq!(send(&mut flight, now, 60), [51]);
        acknowledge(&mut flight, now + Duration::from_millis(1), 60, &[], 0);
        assert_eq!(send(&mut flight, now + Duration::from_millis(1), 60), []);
        assert_eq!(flight.poll_timeout(), None);
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
        assert_eq!(send(&mut flight, at(4001), 90).len(), 30);
    }

    #[test]
    fn what_others_have_repaired_is_not_sent_at_all() {
        let mut flight = Flight::new(at(0));
        acknowledge(&mut flight, at(1), 10, &[], 0);
        assert_eq!(send(&mut flight, at(1), 12), [11, 12]);
    }
}
