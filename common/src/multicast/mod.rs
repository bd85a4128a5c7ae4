//! Reliable multicast in one view: what one member sends, every member holds in the end, or the view changes.
//!
//! A message is cut into fragments with consecutive `seq`, each sent to every other member once. Receivers return
//! for every sender what they hold (the receive vector). From the vectors follow: what the sender must repeat, what
//! any holder can repair for a member that lacks it, what is *stable* (held by all, hence forgotten once it is
//! delivered here as well), and how much a sender may have under way.
//!
//! One [`Multicast`] serves exactly one view. Members are named by their rank in it. Life: live, then frozen by
//! [`Multicast::freeze`] (a change of view has been promised), then either released by [`Multicast::release`] up to
//! the cut, and dropped once it is drained, or dropped at once.
//!
//! Drive it like every other layer: `handle_*` what comes, [`Multicast::poll_message`] what is complete,
//! [`Multicast::write`] what is due, for every other member, before sleeping until [`Multicast::poll_timeout`].

mod acks;
mod answers;
mod change;
mod flight;
mod fragments;
mod held;
mod output;
mod ranges;
mod rate;
mod receive_window;
mod repair;
mod ring;
mod send_window;
#[cfg(test)]
mod tests;
mod timing;
mod vectors;

pub use change::{cut, messages};

use std::time::Duration;

use bytes::Bytes;

use acks::AckSchedule;
use answers::Answers;
use flight::Flight;
use receive_window::{Accepted, ReceiveWindow};
use repair::{Fetch, SenderState, Watch};
use ring::Slot;
use send_window::SendWindow;
use vectors::Vectors;

use crate::base::id::Rank;
use crate::base::limits::RECEIVE_BUFFER;
use crate::base::time::Instant;
use crate::machine::Wakeup;
use crate::mesh::Rtt;
use crate::wire::multicast::{Acks, Data, Head, PacketNumber, Request};

/// A whole message, the next of its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Who sent it.
    pub sender: Rank,
    /// The how-manieth of its sender in this view, from 1.
    pub index: u64,
    /// What it says of itself.
    pub head: Head,
    /// What was sent.
    pub payload: Bytes,
}

/// What happened since the view began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// `Data` frames sent for the first time, one per peer.
    pub sent: u64,
    /// `Data` frames sent again, to their own receivers or for others.
    pub repeated: u64,
    /// `Data` frames received that were held already.
    pub duplicates: u64,
    /// Frames, or entries of frames, that no correct member would send, and `Data` outside the window.
    pub refused: u64,
}

impl Counters {
    /// Both together.
    pub fn plus(self, other: Counters) -> Counters {
        Counters {
            sent: self.sent + other.sent,
            repeated: self.repeated + other.repeated,
            duplicates: self.duplicates + other.duplicates,
            refused: self.refused + other.refused,
        }
    }
}

/// Where the view stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Live,
    /// A change is promised.
    Frozen,
    /// The change is installed; what is left of the view, up to this cut.
    Released(Vec<u64>),
}

/// Another member.
#[derive(Clone, Debug)]
struct Peer {
    /// My stream to it.
    flight: Flight,
    /// What it asked for.
    answers: Answers,
    /// What I ask it for.
    ask: Option<Request>,
    /// Its newest packet here, and when it came.
    newest: Option<(u64, Instant)>,
}

/// The reliable multicast of one view.
#[derive(Clone, Debug)]
pub struct Multicast {
    me: Rank,
    phase: Phase,
    /// By rank, of no use at my own.
    peers: Vec<Peer>,
    /// By sender, myself included.
    windows: Vec<ReceiveWindow>,
    /// By sender, of no use at my own.
    watches: Vec<Watch>,
    send: SendWindow,
    vectors: Vectors,
    acks: AckSchedule,
    fetch: Option<Fetch>,
    counters: Counters,
}

impl Multicast {
    /// A new view of `members` members, in which this node has rank `me`.
    pub fn new(now: Instant, me: Rank, members: usize) -> Multicast {
        let mut peer =
            Peer { flight: Flight::new(now), answers: Answers::default(), ask: None, newest: None };
        peer.flight.set_credit(credit(RECEIVE_BUFFER, members));
        Multicast {
            me,
            phase: Phase::Live,
            peers: vec![peer; members],
            windows: (0..members).map(ReceiveWindow::new).collect(),
            watches: vec![Watch::default(); members],
            send: SendWindow::default(),
            vectors: Vectors::new(me, members),
            acks: AckSchedule::new(me, members),
            fetch: None,
            counters: Counters::default(),
        }
    }

    /// Up to which fragment of that sender every member is known to hold all.
    pub fn stable(&self, sender: Rank) -> u64 {
        self.windows.get(sender).map_or(0, |window| self.vectors.stable(sender, window.contiguous()))
    }

