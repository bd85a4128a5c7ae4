//! Depth first through all states, each looked at once.

use std::collections::BTreeSet;
use std::time::Duration;

use super::action::Action;
use super::state::{START, State};

/// So much virtual time a group needs at most, whatever the schedule: suspicions, and several attempts.
const TERMINATES_WITHIN: Duration = Duration::from_secs(120);

/// What an exploration found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Different states.
    pub states: u64,
    /// Steps between them.
    pub transitions: u64,
    /// States in which all was done.
    pub settled: u64,
    /// The longest schedule.
    pub depth: usize,
    /// Whether nothing is left to explore.
    pub complete: bool,
    /// The first violation, and how it came about.
    pub violation: Option<(String, Vec<Action>)>,
}

/// Explores everything that can come of this state, up to so many states.
pub fn explore(initial: State, states_max: u64) -> Report {
    let mut report = Report::default();
    let mut seen = BTreeSet::from([initial.digest()]);
    let mut stack = vec![Branch::new(initial)];
    let mut path: Vec<Action> = Vec::new();
    while let Some(branch) = stack.last_mut() {
        let Some(action) = branch.actions.pop() else {
            stack.pop();
            path.pop();
            continue;
        };
        let next = branch.state.after(&action);
        report.transitions += 1;
        if !seen.insert(next.digest()) {
            continue;
        }
        report.states += 1;
        path.push(action);
        report.depth = report.depth.max(path.len());
        if let Some(violation) = next.violation().or_else(|| has_stuck(&next)) {
            report.violation = Some((violation, path));
            return report;
        }
        if report.states >= states_max {
            return report;
        }
        if next.is_settled() {
            report.settled += 1;
            path.pop();
            continue;
        }
        stack.push(Branch::new(next));
    }
    report.complete = true;
    report
}

fn has_stuck(state: &State) -> Option<String> {
    let long = state.now.since(START) > TERMINATES_WITHIN;
    let views = || state.staying().map(|node| format!("n{}: {:?}", node.number, node.view()));
    long.then(|| format!("not in one view after {TERMINATES_WITHIN:?}: {:?}", views().collect::<Vec<_>>()))
}

struct Branch {
    state: State,
    actions: Vec<Action>,
}

impl Branch {
    fn new(state: State) -> Branch {
        let actions = state.actions();
        Branch { state, actions }
    }
}
