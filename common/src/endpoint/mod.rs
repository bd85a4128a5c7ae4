//! The library's front door: one node with its mesh and its groups, as one [`Machine`].
//!
//! [`Endpoint`] routes: a datagram's frames to the mesh and the groups they name, the mesh's findings to every group,
//! and all that is due for one peer into as few datagrams as possible.

mod acquaintances;
mod api;
mod conversations;
mod relay;
mod way;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;

pub use crate::group::{
    Cause, Event, Held, Known, MemberStatus, Number, Reached, SendError, VectorClock, ViewInfo, WaitsFor,
};
pub use crate::mesh::Latency;
pub use api::{Config, Correspondent, JoinError, JoinGroup, KnownGroup, Stats};

use crate::base::id::{GroupId, GroupName, Incarnation, MemberId, MessageId, UserName, ViewId};
use crate::base::limits::{GROUPS_MAX, MEMBERS_MAX};
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::channel::{Channel, Opened};
use crate::gossip::Gossip;
use crate::group::{Group, Settings};
use crate::machine::{Machine, Persist, Transmit, Wakeup};
use crate::mesh::{Arrival, ClockOffset, Mesh};
use crate::multicast::Counters;
use crate::wire::membership::{Addresses, Member, Refusal, Refuse};
use crate::wire::{Frame, Packer, Section, Unpacker};
use conversations::{Conversations, Heard};
use relay::Relay;

/// Refusals to strangers that wait to be sent.
const STRAYS_MAX: usize = 4 * MEMBERS_MAX;

/// One node.
#[derive(Clone, Debug)]
pub struct Endpoint {
    config: Config,
    channel: Channel,
    mesh: Mesh,
    gossip: Gossip,
    /// The views that the gossip has been told of.
    told: Vec<(GroupId, ViewId)>,
    groups: BTreeMap<GroupId, Group>,
    conversations: Conversations,
    /// What it knows of groups that it has left, in case it comes back.
    known: BTreeMap<GroupName, Known>,
    /// What was sent in groups that it has left.
    past: BTreeMap<GroupName, Counters>,
    rng: Rng,
    joins: u32,
    /// Answers to wishes for groups, or conversations, that this node is not in.
    strays: Vec<(Incarnation, Section, Refuse)>,
    /// What others send each other over this node.
    relay: Relay,
    /// What others send and what this node sends leave by turns.
    is_relays_turn: bool,
    /// All that this node had to send since the last input has left: the rest is what others send.
    is_own_sent: bool,
    /// The peer served last in this round of sending.
    sent_to: Option<Incarnation>,
    /// The group whose event was taken last.
    served: Option<GroupId>,
    /// Whether the last event was of a conversation.
    served_conversation: bool,
    now: Instant,
    stats: Stats,
    /// Where the newest datagram came from that is none of ours.
    unreadable: Option<SocketAddr>,
}

impl Endpoint {
    /// A node that is in no group yet.
    pub fn new(config: Config, now: Instant) -> Endpoint {
        let id = MemberId { incarnation: config.incarnation, join: 0 };
        let me = Member { id, name: config.name, addresses: config.addresses.clone() };
        let mut rng = Rng::from_seed(config.seed);
        let gossip =
            Gossip::new(config.incarnation, config.name, config.addresses.clone(), rng.fork().bits());
        Endpoint {
            gossip,
            told: Vec::new(),
            conversations: Conversations::new(me, config.suspect_after),
            channel: Channel::new(config.incarnation),
            mesh: Mesh::new(config.incarnation, config.suspect_after),
            groups: BTreeMap::new(),
            known: BTreeMap::new(),
            past: BTreeMap::new(),
            rng,
            joins: 0,
            strays: Vec::new(),
            relay: Relay::default(),
            is_relays_turn: false,
            is_own_sent: false,
            sent_to: None,
            served: None,
            served_conversation: false,
            now,
            stats: Stats::default(),
            unreadable: None,
            config,
        }
    }

    /// This running node.
    pub fn incarnation(&self) -> Incarnation {
        self.config.incarnation
    }

