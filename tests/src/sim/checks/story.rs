//! Histories written by hand, to see that each check bites.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use decury_common::base::id::{GroupName, Incarnation, MemberId, MessageId, UserName, ViewId};
use decury_common::base::limits::MEMBERS_MAX;
use decury_common::base::time::Instant;
use decury_common::endpoint::{Latency, VectorClock, ViewInfo};
use decury_common::order::{OrderKind, Placed};

use super::{Violation, views};
use crate::sim::history::{Delivery, History, Noticed, Stay, What};
use crate::sim::host::HostId;

/// How long a step takes.
const TICK: Duration = Duration::from_millis(1);

/// A history of group `g`, told step by step.
pub(super) struct Story {
    now: Instant,
    /// How long the next step takes.
    tick: Duration,
    order: OrderKind,
    /// Whether what is delivered is marked, if it is said at all.
    uniform: Option<bool>,
    /// What has fixed the places of what comes with an install.
    at_install: Placed,
    history: History,
    /// Who was told of whose silence, and not of the return; `None`: nobody is told anything.
    silent: Option<BTreeSet<(usize, usize)>>,
}

fn group() -> GroupName {
    "g".parse().unwrap()
}

fn name(host: usize) -> UserName {
    HostId(host).to_string().parse().unwrap()
}

pub(super) fn member(host: usize) -> MemberId {
    MemberId { incarnation: Incarnation(host as u64 + 1), join: 0 }
}

fn message(host: usize, count: u64) -> MessageId {
    MessageId { sender: member(host), count }
}

fn text(host: usize, count: u64) -> Bytes {
    Bytes::from(format!("{count} of {host}"))
}

fn view_id(number: u64) -> ViewId {
    ViewId { number, coordinator: member(0) }
}

pub(super) fn info(number: u64, hosts: &[usize]) -> ViewInfo {
    let members = hosts.iter().map(|host| (member(*host), name(*host))).collect();
    ViewInfo { id: view_id(number), order: OrderKind::Causal, members }
}

/// What somebody delivers in view `view`: message `count` of `from`, as it was sent.
pub(super) fn delivered(view: u64, from: usize, count: u64) -> Delivery {
    let (clock, payload) = (VectorClock::default(), text(from, count));
    Delivery {
        view: view_id(view),
        from: name(from),
        id: message(from, count),
        position: None,
        uniform: None,
        placed: None,
        clock,
        payload,
    }
}

impl Delivery {
    pub(super) fn into_what(self, host: usize) -> What {
        What::Delivered { group: group(), member: member(host), delivery: self }
    }
}

impl Story {
    pub(super) fn new(order: OrderKind) -> Story {
        let uniform = (order == OrderKind::Safe).then_some(true);
        Story {
            now: Instant::ZERO,
            tick: TICK,
            order,
            uniform,
            at_install: Placed::ByTheChange,
            history: History::default(),
            silent: Some(BTreeSet::new()),
        }
    }

    /// From now on nobody is told of anybody's silence, but as the story says.
    pub(super) fn keeps_quiet(&mut self) {
        self.silent = None;
    }

    /// A causal group in its first view.
    pub(super) fn with_view(number: u64, hosts: &[usize]) -> Story {
        let mut story = Story::new(OrderKind::Causal);
        story.view(number, hosts);
        story
    }

    pub(super) fn tell(&mut self, host: usize, what: What) {
        self.now += self.tick;
        self.history.record(self.now, HostId(host), what);
    }

    /// All of these install this view (and start and join first, if they are new).
    pub(super) fn view(&mut self, number: u64, hosts: &[usize]) {
        for host in hosts {
            if self.history.roster().seat(member(*host)).is_none() {
                let (incarnation, name) = (member(*host).incarnation, name(*host));
                self.tell(*host, What::Started { incarnation, name });
                self.tell(*host, What::Joining { group: group(), member: member(*host) });
            }
            self.installs(*host, number, hosts);
        }
    }

    fn installs(&mut self, host: usize, number: u64, hosts: &[usize]) {
        self.tell_of_silence(host, hosts);
        let view = ViewInfo { order: self.order, ..info(number, hosts) };
        let seat = self.history.roster().seat(member(host));
        let prior = seat.and_then(|seat| match &seat.stay {
            Stay::In(view) | Stay::Leaving(_, Some(view)) => Some(view),
            _ => None,
        });
        let change = prior.map(|prior| views::said(prior, &view));
        self.tell(host, What::View { group: group(), member: member(host), view, change });
    }

    /// Whoever is not in the next view of these is said to be silent, and whoever was and is in it, to be back.
    fn tell_of_silence(&mut self, host: usize, hosts: &[usize]) {
        let Some(silent) = self.silent.clone() else { return };
        let former = match self.history.roster().seat(member(host)).map(|seat| &seat.stay) {
            Some(Stay::In(view)) => view.members.clone(),
            _ => Vec::new(),
        };
        for other in (0..MEMBERS_MAX).filter(|other| *other != host) {
            let was_told = silent.contains(&(host, other));
            let notice = match hosts.contains(&other) {
                false if !was_told && former.iter().any(|(id, _)| *id == member(other)) => {
                    Noticed::Suspected(name(other))
                }
                true if was_told => Noticed::Back(name(other)),
                _ => continue,
            };
            match notice {
                Noticed::Back(_) => _ = self.silent.as_mut().map(|silent| silent.remove(&(host, other))),
                _ => _ = self.silent.as_mut().map(|silent| silent.insert((host, other))),
            }
            self.tell(host, What::Noticed { group: group(), member: member(host), notice });
        }
    }

