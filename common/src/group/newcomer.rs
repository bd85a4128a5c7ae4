//! A newcomer's way to what was said before it came: it asks one after the other of those who may know.

use std::time::Duration;

use super::history::{self, Entry};
use super::{Event, Group};
use crate::base::id::{Incarnation, MemberId, ViewId};
use crate::base::limits::HISTORY_MAX;
use crate::base::time::Instant;
use crate::membership::View;
use crate::mesh::Mesh;
use crate::wire::membership::{Past, Recall};

/// How often a newcomer asks again.
const ASK_REPEAT: Duration = Duration::from_millis(100);
/// One who is not in the newcomer's view any more may still tell for so long, if it is in reach.
const GONE_AFTER: Duration = Duration::from_secs(1);

/// A newcomer's way to the past.
#[derive(Clone, Debug)]
pub(super) struct CatchUp {
    view: ViewId,
    /// Those who may know, whom it has not asked; the one that it asks is the last.
    tellers: Vec<Incarnation>,
    told: Vec<Entry>,
    ask_at: Instant,
    /// Since when the one that it asks is not in its view any more.
    gone_since: Option<Instant>,
    /// Somebody who may have known is out of reach.
    lost_one: bool,
}

/// How a newcomer's asking has ended.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// With this.
    All(ViewId, Vec<Entry>),
    /// Nobody knows anything: all are new.
    Nothing,
    /// Those who knew are out of reach.
    Lost,
}

impl CatchUp {
    /// `None` for the first member of a group.
    pub(super) fn new(now: Instant, view: &View, me: MemberId) -> Option<CatchUp> {
        let others = view.members.iter().rev().filter(|member| member.id != me);
        let tellers: Vec<Incarnation> = others.map(|member| member.id.incarnation).collect();
        let catch_up = CatchUp {
            view: view.id,
            tellers,
            told: Vec::new(),
            ask_at: now,
            gone_since: None,
            lost_one: false,
        };
        (!catch_up.tellers.is_empty()).then_some(catch_up)
    }

    /// A part of the past has come.
    pub(super) fn handle_past(&mut self, now: Instant, from: Incarnation, past: Past) -> Option<Told> {
        let next = u32::try_from(self.told.len()).unwrap_or(u32::MAX);
        if past.view != self.view || self.tellers.last() != Some(&from) || past.first != next {
            return None;
        }
        let Some(total) = past.total else { return self.next_teller(now) };
        if past.said.is_empty() && next < total {
            return self.next_teller(now);
        }
        self.ask_at = now;
        self.told.extend(past.said.into_iter().map(Entry::from_wire));
        self.told.truncate(HISTORY_MAX);
        let complete = self.told.len() >= HISTORY_MAX.min(usize::try_from(total).unwrap_or(usize::MAX));
        complete.then(|| Told::All(self.view, std::mem::take(&mut self.told)))
    }

    /// Another one is asked, from the beginning: it may have delivered in another order.
    fn next_teller(&mut self, now: Instant) -> Option<Told> {
        self.tellers.pop();
        self.told.clear();
        (self.ask_at, self.gone_since) = (now, None);
        match (self.tellers.is_empty(), self.lost_one) {
            (false, _) => None,
            (true, true) => Some(Told::Lost),
            (true, false) => Some(Told::Nothing),
        }
    }

    /// Whom to ask for what, if it is time; `current` is the newcomer's view.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        mesh: &Mesh,
        current: &View,
    ) -> Result<Option<(Incarnation, Recall)>, Told> {
        while let Some(&teller) = self.tellers.last() {
            match current.rank_of_node(teller) {
                Some(_) => self.gone_since = None,
                None => _ = self.gone_since.get_or_insert(now),
            }
            let is_gone = self.gone_since.is_some_and(|since| now.since(since) >= GONE_AFTER);
            if !is_gone && !mesh.suspects(teller) && mesh.knows(teller) {
                if self.ask_at > now {
                    return Ok(None);
                }
                self.ask_at = now + ASK_REPEAT;
                let first = u32::try_from(self.told.len()).unwrap_or(u32::MAX);
                return Ok(Some((teller, Recall { view: self.view, first })));
            }
            self.lost_one = true;
            if let Some(told) = self.next_teller(now) {
                return Err(told);
            }
        }
        Err(Told::Nothing)
    }

    /// When to ask again.
    pub(super) fn ask_at(&self) -> Instant {
        self.ask_at
    }
}

impl Group {
    /// A newcomer asks what was said before. While my view is older than its own, I do not know yet.
    pub(super) fn handle_recall(&mut self, now: Instant, from: Incarnation, recall: Recall) {
        let Some(view) = self.membership.view() else { return };
        let is_member = view.rank_of_node(from).is_some();
        if view.id >= recall.view && self.history.may_tell(recall.view, from).unwrap_or(is_member) {
            let history = &mut self.history;
            self.membership.tell_past(from, || history.recall(now, recall));
        }
    }

    /// Asks, if it is time.
    pub(super) fn advance_catch_up(&mut self, now: Instant, mesh: &Mesh) {
        let Some((catch_up, view)) = self.catch_up.as_mut().zip(self.membership.view()) else { return };
        match catch_up.advance(now, mesh, view) {
            Ok(Some((node, recall))) => self.membership.ask_past(node, recall),
            Ok(None) => {}
            Err(told) => self.catch_up_with(told),
        }
    }

    /// The past has come, or will not: what was delivered meanwhile may follow it.
    pub(super) fn catch_up_with(&mut self, told: Told) {
        let joined = self.poll_event();
        self.catch_up = None;
        match told {
            Told::All(view, entries) => {
                self.history.put_before(&entries);
                history::note(&mut self.before, entries.iter().map(|entry| entry.id));
                let former = std::mem::take(&mut self.former);
                let is_new =
                    |entry: &&Entry| former.get(&entry.id.sender).is_none_or(|&n| n < entry.id.count);
                let new: Vec<Entry> = entries.into_iter().filter(|entry| is_new(&entry)).collect();
                history::note(&mut self.known, new.iter().map(|entry| entry.id));
                let events = new.into_iter().map(|entry| entry.into_event(self.name, view));
                events.rev().for_each(|event| self.events.push_front(event));
            }
            Told::Lost => {
                self.history.put_before(&[]);
                self.events.push_front(Event::HistoryGap { group: self.name });
            }
            Told::Nothing => self.history.put_before(&[]),
        }
        joined.into_iter().for_each(|event| self.events.push_front(event));
    }
}
