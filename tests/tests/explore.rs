//! Every schedule of a few small changes of view, as ordinary tests; `--bin explore` looks at larger ones.

use decury_tests::explore::scenario::{ALL, Scenario};
use decury_tests::explore::search::{self, Report};
use decury_tests::explore::state::{Budget, State};

/// More than any of these needs: an exploration that does not end fails.
const STATES_MAX: u64 = 1_000_000;

fn every_schedule_is_good(scenario: Scenario, budget: Budget) -> Report {
    every_schedule_told_apart_by(State::digest, scenario, budget)
}

fn every_schedule_told_apart_by(tell: fn(&State) -> u64, scenario: Scenario, budget: Budget) -> Report {
    let report = search::explore_by(tell, scenario.begin(budget), STATES_MAX);
    if let Some((what, path)) = &report.violation {
        let path: Vec<String> = path.iter().map(ToString::to_string).collect();
        panic!("{scenario} with {budget:?}: {what}\n{}", path.join("\n"));
    }
    assert!(report.complete, "{scenario} with {budget:?}: more than {STATES_MAX} states");
    assert!(report.settled > 0, "{scenario} with {budget:?}: no schedule comes to its end");
    report
}

#[test]
fn whatever_the_order_of_arrival_three_come_into_one_view() {
    for scenario in ALL.iter().filter(|scenario| **scenario != Scenario::MergePairs) {
        every_schedule_is_good(*scenario, Budget::default());
    }
}

#[test]
fn a_crash_that_is_followed_by_one_lost_datagram_anywhere_leads_to_one_view() {
    let budget = Budget { losses: 1, ..Budget::default() };
    for scenario in [Scenario::Crash(0), Scenario::Crash(1), Scenario::Crash(2)] {
        every_schedule_is_good(scenario, budget);
    }
}

#[test]
fn a_crash_anywhere_while_somebody_joins_leads_to_one_view_whatever_tells_states_apart() {
    let budget = Budget { crashes: 1, ..Budget::default() };
    let report = every_schedule_is_good(Scenario::Join, budget);
    let exact = every_schedule_told_apart_by(State::digest_of_all, Scenario::Join, budget);
    assert!(report.states < exact.states, "{} states of {}", report.states, exact.states);
    assert!(report.outcomes == exact.outcomes, "some outcomes are lost with states that are not looked at");
}

#[test]
fn two_views_merge_although_any_datagram_is_lost() {
    every_schedule_is_good(Scenario::Merge, Budget { losses: 1, ..Budget::default() });
}
