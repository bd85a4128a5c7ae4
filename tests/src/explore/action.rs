//! What can happen next.

use std::fmt;
use std::sync::Arc;

use super::node::{Datagram, Stage};
use super::state::State;
use crate::sim::frames;

/// One step of a schedule. Numbers are those of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// This datagram arrives.
    Deliver(Arc<Datagram>),
    /// This datagram is lost.
    Lose(Arc<Datagram>),
    /// A node crashes.
    Crash(usize),
    /// The first suspects the second, who is gone.
    Suspect(usize, usize),
    /// A node gets what it asks for from another.
    Fetch(usize, usize),
    /// A node's timers fire, with nothing in flight.
    Fire(usize),
    /// A node's timers fire although something is in flight: it is slow.
    Hurry(usize),
    /// All send heartbeats.
    Beat,
    /// This happens at a node, which crashes when so many of the datagrams that it sends then have left.
    Torn(Box<Action>, usize),
}

impl State {
    /// Everything that can happen next.
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut link = None;
        for datagram in self.flying.iter() {
            // That one further back is lost shows when it would arrive.
            if link.replace(datagram.link()) != Some(datagram.link()) || self.budget.overtakings > 0 {
                actions.push(Action::Deliver(datagram.clone()));
                if self.budget.losses > 0 {
                    actions.push(Action::Lose(datagram.clone()));
                }
            }
        }
        let here = || self.nodes.iter().filter(|node| node.stage == Stage::Here);
        if self.budget.crashes > 0 {
            actions.extend(here().map(|node| Action::Crash(node.number)));
        }
        let mut overdue = false;
        for node in self.nodes.iter().filter(|node| !matches!(node.stage, Stage::Gone(_))) {
            for gone in self.suspectable(node) {
                overdue |= self.is_overdue(gone);
                actions.push(Action::Suspect(node.number, gone));
            }
            let lacking = node.holds.as_ref().filter(|holds| holds.lacks_something());
            for holder in here().filter(|holder| holder.number != node.number) {
                let mut would = lacking.cloned();
                let moved = would.as_mut().zip(holder.holds.as_ref()).is_some_and(|(w, h)| w.fetch(h));
                if moved {
                    actions.push(Action::Fetch(node.number, holder.number));
                }
            }
        }
        self.timers(overdue, &mut actions);
        if self.budget.crashes > 0 {
            self.torn(&mut actions);
        }
        actions
    }

    /// Crashes in the middle of a turn, between two datagrams.
    fn torn(&self, actions: &mut Vec<Action>) {
        for place in 0..actions.len() {
            let here = match &actions[place] {
                Action::Deliver(datagram) => datagram.to,
                Action::Suspect(node, _) | Action::Fetch(node, _) => *node,
                Action::Fire(node) | Action::Hurry(node) => *node,
                Action::Lose(_) | Action::Crash(_) | Action::Beat | Action::Torn(..) => continue,
            };
            if self.nodes[here].stage == Stage::Here {
                let torn = (0..self.nodes.len() - 1)
                    .map(|sent| Action::Torn(Box::new(actions[place].clone()), sent));
                let torn: Vec<Action> = torn.collect();
                actions.extend(torn);
            }
        }
    }

    /// Time passes when nothing else must happen first.
    fn timers(&self, overdue: bool, actions: &mut Vec<Action>) {
        let deadlines = self.nodes.iter().filter_map(|node| Some((node.due?, node.number)));
        let deadlines: Vec<_> = deadlines.collect();
        if !self.flying.is_empty() {
            if self.budget.hurries > 0 {
                actions.extend(deadlines.iter().map(|&(_, node)| Action::Hurry(node)));
            }
            return;
        }
        let fetching = actions.iter().any(|action| matches!(action, Action::Fetch(..)));
        if overdue || fetching {
            return;
        }
        let first = deadlines.iter().map(|&(at, _)| at).min().filter(|&at| at < self.beat_at);
        match first {
            Some(first) => {
                let due = deadlines.iter().filter(|&&(at, _)| at <= first.max(self.now));
                actions.extend(due.map(|&(_, node)| Action::Fire(node)));
            }
            None => actions.push(Action::Beat),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Deliver(d) => write!(f, "n{} -> n{} arrives: {}", d.from, d.to, text(d)),
            Action::Lose(d) => write!(f, "n{} -> n{} is lost: {}", d.from, d.to, text(d)),
            Action::Crash(node) => write!(f, "n{node} CRASHES"),
            Action::Suspect(node, gone) => write!(f, "n{node} suspects n{gone}"),
            Action::Fetch(node, holder) => write!(f, "n{node} fetches from n{holder}"),
            Action::Fire(node) => write!(f, "n{node}'s timers fire"),
            Action::Hurry(node) => write!(f, "n{node}'s timers fire too early"),
            Action::Beat => f.write_str("heartbeats"),
            Action::Torn(action, sent) => write!(f, "{action}; there a CRASH after {sent} datagrams"),
        }
    }
}

fn text(datagram: &Datagram) -> String {
    frames::describe(&datagram.bytes)
}
