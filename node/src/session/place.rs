//! Where this node stands with each group that it is in, on its way into, or on its way out of.

use decury_common::base::id::GroupId;
use decury_common::base::time::Instant;
use decury_common::order::OrderKind;

/// A wish to be in a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    /// The line it stands on.
    pub(super) re: Option<u64>,
    /// The order it names.
    pub(super) order: Option<OrderKind>,
}

/// Where this node stands with one group. It begins with `Asking` and ends with `Leaving`; a failure may end it
/// anywhere between.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// The tracker, or if there is none the peers, are asked for the group's order and members.
    Asking(Wish),
    /// No tracker has answered; the next one that takes this node in is asked. Only for what nobody typed: a person
    /// is told instead, and types it again.
    Waiting(Wish),
    /// The members are asked to take this node in.
    Joining {
        /// What is to be answered.
        wish: Wish,
        /// The group.
        id: GroupId,
        /// Its order, by the tracker.
        order: OrderKind,
        /// When to ask the tracker for members again; `None` while it is being asked.
        refresh: Option<Instant>,
        /// When to give up.
        until: Instant,
    },
    /// In.
    Member {
        /// The group.
        id: GroupId,
        /// Its order.
        order: OrderKind,
        /// What is asked of it waits until so many records are safe: this one's return to it among them.
        since: u64,
    },
    /// The endpoint was told to leave, and has not yet said that it has.
    Leaving(Leave),
}

/// Why a group is being left, and so what follows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leave {
    /// It is wished so.
    Wished {
        /// The line that is to be answered.
        re: Option<u64>,
    },
    /// The way in has come to nothing, which has been said: nothing follows.
    GivenUp,
    /// The way in led nowhere: it begins anew.
    Retry(Wish),
}

impl Place {
    /// Whether an answer about the way in is still owed to somebody.
    pub(super) fn is_joining(&self) -> bool {
        matches!(
            self,
            Place::Asking(_) | Place::Waiting(_) | Place::Joining { .. } | Place::Leaving(Leave::Retry(_))
        )
    }
}
