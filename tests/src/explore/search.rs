//! Depth first through all states, each looked at once.

use std::collections::BTreeSet;
use std::time::Duration;

use decury_common::base::time::Instant;

use super::action::Action;
use super::memo::Memo;
use super::seen::Seen;
use super::state::{START, State};

/// So much virtual time a group needs at most, whatever the schedule: suspicions, and several attempts.
const TERMINATES_WITHIN: Duration = Duration::from_secs(120);
/// Longer than any schedule that comes to its end.
const STEPS_MAX: usize = 10_000;
/// Noted for a state that the current schedule has passed through.
const UNDER_WAY: u32 = u32::MAX;

/// What an exploration found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Different states.
    pub states: u64,
    /// Steps between them.
    pub transitions: u64,
    /// States in which all was done.
    pub settled: u64,
    /// What these came to, told apart by the views installed.
    pub outcomes: BTreeSet<u64>,
    /// The longest schedule that was followed.
    pub depth: usize,
    /// The longest time that any schedule takes to its end.
    pub longest: Duration,
    /// Whether nothing is left to explore.
    pub complete: bool,
    /// The first violation, and how it came about.
    pub violation: Option<(String, Vec<Action>)>,
}

/// Explores everything that can come of this state, up to so many states.
///
/// A state that is met again while it is under way is followed once more: what is drawn next may lead out of the circle,
/// and if not, time is up some day.
pub fn explore(initial: State, states_max: u64) -> Report {
    explore_by(State::digest, initial, states_max)
}

/// The same, with states told apart by this.
pub fn explore_by(tell: impl Fn(&State) -> u64, initial: State, states_max: u64) -> Report {
    let (mut report, mut memo, mut seen) = (Report::default(), Memo::default(), Seen::default());
    let digest = tell(&initial);
    seen.set(digest, UNDER_WAY);
    let mut stack = vec![Branch::new(initial, digest)];
    let mut path: Vec<Action> = Vec::new();
    while let Some(branch) = stack.last_mut() {
        let Some(action) = branch.actions.pop() else {
            path.pop();
            let Some(done) = stack.pop() else { break };
            seen.set(done.digest, done.left.min(UNDER_WAY - 1));
            report.longest = Duration::from_millis(u64::from(done.left));
            if let Some(before) = stack.last_mut() {
                before.add(done.state.now, done.left);
                if let Some(stuck) = has_stuck(before.left) {
                    report.violation = Some((stuck, path));
                    return report;
                }
            }
            continue;
        };
        let next = branch.state.after(&action, &mut memo);
        let digest = tell(&next);
        report.transitions += 1;
        let known = seen.get(digest);
        if let Some(left) = known.filter(|&left| left != UNDER_WAY) {
            branch.add(next.now, left);
            continue;
        }
        report.states += u64::from(known.is_none());
        let may_differ = next.steps() != branch.state.steps();
        path.push(action);
        report.depth = report.depth.max(path.len());
        let elapsed = next.now.since(START).as_millis() as u32;
        let violation = if may_differ { next.violation() } else { None };
        let violation = violation
            .or_else(|| has_stuck(elapsed))
            .or_else(|| (path.len() > STEPS_MAX).then(|| format!("not in one view after {STEPS_MAX} steps")));
        if violation.is_some() || report.states >= states_max {
            report.violation = violation.map(|violation| (violation, path));
            return report;
        }
        if next.is_settled() {
            report.settled += 1;
            report.outcomes.insert(next.outcome());
            seen.set(digest, 0);
            branch.add(next.now, 0);
            path.pop();
            continue;
        }
        seen.set(digest, UNDER_WAY);
        let branch = Branch::new(next, digest);
        let is_dead_end = branch.actions.is_empty();
        stack.push(branch);
        if is_dead_end {
            report.violation = Some(("nothing can happen any more".to_owned(), path));
            return report;
        }
    }
    report.complete = true;
    report
}

fn has_stuck(millis: u32) -> Option<String> {
    let long = u128::from(millis) > TERMINATES_WITHIN.as_millis();
    long.then(|| format!("not in one view after {TERMINATES_WITHIN:?}"))
}

/// A state of the current schedule.
struct Branch {
    state: State,
    digest: u64,
    /// What has not been tried yet.
    actions: Vec<Action>,
    /// The longest time to the end of those that were, in milliseconds.
    left: u32,
}

impl Branch {
    fn new(state: State, digest: u64) -> Branch {
        let actions = state.actions();
        Branch { state, digest, actions, left: 0 }
    }

    /// A next state, at this time, needs so long to the end.
    fn add(&mut self, next: Instant, left: u32) {
        let step = next.since(self.state.now).as_millis() as u32;
        self.left = self.left.max(step.saturating_add(left));
    }
}
