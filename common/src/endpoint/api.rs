//! What goes into an [`Endpoint`](super::Endpoint) and what comes out, as data.

use std::collections::BTreeSet;
use std::time::Duration;

use thiserror::Error;

use crate::base::id::{GroupId, GroupName, Incarnation, UserName};
use crate::order::OrderKind;
use crate::wire::membership::Addresses;

/// What a node is told when it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// This running node: 64 random bits, never used before.
    pub incarnation: Incarnation,
    /// The person behind it.
    pub name: UserName,
    /// Where others can reach it.
    pub addresses: Addresses,
    /// Silence after which a peer is suspected; [`limits::SUSPECT_AFTER`](crate::base::limits::SUSPECT_AFTER) is
    /// usual.
    pub suspect_after: Duration,
    /// How many of a group's last messages it tells newcomers, at most
    /// [`limits::HISTORY_MAX`](crate::base::limits::HISTORY_MAX).
    pub history: usize,
    /// How many of a group's last messages it keeps for sides of the group that it meets again, at most
    /// [`limits::STORE_MESSAGES`](crate::base::limits::STORE_MESSAGES), which is usual.
    pub store: usize,
    /// How many deliveries of a group may wait for [`Endpoint::poll_event`](super::Endpoint::poll_event), at most
    /// [`limits::DELIVERIES_MAX`](crate::base::limits::DELIVERIES_MAX), which is usual. Beyond, the senders wait.
    pub deliveries: usize,
    /// The seed of its back-offs.
    pub seed: u64,
}

/// A person's running node, to talk to in private.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correspondent {
    /// The person.
    pub name: UserName,
    /// The running node.
    pub incarnation: Incarnation,
    /// Where it may be reached.
    pub addresses: Addresses,
}

/// A wish to be in a group.
#[derive(Clone, Debug)]
pub struct JoinGroup {
    /// The group's name.
    pub name: GroupName,
    /// The group's identity: [`GroupId::of`] its name and order.
    pub id: GroupId,
    /// The order it is created with, if it must be created.
    pub order: OrderKind,
    /// Nodes that are said to be in it (or to be joining it, as this node is); empty: found it.
    pub contacts: Vec<(Incarnation, Addresses)>,
}

/// A group that this node, or somebody it knows, is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownGroup {
    /// Its name.
    pub name: GroupName,
    /// Its order.
    pub order: OrderKind,
    /// Those who are in it, by name.
    pub members: BTreeSet<UserName>,
}

/// Why a join was refused at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum JoinError {
    /// Already in it, or joining, or still leaving.
    #[error("already in that group")]
    Already,
    /// [`limits::GROUPS_MAX`](crate::base::limits::GROUPS_MAX) groups.
    #[error("in too many groups")]
    TooManyGroups,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Datagrams refused: they did not decode, or were not for this node.
    pub datagrams_refused: u64,
    /// Datagrams of others that were passed on; they count as received and sent as well.
    pub datagrams_relayed: u64,
    /// `Data` frames sent for the first time, one per peer.
    pub data_sent: u64,
    /// `Data` frames sent again, to their own receivers or for others.
    pub data_repeated: u64,
}
