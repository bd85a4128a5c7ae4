//! What is lacking here, and whom to ask for it.
//!
//! While the view lives, a sender repairs by itself what the vectors show; only where it has not done so for a while, or
//! is suspected, one of those known to hold the fragments is asked, another one each time ([`Watch`]). A change of view
//! asks the holders that its cut names ([`Fetch`]). Both ask on a timer only, never because an answer came: however
//! partial or doubled the answers are, what is asked for grows with time alone.

use std::time::Duration;

use super::ranges::Ranges;
use super::receive_window::ReceiveWindow;
use super::vectors::Vectors;
use crate::base::id::Rank;
use crate::base::limits::REQUEST_FRAGMENTS_MAX;
use crate::base::time::Instant;
use crate::wire::membership::Holder;
use crate::wire::multicast::{Request, Wanted};

/// The least time between two requests.
const INTERVAL_MIN: Duration = Duration::from_millis(20);
/// Asking without any progress slows down to this.
const INTERVAL_MAX: Duration = Duration::from_millis(500);
/// Gaps that are looked at for one request.
const GAPS_MAX: usize = 64;

/// The time until the next request, after `idle` of them without progress.
fn interval(timeout: Duration, idle: u32) -> Duration {
    (timeout.max(INTERVAL_MIN) * (1 << idle.min(6))).min(INTERVAL_MAX.max(timeout))
}

/// A request in the making, bounded in ranges and fragments.
#[derive(Debug)]
struct Asking {
    request: Request,
    room: u64,
}

impl Asking {
    fn new() -> Asking {
        Asking { request: Request::default(), room: REQUEST_FRAGMENTS_MAX as u64 }
    }

    fn add(&mut self, sender: Rank, first: u64, last: u64) {
        let last = last.min(first.saturating_add(self.room).saturating_sub(1));
        if self.room > 0 && first <= last {
            let wanted = Wanted { sender: sender as u8, first, last };
            if self.request.ranges.try_push(wanted).is_ok() {
                self.room -= last - first + 1;
            }
        }
    }

    fn finish(self) -> Option<Request> {
        (!self.request.ranges.is_empty()).then_some(self.request)
    }
}

/// Whether one sender's stream is stuck here although others hold more of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    /// When to ask; `None` while nothing is lacking that others are known to hold.
    at: Option<Instant>,
    /// Where the stream stood when this was set.
    stuck: u64,
    /// Who is asked next.
    turn: usize,
    /// Requests in a row without progress.
    idle: u32,
}

impl Watch {
    /// Something came: the stream is held up to `contiguous`, and others claim to hold up to `claimed`.
    pub(super) fn update(&mut self, now: Instant, contiguous: u64, claimed: u64, sender: SenderState) {
        if claimed <= contiguous {
            self.at = None;
        } else if self.at.is_none() {
            self.at = Some(if sender.suspected { now } else { now + sender.timeout * 2 });
        } else if self.stuck != contiguous && !sender.suspected {
            self.at = Some(now + sender.timeout * 2);
        }
        if self.stuck != contiguous {
            self.idle = 0;
        }
        self.stuck = contiguous;
    }

    /// The sender is suspected: it will not repair, wait no longer.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.at = self.at.map(|at| at.min(now));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.at
    }

    /// If it is time, whom to ask, and for what. `usable` says who may be asked, `timeout` how long an answer may take.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        sender: Rank,
        window: &ReceiveWindow,
        vectors: &Vectors,
        usable: &[Rank],
        timeout: Duration,
    ) -> Option<(Rank, Request)> {
        self.at.filter(|&at| at <= now)?;
        self.at = Some(now + interval(timeout, self.idle));
        self.idle += 1;
        let gaps: Vec<(u64, u64)> = window.missing(1, vectors.claimed(sender)).take(GAPS_MAX).collect();
        self.turn += 1;
        let turn = self.turn;
        let holders = (0..usable.len()).map(|offset| usable[(turn + offset) % usable.len()]);
        holders.filter(|&holder| holder != sender).find_map(|holder| {
            let mut asking = Asking::new();
            for &gap in &gaps {
                vectors.held(holder, sender, gap).for_each(|(first, last)| asking.add(sender, first, last));
            }
            Some((holder, asking.finish()?))
        })
    }
}

/// What a [`Watch`] needs to know of its sender.
#[derive(Clone, Copy, Debug)]
pub(super) struct SenderState {
    pub(super) suspected: bool,
    /// How long the sender itself may take to notice a loss.
    pub(super) timeout: Duration,
}

/// One holder of a cut, by sender.
#[derive(Clone, Debug)]
struct Source {
    rank: Rank,
    holdings: Vec<Ranges>,
}

/// The fetching of a cut.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    upto: Vec<u64>,
    sources: Vec<Source>,
    at: Option<Instant>,
    round: usize,
    /// Fragments that were lacking a round ago.
    lacking: u64,
    /// Rounds in a row without progress.
    idle: u32,
}

impl Fetch {
    pub(super) fn new(now: Instant, me: Rank, members: usize, upto: &[u64], holders: &[Holder]) -> Fetch {
        let others = holders.iter().filter(|holder| {
            let rank = usize::from(holder.rank);
            rank < members && rank != me
        });
        let sources = others.map(|holder| Source {
            rank: usize::from(holder.rank),
            holdings: holder.holdings.iter().map(Ranges::of_holding).collect(),
        });
        Fetch {
            upto: upto.iter().copied().take(members).collect(),
            sources: sources.collect(),
            at: Some(now),
            round: 0,
            lacking: 0,
            idle: 0,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.at
    }

    /// If it is time, whom to ask for what; one holder for each sender, another one each round.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        windows: &[ReceiveWindow],
        timeout: impl Fn(Rank) -> Duration,
    ) -> Vec<(Rank, Request)> {
        if self.at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let mut asked: Vec<Asking> = self.sources.iter().map(|_| Asking::new()).collect();
        let mut lacking = 0;
        for (sender, (window, &upto)) in windows.iter().zip(&self.upto).enumerate() {
            let gaps: Vec<(u64, u64)> = window.missing(1, upto).collect();
            lacking += gaps.iter().map(|(first, last)| last - first + 1).sum::<u64>();
            self.ask(sender, &gaps, &mut asked);
        }
        self.round += 1;
        self.idle = if lacking < self.lacking { 0 } else { self.idle + 1 };
        self.lacking = lacking;
        let asked = asked
            .into_iter()
            .zip(&self.sources)
            .filter_map(|(asking, source)| Some((source.rank, asking.finish()?)));
        let requests: Vec<(Rank, Request)> = asked.collect();
        let slowest = requests.iter().map(|&(rank, _)| timeout(rank)).max().unwrap_or_default();
        self.at = (lacking > 0).then(|| now + interval(slowest, self.idle.saturating_sub(1)));
        requests
    }

    fn ask(&self, sender: Rank, gaps: &[(u64, u64)], asked: &mut [Asking]) {
        let sources = self.sources.len();
        for offset in 0..sources {
            let place = (self.round + sender + offset) % sources;
            let Some(held) = self.sources[place].holdings.get(sender) else { continue };
            let mut parts = gaps.iter().flat_map(|&(first, last)| held.within(first, last)).peekable();
            if parts.peek().is_some() {
                parts.for_each(|(first, last)| asked[place].add(sender, first, last));
                return;
            }
        }
    }
}
