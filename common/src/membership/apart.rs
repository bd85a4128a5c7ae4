//! A full view of the group that is not mine: mine stays a view of its own, and that is told.

use std::time::Duration;

use super::{Context, Membership, Outcome, View};
use crate::base::id::ViewId;
use crate::base::limits::MEMBERS_MAX;
use crate::base::time::Instant;

/// A full view in sight for so long is told. (A view that falls apart is seen before that to be no longer full.)
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// What is known of a full view besides mine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Apart {
    /// The last full view that I was in: who is still in it has only not found out yet that it is over.
    former: Option<ViewId>,
    /// Since when one is in sight.
    since: Option<Instant>,
    /// Told since my view began.
    told: bool,
}

impl Apart {
    /// As a new view begins.
    pub(super) fn begin(&mut self, former: Option<&View>) {
        let full = former.filter(|view| view.members.len() >= MEMBERS_MAX);
        *self = Apart { former: full.map(|view| view.id).or(self.former), told: false, ..*self };
    }
}

impl Membership {
    /// Whether the group is full, though my view is not: nobody else is taken in beside ten.
    pub(super) fn is_beside_full(&self, now: Instant) -> bool {
        self.apart.since.is_some_and(|since| now.since(since) >= TOLD_AFTER)
    }

    /// Says once in each of my views that it does not merge with a full one. (No view is taken into a full one, and none
    /// is full that would be taken into mine: see `compose`.)
    pub(super) fn tell_apart(&mut self, cx: &Context<'_>, view: &View) {
        if self.leaving {
            return;
        }
        let is_over = |view: ViewId| self.apart.former == Some(view);
        if !self.roster.sees_full(cx.now, cx.mesh, view, is_over) {
            self.apart.since = None;
            return;
        }
        let tell_at = *self.apart.since.get_or_insert(cx.now) + TOLD_AFTER;
        if cx.now < tell_at {
            self.check_by(tell_at, "membership: a full view stays in sight");
        } else if !self.apart.told {
            self.apart.told = true;
            self.outcomes.push(Outcome::MergeRefused);
        }
    }
}