    /// `host` alone installs the view of these hosts, and with it, at the same instant, delivers the first messages of
    /// these senders at the positions from `position` on.
    pub(super) fn view_with(&mut self, host: usize, view: (u64, &[usize]), senders: &[usize], position: u64) {
        self.tick = Duration::ZERO;
        for (sender, position) in senders.iter().zip(position..) {
            self.deliver_placed(host, (*sender, 1), position, self.at_install);
        }
        self.installs(host, view.0, view.1);
        self.tick = TICK;
    }

    pub(super) fn send(&mut self, host: usize, count: u64) {
        let (id, payload) = (message(host, count), text(host, count));
        self.tell(host, What::Sent { group: group(), id, payload });
    }

    /// `host` delivers message `count` of `from` in its current view.
    pub(super) fn deliver(&mut self, host: usize, from: usize, count: u64) {
        let number = match self.history.roster().seat(member(host)).map(|seat| &seat.stay) {
            Some(Stay::In(view)) => view.id.number,
            _ => 1,
        };
        self.tell(host, delivered(number, from, count).into_what(host));
    }

    /// The same at a position in the sequence.
    pub(super) fn deliver_at(&mut self, host: usize, from: usize, count: u64, position: u64) {
        self.deliver_placed(host, (from, count), position, Placed::BySender);
    }

    /// The same, and what has fixed the position.
    pub(super) fn deliver_placed(
        &mut self,
        host: usize,
        (from, count): (usize, u64),
        position: u64,
        placed: Placed,
    ) {
        let number = match self.history.roster().seat(member(host)).map(|seat| &seat.stay) {
            Some(Stay::In(view)) => view.id.number,
            _ => 1,
        };
        let (position, uniform) = (Some(position), self.uniform);
        let placed = Some(placed);
        let delivery = Delivery { position, uniform, placed, ..delivered(number, from, count) };
        self.tell(host, delivery.into_what(host));
    }

    /// From now on this fixes the places of what comes with an install.
    pub(super) fn placed_at_install(&mut self, placed: Placed) {
        self.at_install = placed;
    }

    /// What is delivered from now on is marked, or said not to be.
    pub(super) fn mark(&mut self, marked: bool) {
        self.uniform = Some(!marked);
    }

    /// `host` measures message `count` of `from`: how long it took, and the error, in milliseconds.
    pub(super) fn measure(&mut self, host: usize, from: usize, count: u64, (time, error): (u64, u64)) {
        let (time, clock_error) = (Duration::from_millis(time), Duration::from_millis(error));
        let latency = Latency { time, clock_error };
        self.tell(host, What::Measured { id: message(from, count), latency });
    }

    pub(super) fn expect_reach(&mut self, patience: Duration) {
        self.history.expect_reach(patience);
    }

    /// From now on something is wrong on these links between the first four hosts.
    pub(super) fn disturb(&mut self, wrong: impl Fn(usize, usize) -> bool) {
        let pairs = (0..4).flat_map(|from| (0..4).map(move |to| (from, to)));
        let wrong = pairs.filter(|&(from, to)| wrong(from, to)).map(|(from, to)| (HostId(from), HostId(to)));
        self.tell(0, What::Disturbed(wrong.collect()));
    }

    pub(super) fn stop(&mut self, host: usize, duration: Duration) {
        self.tell(host, What::Stopped(self.now + duration));
    }

    pub(super) fn suspects(&mut self, host: usize, peer: usize) {
        let notice = Noticed::Suspected(name(peer));
        self.tell(host, What::Noticed { group: group(), member: member(host), notice });
    }

    pub(super) fn kill(&mut self, host: usize) {
        self.tell(host, What::Killed);
    }

    pub(super) fn leave(&mut self, host: usize) {
        self.tell(host, What::Leaving { group: group(), member: member(host) });
    }

    pub(super) fn left(&mut self, host: usize) {
        self.tell(host, What::Left { group: group(), member: member(host), clean: true });
    }

    pub(super) fn wait(&mut self, duration: Duration) {
        self.now += duration;
    }

    pub(super) fn end(&mut self) {
        self.history.finish(self.now);
    }

    pub(super) fn broken(&self) -> Option<&Violation> {
        self.history.violation()
    }

    /// Nothing is wrong so far.
    pub(super) fn holds(&self) {
        assert_eq!(self.broken(), None);
    }

    /// This promise was the first to be broken.
    pub(super) fn breaks(&self, promise: &str) {
        assert_eq!(self.broken().map(|violation| violation.promise), Some(promise), "{:?}", self.broken());
    }
}