    /// Joins a group through the given contacts, or founds it when there is none. [`Event::Joined`] or
    /// [`Event::Refused`] follows.
    pub fn join(&mut self, now: Instant, join: JoinGroup) -> Result<MemberId, JoinError> {
        if self.groups.contains_key(&join.id) || self.group(join.name).is_some() {
            return Err(JoinError::Already);
        }
        if self.groups.len() >= GROUPS_MAX {
            return Err(JoinError::TooManyGroups);
        }
        let id = MemberId { incarnation: self.config.incarnation, join: self.joins };
        self.joins += 1;
        let me = Member { id, name: self.config.name, addresses: self.config.addresses.clone() };
        let Config { suspect_after, history, store, deliveries, .. } = self.config;
        let settings = Settings { suspect_after, history, store, deliveries, seed: self.rng.bits() };
        let former = self.known.remove(&join.name).unwrap_or_default();
        let mut group = Group::new(now, (join.name, join.id), me, join.order, former, settings);
        for (node, addresses) in &join.contacts {
            group.add_contact(now, *node, addresses);
        }
        self.groups.insert(join.id, group);
        self.advance(now, |group| group.id() == join.id);
        Ok(id)
    }

    /// Further nodes that are said to be in the group; known ones are harmless.
    pub fn add_contacts(&mut self, now: Instant, group: GroupName, contacts: &[(Incarnation, Addresses)]) {
        if let Some(group) = self.group_mut(group) {
            for (node, addresses) in contacts {
                group.add_contact(now, *node, addresses);
            }
        }
        self.advance(now, |known| known.name() == group);
    }

    /// Somebody says that this node is gone: probe it at once.
    pub fn probe(&mut self, now: Instant, node: Incarnation) {
        self.mesh.probe(now, node);
    }

    /// The addresses at which others may reach this node have changed (they travel with later joins).
    pub fn set_addresses(&mut self, addresses: Addresses) {
        self.conversations.set_addresses(addresses.clone());
        self.gossip.set_addresses(addresses.clone());
        self.config.addresses = addresses;
    }

    /// Sends a message to a group. It is queued in any case but an error.
    pub fn send(&mut self, now: Instant, group: GroupName, payload: Bytes) -> Result<MessageId, SendError> {
        self.group_mut(group).ok_or(SendError::NotAMember)?.send(now, payload)
    }

    /// What this node knew of a group in a former run: it is not told that again when it comes back. To be called
    /// before it joins.
    pub fn remember(&mut self, group: GroupName, known: Known) {
        if self.known.len() < GROUPS_MAX {
            self.known.insert(group, known);
        }
    }

    /// Sends a message to one node alone: first in, first out, exactly once while both run. [`Event::Confirmed`]
    /// follows when the other has accepted it, [`Event::Unconfirmed`] when it will not any more. At most
    /// [`limits::PAYLOAD_MAX`](crate::base::limits::PAYLOAD_MAX) bytes. Nothing can be sent to oneself, nor after
    /// [`Endpoint::close_conversations`].
    pub fn send_private(
        &mut self,
        now: Instant,
        to: &Correspondent,
        payload: Bytes,
    ) -> Result<MessageId, SendError> {
        self.conversations.send(now, &mut self.mesh, to, &mut self.joins, payload)
    }

    /// This node has that private message, and all before it of the same conversation, for good: an
    /// [`Event::Private`] is confirmed to its sender only after this.
    pub fn accept_private(&mut self, now: Instant, id: MessageId) {
        self.conversations.accept(now, id);
    }

    /// The running node of a person who is in reach: in a group with this node, talking to it in private, or known to it
    /// otherwise.
    pub fn find(&self, name: UserName) -> Option<Correspondent> {
        let mut members = self.groups.values().filter_map(|group| group.find(&self.mesh, name));
        let member = members.next().map(|member| Correspondent {
            name,
            incarnation: member.id.incarnation,
            addresses: member.addresses.clone(),
        });
        let talking = || self.conversations.find(&self.mesh, name);
        member.or_else(talking).or_else(|| self.find_friend(name))
    }

    /// Whether private messages of this node wait for their confirmation.
    pub fn has_unconfirmed(&self) -> bool {
        self.conversations.has_unconfirmed()
    }

    /// Ends all private conversations for good: this node is about to go. The others are told with the next datagrams,
    /// and so is who begins another, and who else knows this node.
    pub fn close_conversations(&mut self) {
        self.conversations.close();
        self.gossip.close(self.now);
    }

    /// Leaves a group once what was sent there has left; [`Event::Left`] follows, within a few seconds in any case.
    pub fn leave(&mut self, now: Instant, group: GroupName) -> Result<(), SendError> {
        self.group_mut(group).ok_or(SendError::NotAMember)?.leave(now)?;
        self.advance(now, |known| known.name() == group);
        Ok(())
    }

    /// The groups this node is in, joining or leaving, by name.
    pub fn groups(&self) -> Vec<GroupName> {
        let mut names: Vec<_> = self.groups.values().map(Group::name).collect();
        names.sort_unstable();
        names
    }

