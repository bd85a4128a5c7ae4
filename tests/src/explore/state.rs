//! Some nodes, what is in flight between them, and the time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use decury_common::base::limits::SUSPECT_AFTER;
use decury_common::base::time::Instant;

use super::action::Action;
use super::memo::{Input, Memo};
use super::node::{Datagram, Node, Stage, incarnation};

/// When an exploration begins: late enough for "two seconds ago".
pub const START: Instant = Instant::from_micros(1_000_000_000);
/// Heartbeats go out that often when nothing else happens. (The real pace is faster; what beacons say is said at once
/// when it changes, these only repeat it.)
const BEAT: Duration = Duration::from_secs(1);

/// How often what may still go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Crashes.
    pub crashes: u8,
    /// Lost datagrams.
    pub losses: u8,
    /// Datagrams that overtake another one of the same link.
    pub overtakings: u8,
    /// Timers that fire while something is in flight.
    pub hurries: u8,
}

/// One state of an exploration.
#[derive(Clone, Debug)]
pub struct State {
    /// The time, the same for all.
    pub now: Instant,
    /// The nodes, by number.
    pub nodes: Vec<Arc<Node>>,
    /// What is in flight: by link, on each in the order of sending.
    pub flying: Arc<Vec<Arc<Datagram>>>,
    /// What may still go wrong.
    pub budget: Budget,
    /// When heartbeats are due.
    pub beat_at: Instant,
    /// Nothing passes between nodes below this number and the others.
    pub split: usize,
}

impl State {
    /// These nodes, and what they send at first.
    pub fn new(nodes: Vec<Node>) -> State {
        let nodes: Vec<Arc<Node>> = nodes.into_iter().map(Arc::new).collect();
        let flying = Arc::new(Vec::new());
        let mut state =
            State { now: START, nodes, flying, budget: Budget::default(), beat_at: START + BEAT, split: 0 };
        for node in 0..state.nodes.len() {
            state.turn(node, |_| ());
        }
        state
    }

    /// Of everything, the time included.
    pub fn digest_of_all(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.nodes.iter().for_each(|node| node.digest.hash(&mut hasher));
        (&self.flying, self.now, self.beat_at, self.budget).hash(&mut hasher);
        hasher.finish()
    }

    /// Of the views that were installed, by whom.
    pub fn outcome(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.nodes.iter().for_each(|node| node.steps.hash(&mut hasher));
        hasher.finish()
    }

