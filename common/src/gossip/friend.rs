//! A friend: who it is, what it is in, what it has been told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::id::{GroupName, Incarnation, UserName};
use crate::base::limits::GROUPS_MAX;
use crate::base::time::Instant;
use crate::wire::gossip::{Card, Listing};
use crate::wire::membership::Addresses;
use crate::wire::{Frame, Packer};

/// Between two lists of my groups lies at least so much: views may change in quick succession.
const LIST_EVERY: Duration = Duration::from_millis(250);
/// A list that a friend does not have after so long is sent again.
const LIST_AGAIN: Duration = Duration::from_secs(1);

/// Another node that is heard, and hears this one.
#[derive(Clone, Debug)]
pub struct Friend {
    name: UserName,
    addresses: Addresses,
    /// Where its newest card came from, if straight from it.
    path: Option<SocketAddr>,
    since: Instant,
    heard_at: Instant,
    /// Its groups, and the version of that list.
    groups: Vec<Listing>,
    has: u32,
    /// What has come of a newer list.
    incoming: BTreeMap<GroupName, Listing>,
    /// The version of that, and how many it has once a card says so.
    expected: (u32, Option<u8>),
    /// When my next card is due.
    card_at: Instant,
    /// When it is to be sent my list; and the next of that to be written, while it is.
    list_at: Option<Instant>,
    listed_at: Instant,
    listing: Option<usize>,
    /// Friends that it is to be told of.
    untold: BTreeSet<Incarnation>,
}

impl Friend {
    pub(super) fn new(now: Instant, from: Option<SocketAddr>, card: &Card) -> Friend {
        Friend {
            name: card.name,
            addresses: card.addresses.clone(),
            path: from,
            since: now,
            heard_at: now,
            groups: Vec::new(),
            has: 0,
            incoming: BTreeMap::new(),
            expected: (0, None),
            card_at: now,
            list_at: None,
            listed_at: Instant::ZERO,
            listing: None,
            untold: BTreeSet::new(),
        }
    }

    /// The person.
    pub fn name(&self) -> UserName {
        self.name
    }

    /// Where it can be reached: as it says, and as it seems.
    pub fn addresses(&self) -> Addresses {
        let mut all = self.addresses.clone();
        if let Some(path) = self.path.filter(|path| !all.contains(path)) {
            all.truncate(all.capacity() - 1);
            all.push(path);
        }
        all
    }

    /// The groups that it is in.
    pub fn groups(&self) -> &[Listing] {
        &self.groups
    }

    /// Where it was met: as it seems, else as it says.
    pub fn address(&self) -> Option<SocketAddr> {
        self.path.or_else(|| self.addresses.first().copied())
    }

    /// Since when it has been a friend.
    pub fn since(&self) -> Instant {
        self.since
    }

    pub(super) fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// Where its newest card came from, if straight from it.
    pub fn path(&self) -> Option<SocketAddr> {
        self.path
    }

    /// The version of its list that has come as a whole.
    pub(super) fn has(&self) -> u32 {
        self.has
    }

    pub(super) fn is_at(&self, address: &SocketAddr) -> bool {
        self.path == Some(*address) || self.addresses.contains(address)
    }

    /// Takes a card in; `version` is that of my list. Whether it is elsewhere, or its groups are others.
    pub(super) fn handle_card(
        &mut self,
        now: Instant,
        from: Option<SocketAddr>,
        card: &Card,
        version: u32,
    ) -> bool {
        let former = self.address();
        (self.heard_at, self.path, self.name) = (now, from.or(self.path), card.name);
        self.addresses.clone_from(&card.addresses);
        if card.probe {
            self.card_at = now;
        }
        if card.has != version && self.list_at.is_none() && now.since(self.listed_at) >= LIST_AGAIN {
            self.list_at = Some(now);
        }
        if card.version > self.expected.0 {
            self.incoming.clear();
        }
        if card.version >= self.expected.0 {
            self.expected = (card.version, Some(card.groups));
        }
        self.complete() || self.address() != former
    }

    /// Takes one of its groups in. Whether the list is complete, and another one than before.
    pub(super) fn handle_listing(&mut self, listing: Listing) -> bool {
        if listing.version < self.expected.0 || listing.version <= self.has {
            return false;
        }
        if listing.version > self.expected.0 {
            self.incoming.clear();
            self.expected = (listing.version, None);
        }
        if self.incoming.len() < GROUPS_MAX {
            self.incoming.insert(listing.group, listing);
        }
        self.complete()
    }

    fn complete(&mut self) -> bool {
        let (version, count) = self.expected;
        let complete =
            version > self.has && count.is_some_and(|count| self.incoming.len() == usize::from(count));
        if complete {
            self.has = version;
            self.groups = std::mem::take(&mut self.incoming).into_values().collect();
        }
        complete
    }

    /// My groups have changed.
    pub(super) fn list(&mut self, now: Instant) {
        let at = now.max(self.listed_at + LIST_EVERY);
        self.list_at = Some(self.list_at.map_or(at, |earlier| earlier.min(at)));
        self.listing = None;
    }

    pub(super) fn show_at(&mut self, at: Instant) {
        self.card_at = at;
    }

    /// Whether a card for it is due, alone (or so `early` before it is) or before a list.
    pub(super) fn is_due(&self, now: Instant, early: Duration) -> bool {
        self.card_at <= now + early || self.list_at.is_some_and(|list_at| list_at <= now)
    }

    pub(super) fn next_due(&self) -> Instant {
        self.list_at.map_or(self.card_at, |at| at.min(self.card_at))
    }

    /// A card is on its way to it, the next one is due then.
    pub(super) fn shown(&mut self, now: Instant, next: Instant) {
        self.card_at = next;
        if self.list_at.take_if(|at| *at <= now).is_some() {
            (self.listing, self.listed_at) = (Some(0), now);
        }
    }

    /// Writes what is left of my list; true if more is left than fitted.
    pub(super) fn write_listings(&mut self, groups: &[Listing], packer: &mut Packer) -> bool {
        while let Some(next) = self.listing {
            let Some(listing) = groups.get(next) else {
                self.listing = None;
                break;
            };
            if !packer.push(&Frame::Listing(Box::new(listing.clone()))) {
                return true;
            }
            self.listing = Some(next + 1);
        }
        false
    }

    /// Whether something is left to be told that did not fit before.
    pub(super) fn has_more(&self) -> bool {
        self.listing.is_some() || !self.untold.is_empty()
    }

    /// Friends that it is to be told of.
    pub(super) fn untold(&mut self) -> &mut BTreeSet<Incarnation> {
        &mut self.untold
    }
}
