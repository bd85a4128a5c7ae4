//! What ties frames to a group, and the few words by which a group's nodes find each other.

use serde::{Deserialize, Serialize};

use crate::base::id::{GroupId, ViewId};

/// The group, and the view of it, that the frames behind it belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// The group.
    pub group: GroupId,
    /// The sender's view of it; `None` for a joiner.
    pub view: Option<ViewId>,
}

/// Where a node stands in a group: rides on heartbeats, so that members find out who lags, is frozen, wants to leave
/// or is in another view. The view itself is the section's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beacon {
    /// My member id in this group.
    pub member: crate::base::id::MemberId,
    /// My rank in the section's view.
    pub rank: u8,
    /// How many members that view has.
    pub members: u8,
    /// The highest attempt that I promised.
    pub promised: Option<ViewId>,
    /// I have promised, and not installed since.
    pub frozen: bool,
    /// I wish to leave.
    pub leaving: bool,
}
