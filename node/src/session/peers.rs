//! What peers know, in the tracker's place or beside it: where groups are, and who is there.
//!
//! A wish to join goes to the tracker, if one has taken this node in. Else the peers are asked, which means that what they
//! tell anyway is looked at: if one is in a group of that name, this node joins through its members. If none is, it founds
//! the group, after a moment in which somebody may still be found; but while there is a tracker to wait for, only if some
//! peer is in reach. Nothing can go wrong by founding too early: those who create the same group on two sides are in one
//! as soon as they meet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use decury_common::base::id::{GroupId, GroupName, UserName};
use decury_common::base::limits::MEMBERS_MAX;
use decury_common::base::time::Instant;
use decury_common::endpoint::{JoinGroup, KnownGroup};
use decury_common::machine::Wakeup;
use decury_common::order::OrderKind;

use super::place::Place;
use super::tracker_client::{Ask, Failure, Reply};
use super::{ErrorCode, Event, GroupSummary, Notice, Pattern, Session};

/// How long a node that may know, or find, others waits for their word before it founds a group.
const FOUND_AFTER: Duration = Duration::from_secs(1);
/// Nodes wait differently long, by up to so many milliseconds.
const FOUND_APART_MS: u64 = 500;
/// Who has not answered at a named address after so long is told to be silent; and so is a local network.
const SILENT_AFTER: Duration = Duration::from_secs(3);

/// What is waited for.
#[derive(Clone, Debug, Default)]
pub(super) struct Peers {
    /// Groups that are looked for among peers, and when this node founds them.
    founded_at: BTreeMap<GroupName, Instant>,
    /// Addresses at which nobody has answered yet; and when that is told, if it has not been.
    tried: BTreeMap<SocketAddr, Option<Instant>>,
    /// When it is told that nobody has answered in the local network.
    called_until: Option<Instant>,
    /// Searches for people that the tracker was asked for: the line behind each, and whose names are meant.
    searches: BTreeMap<u32, (Option<u64>, Option<Pattern>)>,
    /// Groups of whose conflict with another one the person has been told.
    conflicts: BTreeSet<GroupName>,
}

impl Peers {
    /// Whether nobody waits for an answer.
    pub(super) fn is_idle(&self) -> bool {
        self.searches.is_empty()
    }

    /// The lines that wait for an answer, which they will not get.
    pub(super) fn give_up(&mut self) -> impl Iterator<Item = Option<u64>> + use<> {
        std::mem::take(&mut self.searches).into_values().map(|(re, _)| re)
    }

    /// This node is out of a group.
    pub(super) fn forget(&mut self, group: GroupName) {
        self.conflicts.remove(&group);
    }
}

impl Session {
    /// Begins with what the configuration names.
    pub(super) fn look_for_peers(&mut self, now: Instant) {
        for address in self.config.peers.clone() {
            if self.endpoint.add_peer(now, address) && !self.config.addresses.contains(&address) {
                self.peers.tried.insert(address, Some(now + SILENT_AFTER));
            }
        }
        if self.config.discover {
            self.endpoint.start_calling(now);
            self.peers.called_until = Some(now + SILENT_AFTER);
        }
    }

    /// A person names a further address.
    pub(super) fn try_peer(&mut self, now: Instant, re: Option<u64>, address: SocketAddr) {
        if self.config.addresses.contains(&address) {
            let text = format!("{address} is where you are yourself; a peer is somebody else");
            self.error(re, ErrorCode::BadCommand, text);
        } else if !self.endpoint.add_peer(now, address) {
            self.error(re, ErrorCode::TooManyPeers, "too many addresses are tried already".to_owned());
        } else if let Some(user) = self.endpoint.person_at(address) {
            self.notice(re, Notice::PeerMet { user, address });
        } else {
            self.peers.tried.insert(address, Some(now + SILENT_AFTER));
            self.notice(re, Notice::PeerTried { address });
        }
    }

    /// Finds people: those whom the tracker, if it has taken this node in, or peers know, and those seen before.
    pub(super) fn find_people(&mut self, now: Instant, re: Option<u64>, pattern: Option<Pattern>) {
        if self.tracker.tracker().is_none() {
            return self.tell_people(re, pattern.as_ref(), BTreeSet::new());
        }
        let ask = self.tracker.ask(now, Ask::Users);
        self.peers.searches.insert(ask, (re, pattern));
    }

    /// The tracker's answer to that, or none.
    pub(super) fn handle_users(&mut self, ask: u32, result: Result<Reply, Failure>) {
        let Some((re, pattern)) = self.peers.searches.remove(&ask) else { return };
        let names = match result {
            Ok(Reply::Users(names)) => names.into_iter().collect(),
            _ => BTreeSet::new(),
        };
        self.tell_people(re, pattern.as_ref(), names);
    }

    fn tell_people(&mut self, re: Option<u64>, pattern: Option<&Pattern>, mut there: BTreeSet<UserName>) {
        there.insert(self.config.name);
        there.append(&mut self.endpoint.people());
        let meant = |name: &UserName| pattern.is_none_or(|pattern| pattern.matches(*name));
        let all: BTreeSet<UserName> = there.union(self.private.seen()).copied().filter(meant).collect();
        let users = all.into_iter().map(|name| (name, there.contains(&name))).collect();
        self.tell(Event::Users { re, users });
    }

    /// What is to be sent to everybody in the local network, if anything.
    pub fn poll_call(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.endpoint.poll_call(now)
    }

