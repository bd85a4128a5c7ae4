//! Priorities through a change of view: report what is known, decide between the reports, adopt the decisions.
//!
//! Each message of the cut gets: a final that any promiser knows; else the largest of its sender's proposal, the
//! promisers' proposals, and (clock + 1, rank) of each promiser that has not proposed, whether or not it holds the
//! message; never below the decision of its sender's previous message. What is covered by somebody's word that it is
//! stable is decided only if a final is listed. The coordinator gathers this in a table; what the senders proposed
//! stands in the messages, which every participant holds by then, so that each computes the same. What `safe` does
//! otherwise stands in `safe`.

use super::Total;
use super::runs::{Run, Runs, Stamp};
use super::safe::MARKED;
use super::stream::{Pending, Stream};
use crate::base::id::Rank;
use crate::base::limits::MEMBERS_MAX;
use crate::base::list::List;
use crate::order::table::{SenderReport, SenderTable, TotalReport, TotalTable};
use crate::wire::order::Agreed;

impl Total {
    /// Freezes, and says what it knows of messages not stable.
    pub(in crate::order) fn report(&mut self) -> TotalReport {
        self.frozen = true;
        let of = self.streams.iter().map(|stream| SenderReport {
            stable: stream.finals.floor(),
            finals: stream.finals.from(0).map(Run::to_wire).collect(),
            proposals: match self.uniform {
                // Who has proposed nothing counts with what is above all that it has seen.
                true => List::new(),
                false => stream.mine.from(stream.finals.upto() + 1).map(Run::to_wire).collect(),
            },
        });
        TotalReport { clock: self.clock, of: of.collect() }
    }

    /// Takes the decisions of a cut as my own proposals; in `safe`, those that can be as final. All messages of the cut
    /// have been accepted. (A table that lacks a sender, which no correct coordinator makes, decides as if nothing were
    /// known of it.)
    pub(in crate::order) fn adopt(&mut self, table: &TotalTable) {
        let beyond = (table.beyond.0, Rank::from(table.beyond.1));
        let nothing = SenderTable::default();
        let known = |rank| table.of.get(rank).unwrap_or(&nothing);
        let of = self.streams.iter().enumerate();
        let adopted: Vec<Runs> =
            of.map(|(rank, stream)| decisions(rank, known(rank), beyond, stream)).collect();
        let stamps = adopted.iter().flat_map(|runs| runs.from(0)).map(|run| run.stamp);
        let highest = stamps.filter(|&stamp| stamp != MARKED).max();
        match self.uniform {
            true => self.keep_finals(table, &adopted),
            false => self.propose(&adopted),
        }
        self.see(highest.unwrap_or_default().0);
        self.adopted = Some(adopted);
        self.decided = table.of.iter().map(|known| ranges(&known.finals)).collect();
    }

    fn propose(&mut self, adopted: &[Runs]) {
        for (stream, runs) in self.streams.iter_mut().zip(adopted) {
            let finals = stream.finals.upto();
            stream.mine.truncate(finals);
            for run in runs.from(stream.mine.upto() + 1) {
                stream.mine.extend(run.last, run.stamp);
            }
        }
    }
}

/// The decisions for one sender's messages that wait here.
fn decisions(sender: Rank, known: &SenderTable, beyond: Stamp, stream: &Stream) -> Runs {
    let (finals, proposals) = (ranges(&known.finals), ranges(&known.proposals));
    let first = stream.front().map_or(stream.accepted(), |pending| pending.index - 1);
    let mut decided = Runs::after(first);
    let mut previous: Stamp = find(&finals, first).unwrap_or_default();
    for Pending { index, proposal, .. } in stream.pending() {
        let stamp = find(&finals, *index).unwrap_or_else(|| {
            if known.absent {
                return MARKED;
            }
            let promised = find(&proposals, *index).unwrap_or(beyond);
            promised.max((*proposal, sender)).max(previous)
        });
        decided.extend(*index, stamp);
        previous = stamp;
    }
    decided
}

fn ranges(agreed: &[Agreed]) -> Vec<Run> {
    let run = |a: &Agreed| Run { first: a.first, last: a.last(), stamp: (a.counter, Rank::from(a.rank)) };
    agreed.iter().map(run).collect()
}

pub(super) fn find(runs: &[Run], index: u64) -> Option<Stamp> {
    let at = runs.partition_point(|run| run.last < index);
    runs.get(at).filter(|run| run.first <= index).map(|run| run.stamp)
}

/// The coordinator's table from the reports of those who promise together, each with its rank in their view.
pub(in crate::order) fn decide(uniform: bool, reports: &[(Rank, &TotalReport)]) -> TotalTable {
    let beyond = reports.iter().map(|&(rank, report)| (report.clock.saturating_add(1), rank as u8)).max();
    let members = reports.iter().map(|(_, report)| report.of.len()).max().unwrap_or(0).min(MEMBERS_MAX);
    let of = (0..members).map(|sender| {
        let of: Vec<(Rank, u64, &SenderReport)> = reports
            .iter()
            .filter_map(|&(rank, report)| Some((rank, report.clock, report.of.get(sender)?)))
            .collect();
        let absent = uniform && reports.iter().all(|&(rank, _)| rank != sender);
        SenderTable { absent, ..decide_sender(&of) }
    });
    TotalTable { of: of.collect(), beyond: beyond.unwrap_or_default() }
}

fn decide_sender(reports: &[(Rank, u64, &SenderReport)]) -> SenderTable {
    let stable = reports.iter().map(|(_, _, report)| report.stable).max().unwrap_or(0);
    let finals: Vec<Vec<Run>> = reports.iter().map(|(_, _, report)| ranges(&report.finals)).collect();
    let proposals: Vec<(Stamp, Vec<Run>)> = reports
        .iter()
        .map(|&(rank, clock, report)| ((clock.saturating_add(1), rank), ranges(&report.proposals)))
        .collect();
    let bounds = finals.iter().chain(proposals.iter().map(|(_, runs)| runs)).flatten();
    let mut ends: Vec<u64> =
        bounds.flat_map(|run| [run.first.saturating_sub(1), run.last]).chain([stable]).collect();
    ends.sort_unstable();
    ends.dedup();
    let mut table = SenderTable { stable, ..SenderTable::default() };
    let (mut known, mut promised) = (Vec::new(), Vec::new());
    for pair in ends.windows(2) {
        let (first, last) = (pair[0] + 1, pair[1]);
        if let Some(stamp) = finals.iter().find_map(|runs| find(runs, first)) {
            push(&mut known, Run { first, last, stamp });
        }
        if first > stable {
            let of = proposals.iter().map(|(unproposed, runs)| find(runs, first).unwrap_or(*unproposed));
            push(&mut promised, Run { first, last, stamp: of.max().unwrap_or_default() });
        }
    }
    table.finals = known.into_iter().map(Run::to_wire).collect();
    table.proposals = promised.into_iter().map(Run::to_wire).collect();
    table
}

/// Adds a run; one that goes on with the same stamp makes the last one longer.
fn push(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        Some(last) if last.stamp == run.stamp && last.last + 1 == run.first => last.last = run.last,
        _ => runs.push(run),
    }
}
