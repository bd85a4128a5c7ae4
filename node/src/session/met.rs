//! Whom this node has met: kept for the next start, which looks for them where they were.
//!
//! A record is written when somebody comes into touch or is found elsewhere, and a few a second at most, however many
//! come and go.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use decury_common::base::id::UserName;
use decury_common::base::time::Instant;
use decury_common::machine::Wakeup;

use super::record::{MET_MAX, Met, Restored};
use super::{Record, Session};

/// Within so much time at most [`MET_MAX`] records are written.
const PERIOD: Duration = Duration::from_secs(1);

/// Who is in touch, as far as it is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Acquaintances {
    kept: BTreeMap<UserName, SocketAddr>,
    /// When the next period begins, and what is left to be written in this one.
    next: Instant,
    left: usize,
    /// Somebody is in touch and not kept yet.
    is_behind: bool,
}

impl Session {
    /// Looks for those whom a former session met; and keeps where this one is, for the next one to be there too.
    pub(super) fn look_for_those_met(&mut self, now: Instant, restored: &Restored) {
        for &Met { user, address } in &restored.met {
            log::debug!("{user} was at {address}");
            self.private.note_seen(user);
            self.endpoint.remember_peer(now, address);
        }
        if restored.port != Some(self.config.port) {
            self.keep(Record::Bound { port: self.config.port });
        }
    }

    /// Keeps who has come into touch, or is elsewhere.
    pub(super) fn keep_those_met(&mut self, now: Instant) {
        let met = self.endpoint.met();
        let acquaintances = &mut self.acquaintances;
        if acquaintances.next <= now {
            (acquaintances.next, acquaintances.left) = (now + PERIOD, MET_MAX);
        }
        acquaintances.kept.retain(|user, _| met.contains_key(user));
        let new = met.into_iter().filter(|(user, address)| acquaintances.kept.get(user) != Some(address));
        let mut new: Vec<(UserName, SocketAddr)> = new.collect();
        acquaintances.is_behind = new.len() > acquaintances.left;
        new.truncate(acquaintances.left);
        acquaintances.left -= new.len();
        acquaintances.kept.extend(new.iter().copied());
        for (user, address) in new {
            self.keep(Record::Met(Met { user, address }));
        }
    }

    pub(super) fn met_timeout(&self) -> Option<Wakeup> {
        let Acquaintances { next: at, is_behind, .. } = self.acquaintances;
        is_behind.then_some(Wakeup { at, reason: "who is in touch is to be kept" })
    }

    /// Fires what is due.
    pub(super) fn met_due(&mut self, now: Instant) {
        if self.met_timeout().is_some_and(|wakeup| wakeup.at <= now) {
            self.keep_those_met(now);
        }
    }
}
