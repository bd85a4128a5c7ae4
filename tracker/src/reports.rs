//! `tracker reports`: asks a tracker which runs it has been told of, and prints them.

use std::io::{self, Write};
use std::net::SocketAddr;

use decury_common::base::id::{Incarnation, UserName};
use decury_common::edge::Driver;
use decury_common::machine::StreamMachine as _;
use decury_common::wire::figures::{Readable, Run};
use serde::Serialize;
use thiserror::Error;

use crate::enquiry::{Enquiry, Trouble};

/// What is asked, and how the answer is shown.
#[derive(Clone, Debug)]
pub struct Options {
    /// The trackers to ask, in this order, until one answers.
    pub trackers: Vec<SocketAddr>,
    /// One JSON object a line, in place of a table.
    pub json: bool,
}

/// Why nothing, or not all, could be shown.
#[derive(Debug, Error)]
pub enum ReportsError {
    /// No tracker has answered.
    #[error("{}: {trouble}", listed(.trackers))]
    Trouble {
        /// Those that were asked.
        trackers: Vec<SocketAddr>,
        /// What was wrong with the last.
        trouble: Trouble,
    },
    /// Nobody reads any more, or the disk is full.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// The system refuses something it usually grants.
    #[error("cannot ask: {0}")]
    System(#[from] io::Error),
}

fn listed(trackers: &[SocketAddr]) -> String {
    trackers.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// Asks, and writes the answer to `out`.
pub fn show(options: &Options, out: &mut impl Write) -> Result<(), ReportsError> {
    let mut driver = Driver::new()?;
    let mut enquiry = Enquiry::new(driver.now(), options.trackers.iter().copied());
    let runs = loop {
        driver.transmit_streams(&mut enquiry);
        match enquiry.outcome() {
            Some(Ok(runs)) => break runs,
            Some(Err(trouble)) => {
                return Err(ReportsError::Trouble { trackers: options.trackers.clone(), trouble });
            }
            None => {}
        }
        driver.wait(enquiry.poll_stream_timeout())?;
        driver.receive_streams(&mut enquiry);
    };
    let now_us = driver.clock().unix_micros(driver.now());
    let written = if options.json { lines(runs, out) } else { table(runs, now_us, out) };
    written.and_then(|()| out.flush()).map_err(ReportsError::Output)
}

#[derive(Serialize)]
struct Line<'a> {
    number: u64,
    at: u64,
    user: UserName,
    #[serde(serialize_with = "as_text")]
    incarnation: Incarnation,
    #[serde(flatten)]
    figures: Readable<'a>,
}

fn as_text<S: serde::Serializer>(incarnation: &Incarnation, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(incarnation)
}

fn lines(runs: &[Run], out: &mut impl Write) -> io::Result<()> {
    for run in runs {
        let Run { number, at_us: at, user, incarnation, figures } = run;
        let (number, at, user, incarnation) = (*number, *at, *user, *incarnation);
        serde_json::to_writer(&mut *out, &Line { number, at, user, incarnation, figures: figures.into() })?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

const COLUMNS: [&str; 10] =
    ["user", "ended", "ran", "sent", "received", "per s", "p50 ms", "p99 ms", "+- ms", "sent again"];

fn table(runs: &[Run], now_us: u64, out: &mut impl Write) -> io::Result<()> {
    if runs.is_empty() {
        return writeln!(out, "no run has been reported yet");
    }
    let head = COLUMNS.map(str::to_owned);
    let rows: Vec<[String; 10]> =
        std::iter::once(head).chain(runs.iter().map(|run| row(run, now_us))).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 10] = std::array::from_fn(width);
    for row in &rows {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  "))?;
    }
    Ok(())
}

fn row(run: &Run, now_us: u64) -> [String; 10] {
    let all = &run.figures.all;
    let latency = |of: fn(&decury_common::wire::figures::Percentiles) -> u64| match &all.latency {
        Some(latency) => format!("{:.2}", of(latency) as f64 / 1_000.0),
        None => "-".to_owned(),
    };
    [
        run.user.to_string(),
        format!("{} ago", roughly(now_us.saturating_sub(run.at_us))),
        roughly(run.figures.ran_us),
        all.sent.to_string(),
        all.received.to_string(),
        format!("{:.1}", all.messages_per_s()),
        latency(|latency| latency.p50_us),
        latency(|latency| latency.p99_us),
        latency(|latency| latency.clock_error_us),
        all.retransmitted.to_string(),
    ]
}

/// A time in the largest unit of which it has two.
fn roughly(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use decury_common::wire::figures::{Figures, Percentiles, Tally};

    use super::*;

    fn run() -> Run {
        let latency = Some(Percentiles { p50_us: 310, p99_us: 1_250, clock_error_us: 40 });
        let all = Tally { sent: 2, received: 3, spanned_us: 1_000_000, retransmitted: 1, latency };
        let groups = std::iter::once(("lobby".parse().unwrap(), all)).collect();
        let figures = Figures { ran_us: 130_000_000, datagrams: 9, all, groups, private: Tally::default() };
        let (user, incarnation) = ("ann".parse().unwrap(), Incarnation(0xa));
        Run { number: 7, at_us: 5_000_000, user, incarnation, figures }
    }

    fn text(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_of_json_has_exactly_these_fields() {
        assert_eq!(
            text(|out| lines(&[run()], out)),
            r#"{"number":7,"at":5000000,"user":"ann","incarnation":"000000000000000a","#.to_owned()
                + r#""sent":2,"received":3,"total":5,"messages_per_s":2.0,"#
                + r#""latency_us":{"p50":310,"p99":1250,"clock_error_us":40},"retransmitted":1,"#
                + r#""datagrams":9,"ran_us":130000000,"per_group":{"lobby":{"sent":2,"received":3,"total":5,"#
                + r#""messages_per_s":2.0,"latency_us":{"p50":310,"p99":1250,"clock_error_us":40},"#
                + r#""retransmitted":1}},"private":{"sent":0,"received":0,"total":0,"messages_per_s":0.0,"#
                + r#""latency_us":{"p50":null,"p99":null,"clock_error_us":null},"retransmitted":0}}"#
                + "\n"
        );
    }

    #[test]
    fn the_table_has_a_line_for_each_run() {
        let mut quiet = run();
        quiet.figures.all = Tally::default();
        quiet.user = "bartholomew".parse().unwrap();
        assert_eq!(
            text(|out| table(&[run(), quiet], 65_000_000, out)),
            "user            ended    ran  sent  received  per s  p50 ms  p99 ms  +- ms  sent again\n\
             ann          60 s ago  2 min     2         3    2.0    0.31    1.25   0.04           1\n\
             bartholomew  60 s ago  2 min     0         0    0.0       -       -      -           0\n"
        );
        assert_eq!(text(|out| table(&[], 0, out)), "no run has been reported yet\n");
    }

    #[test]
    fn times_are_told_in_a_unit_that_suits_them() {
        let told = [0, 119, 120, 7_199, 7_200, 172_799, 172_800].map(|seconds| roughly(seconds * 1_000_000));
        assert_eq!(told, ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]);
    }
}
