//! What goes into a [`Session`](super::Session) and what comes out, as plain data.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use decury_common::base::id::{GroupName, Identity, MessageId, UserName};
use decury_common::endpoint::{Cause, Held, Reached, VectorClock, ViewInfo};
use decury_common::order::{OrderKind, Placed};
use decury_common::wire::figures::Figures;

use super::error_code::ErrorCode;
use super::lab::Spec;
use super::notice::Notice;
use super::pattern::Pattern;
use super::record::{Past, Talk};
use super::text::Text;

/// One line of input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number, from 1, for the answer to carry; `None` when nobody typed it.
    pub re: Option<u64>,
    /// What it asks for.
    pub command: Command,
}

/// What a person can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Join a group and make it current.
    Join {
        /// Which.
        group: GroupName,
        /// The order to create it with; the default when missing.
        order: Option<OrderKind>,
    },
    /// Make a group current.
    Switch {
        /// Which.
        group: GroupName,
    },
    /// Send text to the current group.
    Say {
        /// The text: UTF-8, sanitised, 1 to 65,536 bytes.
        text: Bytes,
    },
    /// Send text to one person alone.
    Private {
        /// Whom.
        to: UserName,
        /// The text: UTF-8, sanitised, 1 to 65,536 bytes.
        text: Bytes,
    },
    /// List the groups that there are.
    Groups,
    /// List a group's members.
    Members {
        /// Which; the current one when missing.
        group: Option<GroupName>,
    },
    /// Tell what is held back in a group, and what it waits for.
    Why {
        /// Which; the current one when missing.
        group: Option<GroupName>,
    },
    /// Tell what was said.
    History {
        /// Where: the first of these of which anything is kept; the current group if there is none.
        talks: Vec<Talk>,
        /// How many of the last messages.
        last: usize,
    },
    /// Leave a group.
    Leave {
        /// Which; the current one when missing.
        group: Option<GroupName>,
    },
    /// Find people.
    People {
        /// Whose names are so; all when missing.
        pattern: Option<Pattern>,
    },
    /// Look for a peer at an address.
    Peer {
        /// Where.
        address: SocketAddr,
    },
    /// Show what the run amounts to so far.
    Figures,
    /// Show the lab's faults, after a change if one is named.
    Fault {
        /// What to change.
        change: Option<FaultChange>,
    },
    /// Leave everything and end.
    Quit,
    /// Nothing to do: the front end knows the answer, which only takes its turn among the others.
    Help {
        /// The command that help was asked for.
        topic: Option<&'static str>,
        /// The help.
        text: String,
    },
    /// Nothing to do: the front end could not make sense of the line.
    Refuse {
        /// What was wrong.
        code: ErrorCode,
        /// The same, for a person.
        text: String,
    },
}

/// A change of the lab's faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultChange {
    /// One more rule.
    Add(Spec),
    /// No rules.
    Clear,
}

