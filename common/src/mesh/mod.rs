//! Who can be reached and how: heartbeats, round-trip times, clock offsets, link state, routes, suspicion.
//!
//! The model: every node sends each peer it is interested in a numbered [`Hello`] at a steady pace; each repeats the
//! newest number heard from the other. A number that comes back proves that both directions work. A peer is
//! **suspected** when no such proof is younger than the suspicion time: hearing it is not enough, being heard counts
//! too. A peer that does not answer is probed at all its addresses, ever more rarely, at least every two seconds:
//! that is how sides that were cut off find each other again.
//!
//! Heartbeats ride on whatever else leaves for the peer in the same turn, and all of that goes by the peer's *route*:
//! straight to it if it is known to hear this node, else over other peers, which pass it on. So that two nodes hear each
//! other means that both are in one strongly connected part of the graph of who hears whom. The graph is known from sets of
//! [`Links`], which everybody passes on; they, and pings that find out whether a link works again, go straight only.

mod clock;
mod link;
mod links;
mod peer;
mod route;
mod rtt;
mod straight;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::ops::Bound;
use std::time::Duration;

pub use clock::{ClockOffset, Latency};
pub use rtt::Rtt;

use crate::base::id::Incarnation;
use crate::base::limits::PEERS_MAX;
use crate::base::time::Instant;
use crate::machine::Wakeup;
use crate::wire::mesh::{Hello, Links, Neighbour, Ping};
use links::LinkState;
use peer::Peer;
use route::Graph;
pub use straight::Straight;

/// A stranger who has not been wanted by any group is forgotten after this long without a word.
const STRANGER_KEPT: Duration = Duration::from_secs(10);

/// How a datagram has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Straight from its sender, who is at this address.
    Straight(SocketAddr),
    /// Passed on by a node at this address.
    Relayed(SocketAddr),
}

impl Arrival {
    /// The sender's address, if that is where it came from.
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Arrival::Straight(address) => Some(address),
            Arrival::Relayed(_) => None,
        }
    }
}

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
    /// Silence after which a link is down: to be noticed, and gone round, in time before anybody is suspected. (Five
    /// heartbeats, but who is patient with silent peers is patient with links.)
    silence: Duration,
    /// For how long a peer must have given no proof for others to be preferred as relays: links that die take less to be
    /// told to all whom they matter to, but between some of these there may be nobody to pass it on.
    doubt_after: Duration,
    me: Incarnation,
    peers: BTreeMap<Incarnation, Peer>,
    links: LinkState,
    /// What is to be sent straight to somebody.
    straight: VecDeque<Straight>,
    events: Vec<MeshEvent>,
    /// The highest number of a heartbeat to a peer that was forgotten.
    forgotten: u64,
}

impl Mesh {
    /// The mesh of the node `me`, without peers yet. A peer is suspected after `suspect_after` without proof that we hear
    /// each other.
    pub fn new(me: Incarnation, suspect_after: Duration) -> Mesh {
        Mesh {
            suspect_after,
            pace: (suspect_after / 16).clamp(Duration::from_millis(10), Duration::from_millis(250)),
            silence: suspect_after * 5 / 16,
            doubt_after: suspect_after * 7 / 16,
            me,
            peers: BTreeMap::new(),
            links: LinkState::new(me),
            straight: VecDeque::new(),
            events: Vec::new(),
            forgotten: 0,
        }
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
        let was_wanted = peer.want(now, true);
        for address in addresses {
            if !peer.addresses.contains(address) && peer.addresses.try_push(*address).is_ok() {
                peer.probe_soon(now);
            }
        }
        if !was_wanted {
            // A quarter of the suspicion time leaves enough of it to get acquainted over others.
            peer.detour_at = now + self.suspect_after / 4;
            self.refresh_links(now);
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
        let (forgotten, count) = (&mut self.forgotten, self.peers.len());
        self.peers.retain(|&node, peer| {
            peer.want(now, wanted(node));
            let kept = peer.wanted || recent(peer);
            if !kept {
                *forgotten = peer.number.max(*forgotten);
            }
            kept
        });
        self.links.retain(wanted);
        self.refresh_links(now);
        if self.peers.len() != count {
            self.reroute(now);
        }
    }

    /// A datagram of this node has come. False when there is no room for a stranger.
    pub fn handle_heard(&mut self, now: Instant, node: Incarnation, arrival: Arrival) -> bool {
        if !self.peers.contains_key(&node) {
            if !self.make_room(now) {
                return false;
            }
            self.peers.insert(node, Peer::new(now, self.forgotten));
        }
        let Some(peer) = self.peers.get_mut(&node) else { return false };
        peer.heard_at = Some(now);
        if !peer.is_company() {
            peer.handle_sign_of_life(now, self.pace);
        }
        match arrival {
            Arrival::Relayed(relay) => peer.came_by = Some(relay),
            Arrival::Straight(from) => peer.path = Some(from),
        }
        true
    }

    /// A heartbeat has come, on a datagram that [`Mesh::handle_heard`] has seen.
    pub fn handle_hello(&mut self, now: Instant, node: Incarnation, arrival: Arrival, hello: &Hello) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let was_up = peer.link.is_up();
        if arrival.address().is_some() {
            peer.link.handle_hello(now, self.pace, hello.number);
        }
        let is_found = !was_up && peer.link.is_up() && peer.wanted;
        let met = peer.met;
        peer.handle_hello(now, hello, self.suspect_after);
        if !met && peer.met {
            self.events.push(MeshEvent::Met(node));
        }
        let is_sure = peer.doubted && peer.is_mutual(now, self.doubt_after);
        peer.doubted &= !is_sure;
        let is_back = peer.suspected && peer.is_mutual(now, self.suspect_after);
        if is_back {
            peer.suspected = false;
            self.events.push(MeshEvent::Back(node));
        }
        if is_sure || is_back {
            self.reroute(now);
        }
        if is_found {
            self.refresh_links(now);
        }
    }

