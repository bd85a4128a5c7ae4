//! What goes into a [`TrackerClient`](super::TrackerClient) and what comes out.

use std::net::{IpAddr, SocketAddr};

use decury_common::base::id::{GroupName, Identity, Incarnation, UserName};
use decury_common::order::OrderKind;
use decury_common::wire::membership::Addresses;
use decury_common::wire::stream::StreamError;
use decury_common::wire::tracker::{Closing, Contact, GroupEntry, Joined, Notice, Refusal, Request};
use thiserror::Error;

/// What a client is told when it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// The trackers to try, in this order.
    pub trackers: Vec<SocketAddr>,
    /// The person.
    pub name: UserName,
    /// This running node.
    pub incarnation: Incarnation,
    /// The person's number.
    pub identity: Identity,
    /// Where the node's UDP socket can be reached.
    pub addresses: Addresses,
    /// The seed of its back-offs.
    pub seed: u64,
}

/// A question to the tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// May I join this group, and through whom? It is created if it does not exist. Answer: [`Reply::Joined`].
    Join {
        /// The group.
        group: GroupName,
        /// The order to create it with; causal when missing.
        order: Option<OrderKind>,
    },
    /// I am out of this group, or was not taken in. Answer: [`Reply::Done`].
    Leave {
        /// The group.
        group: GroupName,
    },
    /// All groups. Answer: [`Reply::Groups`].
    Groups,
    /// A group's members. Answer: [`Reply::Members`].
    Members {
        /// The group.
        group: GroupName,
    },
    /// Is there such a group? Answer: [`Reply::Members`].
    Exists {
        /// The group.
        group: GroupName,
    },
    /// All people. Answer: [`Reply::Users`].
    Users,
    /// A person's node. Answer: [`Reply::Found`].
    Find {
        /// The person.
        user: UserName,
    },
}

impl Ask {
    /// As a request; listings from the beginning.
    pub(super) fn request(&self) -> Request {
        match *self {
            Ask::Join { group, order } => Request::Join { group, order },
            Ask::Leave { group } => Request::Leave { group },
            Ask::Groups => Request::Groups { after: None },
            Ask::Members { group } | Ask::Exists { group } => Request::Members { group },
            Ask::Users => Request::Users { after: None },
            Ask::Find { user } => Request::Find { user },
        }
    }
}

/// The tracker's answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a reply lives for a moment; a box would cost more")]
pub enum Reply {
    /// Done.
    Done,
    /// How to get in.
    Joined(Joined),
    /// All groups, by name.
    Groups(Vec<GroupEntry>),
    /// A group's members, by name.
    Members {
        /// The group.
        group: GroupName,
        /// Those on the way in among them.
        members: Vec<UserName>,
    },
    /// All people, by name.
    Users(Vec<UserName>),
    /// Which node it is, and where.
    Found(Contact),
}

/// Why there is no [`Reply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// No tracker answered in time.
    #[error("no tracker answers at the moment")]
    Unavailable,
    /// The tracker refused.
    #[error("{0}")]
    Refused(#[from] Refusal),
}

/// Why there is no connection to the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Trouble {
    /// The connection was refused, or ended.
    #[error("no connection")]
    NoConnection,
    /// The connection did not open, or an answer did not come, in time.
    #[error("no answer")]
    NoAnswer,
    /// What came is not the tracker's protocol.
    #[error("{0}")]
    Stream(#[from] StreamError),
    /// The tracker closed the connection.
    #[error("{0}")]
    Closing(#[from] Closing),
}

/// What a client reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Signed in for the first time.
    SignedIn {
        /// Where.
        tracker: SocketAddr,
        /// The address the tracker sees this node at.
        observed: IpAddr,
    },
    /// Signed in again after [`Event::Lost`]; groups have been reported.
    Back {
        /// Where.
        tracker: SocketAddr,
        /// The address the tracker sees this node at.
        observed: IpAddr,
    },
    /// No tracker could be reached yet, each was tried. Told once; attempts go on.
    Unreachable {
        /// The one tried last.
        tracker: SocketAddr,
        /// What went wrong there.
        why: Trouble,
    },
    /// The connection of a sign-in is gone; attempts go on.
    Lost {
        /// Which tracker.
        tracker: SocketAddr,
        /// Why.
        why: Trouble,
    },
    /// The tracker refuses the sign-in. Told once; attempts go on, every few seconds.
    Refused(Refusal),
    /// What came of a [`TrackerClient::ask`](super::TrackerClient::ask).
    Answer {
        /// The number that it returned.
        ask: u32,
        /// What was asked.
        asked: Ask,
        /// The answer, or why there is none.
        result: Result<Reply, Failure>,
    },
    /// The tracker says something unasked.
    Notice(Notice),
}
