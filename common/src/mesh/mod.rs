//! Who can be reached: heartbeats, round-trip times, clock offsets, suspicion.
//!
//! The model: every node sends each peer it is interested in a numbered [`Hello`] at a steady pace; each repeats the
//! newest number heard from the other. A number that comes back proves that both directions work. A peer is
//! **suspected** when no such proof is younger than the suspicion time: hearing it is not enough, being heard counts
//! too. A peer that does not answer is probed at all its addresses, ever more rarely, at least every two seconds:
//! that is how sides that were cut off find each other again.
//!
//! Heartbeats ride on whatever else leaves for the peer in the same turn.

mod clock;
mod peer;
mod rtt;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Bound;
use std::time::Duration;

pub use clock::{ClockOffset, Latency};
pub use rtt::Rtt;

use crate::base::id::Incarnation;
use crate::base::limits::PEERS_MAX;
use crate::base::time::Instant;
use crate::machine::Wakeup;
use crate::wire::membership::Addresses;
use crate::wire::mesh::Hello;
use peer::Peer;

/// A stranger who has not been wanted by any group is forgotten after this long without a word.
const STRANGER_KEPT: Duration = Duration::from_secs(10);

/// What the mesh found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeshEvent {
    /// We hear each other, for the first time.
    Met(Incarnation),
    /// No proof for the suspicion time that we hear each other.
    Suspected(Incarnation),
    /// A suspected peer and we hear each other again.
    Back(Incarnation),
}

/// All peers of one node.
#[derive(Clone, Debug)]
pub struct Mesh {
    suspect_after: Duration,
    pace: Duration,
    peers: BTreeMap<Incarnation, Peer>,
    events: Vec<MeshEvent>,
    /// The highest number of a heartbeat to a peer that was forgotten.
    forgotten: u64,
}

impl Mesh {
    /// No peers yet. A peer is suspected after `suspect_after` without proof that we hear each other.
    pub fn new(suspect_after: Duration) -> Mesh {
        let pace = (suspect_after / 16).clamp(Duration::from_millis(10), Duration::from_millis(250));
        Mesh { suspect_after, pace, peers: BTreeMap::new(), events: Vec::new(), forgotten: 0 }
    }

    /// The suspicion time.
    pub fn suspect_after(&self) -> Duration {
        self.suspect_after
    }

    /// Somebody is interested in this peer; further addresses are added to the known ones.
    pub fn want(&mut self, now: Instant, node: Incarnation, addresses: &[SocketAddr]) {
        if !self.peers.contains_key(&node) && !self.make_room(now) {
            return;
        }
        let number = self.forgotten;
        let peer = self.peers.entry(node).or_insert_with(|| Peer::new(now, number));
        peer.wanted = true;
        for address in addresses {
            if !peer.addresses.contains(address) && peer.addresses.try_push(*address).is_ok() {
                peer.probe_soon(now);
            }
        }
    }

    /// Whether a further peer that is wanted would be taken, if need be in place of another.
    pub fn has_room(&self) -> bool {
        self.peers.len() < PEERS_MAX || self.dispensable().next().is_some()
    }

    /// The same for this one, which may be among the peers.
    pub fn has_room_for(&self, node: Incarnation) -> bool {
        self.knows(node) || self.has_room()
    }

    /// Those who can be forgotten when there are too many.
    fn dispensable(&self) -> impl Iterator<Item = (Incarnation, &Peer)> {
        let peers = self.peers.iter().filter(|(_, peer)| peer.suspected || !peer.met);
        peers.map(|(&node, peer)| (node, peer))
    }

    /// Forgets every peer that `wanted` does not name, except strangers heard a moment ago.
    pub fn retain(&mut self, now: Instant, wanted: impl Fn(Incarnation) -> bool) {
        let recent = |peer: &Peer| peer.heard_at.is_some_and(|at| now.since(at) < STRANGER_KEPT);
        let forgotten = &mut self.forgotten;
        self.peers.retain(|&node, peer| {
            peer.wanted = wanted(node);
            let kept = peer.wanted || recent(peer);
            if !kept {
                *forgotten = peer.number.max(*forgotten);
            }
            kept
        });
    }

