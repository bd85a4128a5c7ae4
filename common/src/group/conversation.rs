//! A private conversation: a group of two fixed members, in `fifo`, in which the first speaks and the second listens.
//!
//! Its machinery is that of a group's view, without membership: nobody comes or goes, and a conversation that fails is
//! over. Who speaks opens it with a `Join` that says who is there, repeated until the listener acknowledges anything.
//! Its view is named by the speaker's member id, fresh for each conversation, so that a later one replaces an earlier
//! one at the listener and nothing of the earlier can be taken for new. Two people who answer each other have two.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::live::Live;
use super::outbox::Outbox;
use super::{Event, SendError};
use crate::base::id::{GroupId, Incarnation, MemberId, MessageId, Rank, ViewId};
use crate::base::limits::{DELIVERIES_MAX, PAYLOAD_MAX};
use crate::base::time::Instant;
use crate::machine::Wakeup;
use crate::membership::View;
use crate::mesh::{Mesh, Rtt};
use crate::multicast::Counters;
use crate::order::{OrderKind, Ordered};
use crate::wire::membership::{Join, Member, Refusal, Refuse};
use crate::wire::{Frame, Packer, Section};

/// How often the opening is repeated.
const OPEN_REPEAT: Duration = Duration::from_millis(50);
/// A speaker gives up when the listener has been suspected for this many suspicion times.
const PATIENCE: u32 = 5;
/// A speaker that has nothing more to say ends the conversation after this long.
const SPEAKER_IDLE: Duration = Duration::from_secs(30);
/// A listener forgets it after this long without a word: long after the speaker has ended it or given up.
const LISTENER_IDLE: Duration = Duration::from_secs(300);

const SPEAKER: Rank = 0;
const LISTENER: Rank = 1;

/// One direction of what two nodes have to say to each other.
#[derive(Clone, Debug)]
pub struct Conversation {
    section: Section,
    view: View,
    me: Rank,
    live: Live,
    /// The listener has acknowledged something: it knows of the conversation.
    heard: bool,
    open_at: Instant,
    count: u64,
    outbox: Outbox,
    /// The last fragment of each message sent and not confirmed.
    unconfirmed: VecDeque<(u64, u64)>,
    /// What the application has not accepted: each message's count, and its index in the view.
    unaccepted: VecDeque<(u64, u64)>,
    suspected_since: Option<Instant>,
    used_at: Instant,
    /// Too many events wait: what else has come waits too, and with it, in the end, the speaker.
    paused: bool,
    over: bool,
    events: VecDeque<Event>,
}

impl Conversation {
    /// The identity of what `speaker` has to say to `listener`, the same at both.
    pub fn id(speaker: Incarnation, listener: Incarnation) -> GroupId {
        // Two rounds of a 64-bit mixer (Steele et al., SplitMix, 2014), so that both ends count.
        let mix = |mut x: u64| {
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^ (x >> 31)
        };
        GroupId(mix(mix(speaker.0).wrapping_add(listener.0)))
    }

    /// A conversation in which this node speaks.
    pub fn speak(now: Instant, mesh: &Mesh, me: Member, listener: Member) -> Option<Conversation> {
        Conversation::new(now, mesh, me, listener, SPEAKER)
    }

    /// A conversation in which this node listens.
    pub fn listen(now: Instant, mesh: &Mesh, speaker: Member, me: Member) -> Option<Conversation> {
        Conversation::new(now, mesh, speaker, me, LISTENER)
    }

    fn new(now: Instant, mesh: &Mesh, speaker: Member, listener: Member, me: Rank) -> Option<Conversation> {
        let group = Conversation::id(speaker.id.incarnation, listener.id.incarnation);
        let id = ViewId { number: u64::from(speaker.id.join), coordinator: speaker.id };
        let view = View { id, members: vec![speaker, listener] };
        let my_id = view.members.get(me)?.id;
        let peer = view.members.get(1 - me)?.id.incarnation;
        let live = Live::new(now, mesh, &view, my_id, (OrderKind::Fifo, 0))?;
        Some(Conversation {
            section: Section { group, view: Some(id) },
            view,
            me,
            live,
            heard: false,
            open_at: now,
            count: 0,
            outbox: Outbox::default(),
            unconfirmed: VecDeque::new(),
            unaccepted: VecDeque::new(),
            suspected_since: mesh.suspects(peer).then_some(now),
            used_at: now,
            paused: false,
            over: false,
            events: VecDeque::new(),
        })
    }

