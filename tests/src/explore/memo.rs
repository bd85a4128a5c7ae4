//! What a node does in a state with an input is computed once: most steps of an exploration are found here.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use decury_common::base::time::Instant;

use super::node::{Datagram, Holds, Node};

/// So many turns are remembered; then all are forgotten. A node takes some kilobytes.
const TURNS_MAX: usize = 400_000;

/// What comes to a node.
#[derive(Clone, Debug, Hash)]
pub enum Input {
    /// A datagram.
    Datagram(Arc<Datagram>),
    /// This node is suspected from now on.
    Suspect(usize),
    /// Another node's messages, to take from what it asks for.
    Fetch(Holds),
    /// Its heartbeats are due.
    Heartbeats,
    /// Time has passed.
    Time,
}

/// A node after a turn, and what it has sent.
pub type Turned = (Arc<Node>, Arc<[Arc<Datagram>]>);

/// Turns that were computed.
#[derive(Debug, Default)]
pub struct Memo {
    turns: BTreeMap<(u64, Instant, u64), Turned>,
}

impl Memo {
    /// What this node does now with this input, among so many nodes.
    pub fn turn(&mut self, node: &Arc<Node>, now: Instant, nodes: usize, input: &Input) -> Turned {
        let mut hasher = DefaultHasher::new();
        input.hash(&mut hasher);
        let key = (node.digest, now, hasher.finish());
        if let Some(turned) = self.turns.get(&key) {
            return turned.clone();
        }
        let mut node = Node::clone(node);
        let sent = node.take(now, nodes, input);
        let turned: Turned = (Arc::new(node), sent.into_iter().map(Arc::new).collect());
        if self.turns.len() >= TURNS_MAX {
            self.turns.clear();
        }
        self.turns.insert(key, turned.clone());
        turned
    }
}
