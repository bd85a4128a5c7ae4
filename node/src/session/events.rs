//! What the endpoint and the tracker report, turned into what a person is told.

use std::net::{IpAddr, SocketAddr};

use decury_common::base::id::{GroupName, MessageId, UserName};
use decury_common::base::limits::MEMBERS_MAX;
use decury_common::base::time::Instant;
use decury_common::endpoint::{self, Cause, ViewInfo};
use decury_common::order::OrderKind;
use decury_common::wire::tracker::{self, Refusal};

use super::ending::{Ending, Phase};
use super::place::{Leave, Place};
use super::tracker_client::{self, Ask, Failure, Reply, Trouble};
use super::{ErrorCode, Event, GroupSummary, Notice, Record, Session, Text};

impl Session {
    /// Takes in what the endpoint says. A delivery is returned rather than queued: there are many.
    pub(super) fn handle_endpoint(&mut self, now: Instant, event: endpoint::Event) -> Option<Event> {
        match event {
            endpoint::Event::Message { group, .. }
            | endpoint::Event::View { group, .. }
            | endpoint::Event::HistoryGap { group }
            | endpoint::Event::MergeRefused { group }
                if self.unheard.contains(&group) => {}
            endpoint::Event::Message {
                group,
                from,
                id,
                clock,
                position,
                uniform,
                placed,
                caught_up,
                sent_at,
                payload,
                ..
            } => {
                self.note_received(now, Some(group), id, sent_at);
                if caught_up {
                    self.private.note_seen(from);
                }
                let order = self.order(group);
                self.keep(Record::Said { group, from, id, text: payload.clone(), caught_up });
                let text = Text::new(payload);
                return Some(Event::Message {
                    group,
                    order,
                    from,
                    id,
                    clock,
                    position,
                    uniform,
                    placed,
                    caught_up,
                    text,
                });
            }
            endpoint::Event::Joined { group, view } => self.handle_joined(now, group, view),
            endpoint::Event::View { group, view, joined, left, cause } => {
                self.handle_view(now, group, view, joined, left, cause);
            }
            endpoint::Event::Left { group, clean } => self.handle_end(now, group, clean),
            endpoint::Event::Refused { group, reason } => self.handle_refused(now, group, reason),
            endpoint::Event::Suspected { group, member: user } => {
                self.notice(None, Notice::PeerSuspected { group, user });
            }
            endpoint::Event::Back { group, member: user } => {
                self.notice(None, Notice::PeerBack { group, user });
            }
            endpoint::Event::Alone { group } => self.notice(None, Notice::Alone { group }),
            endpoint::Event::WaitingFor { group, member: user } => {
                self.notice(None, Notice::WaitingFor { group, user });
            }
            endpoint::Event::MergeRefused { group } => self.notice(None, Notice::MergeRefused { group }),
            endpoint::Event::Writable { .. } => self.retry_waiting(now),
            endpoint::Event::HistoryGap { group } => self.notice(None, Notice::HistoryGap { group }),
            endpoint::Event::Private { .. }
            | endpoint::Event::Confirmed { .. }
            | endpoint::Event::Unconfirmed { .. }
            | endpoint::Event::PrivateWritable { .. } => {
                self.handle_private(now, event);
                self.phase_due(now);
            }
        }
        self.drain_tracker(now);
        None
    }

    /// A stay in a group is over.
    fn handle_end(&mut self, now: Instant, group: GroupName, clean: bool) {
        self.unheard.remove(&group);
        if !clean && !matches!(self.places.get(&group), Some(Place::Leaving(Leave::GivenUp))) {
            self.notice(None, Notice::LeftUnheard { group });
        }
        self.handle_left(now, group);
    }

    /// Counts a delivery, and measures how long it took if another's message says when it was sent. (Own ones, most of
    /// them delivered at once, would only hide how long the others take.)
    pub(super) fn note_received(
        &mut self,
        now: Instant,
        group: Option<GroupName>,
        id: MessageId,
        sent_at: Option<Instant>,
    ) {
        let sent_at = sent_at.filter(|_| id.sender.incarnation != self.config.incarnation);
        let latency = sent_at.and_then(|at| self.endpoint.latency(now, id.sender.incarnation, at));
        self.ledger.received(now, group, latency);
    }

    fn order(&self, group: GroupName) -> OrderKind {
        match self.places.get(&group) {
            Some(&Place::Member { order, .. }) => order,
            _ => self.endpoint.view(group).map(|view| view.order).unwrap_or_default(),
        }
    }

    fn handle_view(
        &mut self,
        now: Instant,
        group: GroupName,
        view: ViewInfo,
        joined: Vec<UserName>,
        left: Vec<UserName>,
        cause: Cause,
    ) {
        self.report(now, group, &view);
        self.private.note_view(&view);
        self.look_for_those(now, &view);
        self.tell(Event::View { group, view, joined, left, cause });
    }

    /// Takes in what the tracker has said meanwhile. To be called after anything that may have made the client speak.
    pub(super) fn drain_tracker(&mut self, now: Instant) {
        while let Some(event) = self.tracker.poll_event() {
            self.handle_tracker(now, event);
        }
    }

