//! A message's vector clock as the application sees it: by name.

use std::fmt;
use std::sync::Arc;

use crate::base::id::UserName;
use crate::order::Clock;

/// How many messages of whom a message's sender had delivered when it sent it, itself included; empty in `fifo`.
///
/// All messages of a view share the list of its members, so that a clone allocates nothing.
#[derive(Clone, Default)]
pub struct VectorClock {
    members: Arc<[UserName]>,
    counts: Clock,
}

impl VectorClock {
    pub(super) fn new(members: Arc<[UserName]>, counts: Clock) -> VectorClock {
        VectorClock { members, counts }
    }

    /// Whether it says nothing of anybody.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Each member of the view and how many of its messages, by rank.
    pub fn iter(&self) -> impl Iterator<Item = (UserName, u64)> + '_ {
        self.members.iter().copied().zip(self.counts.iter().copied())
    }
}

/// The first [`MEMBERS_MAX`](crate::base::limits::MEMBERS_MAX) entries.
impl FromIterator<(UserName, u64)> for VectorClock {
    fn from_iter<I: IntoIterator<Item = (UserName, u64)>>(entries: I) -> VectorClock {
        let (members, counts): (Vec<UserName>, Vec<u64>) = entries.into_iter().unzip();
        let counts = counts.into_iter().take(Clock::new().capacity()).collect();
        VectorClock { members: members.into(), counts }
    }
}

impl PartialEq for VectorClock {
    fn eq(&self, other: &VectorClock) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for VectorClock {}

impl fmt::Debug for VectorClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
