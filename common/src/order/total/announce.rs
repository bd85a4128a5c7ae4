//! What goes out about priorities, and again until it has arrived.
//!
//! To the sender of messages: my proposals, until their decision is known. To everybody: the decisions of my own
//! messages, until each says it has them; and up to where I hold all decisions. All of it rides on what leaves anyway.
//! In `safe` deliveries wait for that last word: it leaves at once, though not twice in quick succession, and who misses
//! it asks.

use std::time::Duration;

use super::Total;
use super::safe::Question;
use super::stream::Stream;
use crate::base::id::Rank;
use crate::base::limits::AGREED_MAX;
use crate::base::list::List;
use crate::base::time::Instant;
use crate::machine::Wakeup;
use crate::wire::order::{Agreed, Decided, Decisions, Proposals};
use crate::wire::{Frame, Packer, Section};

/// How long the word about decisions held waits for something to ride on.
const DECIDED_DELAY: Duration = Duration::from_millis(4);
/// In `safe` it does not wait, unless it has left that short a time ago.
const DECIDED_PAUSE: Duration = Duration::from_millis(2);
/// Round trips are not measured yet.
const FIRST_TIMEOUT: Duration = Duration::from_millis(100);
/// The shortest and the longest wait before a repetition.
pub(super) const REPEAT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

#[derive(Clone, Debug)]
pub(super) struct Announcer {
    me: Rank,
    peers: Vec<Peer>,
}

#[derive(Clone, Debug)]
struct Peer {
    /// My decisions: all up to here were sent to it, and all up to there has it, as it says.
    decisions: Repeated,
    /// My proposals for its messages: the same.
    proposals: Repeated,
    /// After this long without an answer something is probably lost.
    timeout: Duration,
    /// It does not know yet what decisions I hold.
    decided: bool,
    /// When it shall know at the latest.
    decided_at: Option<Instant>,
    /// When it was told last.
    told_at: Option<Instant>,
    /// `safe`: what decisions it holds, it has not said in time.
    question: Question,
}

/// A stream of ranges that goes out once, and again from where it is confirmed.
#[derive(Clone, Copy, Debug, Default)]
struct Repeated {
    sent: u64,
    confirmed: u64,
    repeat_at: Option<Instant>,
    wait: Duration,
}

impl Repeated {
    fn confirm(&mut self, upto: u64) {
        if upto > self.confirmed {
            self.confirmed = upto;
            self.sent = self.sent.max(upto);
            self.wait = Duration::ZERO;
            self.repeat_at = self.repeat_at.filter(|_| self.sent > upto);
        }
    }

    /// From which number on to send now, towards `upto`; nothing to send if it lies beyond.
    fn next(&mut self, now: Instant) -> u64 {
        if self.repeat_at.is_some_and(|at| at <= now) {
            self.repeat_at = None;
            return self.confirmed + 1;
        }
        self.sent + 1
    }

    /// All up to `upto` has been written.
    fn written(&mut self, now: Instant, upto: u64, timeout: Duration) {
        self.sent = self.sent.max(upto);
        if self.repeat_at.is_none() && self.sent > self.confirmed {
            self.wait = (self.wait * 2).clamp(timeout.max(REPEAT.0), REPEAT.1.max(timeout));
            self.repeat_at = Some(now + self.wait);
        }
    }
}

impl Announcer {
    pub(super) fn new(me: Rank, members: usize) -> Announcer {
        let peer = Peer {
            decisions: Repeated::default(),
            proposals: Repeated::default(),
            timeout: FIRST_TIMEOUT,
            decided: false,
            decided_at: None,
            told_at: None,
            question: Question::default(),
        };
        Announcer { me, peers: vec![peer; members] }
    }

    pub(super) fn set_timeout(&mut self, rank: Rank, timeout: Duration) {
        if let Some(peer) = self.peers.get_mut(rank) {
            peer.timeout = timeout;
        }
    }

    /// There are decisions that the others do not know that I hold.
    pub(super) fn hold_decisions(&mut self) {
        self.peers.iter_mut().for_each(|peer| peer.decided = true);
    }

    /// That member has all my decisions up to there.
    pub(super) fn confirmed(&mut self, member: Rank, upto: u64) {
        if let Some(peer) = self.peers.get_mut(member) {
            peer.decisions.confirm(upto);
        }
    }

    /// That member has said up to where it holds decisions, and perhaps asks the same.
    pub(super) fn heard(&mut self, member: Rank, asks: bool) {
        if let Some(peer) = self.peers.get_mut(member) {
            peer.question.clear();
            peer.decided |= asks;
        }
    }

    /// Whether that member is to be asked now for a word that is waited for, if `waits`.
    pub(super) fn asks(&mut self, now: Instant, member: Rank, waits: bool) -> bool {
        let Some(peer) = self.peers.get_mut(member) else { return false };
        if !waits {
            peer.question.clear();
        }
        waits && peer.question.is_due(now, peer.timeout)
    }

