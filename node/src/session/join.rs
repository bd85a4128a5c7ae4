//! The way into a group, and out: the tracker, or a peer, says who is there, the endpoint gets in.

use std::time::Duration;

use decury_common::base::id::{GroupName, Incarnation};
use decury_common::base::time::Instant;
use decury_common::endpoint::{JoinError, JoinGroup, ViewInfo};
use decury_common::machine::Wakeup;
use decury_common::wire::membership::{Addresses, Refusal};
use decury_common::wire::tracker::{self, GroupReport, Joined, Peer};

use super::place::{Leave, Place, Wish};
use super::tracker_client::{Ask, Failure};
use super::{ErrorCode, Event, Record, Session};

/// When the members have not taken this node in after this time, the tracker may know better ones by now.
const REFRESH_AFTER: Duration = Duration::from_secs(3);
/// A join that has got nowhere in this time has failed. Longer than a tracker's lease, so that the names of members
/// that crashed together do not keep others from founding the group anew.
const JOIN_WITHIN: Duration = Duration::from_secs(30);

impl Session {
    pub(super) fn place_timeout(place: &Place) -> Option<Wakeup> {
        let Place::Joining { refresh, until, .. } = place else { return None };
        let at = refresh.map_or(*until, |refresh| refresh.min(*until));
        Some(Wakeup { at, reason: "join" })
    }

    /// Fires the deadlines of joins.
    pub(super) fn places_due(&mut self, now: Instant) {
        let due = |place: &Place| Session::place_timeout(place).is_some_and(|wakeup| wakeup.at <= now);
        let groups: Vec<GroupName> =
            self.places.iter().filter(|(_, place)| due(place)).map(|(group, _)| *group).collect();
        for group in groups {
            let Some(Place::Joining { wish, order, refresh, until, .. }) = self.places.get_mut(&group) else {
                continue;
            };
            if *until <= now {
                let re = wish.re;
                let text = format!("the members of #{group} do not answer; not joined");
                self.give_up(now, group, re, ErrorCode::Unreachable, text);
            } else {
                *refresh = None;
                let order = Some(*order);
                self.tracker.ask(now, Ask::Join { group, order });
            }
        }
        self.drain_tracker(now);
    }

    pub(super) fn ask_to_join(&mut self, now: Instant, group: GroupName, wish: Wish) {
        self.places.insert(group, Place::Asking(wish));
        if !self.config.trackers.is_empty() {
            self.tracker.ask(now, Ask::Join { group, order: wish.order });
        }
        self.ask_peers(now, group);
    }

    /// A tracker has taken this node in: it is asked what no other has answered.
    pub(super) fn ask_again(&mut self, now: Instant) {
        let waiting = |(&group, place): (&GroupName, &Place)| match place {
            &Place::Waiting(wish) => Some((group, wish)),
            _ => None,
        };
        let waiting: Vec<(GroupName, Wish)> = self.places.iter().filter_map(waiting).collect();
        for (group, wish) in waiting {
            self.ask_to_join(now, group, wish);
        }
    }

    /// The tracker's answer to a join, be it the first or one that was to bring fresher contacts.
    pub(super) fn handle_join_answer(
        &mut self,
        now: Instant,
        group: GroupName,
        result: Result<Joined, Failure>,
    ) {
        for contact in result.iter().flat_map(|joined| &joined.contacts) {
            self.lab.meet(contact.incarnation, contact.name);
        }
        match (self.places.get(&group), result) {
            (Some(&Place::Asking(wish)), Ok(joined)) => {
                let Joined { id, order, .. } = joined;
                let contacts = contacts(&joined.contacts);
                self.enter(now, wish, JoinGroup { name: group, id, order, contacts });
            }
            (Some(&Place::Asking(wish @ Wish { re: None, .. })), Err(Failure::Unavailable)) => {
                self.places.insert(group, Place::Waiting(wish));
            }
            (Some(&Place::Asking(wish)), Err(failure)) => {
                let (code, text) = refused(group, failure);
                self.fail(now, group, wish.re, code, text);
            }
            (Some(&Place::Joining { wish, id, .. }), Ok(joined)) => {
                if joined.id != id {
                    self.leave(now, group, Leave::Retry(wish));
                } else {
                    self.refresh(now, group, &contacts(&joined.contacts));
                }
            }
            (Some(&Place::Joining { wish, .. }), Err(Failure::Refused(tracker::Refusal::GroupFull))) => {
                let (code, text) = full(group);
                self.give_up(now, group, wish.re, code, text);
            }
            (Some(Place::Joining { .. }), Err(_)) => self.refresh(now, group, &[]),
            (Some(Place::Waiting(_) | Place::Member { .. } | Place::Leaving(_)) | None, _) => {}
        }
    }

