//! What a node and the tracker say to each other, as frames of a [`stream`](super::stream).
//!
//! A node sends numbered [`Request`]s, the first of which signs it in; the tracker answers each, in order, and
//! pushes [`Notice`]s in between. Who is in a group is what its members report; the tracker only remembers it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::figures::{Figures, Run};
use super::membership::Addresses;
use crate::base::id::{GroupId, GroupName, Identity, Incarnation, UserName};
use crate::base::limits::{CONTACTS_MAX, GROUPS_MAX, LISTING_MAX, MEMBERS_MAX};
use crate::base::list::List;
use crate::order::OrderKind;

/// A node's frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The node's number for it; the answer repeats it.
    pub request: u32,
    /// What is asked.
    pub body: Request,
}

/// What a node asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The first request of a connection. Answer: [`Answer::Welcome`].
    SignIn(SignIn),
    /// I am still here. Answer: [`Answer::Done`].
    Heartbeat,
    /// I am in this group; sent after sign-in and whenever my view of it changes. Answer: [`Answer::Done`].
    Report(GroupReport),
    /// I want to be in this group, which is created if it does not exist. Answer: [`Answer::Joined`].
    Join {
        /// The group.
        group: GroupName,
        /// The order to create it with (causal when missing); an existing group keeps its own.
        order: Option<OrderKind>,
    },
    /// I am not in this group any more, or do not want to join it any more. Answer: [`Answer::Done`].
    Leave {
        /// The group.
        group: GroupName,
    },
    /// Which groups are there? Answer: [`Answer::Groups`], by name.
    Groups {
        /// Only those behind this name: the last of the answer before, when that said `more`.
        after: Option<GroupName>,
    },
    /// Who is in this group? Answer: [`Answer::Members`].
    Members {
        /// The group.
        group: GroupName,
    },
    /// Who is there? Answer: [`Answer::Users`], by name.
    Users {
        /// Only those behind this name: the last of the answer before, when that said `more`.
        after: Option<UserName>,
    },
    /// I am going, and leave all groups. Answer: [`Answer::Done`], then the tracker closes the connection.
    SignOut,
    /// Where is this person's node? Answer: [`Answer::Found`].
    Find {
        /// The person.
        user: UserName,
    },
    /// My run ends, with these figures. A later report of the same node replaces it. Answer: [`Answer::Done`].
    Run(Figures),
    /// Which runs have been reported? May be asked without signing in. Answer: [`Answer::Runs`], the oldest first.
    Runs {
        /// Only those behind this number: the last of the answer before, when that said `more`.
        after: Option<u64>,
    },
}

/// Who a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    /// The person.
    pub name: UserName,
    /// The running node.
    pub incarnation: Incarnation,
    /// The person's number: the same after each start.
    pub identity: Identity,
    /// Where its UDP socket can be reached.
    pub addresses: Addresses,
    /// The groups it is in or joining, a [`Request::Report`] of each of which follows. What the tracker remembers of
    /// this node in other groups is void.
    pub groups: List<GroupName, GROUPS_MAX>,
}

/// A group, as one of its members sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupReport {
    /// Its name.
    pub group: GroupName,
    /// Its identity.
    pub id: GroupId,
    /// Its order.
    pub order: OrderKind,
    /// The members of the reporter's view; empty while it is still joining.
    pub members: List<Peer, MEMBERS_MAX>,
}

/// A running node and the person behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Peer {
    /// The node.
    pub incarnation: Incarnation,
    /// The person.
    pub name: UserName,
}

/// A peer and where it can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The node.
    pub incarnation: Incarnation,
    /// The person.
    pub name: UserName,
    /// Where its UDP socket can be reached.
    pub addresses: Addresses,
}

/// The tracker's frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// To a request.
    Answer {
        /// The request's number.
        request: u32,
        /// The answer, or why there is none.
        result: Result<Answer, Refusal>,
    },
    /// To nobody's request.
    Notice(Notice),
    /// The last frame of a connection that the tracker closes.
    Closing(Closing),
}

