//! The end of a stay: a leaver takes part in the change that takes it out, so that nothing it said is lost.

use std::time::Duration;

use super::live::Live;
use super::{Event, Group, SendError};
use crate::base::time::Instant;
use crate::machine::Wakeup;
use crate::mesh::Mesh;
use crate::wire::membership::PriorCut;

/// A leaver goes anyway after this long.
const LEAVE_LIMIT: Duration = Duration::from_secs(3);
/// One who has left stays this long for those who have not heard of the new view yet.
const LINGER_LIMIT: Duration = Duration::from_millis(500);

/// Where this node stands in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Member,
    /// Leaving since then; whether the others have been told.
    Leaving(Instant, bool),
    /// Out of the view since then; lingering for laggards.
    Out(Instant),
    Over,
}

impl Stage {
    /// When its time is up.
    pub(super) fn deadline(self) -> Option<Wakeup> {
        let at = match self {
            Stage::Leaving(since, _) => since + LEAVE_LIMIT,
            Stage::Out(since) => since + LINGER_LIMIT,
            Stage::Member | Stage::Over => return None,
        };
        Some(Wakeup { at, reason: "group: leave" })
    }
}

impl Group {
    /// Leaves, once what is queued has been sent.
    pub fn leave(&mut self, now: Instant) -> Result<(), SendError> {
        if self.stage != Stage::Member {
            return Err(SendError::NotAMember);
        }
        self.stage = Stage::Leaving(now, false);
        Ok(())
    }

    /// Goes on leaving.
    pub(super) fn advance_leave(&mut self, now: Instant, mesh: &Mesh) {
        match self.stage {
            Stage::Leaving(since, asked) => {
                let alone = self.membership.view().is_none_or(|view| view.members.len() == 1);
                if alone && self.outbox.is_empty() {
                    self.end(true);
                } else if now.since(since) >= LEAVE_LIMIT {
                    self.end(false);
                } else if !asked && self.outbox.is_empty() {
                    self.stage = Stage::Leaving(since, true);
                    self.membership.leave();
                    self.with_membership(now, mesh, |membership, cx| membership.advance(cx));
                }
            }
            Stage::Out(since) => {
                if self.membership.is_installed_everywhere() || now.since(since) >= LINGER_LIMIT {
                    self.end(true);
                }
            }
            Stage::Member | Stage::Over => {}
        }
    }

    /// Nobody is left to leave behind: the stay ends as the change would that takes this node out.
    pub(super) fn end_alone(&mut self, now: Instant, cut: &PriorCut) {
        let heard = self.live.as_ref().is_none_or(|live| live.multicast.is_all_stable());
        if let Some(live) = &mut self.live {
            live.finish(now, self.name, cut, &mut self.deliveries);
        }
        self.end(heard);
    }

    /// The stay is over. What could have been delivered had there been room is delivered before that is said.
    pub(super) fn end(&mut self, clean: bool) {
        if let Some(live) = self.live.as_mut().filter(|live| !live.multicast.is_frozen()) {
            live.deliver(self.now, self.name, usize::MAX, &mut self.deliveries);
        }
        self.deliveries.end(self.now, self.live.take().iter().flat_map(Live::known));
        self.stage = Stage::Over;
        self.deliveries.push(self.now, Event::Left { group: self.name, clean });
    }
}
