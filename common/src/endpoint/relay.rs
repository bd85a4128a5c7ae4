//! A node as a relay: what comes for another node goes on, by this node's own route to it, with nothing but its count of
//! hops changed.
//!
//! One datagram in, at most one out, never back to where it came from; only for a node that matters to this one, and only
//! from one that does, or that such a one has passed on: no stranger can use a node to reach or to flood others.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::base::id::Incarnation;
use crate::base::limits::{HOPS_MAX, RELAYED_MAX};
use crate::machine::Transmit;
use crate::mesh::Mesh;
use crate::wire::Header;

/// What waits to be passed on.
#[derive(Clone, Debug, Default)]
pub(super) struct Relay {
    queue: VecDeque<Transmit>,
}

impl Relay {
    /// A datagram has come from this address that is for another node. False if it goes no further.
    #[must_use]
    pub(super) fn handle_datagram(
        &mut self,
        mesh: &Mesh,
        (from, to, hops): (Incarnation, Incarnation, u8),
        came_from: SocketAddr,
        datagram: &[u8],
    ) -> bool {
        let is_friends = mesh.wants(to) && (mesh.wants(from) || mesh.wants_at(came_from));
        if hops >= HOPS_MAX || self.queue.len() >= RELAYED_MAX || !is_friends {
            return false;
        }
        let Some(next) = mesh.next_hop(to).filter(|&next| next != came_from) else { return false };
        self.queue.push_back(Transmit { to: next, bytes: Header::pass_on(datagram), segment: None });
        true
    }

    /// The next datagram to pass on.
    pub(super) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.queue.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::time::Instant;
    use crate::mesh::Arrival;

    const ME: Incarnation = Incarnation(1);
    const A: Incarnation = Incarnation(2);
    const B: Incarnation = Incarnation(3);
    const STRANGER: Incarnation = Incarnation(4);

    fn address(node: Incarnation) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], node.0 as u16))
    }

    /// A node that has heard all three, and wants A and B.
    fn mesh() -> Mesh {
        let mut mesh = Mesh::new(ME, Duration::from_secs(2));
        for node in [A, B, STRANGER] {
            mesh.handle_heard(Instant::ZERO, node, Arrival::Straight(address(node)));
        }
        mesh.want(Instant::ZERO, A, &[]);
        mesh.want(Instant::ZERO, B, &[]);
        mesh
    }

    fn passes(from: Incarnation, to: Incarnation, hops: u8, came_from: Incarnation) -> bool {
        Relay::default().handle_datagram(&mesh(), (from, to, hops), address(came_from), &[1, hops, 7])
    }

    #[test]
    fn it_goes_between_two_that_matter_and_never_back() {
        assert!(passes(A, B, 0, A) && passes(A, B, HOPS_MAX - 1, STRANGER));
        assert!(passes(STRANGER, B, 1, A), "a friend of a friend");
        assert!(!passes(A, B, HOPS_MAX, A));
        assert!(!passes(A, STRANGER, 0, A) && !passes(STRANGER, B, 0, STRANGER));
        assert!(!passes(A, Incarnation(9), 0, A), "an earlier incarnation");
        assert!(!passes(A, B, 1, B), "back to where it came from");
    }

    #[test]
    fn nothing_but_the_count_of_hops_is_changed_and_the_queue_is_bounded() {
        let (mesh, mut relay) = (mesh(), Relay::default());
        for _ in 0..2 * RELAYED_MAX {
            _ = relay.handle_datagram(&mesh, (A, B, 4), address(A), &[1, 4, 7]);
        }
        let first = relay.poll_transmit().unwrap();
        assert_eq!((first.to, first.bytes), (address(B), vec![1, 5, 7]));
        assert_eq!(std::iter::from_fn(|| relay.poll_transmit()).count(), RELAYED_MAX - 1);
    }
}
