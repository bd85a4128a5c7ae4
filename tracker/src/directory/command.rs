//! What goes into a [`Directory`](super::Directory) and what comes out, as plain data.

use serde::{Deserialize, Serialize};

use decury_common::base::id::GroupName;
use decury_common::order::OrderKind;
use decury_common::wire::figures::Figures;
use decury_common::wire::tracker::{Answer, GroupReport, Notice, Refusal, SignIn};

/// A client's connection, as the server numbers it; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId(pub u64);

/// A change of the directory: who wants or undergoes it, and what it is. All that chance or time decides is in it,
/// so that the same commands always lead to the same directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Whose connection it is about.
    pub session: SessionId,
    /// What happens.
    pub action: Action,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Somebody signs in on a new connection.
    SignIn(SignIn),
    /// A node says how it sees a group that it is in.
    Report(GroupReport),
    /// A node wants to be in a group.
    Join {
        /// The group.
        group: GroupName,
        /// The order to create it with; causal when missing.
        order: Option<OrderKind>,
    },
    /// A node is out of a group.
    Leave {
        /// The group.
        group: GroupName,
    },
    /// A node's run ends.
    Run {
        /// With these figures.
        figures: Figures,
        /// At this time of day, in microseconds since 1970.
        at_us: u64,
    },
    /// The connection is lost. The node may come back within its lease.
    Disconnect,
    /// The lease ran out after the connection was lost.
    Expire,
    /// The person goes, and leaves all groups.
    SignOut,
}

/// What a command brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For who asked.
    pub result: Result<Answer, Refusal>,
    /// For others.
    pub notices: Vec<(SessionId, Notice)>,
    /// The connection that a sign-in replaces: open still, or lost and waiting for its lease to run out.
    pub replaced: Option<SessionId>,
}

impl Outcome {
    pub(super) fn of(result: Result<Answer, Refusal>) -> Outcome {
        Outcome { result, notices: Vec::new(), replaced: None }
    }
}
