//! The figures of a node's run: as they travel to the tracker and from there, and as programs read them.

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::base::id::{GroupName, Incarnation, UserName};
use crate::base::limits::GROUPS_MAX;
use crate::base::list::List;

/// The figures of a run, so far or as it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// How long it has been running, in microseconds.
    pub ran_us: u64,
    /// UDP datagrams sent.
    pub datagrams: u64,
    /// Groups and private messages together.
    pub all: Tally,
    /// Private messages alone.
    pub private: Tally,
    /// Each group that it has been in, by name; if there were more than fit, those that came first.
    pub groups: List<(GroupName, Tally), GROUPS_MAX>,
}

/// What was said and heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Messages sent.
    pub sent: u64,
    /// Messages delivered, own ones included.
    pub received: u64,
    /// From the first delivery to the last, in microseconds.
    pub spanned_us: u64,
    /// Messages, or fragments of them, sent once more to somebody.
    pub retransmitted: u64,
    /// How long messages took, if any was measured.
    pub latency: Option<Percentiles>,
}

/// How long messages took from the moment they were handed over for sending until they were delivered, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half of them took no longer.
    pub p50_us: u64,
    /// 99 of 100 took no longer.
    pub p99_us: u64,
    /// For 99 of 100, the error of the offset between the two clocks was no larger.
    pub clock_error_us: u64,
}

/// A run that has ended, as a tracker keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its number at the tracker; rises with each that is reported.
    pub number: u64,
    /// When it was reported, in microseconds since 1970, by the tracker's clock.
    pub at_us: u64,
    /// Whose it was.
    pub user: UserName,
    /// The running node.
    pub incarnation: Incarnation,
    /// Its figures.
    pub figures: Figures,
}

impl Tally {
    /// Sent and received together.
    pub fn total(&self) -> u64 {
        self.sent.saturating_add(self.received)
    }

    /// Deliveries a second, from the first to the last; zero if they did not take any time.
    pub fn messages_per_s(&self) -> f64 {
        let intervals = self.received.saturating_sub(1) as f64;
        if self.spanned_us == 0 { 0.0 } else { intervals * 1_000_000.0 / self.spanned_us as f64 }
    }
}

/// Figures under the names by which programs read them, to be serialised as a map: `sent`, `received`, `total`,
/// `messages_per_s`, `latency_us` (`p50`, `p99`, `clock_error_us`; null if nothing was measured), `retransmitted`,
/// `datagrams`, `ran_us`; the same but for the last two in `private`, and for each group by name in `per_group`.
#[derive(Clone, Debug, Serialize)]
pub struct Readable<'a> {
    #[serde(flatten)]
    all: ReadableTally,
    datagrams: u64,
    ran_us: u64,
    #[serde(serialize_with = "by_name")]
    per_group: &'a [(GroupName, Tally)],
    private: ReadableTally,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct ReadableTally {
    sent: u64,
    received: u64,
    total: u64,
    messages_per_s: f64,
    latency_us: ReadableLatency,
    retransmitted: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct ReadableLatency {
    p50: Option<u64>,
    p99: Option<u64>,
    clock_error_us: Option<u64>,
}

impl<'a> From<&'a Figures> for Readable<'a> {
    fn from(figures: &'a Figures) -> Readable<'a> {
        let Figures { ran_us, datagrams, all, private, groups } = figures;
        Readable {
            all: all.into(),
            datagrams: *datagrams,
            ran_us: *ran_us,
            per_group: groups,
            private: private.into(),
        }
    }
}

impl From<&Tally> for ReadableTally {
    fn from(tally: &Tally) -> ReadableTally {
        let latency = tally.latency;
        ReadableTally {
            sent: tally.sent,
            received: tally.received,
            total: tally.total(),
            messages_per_s: (tally.messages_per_s() * 10.0).round() / 10.0,
            latency_us: ReadableLatency {
                p50: latency.map(|latency| latency.p50_us),
                p99: latency.map(|latency| latency.p99_us),
                clock_error_us: latency.map(|latency| latency.clock_error_us),
            },
            retransmitted: tally.retransmitted,
        }
    }
}

fn by_name<S: Serializer>(groups: &[(GroupName, Tally)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(groups.len()))?;
    for (name, tally) in groups {
        map.serialize_entry(name, &ReadableTally::from(tally))?;
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throughput_counts_the_intervals_between_deliveries() {
        let tally = |received, spanned_us| Tally { received, spanned_us, ..Tally::default() };
        for (received, spanned_us, rate) in
            [(0, 0, 0.0), (1, 0, 0.0), (5, 0, 0.0), (2, 1_000_000, 1.0), (101, 50_000, 2_000.0)]
        {
            assert_eq!(tally(received, spanned_us).messages_per_s(), rate);
        }
        assert!(tally(u64::MAX, 1).messages_per_s().is_finite());
        assert_eq!(Tally { sent: u64::MAX, received: 1, ..Tally::default() }.total(), u64::MAX);
    }
}
