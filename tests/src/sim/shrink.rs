//! Makes a failing plan smaller: leaves steps out as long as the same promise is still broken (Zeller and Hildebrandt,
//! *Simplifying and isolating failure-inducing input*, 2002).

use super::host::Starter;
use super::plan::Plan;
use super::run::{Outcome, run_hosts, starter};

/// A plan with as few of the given one's steps as `runs` runs can find, that breaks the same promise; and how it ends.
pub fn shrink(plan: &Plan, seen: &Outcome, runs: usize) -> (Plan, Outcome) {
    shrink_hosts(plan, seen, runs, &starter(plan))
}

/// As [`shrink`], for hosts that are started in the given way.
pub(crate) fn shrink_hosts(plan: &Plan, seen: &Outcome, runs: usize, starter: &Starter) -> (Plan, Outcome) {
    let promise = |outcome: &Outcome| outcome.violation.as_ref().map(|violation| violation.promise);
    let (mut best, mut outcome, mut left) = (plan.clone(), seen.clone(), runs);
    let mut chunk = best.steps.len().div_ceil(2);
    while chunk > 0 && left > 0 {
        let (mut start, mut smaller) = (0, false);
        while start < best.steps.len() && left > 0 {
            let mut candidate = best.clone();
            candidate.steps.drain(start..(start + chunk).min(best.steps.len()));
            left -= 1;
            let ended = run_hosts(&candidate, starter);
            if promise(&ended) == promise(seen) {
                (best, outcome, smaller) = (candidate, ended, true);
            } else {
                start += chunk;
            }
        }
        if !smaller || chunk > 1 {
            chunk /= 2;
        }
    }
    (best, outcome)
}
