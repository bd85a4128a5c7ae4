//! Everyone else that this node knows of in the group: where they say they stand, who wants in, whom to look for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Membership;
use super::compose;
use super::view::View;
use crate::base::id::{Incarnation, MemberId, UserName, ViewId};
use crate::base::limits::MEMBERS_MAX;
use crate::base::time::Instant;
use crate::mesh::Mesh;
use crate::wire::Beacon;
use crate::wire::membership::{Addresses, Member};

/// Nodes to look for that are not members.
const CONTACTS_MAX: usize = 4 * MEMBERS_MAX;
/// A wish to come in that is not repeated for this long is over.
const WISH_KEPT: Duration = Duration::from_secs(2);
/// A suspected member keeps its place against joiners for this long, as it may only be cut off.
const PLACE_KEPT: Duration = Duration::from_secs(15);
/// The first and the longest wait after a merge that failed.
const MERGE_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// After this long in one view a peer's failed merges are forgotten.
const MERGE_FORGOTTEN: Duration = Duration::from_secs(60);

/// Where a node of the group stands, by its newest beacon.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) view: Option<ViewId>,
    pub(super) beacon: Beacon,
    /// Since when it is frozen.
    pub(super) frozen_at: Option<Instant>,
}

/// What a beacon told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    None,
    Changed,
    /// The first of its node.
    First,
}

#[derive(Clone, Debug)]
pub(super) struct Applicant {
    pub(super) member: Member,
    /// The view that it comes from; `None` for a joiner.
    pub(super) view: Option<ViewId>,
    /// When it first asked, and last.
    pub(super) since: Instant,
    at: Instant,
}

/// A node to look for.
#[derive(Clone, Debug)]
struct Contact {
    addresses: Addresses,
    /// The person, if that is known.
    name: Option<UserName>,
    /// When it was last named.
    at: Instant,
}

/// How taking one peer in has gone.
#[derive(Clone, Copy, Debug)]
struct Merges {
    /// The wait that the last failure cost.
    wait: Duration,
    not_before: Instant,
    /// When the last merge with it succeeded.
    merged_at: Option<Instant>,
}

/// A view of this group that is not mine.
#[derive(Clone, Debug, Default)]
pub(super) struct Foreign {
    /// How many members it still has, as they say.
    pub(super) members: usize,
    /// Those of them that are in reach, by rank.
    pub(super) nodes: BTreeMap<u8, Incarnation>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    nodes: BTreeMap<Incarnation, Node>,
    applicants: BTreeMap<Incarnation, Applicant>,
    contacts: BTreeMap<Incarnation, Contact>,
    merges: BTreeMap<Incarnation, Merges>,
    places: Vec<(UserName, Instant)>,
}

impl Membership {
    /// The person behind a node: a member, somebody who takes part in a change, or who wants in.
    pub fn name_of(&self, node: Incarnation) -> Option<UserName> {
        let members = self.view.iter().flat_map(|view| &view.members);
        let participants = self.change.iter().flat_map(|change| &change.prepare.participants);
        let known = members.chain(participants).find(|member| member.id.incarnation == node);
        known.or_else(|| Some(&self.roster.applicants.get(&node)?.member)).map(|member| member.name)
    }
}

impl Roster {
    /// A node to look for; the one named longest ago makes room.
    pub(super) fn add_contact(
        &mut self,
        now: Instant,
        (node, name): (Incarnation, Option<UserName>),
        addresses: &Addresses,
    ) {
        let name = name.or_else(|| self.contacts.get(&node)?.name);
        self.contacts.insert(node, Contact { addresses: addresses.clone(), name, at: now });
        if self.contacts.len() > CONTACTS_MAX {
            let oldest = self.contacts.iter().min_by_key(|(_, contact)| contact.at).map(|(&node, _)| node);
            oldest.map(|node| self.contacts.remove(&node));
        }
    }

    /// A node that is not in the group (any more).
    pub(super) fn forget(&mut self, node: Incarnation) {
        self.contacts.remove(&node);
        self.nodes.remove(&node);
        self.applicants.remove(&node);
        self.merges.remove(&node);
    }

    /// A member that was replaced by a newer one: of the same name, or of the same node (then it stays known).
    pub(super) fn forget_replaced(&mut self, node: Incarnation, view: &View) {
        if view.rank_of_node(node).is_none() {
            self.forget(node);
        }
    }

    /// Other nodes of the members' names are not looked for: former selves, as a rule. (Names in a view are unique: one
    /// of another person could not come in either. If it is there, it finds this view.)
    pub(super) fn forget_namesakes(&mut self, view: &View) {
        let is_other = |node: Incarnation, name: UserName| {
            view.rank_of_node(node).is_none() && view.members.iter().any(|member| member.name == name)
        };
        self.contacts.retain(|&node, contact| contact.name.is_none_or(|name| !is_other(node, name)));
    }

