//! The part of a participant: promise, fetch, be ready, install.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::change::{Change, Readied, is_sane, is_whole, part, participant};
use super::{Context, Installed, Membership, Outcome, READY_REPEAT, View};
use crate::base::id::{Incarnation, MemberId, UserName, ViewId};
use crate::base::limits::MEMBERS_MAX;
use crate::base::time::Instant;
use crate::wire::Frame;
use crate::wire::membership::{
    Cut, Install, Member, Message, Nack, Parcel, ParcelAck, ParcelKind, Prepare, Prior, Promise, Ready,
};

impl Membership {
    /// A fragment of a membership message has come.
    pub fn handle_parcel(&mut self, cx: &mut Context<'_>, from: Incarnation, parcel: &Parcel<'_>) {
        match self.courier.handle_parcel(from, parcel) {
            Some(Message::Prepare(prepare)) => self.handle_prepare(cx, from, prepare),
            Some(Message::Promise(promise)) => self.handle_promise(cx, from, promise),
            Some(Message::Cut(cut)) => self.handle_cut(cx, from, cut),
            Some(Message::Recall(recall)) => self.outcomes.push(Outcome::Recall(from, recall)),
            Some(Message::Past(past)) => self.outcomes.push(Outcome::Past(from, past)),
            None => {}
        }
    }

    /// A peer tells which fragments of a membership message it has.
    pub fn handle_parcel_ack(&mut self, from: Incarnation, ack: &ParcelAck) {
        self.courier.handle_ack(from, ack);
    }

    fn handle_prepare(&mut self, cx: &mut Context<'_>, from: Incarnation, prepare: Prepare) {
        let attempt = prepare.attempt;
        let mine = participant(&prepare, self.me.id.incarnation).is_some_and(|m| m.id == self.me.id);
        let order_fits = match &self.view {
            Some(_) => self.order == prepare.order,
            None => true,
        };
        if attempt.coordinator.incarnation != from
            || !mine
            || !is_sane(&prepare)
            || !order_fits
            || self.is_out()
        {
            return;
        }
        // A late duplicate of the Prepare that led to my view asks for nothing.
        if self.view.as_ref().is_some_and(|view| view.id == attempt) || !self.see(attempt) {
            return;
        }
        match self.promised {
            Some(promised) if attempt < promised => {
                self.post(from, Frame::Nack(Nack { attempt, promised }));
            }
            Some(promised) if attempt == promised && self.change.is_some() => {}
            promised if self.would_tear(cx, &prepare) => {
                let promised = promised.unwrap_or(attempt);
                self.post(from, Frame::Nack(Nack { attempt, promised }));
                self.beacons.insert(from);
            }
            _ => self.promise(cx, prepare),
        }
    }

    /// Whether somebody from elsewhere would take me out of my view without others that can be counted on: it does not know
    /// yet that I have moved on. (From a view that it takes in it leaves out somebody only if there are ten.)
    fn would_tear(&self, cx: &Context<'_>, prepare: &Prepare) -> bool {
        let Some(view) = self.view.as_ref().filter(|view| !view.contains(prepare.attempt.coordinator)) else {
            return false;
        };
        let is_left = |member: &Member| prepare.participants.iter().all(|other| other.id != member.id);
        let mut present = view.members.iter().filter(|member| self.is_present(cx, view, member.id));
        prepare.members.len() < MEMBERS_MAX && present.any(is_left)
    }

    /// Freezes and reports.
    pub(super) fn promise(&mut self, cx: &mut Context<'_>, prepare: Prepare) {
        let attempt = prepare.attempt;
        if self.attempt.as_ref().is_some_and(|mine| mine.prepare.attempt < attempt) {
            self.give_up();
        }
        let prior = self.report(cx);
        self.promised = Some(attempt);
        let ready = self.change.take().and_then(|change| change.ready);
        let deadline = self.next_deadline(cx.now);
        let readies = BTreeSet::new();
        self.change = Some(Change { prepare, cut: None, readies, ready, deadline });
        self.beacon_all();
        let promise = Promise { attempt, prior };
        if attempt.coordinator == self.me.id {
            self.take_promise(cx, self.me.id, promise);
        } else {
            self.courier.send(attempt.coordinator.incarnation, &Message::Promise(promise));
        }
    }

