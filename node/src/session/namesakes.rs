//! Two people of one name: their sides of a group cannot merge, and everybody there should know why.

use std::collections::BTreeMap;
use std::time::Duration;

use decury_common::base::id::{GroupName, UserName};
use decury_common::base::time::Instant;
use decury_common::machine::Wakeup;

use super::{Notice, Session};

/// After the suspicion time and so much more, one of two is not the former self of the other.
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// Those who have the name of a member, and when that is told: not any more if it has been.
#[derive(Clone, Debug, Default)]
pub(super) struct Namesakes(BTreeMap<(GroupName, UserName), Option<Instant>>);

impl Session {
    /// Looks at who is there anew.
    pub(super) fn look_for_namesakes(&mut self, now: Instant) {
        let found = self.endpoint.namesakes();
        self.namesakes.0.retain(|namesake, _| found.contains(namesake));
        let told_at = now + self.config.suspect_after + TOLD_AFTER;
        for namesake in found {
            self.namesakes.0.entry(namesake).or_insert(Some(told_at));
        }
    }

    pub(super) fn namesakes_timeout(&self) -> Option<Wakeup> {
        let at = self.namesakes.0.values().flatten().min()?;
        Some(Wakeup { at: *at, reason: "two people of one name" })
    }

    /// Fires what is due.
    pub(super) fn namesakes_due(&mut self, now: Instant) {
        if self.namesakes_timeout().is_none_or(|wakeup| wakeup.at > now) {
            return;
        }
        self.look_for_namesakes(now);
        let mut told = Vec::new();
        for (&(group, user), told_at) in &mut self.namesakes.0 {
            if told_at.take_if(|at| *at <= now).is_some() {
                told.push(Notice::Namesake { group, user });
            }
        }
        told.into_iter().for_each(|notice| self.notice(None, notice));
    }
}