    /// Somebody in the local network has sent that to everybody.
    pub fn handle_call(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        if self.ended().is_none() {
            self.endpoint.handle_call(now, from, bytes);
            self.hear_of_strangers(now);
        }
    }

    /// Looks for a group among what peers tell.
    pub(super) fn ask_peers(&mut self, now: Instant, group: GroupName) {
        let wait = match self.endpoint.is_searching() {
            // Of many who start together one is the first, and the others join it.
            true => FOUND_AFTER + Duration::from_millis(self.config.incarnation.0 % FOUND_APART_MS),
            false => Duration::ZERO,
        };
        self.peers.founded_at.insert(group, now + wait);
        self.find_among_peers(now, group);
    }

    fn find_among_peers(&mut self, now: Instant, group: GroupName) {
        let Some(&(Place::Asking(wish) | Place::Waiting(wish))) = self.places.get(&group) else {
            self.peers.founded_at.remove(&group);
            return;
        };
        // A tracker that has taken this node in answers.
        if self.tracker.tracker().is_some() {
            return;
        }
        let due = self.peers.founded_at.get(&group).is_none_or(|at| *at <= now);
        let may_found = self.config.trackers.is_empty() || self.endpoint.has_friends();
        let (order, contacts) = match self.endpoint.find_group(group) {
            Some(found) => found,
            None if due && may_found => (wish.order.unwrap_or_default(), Vec::new()),
            None => return,
        };
        self.peers.founded_at.remove(&group);
        self.enter(now, wish, JoinGroup { name: group, id: GroupId::of(group, order), order, contacts });
    }

    /// Takes in what has changed among peers, if anything has.
    pub(super) fn hear_of_peers(&mut self, now: Instant) {
        if !self.endpoint.take_news() {
            return;
        }
        let sought: Vec<GroupName> = self.peers.founded_at.keys().copied().collect();
        sought.into_iter().for_each(|group| self.find_among_peers(now, group));
        let tried = self.peers.tried.keys();
        let met = tried.filter_map(|&address| Some((address, self.endpoint.person_at(address)?)));
        for (address, user) in met.collect::<Vec<_>>() {
            self.peers.tried.remove(&address);
            self.notice(None, Notice::PeerMet { user, address });
        }
        let members = self.places.iter().filter_map(|(&group, place)| match place {
            &Place::Member { order, .. } => Some((group, order)),
            _ => None,
        });
        let conflicts = members.filter(|&(group, _)| self.endpoint.conflict(group).is_some());
        for (group, order) in conflicts.collect::<Vec<_>>() {
            self.tell_conflict(group, order);
        }
        self.keep_those_met(now);
        self.look_for_namesakes(now);
        self.look_for_peers_in_reach(now);
        self.drain_tracker(now);
    }

    /// Another group has the name of this one: told once.
    pub(super) fn tell_conflict(&mut self, group: GroupName, order: OrderKind) {
        if self.peers.conflicts.insert(group) {
            self.notice(None, Notice::OrderConflict { group, order });
        }
    }

    pub(super) fn peers_timeout(&self) -> Option<Wakeup> {
        let found = self.peers.founded_at.values().copied().map(|at| (at, "a group is to be founded"));
        let silent = self.peers.tried.values().flatten().map(|&at| (at, "a peer has not answered"));
        let called = self.peers.called_until.map(|at| (at, "nobody has answered in the local network"));
        let next = found.chain(silent).chain(called).min()?;
        Some(Wakeup { at: next.0, reason: next.1 })
    }

    /// Fires what is due.
    pub(super) fn peers_due(&mut self, now: Instant) {
        self.hear_of_peers(now);
        let due = |(group, at): (&GroupName, &Instant)| (*at <= now).then_some(*group);
        for group in self.peers.founded_at.iter().filter_map(due).collect::<Vec<_>>() {
            self.find_among_peers(now, group);
            if let Some(at) = self.peers.founded_at.get_mut(&group) {
                *at = now + FOUND_AFTER;
            }
        }
        let silent = |(address, at): (&SocketAddr, &mut Option<Instant>)| {
            at.take_if(|at| *at <= now).map(|_| *address)
        };
        for address in self.peers.tried.iter_mut().filter_map(silent).collect::<Vec<_>>() {
            let same_family = |own: &&SocketAddr| own.is_ipv4() == address.is_ipv4();
            let from = self.config.addresses.iter().find(same_family).copied();
            self.notice(None, Notice::PeerSilent { address, from });
        }
        if self.peers.called_until.take_if(|at| *at <= now).is_some() && !self.endpoint.has_friends() {
            self.notice(None, Notice::NobodyNear { from: self.config.addresses.first().copied() });
        }
        self.drain_tracker(now);
    }

    /// The groups that peers know, unless the tracker is to be asked: it has taken this node in, or there is one and peers
    /// know nothing.
    pub(super) fn groups_by_peers(&self) -> Option<Vec<GroupSummary>> {
        let summary = |group: KnownGroup| GroupSummary {
            name: group.name,
            order: group.order,
            members: group.members.len(),
            limit: MEMBERS_MAX,
        };
        let groups: Vec<GroupSummary> = self.endpoint.known_groups().into_iter().map(summary).collect();
        let is_answer = self.config.trackers.is_empty() || !groups.is_empty() || self.endpoint.has_friends();
        (self.tracker.tracker().is_none() && is_answer).then_some(groups)
    }
}
