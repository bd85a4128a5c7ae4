//! What each member has delivered in each view of a group with one sequence: what the checks of `total` and `safe`
//! compare.

use std::collections::BTreeMap;

use decury_common::base::id::{GroupName, MemberId, MessageId, ViewId};
use decury_common::base::time::Instant;
use decury_common::order::OrderKind;

use crate::sim::history::{Record, Roster, Stay, What};
use crate::sim::host::HostId;

/// A delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) at: Instant,
    pub(super) id: MessageId,
    pub(super) position: Option<u64>,
    pub(super) uniform: Option<bool>,
}

impl Place {
    pub(super) fn is_marked(&self) -> bool {
        self.uniform == Some(false)
    }
}

/// What one member has delivered in one view.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pub(super) places: Vec<Place>,
    /// The view it went on to.
    pub(super) next: Option<ViewId>,
    /// How many of the messages a change of view has fixed, at most: those delivered with the install that ended this.
    fixed: usize,
}

impl Line {
    /// The view ended with an install at this instant.
    fn fix(&mut self, at: Instant) {
        self.fixed = self.places.iter().rev().take_while(|place| place.at == at).count();
    }

    /// What was delivered before the view ended.
    pub(super) fn live(&self) -> &[Place] {
        &self.places[..self.places.len() - self.fixed]
    }
}

/// One view, at all who were in it.
#[derive(Clone, Debug)]
pub(super) struct ViewLines {
    pub(super) id: ViewId,
    pub(super) order: OrderKind,
    pub(super) of: BTreeMap<MemberId, Line>,
}

impl ViewLines {
    /// Whether these two have gone on together, or are still in this view.
    pub(super) fn are_together(&self, roster: &Roster, a: MemberId, b: MemberId) -> bool {
        match (self.next(a), self.next(b)) {
            (Some(x), Some(y)) => x == y,
            (None, None) => self.has(roster, a) && self.has(roster, b),
            _ => false,
        }
    }

    fn next(&self, member: MemberId) -> Option<ViewId> {
        self.of.get(&member)?.next
    }

    /// Whether it is still in this view.
    pub(super) fn has(&self, roster: &Roster, member: MemberId) -> bool {
        let seat = roster.seat(member);
        seat.is_some_and(|seat| matches!(&seat.stay, Stay::In(info) if info.id == self.id))
    }
}

/// All views.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    current: BTreeMap<MemberId, (GroupName, ViewId)>,
    /// Those who have asked to leave, and where they run.
    leaving: BTreeMap<MemberId, HostId>,
    views: BTreeMap<(GroupName, ViewId), ViewLines>,
}

impl Lines {
    /// Takes a record in, if it is about a group of one of these orders. Gives the line that a delivery was added to,
    /// and the order of its group.
    pub(super) fn observe(&mut self, record: &Record, orders: &[OrderKind]) -> Option<(OrderKind, &Line)> {
        match &record.what {
            What::View { group, member, view, .. } if orders.contains(&view.order) => {
                let former = self.current.insert(*member, (*group, view.id));
                if let Some(line) = former.and_then(|at| self.line(at, *member)) {
                    line.next = Some(view.id);
                    line.fix(record.at);
                }
                let lines = self.views.entry((*group, view.id));
                let of = BTreeMap::new();
                let lines = lines.or_insert(ViewLines { id: view.id, order: view.order, of });
                lines.of.insert(*member, Line::default());
            }
            What::Delivered { member, delivery, .. } => {
                let at = *self.current.get(member)?;
                let order = self.views.get(&at)?.order;
                let line = self.line(at, *member)?;
                let (id, position, uniform) = (delivery.id, delivery.position, delivery.uniform);
                line.places.push(Place { at: record.at, id, position, uniform });
                return Some((order, line));
            }
            What::Leaving { member, .. } => _ = self.leaving.insert(*member, record.host),
            What::Left { member, .. } => self.end(*member, record.at),
            // A leaver may be killed between the last that came with its install and the word that it has left.
            What::Killed => {
                let died = self.leaving.iter().filter(|(_, host)| **host == record.host);
                let died: Vec<MemberId> = died.map(|(member, _)| *member).collect();
                died.into_iter().for_each(|member| self.end(member, record.at));
            }
            _ => {}
        }
        None
    }

    /// A leaver's install has no view to tell of: it came with the last that was delivered.
    fn end(&mut self, member: MemberId, at: Instant) {
        self.leaving.remove(&member);
        let former = self.current.remove(&member);
        if let Some(line) = former.and_then(|at| self.line(at, member)) {
            line.fix(line.places.last().map_or(at, |place| place.at));
        }
    }

    fn line(&mut self, at: (GroupName, ViewId), member: MemberId) -> Option<&mut Line> {
        self.views.get_mut(&at)?.of.get_mut(&member)
    }

    pub(super) fn views(&self) -> impl Iterator<Item = &ViewLines> {
        self.views.values()
    }
}
