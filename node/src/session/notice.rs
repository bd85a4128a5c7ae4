//! What a person is told without having asked.

use std::fmt;
use std::net::SocketAddr;

use decury_common::base::id::{GroupName, UserName};
use decury_common::order::OrderKind;

use super::record::Trouble;

/// Something that a person should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A member has fallen silent.
    PeerSuspected {
        /// In which group.
        group: GroupName,
        /// Who.
        user: UserName,
    },
    /// A suspected member is heard again.
    PeerBack {
        /// In which group.
        group: GroupName,
        /// Who.
        user: UserName,
    },
    /// Everybody else in the group is out of reach.
    Alone {
        /// Which group.
        group: GroupName,
    },
    /// The group has been waiting for a member for a while.
    WaitingFor {
        /// Which group.
        group: GroupName,
        /// For whom.
        user: UserName,
    },
    /// No tracker answers.
    TrackerLost,
    /// A tracker has taken me in again.
    TrackerBack {
        /// Which.
        tracker: SocketAddr,
    },
    /// The group exists, with another order than the one asked for.
    OrderDiffers {
        /// Which group.
        group: GroupName,
        /// Its order.
        order: OrderKind,
        /// The order asked for.
        wanted: OrderKind,
    },
    /// Another group with another order has this one's name: new members go there.
    OrderConflict {
        /// Which group.
        group: GroupName,
        /// The order of mine.
        order: OrderKind,
    },
    /// A peer is looked for.
    PeerTried {
        /// Where.
        address: SocketAddr,
    },
    /// A peer that was looked for is there.
    PeerMet {
        /// Who.
        user: UserName,
        /// Where.
        address: SocketAddr,
    },
    /// A peer that is looked for has not answered yet.
    PeerSilent {
        /// Where.
        address: SocketAddr,
        /// From where it was asked, if this node has an address of that kind.
        from: Option<SocketAddr>,
    },
    /// Nobody has answered this node's calls in the local network yet.
    NobodyNear {
        /// Where an answer would come to.
        from: Option<SocketAddr>,
    },
    /// Something came that no node or tracker of this version sends; it was dropped.
    Stranger {
        /// From where.
        address: SocketAddr,
    },
    /// The tracker is back, and somebody else has my name there.
    NameTaken {
        /// My name.
        user: UserName,
    },
    /// I left a group before the others confirmed that they have all I said.
    LeftUnheard {
        /// Which group.
        group: GroupName,
    },
    /// Some of what was said in a group, before I came or while I was cut off, is out of reach.
    HistoryGap {
        /// Which group.
        group: GroupName,
    },
    /// Another view of a group is in reach and full: mine goes on beside it until there is room.
    MergeRefused {
        /// Which group.
        group: GroupName,
    },
    /// A group has another side, in which somebody else has the name of a member of mine: they do not merge.
    Namesake {
        /// Which group.
        group: GroupName,
        /// The name of both.
        user: UserName,
    },
    /// What is said is not kept at the moment.
    StoreTrouble {
        /// Why.
        trouble: Trouble,
    },
    /// It is kept again.
    StoreBack {
        /// So many messages are not, for good.
        lost: u64,
    },
    /// Private messages of a former run are not confirmed: they are sent again.
    Outbox {
        /// To whom.
        user: UserName,
        /// How many.
        count: usize,
    },
}