    /// Up to which of my messages the decisions have left for every member.
    pub(super) fn announced(&self) -> u64 {
        let others = self.peers.iter().enumerate().filter(|&(rank, _)| rank != self.me);
        others.map(|(_, peer)| peer.decisions.sent).min().unwrap_or(u64::MAX)
    }

    fn poll_timeout(&self) -> Option<Wakeup> {
        let repeats = self.peers.iter().flat_map(|peer| [peer.decisions.repeat_at, peer.proposals.repeat_at]);
        let decided = self.peers.iter().flat_map(|peer| [peer.decided_at, peer.question.at()]);
        let at = repeats.chain(decided).flatten().min();
        at.map(|at| Wakeup { at, reason: "total: repeat, or tell what is decided" })
    }
}

impl Peer {
    fn write(
        &mut self,
        now: Instant,
        mine: &Stream,
        theirs: &Stream,
        section: Section,
        packer: &mut Packer,
    ) -> bool {
        let timeout = self.timeout;
        self.proposals.confirm(theirs.finals.upto());
        let first = self.decisions.next(now);
        let ranges = mine.finals.from(first).map(|run| run.to_wire());
        let decisions = |ranges| Frame::Decisions(Decisions { ranges });
        if !write_ranges(ranges, decisions, section, packer, |upto| {
            self.decisions.written(now, upto, timeout)
        }) {
            return true;
        }
        let first = self.proposals.next(now);
        let ranges = theirs.mine.from(first).map(|run| run.to_wire());
        let proposals = |ranges| Frame::Proposals(Proposals { ranges });
        !write_ranges(ranges, proposals, section, packer, |upto| self.proposals.written(now, upto, timeout))
    }
}

/// Writes ranges, a bounded number a frame; tells after each frame up to where. False when one did not fit.
fn write_ranges(
    mut ranges: impl Iterator<Item = Agreed>,
    frame: impl Fn(List<Agreed, AGREED_MAX>) -> Frame<'static>,
    section: Section,
    packer: &mut Packer,
    mut written: impl FnMut(u64),
) -> bool {
    loop {
        let some: List<Agreed, AGREED_MAX> = ranges.by_ref().take(AGREED_MAX).collect();
        let Some(last) = some.last().map(|range| range.first + u64::from(range.len) - 1) else { return true };
        if !packer.push_in(section, &frame(some)) {
            return false;
        }
        written(last);
    }
}

impl Total {
    /// Adds what is due for a member; true if more is due than fitted.
    pub(in crate::order) fn write(
        &mut self,
        now: Instant,
        to: Rank,
        section: Section,
        packer: &mut Packer,
    ) -> bool {
        if self.frozen || to == self.me {
            return false;
        }
        let (Some(mine), Some(theirs)) = (self.streams.get(self.me), self.streams.get(to)) else {
            return false;
        };
        let peer = &mut self.announcer.peers[to];
        if peer.write(now, mine, theirs, section, packer) {
            return true;
        }
        self.write_decided(now, to, section, packer)
    }

    /// Up to where I hold all decisions, if that member does not know; true if it did not fit.
    fn write_decided(&mut self, now: Instant, to: Rank, section: Section, packer: &mut Packer) -> bool {
        let ask = self.asks(now, to);
        let uniform = self.uniform;
        let peer = &mut self.announcer.peers[to];
        if !peer.decided && !ask {
            peer.decided_at = None;
            return false;
        }
        let at = peer.decided_at.get_or_insert_with(|| match uniform {
            true => peer.told_at.map_or(now, |told| now.max(told + DECIDED_PAUSE)),
            false => now + DECIDED_DELAY,
        });
        if packer.is_empty() && now < *at && !ask {
            return false;
        }
        let upto = self.streams.iter().map(|stream| stream.decided_by(self.me)).collect();
        if !packer.push_in(section, &Frame::Decided(Decided { upto, ask })) {
            return true;
        }
        if ask {
            peer.question.asked(now, peer.timeout);
        }
        (peer.decided, peer.decided_at, peer.told_at) = (false, None, Some(now));
        false
    }

    /// That member can't be reached yet: nothing is due for it.
    pub(in crate::order) fn discard(&mut self, to: Rank) {
        if let Some(peer) = self.announcer.peers.get_mut(to) {
            peer.decided_at = None;
            peer.question.clear();
            (peer.decisions.repeat_at, peer.proposals.repeat_at) = (None, None);
        }
    }

    /// What was said may have been lost together with a datagram: with a heartbeat it is said again.
    pub(in crate::order) fn heartbeat(&mut self, to: Rank) {
        if let Some(peer) = self.announcer.peers.get_mut(to) {
            peer.decided = true;
        }
    }

    pub(in crate::order) fn set_timeout(&mut self, rank: Rank, timeout: Duration) {
        self.announcer.set_timeout(rank, timeout);
    }

    pub(in crate::order) fn poll_timeout(&self) -> Option<Wakeup> {
        if self.frozen {
            return None;
        }
        self.announcer.poll_timeout()
    }
}
