//! The part of a coordinator: see a reason, compose the next view, collect promises, cut, wait for the ready.

use std::collections::BTreeSet;
use std::time::Duration;

use super::change::{Attempt, participant};
use super::roster::Applicant;
use super::{Context, Membership, Outcome, SETTLE, View, WISH_REPEAT, cut};
use crate::base::id::{Incarnation, MemberId, ViewId};
use crate::base::limits::MEMBERS_MAX;
use crate::base::time::Instant;
use crate::wire::Frame;
use crate::wire::membership::{
    Addresses, Join, Member, Message, Nack, ParcelKind, Prepare, Prior, Promise, Ready, Refusal, Refuse,
};

/// Who has not been suspected for so much longer than the suspicion time after another node of its name wished to come in
/// is no former self of that one.
const NAME_TAKEN_AFTER: Duration = Duration::from_secs(1);

/// Why the view should change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// Within my view: its leader acts.
    Internal,
    /// Somebody to take in: the leader of all views in sight acts.
    TakeIn,
}

/// Whom an attempt would take along.
struct Composition<'a> {
    participants: Vec<&'a Member>,
    members: Vec<&'a Member>,
    foreign: BTreeSet<MemberId>,
    refused: Vec<(MemberId, Refusal)>,
}

impl<'a> Composition<'a> {
    /// Whether another node has that name.
    fn has_other(&self, of: &Member) -> bool {
        self.participants.iter().any(|m| m.name == of.name && m.id.incarnation != of.id.incarnation)
    }

    /// Takes somebody in, unless the list is full or has this name or node already: both are unique in a view.
    fn take(&mut self, new: &'a Member) -> bool {
        let same = |m: &&Member| m.name == new.name || m.id.incarnation == new.id.incarnation;
        let fits = self.members.len() < MEMBERS_MAX && !self.participants.iter().any(same);
        if fits {
            self.participants.push(new);
            self.members.push(new);
        }
        fits
    }
}

impl Membership {
    /// Whether to start an attempt now, and if not, when to look again.
    pub(super) fn consider(&mut self, cx: &mut Context<'_>) {
        let Some(view) = self.view.clone() else { return };
        let me = self.me.id.incarnation;
        let leads_view = self.view_leader(cx) == Some(me);
        let over_all = self.foreign_leader(cx, &view);
        if let Some(leader) = over_all {
            self.ask_for_merge(cx, leader);
        }
        self.refuse_some(cx, &view, leads_view);
        self.tell_apart(cx, &view);
        if let Some(at) = self.roster.next_merge(cx.now) {
            self.check_by(at, "membership: a merge may be tried again");
        }
        let Some(reason) = self.reason(cx, &view) else {
            self.reason_since = None;
            return;
        };
        let since = *self.reason_since.get_or_insert(cx.now);
        let leads = leads_view && (reason == Reason::Internal || over_all.is_none());
        let start_at = match &self.change {
            Some(change) if leads && cx.mesh.suspects(change.prepare.attempt.coordinator.incarnation) => {
                since + SETTLE
            }
            Some(change) => change.deadline,
            None if leads => since + SETTLE,
            None => since + self.patience,
        };
        let start_at = start_at.max(self.expected_until(cx, &view.members).unwrap_or(start_at));
        if cx.now < start_at {
            self.check_by(start_at, "membership: start a change");
        } else if !self.extend_deadline(cx) {
            self.start(cx);
        }
    }

    /// Until when to wait before the suspected ones of these are parted with: of a side that comes back into reach, its
    /// members would otherwise be torn apart by who of them is heard a moment earlier.
    fn expected_until(&self, cx: &Context<'_>, members: &[Member]) -> Option<Instant> {
        members.iter().filter_map(|member| cx.mesh.expected_until(member.id.incarnation)).max()
    }

    /// Whether the coordinator whom I promised is still at it: then I go on waiting, since the fetching of others,
    /// which I do not see, may take its time.
    fn extend_deadline(&mut self, cx: &Context<'_>) -> bool {
        let Some(change) = &mut self.change else { return false };
        let attempt = change.prepare.attempt;
        let coordinator = attempt.coordinator.incarnation;
        let at_it = cx.mesh.reaches(cx.now, coordinator)
            && !cx.mesh.suspects(coordinator)
            && self
                .roster
                .node(coordinator)
                .is_some_and(|node| node.beacon.frozen && node.beacon.promised == Some(attempt));
        if at_it {
            change.deadline = cx.now + self.suspect_after / 2;
            let deadline = change.deadline;
            self.check_by(deadline, "membership: the coordinator is at it");
        }
        at_it
    }