    /// Into the group through those who are said to be in it.
    pub(super) fn enter(&mut self, now: Instant, wish: Wish, join: JoinGroup) {
        let JoinGroup { name: group, id, order, .. } = join;
        match self.endpoint.join(now, join) {
            Ok(_) => {
                let refresh = Some(now + REFRESH_AFTER);
                let until = now + JOIN_WITHIN;
                self.places.insert(group, Place::Joining { wish, id, order, refresh, until });
            }
            Err(error) => {
                self.tracker.ask(now, Ask::Leave { group });
                let code = match error {
                    JoinError::Already => ErrorCode::AlreadyJoined,
                    JoinError::TooManyGroups => ErrorCode::TooManyGroups,
                };
                self.fail(now, group, wish.re, code, format!("#{group}: {error}"));
            }
        }
    }

    fn refresh(&mut self, now: Instant, group: GroupName, contacts: &[(Incarnation, Addresses)]) {
        if let Some(Place::Joining { refresh, .. }) = self.places.get_mut(&group) {
            *refresh = Some(now + REFRESH_AFTER);
            let peers = self.endpoint.find_group(group).map(|(_, peers)| peers).unwrap_or_default();
            self.endpoint.add_contacts(now, group, &[contacts, &peers].concat());
        }
    }

    /// The endpoint has my first view.
    pub(super) fn handle_joined(&mut self, now: Instant, group: GroupName, view: ViewInfo) {
        let Some(Place::Joining { wish, id, .. }) = self.places.get(&group) else {
            self.unheard.insert(group);
            return;
        };
        let (wish, id, order) = (*wish, *id, view.order);
        self.private.note_view(&view);
        self.look_for_those(now, &view);
        self.keep(Record::Joined { group, id, order });
        self.places.insert(group, Place::Member { id, order, since: self.keeping.records() });
        self.report(now, group, &view);
        let current = self.current == Some(group);
        self.tell_when_stored(Event::Joined { re: wish.re, group, view, current });
        self.compare_orders(wish.re, group, order, wish.order);
        self.retry_waiting(now);
    }

    /// A member refuses this node.
    pub(super) fn handle_refused(&mut self, now: Instant, group: GroupName, reason: Refusal) {
        let Some(&Place::Joining { wish, .. }) = self.places.get(&group) else { return };
        self.tracker.ask(now, Ask::Leave { group });
        let (code, text) = match reason {
            Refusal::Full => full(group),
            Refusal::NameTaken => {
                let user = self.config.name;
                (ErrorCode::NameTaken, format!("somebody else called {user} is in #{group}; not joined"))
            }
            Refusal::NotHere => {
                (ErrorCode::Unreachable, format!("nobody in #{group} takes you in; try again in a moment"))
            }
        };
        self.fail(now, group, wish.re, code, text);
    }

    /// Tells the tracker who is in the group.
    pub(super) fn report(&mut self, now: Instant, group: GroupName, view: &ViewInfo) {
        let Some(&Place::Member { id, order, .. }) = self.places.get(&group) else { return };
        let peers = view.members.iter().map(|&(id, name)| Peer { incarnation: id.incarnation, name });
        let members = peers.collect();
        self.tracker.report(now, GroupReport { group, id, order, members });
    }

