//! Carries membership messages of any size to one peer, reliably: fragments, acknowledgements, repetition.
//!
//! Per peer and kind only the newest message counts: a newer one replaces an older one that is still under way.
//! That is all the order that the change of views needs, since a higher attempt makes lower ones pointless.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::id::Incarnation;
use crate::base::limits::{MEMBERS_MAX, PARCEL_FRAGMENT, PARCEL_FRAGMENTS_MAX, PARCEL_MAX};
use crate::base::time::Instant;
use crate::machine::Wakeup;
use crate::wire::membership::{FragmentSet, Message, Parcel, ParcelAck, ParcelKind};
use crate::wire::{Frame, Packer, Section};

/// Parcels, of all peers and kinds, that are put together or remembered at the same time.
const INCOMING_MAX: usize = 4 * MEMBERS_MAX;
/// The longest wait between two repetitions, unless one round trip alone takes longer.
const REPEAT_LAST: Duration = Duration::from_millis(250);

/// All parcels of one group at one node.
#[derive(Clone, Debug)]
pub(super) struct Courier {
    number: u64,
    outgoing: BTreeMap<(Incarnation, ParcelKind), Outgoing>,
    incoming: BTreeMap<(Incarnation, ParcelKind), Incoming>,
    acks: BTreeSet<(Incarnation, ParcelKind)>,
}

#[derive(Clone, Debug)]
struct Outgoing {
    number: u64,
    bytes: Vec<u8>,
    fragments: u16,
    /// Those that need no sending now: acknowledged, or sent in this round.
    settled: FragmentSet,
    acknowledged: FragmentSet,
    /// When the first fragment of this round was sent.
    sent_at: Option<Instant>,
    repeats: u32,
    repeat_at: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Incoming {
    number: u64,
    received: FragmentSet,
    /// By fragment; empty once the message is complete.
    fragments: Vec<Option<Vec<u8>>>,
}

impl Courier {
    /// The courier of a node's `join`-th membership. Its numbers exceed those of the node's earlier memberships, which
    /// others may still remember.
    pub(super) fn new(join: u32) -> Courier {
        Courier {
            number: u64::from(join) << 32,
            outgoing: BTreeMap::new(),
            incoming: BTreeMap::new(),
            acks: BTreeSet::new(),
        }
    }

    /// Sends a message, in place of an earlier one of its kind to this peer.
    pub(super) fn send(&mut self, to: Incarnation, message: &Message) {
        let bytes = message.encode();
        if bytes.len() > PARCEL_MAX {
            log::error!(
                "a membership message of {} bytes for {to} exceeds its bound, and is not sent",
                bytes.len()
            );
            return;
        }
        let fragments = u16::try_from(bytes.len().div_ceil(PARCEL_FRAGMENT).max(1)).unwrap_or(u16::MAX);
        self.number += 1;
        let parcel = Outgoing {
            number: self.number,
            bytes,
            fragments,
            settled: FragmentSet::default(),
            acknowledged: FragmentSet::default(),
            sent_at: None,
            repeats: 0,
            repeat_at: None,
        };
        self.outgoing.insert((to, message.kind()), parcel);
    }

    /// Whether a message of this kind is still under way to this peer.
    pub(super) fn is_sending(&self, to: Incarnation, kind: ParcelKind) -> bool {
        self.outgoing.contains_key(&(to, kind))
    }

    /// Stops sending messages of this kind: what they were about is over.
    pub(super) fn cancel(&mut self, kind: ParcelKind) {
        self.outgoing.retain(|&(_, k), _| k != kind);
    }

    /// Stops sending messages of this kind to peers that are gone.
    pub(super) fn give_up_on(&mut self, kind: ParcelKind, is_gone: impl Fn(Incarnation) -> bool) {
        self.outgoing.retain(|&(peer, k), _| k != kind || !is_gone(peer));
    }

    /// Forgets all peers but these.
    pub(super) fn retain(&mut self, keep: impl Fn(Incarnation) -> bool) {
        self.outgoing.retain(|&(peer, _), _| keep(peer));
        self.incoming.retain(|&(peer, _), _| keep(peer));
        self.acks.retain(|&(peer, _)| keep(peer));
    }

    /// A fragment has come; gives the message when it is the last that was missing.
    pub(super) fn handle_parcel(&mut self, from: Incarnation, parcel: &Parcel<'_>) -> Option<Message> {
        let count = usize::from(parcel.fragments);
        let valid = count <= PARCEL_FRAGMENTS_MAX && parcel.fragment < parcel.fragments;
        if !valid || parcel.bytes.len() > PARCEL_FRAGMENT {
            return None;
        }
        let key = (from, parcel.kind);
        match self.incoming.get(&key) {
            Some(known) if known.number > parcel.number => return None,
            Some(known) if known.number == parcel.number => {}
            known => {
                if known.is_none() && self.incoming.len() >= INCOMING_MAX {
                    self.forget_one_complete()?;
                }
                let fragments = vec![None; count];
                let fresh = Incoming { number: parcel.number, received: FragmentSet::default(), fragments };
                self.incoming.insert(key, fresh);
            }
        }
        self.acks.insert(key);
        let incoming = self.incoming.get_mut(&key)?;
        let slot = incoming.fragments.get_mut(usize::from(parcel.fragment))?;
        if slot.is_none() {
            *slot = Some(parcel.bytes.to_vec());
            incoming.received.insert(parcel.fragment);
        }
        let complete = incoming.fragments.iter().all(Option::is_some);
        if !complete {
            return None;
        }
        let bytes: Vec<u8> = incoming.fragments.drain(..).flatten().flatten().collect();
        Message::decode(&bytes).ok().filter(|message| message.kind() == parcel.kind)
    }