    fn reason(&mut self, cx: &Context<'_>, view: &View) -> Option<Reason> {
        if self.change.is_some() || self.leaving {
            return Some(Reason::Internal);
        }
        let me = self.me.id;
        for member in view.members.iter().filter(|member| member.id != me) {
            if !self.is_present(cx, view, member.id) {
                return Some(Reason::Internal);
            }
            let Some(node) = self.roster.node(member.id.incarnation) else { continue };
            if node.beacon.leaving {
                return Some(Reason::Internal);
            }
            if let Some(at) = node.frozen_at.map(|at| at + self.patience) {
                if at <= cx.now {
                    return Some(Reason::Internal);
                }
                self.check_by(at, "membership: a member stays frozen");
            }
        }
        let composition = self.compose(cx, view);
        let grows = composition.members.iter().any(|member| !view.contains(member.id));
        grows.then_some(Reason::TakeIn)
    }

    /// The node that leads over me where several views are in sight: the first of the view with the lowest id among
    /// those that would merge, if that is not mine.
    fn foreign_leader(&self, cx: &Context<'_>, view: &View) -> Option<Incarnation> {
        let foreign = self.roster.foreign(cx.now, cx.mesh, view);
        let size = usize::from(self.beacon().members);
        let merging = self.roster.merging((view.id, size), &foreign);
        let first = merging.into_iter().min().filter(|&first| first < view.id)?;
        foreign.get(&first)?.nodes.values().next().copied()
    }

    /// Tells the leader of another view, again and again, that I would come, and of everybody who is with me: it takes
    /// a view only whole, and may not know of all.
    fn ask_for_merge(&mut self, cx: &Context<'_>, leader: Incarnation) {
        if cx.now >= self.wish_at {
            self.wish_at = cx.now + WISH_REPEAT;
            let view = self.view.clone();
            for member in view.iter().flat_map(|view| &view.members) {
                self.post(leader, Frame::Join(Box::new(Join { member: member.clone() })));
            }
            // It must know where I stand, and may have been a stranger until now.
            if !self.knows(leader) {
                self.add_contact(cx.now, leader, &Addresses::new());
            }
            self.beacons.insert(leader);
        }
        self.check_by(self.wish_at, "membership: repeat a wish to merge");
    }

    fn refuse_some(&mut self, cx: &Context<'_>, view: &View, leads: bool) {
        if !leads || self.change.is_some() {
            return;
        }
        let refused = self.compose(cx, view).refused;
        for (member, reason) in refused {
            self.roster.drop_wish(member.incarnation);
            self.post(member.incarnation, Frame::Refuse(Refuse { member, reason }));
        }
    }