    fn handle_tracker(&mut self, now: Instant, event: tracker_client::Event) {
        match event {
            tracker_client::Event::SignedIn { tracker, observed } => {
                self.signed_in_before = true;
                self.observe(observed);
                match self.phase {
                    Phase::Starting { .. } => self.start(Some(tracker)),
                    _ => self.notice(None, Notice::TrackerBack { tracker }),
                }
                self.ask_again(now);
            }
            tracker_client::Event::Back { tracker, observed } => {
                self.observe(observed);
                self.notice(None, Notice::TrackerBack { tracker });
                self.ask_again(now);
            }
            tracker_client::Event::Unreachable { tracker, why } => {
                log::info!("no tracker at {tracker}: {why}");
                if let Trouble::Stream(_) = why {
                    self.tell_of_stranger(now, tracker);
                }
            }
            tracker_client::Event::Lost { .. } => {
                self.notice(None, Notice::TrackerLost);
            }
            tracker_client::Event::Refused(refusal) => self.handle_sign_in_refused(now, refusal),
            tracker_client::Event::Answer { ask, asked, result } => {
                self.handle_answer(now, ask, asked, result);
            }
            tracker_client::Event::Notice(notice) => self.handle_hint(now, notice),
        }
    }

    /// The tracker sees this node at an address that it did not know of: a translator stands between.
    fn observe(&mut self, observed: IpAddr) {
        let Some(first) = self.config.addresses.first() else { return };
        let observed = SocketAddr::new(observed, first.port());
        let known = self.config.addresses.contains(&observed);
        if !known && !observed.ip().is_loopback() && self.config.addresses.try_push(observed).is_ok() {
            self.endpoint.set_addresses(self.config.addresses.clone());
        }
    }

    fn handle_sign_in_refused(&mut self, now: Instant, refusal: Refusal) {
        let user = self.config.name;
        if self.signed_in_before {
            log::warn!("the tracker does not take {user} back: {refusal}");
            if refusal == Refusal::NameTaken {
                self.notice(None, Notice::NameTaken { user });
            }
            return;
        }
        let (code, text) = match refusal {
            Refusal::NameTaken => {
                (ErrorCode::NameTaken, format!("somebody is already signed in as {user}: take another name"))
            }
            refusal => (ErrorCode::TrackerUnavailable, format!("the tracker refuses the sign-in: {refusal}")),
        };
        self.tell(Event::Refused { code, text: text.clone() });
        self.end(now, Ending::Refused(text));
    }

    fn handle_answer(&mut self, now: Instant, ask: u32, asked: Ask, result: Result<Reply, Failure>) {
        match asked {
            Ask::Join { group, .. } => {
                let joined = result.and_then(|reply| match reply {
                    Reply::Joined(joined) if joined.group == group => Ok(joined),
                    _ => Err(Failure::Unavailable),
                });
                self.handle_join_answer(now, group, joined);
            }
            Ask::Groups => {
                let Some(re) = self.listings.remove(&ask) else { return };
                self.list_groups(re, result);
            }
            Ask::Members { group } => {
                let Some(re) = self.listings.remove(&ask) else { return };
                self.list_others(re, group, result);
            }
            Ask::Exists { group } => {
                let Some(re) = self.listings.remove(&ask) else { return };
                match result {
                    Err(Failure::Refused(Refusal::NoSuchGroup)) => self.no_such_group(re, group),
                    _ => self.not_a_member(re, group),
                }
            }
            Ask::Find { user } => self.handle_found(now, user, result),
            Ask::Users => self.handle_users(ask, result),
            Ask::Leave { .. } => {}
        }
        self.phase_due(now);
    }

    fn list_groups(&mut self, re: Option<u64>, result: Result<Reply, Failure>) {
        match result {
            Ok(Reply::Groups(groups)) => {
                let summary = |group: tracker::GroupEntry| GroupSummary {
                    name: group.name,
                    order: group.order,
                    members: usize::from(group.members),
                    limit: MEMBERS_MAX,
                };
                let groups = groups.into_iter().map(summary).collect();
                self.tell(Event::Groups { re, groups });
            }
            Ok(_) => self.error(re, ErrorCode::TrackerUnavailable, Failure::Unavailable.to_string()),
            Err(failure) => match self.groups_by_peers() {
                Some(groups) => self.tell(Event::Groups { re, groups }),
                None => self.error(re, ErrorCode::TrackerUnavailable, failure.to_string()),
            },
        }
    }

    fn handle_hint(&mut self, now: Instant, notice: tracker::Notice) {
        match notice {
            tracker::Notice::Contact { group, contact } => {
                self.lab.meet(contact.incarnation, contact.name);
                self.look_again_for(now, contact.name);
                if self.places.contains_key(&group) {
                    self.endpoint.add_contacts(now, group, &[(contact.incarnation, contact.addresses)]);
                }
            }
            tracker::Notice::MemberGone { incarnation, .. } => self.endpoint.probe(now, incarnation),
            tracker::Notice::GroupReplaced { group, .. } => self.handle_replaced(now, group),
        }
    }
}
