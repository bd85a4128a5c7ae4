//! Some nodes, what is in flight between them, and the time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use decury_common::base::limits::SUSPECT_AFTER;
use decury_common::base::time::Instant;

use super::action::Action;
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
    pub flying: Arc<Vec<Datagram>>,
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

    /// What tells this state from others.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.nodes.iter().for_each(|node| node.digest.hash(&mut hasher));
        for datagram in self.flying.iter() {
            (datagram.from, datagram.to, &datagram.bytes).hash(&mut hasher);
        }
        (self.now.as_micros(), self.beat_at.as_micros(), self.budget).hash(&mut hasher);
        hasher.finish()
    }

    /// The state after this action.
    pub fn after(&self, action: &Action) -> State {
        let mut next = self.clone();
        match action {
            Action::Torn(action, sent) => {
                if let Some((node, mut datagrams)) = next.apply(action) {
                    datagrams.truncate(*sent);
                    next.send(datagrams);
                    next.crash(node);
                }
            }
            action => {
                if let Some((_, datagrams)) = next.apply(action) {
                    next.send(datagrams);
                }
            }
        }
        next
    }

    /// What happens at a node gives what it sends then.
    fn apply(&mut self, action: &Action) -> Option<(usize, Vec<Datagram>)> {
        let (now, nodes) = (self.now, self.nodes.len());
        match action {
            Action::Deliver(datagram) => {
                if !self.take(datagram) {
                    self.budget.overtakings -= 1;
                }
                let node = Arc::make_mut(&mut self.nodes[datagram.to]);
                return Some((datagram.to, node.receive(now, nodes, datagram)));
            }
            Action::Suspect(node, gone) => {
                return Some((*node, self.at(*node, |node| _ = node.suspects.insert(*gone))));
            }
            Action::Fetch(node, holder) => {
                let holder = self.nodes[*holder].clone();
                let fetch = |node: &mut Node| {
                    let both = node.holds.as_mut().zip(holder.holds.as_ref());
                    both.map(|(mine, theirs)| mine.fetch(theirs));
                };
                return Some((*node, self.at(*node, fetch)));
            }
            Action::Fire(node) | Action::Hurry(node) => {
                if matches!(action, Action::Hurry(_)) {
                    self.budget.hurries -= 1;
                }
                self.now = self.nodes[*node].deadline().map_or(now, |at| at.max(now));
                return Some((*node, self.at(*node, |_| ())));
            }
            Action::Lose(datagram) => {
                _ = self.take(datagram);
                self.budget.losses -= 1;
            }
            Action::Crash(node) => self.crash(*node),
            Action::Beat => self.beat(),
            Action::Torn(..) => {}
        }
        None
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
        let sent = self.at(node, what);
        self.send(sent);
    }

    fn at(&mut self, node: usize, what: impl FnOnce(&mut Node)) -> Vec<Datagram> {
        let (now, nodes) = (self.now, self.nodes.len());
        let node = Arc::make_mut(&mut self.nodes[node]);
        what(node);
        node.turn(now, nodes)
    }

    fn beat(&mut self) {
        self.now = self.beat_at.max(self.now);
        self.beat_at = self.now + BEAT;
        let up = self.nodes.iter().filter(|node| !matches!(node.stage, Stage::Gone(_)));
        for number in up.map(|node| node.number).collect::<Vec<_>>() {
            let others = (0..self.nodes.len()).map(incarnation);
            self.turn(number, |node| {
                let known: Vec<_> = others.filter(|&other| node.membership.knows(other)).collect();
                known.into_iter().for_each(|other| node.membership.heartbeat(other));
            });
        }
    }

    /// Takes a datagram out. False if it was not the first of its link.
    #[must_use]
    fn take(&mut self, datagram: &Datagram) -> bool {
        let first = self.flying.partition_point(|other| other.link() < datagram.link());
        let flying = Arc::make_mut(&mut self.flying);
        let Some(place) = flying.iter().position(|other| other == datagram) else { return true };
        flying.remove(place);
        place == first
    }

    /// Puts datagrams in flight; nobody receives what is for those who are gone. What only repeats one that is still in
    /// flight on the same link tells nothing new.
    fn send(&mut self, sent: Vec<Datagram>) {
        let flying = Arc::make_mut(&mut self.flying);
        for datagram in sent {
            let gone = |number: usize| matches!(self.nodes[number].stage, Stage::Gone(_));
            let is_cut = (datagram.from < self.split) != (datagram.to < self.split);
            if is_cut || gone(datagram.to) || flying.contains(&datagram) {
                continue;
            }
            let place = flying.partition_point(|other| other.link() <= datagram.link());
            flying.insert(place, datagram);
        }
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
