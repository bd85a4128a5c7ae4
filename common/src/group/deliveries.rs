//! From the order to the application: everything passes through one queue, in the order of delivery.
//!
//! A view with members from elsewhere closes the queue behind it until this member has been told what they said before
//! (or will not be): that comes right after the view, and everything later waits. What passes is kept for others; what
//! is known is learnt from whole views as they pass, so that a [`Mark`](super::history) is exact.

use std::collections::VecDeque;

use super::catch_up::{CatchUp, Tellers, Told};
use super::history::{Entry, History};
use super::{Event, Held, WaitsFor};
use crate::base::id::{GroupName, Incarnation, MessageId, ViewId};
use crate::base::time::Instant;
use crate::machine::Wakeup;
use crate::membership::{Known, View, digest, note};
use crate::mesh::Mesh;
use crate::wire::membership::{Digest, Past, Recall};

#[derive(Clone, Debug)]
pub(super) struct Deliveries {
    group: GroupName,
    pub(super) history: History,
    ready: VecDeque<Event>,
    /// What waits behind what is being caught up.
    waiting: VecDeque<Item>,
    catch_up: Option<CatchUp>,
    /// What this node knew when it joined: it had been in the group before.
    former: Known,
    /// The stay is over: nothing is caught up any more.
    is_over: bool,
}

#[derive(Clone, Debug)]
struct Item {
    event: Event,
    /// The view that it tells of.
    begins: Option<Box<Beginning>>,
}

/// A view that begins.
#[derive(Clone, Debug)]
pub(super) struct Beginning {
    pub(super) view: View,
    /// The last message of each member that was delivered in the view before.
    pub(super) ended: Vec<MessageId>,
    /// Others may ask what was said before.
    pub(super) is_marked: bool,
    /// Whom this member asks.
    pub(super) tellers: Option<Tellers>,
}

impl Deliveries {
    pub(super) fn new(group: GroupName, history: History) -> Deliveries {
        Deliveries {
            group,
            former: history.known().clone(),
            history,
            ready: VecDeque::new(),
            waiting: VecDeque::new(),
            catch_up: None,
            is_over: false,
        }
    }

