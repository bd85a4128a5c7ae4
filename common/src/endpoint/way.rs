//! How others are reached: straight, over whom, or not at the moment.

use std::time::Duration;

use super::{Endpoint, MemberStatus, Reached};
use crate::base::id::{GroupName, Incarnation, UserName};

impl Endpoint {
    /// How each member of a group of this node is reached, by rank.
    pub fn members(&self, group: GroupName) -> Vec<MemberStatus> {
        let members = self.group(group).map(|group| group.members(self.now, &self.mesh));
        let way = |member: MemberStatus| match member.reached {
            Reached::Direct => MemberStatus { reached: self.way_to(member.id.incarnation), ..member },
            Reached::Me | Reached::Via(_) | Reached::No => member,
        };
        members.into_iter().flatten().map(way).collect()
    }

    /// How a person is reached who may be in no group of this node, and the smoothed round-trip time, once measured.
    pub fn reached(&self, name: UserName) -> (Reached, Option<Duration>) {
        let friend = self.gossip.find(name).filter(|(node, _)| !self.mesh.suspects(*node));
        let Some((node, friend)) = friend else { return (Reached::No, None) };
        // The mesh looks for ways to those alone who matter to it.
        let reached = if friend.path().is_some() { Reached::Direct } else { self.way_to(node) };
        (reached, self.mesh.rtt(node).map(|rtt| rtt.smoothed))
    }

    /// Of one who is heard: straight, or over whom.
    fn way_to(&self, node: Incarnation) -> Reached {
        let Some(relay) = self.mesh.relay(node) else { return Reached::Direct };
        let friend =
            || self.gossip.friends().find(|(node, _)| *node == relay).map(|(_, friend)| friend.name());
        // Whoever passes something on is known by name, or soon will be.
        let name = self.name_of(relay).or_else(friend).or_else(|| relay.to_string().parse().ok());
        name.map_or(Reached::No, Reached::Via)
    }
}
