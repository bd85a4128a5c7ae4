//! The library's front door: one node with its mesh and its groups, as one [`Machine`].

mod api;

pub use api::{
    Cause, Config, Event, Held, JoinError, JoinGroup, MemberStatus, Reached, SendError, Stats, ViewInfo,
};

use std::net::SocketAddr;

use bytes::Bytes;

use crate::base::id::{GroupName, Incarnation, MemberId, MessageId};
use crate::base::time::Instant;
use crate::machine::{Machine, Persist, Transmit, Wakeup};
use crate::wire::membership::Addresses;

/// One node.
#[derive(Clone, Debug)]
pub struct Endpoint {
    config: Config,
}

impl Endpoint {
    /// A node that is in no group yet.
    pub fn new(config: Config, _now: Instant) -> Endpoint {
        Endpoint { config }
    }

    /// This running node.
    pub fn incarnation(&self) -> Incarnation {
        self.config.incarnation
    }

    /// Joins a group through the given contacts, or founds it when there is none. [`Event::Joined`] or
    /// [`Event::Refused`] follows.
    pub fn join(&mut self, _now: Instant, _join: JoinGroup) -> Result<MemberId, JoinError> {
        Err(JoinError::TooManyGroups)
    }

    /// Further nodes that are said to be in the group; known ones are harmless.
    pub fn add_contacts(&mut self, _now: Instant, _group: GroupName, _contacts: &[(Incarnation, Addresses)]) {
    }

    /// Somebody says that this node is gone: probe it at once.
    pub fn probe(&mut self, _now: Instant, _node: Incarnation) {}

    /// The addresses at which others may reach this node have changed (they travel with later joins).
    pub fn set_addresses(&mut self, _addresses: Addresses) {}

    /// Sends a message to a group. It is queued in any case but an error.
    pub fn send(
        &mut self,
        _now: Instant,
        _group: GroupName,
        _payload: Bytes,
    ) -> Result<MessageId, SendError> {
        Err(SendError::NotAMember)
    }

    /// Leaves a group once what was sent there has left; [`Event::Left`] follows, within a few seconds in any case.
    pub fn leave(&mut self, _now: Instant, _group: GroupName) -> Result<(), SendError> {
        Err(SendError::NotAMember)
    }

    /// The groups this node is in or joining, by name.
    pub fn groups(&self) -> Vec<GroupName> {
        Vec::new()
    }

    /// The current view of a group; `None` while joining.
    pub fn view(&self, _group: GroupName) -> Option<ViewInfo> {
        None
    }

    /// How each member of a group is reached.
    pub fn members(&self, _group: GroupName) -> Vec<MemberStatus> {
        Vec::new()
    }

    /// What is received, not delivered, and what it waits for.
    pub fn held(&self, _group: GroupName) -> Vec<Held> {
        Vec::new()
    }

    /// Counters since the start.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }

    /// The next event. Deliveries pause when too many wait here, and with them, in the end, the senders: a slow
    /// application slows its group and loses nothing.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }
}

impl Machine for Endpoint {
    fn handle_datagram(&mut self, _now: Instant, _from: SocketAddr, _bytes: &mut [u8]) {}

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_persist(&mut self) -> Option<Persist> {
        None
    }

    fn poll_transmit(&mut self, _now: Instant) -> Option<Transmit> {
        None
    }

    fn poll_timeout(&self) -> Option<Wakeup> {
        None
    }
}