    /// Freezes, and says what is held; `None` for a joiner.
    pub(super) fn report(&self, cx: &mut Context<'_>) -> Option<Prior> {
        let (view, prior) = self.view.as_ref().zip(cx.prior.as_mut())?;
        let (holdings, order) = prior.freeze();
        let rank = view.rank(self.me.id).unwrap_or(0) as u8;
        let known = (cx.known)(prior.delivered());
        Some(Prior { view: view.id, rank, position: self.position, holdings, order, known })
    }

    fn handle_cut(&mut self, cx: &mut Context<'_>, from: Incarnation, cut: Cut) {
        if cut.attempt.coordinator.incarnation == from {
            self.take_cut(cx, cut);
        }
    }

    /// Takes a cut, if it is for the highest attempt promised and names my view with me in it, and tells of all its members;
    /// else its coordinator is told that it waits in vain.
    pub(super) fn take_cut(&mut self, cx: &mut Context<'_>, cut: Cut) {
        let attempt = cut.attempt;
        let mine = self.view.as_ref().map(|view| (view.id, view.rank(self.me.id).unwrap_or(0) as u8));
        let named = self.view.as_ref().zip(mine).is_none_or(|(view, (id, rank))| {
            part(&cut, id).is_some_and(|prior| {
                prior.holders.iter().any(|holder| holder.rank == rank)
                    && is_whole(prior, view.members.len(), self.order)
            })
        });
        let deadline = self.next_deadline(cx.now);
        match &mut self.change {
            Some(change) if change.prepare.attempt == attempt && change.cut.is_some() => return,
            Some(change) if change.prepare.attempt == attempt && named => {
                if let (Some(prior), Some((view, _))) = (cx.prior.as_mut(), mine)
                    && let Some(part) = part(&cut, view)
                {
                    prior.fetch(cx.now, part);
                }
                change.cut = Some(cut);
                change.deadline = deadline;
            }
            _ => {
                let promised = self.promised.unwrap_or(attempt).max(attempt);
                self.post(attempt.coordinator.incarnation, Frame::Nack(Nack { attempt, promised }));
                return;
            }
        }
        self.ready_at = cx.now;
        self.advance_participant(cx);
    }

    /// Becomes ready once everything is held, and keeps saying so.
    pub(super) fn advance_participant(&mut self, cx: &mut Context<'_>) {
        let lacks = self.lacks(cx);
        if lacks == Some(0) {
            self.become_ready(cx);
        }
        let Some(change) = &self.change else { return };
        if change.ready.is_none() && lacks.is_none() {
            return;
        }
        if cx.now >= self.ready_at {
            self.ready_at = cx.now + READY_REPEAT;
            self.say_ready(lacks);
        }
        self.check_by(self.ready_at, "membership: repeat ready");
        self.install_if_complete(cx);
    }

    /// How much is lacking of the cut that I have taken and am not ready for yet; `None` if there is none.
    fn lacks(&self, cx: &Context<'_>) -> Option<u64> {
        let change = self.change.as_ref()?;
        let cut = change.cut.as_ref()?;
        if change.ready.as_ref().is_some_and(|ready| ready.prepare.attempt == cut.attempt) {
            return None;
        }
        let part = self.view.as_ref().and_then(|view| part(cut, view.id));
        Some(part.zip(cx.prior.as_ref()).map_or(0, |(part, prior)| prior.lacks(part)))
    }