    /// The current view of a group; `None` while joining.
    pub fn view(&self, group: GroupName) -> Option<ViewInfo> {
        self.group(group)?.view()
    }

    /// How long ago, at `now`, it was `sent_at` by the clock of the node that a message is from ([`Event::Message`] and
    /// [`Event::Private`] carry it): at its delivery, its latency. `None` while that clock's offset is not known, and for
    /// a time that cannot be true. For a message of this node's own the clock error is zero.
    pub fn latency(&self, now: Instant, sender: Incarnation, sent_at: Instant) -> Option<Latency> {
        let clock = match sender == self.config.incarnation {
            true => ClockOffset::default(),
            false => self.mesh.clock(now, sender)?,
        };
        clock.latency(now, sent_at)
    }

    /// The nodes that datagrams from this address come from, as far as is known.
    pub fn nodes_at(&self, address: SocketAddr) -> impl Iterator<Item = Incarnation> + '_ {
        self.mesh.nodes_at(address)
    }

    /// The person behind a node that this node shares a group or a conversation with, or that is on its way into one.
    pub fn name_of(&self, node: Incarnation) -> Option<UserName> {
        let member = self.groups.values().find_map(|group| group.name_of(node));
        member.or_else(|| self.conversations.name_of(node))
    }

    /// What is received, not delivered, and what it waits for.
    pub fn held(&self, group: GroupName) -> Vec<Held> {
        self.group(group).map(Group::held).unwrap_or_default()
    }

    /// Counters since the start.
    pub fn stats(&self) -> Stats {
        let groups = self.groups.values().map(Group::counters);
        let sum = groups.fold(self.conversations.counters(), |sum, counters| sum.plus(counters));
        Stats {
            data_sent: self.stats.data_sent + sum.sent,
            data_repeated: self.stats.data_repeated + sum.repeated,
            ..self.stats
        }
    }

    /// Where the newest datagram came from, since this was asked last, that is none of this version's: it was dropped.
    pub fn take_unreadable(&mut self) -> Option<SocketAddr> {
        self.unreadable.take()
    }

    /// What was sent in a group since the start, former stays in it included. (Of groups left long ago it may be
    /// forgotten; [`Endpoint::stats`] forgets nothing.)
    pub fn counters(&self, group: GroupName) -> Counters {
        let past = self.past.get(&group).copied().unwrap_or_default();
        self.group(group).map_or(past, |group| past.plus(group.counters()))
    }

    /// What was sent in private conversations since the start.
    pub fn private_counters(&self) -> Counters {
        self.conversations.counters()
    }

    /// The next event, from each group in turn. Deliveries pause when too many wait here, and with them, in the end,
    /// the senders: a slow application slows its group and loses nothing.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.served_conversation = !self.served_conversation;
        match self.served_conversation {
            true => self.conversations.poll_event().or_else(|| self.poll_group_event()),
            false => self.poll_group_event().or_else(|| self.conversations.poll_event()),
        }
    }

    fn poll_group_event(&mut self) -> Option<Event> {
        let after = self.served.map(|GroupId(id)| GroupId(id.wrapping_add(1))).unwrap_or(GroupId(0));
        let mut order = self.groups.range(after..).chain(self.groups.range(..after));
        let id = order.find(|(_, group)| group.has_event()).map(|(&id, _)| id)?;
        let group = self.groups.get_mut(&id)?;
        let event = group.poll_event();
        self.served = Some(id);
        if group.is_over() {
            self.drop_group(id);
        }
        event
    }

    fn drop_group(&mut self, id: GroupId) {
        if let Some(group) = self.groups.remove(&id) {
            let (name, counters) = (group.name(), group.counters());
            self.stats.data_sent += counters.sent;
            self.stats.data_repeated += counters.repeated;
            let past = self.counters(name).plus(counters);
            put(&mut self.past, name, past);
            put(&mut self.known, name, group.into_known());
        }
    }

    fn group(&self, name: GroupName) -> Option<&Group> {
        self.groups.values().find(|group| group.name() == name)
    }

    fn group_mut(&mut self, name: GroupName) -> Option<&mut Group> {
        self.groups.values_mut().find(|group| group.name() == name)
    }

    /// Lets the mesh's findings reach every group, then these groups look at everything anew.
    fn advance(&mut self, now: Instant, concerned: impl Fn(&Group) -> bool) {
        self.now = now;
        let mut found = false;
        while let Some(event) = self.mesh.poll_event() {
            found = true;
            for group in self.groups.values_mut() {
                group.handle_mesh(now, event);
            }
            self.conversations.handle_mesh(now, event);
            self.befriend(now, event);
        }
        for group in self.groups.values_mut() {
            if found || concerned(group) {
                group.advance(now, &self.mesh);
                for (node, addresses) in group.take_wanted() {
                    self.mesh.want(now, node, &addresses);
                }
            }
        }
        self.tell_groups(now);
    }

    /// Routes the frames of one datagram. Gives the groups in which more than messages have come.
    fn route(
        &mut self,
        now: Instant,
        from: (Incarnation, Arrival),
        mut frames: Unpacker<'_>,
        datagram: &Bytes,
    ) -> Vec<GroupId> {
        let mut concerned: Vec<GroupId> = Vec::new();
        let mut fed: Vec<GroupId> = Vec::new();
        loop {
            let (section, frame) = match frames.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => {
                    self.stats.datagrams_refused += 1;
                    self.unreadable = from.1.address();
                    break;
                }
            };
            let is_straight = from.1.address().is_some();
            match &frame {
                Frame::Hello(hello) => self.mesh.handle_hello(now, from.0, from.1, hello),
                Frame::Ping(ping) if is_straight => self.mesh.handle_ping(now, from.0, *ping),
                Frame::Links(links) if is_straight => self.mesh.handle_links(now, from.0, links),
                _ => {}
            }
            if matches!(frame, Frame::Hello(_) | Frame::Ping(_) | Frame::Links(_)) {
                continue;
            }
            if matches!(frame, Frame::Card(_) | Frame::Listing(_) | Frame::Acquaintance(_)) {
                self.hear_gossip(now, from, frame);
                continue;
            }
            let Some(section) = section else {
                self.stats.datagrams_refused += 1;
                continue;
            };
            match self.groups.get_mut(&section.group) {
                Some(group) => {
                    let anew = group.handle_frame(now, &self.mesh, from, section, frame, datagram);
                    let list = if anew { &mut concerned } else { &mut fed };
                    if !list.contains(&section.group) {
                        list.push(section.group);
                    }
                }
                None => self.handle_outside(now, from.0, section, &frame, datagram),
            }
        }
        for id in fed {
            if let Some(group) = self.groups.get_mut(&id) {
                group.work(now);
            }
        }
        concerned
    }

    /// A frame of no group that this node is in: of a conversation, or from somebody who takes this node for a member.
    fn handle_outside(
        &mut self,
        now: Instant,
        from: Incarnation,
        section: Section,
        frame: &Frame<'_>,
        datagram: &Bytes,
    ) {
        let heard = self.conversations.handle_frame(now, &mut self.mesh, from, section, frame, datagram);
        let (section, member) = match (heard, frame) {
            (Heard::Taken, _) => return,
            (Heard::Refused, _) => (section, MemberId { incarnation: from, join: 0 }),
            (Heard::Unknown, Frame::Join(join)) => (Section { view: None, ..section }, join.member.id),
            (Heard::Unknown, Frame::Beacon(beacon)) => (Section { view: None, ..section }, beacon.member),
            (Heard::Unknown, _) => return,
        };
        if self.strays.len() >= STRAYS_MAX {
            self.strays.retain(|&(node, ..)| self.mesh.knows(node));
        }
        let stray = (from, section, Refuse { member, reason: Refusal::NotHere });
        if self.strays.len() < STRAYS_MAX && !self.strays.contains(&stray) {
            self.strays.push(stray);
        }
    }

    /// One datagram with what is due for this peer; `None` if nothing is.
    fn pack(&mut self, now: Instant, node: Incarnation) -> Option<Transmit> {
        let Some(to) = self.mesh.next_hop(node) else {
            for group in self.groups.values_mut() {
                group.discard(now, node, || self.channel.packer(node));
            }
            self.conversations.discard(now, node, || self.channel.packer(node));
            return None;
        };
        let mut packer = self.channel.packer(node);
        let rtt = self.mesh.rtt(node);
        let hello = self.mesh.poll_hello(now, node);
        if let Some(hello) = hello {
            packer.push(&Frame::Hello(hello));
            for group in self.groups.values_mut().filter(|group| group.knows(node)) {
                group.heartbeat(node, rtt);
            }
            self.conversations.heartbeat(node, rtt);
        }
        for links in self.mesh.poll_links(now, node, hello.is_some(), packer.room()) {
            packer.push(&Frame::Links(links));
        }
        self.strays.retain(|&(stray, section, refuse)| {
            stray != node || !packer.push_in(section, &Frame::Refuse(refuse))
        });
        let mut groups = self.groups.values_mut();
        let is_full = groups.any(|group| group.write(now, node, rtt, &mut packer));
        let is_full = is_full || self.conversations.write(now, node, &mut packer);
        let _more = is_full || self.gossip.write(now, node, &mut packer);
        (!packer.is_empty()).then(|| self.transmit(to, packer))
    }

    /// The next datagram that others send over this node.
    fn poll_relayed(&mut self) -> Option<Transmit> {
        let transmit = self.relay.poll_transmit()?;
        self.stats.datagrams_sent += 1;
        Some(transmit)
    }

    /// The next datagram of this node's own.
    fn poll_own(&mut self, now: Instant) -> Option<Transmit> {
        if self.sent_to.is_none()
            && let Some(straight) = self.mesh.poll_straight(now)
        {
            let mut packer = self.channel.packer(straight.node);
            straight.frames.iter().for_each(|frame| _ = packer.push(frame));
            return Some(self.transmit(straight.to, packer));
        }
        if let Some(transmit) = self.search(now) {
            return Some(transmit);
        }
        while let Some(node) = self.mesh.peer_after(self.sent_to) {
            if let Some(transmit) = self.pack(now, node) {
                return Some(transmit);
            }
            self.sent_to = Some(node);
        }
        self.sent_to = None;
        for group in self.groups.values_mut() {
            group.work(now);
        }
        None
    }

    fn transmit(&mut self, to: SocketAddr, packer: Packer) -> Transmit {
        self.stats.datagrams_sent += 1;
        Transmit { to, bytes: packer.finish(), segment: None }
    }
}

