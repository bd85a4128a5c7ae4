//! What goes straight to a peer's addresses whatever its route is: probes of one that does not answer, and pings of one
//! that is reached over relays. Both find out whether a link works, and carry link state to whoever may hear them.

use std::net::SocketAddr;

use super::Mesh;
use super::peer::Peer;
use crate::base::id::Incarnation;
use crate::base::limits::{CHANNEL_OVERHEAD, DATAGRAM_MAX};
use crate::base::time::Instant;
use crate::wire::mesh::{Links, Ping};
use crate::wire::{Frame, Header};

/// Bytes of link state that a datagram has room for beside a heartbeat and a ping.
const ROOM: usize = DATAGRAM_MAX - CHANNEL_OVERHEAD - Header::LEN - 60;

/// A datagram for a peer that goes to this address.
#[derive(Clone, Debug)]
pub struct Straight {
    /// For whom.
    pub node: Incarnation,
    /// Where to.
    pub to: SocketAddr,
    /// What it says.
    pub frames: Vec<Frame<'static>>,
}

impl Mesh {
    /// The next datagram that goes to an address rather than by a route.
    pub fn poll_straight(&mut self, now: Instant) -> Option<Straight> {
        if self.straight.is_empty() && !self.ping_next(now) {
            self.probe_next(now);
        }
        self.straight.pop_front()
    }

    /// The sets of links that are due for a peer, with a heartbeat or without, as many as fit into so many bytes. Over
    /// relays there are none: each node passes them on by itself.
    pub fn poll_links(
        &mut self,
        now: Instant,
        node: Incarnation,
        heartbeat: bool,
        room: usize,
    ) -> Vec<Links> {
        let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.is_company() && peer.is_straight())
        else {
            return Vec::new();
        };
        if heartbeat {
            peer.telling.heartbeat(&self.links, node);
        }
        match heartbeat || peer.telling.at().is_some_and(|at| at <= now) {
            true => peer.telling.take(now, &self.links, room),
            false => Vec::new(),
        }
    }

    /// Pings the next peer whose turn has come, at one of its addresses. False if there is none.
    fn ping_next(&mut self, now: Instant) -> bool {
        let due = |peer: &Peer| peer.ping_due().is_some_and(|at| at <= now);
        let Some((&node, peer)) = self.peers.iter_mut().find(|(_, peer)| due(peer)) else { return false };
        if peer.ping_at <= now {
            peer.telling.heartbeat(&self.links, node);
        }
        let sets = peer.telling.take(now, &self.links, ROOM);
        if let Some((to, ping)) = peer.ping(now, self.pace) {
            let frames =
                std::iter::once(Frame::Ping(ping)).chain(sets.into_iter().map(Frame::Links)).collect();
            self.straight.push_back(Straight { node, to, frames });
        }
        true
    }

    /// Probes the next peer that does not answer, at all its addresses and by its route.
    fn probe_next(&mut self, now: Instant) {
        let quiet = self.suspect_after / 2;
        let due = |peer: &Peer| {
            let probe = peer.wanted && peer.probe_at <= now && !peer.is_mutual(now, quiet);
            probe && peer.has_ways() || peer.whisper_due().is_some_and(|at| at <= now)
        };
        let Some((&node, peer)) = self.peers.iter_mut().find(|(_, peer)| due(peer)) else { return };
        let (ways, hello) = peer.probe(now);
        let slow = !peer.is_company();
        peer.telling.heartbeat(&self.links, node);
        let sets = peer.telling.take(now, &self.links, ROOM);
        let over = (!peer.is_straight()).then(|| self.next_hop(node)).flatten();
        for (to, way) in ways {
            let first = [Frame::Hello(hello), Frame::Ping(Ping { number: hello.number, way, slow })];
            let frames = first.into_iter().chain(sets.iter().cloned().map(Frame::Links)).collect();
            self.straight.push_back(Straight { node, to, frames });
        }
        let routed = over.map(|to| Straight { node, to, frames: vec![Frame::Hello(hello)] });
        self.straight.extend(routed);
    }
}
