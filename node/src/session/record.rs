//! What a session wants kept beyond its own life, and what a later one gets back of it: plain data.
//!
//! Whoever keeps it takes [`Task`]s in their order and answers with [`Kept`]s. Records that are kept in this order, from
//! the first up to any one, make what the next session is started with: a node that is killed has lost a few records at
//! the end, and nothing between.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use decury_common::base::id::{GroupId, GroupName, Identity, MemberId, MessageId, UserName};
use decury_common::endpoint::Known;
use decury_common::order::OrderKind;

use super::text::Text;

/// The most messages that one question about what was said is answered with.
pub const RECALL_MAX: usize = 1_000;
/// How many, unless said otherwise.
pub const RECALL_USUAL: usize = 20;
/// Speakers of private messages that are remembered, by name and run.
pub const HEARD_MAX: usize = 4_096;

/// People whose addresses are remembered: the last ones met.
pub const MET_MAX: usize = 32;

/// What is asked of whoever keeps things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// To be kept. Answered by [`Kept::Stored`], some time.
    Keep(Record),
    /// To be found. Answered by [`Kept::Recalled`], with all that was to be kept before.
    Recall(Recall),
}

/// Something to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// This node is in a group, and returns to it when it starts again.
    Joined {
        /// Its name.
        group: GroupName,
        /// Its identity.
        id: GroupId,
        /// Its order.
        order: OrderKind,
    },
    /// It does not want to be there any more.
    Left {
        /// Which group.
        group: GroupName,
    },
    /// What is typed goes there.
    Current {
        /// The group, if any.
        group: Option<GroupName>,
    },
    /// Somebody is in touch, or elsewhere than before.
    Met(Met),
    /// This node's UDP socket has that port.
    Bound {
        /// Not 0.
        port: u16,
    },
    /// A message of a group was delivered.
    Said {
        /// The group.
        group: GroupName,
        /// Its author.
        from: UserName,
        /// Its identity.
        id: MessageId,
        /// As it came.
        text: Bytes,
        /// It was said before this node came in, or while it was cut off.
        caught_up: bool,
    },
    /// A private message of mine, to be sent until it is settled.
    Written {
        /// To whom.
        to: UserName,
        /// Its identity.
        id: MessageId,
        /// As it was typed.
        text: Bytes,
    },
    /// It has arrived, or its loss has been told: it is not to be sent again.
    Settled {
        /// Which.
        id: MessageId,
    },
    /// A private message to me. Its speaker's earlier ones, and it, are not to be told again.
    Heard {
        /// Whose.
        from: UserName,
        /// Its identity.
        id: MessageId,
        /// As it came.
        text: Bytes,
    },
}

/// What belongs together in what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Talk {
    /// A group's messages.
    Group(GroupName),
    /// What one person and I have said to each other in private.
    Person(UserName),
}

/// A question about what was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recall {
    /// The first of these of which anything is kept is meant.
    pub talks: Vec<Talk>,
    /// So many of its last messages, at most [`RECALL_MAX`].
    pub last: usize,
}

/// A message that was said some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Its identity.
    pub id: MessageId,
    /// Its author.
    pub from: UserName,
    /// When it was delivered here (or sent, if it is a private one of mine): microseconds since 1970.
    pub at: u64,
    /// It was said before this node came in, or while it was cut off.
    pub caught_up: bool,
    /// What was said.
    pub text: Text,
}

/// What whoever keeps things says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The first so many records will survive the program, or cannot be kept, which was told before.
    Stored(u64),
    /// The answer to the oldest question: the last messages, oldest first; `None` if nothing is kept.
    Recalled(Recalled),
    /// Nothing can be kept at the moment; it is tried again.
    Trouble(Trouble),
    /// Things are kept again.
    Working {
        /// So many messages were delivered meanwhile, and not kept.
        lost: u64,
    },
}

/// What a [`Recall`] brings.
pub type Recalled = Result<Option<(Talk, Vec<Past>)>, Trouble>;

/// Why nothing can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no room.
    Full,
    /// What is there is damaged.
    Damaged,
    /// The system refuses.
    Unusable,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trouble::Full => "the disk is full",
            Trouble::Damaged => "the file is damaged",
            Trouble::Unusable => "the disk refuses",
        })
    }
}

/// What a session is started with: all that former ones had kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The person's number.
    pub identity: Identity,
    /// The groups not left, in the order of joining.
    pub groups: Vec<Place>,
    /// Where what was typed went, at last.
    pub current: Option<GroupName>,
    /// Who was met at last, and where: the latest first, at most [`MET_MAX`].
    pub met: Vec<Met>,
    /// The port that the UDP socket had at last.
    pub port: Option<u16>,
    /// Of each group what is known of its messages.
    pub known: BTreeMap<GroupName, Known>,
    /// Private messages of mine that are not settled, in the order of writing.
    pub outbox: Vec<Letter>,
    /// The count of the last private message that was heard in each conversation.
    pub heard: BTreeMap<(UserName, MemberId), u64>,
}

/// A group that was not left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub group: GroupName,
    /// Its identity.
    pub id: GroupId,
    /// Its order.
    pub order: OrderKind,
}

/// A person who was in touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met {
    /// Who.
    pub user: UserName,
    /// Where, at last.
    pub address: SocketAddr,
}

/// A private message of mine that is not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// To whom.
    pub to: UserName,
    /// Its identity.
    pub id: MessageId,
    /// As it was typed.
    pub text: Bytes,
}

impl Restored {
    /// What the first session of a person is started with.
    pub fn nothing(identity: Identity) -> Restored {
        Restored {
            identity,
            groups: Vec::new(),
            current: None,
            met: Vec::new(),
            port: None,
            known: BTreeMap::new(),
            outbox: Vec::new(),
            heard: BTreeMap::new(),
        }
    }
}