    /// Who would be in the next view: those of mine that can be counted on, then other views that are complete, then
    /// joiners, up to ten.
    fn compose<'a>(&'a self, cx: &Context<'_>, view: &'a View) -> Composition<'a> {
        let applicants: Vec<&Applicant> = self.roster.applicants(cx.now, cx.mesh).collect();
        let replaced = |member: &Member| {
            let same = |a: &&Applicant| a.member.id.incarnation == member.id.incarnation;
            applicants.iter().any(|a| a.view.is_none() && same(a))
        };
        let stays = |member: &&Member| {
            member.id == self.me.id || (self.is_present(cx, view, member.id) && !replaced(member))
        };
        let participants: Vec<&Member> = view.members.iter().filter(stays).collect();
        let members = participants.iter().copied().filter(|member| !self.is_leaving(member.id)).collect();
        let mut composition =
            Composition { participants, members, foreign: BTreeSet::new(), refused: Vec::new() };
        self.compose_views(cx, view, &applicants, &mut composition);
        self.compose_joiners(cx, &applicants, &mut composition);
        composition
    }

    fn compose_views<'a>(
        &self,
        cx: &Context<'_>,
        view: &View,
        applicants: &[&'a Applicant],
        composition: &mut Composition<'a>,
    ) {
        let views = self.roster.foreign(cx.now, cx.mesh, view);
        for other in self.roster.merging((view.id, composition.members.len()), &views) {
            let Some(seen) = views.get(&other) else { continue };
            let coming = seen.nodes.values().filter_map(|node| {
                applicants.iter().find(|a| a.view == Some(other) && a.member.id.incarnation == *node)
            });
            let coming: Vec<&Member> = coming.map(|applicant| &applicant.member).collect();
            // Two people of one name cannot be in one view: who was there before is not thrown out for the other one.
            if coming.len() < seen.members || coming.iter().any(|member| composition.has_other(member)) {
                continue;
            }
            for member in coming {
                if composition.take(member) {
                    composition.foreign.insert(member.id);
                }
            }
        }
    }

    fn compose_joiners<'a>(
        &self,
        cx: &Context<'_>,
        applicants: &[&'a Applicant],
        composition: &mut Composition<'a>,
    ) {
        for applicant in applicants.iter().filter(|a| a.view.is_none()) {
            let joiner = &applicant.member;
            let kept = self.roster.places_kept(cx.now, joiner.name, &composition.members);
            if self.roster.waits(cx.now, joiner.id.incarnation) {
                continue;
            }
            if composition.has_other(joiner) {
                // A restarted node comes in when its former self is suspected. One that is not by then, lives.
                if cx.now.since(applicant.since) >= self.suspect_after + NAME_TAKEN_AFTER {
                    composition.refused.push((joiner.id, Refusal::NameTaken));
                }
            } else if composition.members.len() + kept >= MEMBERS_MAX
                || (self.is_beside_full(cx.now) && !self.roster.keeps_place(cx.now, joiner.name))
            {
                composition.refused.push((joiner.id, Refusal::Full));
            } else {
                composition.take(joiner);
            }
        }
    }

    fn is_leaving(&self, member: MemberId) -> bool {
        if member == self.me.id {
            return self.leaving;
        }
        let node = self.roster.node(member.incarnation);
        node.is_some_and(|node| node.beacon.member == member && node.beacon.leaving)
    }

    /// Starts an attempt, above all that were seen.
    pub(super) fn start(&mut self, cx: &mut Context<'_>) {
        let Some(view) = self.view.clone() else { return };
        let attempt = ViewId { number: self.seen + 1, coordinator: self.me.id };
        let composition = self.compose(cx, &view);
        let foreign = composition.foreign;
        let prepare = Prepare {
            attempt,
            order: self.order,
            participants: composition.participants.into_iter().cloned().collect(),
            members: composition.members.into_iter().map(|member| member.id).collect(),
        };
        self.reason_since = None;
        self.patience = self.rng.between(self.suspect_after / 2, self.suspect_after);
        if prepare.members.is_empty() {
            self.end_alone(cx, attempt);
            return;
        }
        self.seen = attempt.number;
        self.courier.cancel(ParcelKind::Cut);
        self.courier.cancel(ParcelKind::Prepare);
        for member in prepare.participants.iter().filter(|member| member.id != self.me.id) {
            self.courier.send(member.id.incarnation, &Message::Prepare(prepare.clone()));
        }
        log::debug!("{}: attempt {attempt} with {} participants", self.me.name, prepare.participants.len());
        self.attempt = Some(Attempt::new(cx.now, prepare.clone(), foreign));
        self.promise(cx, prepare);
        self.check_by(cx.now + self.suspect_after * 3 / 4, "membership: an attempt without progress");
    }

    /// The change of a leaver with whom nobody goes: it alone promises, and is ready.
    fn end_alone(&mut self, cx: &mut Context<'_>, attempt: ViewId) {
        let cut =
            cut::compute(attempt, self.order, &BTreeSet::from([self.me.id]), &[self.report(cx).as_ref()]);
        let Some((cut, prior)) = cut.priors.first().zip(cx.prior.as_mut()) else { return };
        prior.adopt(cut);
        self.outcomes.push(Outcome::Alone(cut.clone()));
    }

    pub(super) fn handle_promise(&mut self, cx: &mut Context<'_>, from: Incarnation, promise: Promise) {
        let Some(attempt) = &self.attempt else { return };
        if let Some(member) = participant(&attempt.prepare, from).map(|member| member.id) {
            self.take_promise(cx, member, promise);
        }
    }

    /// Collects a promise; the last one makes the cut.
    pub(super) fn take_promise(&mut self, cx: &mut Context<'_>, member: MemberId, promise: Promise) {
        let Some(attempt) = &mut self.attempt else { return };
        if attempt.prepare.attempt != promise.attempt || attempt.is_cut {
            return;
        }
        if attempt.promises.insert(member, promise.prior).is_none() {
            attempt.progress_at = cx.now;
        }
        if attempt.promises.len() < attempt.prepare.participants.len() {
            return;
        }
        attempt.is_cut = true;
        let participants = attempt.prepare.participants.iter();
        let promises: Vec<Option<&Prior>> =
            participants.map(|member| attempt.promises.get(&member.id)?.as_ref()).collect();
        let participants = attempt.prepare.participants.iter().map(|member| member.id).collect();
        let cut = cut::compute(promise.attempt, self.order, &participants, &promises);
        let others: Vec<Incarnation> =
            attempt.prepare.participants.iter().map(|member| member.id.incarnation).collect();
        for node in others.into_iter().filter(|&node| node != self.me.id.incarnation) {
            self.courier.send(node, &Message::Cut(cut.clone()));
        }
        self.take_cut(cx, cut);
    }

    /// A participant of mine tells how much it lacks: progress.
    pub(super) fn note_lacks(&mut self, now: Instant, member: MemberId, ready: Ready) {
        let Some(attempt) = self.attempt.as_mut().filter(|a| a.prepare.attempt == ready.attempt) else {
            return;
        };
        let before = attempt.lacks.insert(member, ready.missing);
        if before.is_none_or(|before| ready.missing < before) {
            attempt.progress_at = now;
        }
    }

    /// My attempt is refused: give it up. If I still lead, I try again soon, above what was promised.
    pub fn handle_nack(&mut self, cx: &mut Context<'_>, from: Incarnation, nack: Nack) {
        let asked = |attempt: &Attempt| {
            attempt.prepare.attempt == nack.attempt && participant(&attempt.prepare, from).is_some()
        };
        if !self.attempt.as_ref().is_some_and(asked) || !self.see(nack.promised) {
            return;
        }
        self.give_up();
        self.refusals = (self.refusals + 1).min(6);
        let wait = Duration::from_millis(10) * 2u32.pow(self.refusals);
        if let Some(change) = &mut self.change {
            change.deadline = cx.now + self.rng.between(wait / 2, wait);
        }
    }

    /// My attempt, if any, is over without success.
    pub(super) fn give_up(&mut self) {
        self.attempt = None;
        self.courier.cancel(ParcelKind::Prepare);
        self.courier.cancel(ParcelKind::Cut);
    }

    /// Leaves out those who are suspected by now, who say that they are gone, or who let the attempt stand still.
    pub(super) fn advance_attempt(&mut self, cx: &mut Context<'_>) {
        let Some(attempt) = &self.attempt else { return };
        let others = attempt.prepare.participants.iter().filter(|member| member.id != self.me.id);
        let expected_until = self.expected_until(cx, &attempt.prepare.participants);
        let is_gone = attempt.gone
            || (others.clone().any(|member| cx.mesh.suspects(member.id.incarnation))
                && expected_until.is_none_or(|until| until <= cx.now));
        let slowest = others.filter_map(|member| cx.mesh.rtt(member.id.incarnation)).map(|rtt| rtt.timeout());
        let limit = (slowest.max().unwrap_or_default() * 4).min(self.suspect_after * 2);
        // A link may have died just now: to go round it, and to repeat what was lost, takes more than half of that time.
        let limit = limit.max(self.suspect_after * 3 / 4);
        let until = attempt.progress_at + limit;
        if !is_gone && cx.now < until {
            let until = expected_until.map_or(until, |at| at.min(until));
            self.check_by(until, "membership: an attempt without progress");
            return;
        }
        let foreign = attempt.foreign.clone();
        let lacking: Vec<MemberId> = attempt.lacking().map(|m| m.id).filter(|&id| id != self.me.id).collect();
        for member in lacking.into_iter().filter(|_| !is_gone) {
            self.silent.insert(member);
            self.roster.drop_wish(member.incarnation);
            self.roster.unmerged(cx.now, member.incarnation);
        }
        for member in foreign {
            self.roster.unmerged(cx.now, member.incarnation);
        }
        self.give_up();
        self.start(cx);
    }
}
