//! One change of view under way: what a participant has promised and is ready for, what a coordinator has collected.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::id::{Incarnation, MemberId, ViewId};
use crate::base::time::Instant;
use crate::order::{OrderKind, OrderTable};
use crate::wire::membership::{Cut, Member, Prepare, Prior, PriorCut};

/// A participant between its Promise and the Install: frozen, if it is in a view.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// The highest attempt promised.
    pub(super) prepare: Prepare,
    /// Its cut, once it has come and names this member's view.
    pub(super) cut: Option<Cut>,
    /// Who is known to be ready for it.
    pub(super) readies: BTreeSet<MemberId>,
    /// What this member was last ready for in its current view: only this may be installed.
    pub(super) ready: Option<Readied>,
    /// When this member may try itself, if nothing moves until then.
    pub(super) deadline: Instant,
}

/// An attempt that this member holds everything for.
#[derive(Clone, Debug)]
pub(super) struct Readied {
    pub(super) prepare: Prepare,
    pub(super) cut: Cut,
    pub(super) readies: BTreeSet<MemberId>,
}

impl Readied {
    pub(super) fn is_complete(&self) -> bool {
        self.prepare.participants.iter().all(|member| self.readies.contains(&member.id))
    }
}

/// A coordinator's attempt.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) prepare: Prepare,
    /// Participants taken in from other views.
    pub(super) foreign: BTreeSet<MemberId>,
    pub(super) promises: BTreeMap<MemberId, Option<Prior>>,
    pub(super) is_cut: bool,
    /// How many fragments each participant still lacks of the cut, as it says; 0: ready.
    pub(super) lacks: BTreeMap<MemberId, u64>,
    /// When something last moved.
    pub(super) progress_at: Instant,
    /// One for whom it waits has said that it is not in the group any more.
    pub(super) gone: bool,
}

impl Attempt {
    pub(super) fn new(now: Instant, prepare: Prepare, foreign: BTreeSet<MemberId>) -> Attempt {
        Attempt {
            prepare,
            foreign,
            promises: BTreeMap::new(),
            is_cut: false,
            lacks: BTreeMap::new(),
            progress_at: now,
            gone: false,
        }
    }

    /// Those for whom it waits.
    pub(super) fn lacking(&self) -> impl Iterator<Item = &Member> {
        let done = |member: &&Member| match self.is_cut {
            false => self.promises.contains_key(&member.id),
            true => self.lacks.get(&member.id) == Some(&0),
        };
        self.prepare.participants.iter().filter(move |member| !done(member))
    }
}

/// The participant that runs on this node.
pub(super) fn participant(prepare: &Prepare, node: Incarnation) -> Option<&Member> {
    prepare.participants.iter().find(|member| member.id.incarnation == node)
}

/// The cut's part for a view.
pub(super) fn part(cut: &Cut, view: ViewId) -> Option<&PriorCut> {
    cut.priors.iter().find(|prior| prior.view == view)
}

/// Whether a cut's part for a view of so many members says of each of them where it ends, and what is decided.
pub(super) fn is_whole(part: &PriorCut, members: usize, order: OrderKind) -> bool {
    let is_decided = match &part.order {
        OrderTable::None => matches!(order, OrderKind::Fifo | OrderKind::Causal),
        OrderTable::Total(table) => table.of.len() >= members,
    };
    part.upto.len() >= members && is_decided
}

/// Whether a Prepare makes sense at all: its coordinator and its members take part, nobody twice, no name twice among them.
pub(super) fn is_sane(prepare: &Prepare) -> bool {
    let nodes: BTreeSet<_> = prepare.participants.iter().map(|m| m.id.incarnation).collect();
    let members: BTreeSet<_> = prepare.members.iter().collect();
    let of_members = || prepare.participants.iter().filter(|m| members.contains(&m.id));
    let names: BTreeSet<_> = of_members().map(|m| m.name).collect();
    nodes.contains(&prepare.attempt.coordinator.incarnation)
        && nodes.len() == prepare.participants.len()
        && members.len() == prepare.members.len()
        && of_members().count() == members.len()
        && names.len() == members.len()
        && !members.is_empty()
}