    /// Makes room for another sender's parcel: one that is complete need not be remembered.
    fn forget_one_complete(&mut self) -> Option<()> {
        let complete = |(_, incoming): &(_, &Incoming)| incoming.fragments.is_empty();
        let key = self.incoming.iter().find(complete).map(|(&key, _)| key)?;
        self.incoming.remove(&key);
        self.acks.remove(&key);
        Some(())
    }

    /// The peer tells which fragments it has.
    pub(super) fn handle_ack(&mut self, from: Incarnation, ack: &ParcelAck) {
        let Some(parcel) = self.outgoing.get_mut(&(from, ack.kind)) else { return };
        if parcel.number != ack.number {
            return;
        }
        parcel.acknowledged.extend(&ack.received);
        parcel.settled.extend(&ack.received);
        if (0..parcel.fragments).all(|fragment| parcel.acknowledged.contains(fragment)) {
            self.outgoing.remove(&(from, ack.kind));
        }
    }

    /// Writes what is due for this peer; true if more is due than fitted. `timeout`: after this long without an
    /// acknowledgement a fragment is probably lost.
    pub(super) fn write(
        &mut self,
        now: Instant,
        to: Incarnation,
        timeout: Duration,
        section: Section,
        packer: &mut Packer,
    ) -> bool {
        if self.outgoing.is_empty() && self.acks.is_empty() {
            return false;
        }
        for kind in ParcelKind::ALL {
            if self.acks.contains(&(to, kind)) {
                let Some(incoming) = self.incoming.get(&(to, kind)) else { continue };
                let ack = ParcelAck { kind, number: incoming.number, received: incoming.received };
                if !packer.push_in(section, &Frame::ParcelAck(ack)) {
                    return true;
                }
                self.acks.remove(&(to, kind));
            }
            if let Some(parcel) = self.outgoing.get_mut(&(to, kind))
                && parcel.write(now, kind, timeout, section, packer)
            {
                return true;
            }
        }
        false
    }

    /// There is no way to this peer: what is to be repeated waits for one, as what was never sent does.
    pub(super) fn hold(&mut self, now: Instant, to: Incarnation) {
        let parcels = self.outgoing.iter_mut().filter(|((peer, _), _)| *peer == to);
        parcels.for_each(|(_, parcel)| parcel.expire(now));
    }

    /// The next deadline.
    pub(super) fn poll_timeout(&self) -> Option<Wakeup> {
        let repeats = self.outgoing.values().filter_map(|parcel| parcel.repeat_at);
        repeats.min().map(|at| Wakeup { at, reason: "membership: repeat a parcel" })
    }
}

impl Outgoing {
    fn write(
        &mut self,
        now: Instant,
        kind: ParcelKind,
        timeout: Duration,
        section: Section,
        packer: &mut Packer,
    ) -> bool {
        // It may be known by now that the round trip is shorter than it seemed.
        let sooner = self.sent_at.map(|at| at + self.wait(timeout));
        self.repeat_at = self.repeat_at.zip(sooner).map(|(at, sooner)| at.min(sooner));
        self.expire(now);
        for fragment in 0..self.fragments {
            if self.settled.contains(fragment) {
                continue;
            }
            let start = usize::from(fragment) * PARCEL_FRAGMENT;
            let end = self.bytes.len().min(start + PARCEL_FRAGMENT);
            let bytes = &self.bytes[start..end];
            let fragments = self.fragments;
            let parcel = Parcel { kind, number: self.number, fragment, fragments, bytes };
            if !packer.push_in(section, &Frame::Parcel(parcel)) {
                return true;
            }
            self.settled.insert(fragment);
            if self.sent_at.is_none() {
                (self.sent_at, self.repeat_at) = (Some(now), Some(now + self.wait(timeout)));
            }
        }
        false
    }

    /// If a round was long enough ago, all of it that is not acknowledged is lost.
    fn expire(&mut self, now: Instant) {
        if self.repeat_at.is_some_and(|at| at <= now) {
            self.settled = self.acknowledged;
            self.repeats = (self.repeats + 1).min(10);
            (self.sent_at, self.repeat_at) = (None, None);
        }
    }