    pub(super) fn contacts(&self) -> impl Iterator<Item = (Incarnation, &Addresses)> {
        self.contacts.iter().map(|(&node, contact)| (node, &contact.addresses))
    }

    /// Takes a beacon in, unless it is older than the one known. A beacon of one member moves forward only: by view,
    /// then by attempt promised, then from free to frozen.
    pub(super) fn handle_beacon(&mut self, now: Instant, view: Option<ViewId>, beacon: Beacon) -> News {
        let place = |view: Option<ViewId>, b: &Beacon| (b.member, view, b.promised, b.frozen, b.leaving);
        let node = beacon.member.incarnation;
        let known = self.nodes.get(&node);
        if known.is_some_and(|known| place(known.view, &known.beacon) > place(view, &beacon))
            || (known.is_none() && self.nodes.len() >= CONTACTS_MAX)
        {
            return News::None;
        }
        let news = match known {
            None => News::First,
            Some(known) if (known.view, &known.beacon) == (view, &beacon) => return News::None,
            Some(_) => News::Changed,
        };
        let frozen_at = known.and_then(|known| known.frozen_at).unwrap_or(now);
        let frozen_at = beacon.frozen.then_some(frozen_at);
        self.nodes.insert(node, Node { view, beacon, frozen_at });
        news
    }

    /// The newest beacon of a node.
    pub(super) fn node(&self, node: Incarnation) -> Option<&Node> {
        self.nodes.get(&node)
    }

    /// Somebody wants in.
    pub(super) fn handle_wish(&mut self, now: Instant, member: Member, view: Option<ViewId>) {
        let node = member.id.incarnation;
        if self.applicants.len() < CONTACTS_MAX || self.applicants.contains_key(&node) {
            let former = self.applicants.get(&node).filter(|former| former.member.id == member.id);
            let since = former.map_or(now, |former| former.since);
            self.applicants.insert(node, Applicant { member, view, since, at: now });
        }
    }

    /// A wish that is fulfilled or refused.
    pub(super) fn drop_wish(&mut self, node: Incarnation) {
        self.applicants.remove(&node);
    }

    /// Those who want in and are in reach.
    pub(super) fn applicants(&self, now: Instant, mesh: &Mesh) -> impl Iterator<Item = &Applicant> {
        let fresh = move |a: &&Applicant| now.since(a.at) < WISH_KEPT;
        self.applicants.values().filter(fresh).filter(move |a| mesh.reaches(now, a.member.id.incarnation))
    }

    /// Whether a member of my view is known to be elsewhere: in a later view, or in the group as another member.
    pub(super) fn is_elsewhere(&self, view: &View, member: MemberId) -> bool {
        let known = self.nodes.get(&member.incarnation);
        known.is_some_and(|node| node.beacon.member != member || node.view > Some(view.id))
    }

    /// The other views in sight. Views with a peer whose last merge failed wait their time.
    pub(super) fn foreign(&self, now: Instant, mesh: &Mesh, mine: &View) -> BTreeMap<ViewId, Foreign> {
        let mut views: BTreeMap<ViewId, Foreign> = BTreeMap::new();
        let mut waiting: Vec<ViewId> = Vec::new();
        for (view, node, known) in self.in_other_views(now, mesh, mine) {
            let foreign = views.entry(view).or_default();
            foreign.members = foreign.members.max(usize::from(known.beacon.members));
            foreign.nodes.insert(known.beacon.rank, node);
            if self.waits(now, node) {
                waiting.push(view);
            }
        }
        views.retain(|view, _| !waiting.contains(view));
        views
    }