impl Notice {
    /// Its kind, as programs read it.
    pub fn kind(&self) -> &'static str {
        match self {
            Notice::PeerSuspected { .. } => "peer_suspected",
            Notice::PeerBack { .. } => "peer_back",
            Notice::Alone { .. } => "alone",
            Notice::WaitingFor { .. } => "waiting_for",
            Notice::TrackerLost => "tracker_lost",
            Notice::TrackerBack { .. } => "tracker_back",
            Notice::OrderDiffers { .. } => "order_differs",
            Notice::OrderConflict { .. } => "order_conflict",
            Notice::PeerTried { .. } => "peer_tried",
            Notice::PeerMet { .. } => "peer_met",
            Notice::PeerSilent { .. } => "peer_silent",
            Notice::NobodyNear { .. } => "nobody_near",
            Notice::Stranger { .. } => "stranger",
            Notice::NameTaken { .. } => "name_taken",
            Notice::LeftUnheard { .. } => "left_unheard",
            Notice::HistoryGap { .. } => "history_gap",
            Notice::MergeRefused { .. } => "merge_refused",
            Notice::Namesake { .. } => "merge_refused",
            Notice::StoreTrouble { .. } => "store_trouble",
            Notice::StoreBack { .. } => "store_back",
            Notice::Outbox { .. } => "outbox",
        }
    }

    /// The group it is about.
    pub fn group(&self) -> Option<GroupName> {
        match *self {
            Notice::PeerSuspected { group, .. }
            | Notice::PeerBack { group, .. }
            | Notice::Alone { group }
            | Notice::WaitingFor { group, .. }
            | Notice::OrderDiffers { group, .. }
            | Notice::OrderConflict { group, .. }
            | Notice::LeftUnheard { group }
            | Notice::Namesake { group, .. }
            | Notice::HistoryGap { group }
            | Notice::MergeRefused { group } => Some(group),
            Notice::TrackerLost
            | Notice::TrackerBack { .. }
            | Notice::PeerTried { .. }
            | Notice::PeerMet { .. }
            | Notice::PeerSilent { .. }
            | Notice::NobodyNear { .. }
            | Notice::Stranger { .. }
            | Notice::NameTaken { .. }
            | Notice::StoreTrouble { .. }
            | Notice::StoreBack { .. }
            | Notice::Outbox { .. } => None,
        }
    }

    /// The person it is about.
    pub fn user(&self) -> Option<UserName> {
        match *self {
            Notice::PeerSuspected { user, .. }
            | Notice::PeerBack { user, .. }
            | Notice::WaitingFor { user, .. }
            | Notice::PeerMet { user, .. }
            | Notice::Namesake { user, .. }
            | Notice::NameTaken { user }
            | Notice::Outbox { user, .. } => Some(user),
            _ => None,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::PeerSuspected { group, user } => {
                write!(f, "{user} has fallen silent in #{group}; the group goes on without them soon")
            }
            Notice::PeerBack { group, user } => write!(f, "{user} is heard again in #{group}"),
            Notice::Alone { group } => {
                write!(f, "nobody else in #{group} can be reached; you will be together again when they can")
            }
            Notice::WaitingFor { group, user } => {
                write!(f, "#{group} waits for {user}: it goes on when they answer, or without them")
            }
            Notice::TrackerLost => write!(
                f,
                "the tracker is gone: talk goes on; groups and people are found among peers meanwhile"
            ),
            Notice::TrackerBack { tracker } => write!(f, "the tracker at {tracker} is back"),
            Notice::OrderDiffers { group, order, wanted } => {
                write!(f, "#{group} exists and keeps its order: {order}, not {wanted}")
            }
            Notice::OrderConflict { group, order } => write!(
                f,
                "another group has the name #{group} and another order than yours ({order}): newcomers go there, \
                     and you can talk on among yourselves"
            ),
            Notice::PeerTried { address } => write!(f, "trying {address}"),
            Notice::PeerMet { user, address } => write!(f, "{user} is there, at {address}"),
            Notice::PeerSilent { address, from } => f.write_str(&silent(*address, *from)),
            Notice::NobodyNear { from } => f.write_str(&nobody_near(*from)),
            Notice::Stranger { address } => {
                write!(f, "what comes from {address} is no Decury, or another version of it: it is dropped")
            }
            Notice::NameTaken { user } => {
                write!(f, "somebody else has signed in as {user} meanwhile; still trying")
            }
            Notice::LeftUnheard { group } => {
                write!(f, "left #{group} in haste: the others may lack your last messages")
            }
            Notice::Namesake { group, user } => write!(
                f,
                "#{group} has two sides that cannot be one: there are two people called {user}, until one of them \
                 leaves (a name belongs to one person in a group)"
            ),
            Notice::HistoryGap { group } => {
                write!(f, "some of what was said in #{group} without you is out of reach")
            }
            Notice::MergeRefused { group } => write!(
                f,
                "#{group} is full without you: you can talk on among yourselves, and come in when there is room"
            ),
            Notice::StoreTrouble { trouble } => write!(
                f,
                "{trouble}: talk goes on, but what is said now may be gone after the end; still trying"
            ),
            Notice::StoreBack { lost: 0 } => write!(f, "what is said is kept again, and nothing is missing"),
            Notice::StoreBack { lost } => {
                write!(f, "what is said is kept again; {lost} messages are missing from the history")
            }
            Notice::Outbox { user, count: 1 } => write!(
                f,
                "1 private message to {user} was not confirmed before the last end; it is sent again"
            ),
            Notice::Outbox { user, count } => write!(
                f,
                "{count} private messages to {user} were not confirmed before the last end; they are sent again"
            ),
        }
    }
}

fn silent(address: SocketAddr, from: Option<SocketAddr>) -> String {
    let from = origin(from);
    format!(
        "nobody answers at {address} yet, asked over UDP{from}: still trying. \
         Is a node there, and does no firewall lie between?"
    )
}

fn nobody_near(from: Option<SocketAddr>) -> String {
    let from = origin(from);
    format!(
        "nobody in the local network answers yet, called by multicast{from}: still calling. \
         Whom calls do not reach, `!peer ADDR` may"
    )
}

/// Where a question came from, as words.
fn origin(address: Option<SocketAddr>) -> String {
    address.map(|address| format!(" from {address}")).unwrap_or_default()
}
