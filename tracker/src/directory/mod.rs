//! What the tracker knows, as a deterministic state machine: no clock, no I/O, no chance.
//!
//! People are known by name, each with the one running node that is signed in. A group is known by what the nodes in
//! it report: each has a **place** there, with its view of the group once it has one; a place without a view is a
//! join on the way. Who is in a group is the union of all that: a node's own word counts for itself, the views count
//! for those who are not signed in here (after a restart, or while the tracker is out of their reach). A group ends
//! with its last place.
//!
//! A person whose connection is lost keeps name and places until the lease runs out, or another node takes the name.
//! Names are remembered for ever, within bounds, so that who is away is told from who never was.

mod command;
mod group;
mod runs;

pub use command::{Action, Command, Outcome, SessionId};

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use decury_common::base::id::{GroupId, GroupName, Identity, Incarnation, UserName};
use decury_common::base::limits::{GROUPS_MAX, LISTING_MAX, MEMBERS_MAX};
use decury_common::order::OrderKind;
use decury_common::wire::figures::Figures;
use decury_common::wire::membership::Addresses;
use decury_common::wire::tracker::{
    Answer, Contact, GroupEntry, GroupReport, Joined, Notice, Peer, Refusal, SignIn,
};

use group::Group;
use runs::Runs;

/// People that a tracker knows at a time.
pub const USERS_MAX: usize = 4_096;
/// Groups that a tracker knows at a time.
pub const ALL_GROUPS_MAX: usize = 4_096;
/// Names that a tracker remembers: those of all who have ever signed in, until there are so many.
pub const NAMES_MAX: usize = 65_536;

/// A person, and the running node behind the name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    session: SessionId,
    connected: bool,
    incarnation: Incarnation,
    identity: Identity,
    /// The running node that this one has taken the name from, being the same person's.
    superseded: Option<Incarnation>,
    addresses: Addresses,
    /// The groups in which it has a place.
    groups: BTreeSet<GroupName>,
}

/// All people and groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    users: BTreeMap<UserName, User>,
    /// The newest connection of each person.
    sessions: BTreeMap<SessionId, UserName>,
    groups: BTreeMap<GroupName, Group>,
    /// Everybody who has signed in. When it is full, new names are not remembered.
    names: BTreeSet<UserName>,
    /// The runs that were reported.
    runs: Runs,
}

impl Directory {
    /// A directory that knows nobody.
    pub fn new() -> Directory {
        Directory::default()
    }

    /// Makes a change.
    pub fn apply(&mut self, command: Command) -> Outcome {
        let Command { session, action } = command;
        let known = self.sessions.get(&session).copied();
        let (action, name) = match (action, known) {
            (Action::SignIn(_), Some(_)) => return Outcome::of(Err(Refusal::AlreadySignedIn)),
            (Action::SignIn(sign_in), None) => return self.sign_in(session, sign_in),
            (_, None) => return Outcome::of(Err(Refusal::NotSignedIn)),
            (action, Some(name)) => (action, name),
        };
        match action {
            Action::SignIn(_) => Outcome::of(Err(Refusal::AlreadySignedIn)),
            Action::Report(report) => self.report(name, report),
            Action::Join { group, order } => self.join(name, group, order),
            Action::Leave { group } => self.leave(name, group),
            Action::Run { figures, at_us } => self.run(name, figures, at_us),
            Action::Disconnect => self.disconnect(name),
            Action::Expire => self.expire(name),
            Action::SignOut => self.sign_out(name),
        }
    }

