//! ISIS, in ranges: one sequence at all members, in agreement with causal order.
//!
//! On receiving a message every member proposes a priority above all it has proposed or seen final; the sender takes
//! the largest and announces it; each member's queue is ordered by priority, a message whose priority is not final
//! counting with what the member itself proposed, and its head is delivered when final. A later message can only be
//! given a priority above every final that its receivers have seen, so nothing overtakes. (Birman and Joseph 1987; in
//! the form of Birman, Schiper and Stephenson 1991 over FIFO senders, which makes the sequence agree with causality.)
//!
//! A priority is (counter, proposer's rank, sender's rank, number). Proposals and decisions cover ranges and ride on
//! other datagrams; a sender never waits for one decision before it sends the next. Files: `runs` (ranges), `stream`
//! (what is known of one sender), `announce` (what goes out, and again), `change` (report, decide, adopt), `safe` (what
//! the order `safe` adds).

mod announce;
mod change;
mod runs;
mod safe;
mod stream;
#[cfg(test)]
mod tests;

pub(super) use change::decide;

use super::clock::{self, Clock};
use super::{Awaited, HeldMessage, Ordered, Placed};
use crate::base::id::Rank;
use crate::base::limits::WINDOW_SLOTS;
use crate::multicast::Arrived;
use crate::wire::multicast::Deps;
use crate::wire::order::{Agreed, Decided, Decisions, Proposals};
use announce::Announcer;
use runs::{Run, Runs, Stamp};
use stream::{Pending, Stream};

/// Counters beyond this come from no correct member: they are ignored, so that nothing overflows.
const COUNTER_MAX: u64 = 1 << 62;

/// A message's place in the sequence.
type Priority = (Stamp, Rank, u64);

#[derive(Clone, Debug)]
pub(super) struct Total {
    me: Rank,
    /// The order is `safe`: nothing is delivered before every member is known to hold it and its final place.
    uniform: bool,
    /// How many messages of the group's sequence are delivered.
    position: u64,
    /// The largest counter proposed, received or seen final.
    clock: u64,
    /// Whose messages I gave that counter last, if nothing else has come with it since: then their next ones may have
    /// it too.
    fresh: Option<Rank>,
    streams: Vec<Stream>,
    /// What each member has proposed for my messages, by rank.
    proposed: Vec<Runs>,
    announcer: Announcer,
    /// How many messages of whom are delivered here.
    delivered: Clock,
    /// The same when I sent last.
    stamped: Clock,
    /// How many messages I have sent.
    sent: u64,
    /// Whose messages are the next to be delivered, and up to which one: they share a final place.
    next: Option<(Rank, u64)>,
    /// A change of view is promised.
    frozen: bool,
    /// The decisions of the cut that I was last ready for, by sender.
    adopted: Option<Vec<Runs>>,
    /// What somebody knew as final when that cut was made, by sender.
    decided: Vec<Vec<Run>>,
    /// The view ends: what is adopted is final.
    finished: bool,
    refused: u64,
}

impl Total {
    pub(super) fn new(uniform: bool, me: Rank, members: usize, position: u64) -> Total {
        let zero = clock::zero(members);
        Total {
            me,
            uniform,
            position,
            clock: 0,
            fresh: None,
            streams: (0..members).map(|_| Stream::new(members)).collect(),
            proposed: vec![Runs::default(); members],
            announcer: Announcer::new(me, members),
            delivered: zero.clone(),
            stamped: zero,
            sent: 0,
            next: None,
            frozen: false,
            adopted: None,
            decided: Vec::new(),
            finished: false,
            refused: 0,
        }
    }

    /// Whether the next message may be sent: of mine, not too many are still without a place known to all.
    pub(super) fn can_send(&self) -> bool {
        self.sent - self.streams[self.me].known_to_all() < WINDOW_SLOTS as u64
    }

    /// The dependencies of my next message, and the counter that I propose for it.
    pub(super) fn stamp(&mut self) -> (Deps, u64) {
        let deps = clock::changes(self.me, &self.stamped, &self.delivered);
        self.stamped = self.delivered.clone();
        self.sent += 1;
        let counter = self.counter_for(self.me, 0);
        self.streams[self.me].mine.extend(self.sent, (counter, self.me));
        (deps, counter)
    }

    /// A counter above all I have proposed, received or seen final, and above `above`.
    fn counter_for(&mut self, sender: Rank, above: u64) -> u64 {
        if self.fresh != Some(sender) || self.clock <= above {
            self.clock = self.clock.max(above) + 1;
            self.fresh = Some(sender);
        }
        self.clock
    }

    /// A counter has been seen.
    fn see(&mut self, counter: u64) {
        if counter >= self.clock {
            self.clock = counter;
            self.fresh = None;
        }
    }