/// What a session reports. `re` is the number of the input line that it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Input is taken from now on.
    Ready {
        /// Who I am.
        user: UserName,
        /// Where I can be reached.
        udp: SocketAddr,
        /// The tracker that took me in, if one has by now.
        tracker: Option<SocketAddr>,
        /// The person's number.
        identity: Identity,
    },
    /// My first view of a group.
    Joined {
        /// The line.
        re: Option<u64>,
        /// The group.
        group: GroupName,
        /// The view.
        view: ViewInfo,
        /// Whether it is the current group.
        current: bool,
    },
    /// A later view.
    View {
        /// The group.
        group: GroupName,
        /// The view.
        view: ViewInfo,
        /// Who is new in it.
        joined: Vec<UserName>,
        /// Who is gone.
        left: Vec<UserName>,
        /// Why it changed.
        cause: Cause,
    },
    /// I am out of a group.
    Left {
        /// The line.
        re: Option<u64>,
        /// The group.
        group: GroupName,
    },
    /// Another group is current, or none. (A [`Event::Joined`] or [`Event::Left`] that says as much stands alone.)
    Current {
        /// The line.
        re: Option<u64>,
        /// The group.
        group: Option<GroupName>,
    },
    /// My message has its identity and is on its way.
    Sent {
        /// The line.
        re: Option<u64>,
        /// The group.
        group: GroupName,
        /// The message.
        id: MessageId,
    },
    /// My private message has its identity and is on its way. [`Event::Receipt`] follows, or an error with its identity.
    PrivateSent {
        /// The line.
        re: Option<u64>,
        /// Whom it goes to.
        to: UserName,
        /// The message.
        id: MessageId,
    },
    /// A private message to me.
    Private {
        /// Who sent it.
        from: UserName,
        /// Me.
        to: UserName,
        /// Its identity.
        id: MessageId,
        /// What was said.
        text: Text,
    },
    /// My private message has arrived.
    Receipt {
        /// The message.
        id: MessageId,
        /// Whose node has it.
        by: UserName,
    },
    /// A delivery, my own messages included.
    Message {
        /// The group.
        group: GroupName,
        /// Its order.
        order: OrderKind,
        /// Who sent it.
        from: UserName,
        /// Its identity; `id.count` is the sender's count in the group.
        id: MessageId,
        /// How many messages of whom the sender had delivered, this one included; empty in `fifo`.
        clock: VectorClock,
        /// `total` and `safe`: its place in the group's sequence, from 1.
        position: Option<u64>,
        /// `safe`: false marks a message that others may have delivered in another place, or not at all; absent when
        /// caught up.
        uniform: Option<bool>,
        /// `total` and `safe`: what fixed its place, for those who look into the protocol; front ends don't show it.
        placed: Option<Placed>,
        /// Said before this node came in, or while it was cut off.
        caught_up: bool,
        /// What was said.
        text: Text,
    },
    /// The groups that there are.
    Groups {
        /// The line.
        re: Option<u64>,
        /// By name.
        groups: Vec<GroupSummary>,
    },
    /// People.
    Users {
        /// The line.
        re: Option<u64>,
        /// By name, each with whether they are there now.
        users: Vec<(UserName, bool)>,
    },
    /// A group's members.
    Members {
        /// The line.
        re: Option<u64>,
        /// The group.
        group: GroupName,
        /// By rank; of a group that this node is not in, by name.
        members: Vec<MemberSummary>,
    },
    /// What is received in a group and not delivered yet.
    Held {
        /// The line.
        re: Option<u64>,
        /// The group.
        group: GroupName,
        /// By sender, each sender's in order.
        waiting: Vec<Held>,
    },
    /// What was said.
    History {
        /// The line.
        re: Option<u64>,
        /// Where.
        talk: Talk,
        /// The last messages, oldest first.
        messages: Vec<Past>,
    },
    /// What the run amounts to so far.
    Figures {
        /// The line.
        re: Option<u64>,
        /// The figures.
        figures: Box<Figures>,
    },
    /// The lab's faults in force.
    Faults {
        /// The line.
        re: Option<u64>,
        /// In the order in which they were named.
        rules: Vec<Spec>,
    },
    /// Help, as it was asked for.
    Help {
        /// The line.
        re: Option<u64>,
        /// The command it is about.
        topic: Option<&'static str>,
        /// The help.
        text: String,
    },
    /// Something that a person should know.
    Notice {
        /// The line, if it concerns one.
        re: Option<u64>,
        /// What.
        notice: Notice,
    },
    /// A line that was not obeyed, or something else that went wrong.
    Error {
        /// The line.
        re: Option<u64>,
        /// What was wrong.
        code: ErrorCode,
        /// The message that is lost, if that is what went wrong.
        id: Option<MessageId>,
        /// The same, for a person.
        text: String,
    },
    /// The tracker does not take me in: the session ends.
    Refused {
        /// Why.
        code: ErrorCode,
        /// The same, for a person.
        text: String,
    },
    /// The last event.
    Bye {
        /// What the run amounts to.
        figures: Box<Figures>,
    },
}

/// A group, as the tracker lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSummary {
    /// Its name.
    pub name: GroupName,
    /// Its order.
    pub order: OrderKind,
    /// How many members it has.
    pub members: usize,
    /// How many it can have.
    pub limit: usize,
}

/// Somebody in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberSummary {
    /// The person.
    pub name: UserName,
    /// How this node reaches them.
    pub reached: Reached,
    /// The smoothed round-trip time, once measured.
    pub rtt: Option<Duration>,
}
