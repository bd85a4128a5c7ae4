//! The messages of one view: multicast and order, from its install to the next.

use std::sync::Arc;

use bytes::Bytes;

use super::deliveries::Deliveries;
use super::notices::First;
use super::outbox::Queued;
use super::{Event, Held, Number, VectorClock, WaitsFor};
use crate::base::id::{GroupName, Incarnation, MemberId, MessageId, Rank, UserName, ViewId};
use crate::base::time::Instant;
use crate::machine::Wakeup;
use crate::membership::{Known, Prior, View};
use crate::mesh::{Mesh, Rtt};
use crate::multicast::Multicast;
use crate::order::{Awaited, Clock, Order, OrderKind, OrderReport, Ordered};
use crate::wire::membership::{Holdings, PriorCut};
use crate::wire::multicast::Head;
use crate::wire::{Frame, Packer, Section};

#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) view: ViewId,
    pub(super) multicast: Multicast,
    pub(super) names: Arc<[UserName]>,
    /// There is more to deliver, and no room for it.
    pub(super) paused: bool,
    order: Order,
    members: Vec<MemberId>,
    /// The number of each member's last message that was delivered; 0 for none.
    counts: Clock,
}

impl Live {
    /// The messages of a view that begins now, with what the mesh already knows of its members. `None` if I am not a
    /// member.
    pub(super) fn new(
        now: Instant,
        mesh: &Mesh,
        view: &View,
        me: MemberId,
        (order, position): (OrderKind, u64),
    ) -> Option<Live> {
        let me = view.rank(me)?;
        let mut multicast = Multicast::new(now, me, view.members.len());
        for (rank, member) in view.members.iter().enumerate().filter(|&(rank, _)| rank != me) {
            multicast.suspected(now, rank, mesh.suspects(member.id.incarnation));
            if let Some(rtt) = mesh.rtt(member.id.incarnation) {
                multicast.set_rtt(rank, rtt.smoothed, rtt.variation);
            }
        }
        Some(Live {
            view: view.id,
            multicast,
            names: view.members.iter().map(|member| member.name).collect(),
            paused: false,
            order: Order::new(order, me, view.members.len(), position),
            members: view.members.iter().map(|member| member.id).collect(),
            counts: view.members.iter().map(|_| 0).collect(),
        })
    }

    fn rank(&self, node: Incarnation) -> Option<Rank> {
        self.members.iter().position(|member| member.incarnation == node)
    }

    pub(super) fn handle_frame(
        &mut self,
        now: Instant,
        from: Incarnation,
        frame: &Frame<'_>,
        datagram: &Bytes,
    ) {
        let Some(from) = self.rank(from) else { return };
        match frame {
            Frame::Data(data) => self.multicast.handle_data(now, from, data, datagram),
            Frame::PacketNumber(number) => self.multicast.handle_packet(now, from, *number),
            Frame::Acks(acks) => self.multicast.handle_acks(now, from, acks),
            Frame::Request(request) => self.multicast.handle_request(from, request),
            _ => self.order.handle_frame(from, frame),
        }
    }

    pub(super) fn can_send(&self, len: usize) -> bool {
        self.multicast.can_send(len) && self.order.can_send()
    }

    pub(super) fn send(&mut self, now: Instant, Queued { count, sent_at, payload }: Queued) {
        let (deps, proposal) = self.order.stamp();
        self.multicast.send(now, Head { count, deps, proposal, sent_at }, payload);
    }

    pub(super) fn write(&mut self, now: Instant, to: Rank, section: Section, packer: &mut Packer) -> bool {
        self.order.write(now, to, section, packer) || self.multicast.write(now, to, section, packer)
    }

    /// Throws away what is due for a member that cannot be reached yet: it will be repeated.
    pub(super) fn discard(&mut self, now: Instant, to: Rank, section: Section, packer: impl Fn() -> Packer) {
        self.order.discard(to);
        while self.multicast.write(now, to, section, &mut packer()) {}
    }

