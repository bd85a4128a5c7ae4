//! What each member has delivered in each view of a group with one sequence: what the checks of `total` and `safe`
//! compare.

use std::collections::{BTreeMap, BTreeSet};

use decury_common::base::id::{GroupName, MemberId, MessageId, UserName, ViewId};
use decury_common::endpoint::ViewInfo;
use decury_common::order::{OrderKind, Placed};

use crate::sim::history::{Noticed, Record, Roster, Stay, What};

/// A delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) id: MessageId,
    pub(super) position: Option<u64>,
    pub(super) uniform: Option<bool>,
    pub(super) placed: Option<Placed>,
}

impl Place {
    pub(super) fn is_marked(&self) -> bool {
        self.uniform == Some(false)
    }

    /// It was delivered while the view lasted.
    pub(super) fn is_live(&self) -> bool {
        self.placed == Some(Placed::BySender)
    }
}

/// What one member has delivered in one view.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pub(super) places: Vec<Place>,
    /// The view it came from.
    pub(super) former: Option<ViewId>,
    /// The view it went on to.
    pub(super) next: Option<ViewId>,
    /// Who left with that change and took part in it: it went without having been said to be silent.
    pub(super) leavers: BTreeSet<MemberId>,
}

impl Line {
    /// What was delivered before the view ended.
    pub(super) fn live(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().take_while(|place| place.is_live())
    }
}

/// One view, at all who were in it.
#[derive(Clone, Debug)]
pub(super) struct ViewLines {
    pub(super) group: GroupName,
    pub(super) id: ViewId,
    pub(super) order: OrderKind,
    pub(super) members: Vec<(MemberId, UserName)>,
    /// Of those who are known to have installed it.
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
    /// Whom each member was told to be silent, and not to be back.
    silent: BTreeMap<MemberId, BTreeSet<UserName>>,
    views: BTreeMap<(GroupName, ViewId), ViewLines>,
}

impl Lines {
    /// Takes a record in, if it is about a group of one of these orders. Gives the line that a delivery was added to,
    /// and the order of its group.
    pub(super) fn observe(&mut self, record: &Record, orders: &[OrderKind]) -> Option<(OrderKind, &Line)> {
        match &record.what {
            What::View { group, member, view, .. } if orders.contains(&view.order) => {
                let former = self.current.insert(*member, (*group, view.id));
                if let Some(at) = former {
                    self.go_on(at, *member, view);
                }
                let lines = self.views.entry((*group, view.id)).or_insert_with(|| ViewLines {
                    group: *group,
                    id: view.id,
                    order: view.order,
                    members: view.members.clone(),
                    of: BTreeMap::new(),
                });
                let former = former.map(|(_, view)| view);
                lines.of.insert(*member, Line { former, ..Line::default() });
            }
            What::Delivered { member, delivery, .. } => {
                let at = *self.current.get(member)?;
                let order = self.views.get(&at)?.order;
                let line = self.line(at, *member)?;
                let (id, position) = (delivery.id, delivery.position);
                let (uniform, placed) = (delivery.uniform, delivery.placed);
                line.places.push(Place { id, position, uniform, placed });
                return Some((order, line));
            }
            What::Noticed { member, notice: Noticed::Suspected(user), .. } => {
                self.silent.entry(*member).or_default().insert(*user);
            }
            What::Noticed { member, notice: Noticed::Back(user), .. } => {
                self.silent.entry(*member).or_default().remove(user);
            }
            What::Left { member, .. } => _ = self.current.remove(member),
            _ => {}
        }
        None
    }

    /// A member goes on to its next view.
    fn go_on(&mut self, at: (GroupName, ViewId), member: MemberId, next: &ViewInfo) {
        let Some(view) = self.views.get_mut(&at) else { return };
        let Some(line) = view.of.get_mut(&member) else { return };
        let silent = self.silent.get(&member);
        let stays = |user: UserName| next.members.iter().any(|&(_, name)| name == user);
        let is_silent = |user: &UserName| silent.is_some_and(|silent| silent.contains(user));
        let gone = view.members.iter().filter(|&&(_, user)| !stays(user) && !is_silent(&user));
        (line.next, line.leavers) = (Some(next.id), gone.map(|&(gone, _)| gone).collect());
    }

    fn line(&mut self, at: (GroupName, ViewId), member: MemberId) -> Option<&mut Line> {
        self.views.get_mut(&at)?.of.get_mut(&member)
    }

    /// In the order of their ids, group by group.
    pub(super) fn views(&self) -> impl Iterator<Item = &ViewLines> {
        self.views.values()
    }
}