    /// What ties its frames to it.
    pub fn section(&self) -> Section {
        self.section
    }

    /// The other one.
    pub fn peer(&self) -> &Member {
        &self.view.members[1 - self.me]
    }

    /// Whether this node speaks here.
    pub fn is_speaker(&self) -> bool {
        self.me == SPEAKER
    }

    /// Whether it is over: it can be dropped once its events are taken.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Since when nothing was said; `None` if it is over, or something that was said is not confirmed.
    pub fn idle_since(&self) -> Option<Instant> {
        let settled = !self.has_unconfirmed() && self.unaccepted.is_empty() && !self.paused;
        (settled && !self.over).then_some(self.used_at)
    }

    /// Whether something that this node said is not confirmed.
    pub fn has_unconfirmed(&self) -> bool {
        !self.outbox.is_empty() || !self.unconfirmed.is_empty()
    }

    /// Says something. It is sent at once, or queued while the window is full.
    pub fn send(&mut self, now: Instant, payload: Bytes) -> Result<MessageId, SendError> {
        if self.over || !self.is_speaker() {
            return Err(SendError::NotAMember);
        }
        self.outbox.push(now, self.count + 1, payload, PAYLOAD_MAX)?;
        self.count += 1;
        self.used_at = now;
        self.work(now);
        Ok(self.message(self.count))
    }

    /// A frame of this conversation has come from the other one.
    pub fn handle_frame(&mut self, now: Instant, from: Incarnation, frame: &Frame<'_>, datagram: &Bytes) {
        match frame {
            Frame::Refuse(refuse) if refuse.reason == Refusal::NotHere => self.close(),
            Frame::Data(_) | Frame::PacketNumber(_) | Frame::Acks(_) | Frame::Request(_) => {
                self.live.handle_frame(now, from, frame, datagram);
                self.heard |= matches!(frame, Frame::Acks(_));
                if matches!(frame, Frame::Data(_)) {
                    self.used_at = now;
                }
            }
            _ => {}
        }
        self.confirm();
        self.work(now);
    }

    /// The other one is suspected, or is heard again.
    pub fn suspect(&mut self, now: Instant, suspected: bool) {
        self.live.multicast.suspected(now, 1 - self.me, suspected);
        self.suspected_since = suspected.then_some(self.suspected_since.unwrap_or(now));
    }

    /// Time has passed.
    pub fn advance(&mut self, now: Instant, suspect_after: Duration) {
        self.live.multicast.handle_timeout(now);
        if self.end_at(suspect_after).is_some_and(|wakeup| wakeup.at <= now) {
            self.close();
        }
        self.work(now);
    }

    /// Sends and delivers what can be.
    fn work(&mut self, now: Instant) {
        while let Some(queued) = self.outbox.pop_if(|len| self.live.can_send(len)) {
            let count = queued.count;
            self.live.send(now, queued);
            self.unconfirmed.push_back((count, self.live.multicast.sent()));
        }
        while self.has_room()
            && let Some(ordered) = self.live.take()
        {
            if ordered.sender == self.me {
                self.live.multicast.delivered(now, ordered.sender, ordered.index);
            } else {
                let id = self.message(ordered.count);
                self.unaccepted.push_back((ordered.count, ordered.index));
                let Ordered { sent_at, payload, .. } = ordered;
                let from = self.peer().name;
                self.events.push_back(Event::Private { from, id, sent_at, payload });
            }
        }
        if self.outbox.is_writable_again() {
            self.events.push_back(Event::PrivateWritable { to: self.peer().name });
        }
    }

    /// The application has this message, and all before it, for good: its speaker may be told.
    pub fn accept(&mut self, now: Instant, count: u64) {
        while let Some((_, index)) = self.unaccepted.front().copied().filter(|message| message.0 <= count) {
            self.unaccepted.pop_front();
            self.live.multicast.delivered(now, SPEAKER, index);
            self.live.multicast.acknowledge(now, SPEAKER);
        }
    }