    pub(super) fn accept(&mut self, arrived: Arrived) {
        let Arrived { sender, index, head, payload } = arrived;
        let proposal = head.proposal.min(COUNTER_MAX);
        let Some(stream) = self.streams.get_mut(sender) else { return };
        self.refused += clock::apply(sender, &mut stream.clock, &head.deps);
        stream.clock[sender] = index;
        let clock = stream.clock.clone();
        let (count, sent_at) = (head.count, head.sent_at);
        stream.accept(Pending { index, count, payload, sent_at, clock, proposal });
        if sender == self.me {
            self.decide_mine();
        } else if self.frozen {
            self.see(proposal);
        } else {
            let counter = self.counter_for(sender, proposal);
            self.streams[sender].mine.extend(index, (counter, self.me));
        }
    }

    pub(super) fn handle_proposals(&mut self, from: Rank, proposals: &Proposals) {
        let sent = self.sent;
        if self.frozen || from == self.me {
            return;
        }
        for range in &proposals.ranges {
            if range.counter > COUNTER_MAX {
                self.refused += 1;
                continue;
            }
            self.see(range.counter);
            let range = Agreed { rank: from as u8, ..*range };
            if let Some(runs) = self.proposed.get_mut(from) {
                runs.take(&range, sent);
            }
        }
        self.decide_mine();
    }

    /// Decides, in the order of sending, every message of mine that all members have proposed for.
    fn decide_mine(&mut self) {
        if self.frozen {
            return;
        }
        let stream = &self.streams[self.me];
        let all = self.proposed.iter().enumerate().filter(|&(rank, _)| rank != self.me).map(|(_, runs)| runs);
        let all: Vec<&Runs> = all.chain([&stream.mine]).collect();
        let upto = all.iter().map(|runs| runs.upto()).min().unwrap_or(0).min(stream.accepted());
        let mut decided = Vec::new();
        let mut next = stream.finals.upto() + 1;
        while next <= upto {
            let here: Vec<_> = all.iter().filter_map(|runs| runs.run(next)).collect();
            let last = here.iter().map(|run| run.last).min().unwrap_or(next).min(upto);
            let stamp = here.iter().map(|run| run.stamp).max().unwrap_or_default();
            decided.push((last, stamp));
            next = last + 1;
        }
        if decided.is_empty() {
            return;
        }
        for (last, stamp) in decided {
            self.streams[self.me].finals.extend(last, stamp);
            self.see(stamp.0);
        }
        let upto = self.streams[self.me].finals.upto();
        self.streams[self.me].hears_decided(self.me, upto);
        self.proposed.iter_mut().for_each(|runs| runs.forget(upto));
        self.announcer.hold_decisions();
    }

    pub(super) fn handle_decisions(&mut self, from: Rank, decisions: &Decisions) {
        let members = self.streams.len();
        let Some(stream) = self.streams.get_mut(from).filter(|_| from != self.me) else { return };
        let mut seen = 0;
        for range in &decisions.ranges {
            if range.counter > COUNTER_MAX || usize::from(range.rank) >= members {
                self.refused += 1;
                continue;
            }
            let accepted = stream.accepted();
            stream.finals.take(range, accepted);
            seen = seen.max(range.counter);
        }
        let upto = stream.finals.upto();
        stream.hears_decided(self.me, upto);
        self.see(seen);
        self.announcer.hold_decisions();
    }

    pub(super) fn handle_decided(&mut self, from: Rank, decided: &Decided) {
        if from == self.me {
            return;
        }
        for (rank, &upto) in decided.upto.iter().enumerate().take(self.streams.len()) {
            self.streams[rank].hears_decided(from, upto);
        }
        let mine = decided.upto.get(self.me).copied().unwrap_or(0);
        self.announcer.confirmed(from, mine.min(self.sent));
        self.announcer.heard(from, decided.ask);
    }

    pub(super) fn poll_deliver(&mut self) -> Option<Ordered> {
        if self.frozen && !self.finished {
            return None;
        }
        let rank = self.next_sender()?;
        let uniform = self.uniform.then(|| !self.is_marked(rank));
        let placed = self.streams[rank].front().map(|pending| self.placed(rank, pending.index));
        let Pending { index, count, payload, sent_at, clock, .. } = self.streams[rank].deliver()?;
        self.delivered[rank] = index;
        self.position += 1;
        let position = Some(self.position);
        Some(Ordered { sender: rank, index, count, payload, clock, position, uniform, placed, sent_at })
    }

    /// What has fixed the place of a message that is delivered now.
    fn placed(&self, sender: Rank, index: u64) -> Placed {
        let is_decided =
            || self.decided.get(sender).is_some_and(|finals| change::find(finals, index).is_some());
        match self.finished {
            false => Placed::BySender,
            true if is_decided() => Placed::AtTheEnd,
            true => Placed::ByTheChange,
        }
    }