    /// Of what counts: what tells this state from others.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.nodes.iter().for_each(|node| node.canonical.hash(self.now, &mut hasher));
        for datagram in self.flying.iter() {
            datagram.hash(&mut hasher);
        }
        (self.beat_at.since(self.now), self.budget).hash(&mut hasher);
        hasher.finish()
    }

    /// The state after this action.
    pub fn after(&self, action: &Action, memo: &mut Memo) -> State {
        let mut next = self.clone();
        match action {
            Action::Torn(action, sent) => {
                if let Some((node, datagrams)) = next.apply(action, memo) {
                    next.send(&datagrams[..datagrams.len().min(*sent)]);
                    next.crash(node);
                }
            }
            action => {
                if let Some((_, datagrams)) = next.apply(action, memo) {
                    next.send(&datagrams);
                }
            }
        }
        next
    }

    /// What happens at a node gives what it sends then.
    fn apply(&mut self, action: &Action, memo: &mut Memo) -> Option<(usize, Arc<[Arc<Datagram>]>)> {
        let (node, input) = match action {
            Action::Deliver(datagram) => {
                if !self.take(datagram) {
                    self.budget.overtakings -= 1;
                }
                (datagram.to, Input::Datagram(datagram.clone()))
            }
            Action::Suspect(node, gone) => (*node, Input::Suspect(*gone)),
            Action::Fetch(node, holder) => (*node, Input::Fetch(self.nodes[*holder].holds.clone()?)),
            Action::Fire(node) | Action::Hurry(node) => {
                if matches!(action, Action::Hurry(_)) {
                    self.budget.hurries -= 1;
                }
                self.now = self.nodes[*node].due.map_or(self.now, |at| at.max(self.now));
                (*node, Input::Time)
            }
            Action::Lose(datagram) => {
                _ = self.take(datagram);
                self.budget.losses -= 1;
                return None;
            }
            Action::Crash(node) => {
                self.crash(*node);
                return None;
            }
            Action::Beat => {
                self.beat(memo);
                return None;
            }
            Action::Torn(..) => return None,
        };
        Some((node, self.turned(node, &input, memo)))
    }

    fn turned(&mut self, node: usize, input: &Input, memo: &mut Memo) -> Arc<[Arc<Datagram>]> {
        let (after, sent) = memo.turn(&self.nodes[node], self.now, self.nodes.len(), input);
        self.nodes[node] = after;
        sent
    }

    fn crash(&mut self, node: usize) {
        self.budget.crashes -= 1;
        let crashed = Arc::make_mut(&mut self.nodes[node]);
        crashed.stage = Stage::Gone(self.now);
        crashed.note_digest();
        Arc::make_mut(&mut self.flying).retain(|datagram| datagram.to != node);
    }

    /// Something happens at a node, and it looks at everything anew; what it sends then is in flight.
    pub fn turn(&mut self, node: usize, what: impl FnOnce(&mut Node)) {
        let (now, nodes) = (self.now, self.nodes.len());
        let turning = Arc::make_mut(&mut self.nodes[node]);
        what(turning);
        let sent: Vec<_> = turning.turn(now, nodes).into_iter().map(Arc::new).collect();
        self.send(&sent);
    }

    fn beat(&mut self, memo: &mut Memo) {
        self.now = self.beat_at.max(self.now);
        self.beat_at = self.now + BEAT;
        for node in 0..self.nodes.len() {
            if !matches!(self.nodes[node].stage, Stage::Gone(_)) {
                let sent = self.turned(node, &Input::Heartbeats, memo);
                self.send(&sent);
            }
        }
    }

    /// Takes a datagram out. False if it was not the first of its link.
    #[must_use]
    fn take(&mut self, datagram: &Arc<Datagram>) -> bool {
        let first = self.flying.partition_point(|other| other.link() < datagram.link());
        let flying = Arc::make_mut(&mut self.flying);
        let Some(place) = flying.iter().position(|other| other == datagram) else { return true };
        flying.remove(place);
        place == first
    }

    /// Puts datagrams in flight; nobody receives what is for those who are gone. What only repeats the one
    /// before it on the same link tells nothing new.
    fn send(&mut self, sent: &[Arc<Datagram>]) {
        let flying = Arc::make_mut(&mut self.flying);
        for datagram in sent {
            let gone = |number: usize| matches!(self.nodes[number].stage, Stage::Gone(_));
            let is_cut = (datagram.from < self.split) != (datagram.to < self.split);
            if is_cut || gone(datagram.to) {
                continue;
            }
            let place = flying.partition_point(|other| other.link() <= datagram.link());
            if place.checked_sub(1).is_none_or(|before| flying[before] != *datagram) {
                flying.insert(place, datagram.clone());
            }
        }
    }

    /// How many views were installed, by all.
    pub fn steps(&self) -> usize {
        self.nodes.iter().map(|node| node.steps.len()).sum()
    }

    /// Those who are gone, whom this node knows and does not suspect.
    pub fn suspectable(&self, node: &Node) -> Vec<usize> {
        let gone = self.nodes.iter().filter(|other| matches!(other.stage, Stage::Gone(_)));
        let gone = gone.filter(|other| node.membership.knows(incarnation(other.number)));
        gone.map(|other| other.number).filter(|other| !node.suspects.contains(other)).collect()
    }

    /// Whether this node has been gone for so long that it must be suspected.
    pub fn is_overdue(&self, gone: usize) -> bool {
        matches!(self.nodes[gone].stage, Stage::Gone(at) if self.now.since(at) >= SUSPECT_AFTER)
    }

    /// Those who are in the group to stay.
    pub fn staying(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.iter().filter(|node| node.stage == Stage::Here && !node.leaving)
    }

    /// Whether all is done: those who stay are in one view, nobody else is on the way, nothing is in flight.
    pub fn is_settled(&self) -> bool {
        let stay: Vec<_> = self.staying().map(|node| incarnation(node.number)).collect();
        let in_order = |node: &Arc<Node>| {
            let Some(view) = node.membership.view() else { return false };
            view.members.len() == stay.len()
                && view.members.iter().all(|member| stay.contains(&member.id.incarnation))
                && !node.membership.is_frozen()
        };
        let mut views = self.staying().map(|node| node.view());
        let first = views.next();
        self.flying.is_empty()
            && self.staying().all(in_order)
            && views.all(|view| Some(view) == first)
            && !self.nodes.iter().any(|node| node.stage == Stage::Here && node.leaving)
    }
}
