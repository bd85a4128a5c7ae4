//! A session's life: it starts, runs, does what was still asked for, leaves its groups, ends.

use std::net::SocketAddr;
use std::time::Duration;

use decury_common::base::id::GroupName;
use decury_common::base::time::Instant;
use decury_common::machine::Wakeup;

use super::place::{Leave, Place};
use super::{ErrorCode, Event, Notice, Session};

/// How long an end may take, whoever is dead; the rest of the five seconds promised belongs to the driver.
const END_WITHIN: Duration = Duration::from_millis(3_800);
/// How much of it belongs to what was asked for before.
const SETTLE_WITHIN: Duration = Duration::from_millis(2_000);

/// Where a session stands.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// Signing in. Input is not taken yet.
    Starting {
        /// Then it goes on without a tracker.
        until: Instant,
    },
    /// Input is taken.
    Running,
    /// No more input is taken; what it asked for is done first.
    Settling {
        /// Then it is left undone.
        until: Instant,
        /// Then the session ends.
        end: Instant,
    },
    /// Groups are left.
    Leaving {
        /// Then the session ends.
        end: Instant,
    },
    /// There is nothing more to come but the events that wait.
    Ended(Ending),
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was asked to.
    Asked,
    /// The tracker did not take it in; in words.
    Refused(String),
}

impl Phase {
    /// Whether nothing new is begun any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Phase::Leaving { .. } | Phase::Ended(_))
    }
}

impl Session {
    /// There will be no more input: does what was asked for, leaves all groups, and ends within five seconds.
    pub fn finish(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Starting { .. } | Phase::Running) {
            self.phase = Phase::Settling { until: now + SETTLE_WITHIN, end: now + END_WITHIN };
            self.phase_due(now);
        }
    }

    /// Leaves all groups at once, and ends within five seconds.
    pub fn quit(&mut self, now: Instant) {
        match self.phase {
            Phase::Starting { .. } | Phase::Running => self.leave_all(now, now + END_WITHIN),
            Phase::Settling { end, .. } => self.leave_all(now, end),
            Phase::Leaving { .. } | Phase::Ended(_) => {}
        }
    }

    /// Why the session has ended; `None` while it goes on. The last events may still wait to be taken.
    pub fn ended(&self) -> Option<&Ending> {
        match &self.phase {
            Phase::Ended(ending) => Some(ending),
            _ => None,
        }
    }

    pub(super) fn phase_timeout(&self) -> Option<Wakeup> {
        let (at, reason) = match self.phase {
            Phase::Starting { until } => (until, "sign-in"),
            Phase::Settling { until, .. } => (until, "settle"),
            Phase::Leaving { end } => (end, "leave"),
            Phase::Running | Phase::Ended(_) => return None,
        };
        Some(Wakeup { at, reason })
    }

    /// Goes on to the next phase if it is time, or if there is nothing to wait for.
    pub(super) fn phase_due(&mut self, now: Instant) {
        match self.phase {
            Phase::Starting { until } if until <= now => self.start(None),
            Phase::Settling { until, end } if until <= now || self.is_settled() => self.leave_all(now, end),
            Phase::Leaving { end } if end <= now || self.has_left() => self.end(now, Ending::Asked),
            _ => {}
        }
    }

    /// Input is taken from now on.
    pub(super) fn start(&mut self, tracker: Option<SocketAddr>) {
        let (user, identity) = (self.config.name, self.identity);
        let udp = self.config.addresses.first().copied();
        let udp = udp.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        self.phase = Phase::Running;
        let early = std::mem::take(&mut self.events);
        self.tell(Event::Ready { user, udp, tracker, identity });
        if !self.lab.rules().is_empty() {
            self.tell(Event::Faults { re: None, rules: self.lab.rules().to_vec() });
        }
        for (user, count) in self.private.waiting() {
            self.notice(None, Notice::Outbox { user, count });
        }
        self.events.extend(early);
    }

    fn is_settled(&self) -> bool {
        let joining = self.places.values().any(Place::is_joining);
        let written = self.private.is_idle() && !self.endpoint.has_unconfirmed();
        self.waiting.is_none()
            && self.listings.is_empty()
            && self.peers.is_idle()
            && !self.keeping.is_asked()
            && !joining
            && written
    }

    /// Whether nobody is owed anything any more: groups take what was sent there before they are left, and people
    /// have what was sent to them.
    fn has_left(&self) -> bool {
        self.places.is_empty() && !self.endpoint.has_unconfirmed() && self.keeping.is_accepted()
    }

    /// Begins to leave. Every line that is still unanswered gets its answer.
    fn leave_all(&mut self, now: Instant, end: Instant) {
        self.phase = Phase::Leaving { end };
        if let Some(line) = self.waiting.take() {
            self.abandoned(line.re());
        }
        self.give_letters_up();
        self.give_recalls_up();
        let listings = std::mem::take(&mut self.listings).into_values();
        for re in listings.chain(self.peers.give_up()) {
            self.unheard(re);
        }
        let groups: Vec<GroupName> = self.places.keys().copied().collect();
        for group in groups {
            self.leave_at_end(now, group);
        }
        self.phase_due(now);
    }

    fn leave_at_end(&mut self, now: Instant, group: GroupName) {
        match self.places.get(&group) {
            Some(&(Place::Asking(wish) | Place::Waiting(wish))) => {
                self.places.remove(&group);
                self.unheard(wish.re);
            }
            Some(&Place::Joining { wish, .. }) => {
                self.abandoned(wish.re);
                self.leave(now, group, Leave::GivenUp);
            }
            Some(Place::Member { .. }) => self.leave(now, group, Leave::Wished { re: None }),
            Some(&Place::Leaving(Leave::Retry(wish))) => {
                self.abandoned(wish.re);
                self.places.insert(group, Place::Leaving(Leave::GivenUp));
            }
            Some(Place::Leaving(_)) | None => {}
        }
    }

    pub(super) fn abandoned(&mut self, re: Option<u64>) {
        self.error(re, ErrorCode::Abandoned, "not done: the end came first".to_owned());
    }

    pub(super) fn unheard(&mut self, re: Option<u64>) {
        let text = "no tracker has answered, and the end came first";
        self.error(re, ErrorCode::TrackerUnavailable, text.to_owned());
    }

    /// Says the last word.
    pub(super) fn end(&mut self, now: Instant, ending: Ending) {
        self.end_conversations(now);
        let figures = Box::new(self.ledger.figures(now, &self.endpoint));
        self.tracker.report_run(now, (*figures).clone());
        self.tracker.sign_out(now);
        self.tell(Event::Bye { figures });
        self.phase = Phase::Ended(ending);
    }
}