    /// Whose message is to be delivered next. Those behind it that share its final place follow at once: everything
    /// else in the queue, now or later, is above them.
    fn next_sender(&mut self) -> Option<Rank> {
        if let Some((rank, last)) = self.next
            && self.streams[rank].front().is_some_and(|pending| pending.index <= last)
        {
            return Some(rank);
        }
        let ((_, rank, index), is_final) = self.head()?;
        let last = if self.finished { index } else { self.final_upto(rank, index) };
        self.next = is_final.then_some((rank, last));
        is_final.then_some(rank)
    }

    /// The last message that shares the final place of this one, and may be delivered.
    fn final_upto(&self, sender: Rank, index: u64) -> u64 {
        let last = self.streams[sender].finals.run(index).map_or(index, |run| run.last);
        last.min(self.deliverable(sender))
    }

    /// The first in the queue, and whether it may be delivered. A message of mine is in the queue from the moment it is
    /// stamped, though it comes back to me by the multicast only when there is room for deliveries: what is decided
    /// meanwhile may be above it.
    fn head(&self) -> Option<(Priority, bool)> {
        let first = |(rank, stream): (Rank, &Stream)| {
            let waits = stream.front().map(|pending| pending.index);
            let sent = (rank == self.me && stream.accepted() < self.sent).then_some(stream.accepted() + 1);
            let index = waits.or(sent)?;
            let (stamp, is_final) = self.place(rank, index)?;
            Some(((stamp, rank, index), is_final && waits.is_some()))
        };
        self.streams.iter().enumerate().filter_map(first).min()
    }

    /// Up to which of that sender's messages those that are final may be delivered. In `total` a decision of my own
    /// counts once it has left for everybody: should I vanish with it, nobody else has delivered by another.
    fn deliverable(&self, sender: Rank) -> u64 {
        match self.uniform {
            true => self.streams[sender].known_to_all(),
            false if sender == self.me => self.announcer.announced(),
            false => u64::MAX,
        }
    }

    /// The priority of a message here and now, and whether it may be delivered at it.
    fn place(&self, sender: Rank, index: u64) -> Option<(Stamp, bool)> {
        let stream = &self.streams[sender];
        if let Some(adopted) = self.adopted.as_ref().filter(|_| self.finished) {
            return adopted[sender]
                .get(index)
                .or_else(|| stream.finals.get(index))
                .map(|stamp| (stamp, true));
        }
        match stream.finals.get(index) {
            Some(stamp) => Some((stamp, index <= self.deliverable(sender))),
            None => stream.mine.get(index).map(|stamp| (stamp, false)),
        }
    }

    /// The first in the queue waits for its place, the others wait for the first.
    pub(super) fn held(&self) -> Vec<HeldMessage> {
        let Some(((_, rank, index), false)) = self.head() else {
            return Vec::new();
        };
        let all = self.streams.iter().enumerate();
        let all = all.flat_map(|(rank, stream)| stream.pending().map(move |pending| (rank, pending)));
        let held = all.map(|(sender, pending)| HeldMessage {
            sender,
            index: pending.index,
            count: pending.count,
            waits_for: match (sender, pending.index) == (rank, index) {
                true => self.lacks(rank, index),
                false => Awaited::Message(rank, index),
            },
        });
        held.collect()
    }

    /// The first in the queue, if it is here and waits for its place.
    pub(super) fn first_held(&self) -> Option<HeldMessage> {
        let ((_, sender, index), false) = self.head()? else { return None };
        let first = self.streams[sender].front().filter(|pending| pending.index == index)?;
        Some(HeldMessage { sender, index, count: first.count, waits_for: self.lacks(sender, index) })
    }

    /// What the first in the queue lacks: the sender decides when all have proposed; in `safe` all acknowledge that.
    fn lacks(&self, sender: Rank, index: u64) -> Awaited {
        if let Some(silent) = self.lacks_acknowledgement(sender, index) {
            return Awaited::Acknowledgement(silent);
        }
        let mut others = self.proposed.iter().enumerate().filter(|&(rank, _)| rank != self.me);
        let silent = others.find(|(_, runs)| runs.upto() < index).filter(|_| sender == self.me);
        silent.map_or(Awaited::Decision(sender), |(rank, _)| Awaited::Proposal(rank))
    }

    /// Whether the order is `safe`.
    pub(super) fn is_uniform(&self) -> bool {
        self.uniform
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// The view ends: the adopted decisions are the sequence.
    pub(super) fn finish(&mut self) {
        self.next = None;
        self.finished = true;
    }
}