    fn has_room(&mut self) -> bool {
        self.paused = self.events.len() >= DELIVERIES_MAX;
        !self.paused
    }

    /// Tells what the listener has accepted by now.
    fn confirm(&mut self) {
        let accepted = self.live.multicast.delivered_by_others();
        while let Some((count, _)) = self.unconfirmed.front().copied().filter(|(_, last)| *last <= accepted) {
            self.unconfirmed.pop_front();
            let id = self.message(count);
            self.events.push_back(Event::Confirmed { to: self.peer().name, id });
        }
    }

    /// There will be no more of it: what is not confirmed by now will not be.
    pub fn close(&mut self) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let counts = self.unconfirmed.drain(..).map(|(count, _)| count);
        let counts: Vec<u64> = counts.chain(self.outbox.clear()).collect();
        if !counts.is_empty() {
            let ids = counts.into_iter().map(|count| self.message(count)).collect();
            self.events.push_back(Event::Unconfirmed { to: self.peer().name, ids });
        }
    }

    fn message(&self, count: u64) -> MessageId {
        let MemberId { incarnation, join } = self.view.id.coordinator;
        MessageId { sender: MemberId { incarnation, join }, count }
    }

    /// Whether there is an event for the application.
    pub fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// The next event for the application.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// A heartbeat is about to leave for the other one.
    pub fn heartbeat(&mut self, rtt: Option<Rtt>) {
        self.live.heartbeat(1 - self.me, rtt);
    }

    /// Writes what is due; true if more is due than fitted.
    #[must_use]
    pub fn write(&mut self, now: Instant, packer: &mut Packer) -> bool {
        if self.is_opening() && self.open_at <= now {
            let member = self.view.members[SPEAKER].clone();
            if !packer.push_in(self.section, &Frame::Join(Box::new(Join { member }))) {
                return true;
            }
            self.open_at = now + OPEN_REPEAT;
        }
        self.live.write(now, 1 - self.me, self.section, packer)
    }

    /// Writes that this node goes away, and before that, what it has accepted; false if not all fits.
    #[must_use]
    pub fn write_end(&mut self, now: Instant, packer: &mut Packer) -> bool {
        if !self.is_speaker() && self.live.write(now, SPEAKER, self.section, packer) {
            return false;
        }
        let refuse = Refuse { member: self.peer().id, reason: Refusal::NotHere };
        packer.push_in(self.section, &Frame::Refuse(refuse))
    }

    /// Throws away what is due for a node that cannot be reached yet: it will be repeated.
    pub fn discard(&mut self, now: Instant, packer: impl Fn() -> Packer) {
        if self.is_opening() && self.open_at <= now {
            self.open_at = now + OPEN_REPEAT;
        }
        self.live.discard(now, 1 - self.me, self.section, packer);
    }

    fn is_opening(&self) -> bool {
        self.is_speaker() && !self.heard && !self.over && self.suspected_since.is_none()
    }

    /// When it will be over, if nothing happens until then.
    fn end_at(&self, suspect_after: Duration) -> Option<Wakeup> {
        if self.over {
            return None;
        }
        let idle = if self.is_speaker() { SPEAKER_IDLE } else { LISTENER_IDLE };
        match self.suspected_since {
            Some(since) if self.has_unconfirmed() => {
                Some(Wakeup { at: since + suspect_after * PATIENCE, reason: "conversation: no answer" })
            }
            _ if self.has_unconfirmed() => None,
            _ => Some(Wakeup { at: self.used_at + idle, reason: "conversation: idle" }),
        }
    }

    /// The next deadline.
    pub fn poll_timeout(&self, suspect_after: Duration) -> Option<Wakeup> {
        if self.over {
            return None;
        }
        let open = self.is_opening().then_some(Wakeup { at: self.open_at, reason: "conversation: open" });
        let resume = (self.paused && self.events.len() < DELIVERIES_MAX / 2)
            .then_some(Wakeup { at: self.used_at, reason: "conversation: deliveries may go on" });
        let own = [open, resume, self.end_at(suspect_after)].into_iter().fold(None, Wakeup::earliest);
        Wakeup::earliest(own, self.live.poll_timeout())
    }

    /// What happened since it began.
    pub fn counters(&self) -> Counters {
        self.live.multicast.counters()
    }
}