/// What a request brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "a frame lives for a moment; a box would cost more")]
pub enum Answer {
    /// Signed in.
    Welcome(Welcome),
    /// Done; there is nothing more to say.
    Done,
    /// You may join.
    Joined(Joined),
    /// Groups.
    Groups {
        /// By name.
        groups: List<GroupEntry, LISTING_MAX>,
        /// There are more behind the last.
        more: bool,
    },
    /// A group's members.
    Members {
        /// The group.
        group: GroupName,
        /// By name; those on the way in among them.
        members: List<UserName, CONTACTS_MAX>,
    },
    /// People.
    Users {
        /// By name.
        users: List<UserName, LISTING_MAX>,
        /// There are more behind the last.
        more: bool,
    },
    /// A person's node, which is connected to the tracker.
    Found(Contact),
    /// Runs that were reported.
    Runs {
        /// By number.
        runs: List<Run, LISTING_MAX>,
        /// There are more behind the last.
        more: bool,
    },
}

/// The terms of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The address the tracker sees the node at. It is given to others too, with the port of the node's first
    /// address, unless it is a loopback address.
    pub observed: IpAddr,
    /// The node is to be heard at least this often, in milliseconds.
    pub heartbeat_ms: u32,
    /// After so many milliseconds of silence the tracker takes the node for gone.
    pub lease_ms: u32,
}

/// How to get into a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The group.
    pub group: GroupName,
    /// Its identity.
    pub id: GroupId,
    /// Its order.
    pub order: OrderKind,
    /// It did not exist before.
    pub created: bool,
    /// It exists with another order than the one asked for, and keeps it.
    pub order_differs: bool,
    /// Who is in it, or on the way in, the asker left out; those who lost their connection to the tracker come last.
    pub contacts: List<Contact, CONTACTS_MAX>,
}

/// A group in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupEntry {
    /// Its name.
    pub name: GroupName,
    /// Its identity.
    pub id: GroupId,
    /// Its order.
    pub order: OrderKind,
    /// How many are in it or on the way in.
    pub members: u8,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum Refusal {
    /// A running node of that name is signed in.
    #[error("somebody of that name is already signed in")]
    NameTaken,
    /// The tracker has as many people as it takes.
    #[error("the tracker is full")]
    TrackerFull,
    /// Any request but a sign-in on a connection that is not signed in.
    #[error("not signed in")]
    NotSignedIn,
    /// A second sign-in on one connection.
    #[error("already signed in")]
    AlreadySignedIn,
    /// The tracker does not know the group.
    #[error("there is no such group")]
    NoSuchGroup,
    /// The asker is not in the group.
    #[error("you are not in that group")]
    NotAMember,
    /// Ten are in it or on the way in.
    #[error("the group has ten members already")]
    GroupFull,
    /// The asker is in as many groups as one may be, or the tracker has as many as it takes.
    #[error("too many groups")]
    TooManyGroups,
    /// Nobody of that name has ever signed in, as far as the tracker remembers.
    #[error("nobody of that name is known")]
    NoSuchUser,
    /// Somebody of that name has signed in, and is not connected now.
    #[error("that person is away")]
    Away,
}

/// What the tracker tells unasked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "a frame lives for a moment; a box would cost more")]
pub enum Notice {
    /// Somebody else is joining a group you are in or joining, or is heard of in it again, or is in it and lacking in
    /// the view that you have reported.
    Contact {
        /// The group.
        group: GroupName,
        /// Who, and where.
        contact: Contact,
    },
    /// Somebody in your group has signed out or has lost the connection to the tracker: a hint to check.
    MemberGone {
        /// The group.
        group: GroupName,
        /// Who.
        incarnation: Incarnation,
    },
    /// The tracker restarted and another group has got this name meanwhile, one with more members: leave yours
    /// (the tracker has forgotten it) and ask to join again.
    GroupReplaced {
        /// The group.
        group: GroupName,
        /// The identity of the one that has the name.
        id: GroupId,
    },
}