    /// A datagram of this node has come, from this address. False when there is no room for a stranger.
    pub fn handle_heard(&mut self, now: Instant, node: Incarnation, from: SocketAddr) -> bool {
        if !self.peers.contains_key(&node) {
            if !self.make_room(now) {
                return false;
            }
            self.peers.insert(node, Peer::new(now, self.forgotten));
        }
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.heard_at = Some(now);
            peer.path = Some(from);
        }
        true
    }

    /// A heartbeat has come, on a datagram that [`Mesh::handle_heard`] has seen.
    pub fn handle_hello(&mut self, now: Instant, node: Incarnation, hello: &Hello) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let met = peer.met;
        peer.handle_hello(now, hello);
        if !met && peer.met {
            self.events.push(MeshEvent::Met(node));
        }
        if peer.suspected && peer.is_mutual(now, self.suspect_after) {
            peer.suspected = false;
            self.events.push(MeshEvent::Back(node));
        }
    }

    /// Time has passed: suspicions.
    pub fn handle_timeout(&mut self, now: Instant) {
        for (&node, peer) in &mut self.peers {
            if !peer.suspected && peer.wanted && now.since(peer.mutual_at) >= self.suspect_after {
                peer.suspected = true;
                peer.probe_soon(now);
                self.events.push(MeshEvent::Suspected(node));
            }
        }
    }

    /// Probe this peer now: somebody says that it is gone.
    pub fn probe(&mut self, now: Instant, node: Incarnation) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.probe_soon(now);
        }
    }

    /// Whether it is among the peers at all.
    pub fn knows(&self, node: Incarnation) -> bool {
        self.peers.contains_key(&node)
    }

    /// Whether we hear each other.
    pub fn reaches(&self, now: Instant, node: Incarnation) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.is_mutual(now, self.suspect_after))
    }

    /// Whether this peer has been out of reach for the suspicion time.
    pub fn suspects(&self, node: Incarnation) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.suspected)
    }

    /// The round-trip time to this peer, once measured.
    pub fn rtt(&self, node: Incarnation) -> Option<Rtt> {
        self.peers.get(&node)?.rtt
    }

    /// How far this peer's clock is from mine, while that is known.
    pub fn clock(&self, now: Instant, node: Incarnation) -> Option<ClockOffset> {
        self.peers.get(&node)?.clock.best(now)
    }

    /// The peers that datagrams from this address come from: those last heard there, or said to be there.
    pub fn nodes_at(&self, address: SocketAddr) -> impl Iterator<Item = Incarnation> + '_ {
        let there = move |peer: &Peer| peer.path == Some(address) || peer.addresses.contains(&address);
        self.peers.iter().filter(move |(_, peer)| there(peer)).map(|(&node, _)| node)
    }

    /// Where datagrams for this peer go; `None` until it has been heard.
    pub fn path(&self, node: Incarnation) -> Option<SocketAddr> {
        self.peers.get(&node)?.path
    }

    /// The peer that follows this one in the order of their numbers; the first after `None`.
    pub fn peer_after(&self, node: Option<Incarnation>) -> Option<Incarnation> {
        let after = node.map_or(Bound::Unbounded, Bound::Excluded);
        self.peers.range((after, Bound::Unbounded)).next().map(|(&node, _)| node)
    }

    /// What was found out; to be drained by the owner after each call.
    pub fn poll_event(&mut self) -> Option<MeshEvent> {
        (!self.events.is_empty()).then(|| self.events.remove(0))
    }

    /// The heartbeat to put on the datagram for this peer, if one is due.
    pub fn poll_hello(&mut self, now: Instant, node: Incarnation) -> Option<Hello> {
        let peer = self.peers.get_mut(&node)?;
        peer.hello_due().filter(|&due| due <= now)?;
        // The newest proof is as old as a round trip: on a slow line that alone is no reason to ask for another.
        let slow = peer.rtt.map_or(Duration::ZERO, |rtt| rtt.timeout() + self.pace);
        let probe = !peer.is_mutual(now, slow.max(self.pace * 3));
        Some(peer.hello(now, self.pace, probe))
    }

    /// A heartbeat to send alone to each of these addresses: the peer does not answer where it was last heard.
    pub fn poll_probe(&mut self, now: Instant) -> Option<(Incarnation, Addresses, Hello)> {
        let quiet = self.suspect_after / 2;
        let due = |peer: &Peer| peer.wanted && peer.probe_at <= now && !peer.is_mutual(now, quiet);
        let (&node, peer) =
            self.peers.iter_mut().find(|(_, peer)| due(peer) && !peer.addresses.is_empty())?;
        let (addresses, hello) = peer.probe(now);
        Some((node, addresses, hello))
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<Wakeup> {
        self.peers.values().fold(None, |earliest, peer| {
            let hello = peer.hello_due().map(|at| Wakeup { at, reason: "mesh: heartbeat" });
            let suspect = (peer.wanted && !peer.suspected)
                .then(|| Wakeup { at: peer.mutual_at + self.suspect_after, reason: "mesh: suspicion" });
            let quiet_at = if peer.met { peer.mutual_at + self.suspect_after / 2 } else { Instant::ZERO };
            let probe = (peer.wanted && !peer.addresses.is_empty())
                .then(|| Wakeup { at: peer.probe_at.max(quiet_at), reason: "mesh: probe" });
            [hello, suspect, probe].into_iter().fold(earliest, Wakeup::earliest)
        })
    }

    /// Room for one more peer, if need be by forgetting one that is suspected or was never met: strangers first, then
    /// who was unheard for longest.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.peers.len() < PEERS_MAX {
            return true;
        }
        let unheard = |peer: &Peer| now.since(peer.heard_at.unwrap_or(Instant::ZERO));
        let oldest = self.dispensable().max_by_key(|(_, peer)| (!peer.wanted, unheard(peer)));
        let oldest = oldest.map(|(node, _)| node);
        let removed = oldest.and_then(|node| self.peers.remove(&node));
        self.forgotten = removed.as_ref().map_or(0, |peer| peer.number).max(self.forgotten);
        removed.is_some()
    }
}

#[cfg(test)]
mod tests;
