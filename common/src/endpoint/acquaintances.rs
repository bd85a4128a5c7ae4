//! What an endpoint knows from others, and tells them: who is there, and in which groups.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::{Correspondent, Endpoint, KnownGroup};
use crate::base::id::{GroupId, GroupName, Incarnation, UserName};
use crate::base::time::Instant;
use crate::gossip::Friend;
use crate::group::ViewInfo;
use crate::machine::Transmit;
use crate::mesh::{Arrival, MeshEvent};
use crate::order::OrderKind;
use crate::wire::Frame;
use crate::wire::gossip::Listing;
use crate::wire::membership::Addresses;
use crate::wire::tracker::Peer;

impl Endpoint {
    /// Somebody may be at this address: it is tried, at growing intervals up to two seconds, until somebody there answers,
    /// and again whenever nobody does. Through one node of a connected graph all are found. False if too many addresses
    /// have been named.
    pub fn add_peer(&mut self, now: Instant, address: SocketAddr) -> bool {
        self.gossip.add_address(now, address)
    }

    /// Somebody was met at this address in a former run. It is tried like that of a peer that fell silent, for an hour.
    pub fn remember_peer(&mut self, now: Instant, address: SocketAddr) {
        self.gossip.remember_address(now, address);
    }

    /// Where each person who is in touch was met: of two of one name the one that came last.
    pub fn met(&self) -> BTreeMap<UserName, SocketAddr> {
        let mut friends: Vec<&Friend> = self.gossip.friends().map(|(_, friend)| friend).collect();
        friends.sort_by_key(|friend| friend.since());
        friends.into_iter().filter_map(|friend| Some((friend.name(), friend.address()?))).collect()
    }

    /// People in the groups of this node who have the name of one of its fellow members, and are somebody else: while
    /// both are there, their sides cannot merge.
    pub fn namesakes(&self) -> BTreeSet<(GroupName, UserName)> {
        let mut found = BTreeSet::new();
        for (node, friend) in self.gossip.friends().filter(|(node, _)| !self.mesh.suspects(*node)) {
            for listing in friend.groups() {
                let Some(view) = self.group(listing.group).and_then(|group| group.view()) else { continue };
                let other = view.members.iter().find(|(_, name)| *name == friend.name());
                let lives = other.is_some_and(|(id, _)| !self.mesh.suspects(id.incarnation));
                let is_member = view.members.iter().any(|(id, _)| id.incarnation == node);
                if view.order == listing.order && lives && !is_member {
                    found.insert((listing.group, friend.name()));
                }
            }
        }
        found
    }

    /// From now on this node calls into its local network: [`Endpoint::poll_call`].
    pub fn start_calling(&mut self, now: Instant) {
        self.gossip.start_calling(now);
    }

    /// Bytes to be sent to everybody in the local network. To be drained as
    /// [`Machine::poll_transmit`](crate::machine::Machine::poll_transmit) is.
    pub fn poll_call(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.gossip.poll_call(now)
    }

    /// Such bytes have come, and from where. Whoever has sent them is looked for there; of garbage
    /// [`Endpoint::take_unreadable`] tells.
    pub fn handle_call(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        if !self.gossip.handle_call(now, from, bytes) {
            self.unreadable = Some(from);
        }
    }

    /// Whether, since the last call, somebody has come into reach or gone out of it, or is in other groups.
    pub fn take_news(&mut self) -> bool {
        self.gossip.take_news()
    }

    /// Whether there is, or may be, anybody who could be asked.
    pub fn is_searching(&self) -> bool {
        self.gossip.is_searching()
    }

    /// Whether anybody is in reach.
    pub fn has_friends(&self) -> bool {
        self.gossip.has_friends()
    }

    /// Everybody who is in reach, by name: each node that this one knows, and members of its groups.
    pub fn people(&self) -> BTreeSet<UserName> {
        let friends = self.gossip.friends();
        let friends = friends.filter(|(node, _)| !self.mesh.suspects(*node)).map(|(_, friend)| friend.name());
        let views = self.groups.values().filter_map(|group| group.view());
        let members = views.flat_map(|view| view.members);
        let members = members.filter(|(id, _)| !self.mesh.suspects(id.incarnation)).map(|(_, name)| name);
        friends.chain(members).collect()
    }

    /// Who answers at this address.
    pub fn person_at(&self, address: SocketAddr) -> Option<UserName> {
        self.gossip.at(address).map(|(_, friend)| friend.name())
    }