    /// How long after its sending a round is repeated.
    fn wait(&self, timeout: Duration) -> Duration {
        (timeout * (1 << self.repeats)).min(REPEAT_LAST.max(timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{GroupId, MemberId, ViewId};
    use crate::base::list::List;
    use crate::base::rng::Rng;
    use crate::wire::membership::{Cut, Holder, Holding, PriorCut};
    use crate::wire::{Header, Unpacker};

    const A: Incarnation = Incarnation(1);
    const B: Incarnation = Incarnation(2);

    fn large_cut(number: u64) -> Message {
        let attempt = ViewId { number, coordinator: MemberId { incarnation: A, join: 0 } };
        let holdings = (0..10).map(|n| Holding { contiguous: n * 1_000_000, ..Holding::default() }).collect();
        let holder = Holder { rank: 0, holdings };
        let prior = PriorCut {
            view: attempt,
            upto: (0..10).collect(),
            holders: (0..10).map(|_| holder.clone()).collect(),
            order: Default::default(),
        };
        Message::Cut(Cut {
            attempt,
            position: 0,
            priors: (0..20).map(|_| prior.clone()).collect(),
            origins: List::new(),
            known: List::new(),
        })
    }

    /// Runs two couriers over a line that loses every second frame.
    fn run(a: &mut Courier, b: &mut Courier, messages: &mut Vec<Message>) {
        let (mut rng, mut now) = (Rng::from_seed(3), Instant::ZERO);
        for _ in 0..1000 {
            now += Duration::from_millis(10);
            step(now, &mut rng, (A, a), (B, b), messages);
            step(now, &mut rng, (B, b), (A, a), messages);
        }
    }

    fn step(
        now: Instant,
        rng: &mut Rng,
        (me, sender): (Incarnation, &mut Courier),
        (peer, receiver): (Incarnation, &mut Courier),
        messages: &mut Vec<Message>,
    ) {
        let section = Section { group: GroupId(1), view: None };
        let mut more = true;
        while more {
            let mut packer = Packer::new(Header { from: me, to: Some(peer), hops: 0 });
            more = sender.write(now, peer, Duration::from_millis(20), section, &mut packer);
            let bytes = packer.finish();
            let (_, mut frames) = Unpacker::new(&bytes).unwrap();
            while let Some((_, frame)) = frames.next_frame().unwrap() {
                match frame {
                    _ if rng.chance(1, 2) => {}
                    Frame::Parcel(parcel) => messages.extend(receiver.handle_parcel(me, &parcel)),
                    Frame::ParcelAck(ack) => receiver.handle_ack(me, &ack),
                    _ => panic!("an unexpected frame"),
                }
            }
        }
    }

    #[test]
    fn a_large_message_arrives_once_over_a_lossy_line() {
        let (mut a, mut b, mut got) = (Courier::new(0), Courier::new(0), Vec::new());
        a.send(B, &large_cut(1));
        run(&mut a, &mut b, &mut got);
        assert_eq!(got, [large_cut(1)]);
        assert!(a.outgoing.is_empty() && a.poll_timeout().is_none());
    }

    #[test]
    fn a_long_wait_ends_when_the_round_trip_turns_out_to_be_short() {
        let section = Section { group: GroupId(1), view: None };
        let mut courier = Courier::new(0);
        courier.send(B, &large_cut(1));
        let mut written = |at: u64, timeout: u64| {
            let mut packer = Packer::new(Header { from: A, to: Some(B), hops: 0 });
            let ms = Duration::from_millis;
            _ = courier.write(Instant::ZERO + ms(at), B, ms(timeout), section, &mut packer);
            packer.finish().len() > 100
        };
        while written(0, 5_000) {}
        assert!(!written(100, 5_000) && written(100, 20));
    }

    #[test]
    fn what_is_to_be_repeated_waits_without_a_deadline_while_there_is_no_way() {
        let section = Section { group: GroupId(1), view: None };
        let mut courier = Courier::new(0);
        courier.send(B, &large_cut(1));
        let write = |courier: &mut Courier, at| {
            let mut packer = Packer::new(Header { from: A, to: Some(B), hops: 0 });
            _ = courier.write(at, B, Duration::from_millis(20), section, &mut packer);
            packer.finish().len() > 100
        };
        assert!(write(&mut courier, Instant::ZERO));
        let due = courier.poll_timeout().unwrap().at;
        courier.hold(Instant::ZERO, B);
        assert!(courier.poll_timeout().is_some(), "it is not due yet");
        courier.hold(due, B);
        assert_eq!(courier.poll_timeout(), None);
        assert!(write(&mut courier, due + Duration::from_secs(5)), "there is a way");
        assert!(courier.poll_timeout().is_some());
    }

    #[test]
    fn a_newer_message_replaces_one_that_is_still_under_way() {
        let (mut a, mut b, mut got) = (Courier::new(0), Courier::new(0), Vec::new());
        a.send(B, &large_cut(1));
        a.send(B, &large_cut(2));
        run(&mut a, &mut b, &mut got);
        assert_eq!(got, [large_cut(2)]);
    }
}