    fn become_ready(&mut self, cx: &mut Context<'_>) {
        let Some(change) = &mut self.change else { return };
        let Some(cut) = change.cut.clone() else { return };
        if let (Some(view), Some(prior)) = (&self.view, cx.prior.as_mut())
            && let Some(part) = part(&cut, view.id)
        {
            prior.adopt(part);
        }
        let mut readies = std::mem::take(&mut change.readies);
        readies.insert(self.me.id);
        change.ready = Some(Readied { prepare: change.prepare.clone(), cut, readies });
        self.ready_at = cx.now;
        let attempt = change.prepare.attempt;
        if attempt.coordinator == self.me.id {
            self.note_lacks(cx.now, self.me.id, Ready { attempt, missing: 0 });
        }
    }

    /// To all participants when ready, to the coordinator while something is lacking: that it sees progress.
    fn say_ready(&mut self, lacks: Option<u64>) {
        let Some(change) = &self.change else { return };
        let mut frames: Vec<(Incarnation, Ready)> = Vec::new();
        if let Some(ready) = &change.ready {
            let attempt = ready.prepare.attempt;
            let others = ready.prepare.participants.iter().filter(|member| member.id != self.me.id);
            frames.extend(others.map(|member| (member.id.incarnation, Ready { attempt, missing: 0 })));
        }
        if let Some(missing) = lacks.filter(|&missing| missing > 0) {
            let attempt = change.prepare.attempt;
            frames.push((attempt.coordinator.incarnation, Ready { attempt, missing }));
        }
        for (to, ready) in frames {
            self.post(to, Frame::Ready(ready));
        }
    }

    /// A participant is ready, or tells how much it lacks.
    pub fn handle_ready(&mut self, cx: &mut Context<'_>, from: Incarnation, ready: Ready) {
        let attempt = ready.attempt;
        if self.view.as_ref().is_some_and(|view| view.id == attempt) {
            self.post(from, Frame::Install(Install { attempt }));
            return;
        }
        let Some(change) = &mut self.change else { return };
        if let Some(member) = participant(&change.prepare, from).map(|member| member.id)
            && change.prepare.attempt == attempt
        {
            self.note_lacks(cx.now, member, ready);
        }
        let Some(change) = &mut self.change else { return };
        if ready.missing > 0 {
            return;
        }
        if let Some(readied) = change.ready.as_mut().filter(|r| r.prepare.attempt == attempt) {
            let member = participant(&readied.prepare, from).map(|member| member.id);
            readied.readies.extend(member);
        } else if change.prepare.attempt == attempt {
            let member = participant(&change.prepare, from).map(|member| member.id);
            change.readies.extend(member);
        }
        self.install_if_complete(cx);
    }

    fn install_if_complete(&mut self, cx: &mut Context<'_>) {
        let ready = self.change.as_ref().and_then(|change| change.ready.as_ref());
        if ready.is_some_and(Readied::is_complete) {
            self.install(cx);
        }
    }

    /// Somebody has installed this attempt: says so, or speaks in that view. Only what I was last ready for counts.
    pub fn handle_installed(&mut self, cx: &mut Context<'_>, from: Incarnation, attempt: ViewId) {
        let ready = self.change.as_ref().and_then(|change| change.ready.as_ref());
        let fits =
            |ready: &Readied| ready.prepare.attempt == attempt && participant(&ready.prepare, from).is_some();
        if ready.is_some_and(fits) {
            self.install(cx);
        }
    }

