//! Who else is there, and in which groups: what nodes that know each other tell each other.
//!
//! The model: a **friend** is a node that has shown its [`Card`] and is heard ever since; each of the two shows it again
//! every two seconds or so. A node tells its friends of one another, as [`Acquaintance`]s, and tells only of friends, that
//! is of those whom it hears itself: so one known peer of a connected graph leads to all of them, and who is dead is soon
//! told by nobody. Whoever is told of a stranger shows it a card, and knows it once that is answered. A node also tells
//! its friends which groups it is in, each as a [`Listing`]; the list has a version, by which it is sent when it has changed
//! and repeated until the friend says that it has all of it.
//!
//! Who is looked for, since somebody told of it, or since it was a friend and fell silent, or since a person named its
//! address, gets cards at growing intervals, at most two seconds (`sought`). Everything is bounded, and a card rides on
//! whatever leaves for the friend anyway. Who can *call* into its local network is looked for by those who hear the call
//! (`calling`).

mod calling;
mod friend;
mod sought;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::id::{GroupId, GroupName, Incarnation, UserName};
use crate::base::limits::PEERS_MAX;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::machine::Wakeup;
use crate::order::OrderKind;
use crate::wire::gossip::{Acquaintance, Call, Card, Listing};
use crate::wire::membership::Addresses;
use crate::wire::{Frame, Packer};
use calling::Calling;
pub use friend::Friend;
use sought::Sought;

/// How often a friend is shown a card at least.
const CARD_EVERY: Duration = Duration::from_secs(2);
/// A card rides on what leaves anyway if it would be due within this time.
const CARD_EARLY: Duration = Duration::from_millis(500);
/// Who is not heard for so long is no friend any more.
const FRIEND_FOR: Duration = Duration::from_secs(8);
/// How many friends a friend is told of with each card, beside those that are new to it.
const TOLD_WITH_CARD: usize = 2;

/// All that one node knows of others.
#[derive(Clone, Debug)]
pub struct Gossip {
    me: Incarnation,
    name: UserName,
    addresses: Addresses,
    rng: Rng,
    /// My groups, and the version of that list.
    groups: Vec<Listing>,
    version: u32,
    friends: BTreeMap<Incarnation, Friend>,
    sought: Sought,
    calling: Calling,
    /// Friends whose groups are to be looked at.
    unread: BTreeSet<Incarnation>,
    /// Something has changed that somebody may be waiting for.
    has_news: bool,
    closed: bool,
}

impl Gossip {
    /// A node that knows nobody, and is in no group.
    pub fn new(me: Incarnation, name: UserName, addresses: Addresses, seed: u64) -> Gossip {
        Gossip {
            me,
            name,
            addresses,
            rng: Rng::from_seed(seed),
            groups: Vec::new(),
            version: 1,
            friends: BTreeMap::new(),
            sought: Sought::default(),
            calling: Calling::default(),
            unread: BTreeSet::new(),
            has_news: false,
            closed: false,
        }
    }

    /// Where this node can be reached, from now on.
    pub fn set_addresses(&mut self, addresses: Addresses) {
        self.addresses = addresses;
    }

    /// A person names an address at which somebody may be: it is tried until somebody there is a friend, and again
    /// whenever nobody is. False if too many are named already.
    pub fn add_address(&mut self, now: Instant, address: SocketAddr) -> bool {
        self.sought.name(now, address)
    }

    /// Somebody was met at this address in a former run: it is tried for an hour, if there is room.
    pub fn remember_address(&mut self, now: Instant, address: SocketAddr) {
        self.sought.remember(now, address);
    }

    /// From now on this node calls into its local network.
    pub fn start_calling(&mut self, now: Instant) {
        self.calling.start(now);
    }

    /// A node is in touch for other reasons: it shall be a friend.
    pub fn meet(&mut self, now: Instant, node: Incarnation, address: SocketAddr) {
        self.seek(now, None, node, &[address]);
    }

    /// The groups that this node is in, whenever they have changed. (Their `version`s are of no account.)
    pub fn set_groups(&mut self, now: Instant, groups: Vec<Listing>) {
        self.version = self.version.saturating_add(1);
        let version = self.version;
        self.groups = groups.into_iter().map(|listing| Listing { version, ..listing }).collect();
        self.friends.values_mut().for_each(|friend| friend.list(now));
    }

