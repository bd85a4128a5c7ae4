//! What a run amounts to: messages, throughput, latency; in all, in private, and for each group.

use std::collections::BTreeMap;
use std::time::Duration;

use decury_common::base::id::GroupName;
use decury_common::base::limits::GROUPS_MAX;
use decury_common::base::time::Instant;
use decury_common::endpoint::{Endpoint, Latency};
use decury_common::wire::figures::{Figures, Percentiles, Tally};
use hdrhistogram::Histogram;

/// Longer times count as this long: an hour, in microseconds.
const LONGEST_US: u64 = 3_600_000_000;
/// Significant digits of a time: within one part in a hundred, in some 13 KiB.
const DIGITS: u8 = 2;

/// Counts as it happens. Its memory is bounded: of groups beyond those that a report has room for only what they add
/// to the whole is counted.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    since: Instant,
    all: Account,
    private: Account,
    groups: BTreeMap<GroupName, Account>,
}

#[derive(Clone, Debug, Default)]
struct Account {
    sent: u64,
    received: u64,
    /// The first delivery, and the last.
    deliveries: Option<(Instant, Instant)>,
    latencies: Option<Box<Latencies>>,
}

/// Times and errors, in microseconds.
#[derive(Clone, Debug)]
struct Latencies {
    times: Histogram<u32>,
    clock_errors: Histogram<u32>,
}

impl Ledger {
    pub(super) fn new(now: Instant) -> Ledger {
        let (all, private) = Default::default();
        Ledger { since: now, all, private, groups: BTreeMap::new() }
    }

    /// A message is on its way, to a group or in private.
    pub(super) fn sent(&mut self, group: Option<GroupName>) {
        self.all.sent += 1;
        if let Some(account) = self.account(group) {
            account.sent += 1;
        }
    }

    /// A message is delivered, of a group or in private; how long it took, if that was measured.
    pub(super) fn received(&mut self, now: Instant, group: Option<GroupName>, latency: Option<Latency>) {
        self.all.receive(now, latency);
        if let Some(account) = self.account(group) {
            account.receive(now, latency);
        }
    }

    fn account(&mut self, group: Option<GroupName>) -> Option<&mut Account> {
        let Some(group) = group else { return Some(&mut self.private) };
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&group) {
            return None;
        }
        Some(self.groups.entry(group).or_default())
    }

    /// The figures so far.
    pub(super) fn figures(&self, now: Instant, endpoint: &Endpoint) -> Figures {
        let stats = endpoint.stats();
        let groups = self.groups.iter().map(|(&group, account)| {
            let retransmitted = endpoint.counters(group).repeated;
            (group, account.tally(retransmitted))
        });
        Figures {
            ran_us: micros(now.since(self.since)),
            datagrams: stats.datagrams_sent,
            all: self.all.tally(stats.data_repeated),
            private: self.private.tally(endpoint.private_counters().repeated),
            groups: groups.collect(),
        }
    }
}

impl Account {
    fn receive(&mut self, now: Instant, latency: Option<Latency>) {
        self.received += 1;
        let first = self.deliveries.map_or(now, |(first, _)| first);
        self.deliveries = Some((first, now));
        let Some(latency) = latency else { return };
        if self.latencies.is_none() {
            self.latencies = Latencies::new().map(Box::new);
        }
        if let Some(latencies) = &mut self.latencies {
            latencies.record(latency);
        }
    }

    fn tally(&self, retransmitted: u64) -> Tally {
        let spanned = self.deliveries.map_or(Duration::ZERO, |(first, last)| last.since(first));
        let latency = self.latencies.as_ref().map(|latencies| latencies.percentiles());
        let (sent, received) = (self.sent, self.received);
        Tally { sent, received, spanned_us: micros(spanned), retransmitted, latency }
    }
}

impl Latencies {
    /// `None` only if these bounds were none.
    fn new() -> Option<Latencies> {
        let times = Histogram::new_with_bounds(1, LONGEST_US, DIGITS).ok()?;
        Some(Latencies { clock_errors: times.clone(), times })
    }

    fn record(&mut self, latency: Latency) {
        for (histogram, time) in
            [(&mut self.times, latency.time), (&mut self.clock_errors, latency.clock_error)]
        {
            histogram.saturating_record(micros(time).min(LONGEST_US));
        }
    }

    fn percentiles(&self) -> Percentiles {
        Percentiles {
            p50_us: self.times.value_at_quantile(0.5),
            p99_us: self.times.value_at_quantile(0.99),
            clock_error_us: self.clock_errors.value_at_quantile(0.99),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    fn took(time_us: u64, error_us: u64) -> Option<Latency> {
        let time = Duration::from_micros(time_us);
        Some(Latency { time, clock_error: Duration::from_micros(error_us) })
    }

    #[test]
    fn percentiles_are_right_within_a_part_in_a_hundred() {
        let mut account = Account::default();
        for sample in 1..=1_000 {
            account.receive(at(sample), took(sample * 10, sample / 100));
        }
        let latency = account.tally(0).latency.unwrap();
        assert!(latency.p50_us.abs_diff(5_000) <= 50, "{latency:?}");
        assert!(latency.p99_us.abs_diff(9_900) <= 99, "{latency:?}");
        assert_eq!(latency.clock_error_us, 9);
    }

    #[test]
    fn what_is_beyond_all_bounds_counts_as_the_longest() {
        let mut account = Account::default();
        account.receive(at(0), took(u64::MAX, u64::MAX));
        account.receive(at(0), took(0, 0));
        let latency = account.tally(0).latency.unwrap();
        assert!(latency.p99_us.abs_diff(LONGEST_US) <= LONGEST_US / 100, "{latency:?}");
        assert!(latency.p50_us <= 1, "{latency:?}");
    }

    #[test]
    fn groups_beyond_the_bound_count_in_the_whole_only() {
        let mut ledger = Ledger::new(at(0));
        for number in 0..2 * GROUPS_MAX {
            ledger.sent(format!("g{number}").parse().ok());
        }
        ledger.received(at(1), "g0".parse().ok(), None);
        ledger.received(at(3), None, took(7, 1));
        assert_eq!((ledger.groups.len(), ledger.all.sent), (GROUPS_MAX, 2 * GROUPS_MAX as u64));
        let whole = ledger.all.tally(4);
        assert_eq!((whole.received, whole.spanned_us, whole.retransmitted), (2, 2, 4));
        assert_eq!((ledger.private.tally(0).received, ledger.private.tally(0).sent), (1, 0));
        assert_eq!(ledger.groups[&"g0".parse().unwrap()].tally(0).latency, None);
    }
}