    /// Up to which fragment of that sender this member holds all.
    pub fn contiguous(&self, sender: Rank) -> u64 {
        self.windows.get(sender).map_or(0, ReceiveWindow::contiguous)
    }

    /// The other members, besides the sender, that are not known to hold all fragments of that sender up to this one.
    pub fn behind(&self, sender: Rank, upto: u64) -> impl Iterator<Item = Rank> + '_ {
        let others = (0..self.windows.len()).filter(move |&rank| rank != self.me && rank != sender);
        others.filter(move |&rank| self.vectors.contiguous(rank, sender) < upto)
    }

    /// The last fragment that this member has sent; 0 for none.
    pub fn sent(&self) -> u64 {
        self.send.last()
    }

    /// Whether everything that this member sent is held by every member.
    pub fn is_all_stable(&self) -> bool {
        self.send.is_all_stable()
    }

    /// Up to where the applications of all other members have this member's fragments, as far as is known.
    pub fn delivered_by_others(&self) -> u64 {
        self.vectors.delivered_by_others()
    }

    /// What happened since the view began.
    pub fn counters(&self) -> Counters {
        let malformed: u64 = self.windows.iter().map(ReceiveWindow::malformed).sum();
        Counters { refused: self.counters.refused + malformed, ..self.counters }
    }

    /// A fragment has come from the member with rank `from`, be it the sender or a holder. The payload is kept as a
    /// slice of `datagram` if it lies within (one allocation a datagram), else copied.
    pub fn handle_data(&mut self, now: Instant, from: Rank, data: &Data<'_>, datagram: &Bytes) {
        let sender = usize::from(data.sender);
        if !self.is_other(from) || !self.is_other(sender) {
            self.counters.refused += 1;
            return;
        }
        if self.is_released() {
            return;
        }
        let slot =
            Slot { head: data.head.clone(), last: data.last, payload: slice_or_copy(datagram, data.payload) };
        match self.windows[sender].accept(data.seq, slot) {
            accepted @ (Accepted::New | Accepted::Gap) => {
                self.acks.received(now, from, sender, accepted == Accepted::Gap);
                self.moved(now, sender);
            }
            Accepted::Duplicate => {
                self.counters.duplicates += 1;
                self.acks.repeated(now, from);
            }
            Accepted::Refused => self.counters.refused += 1,
        }
    }

    /// A datagram with messages of the member with rank `from` has this number.
    pub fn handle_packet(&mut self, now: Instant, from: Rank, PacketNumber(number): PacketNumber) {
        if let Some(peer) = self.peers.get_mut(from)
            && peer.newest.is_none_or(|(newest, _)| newest < number)
        {
            peer.newest = Some((number, now));
        }
    }

    /// A receive vector has come.
    pub fn handle_acks(&mut self, now: Instant, from: Rank, acks: &Acks) {
        if !self.is_other(from) || acks.of.len() != self.windows.len() {
            self.counters.refused += 1;
            return;
        }
        self.vectors.tell(from, acks.stable);
        for (sender, ack) in acks.of.iter().enumerate() {
            if sender == self.me && ack.contiguous > self.send.last() {
                self.counters.refused += 1;
                continue;
            }
            self.vectors.update(from, sender, ack);
            if sender == self.me {
                let beyond = self.vectors.beyond(from, self.me);
                self.peers[from].flight.acknowledge(now, ack.contiguous, beyond, acks.newest);
            }
            self.moved(now, sender);
        }
    }

    /// A member asks for what it lacks. The newest request of a member replaces what is left of its former one.
    pub fn handle_request(&mut self, from: Rank, request: &Request) {
        if self.is_other(from) {
            self.counters.refused += self.peers[from].answers.replace(request, self.windows.len());
        } else {
            self.counters.refused += 1;
        }
    }

    /// More of a sender is held, here or elsewhere: what follows for stability and repair.
    fn moved(&mut self, now: Instant, sender: Rank) {
        let contiguous = self.windows[sender].contiguous();
        let stable = self.vectors.stable(sender, contiguous);
        if sender != self.me {
            self.windows[sender].free(stable);
            let flight = &self.peers[sender].flight;
            let state = SenderState { suspected: flight.is_suspected(), timeout: flight.timing().timeout() };
            self.watches[sender].update(now, contiguous, self.vectors.claimed(sender), state);
            return;
        }
        if stable > self.send.stable() {
            let window = &self.windows[sender];
            self.send.advance(stable, |seq| window.get(seq).map_or(0, |slot| slot.payload.len()));
            (0..self.peers.len()).for_each(|rank| self.acks.ride(rank));
        }
        self.windows[sender].free(stable);
    }

    /// The next whole message; each sender's in order, without gaps, this member's own among them. `None` while
    /// frozen; after [`Multicast::release`] up to the cut only.
    pub fn poll_message(&mut self) -> Option<Arrived> {
        match &self.phase {
            Phase::Live => self.windows.iter_mut().find_map(|window| window.poll(u64::MAX)),
            Phase::Frozen => None,
            Phase::Released(cut) => {
                let mut windows = self.windows.iter_mut().zip(cut);
                windows.find_map(|(window, &upto)| window.poll(upto))
            }
        }
    }

    /// The application has message number `index` of that sender, and all before it.
    pub fn delivered(&mut self, now: Instant, sender: Rank, index: u64) {
        if self.windows.get_mut(sender).is_some_and(|window| window.deliver(index)) {
            self.acks.delivered(now, sender);
            let stable = self.stable(sender);
            self.windows[sender].free(stable);
        }
    }

    /// That member waits for this one's receive vector: it does not wait for something to ride on.
    pub fn acknowledge(&mut self, now: Instant, rank: Rank) {
        if self.is_other(rank) {
            self.acks.at_once(now, rank);
        }
    }

    /// The round-trip time to a member, smoothed, and its variation, as the mesh measures them.
    pub fn set_rtt(&mut self, rank: Rank, smoothed: Duration, variation: Duration) {
        if let Some(peer) = self.peers.get_mut(rank) {
            peer.flight.set_rtt(Rtt { smoothed, variation });
        }
    }

    /// Whether a member is suspected: then it is sent hardly anything, and others repair what it had sent.
    pub fn suspected(&mut self, now: Instant, rank: Rank, suspected: bool) {
        if self.is_other(rank) {
            self.peers[rank].flight.suspect(suspected);
            if suspected {
                self.watches[rank].hurry(now);
            }
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_released() {
            return;
        }
        for rank in self.others() {
            self.peers[rank].flight.handle_timeout(now);
        }
        match self.phase {
            Phase::Live => self.ask_where_stuck(now),
            _ => self.ask_for_cut(now),
        }
    }

    fn ask_where_stuck(&mut self, now: Instant) {
        let usable: Vec<Rank> = self.others().filter(|&rank| !self.is_suspected(rank)).collect();
        let timeout = usable.iter().map(|&rank| self.peers[rank].flight.timing().timeout()).max();
        for sender in self.others() {
            let asked = self.watches[sender].handle_timeout(
                now,
                sender,
                &self.windows[sender],
                &self.vectors,
                &usable,
                timeout.unwrap_or_default(),
            );
            if let Some((holder, request)) = asked {
                self.ask(holder, request);
            }
        }
    }

    /// Puts a request on the way; what does not fit beside one that has not left is asked again by its timer.
    fn ask(&mut self, holder: Rank, request: Request) {
        let pending = self.peers[holder].ask.get_or_insert_default();
        for wanted in request.ranges {
            let _ = pending.ranges.try_push(wanted);
        }
    }

    /// The next deadline. It stays in the past until [`Multicast::handle_timeout`] was called and then
    /// [`Multicast::write`] for every member: an owner that cannot reach one writes for it nevertheless and throws
    /// the datagram away.
    pub fn poll_timeout(&self) -> Option<Wakeup> {
        if self.is_released() {
            return None;
        }
        let wake = |at: Option<Instant>, reason| at.map(|at| Wakeup { at, reason });
        let fetch = self.fetch.as_ref().and_then(Fetch::deadline);
        let mut next = wake(fetch, "the cut is not fetched");
        for rank in self.others() {
            next = Wakeup::earliest(next, self.peers[rank].flight.poll_timeout());
            if self.phase == Phase::Live {
                let ack = self.acks.deadline(rank).filter(|_| !self.is_suspected(rank));
                next = Wakeup::earliest(next, wake(ack, "an acknowledgement is due"));
                next = Wakeup::earliest(next, wake(self.watches[rank].deadline(), "a stream is stuck"));
            }
        }
        next
    }

    fn others(&self) -> impl Iterator<Item = Rank> + use<> {
        let me = self.me;
        (0..self.peers.len()).filter(move |&rank| rank != me)
    }

    fn is_other(&self, rank: Rank) -> bool {
        rank < self.peers.len() && rank != self.me
    }

    fn is_suspected(&self, rank: Rank) -> bool {
        self.peers[rank].flight.is_suspected()
    }

    fn is_released(&self) -> bool {
        matches!(self.phase, Phase::Released(_))
    }
}

/// The share of one member in the buffer of another. A quarter is left for acknowledgements and repairs.
fn credit(buffer: usize, members: usize) -> u64 {
    (buffer * 3 / 4 / members.saturating_sub(1).max(1)) as u64
}

/// The part of `datagram` that `payload` is; a copy if it is none.
fn slice_or_copy(datagram: &Bytes, payload: &[u8]) -> Bytes {
    let offset = (payload.as_ptr() as usize).checked_sub(datagram.as_ptr() as usize);
    let end = offset.and_then(|offset| offset.checked_add(payload.len()));
    match (offset, end) {
        (Some(offset), Some(end)) if end <= datagram.len() => datagram.slice(offset..end),
        _ => Bytes::copy_from_slice(payload),
    }
}
