//! What a group tells the application, as data.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use super::VectorClock;
use crate::base::id::{GroupName, MemberId, MessageId, UserName, ViewId};
use crate::base::time::Instant;
use crate::order::{OrderKind, Placed};
use crate::wire::membership::Refusal;

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// Not in that group, or leaving it.
    #[error("not a member of that group")]
    NotAMember,
    /// The window and the queue before it are full; [`Event::Writable`] will say when there is room.
    #[error("too much is under way, try again in a moment")]
    Busy,
    /// Longer than [`limits::MESSAGE_MAX`](crate::base::limits::MESSAGE_MAX), or empty.
    #[error("a message has 1 to 65536 bytes")]
    Size,
}

/// A view, as the application sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewInfo {
    /// Its id.
    pub id: ViewId,
    /// The group's order.
    pub order: OrderKind,
    /// Its members, by rank.
    pub members: Vec<(MemberId, UserName)>,
}

/// Why a view changed; when several causes mix, the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Two sides that had been apart are one again.
    Merge,
    /// Somebody was suspected.
    Suspected,
    /// Somebody left.
    Leave,
    /// Somebody came.
    Join,
}

/// What a node reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// My first view of a group.
    Joined {
        /// The group.
        group: GroupName,
        /// The view, me among its members.
        view: ViewInfo,
    },
    /// A later view. It stands in the same place relative to messages at all who move together.
    View {
        /// The group.
        group: GroupName,
        /// The new view.
        view: ViewInfo,
        /// Who is new in it.
        joined: Vec<UserName>,
        /// Who is gone.
        left: Vec<UserName>,
        /// Why.
        cause: Cause,
    },
    /// A delivery.
    Message {
        /// The group.
        group: GroupName,
        /// The view it was sent and delivered in; of what is caught up, the view before which it was said.
        view: ViewId,
        /// Its sender's name.
        from: UserName,
        /// Its identity; `id.count` is the sender's count in this group, from 1.
        id: MessageId,
        /// `causal`: how many messages of whom its sender had delivered when it sent this one, itself included;
        /// empty in `fifo`.
        clock: VectorClock,
        /// `total` and `safe`: its place in the group's sequence, from 1; the same at all members of a view.
        position: Option<u64>,
        /// `safe`: whether it is delivered within the promise. `Some(false)` marks it: its sender is gone, nobody here
        /// knows its place, and others may have delivered it in another one. Absent when caught up.
        uniform: Option<bool>,
        /// `total` and `safe`: what fixed its place, for those who look into the protocol. Absent when caught up.
        placed: Option<Placed>,
        /// Said before this node came in, or on another side while it was cut off: history, outside the sequence, right
        /// after the view that made it known, in the order in which the others delivered it.
        caught_up: bool,
        /// When it was handed over for sending, by its sender's clock; of messages sent in quick succession not all say
        /// it. [`Endpoint::latency`](crate::endpoint::Endpoint::latency) makes a latency of it.
        sent_at: Option<Instant>,
        /// What was sent.
        payload: Bytes,
    },
    /// I am out of the group.
    Left {
        /// The group.
        group: GroupName,
        /// False when it was left by time-out: the others may not have got my last messages.
        clean: bool,
    },
    /// I was not taken in; the join is over.
    Refused {
        /// The group.
        group: GroupName,
        /// Why.
        reason: Refusal,
    },
    /// A member has not been heard for the suspicion time, here or where the next view, which is without it, was decided.
    Suspected {
        /// The group.
        group: GroupName,
        /// Whom.
        member: UserName,
    },
    /// A suspected member is heard again, or in the view again.
    Back {
        /// The group.
        group: GroupName,
        /// Whom.
        member: UserName,
    },
    /// Everybody else was suspected, and can't be reached: I go on alone.
    Alone {
        /// The group.
        group: GroupName,
    },
    /// The group has been waiting for a member for a while (half a second, or half the suspicion time if that is less): in
    /// `total` and `safe` for its part in placing a message, in any order for its part in a change of view. Told once a wait.
    WaitingFor {
        /// The group.
        group: GroupName,
        /// For whom.
        member: UserName,
    },
    /// Another view of this group is in reach and full: mine goes on beside it, and they become one when there is room.
    /// Told once in each of my views, when the other one has been in sight for a second.
    MergeRefused {
        /// The group.
        group: GroupName,
    },
    /// After [`SendError::Busy`]: there is room again.
    Writable {
        /// The group.
        group: GroupName,
    },
    /// Right after a view: some of what was said before, without this node, is missing. It is not stored any more, or
    /// those who have it are out of reach (then it may still come, when they are met again).
    HistoryGap {
        /// The group.
        group: GroupName,
    },
    /// A message for this node alone. It is not confirmed to its sender before
    /// [`Endpoint::accept_private`](crate::endpoint::Endpoint::accept_private).
    Private {
        /// Its sender's name.
        from: UserName,
        /// Its identity; `id.count` is its number among those of its conversation, from 1.
        id: MessageId,
        /// When it was handed over for sending, by its sender's clock, if it says so.
        sent_at: Option<Instant>,
        /// What was sent.
        payload: Bytes,
    },
    /// The other's node has accepted a private message of mine.
    Confirmed {
        /// Whose.
        to: UserName,
        /// The message.
        id: MessageId,
    },
    /// A conversation is over: the other's node did not answer for too long, ended, or does not take more. These
    /// messages were not confirmed; whether they arrived is not known, except that they will not any more.
    Unconfirmed {
        /// Whose.
        to: UserName,
        /// My messages, in the order of sending.
        ids: Vec<MessageId>,
    },
    /// After [`SendError::Busy`] of a private message: there is room again.
    PrivateWritable {
        /// For whom.
        to: UserName,
    },
}