/// Why the tracker closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum Closing {
    /// The bytes that came are no frames of this protocol and version.
    #[error("the tracker does not understand what this node says (another version?)")]
    Malformed,
    /// Nothing came for as long as the lease.
    #[error("the tracker has not heard this node for too long")]
    Silent,
    /// Too many requests at once.
    #[error("too many requests at once")]
    TooFast,
    /// The tracker has as many connections as it takes.
    #[error("the tracker has too many connections")]
    TooManyConnections,
    /// The same running node has signed in on another connection. That may be a former one of its own, whose bytes were
    /// long on the way: it tries again.
    #[error("this node has signed in on another connection")]
    SignedInElsewhere,
    /// After [`Request::SignOut`].
    #[error("signed out")]
    SignedOut,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::{ADDRESSES_MAX, NAME_MAX, STREAM_FRAME_MAX};
    use crate::base::rng::Rng;
    use crate::wire::figures::{Percentiles, Tally};
    use crate::wire::stream::{decode, encode};

    fn longest<T: std::str::FromStr<Err = crate::base::id::BadName>>() -> T {
        "x".repeat(NAME_MAX).parse().unwrap()
    }

    fn largest_contact() -> Contact {
        let address = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap();
        let incarnation = Incarnation(u64::MAX);
        Contact { incarnation, name: longest(), addresses: [address; ADDRESSES_MAX].into() }
    }

    fn largest_figures() -> Figures {
        let latency = Percentiles { p50_us: u64::MAX, p99_us: u64::MAX, clock_error_us: u64::MAX };
        let most = Tally {
            sent: u64::MAX,
            received: u64::MAX,
            spanned_us: u64::MAX,
            retransmitted: u64::MAX,
            latency: Some(latency),
        };
        let groups = (0..GROUPS_MAX).map(|_| (longest(), most)).collect();
        Figures { ran_us: u64::MAX, datagrams: u64::MAX, all: most, private: most, groups }
    }

    fn largest_run() -> Run {
        let (user, incarnation, figures) = (longest(), Incarnation(u64::MAX), largest_figures());
        Run { number: u64::MAX, at_us: u64::MAX, user, incarnation, figures }
    }

    fn largest() -> Vec<Told> {
        let entry =
            GroupEntry { name: longest(), id: GroupId(u64::MAX), order: OrderKind::Safe, members: 255 };
        let joined = Joined {
            group: longest(),
            id: GroupId(u64::MAX),
            order: OrderKind::Safe,
            created: true,
            order_differs: true,
            contacts: (0..CONTACTS_MAX).map(|_| largest_contact()).collect(),
        };
        let groups = Answer::Groups { groups: (0..LISTING_MAX).map(|_| entry).collect(), more: true };
        let users = Answer::Users { users: (0..LISTING_MAX).map(|_| longest()).collect(), more: true };
        let members =
            Answer::Members { group: longest(), members: (0..CONTACTS_MAX).map(|_| longest()).collect() };
        let found = Answer::Found(largest_contact());
        let runs = Answer::Runs { runs: std::iter::once(largest_run()).collect(), more: true };
        let answers = [Answer::Joined(joined), groups, users, members, found, runs];
        answers.map(|answer| Told::Answer { request: u32::MAX, result: Ok(answer) }).into()
    }

    #[test]
    fn the_largest_frames_fit_and_survive() {
        for told in largest() {
            let bytes = encode(&told);
            assert!(bytes.len() <= STREAM_FRAME_MAX + 2);
            assert_eq!(decode(&bytes[2..]), Ok(told));
        }
        let peer = Peer { incarnation: Incarnation(u64::MAX), name: longest() };
        let report = GroupReport {
            group: longest(),
            id: GroupId(u64::MAX),
            order: OrderKind::Safe,
            members: (0..MEMBERS_MAX).map(|_| peer).collect(),
        };
        let Contact { incarnation, name, addresses } = largest_contact();
        let groups = (0..GROUPS_MAX).map(|_| longest()).collect();
        let sign_in = SignIn { name, incarnation, identity: Identity(u64::MAX), addresses, groups };
        for body in [Request::Report(report), Request::SignIn(sign_in), Request::Run(largest_figures())] {
            let asked = Asked { request: u32::MAX, body };
            assert_eq!(decode(&encode(&asked)[2..]), Ok(asked));
        }
    }

    #[test]
    fn random_bytes_and_damaged_frames_never_panic() {
        let mut rng = Rng::from_seed(3);
        for round in 0..20_000 {
            let mut bytes: Vec<u8> = (0..rng.below(64)).map(|_| rng.bits() as u8).collect();
            if round % 2 == 0 {
                bytes = encode(&largest()[round / 2 % 6]).split_off(2);
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.bits() as u8;
            }
            let _ = decode::<Asked>(&bytes);
            let _ = decode::<Told>(&bytes);
        }
    }
}