    /// Those in reach who are in another view, with that.
    fn in_other_views<'a>(
        &'a self,
        now: Instant,
        mesh: &'a Mesh,
        mine: &'a View,
    ) -> impl Iterator<Item = (ViewId, Incarnation, &'a Node)> {
        let of_mine = |member: MemberId| mine.contains(member) && !self.is_elsewhere(mine, member);
        self.nodes.iter().filter_map(move |(&node, known)| {
            let view = known.view.filter(|&view| view != mine.id)?;
            let counts = !of_mine(known.beacon.member) && !known.beacon.leaving && mesh.reaches(now, node);
            counts.then_some((view, node, known))
        })
    }

    /// Whether another view in sight is full, and not over.
    pub(super) fn sees_full(
        &self,
        now: Instant,
        mesh: &Mesh,
        mine: &View,
        is_over: impl Fn(ViewId) -> bool,
    ) -> bool {
        let is_full = |known: &Node| usize::from(known.beacon.members) >= MEMBERS_MAX;
        self.in_other_views(now, mesh, mine).any(|(view, _, known)| is_full(known) && !is_over(view))
    }

    /// The views that merge with mine, as all who see the same would say; mine is not among them.
    pub(super) fn merging(&self, mine: (ViewId, usize), foreign: &BTreeMap<ViewId, Foreign>) -> Vec<ViewId> {
        let mut sizes: Vec<_> = foreign.iter().map(|(&view, f)| (view, f.members)).collect();
        sizes.push(mine);
        sizes.sort_unstable();
        let cluster = compose::clusters(&sizes).into_iter().find(|cluster| cluster.contains(&mine.0));
        cluster.into_iter().flatten().filter(|&view| view != mine.0).collect()
    }

    /// When the next view may merge that waits its time now.
    pub(super) fn next_merge(&self, now: Instant) -> Option<Instant> {
        self.merges.values().map(|merges| merges.not_before).filter(|&at| at > now).min()
    }

    /// Whether this peer waits its time after it was tried in vain.
    pub(super) fn waits(&self, now: Instant, node: Incarnation) -> bool {
        self.merges.get(&node).is_some_and(|merges| merges.not_before > now)
    }

    /// A merge with this peer has succeeded.
    pub(super) fn merged(&mut self, now: Instant, node: Incarnation) {
        let fresh = Merges { wait: Duration::ZERO, not_before: now, merged_at: None };
        let merges = self.merges.entry(node).or_insert(fresh);
        merges.merged_at = Some(now);
    }

    /// A merge with this peer has failed, or the view that it led to did not last.
    pub(super) fn unmerged(&mut self, now: Instant, node: Incarnation) {
        let (first, longest) = MERGE_WAIT;
        let old = self
            .merges
            .get(&node)
            .filter(|old| old.merged_at.is_none_or(|at| now.since(at) < MERGE_FORGOTTEN));
        let wait = old.map_or(first, |old| (old.wait * 2).clamp(first, longest));
        self.merges.insert(node, Merges { wait, not_before: now + wait, merged_at: None });
    }

    /// Whether this peer came in by a merge.
    pub(super) fn came_by_merge(&self, node: Incarnation) -> bool {
        self.merges.get(&node).is_some_and(|merges| merges.merged_at.is_some())
    }

    /// A member is gone because it was suspected: its place is kept for a while.
    pub(super) fn keep_place(&mut self, now: Instant, name: UserName) {
        self.places.retain(|&(other, until)| other != name && until > now);
        if self.places.len() < MEMBERS_MAX {
            self.places.push((name, now + PLACE_KEPT));
        }
    }

    /// Whether this name's place is kept.
    pub(super) fn keeps_place(&self, now: Instant, name: UserName) -> bool {
        self.places.iter().any(|&(other, until)| other == name && until > now)
    }

    /// How many places are kept for others than `name`.
    pub(super) fn places_kept(&self, now: Instant, name: UserName, members: &[&Member]) -> usize {
        let back = |name: UserName| members.iter().any(|member| member.name == name);
        self.places.iter().filter(|&&(other, until)| other != name && until > now && !back(other)).count()
    }

    /// Drops what is over.
    pub(super) fn tidy(&mut self, now: Instant, mesh: &Mesh) {
        self.applicants.retain(|_, a| now.since(a.at) < WISH_KEPT);
        self.nodes.retain(|&node, _| mesh.has_heard(node) && !mesh.suspects(node));
        self.merges
            .retain(|_, merges| now.since(merges.merged_at.unwrap_or(merges.not_before)) < MERGE_FORGOTTEN);
        self.places.retain(|&(_, until)| until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_former_self_is_not_looked_for_once_its_successor_is_a_member() {
        let (name, other) = ("ann".parse().unwrap(), "ben".parse().unwrap());
        let mut roster = Roster::default();
        let now = Instant::ZERO;
        for (node, name) in [(1, Some(name)), (2, Some(name)), (3, Some(other)), (4, None)] {
            roster.add_contact(now, (Incarnation(node), name), &Addresses::new());
        }
        roster.add_contact(now, (Incarnation(1), None), &Addresses::new());
        let id = MemberId { incarnation: Incarnation(2), join: 0 };
        let member = Member { id, name, addresses: Addresses::new() };
        roster.forget_namesakes(&View { id: ViewId { number: 1, coordinator: id }, members: vec![member] });
        let left: Vec<u64> = roster.contacts().map(|(node, _)| node.0).collect();
        assert_eq!(left, [2, 3, 4]);
    }
}
