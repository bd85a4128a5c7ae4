//! A view: who is in the group, as agreed.

use crate::base::id::{Incarnation, MemberId, Rank, ViewId};
use crate::wire::membership::Member;

/// A list of members, by rank, with the id of the attempt that installed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Its id.
    pub id: ViewId,
    /// Its members, by rank; at most ten.
    pub members: Vec<Member>,
}

impl View {
    /// Whether this member is in it.
    pub fn contains(&self, member: MemberId) -> bool {
        self.rank(member).is_some()
    }

    /// The member's rank.
    pub fn rank(&self, member: MemberId) -> Option<Rank> {
        self.members.iter().position(|m| m.id == member)
    }

    /// The rank of the member that runs on this node.
    pub fn rank_of_node(&self, node: Incarnation) -> Option<Rank> {
        self.members.iter().position(|m| m.id.incarnation == node)
    }
}