    /// The tracker knows another group, with another order, by this name: new members go there.
    pub(super) fn handle_replaced(&mut self, now: Instant, group: GroupName) {
        match self.places.get(&group) {
            Some(&Place::Member { order, .. }) => self.tell_conflict(group, order),
            Some(&Place::Joining { wish, .. }) => self.leave(now, group, Leave::Retry(wish)),
            Some(Place::Asking(_) | Place::Waiting(_) | Place::Leaving(_)) | None => {}
        }
    }

    /// Tells the endpoint to leave; what follows depends on why.
    pub(super) fn leave(&mut self, now: Instant, group: GroupName, why: Leave) {
        self.places.insert(group, Place::Leaving(why));
        if self.endpoint.leave(now, group).is_err() {
            self.handle_left(now, group);
        }
    }

    /// The endpoint is out.
    pub(super) fn handle_left(&mut self, now: Instant, group: GroupName) {
        let (re, again) = match self.places.remove(&group) {
            None => return,
            Some(Place::Leaving(Leave::Wished { re })) => (Some(re), None),
            Some(Place::Leaving(Leave::Retry(wish))) => (None, Some(wish)),
            Some(Place::Leaving(Leave::GivenUp)) => (None, None),
            Some(_) => (Some(None), None),
        };
        self.peers.forget(group);
        if let Some(re) = re {
            self.tell_when_stored(Event::Left { re, group });
        }
        match again.filter(|_| !self.phase.is_over()) {
            Some(wish) => self.ask_to_join(now, group, wish),
            None => {
                self.tracker.ask(now, Ask::Leave { group });
                self.set_current(self.current.filter(|current| *current != group));
            }
        }
        self.retry_waiting(now);
        self.phase_due(now);
    }

    /// The way in has come to nothing, and the endpoint is still on it.
    fn give_up(&mut self, now: Instant, group: GroupName, re: Option<u64>, code: ErrorCode, text: String) {
        self.tell_failure(group, re, code, text);
        self.leave(now, group, Leave::GivenUp);
    }

    /// The way in has come to nothing, and there is nothing to be undone.
    fn fail(&mut self, now: Instant, group: GroupName, re: Option<u64>, code: ErrorCode, text: String) {
        self.places.remove(&group);
        self.tell_failure(group, re, code, text);
        self.phase_due(now);
    }

    /// What was to go to this group must not go to another one: nothing is current then.
    fn tell_failure(&mut self, group: GroupName, re: Option<u64>, code: ErrorCode, text: String) {
        self.error(re, code, text);
        if self.current == Some(group) {
            self.set_current(None);
            if self.places.values().any(|place| matches!(place, Place::Member { .. })) {
                self.tell(Event::Current { re: None, group: None });
            }
        }
        if let Some(line) = self.waiting.take_if(|line| line.is_for(group)) {
            self.not_a_member(line.re(), group);
        }
    }
}

fn contacts(contacts: &[tracker::Contact]) -> Vec<(Incarnation, Addresses)> {
    contacts.iter().map(|contact| (contact.incarnation, contact.addresses.clone())).collect()
}

fn full(group: GroupName) -> (ErrorCode, String) {
    (ErrorCode::GroupFull, format!("#{group} has ten members already; try again when somebody has left"))
}

/// Why the tracker's answer ends a join.
fn refused(group: GroupName, failure: Failure) -> (ErrorCode, String) {
    match failure {
        Failure::Refused(tracker::Refusal::GroupFull) => full(group),
        Failure::Refused(refusal @ tracker::Refusal::TooManyGroups) => {
            (ErrorCode::TooManyGroups, format!("#{group}: {refusal}"))
        }
        failure => (ErrorCode::TrackerUnavailable, format!("#{group} cannot be found: {failure}")),
    }
}
