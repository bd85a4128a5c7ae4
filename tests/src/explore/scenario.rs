//! Where explorations begin.

use std::fmt;
use std::str::FromStr;

use super::action::Action;
use super::memo::Memo;
use super::node::{Node, Stage};
use super::state::{Budget, START, State};

/// A group in which something has just begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// Three members; this one has just crashed.
    Crash(usize),
    /// Three members; this one wants to leave.
    Leave(usize),
    /// Two members, and a third who wants in.
    Join,
    /// Three members, of whom the last was apart; the two views are in reach of each other again.
    Merge,
    /// Four members in two views of two, in reach of each other again.
    MergePairs,
}

/// All of them.
pub const ALL: &[Scenario] = &[
    Scenario::Crash(0),
    Scenario::Crash(1),
    Scenario::Crash(2),
    Scenario::Leave(0),
    Scenario::Leave(1),
    Scenario::Leave(2),
    Scenario::Join,
    Scenario::Merge,
    Scenario::MergePairs,
];

impl Scenario {
    /// Its first state, with this much still to go wrong.
    pub fn begin(self, budget: Budget) -> State {
        let mut state = match self {
            Scenario::Crash(node) => {
                let mut state = together(3);
                state.budget.crashes = 1;
                state.after(&Action::Crash(node), &mut Memo::default())
            }
            Scenario::Leave(node) => {
                let mut state = together(3);
                state.turn(node, |node| {
                    node.leaving = true;
                    node.membership.leave();
                });
                state
            }
            Scenario::Join => {
                let mut state = together(2);
                state.add(Node::new(state.now, 2, &[0, 1]));
                state
            }
            Scenario::Merge => apart(3, 2),
            Scenario::MergePairs => apart(4, 2),
        };
        state.budget = budget;
        state
    }
}

/// So many nodes in one view.
fn together(nodes: usize) -> State {
    let contacts = |number: usize| if number == 0 { Vec::new() } else { vec![0] };
    let state = State::new((0..nodes).map(|number| Node::new(START, number, &contacts(number))).collect());
    run(state, State::is_settled)
}

/// So many nodes; those from `split` on were apart from the others, and are in reach again.
fn apart(nodes: usize, split: usize) -> State {
    let mut state = together(nodes);
    state.split = split;
    for node in 0..nodes {
        let others = (0..nodes).filter(|&other| (other < split) != (node < split));
        state.turn(node, |node| node.suspects.extend(others));
    }
    let mut state = run(state, |state| {
        let members = |node: &Node| node.membership.view().map_or(0, |view| view.members.len());
        let wanted = |node: usize| if node < split { split } else { nodes - split };
        let in_order = |node: &Node| members(node) == wanted(node.number) && !node.membership.is_frozen();
        state.flying.is_empty() && state.nodes.iter().all(|node| in_order(node))
    });
    state.split = 0;
    for node in 0..nodes {
        state.turn(node, |node| node.suspects.clear());
    }
    state.after(&Action::Beat, &mut Memo::default())
}

/// One schedule in which nothing goes wrong, until `done`.
fn run(mut state: State, done: impl Fn(&State) -> bool) -> State {
    let mut memo = Memo::default();
    for _ in 0..10_000 {
        if done(&state) {
            return state;
        }
        let Some(action) = state.actions().into_iter().next() else { break };
        state = state.after(&action, &mut memo);
    }
    unreachable!(
        "a schedule in which nothing goes wrong comes to its end: {:?}",
        state.staying().map(|n| n.view()).collect::<Vec<_>>()
    )
}

impl State {
    fn add(&mut self, node: Node) {
        let number = node.number;
        debug_assert_eq!(node.stage, Stage::Here);
        self.nodes.push(node.into());
        self.turn(number, |_| ());
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scenario::Crash(node) => write!(f, "crash{node}"),
            Scenario::Leave(node) => write!(f, "leave{node}"),
            Scenario::Join => f.write_str("join"),
            Scenario::Merge => f.write_str("merge"),
            Scenario::MergePairs => f.write_str("merge-pairs"),
        }
    }
}

/// No scenario has this name.
#[derive(Clone, Debug, thiserror::Error)]
#[error("expected one of {}", ALL.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
pub struct NoScenario;

impl FromStr for Scenario {
    type Err = NoScenario;

    fn from_str(name: &str) -> Result<Scenario, NoScenario> {
        ALL.iter().copied().find(|scenario| scenario.to_string() == name).ok_or(NoScenario)
    }
}