    /// This node ends: its friends are told with the next datagrams.
    pub fn close(&mut self, now: Instant) {
        self.closed = true;
        self.sought = Sought::default();
        self.calling = Calling::default();
        self.friends.values_mut().for_each(|friend| friend.show_at(now));
    }

    /// A card has come; `from` where, if straight from its node.
    pub fn handle_card(&mut self, now: Instant, node: Incarnation, from: Option<SocketAddr>, card: &Card) {
        if self.closed || node == self.me {
            return;
        }
        if card.going {
            self.sought.forget(node);
            self.has_news |= self.friends.remove(&node).is_some();
            return;
        }
        if !self.friends.contains_key(&node) && !self.befriend(now, node, from, card) {
            return;
        }
        let version = self.version;
        let Some(friend) = self.friends.get_mut(&node) else { return };
        if friend.handle_card(now, from, card, version) {
            self.has_news = true;
        }
        self.unread.insert(node);
    }

    /// A group that a friend is in.
    pub fn handle_listing(&mut self, node: Incarnation, listing: Listing) {
        let complete = self.friends.get_mut(&node).is_some_and(|friend| friend.handle_listing(listing));
        if complete {
            self.has_news = true;
            self.unread.insert(node);
        }
    }

    /// A friend tells of somebody whom it hears.
    pub fn handle_acquaintance(&mut self, now: Instant, from: Incarnation, of: &Acquaintance) {
        if self.friends.contains_key(&from) {
            self.seek(now, Some(from), of.incarnation, &of.addresses);
        }
    }