    /// The groups behind `after`, by name.
    pub fn groups(&self, after: Option<GroupName>) -> Answer {
        let mut behind =
            self.groups.range((after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
        let entry = |(name, group): (&GroupName, &Group)| {
            let members = u8::try_from(self.members(group).len()).unwrap_or(u8::MAX);
            GroupEntry { name: *name, id: group.id, order: group.order, members }
        };
        let groups = behind.by_ref().take(LISTING_MAX).map(entry).collect();
        Answer::Groups { groups, more: behind.next().is_some() }
    }

    /// A group's members, by name.
    pub fn members_of(&self, name: GroupName) -> Result<Answer, Refusal> {
        let group = self.groups.get(&name).ok_or(Refusal::NoSuchGroup)?;
        Ok(Answer::Members { group: name, members: self.members(group).into_iter().collect() })
    }

    /// The people behind `after`, by name.
    pub fn users(&self, after: Option<UserName>) -> Answer {
        let mut behind =
            self.users.range((after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
        let users = behind.by_ref().take(LISTING_MAX).map(|(name, _)| *name).collect();
        Answer::Users { users, more: behind.next().is_some() }
    }

    /// Where a person's node is.
    pub fn find(&self, name: UserName) -> Result<Answer, Refusal> {
        match self.users.get(&name) {
            Some(user) if user.connected => Ok(Answer::Found(contact(name, user))),
            Some(_) => Err(Refusal::Away),
            None if self.names.contains(&name) => Err(Refusal::Away),
            None => Err(Refusal::NoSuchUser),
        }
    }

    /// The runs behind the one of this number, as many as one frame takes.
    pub fn runs(&self, after: Option<u64>) -> Answer {
        self.runs.page(after)
    }

    fn run(&mut self, name: UserName, figures: Figures, at_us: u64) -> Outcome {
        let incarnation = self.users.get(&name).map(|user| user.incarnation);
        match incarnation {
            Some(incarnation) => self.runs.add(at_us, name, incarnation, figures),
            None => return Outcome::of(Err(Refusal::NotSignedIn)),
        }
        Outcome::of(Ok(Answer::Done))
    }

    fn sign_in(&mut self, session: SessionId, sign_in: SignIn) -> Outcome {
        let SignIn { name, incarnation, identity, addresses, groups } = sign_in;
        let mut superseded = None;
        let mut outcome = Outcome::of(Ok(Answer::Done));
        if let Some(user) = self.users.get_mut(&name) {
            outcome.replaced = Some(user.session);
            if user.incarnation == incarnation {
                self.sessions.remove(&user.session);
                self.sessions.insert(session, name);
                (user.session, user.connected, user.addresses) = (session, true, addresses);
                let void: Vec<GroupName> =
                    user.groups.iter().filter(|group| !groups.contains(group)).copied().collect();
                void.into_iter().for_each(|group| self.remove_place(name, group));
                return outcome;
            }
            // A restarted node of the same person comes in though its former connection may look open; but not the
            // former one, should both run.
            if user.connected && (user.identity != identity || user.superseded == Some(incarnation)) {
                return Outcome::of(Err(Refusal::NameTaken));
            }
            if user.connected {
                superseded = Some(user.incarnation);
                outcome.notices = self.gone(name);
            }
            self.remove_user(name);
        }
        if self.users.len() >= USERS_MAX {
            return Outcome::of(Err(Refusal::TrackerFull));
        }
        if self.names.len() < NAMES_MAX {
            self.names.insert(name);
        }
        let groups = BTreeSet::new();
        let user = User { session, connected: true, incarnation, identity, superseded, addresses, groups };
        self.users.insert(name, user);
        self.sessions.insert(session, name);
        outcome
    }

    fn join(&mut self, name: UserName, group: GroupName, order: Option<OrderKind>) -> Outcome {
        let created = !self.groups.contains_key(&group);
        if let Err(refusal) = self.may_join(name, group) {
            return Outcome::of(Err(refusal));
        }
        let new = || Group::new(GroupId::of(group, order.unwrap_or_default()), order.unwrap_or_default());
        let known = self.groups.entry(group).or_insert_with(new);
        let (id, kept) = (known.id, known.order);
        let newcomer = known.add(name);
        let contacts = self.contacts(name, group).into_iter().collect();
        let order_differs = order.is_some_and(|order| order != kept);
        let joined = Joined { group, id, order: kept, created, order_differs, contacts };
        let mut outcome = Outcome::of(Ok(Answer::Joined(joined)));
        if newcomer {
            self.note_place(name, group);
            outcome.notices = self.introduce(name, group);
        }
        outcome
    }

    /// Whether there is room: in the group by what its members last reported and the joins on the way, in the
    /// person's list, and in the directory.
    fn may_join(&self, name: UserName, group: GroupName) -> Result<(), Refusal> {
        match self.groups.get(&group) {
            Some(known) if known.has(name) => return Ok(()),
            Some(known) => {
                let members = self.members(known);
                if members.len() >= MEMBERS_MAX && !members.contains(&name) {
                    return Err(Refusal::GroupFull);
                }
            }
            None if self.groups.len() >= ALL_GROUPS_MAX => return Err(Refusal::TooManyGroups),
            None => {}
        }
        let full = self.users.get(&name).is_some_and(|user| user.groups.len() >= GROUPS_MAX);
        if full { Err(Refusal::TooManyGroups) } else { Ok(()) }
    }

    fn leave(&mut self, name: UserName, group: GroupName) -> Outcome {
        match self.groups.get(&group) {
            None => Outcome::of(Err(Refusal::NoSuchGroup)),
            Some(known) if !known.has(name) => Outcome::of(Err(Refusal::NotAMember)),
            Some(_) => {
                self.remove_place(name, group);
                Outcome::of(Ok(Answer::Done))
            }
        }
    }

    /// Takes a member's word for its group. A group that the directory did not know is learnt: so a tracker that
    /// restarted comes to know them again.
    fn report(&mut self, name: UserName, report: GroupReport) -> Outcome {
        let GroupReport { group, id, order, members } = report;
        let mut notices = Vec::new();
        if self.groups.get(&group).is_some_and(|known| known.id != id) {
            self.remove_place(name, group);
            if let Some(known) = self.groups.get(&group) {
                if known.id < id {
                    let replaced = Notice::GroupReplaced { group, id: known.id };
                    notices.extend(self.users.get(&name).map(|user| (user.session, replaced)));
                    return Outcome { notices, ..Outcome::of(Ok(Answer::Done)) };
                }
                notices = self.to_others(name, group, &Notice::GroupReplaced { group, id });
                self.remove_group(group);
            }
        }
        let newcomer = !self.groups.get(&group).is_some_and(|known| known.has(name));
        if newcomer && let Err(refusal) = self.may_be_learnt(name, group) {
            return Outcome { notices, ..Outcome::of(Err(refusal)) };
        }
        notices.extend(self.missing(name, group, &members));
        let known = self.groups.entry(group).or_insert_with(|| Group::new(id, order));
        known.add(name);
        known.set_view(name, members);
        if newcomer {
            self.note_place(name, group);
            notices.extend(self.introduce(name, group));
        }
        Outcome { notices, ..Outcome::of(Ok(Answer::Done)) }
    }

    /// Whether there is room to remember a place that exists anyway: after a partition a group may have more than
    /// ten members.
    fn may_be_learnt(&self, name: UserName, group: GroupName) -> Result<(), Refusal> {
        match self.groups.get(&group) {
            Some(known) if known.is_full() => return Err(Refusal::GroupFull),
            None if self.groups.len() >= ALL_GROUPS_MAX => return Err(Refusal::TooManyGroups),
            _ => {}
        }
        let full = self.users.get(&name).is_some_and(|user| user.groups.len() >= GROUPS_MAX);
        if full { Err(Refusal::TooManyGroups) } else { Ok(()) }
    }

    fn disconnect(&mut self, name: UserName) -> Outcome {
        if let Some(user) = self.users.get_mut(&name) {
            user.connected = false;
        }
        Outcome { notices: self.gone(name), ..Outcome::of(Ok(Answer::Done)) }
    }

    fn expire(&mut self, name: UserName) -> Outcome {
        if self.users.get(&name).is_some_and(|user| !user.connected) {
            self.remove_user(name);
        }
        Outcome::of(Ok(Answer::Done))
    }

    fn sign_out(&mut self, name: UserName) -> Outcome {
        let notices = self.gone(name);
        self.remove_user(name);
        Outcome { notices, ..Outcome::of(Ok(Answer::Done)) }
    }

    /// The names of those who are in a group or on the way in: those with a place who are connected, and those whom
    /// the last reports of these name. (But one who is signed in, and has no place, has left.) Where nobody is
    /// connected who has reported, the last word of everybody counts.
    fn members(&self, group: &Group) -> BTreeSet<UserName> {
        let connected = |name: &UserName| self.users.get(name).is_some_and(|user| user.connected);
        let nobody = !group.views().any(|(name, view)| connected(&name) && !view.is_empty());
        let heard = || group.views().filter(move |(name, _)| nobody || connected(name));
        let reported = heard().flat_map(|(_, view)| view).map(|peer| peer.name);
        let reported = reported.filter(|name| group.has(*name) || !self.users.contains_key(name));
        heard().map(|(name, _)| name).chain(reported).collect()
    }

    /// Whom `name` may turn to in a group: members first, then joiners, then those who lost their connection.
    fn contacts(&self, name: UserName, group: GroupName) -> Vec<Contact> {
        let Some(known) = self.groups.get(&group) else { return Vec::new() };
        let users = known.names().filter(|other| *other != name);
        let users = users.filter_map(|other| Some((other, self.users.get(&other)?)));
        let mut users: Vec<(UserName, &User)> = users.collect();
        users.sort_by_key(|(other, user)| (!user.connected, known.is_joining(*other)));
        users.into_iter().map(|(other, user)| contact(other, user)).collect()
    }

    /// A notice for each of those in a group who are connected, `name` left out.
    fn to_others(&self, name: UserName, group: GroupName, notice: &Notice) -> Vec<(SessionId, Notice)> {
        let others =
            self.groups.get(&group).into_iter().flat_map(Group::names).filter(|other| *other != name);
        let users = others.filter_map(|other| self.users.get(&other)).filter(|user| user.connected);
        users.map(|user| (user.session, notice.clone())).collect()
    }

    /// Tells those in a group of a newcomer.
    fn introduce(&self, name: UserName, group: GroupName) -> Vec<(SessionId, Notice)> {
        let Some(user) = self.users.get(&name) else { return Vec::new() };
        self.to_others(name, group, &Notice::Contact { group, contact: contact(name, user) })
    }

    /// Tells somebody of those in its group whom its view lacks. What was told before may have been lost with a
    /// connection, or never said, since the tracker knew nobody when it started.
    fn missing(&self, name: UserName, group: GroupName, view: &[Peer]) -> Vec<(SessionId, Notice)> {
        let Some(known) = self.groups.get(&group) else { return Vec::new() };
        let Some(session) = self.users.get(&name).map(|user| user.session) else { return Vec::new() };
        let users = known.names().filter(|other| *other != name);
        let users = users.filter_map(|other| Some((other, self.users.get(&other)?)));
        let lacked = |user: &User| view.iter().all(|peer| peer.incarnation != user.incarnation);
        users
            .filter(|(_, user)| user.connected && lacked(user))
            .map(|(other, user)| (session, Notice::Contact { group, contact: contact(other, user) }))
            .collect()
    }

    /// Tells those in each of a person's groups that it is gone.
    fn gone(&self, name: UserName) -> Vec<(SessionId, Notice)> {
        let Some(user) = self.users.get(&name) else { return Vec::new() };
        let incarnation = user.incarnation;
        let groups = user.groups.iter().copied();
        groups
            .flat_map(|group| self.to_others(name, group, &Notice::MemberGone { group, incarnation }))
            .collect()
    }

    fn note_place(&mut self, name: UserName, group: GroupName) {
        if let Some(user) = self.users.get_mut(&name) {
            user.groups.insert(group);
        }
    }

    fn remove_place(&mut self, name: UserName, group: GroupName) {
        if let Some(user) = self.users.get_mut(&name) {
            user.groups.remove(&group);
        }
        if let Some(known) = self.groups.get_mut(&group) {
            known.remove(name);
            if known.is_empty() {
                self.groups.remove(&group);
            }
        }
    }

    fn remove_group(&mut self, group: GroupName) {
        let Some(known) = self.groups.remove(&group) else { return };
        for name in known.names() {
            if let Some(user) = self.users.get_mut(&name) {
                user.groups.remove(&group);
            }
        }
    }

    fn remove_user(&mut self, name: UserName) {
        let Some(user) = self.users.get(&name) else { return };
        self.sessions.remove(&user.session);
        user.groups.clone().into_iter().for_each(|group| self.remove_place(name, group));
        self.users.remove(&name);
    }
}

fn contact(name: UserName, user: &User) -> Contact {
    Contact { incarnation: user.incarnation, name, addresses: user.addresses.clone() }
}

#[cfg(test)]
mod tests;