    /// This peer's datagram, which came straight, says by which of my addresses.
    pub fn handle_ping(&mut self, now: Instant, node: Incarnation, ping: Ping) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.link.handle_ping(now, self.pace, ping);
        self.refresh_links(now);
    }

    /// This peer, straight, has told whom a node hears. Only of nodes that matter here it is kept, and passed on.
    pub fn handle_links(&mut self, now: Instant, from: Incarnation, links: &Links) {
        let is_wanted = |node| self.wants(node) || node == self.me;
        if !self.wants(from) || !is_wanted(links.origin) || !self.links.take(links) {
            return;
        }
        self.tell(now, links.origin, from);
        self.reroute(now);
    }

    /// Time has passed: links go down, peers become suspects.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.peers.values_mut().for_each(|peer| peer.link.handle_timeout(now, self.silence));
        self.refresh_links(now);
        let mut changed = self.peers.values().any(|peer| peer.detour_due().is_some_and(|at| at <= now));
        for (&node, peer) in &mut self.peers {
            if peer.doubt_at(self.doubt_after).is_some_and(|at| at <= now) {
                peer.doubted = true;
                changed = true;
            }
            if peer.suspect_at(self.suspect_after).is_some_and(|at| at <= now) {
                peer.suspected = true;
                peer.probe_soon(now);
                self.events.push(MeshEvent::Suspected(node));
                changed = true;
            }
        }
        if changed {
            self.reroute(now);
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

    /// Whether somebody who matters is at this address, as far as is known.
    pub fn wants_at(&self, address: SocketAddr) -> bool {
        self.peers.values().any(|peer| peer.wanted && peer.path == Some(address))
    }

    /// Whether it matters to somebody here.
    pub fn wants(&self, node: Incarnation) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.wanted)
    }

    /// Whether anything of it has ever come.
    pub fn has_heard(&self, node: Incarnation) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.heard_at.is_some())
    }

    /// Whether we hear each other, if need be over others.
    pub fn reaches(&self, now: Instant, node: Incarnation) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.is_mutual(now, self.suspect_after))
    }

    /// Whether this peer has been out of reach for the suspicion time.
    pub fn suspects(&self, node: Incarnation) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.suspected)
    }

    /// Until when a suspected peer is worth waiting for: while one who is not suspected says that the two hear each other,
    /// either a way to it is about to be found, or that one will be suspected too. Half the suspicion time suffices.
    pub fn expected_until(&self, node: Incarnation) -> Option<Instant> {
        let peer = self.peers.get(&node).filter(|peer| peer.suspected)?;
        let company = self.peers.iter().filter(|(_, peer)| peer.is_company());
        let is_near = company.map(|(&other, _)| other).any(|other| self.links.are_mutual(other, node));
        is_near.then(|| peer.unproven_since() + self.suspect_after * 3 / 2)
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

    /// Where datagrams for this peer go: to itself, or to a peer that passes them on. `None` while nothing is known.
    pub fn next_hop(&self, node: Incarnation) -> Option<SocketAddr> {
        let peer = self.peers.get(&node)?;
        let relay = peer.relay.and_then(|relay| self.peers.get(&relay)?.path);
        relay.or(peer.path).or(peer.came_by)
    }

    /// Over whom this peer and I hear each other; `None` if both do so straight, or nothing is known. If it is only the
    /// peer that I do not hear straight, that is whom it sends to.
    pub fn relay(&self, node: Incarnation) -> Option<Incarnation> {
        let peer = self.peers.get(&node)?;
        if peer.relay.is_some() || peer.link.is_up() {
            return peer.relay;
        }
        Graph::new(self.links.sets()).first_hop(node, self.me, &|_| true).filter(|&hop| hop != self.me)
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

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<Wakeup> {
        self.peers.iter().fold(None, |earliest, (&node, peer)| {
            let hello = peer.hello_due().filter(|_| self.next_hop(node).is_some());
            let hello = hello.map(|at| Wakeup { at, reason: "mesh: heartbeat" });
            let suspect = peer.suspect_at(self.suspect_after);
            let suspect = suspect.map(|at| Wakeup { at, reason: "mesh: suspicion" });
            let quiet_at = if peer.met { peer.mutual_at + self.suspect_after / 2 } else { Instant::ZERO };
            let probe = (peer.wanted && peer.has_ways())
                .then(|| Wakeup { at: peer.probe_at.max(quiet_at), reason: "mesh: probe" });
            let ping = peer.ping_due().map(|at| Wakeup { at, reason: "mesh: ping" });
            let tell = match peer.is_company() {
                true => peer.telling.at().filter(|_| peer.is_straight()),
                false => peer.whisper_due(),
            };
            let tell = tell.map(|at| Wakeup { at, reason: "mesh: links" });
            let link =
                peer.link.expires_at(self.silence).map(|at| Wakeup { at, reason: "mesh: a silent link" });
            let detour = peer.detour_due().map(|at| Wakeup { at, reason: "mesh: a detour" });
            let doubt =
                peer.doubt_at(self.doubt_after).map(|at| Wakeup { at, reason: "mesh: a doubtful relay" });
            [hello, suspect, probe, ping, tell, link, detour, doubt]
                .into_iter()
                .fold(earliest, Wakeup::earliest)
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

    /// Finds out anew who matters to this node, and whom it hears; if that has changed, everybody is told.
    fn refresh_links(&mut self, now: Instant) {
        let wanted = self.peers.iter().filter(|(_, peer)| peer.wanted);
        let peers = wanted.map(|(&node, peer)| Neighbour { node, way: peer.link.way() });
        if self.links.hear(peers) {
            self.tell(now, self.me, self.me);
            self.reroute(now);
        }
    }

    /// A set is new: all but its origin, and the one who has told it, are to be told.
    fn tell(&mut self, now: Instant, origin: Incarnation, by: Incarnation) {
        let gap = self.pace / 4;
        let others =
            self.peers.iter_mut().filter(|&(&node, ref peer)| peer.wanted && node != origin && node != by);
        others.for_each(|(_, peer)| peer.telling.add(now, gap, origin));
    }

    /// Finds out anew by which way each peer is reached.
    fn reroute(&mut self, now: Instant) {
        let graph = Graph::new(self.links.sets());
        let those = |is: fn(&Peer) -> bool| -> BTreeSet<Incarnation> {
            self.peers.iter().filter(|(_, peer)| is(peer)).map(|(&node, _)| node).collect()
        };
        // What those said who are gone by now stays as it was, and so may what those said who are in doubt. It leads to
        // whom nothing else leads to, at best.
        let (gone, doubted) = (those(|peer| peer.suspected), those(|peer| peer.suspected || peer.doubted));
        for (node, peer) in &mut self.peers {
            let is_away = peer.suspected || !peer.met;
            let may_relay = |relay: Incarnation| is_away || !gone.contains(&relay);
            let is_sure = |relay: Incarnation| !doubted.contains(&relay);
            let hears_me = self.links.hears_me(*node);
            let heard_me = std::mem::replace(&mut peer.hears_me, hears_me.is_some());
            if let Some(hears_me) = hears_me {
                peer.handle_way(hears_me.way % Neighbour::SLOW);
                peer.was_heard = true;
                if !heard_me {
                    // Until it says that it hears me steadily, a round trip may pass.
                    peer.detour_at = peer.detour_at.max(now + self.suspect_after / 2);
                    peer.telling.add_all(now, self.pace / 4, &self.links);
                }
            }
            let is_straight = hears_me.is_some_and(|me| me.is_heard_steadily());
            let way = |over: &dyn Fn(Incarnation) -> bool| graph.first_hop(self.me, *node, over);
            let hop = if is_straight { None } else { way(&is_sure).or_else(|| way(&may_relay)) };
            peer.detour = hop.filter(|hop| hop != node);
            let is_lost = peer.was_heard && hears_me.is_none();
            let relay = peer.detour.filter(|_| is_lost || peer.detour_at <= now);
            if relay != peer.relay && peer.wanted && !peer.is_company() {
                peer.probe_soon(now);
            }
            peer.relay = relay;
        }
    }
}

#[cfg(test)]
mod tests;