    /// The groups that this node, and those it knows, are in. Of two of one name the one that has the name comes first.
    pub fn known_groups(&self) -> Vec<KnownGroup> {
        let mut all: BTreeMap<(GroupName, GroupId), KnownGroup> = BTreeMap::new();
        let mut add = |name, order, members: &mut dyn Iterator<Item = UserName>| {
            let new = || KnownGroup { name, order, members: BTreeSet::new() };
            all.entry((name, GroupId::of(name, order))).or_insert_with(new).members.extend(members);
        };
        for group in self.groups.values() {
            if let Some(view) = group.view() {
                add(group.name(), view.order, &mut view.members.iter().map(|&(_, name)| name));
            }
        }
        for (_, friend) in self.gossip.friends() {
            for listing in friend.groups() {
                let mine = self.group(listing.group).is_some_and(|group| is_of(group.view(), listing));
                // Who is in a group with me is in my view of it, which knows better.
                if !mine {
                    add(listing.group, listing.order, &mut listing.members.iter().map(|peer| peer.name));
                }
            }
        }
        all.into_values().collect()
    }

    /// The order of the group of this name, and those of its members whom this node knows: as far as others say.
    pub fn find_group(&self, name: GroupName) -> Option<(OrderKind, Vec<(Incarnation, Addresses)>)> {
        let order = self.gossip.order_of(name)?;
        let is_in = |friend: &Friend| friend.groups().iter().any(|l| (l.group, l.order) == (name, order));
        let friends = self.gossip.friends().filter(|(_, friend)| is_in(friend));
        Some((order, friends.map(|(node, friend)| (node, friend.addresses())).collect()))
    }

    /// The order of another group that has the name of this one, by what others say: new members go there.
    pub fn conflict(&self, name: GroupName) -> Option<OrderKind> {
        let mine = self.group(name)?.order();
        let theirs = self.gossip.order_of(name)?;
        (GroupId::of(name, theirs) < GroupId::of(name, mine)).then_some(theirs)
    }

    pub(super) fn find_friend(&self, name: UserName) -> Option<Correspondent> {
        let (incarnation, friend) = self.gossip.find(name).filter(|(node, _)| !self.mesh.suspects(*node))?;
        Some(Correspondent { name, incarnation, addresses: friend.addresses() })
    }

    /// The mesh has found something out.
    pub(super) fn befriend(&mut self, now: Instant, event: MeshEvent) {
        if let MeshEvent::Met(node) | MeshEvent::Back(node) = event
            && let Some(address) = self.mesh.next_hop(node).filter(|_| self.mesh.relay(node).is_none())
        {
            self.gossip.meet(now, node, address);
        }
    }

    pub(super) fn hear_gossip(&mut self, now: Instant, from: (Incarnation, Arrival), frame: Frame<'_>) {
        match frame {
            Frame::Card(card) => self.gossip.handle_card(now, from.0, from.1.address(), &card),
            Frame::Listing(listing) => self.gossip.handle_listing(from.0, *listing),
            Frame::Acquaintance(of) => self.gossip.handle_acquaintance(now, from.0, &of),
            _ => {}
        }
    }

    /// Whoever says that it is in a group of mine, and is not in my view, is somebody to merge with. These groups are
    /// added to those that are to look at everything anew.
    pub(super) fn look_for_members(&mut self, now: Instant, concerned: &mut Vec<GroupId>) {
        while let Some((node, friend)) = self.gossip.poll_unread() {
            for listing in friend.groups() {
                let is_same = |group: &&mut crate::group::Group| {
                    (group.name(), group.order()) == (listing.group, listing.order)
                };
                if let Some(group) = self.groups.values_mut().find(is_same)
                    && !group.knows(node)
                {
                    group.add_contact(now, node, &friend.addresses());
                    concerned.push(group.id());
                }
            }
        }
    }

    /// Tells those whom this node knows of its groups, if they have changed.
    pub(super) fn tell_groups(&mut self, now: Instant) {
        let views = self.groups.iter().filter_map(|(&id, group)| Some((id, group.view_id()?)));
        if views.clone().eq(self.told.iter().copied()) {
            return;
        }
        self.told = views.collect();
        let listings = self.groups.values().filter_map(|group| {
            let view = group.view()?;
            let members = view.members.iter();
            let members = members.map(|&(id, name)| Peer { incarnation: id.incarnation, name }).collect();
            Some(Listing { version: 0, group: group.name(), order: view.order, members })
        });
        self.gossip.set_groups(now, listings.collect());
    }

    /// A datagram for somebody who is looked for.
    pub(super) fn search(&mut self, now: Instant) -> Option<Transmit> {
        let (address, card) = self.gossip.poll_search(now)?;
        let mut packer = self.channel.packer_for_anybody();
        packer.push(&Frame::Card(Box::new(card)));
        Some(self.transmit(address, packer))
    }
}

fn is_of(view: Option<ViewInfo>, listing: &Listing) -> bool {
    view.is_some_and(|view| view.order == listing.order)
}