    pub(super) fn heartbeat(&mut self, to: Rank, rtt: Option<Rtt>) {
        self.multicast.heartbeat(to);
        if let Some(rtt) = rtt {
            self.multicast.set_rtt(to, rtt.smoothed, rtt.variation);
            self.order.heartbeat(to, rtt.timeout());
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Wakeup> {
        Wakeup::earliest(self.multicast.poll_timeout(), self.order.poll_timeout())
    }

    /// Delivers up to `room` messages; returns how many.
    pub(super) fn deliver(
        &mut self,
        now: Instant,
        group: GroupName,
        room: usize,
        out: &mut Deliveries,
    ) -> usize {
        let mut delivered = 0;
        while delivered < room {
            let Some(ordered) = self.poll(now) else {
                self.paused = false;
                return delivered;
            };
            out.push(now, self.event(group, ordered));
            delivered += 1;
        }
        self.paused = true;
        delivered
    }

    /// The next message whose turn has come. The application has it.
    fn poll(&mut self, now: Instant) -> Option<Ordered> {
        let ordered = self.take()?;
        self.multicast.delivered(now, ordered.sender, ordered.index);
        Some(ordered)
    }

    /// The next message whose turn has come. The others are not told yet that the application has it.
    pub(super) fn take(&mut self) -> Option<Ordered> {
        loop {
            if let Some(ordered) = self.order.poll_deliver() {
                return Some(ordered);
            }
            self.order.accept(self.multicast.poll_message()?);
        }
    }

    /// The view ends: delivers what the cut still gives. What the order holds back after that depends on something
    /// that nobody has, and is discarded by all alike.
    pub(super) fn finish(&mut self, now: Instant, group: GroupName, cut: &PriorCut, out: &mut Deliveries) {
        self.multicast.release(&cut.upto);
        self.order.finish();
        self.deliver(now, group, usize::MAX, out);
    }

    /// The last message of each member that was delivered.
    pub(super) fn known(&self) -> impl Iterator<Item = MessageId> {
        let last = self.members.iter().zip(&self.counts).filter(|&(_, &count)| count > 0);
        last.map(|(&sender, &count)| MessageId { sender, count })
    }

    /// What is received and not delivered, by sender. `before`: the last message of each member
    /// that was sent before this view.
    pub(super) fn held(&self, before: &Known) -> Vec<Held> {
        let ordered = self.order.held().into_iter().map(|held| {
            let waits_for = match held.waits_for {
                Awaited::Message(of, index) => self.message(of, index, before),
                _ if self.multicast.is_frozen() => WaitsFor::View,
                Awaited::Proposal(of) => WaitsFor::Proposal(self.names[of]),
                Awaited::Decision(of) => WaitsFor::Decision(self.names[of]),
                Awaited::Acknowledgement(of) => WaitsFor::Acknowledgement(self.names[of]),
            };
            (held.sender, held.count, waits_for)
        });
        let beyond = self.multicast.beyond_gaps();
        let beyond =
            beyond.map(|(sender, count, lacks)| (sender, count, self.message(sender, lacks, before)));
        let frozen = self.multicast.unread().filter(|_| self.multicast.is_frozen());
        let frozen = frozen.map(|(sender, count)| (sender, count, WaitsFor::View));
        let mut all: Vec<(Rank, u64, WaitsFor)> = ordered.chain(beyond).chain(frozen).collect();
        all.sort_by_key(|&(sender, count, _)| (sender, count));
        let held = all.into_iter().map(|(sender, count, waits_for)| Held {
            id: MessageId { sender: self.members[sender], count },
            from: self.names[sender],
            waits_for,
        });
        held.collect()
    }

    /// The first in the queue, if it waits for a member.
    pub(super) fn first(&self) -> Option<First> {
        let held = self.order.head()?;
        let upto = self.multicast.contiguous(held.sender);
        Some(First { sender: held.sender, index: held.index, upto })
    }

    /// For whom it waits: those who are not known to hold it; if there are none, whose part it lacks (maybe mine).
    pub(super) fn late(&self, first: First) -> Vec<UserName> {
        let behind: Vec<UserName> =
            self.multicast.behind(first.sender, first.upto).map(|rank| self.names[rank]).collect();
        let lacks = self.order.head().filter(|_| behind.is_empty()).map(|held| held.waits_for.whom());
        behind.into_iter().chain(lacks.map(|rank| self.names[rank])).collect()
    }

    /// A message that has not come, by its sender's own count if that can be known.
    fn message(&self, of: Rank, index: u64, before: &Known) -> WaitsFor {
        let before = self.multicast.sent_before(of).or_else(|| before.get(&self.members[of]).copied());
        let number = match before.and_then(|before| before.checked_add(index)) {
            Some(count) => Number::Count(count),
            None => Number::InView(index),
        };
        WaitsFor::Message(self.names[of], number)
    }

    fn event(&mut self, group: GroupName, ordered: Ordered) -> Event {
        self.counts[ordered.sender] = ordered.count;
        Event::Message {
            group,
            view: self.view,
            from: self.names[ordered.sender],
            id: MessageId { sender: self.members[ordered.sender], count: ordered.count },
            clock: VectorClock::new(self.names.clone(), ordered.clock),
            position: ordered.position,
            uniform: ordered.uniform,
            placed: ordered.placed,
            caught_up: false,
            sent_at: ordered.sent_at,
            payload: ordered.payload,
        }
    }
}

impl Prior for Live {
    fn freeze(&mut self) -> (Holdings, OrderReport) {
        self.multicast.freeze();
        (self.multicast.holdings(), self.order.report())
    }

    fn fetch(&mut self, now: Instant, cut: &PriorCut) {
        self.multicast.fetch(now, &cut.upto, &cut.holders);
    }

    fn lacks(&self, cut: &PriorCut) -> u64 {
        self.multicast.lacking(&cut.upto)
    }

    fn delivered(&self) -> Vec<MessageId> {
        self.known().collect()
    }

    fn adopt(&mut self, cut: &PriorCut) {
        while let Some(arrived) = self.multicast.poll_cut(&cut.upto) {
            self.order.accept(arrived);
        }
        self.order.adopt(&cut.order);
    }
}