/// Remembers something of a group; if that are too many, in place of another one.
fn put<T>(of: &mut BTreeMap<GroupName, T>, name: GroupName, value: T) {
    if of.len() >= GROUPS_MAX && !of.contains_key(&name) {
        of.pop_first();
    }
    of.insert(name, value);
}

impl Machine for Endpoint {
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &mut [u8]) {
        self.now = now;
        self.is_own_sent = false;
        self.stats.datagrams_received += 1;
        let datagram = Bytes::copy_from_slice(bytes);
        let (header, frames) = match self.channel.open(&datagram) {
            Ok(Opened::Mine(header, frames)) => (header, frames),
            Ok(Opened::ForOther { from: sender, to, hops }) => {
                let passed = self.relay.handle_datagram(&self.mesh, (sender, to, hops), from, &datagram);
                let count = match passed {
                    true => &mut self.stats.datagrams_relayed,
                    false => &mut self.stats.datagrams_refused,
                };
                *count += 1;
                return;
            }
            Err(_) => {
                self.stats.datagrams_refused += 1;
                self.unreadable = Some(from);
                return;
            }
        };
        let node = header.from;
        let arrival = if header.hops == 0 { Arrival::Straight(from) } else { Arrival::Relayed(from) };
        if !self.mesh.handle_heard(now, node, arrival) {
            return;
        }
        let mut concerned = self.route(now, (node, arrival), frames, &datagram);
        self.look_for_members(now, &mut concerned);
        self.advance(now, |group| concerned.contains(&group.id()));
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.is_own_sent = false;
        self.mesh.handle_timeout(now);
        self.advance(now, |_| true);
        self.conversations.advance(now, &mut self.mesh);
        let (groups, conversations) = (&self.groups, &self.conversations);
        self.mesh
            .retain(now, |node| conversations.knows(node) || groups.values().any(|group| group.knows(node)));
        self.gossip.handle_timeout(now, |node| self.mesh.next_hop(node).is_some());
    }

    fn poll_persist(&mut self) -> Option<Persist> {
        None
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        self.is_relays_turn = !self.is_relays_turn;
        if (self.is_relays_turn || self.is_own_sent)
            && let Some(transmit) = self.poll_relayed()
        {
            return Some(transmit);
        }
        let own = self.poll_own(now);
        let transmit = own.or_else(|| {
            self.is_own_sent = true;
            self.poll_relayed()
        });
        self.is_own_sent &= transmit.is_some();
        transmit
    }

    fn poll_timeout(&self) -> Option<Wakeup> {
        let groups = self.groups.values().filter_map(Group::poll_timeout);
        let others = Wakeup::earliest(self.mesh.poll_timeout(), self.conversations.poll_timeout());
        let others = Wakeup::earliest(others, self.gossip.poll_timeout());
        groups.map(Some).fold(others, Wakeup::earliest)
    }
}