/// How a member is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// It is me.
    Me,
    /// Both hear each other, straight.
    Direct,
    /// Both hear each other, over the node of this person (and perhaps more): one link at least is dead one way.
    Via(UserName),
    /// Not heard at the moment.
    No,
}

/// A member and how it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// Who.
    pub id: MemberId,
    /// Its name.
    pub name: UserName,
    /// How.
    pub reached: Reached,
    /// The smoothed round-trip time, once measured.
    pub rtt: Option<Duration>,
}

/// A message that is received and not delivered, and what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The message.
    pub id: MessageId,
    /// Who sent it.
    pub from: UserName,
    /// What it cannot be delivered without.
    pub waits_for: WaitsFor,
}

/// What a message waits for. (As text: `ann-7`, `cid's proposal`.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// Another message: its sender, and its number.
    Message(UserName, Number),
    /// `total` and `safe`: the place that this member proposes for it.
    Proposal(UserName),
    /// `total` and `safe`: the place that this member, its sender, decides.
    Decision(UserName),
    /// `safe`: the word of this member that it holds the message and its place.
    Acknowledgement(UserName),
    /// The end of a change of view: until then nothing is delivered.
    View,
    /// What was said without me, before my view.
    Past,
}

/// The number of a message that has not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// Among all that its sender has sent to the group, from 1.
    Count(u64),
    /// Among those sent in the current view, from 1: nothing that its sender said is known yet.
    InView(u64),
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitsFor::Message(of, Number::Count(count)) => write!(f, "{of}-{count}"),
            WaitsFor::Message(of, Number::InView(index)) => write!(f, "{of}'s message {index} in this view"),
            WaitsFor::Proposal(of) => write!(f, "{of}'s proposal"),
            WaitsFor::Decision(of) => write!(f, "{of}'s decision"),
            WaitsFor::Acknowledgement(of) => write!(f, "{of}'s acknowledgement"),
            WaitsFor::View => f.write_str("the change of view"),
            WaitsFor::Past => f.write_str("what was said before"),
        }
    }
}
