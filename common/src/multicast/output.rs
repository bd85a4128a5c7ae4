//! What leaves: the application's messages into the own stream, and frames into datagrams.

use bytes::Bytes;

use super::flight::Flight;
use super::fragments;
use super::ring::Slot;
use super::{Multicast, Phase};
use crate::base::id::Rank;
use crate::base::limits::PAYLOAD_MAX;
use crate::base::time::Instant;
use crate::wire::multicast::{Acks, Data, Head, Newest};
use crate::wire::{Frame, Packer, Section};

/// What a fragment takes on the wire besides its payload, about.
const FRAME_BYTES: usize = 16;

impl Multicast {
    /// Whether a message of `len` bytes fits the window now. (A largest message always fits an empty window.)
    pub fn can_send(&self, len: usize) -> bool {
        let delivered = self.windows[self.me].delivered().min(self.vectors.delivered_by_others());
        self.phase == Phase::Live && len <= PAYLOAD_MAX && self.send.fits(len, delivered)
    }

    /// Sends a message to all members, this one included. The caller has asked [`Multicast::can_send`]: a message that
    /// does not fit is a mistake of the caller's, and is not sent.
    pub fn send(&mut self, now: Instant, head: Head, payload: Bytes) {
        let fits = self.can_send(payload.len());
        debug_assert!(fits, "send without can_send");
        if !fits {
            return;
        }
        for slot in fragments::split(head, payload) {
            let seq = self.send.push(slot.payload.len());
            self.windows[self.me].accept(seq, slot);
        }
        self.moved(now, self.me);
    }

    /// A heartbeat is about to leave to that member: let the receive vector ride on it.
    pub fn heartbeat(&mut self, rank: Rank) {
        if self.is_other(rank) {
            self.acks.ride(rank);
        }
    }

    /// Adds the frames that are due for one member. Returns whether more is due than fitted; then the caller sends
    /// the datagram and calls again. Acknowledgements alone wait a little for something to ride on.
    #[must_use]
    pub fn write(&mut self, now: Instant, to: Rank, section: Section, packer: &mut Packer) -> bool {
        if !self.is_other(to) || self.is_released() {
            return false;
        }
        self.peers[to].flight.end_packet();
        self.write_acks(now, to, section, packer)
            || self.write_request(to, section, packer)
            || self.write_stream(now, to, section, packer)
            || self.write_answers(now, to, section, packer)
    }

    /// Each of these returns true if something that cannot wait did not fit.
    fn write_acks(&mut self, now: Instant, to: Rank, section: Section, packer: &mut Packer) -> bool {
        if self.phase != Phase::Live || !self.acks.may_ride(to) {
            return false;
        }
        let peer = &self.peers[to];
        let due = self.acks.is_due(now, to) && !peer.flight.is_suspected();
        let carried = !packer.is_empty()
            || peer.ask.is_some()
            || !peer.answers.is_empty()
            || peer.flight.next(self.send.last()).is_some();
        if !due && !carried {
            return false;
        }
        let of = self.windows.iter().map(|window| window.ack()).collect();
        let newest = self.peers[to].newest.map(|(number, at)| Newest {
            number,
            held_us: u32::try_from(now.since(at).as_micros()).unwrap_or(u32::MAX),
        });
        let acks = Acks { stable: self.stable(self.me), newest, of };
        let written = packer.push_in(section, &Frame::Acks(acks));
        if written {
            self.acks.written(to);
        }
        due && !written
    }

    fn write_request(&mut self, to: Rank, section: Section, packer: &mut Packer) -> bool {
        let Some(request) = self.peers[to].ask.take() else { return false };
        let frame = Frame::Request(request);
        if packer.push_in(section, &frame) {
            return false;
        }
        if let Frame::Request(request) = frame {
            self.peers[to].ask = Some(request);
        }
        true
    }

    fn write_stream(&mut self, now: Instant, to: Rank, section: Section, packer: &mut Packer) -> bool {
        while let Some(seq) = self.peers[to].flight.next(self.send.last()) {
            let Some(slot) = self.windows[self.me].get(seq) else { return false };
            if !number(now, &mut self.peers[to].flight, section, packer)
                || !packer.push_in(section, &frame(self.me, seq, slot))
            {
                return true;
            }
            let bytes = wire_bytes(slot);
            let repeated = self.peers[to].flight.sent(now, seq, bytes);
            self.count(repeated);
        }
        self.peers[to].flight.held_back(self.send.last());
        false
    }

    fn write_answers(&mut self, now: Instant, to: Rank, section: Section, packer: &mut Packer) -> bool {
        while let Some((sender, seq)) = self.peers[to].answers.next() {
            if let Some(slot) = self.windows[sender].get(seq) {
                if sender == self.me && !number(now, &mut self.peers[to].flight, section, packer) {
                    return true;
                }
                if !packer.push_in(section, &frame(sender, seq, slot)) {
                    return true;
                }
                if sender == self.me {
                    let bytes = wire_bytes(slot);
                    self.peers[to].flight.answered(now, seq, bytes);
                }
                self.count(true);
            }
            self.peers[to].answers.pop();
        }
        false
    }

    fn count(&mut self, repeated: bool) {
        let counter = if repeated { &mut self.counters.repeated } else { &mut self.counters.sent };
        *counter += 1;
    }
}

/// Gives the datagram its number, if it has none. False if that does not fit.
fn number(now: Instant, flight: &mut Flight, section: Section, packer: &mut Packer) -> bool {
    flight.number_packet(now).is_none_or(|number| packer.push_in(section, &Frame::PacketNumber(number)))
}

fn wire_bytes(slot: &Slot) -> u64 {
    (slot.payload.len() + FRAME_BYTES) as u64
}

fn frame(sender: Rank, seq: u64, slot: &Slot) -> Frame<'_> {
    let (head, last, payload) = (slot.head.clone(), slot.last, &slot.payload[..]);
    Frame::Data(Data { sender: sender as u8, seq, head, last, payload })
}
