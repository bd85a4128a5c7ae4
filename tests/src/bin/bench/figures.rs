//! What a run has shown: a line of the table, or a JSON object.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::options::Run;

/// The columns' names and widths.
pub(crate) const HEAD: &str = "via  members order   bytes senders mode   deliveries/s   p50 us   p99 us   max us  \
    cpu us  datagrams  repeated   MiB";

/// The figures of a run in which nothing was wrong.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    #[serde(flatten)]
    pub(crate) run: Run,
    /// Messages.
    pub(crate) sent: u64,
    /// At all members together.
    pub(crate) deliveries: u64,
    /// At the slowest member, from its first delivery to its last.
    pub(crate) deliveries_per_s: f64,
    /// From the write of a line to the `message` that another member's node has printed, or from `send` to the event;
    /// of paced runs.
    pub(crate) latency_us: Option<Latency>,
    /// Processor time of all members, for each delivery at one.
    pub(crate) cpu_us_per_delivery: f64,
    /// UDP datagrams sent by all members.
    pub(crate) datagrams: u64,
    /// Messages, or fragments of them, sent once more to somebody.
    pub(crate) retransmitted: u64,
    /// The most memory that any node ever had; through the library, an even share of the process's.
    pub(crate) peak_kib: u64,
}

/// Microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Latency {
    /// Of a histogram of nanoseconds; none if it is empty.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Latency> {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        let max = histogram.max() as f64 / 1e3;
        (!histogram.is_empty()).then(|| Latency { p50: at(0.5), p99: at(0.99), max })
    }
}

/// The beginning of a line: which run it is.
pub(crate) fn name(run: &Run) -> String {
    let Run { via, members, order, size, senders, mode, .. } = run;
    format!("{via:4} {members:7} {order:6} {size:6} {senders:7} {mode:6}")
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:12.0}", name(&self.run), self.deliveries_per_s)?;
        match self.latency_us {
            Some(Latency { p50, p99, max }) => write!(f, " {p50:8.0} {p99:8.0} {max:8.0}")?,
            None => write!(f, " {0:>8} {0:>8} {0:>8}", "-")?,
        }
        let mib = self.peak_kib as f64 / 1024.0;
        let (cpu, datagrams, repeated) = (self.cpu_us_per_delivery, self.datagrams, self.retransmitted);
        write!(f, " {cpu:7.1} {datagrams:10} {repeated:9} {mib:5.1}")
    }
}
