//! A group, as the nodes in it report it.

use std::collections::BTreeMap;

use decury_common::base::id::{GroupId, UserName};
use decury_common::base::limits::{CONTACTS_MAX, MEMBERS_MAX};
use decury_common::base::list::List;
use decury_common::order::OrderKind;
use decury_common::wire::tracker::Peer;

/// Those who go together by a node's last report; empty while it is joining.
type View = List<Peer, MEMBERS_MAX>;

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) id: GroupId,
    pub(super) order: OrderKind,
    /// Each signed-in node in it, or on the way in.
    places: BTreeMap<UserName, View>,
}

impl Group {
    /// A group that nobody is in.
    pub(super) fn new(id: GroupId, order: OrderKind) -> Group {
        Group { id, order, places: BTreeMap::new() }
    }

    /// Gives somebody a place on the way in; false if there was one already.
    pub(super) fn add(&mut self, name: UserName) -> bool {
        let newcomer = !self.has(name);
        self.places.entry(name).or_default();
        newcomer
    }

    /// Notes how a node in the group sees it.
    pub(super) fn set_view(&mut self, name: UserName, view: View) {
        if let Some(place) = self.places.get_mut(&name) {
            *place = view;
        }
    }

    pub(super) fn remove(&mut self, name: UserName) {
        self.places.remove(&name);
    }

    pub(super) fn has(&self, name: UserName) -> bool {
        self.places.contains_key(&name)
    }

    pub(super) fn is_joining(&self, name: UserName) -> bool {
        self.places.get(&name).is_some_and(|view| view.is_empty())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether no further place is remembered.
    pub(super) fn is_full(&self) -> bool {
        self.places.len() >= CONTACTS_MAX
    }

    /// Those with a place.
    pub(super) fn names(&self) -> impl Iterator<Item = UserName> {
        self.places.keys().copied()
    }

    /// Those with a place, each with those who go together by its last report.
    pub(super) fn views(&self) -> impl Iterator<Item = (UserName, &[Peer])> {
        self.places.iter().map(|(&name, view)| (name, &view[..]))
    }
}