    /// Somebody calls from this address. Whether these bytes are a call at all.
    pub fn handle_call(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> bool {
        let Some(call) = Call::decode(bytes) else { return false };
        self.seek(now, None, call.incarnation, &[SocketAddr::new(from.ip(), call.port)]);
        true
    }

    /// A call to be sent into the local network, if it is time.
    pub fn poll_call(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.calling.poll(now)?;
        let port = self.addresses.first()?.port();
        Some(Call { incarnation: self.me, name: self.name, port }.encode())
    }

    /// Time has passed. `is_in_touch`: whether datagrams can be sent to that node at all.
    pub fn handle_timeout(&mut self, now: Instant, is_in_touch: impl Fn(Incarnation) -> bool) {
        let silent = |(&node, friend): (&Incarnation, &Friend)| {
            (now.since(friend.heard_at()) >= FRIEND_FOR || !is_in_touch(node)).then_some(node)
        };
        let silent: Vec<Incarnation> = self.friends.iter().filter_map(silent).collect();
        for node in silent {
            if let Some(friend) = self.friends.remove(&node) {
                self.sought.miss(now, node, &friend.addresses());
                self.calling.soon(now);
                self.has_news = true;
            }
        }
        self.sought.tidy(now);
    }

    /// A card for somebody who is looked for, and the address to send it to.
    pub fn poll_search(&mut self, now: Instant) -> Option<(SocketAddr, Card)> {
        let friends = &self.friends;
        let is_there = |address: &SocketAddr| friends.values().any(|friend| friend.is_at(address));
        let answers = |address: &SocketAddr| friends.values().any(|friend| friend.path() == Some(*address));
        let address = self.sought.poll(now, &self.addresses, is_there, answers)?;
        Some((address, self.card(0, true)))
    }

    /// Writes what is due for a friend; true if more is due than fitted.
    #[must_use]
    pub fn write(&mut self, now: Instant, node: Incarnation, packer: &mut Packer) -> bool {
        let early = if packer.is_empty() { Duration::ZERO } else { CARD_EARLY };
        let Some(friend) = self.friends.get(&node) else { return false };
        let due = friend.is_due(now, early);
        if !due && !friend.has_more() {
            return false;
        }
        if due && !packer.push(&Frame::Card(Box::new(self.card(friend.has(), false)))) {
            return true;
        }
        if self.closed {
            self.friends.remove(&node);
            return false;
        }
        let mut untold = if due { self.others_than(node) } else { BTreeSet::new() };
        let pause = self.rng.between(CARD_EVERY * 3 / 4, CARD_EVERY);
        let Some(friend) = self.friends.get_mut(&node) else { return false };
        if due {
            friend.shown(now, now + pause);
        }
        if friend.write_listings(&self.groups, packer) {
            return true;
        }
        untold.append(friend.untold());
        untold.retain(|other| {
            self.friends.get(other).is_some_and(|friend| {
                let (incarnation, addresses) = (*other, friend.addresses());
                !packer.push(&Frame::Acquaintance(Box::new(Acquaintance { incarnation, addresses })))
            })
        });
        let is_full = !untold.is_empty();
        if let Some(friend) = self.friends.get_mut(&node) {
            *friend.untold() = untold;
        }
        is_full
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<Wakeup> {
        let friends = self.friends.values().map(|friend| {
            let due = friend.next_due().min(friend.heard_at() + FRIEND_FOR);
            Wakeup { at: due, reason: "gossip: a card" }
        });
        let sought = self.sought.next_at().map(|at| Wakeup { at, reason: "gossip: a search" });
        let calling = self.calling.next_at().map(|at| Wakeup { at, reason: "gossip: a call" });
        friends.map(Some).chain([sought, calling]).fold(None, Wakeup::earliest)
    }

    /// Whether there is something that somebody may be waiting for, since the last call: a friend, or its groups.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    /// A friend that has been heard anew, to be asked which of my groups it is in.
    pub fn poll_unread(&mut self) -> Option<(Incarnation, &Friend)> {
        while let Some(node) = self.unread.pop_first() {
            if self.friends.contains_key(&node) {
                return self.friends.get(&node).map(|friend| (node, friend));
            }
        }
        None
    }

    /// All friends.
    pub fn friends(&self) -> impl Iterator<Item = (Incarnation, &Friend)> {
        self.friends.iter().map(|(&node, friend)| (node, friend))
    }

    /// The friend of this name; of several (one of which has probably crashed) the one met last.
    pub fn find(&self, name: UserName) -> Option<(Incarnation, &Friend)> {
        self.friends().filter(|(_, friend)| friend.name() == name).max_by_key(|(_, friend)| friend.since())
    }

    /// The friend at this address.
    pub fn at(&self, address: SocketAddr) -> Option<(Incarnation, &Friend)> {
        self.friends().find(|(_, friend)| friend.is_at(&address))
    }

    /// The order of the group that has this name, as friends say: of several the one with the smallest [`GroupId`].
    pub fn order_of(&self, name: GroupName) -> Option<OrderKind> {
        let listings = self.friends.values().flat_map(Friend::groups).filter(|listing| listing.group == name);
        listings.map(|listing| listing.order).min_by_key(|&order| GroupId::of(name, order))
    }

    /// Whether anybody is in reach.
    pub fn has_friends(&self) -> bool {
        !self.friends.is_empty()
    }

    /// Whether there may be somebody who has not been found yet.
    pub fn is_searching(&self) -> bool {
        !self.friends.is_empty() || self.sought.is_searching() || self.calling.is_on()
    }

    /// Makes a friend, if there is room; false if not.
    fn befriend(&mut self, now: Instant, node: Incarnation, from: Option<SocketAddr>, card: &Card) -> bool {
        // Another node at its address is its former self, which is gone.
        self.friends.retain(|_, friend| from.is_none() || friend.path() != from);
        if self.friends.len() >= PEERS_MAX {
            return false;
        }
        self.sought.forget(node);
        let mut friend = Friend::new(now, from, card);
        if let Some(path) = from {
            self.sought.forget_at(path, |address| friend.is_at(address));
        }
        for (other, known) in &mut self.friends {
            friend.untold().insert(*other);
            known.untold().insert(node);
        }
        friend.list(now);
        self.friends.insert(node, friend);
        self.has_news = true;
        true
    }

    fn seek(
        &mut self,
        now: Instant,
        teller: Option<Incarnation>,
        node: Incarnation,
        addresses: &[SocketAddr],
    ) {
        if node != self.me && !self.closed && !self.friends.contains_key(&node) {
            self.sought.tell(now, teller, node, addresses);
        }
    }

    /// A few friends, others with each call.
    fn others_than(&mut self, node: Incarnation) -> BTreeSet<Incarnation> {
        let others = self.friends.len().saturating_sub(1) as u64;
        let first = usize::try_from(self.rng.below(others)).unwrap_or(0);
        let others = self.friends.keys().copied().filter(|other| *other != node);
        others.clone().chain(others).skip(first).take(TOLD_WITH_CARD).collect()
    }

    fn card(&self, has: u32, probe: bool) -> Card {
        Card {
            name: self.name,
            addresses: self.addresses.clone(),
            version: self.version,
            groups: u8::try_from(self.groups.len()).unwrap_or(u8::MAX),
            has,
            probe,
            going: self.closed,
        }
    }
}
