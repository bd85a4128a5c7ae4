//! The runs that nodes have reported: the last ones, in the order in which they came.

use std::collections::VecDeque;

use decury_common::base::id::{Incarnation, UserName};
use decury_common::base::limits::{LISTING_MAX, RUNS_MAX, STREAM_FRAME_MAX};
use decury_common::base::list::List;
use decury_common::wire::figures::{Figures, Run};
use decury_common::wire::stream::encoded_len;
use decury_common::wire::tracker::Answer;

/// Bytes of runs in one answer: a frame's, but for what stands around them.
const PAGE_BYTES: usize = STREAM_FRAME_MAX - 32;

/// At most [`RUNS_MAX`] of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Runs {
    /// Their numbers rise.
    last: VecDeque<Run>,
    /// How many have been reported.
    reported: u64,
}

impl Runs {
    /// Takes a report in. One that the same node has made before is replaced: whoever reports in a loop fills no more
    /// than one place.
    pub(super) fn add(&mut self, at_us: u64, user: UserName, incarnation: Incarnation, figures: Figures) {
        self.reported += 1;
        self.last.retain(|run| run.incarnation != incarnation);
        if self.last.len() >= RUNS_MAX {
            self.last.pop_front();
        }
        self.last.push_back(Run { number: self.reported, at_us, user, incarnation, figures });
    }

    /// Those behind the number `after`, as many as one frame takes.
    pub(super) fn page(&self, after: Option<u64>) -> Answer {
        let mut behind = self.last.iter().filter(|run| run.number > after.unwrap_or(0)).peekable();
        let (mut runs, mut room) = (List::<Run, LISTING_MAX>::new(), PAGE_BYTES);
        while let Some(run) = behind.next_if(|run| !runs.is_full() && encoded_len(run) <= room) {
            room -= encoded_len(run);
            // It is not full.
            let _ = runs.try_push(run.clone());
        }
        Answer::Runs { runs, more: behind.peek().is_some() }
    }
}

#[cfg(test)]
mod tests {
    use decury_common::base::limits::GROUPS_MAX;
    use decury_common::wire::figures::{Percentiles, Tally};
    use decury_common::wire::stream::encode;
    use decury_common::wire::tracker::Told;

    use super::*;

    fn ann() -> UserName {
        "ann".parse().unwrap()
    }

    fn with_groups(groups: usize) -> Figures {
        let latency = Percentiles { p50_us: u64::MAX, p99_us: u64::MAX, clock_error_us: u64::MAX };
        let tally = Tally {
            sent: u64::MAX,
            received: u64::MAX,
            spanned_us: u64::MAX,
            retransmitted: u64::MAX,
            latency: Some(latency),
        };
        let name = "g".repeat(50).parse().unwrap();
        Figures { groups: (0..groups).map(|_| (name, tally)).collect(), ..Figures::default() }
    }

    /// All numbers, page by page; each page fits a frame.
    fn numbers(runs: &Runs) -> Vec<u64> {
        let mut numbers: Vec<u64> = Vec::new();
        loop {
            let answer = runs.page(numbers.last().copied());
            let told = Told::Answer { request: u32::MAX, result: Ok(answer.clone()) };
            assert!(encode(&told).len() > 2, "it did not fit");
            let Answer::Runs { runs: page, more } = answer else { panic!() };
            numbers.extend(page.iter().map(|run| run.number));
            if !more {
                return numbers;
            }
            assert!(!page.is_empty());
        }
    }

    #[test]
    fn the_last_thousand_are_kept_and_come_page_by_page() {
        let mut runs = Runs::default();
        assert!(numbers(&runs).is_empty());
        for run in 1..=RUNS_MAX as u64 + 5 {
            runs.add(run, ann(), Incarnation(run), Figures::default());
        }
        assert_eq!(numbers(&runs), (6..=1_005).collect::<Vec<u64>>());
    }

    #[test]
    fn pages_fit_a_frame_however_large_the_reports_are() {
        let mut runs = Runs::default();
        for run in 1..=20 {
            let groups = if run % 3 == 0 { 1 } else { GROUPS_MAX };
            runs.add(run, ann(), Incarnation(run), with_groups(groups));
        }
        assert_eq!(numbers(&runs), (1..=20).collect::<Vec<u64>>());
    }

    #[test]
    fn a_second_report_of_a_node_takes_the_place_of_its_first() {
        let mut runs = Runs::default();
        runs.add(1, ann(), Incarnation(1), Figures::default());
        runs.add(2, ann(), Incarnation(2), Figures::default());
        runs.add(3, ann(), Incarnation(1), with_groups(1));
        assert_eq!(numbers(&runs), [2, 3]);
    }
}