    /// How many wait for the application.
    pub(super) fn len(&self) -> usize {
        self.ready.len() + self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn has_event(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    /// The next thing to tell.
    pub(super) fn push(&mut self, now: Instant, event: Event) {
        match self.catch_up {
            Some(_) => self.waiting.push_back(Item { event, begins: None }),
            None => self.pass(now, event),
        }
    }

    /// News of the present: it does not wait for the past with the messages, but it does with views and other news.
    pub(super) fn push_news(&mut self, now: Instant, event: Event) {
        match self.waiting.iter().all(|item| matches!(item.event, Event::Message { .. })) {
            true => self.ready.push_back(event),
            false => self.push(now, event),
        }
    }

    /// A view begins, which this event tells.
    pub(super) fn begin(&mut self, now: Instant, event: Event, beginning: Beginning) {
        self.waiting.push_back(Item { event, begins: Some(Box::new(beginning)) });
        self.pump(now);
    }

    /// The stay is over: what waits does not wait any longer. `ended`: the last message of each member that was
    /// delivered in the last view.
    pub(super) fn end(&mut self, now: Instant, ended: impl Iterator<Item = MessageId>) {
        self.is_over = true;
        self.catch_up = None;
        self.pump(now);
        self.history.learn(ended);
    }

    /// What this node knows of the group's messages: the last one of each member.
    pub(super) fn into_known(self) -> Known {
        self.history.known().clone()
    }

    /// What will be known, as far as it has been delivered, when these have passed: the last ones of the current view.
    pub(super) fn known_with(&self, delivered: Vec<MessageId>) -> Digest {
        let mut known = self.history.known().clone();
        let ended = self.beginnings().flat_map(|beginning| &beginning.ended);
        let last = ended.chain(&delivered).map(|id| (id.sender, id.count));
        note(&mut known, last, |member| {
            self.history.is_member(member) || self.beginnings().any(|b| b.view.contains(member))
        });
        digest(&known)
    }

    /// Whether that view waits to be told.
    pub(super) fn will_come_to(&self, view: ViewId) -> bool {
        self.beginnings().any(|beginning| beginning.view.id == view)
    }

    fn beginnings(&self) -> impl Iterator<Item = &Beginning> {
        self.waiting.iter().filter_map(|item| item.begins.as_deref())
    }

    /// What is delivered and waits behind what is being caught up.
    pub(super) fn held(&self) -> impl Iterator<Item = Held> {
        self.waiting.iter().filter_map(|item| match item.event {
            Event::Message { id, from, .. } => Some(Held { id, from, waits_for: WaitsFor::Past }),
            _ => None,
        })
    }

    /// A part of what was asked for has come.
    pub(super) fn handle_past(&mut self, now: Instant, from: Incarnation, past: Past) {
        if let Some(catch_up) = &mut self.catch_up {
            catch_up.handle_past(now, from, past);
        }
        self.pump(now);
    }

    /// Whom to ask for what, if it is time, and whether that has been asked before.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        mesh: &Mesh,
        current: &View,
    ) -> Option<(Incarnation, Recall, bool)> {
        loop {
            let ask = self.catch_up.as_mut()?.advance(now, mesh, current);
            if ask.is_some() || !self.pump(now) {
                return ask;
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Wakeup> {
        let at = self.catch_up.as_ref()?.ask_at();
        Some(Wakeup { at, reason: "group: ask for the past" })
    }

    /// Lets pass what need not wait; true if something was caught up.
    fn pump(&mut self, now: Instant) -> bool {
        let mut has_caught_up = false;
        loop {
            if let Some(catch_up) = &mut self.catch_up {
                let Some(told) = catch_up.poll_told() else { return has_caught_up };
                let view = catch_up.view();
                self.catch_up = None;
                self.tell(now, view, told);
                has_caught_up = true;
            }
            match self.waiting.pop_front() {
                None => return has_caught_up,
                Some(Item { event, begins: None }) => self.pass(now, event),
                Some(Item { event, begins: Some(beginning) }) => {
                    self.ready.push_back(event);
                    self.pass_view(now, *beginning);
                }
            }
        }
    }

    fn pass(&mut self, now: Instant, event: Event) {
        if let Event::Message { id, from, ref clock, ref payload, .. } = event {
            let entry = Entry { id, from, clock: clock.clone(), payload: payload.clone() };
            self.history.push(now, entry);
        }
        self.ready.push_back(event);
    }

    fn pass_view(&mut self, now: Instant, beginning: Beginning) {
        let Beginning { view, ended, is_marked, tellers } = beginning;
        self.history.enter(&view);
        self.history.learn(ended.into_iter());
        if is_marked {
            self.history.mark_before(now, &view);
        }
        match tellers.filter(|_| !self.is_over) {
            Some(tellers) => {
                self.catch_up = Some(CatchUp::new(now, tellers, self.history.known().clone()));
            }
            None if is_marked => self.history.mark_after(now, view.id),
            None => {}
        }
    }

    /// What the others said before this view has been told, or will not be.
    fn tell(&mut self, now: Instant, view: ViewId, told: Told) {
        if told.has_gap {
            self.ready.push_back(Event::HistoryGap { group: self.group });
        }
        self.history.learn(told.entries.iter().map(|entry| entry.id));
        for entry in told.entries {
            self.history.push(now, entry.clone());
            if self.former.get(&entry.id.sender).is_none_or(|&known| known < entry.id.count) {
                self.ready.push_back(entry.into_event(self.group, view));
            }
        }
        self.history.learn(told.claimed.into_iter().map(|(sender, count)| MessageId { sender, count }));
        self.history.mark_after(now, view);
    }
}