    /// Installs what I was last ready for, and am free.
    fn install(&mut self, cx: &mut Context<'_>) {
        let Some(Readied { prepare, cut, .. }) = self.change.take().and_then(|change| change.ready) else {
            return;
        };
        let find = |id: &MemberId| prepare.participants.iter().find(|member| member.id == *id).cloned();
        let view = View { id: prepare.attempt, members: prepare.members.iter().filter_map(find).collect() };
        let former = self.view.replace(Arc::new(view.clone()));
        self.order = prepare.order;
        self.position = cut.position;
        if self.attempt.as_ref().is_some_and(|mine| mine.prepare.attempt != view.id) {
            self.give_up();
        }
        self.attempt = None;
        (self.reason_since, self.refusals) = (None, 0);
        self.patience = self.rng.between(self.suspect_after / 2, self.suspect_after);
        self.silent.clear();
        self.apart.begin(former.as_deref());
        for kind in [ParcelKind::Prepare, ParcelKind::Promise, ParcelKind::Cut] {
            self.courier.cancel(kind);
        }
        let me = self.me.id;
        for member in prepare.participants.iter().filter(|member| member.id != me) {
            self.post(member.id.incarnation, Frame::Install(Install { attempt: view.id }));
        }
        let lost = self.part_with(cx.now, former.as_deref(), &view, &prepare);
        let origins = origins(&prepare, &cut, &view);
        let installed = self.describe(former.as_deref(), view, (&cut, origins), lost);
        if installed.merged {
            let new = |member: &&Member| former.as_ref().is_some_and(|former| !former.contains(member.id));
            for member in installed.view.members.iter().filter(new) {
                self.roster.merged(cx.now, member.id.incarnation);
            }
        }
        self.beacon_all();
        self.outcomes.push(Outcome::Installed(Box::new(installed)));
    }

    /// Those of my former view who are gone: who left is forgotten, who was suspected is looked for. Gives the latter.
    fn part_with(
        &mut self,
        now: Instant,
        former: Option<&View>,
        view: &View,
        prepare: &Prepare,
    ) -> Vec<(Incarnation, UserName)> {
        let mut lost = Vec::new();
        let gone = |member: &&Member| !view.contains(member.id);
        for member in former.iter().flat_map(|former| &former.members).filter(gone) {
            let node = member.id.incarnation;
            let replaced = view.members.iter().any(|m| m.name == member.name || m.id.incarnation == node);
            if replaced {
                self.roster.forget_replaced(node, view);
            } else if participant(prepare, node).is_some() {
                self.roster.forget(node);
            } else {
                lost.push((node, member.name));
                if self.roster.came_by_merge(node) {
                    self.roster.unmerged(now, node);
                }
                self.roster.add_contact(now, (node, Some(member.name)), &member.addresses);
                self.roster.keep_place(now, member.name);
            }
        }
        for member in prepare.participants.iter().filter(|m| !view.contains(m.id)) {
            self.roster.forget(member.id.incarnation);
        }
        self.roster.forget_namesakes(view);
        for member in &view.members {
            self.roster.drop_wish(member.id.incarnation);
        }
        lost
    }

    fn describe(
        &mut self,
        former: Option<&View>,
        view: View,
        (cut, origins): (&Cut, Vec<Option<ViewId>>),
        lost: Vec<(Incarnation, UserName)>,
    ) -> Installed {
        let new = |member: &&Member| former.is_none_or(|former| !former.contains(member.id));
        let joined: Vec<UserName> = view.members.iter().filter(new).map(|member| member.name).collect();
        let gone = |member: &&Member| !view.contains(member.id);
        let left = former.iter().flat_map(|former| &former.members).filter(gone).map(|m| m.name);
        Installed {
            cut: former.and_then(|former| part(cut, former.id)).cloned(),
            left: left.collect(),
            lost,
            merged: former.is_some() && cut.priors.len() > 1 && !joined.is_empty(),
            out: !view.contains(self.me.id),
            position: cut.position,
            joined,
            origins,
            known: cut.known.clone(),
            view,
        }
    }

    fn next_deadline(&mut self, now: Instant) -> Instant {
        now + self.rng.between(self.suspect_after / 2, self.suspect_after)
    }
}

/// Which view each member of the new one comes from, by rank.
fn origins(prepare: &Prepare, cut: &Cut, view: &View) -> Vec<Option<ViewId>> {
    let origin = |member: &Member| {
        let participant = prepare.participants.iter().position(|other| other.id == member.id)?;
        let prior = cut.origins.get(participant).copied().flatten()?;
        cut.priors.get(usize::from(prior)).map(|prior| prior.view)
    };
    view.members.iter().map(origin).collect()
}
