//! The place where the nodes of a group find each other, as a tracker would be, without its protocol.

use std::collections::BTreeMap;
use std::time::Duration;

use decury_common::base::id::{GroupId, GroupName, Incarnation};
use decury_common::base::time::Instant;
use decury_common::order::OrderKind;
use decury_common::wire::membership::Addresses;

use super::host::HostId;

/// How long an entry lasts that nobody renews.
const LEASE: Duration = Duration::from_secs(15);

/// Who is in which group, as far as they have said so lately.
#[derive(Clone, Debug)]
pub struct Directory {
    /// It answers nobody.
    down: bool,
    groups: BTreeMap<GroupName, Listing>,
}

#[derive(Clone, Debug)]
struct Listing {
    id: GroupId,
    order: OrderKind,
    leases: BTreeMap<Incarnation, Lease>,
}

#[derive(Clone, Debug)]
struct Lease {
    addresses: Addresses,
    until: Instant,
}

/// What one who asks for a group is told.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The group's identity.
    pub id: GroupId,
    /// Its order: the one of whoever asked first.
    pub order: OrderKind,
    /// The others who are in it or on their way into it.
    pub contacts: Vec<(Incarnation, Addresses)>,
}

impl Directory {
    /// An empty directory.
    pub(crate) fn new() -> Directory {
        Directory { down: false, groups: BTreeMap::new() }
    }

    /// From now on it answers, or answers nobody.
    pub fn set_down(&mut self, down: bool) {
        self.down = down;
    }

    /// A node says that it is in the group, or on its way; and is told who else is. `None`: it is down.
    pub fn ask(
        &mut self,
        now: Instant,
        group: GroupName,
        order: OrderKind,
        who: (Incarnation, HostId),
    ) -> Option<Answer> {
        if self.down {
            return None;
        }
        let fresh = || Listing { id: GroupId::of(group, order), order, leases: BTreeMap::new() };
        let listing = self.groups.entry(group).or_insert_with(fresh);
        listing.leases.retain(|_, lease| now < lease.until);
        let others = listing.leases.iter().filter(|(incarnation, _)| **incarnation != who.0);
        let contacts = others.map(|(incarnation, lease)| (*incarnation, lease.addresses.clone())).collect();
        let addresses = std::iter::once(who.1.address()).collect();
        listing.leases.insert(who.0, Lease { addresses, until: now + LEASE });
        Some(Answer { id: listing.id, order: listing.order, contacts })
    }

    /// A node says that it has left the group.
    pub fn leave(&mut self, group: GroupName, who: Incarnation) {
        if !self.down
            && let Some(listing) = self.groups.get_mut(&group)
        {
            listing.leases.remove(&who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_lasts_as_long_as_it_is_renewed() {
        let mut directory = Directory::new();
        let group = "g".parse().unwrap();
        let [a, b] = [(Incarnation(1), HostId(0)), (Incarnation(2), HostId(1))];
        let seconds = |s: u64| Instant::from_micros(s * 1_000_000);
        assert!(directory.ask(seconds(0), group, OrderKind::Fifo, a).unwrap().contacts.is_empty());
        let answer = directory.ask(seconds(14), group, OrderKind::Causal, b).unwrap();
        assert_eq!(answer.order, OrderKind::Fifo);
        assert_eq!(answer.contacts[0].0, Incarnation(1));
        assert!(directory.ask(seconds(15), group, OrderKind::Fifo, b).unwrap().contacts.is_empty());
        directory.set_down(true);
        assert!(directory.ask(seconds(15), group, OrderKind::Fifo, a).is_none());
    }
}
