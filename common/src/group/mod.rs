//! One group at one node: multicast, order and membership composed.
//!
//! [`Group`] routes. A view's messages live in `live::Live`, which exists from one install to the next; what outlives
//! views (who is a member, the queue of the application's messages, the events for it) stands here.

mod catch_up;
mod conversation;
mod deliveries;
mod event;
mod history;
mod leaving;
mod live;
mod notices;
mod outbox;
mod vector_clock;
mod weave;

use std::time::Duration;

use bytes::Bytes;

use crate::base::id::{GroupId, GroupName, Incarnation, MemberId, MessageId, UserName, ViewId};
use crate::base::limits::{DELIVERIES_MAX, MESSAGE_MAX};
use crate::base::time::Instant;
use crate::machine::Wakeup;
pub use crate::membership::Known;
use crate::membership::{self, Context, Installed, Membership, Outcome, Prior};
use crate::mesh::{Arrival, Mesh, MeshEvent, Rtt};
use crate::multicast::Counters;
use crate::order::OrderKind;
use crate::wire::membership::{Addresses, Member, Refusal};
use crate::wire::{Frame, Packer, Section};
use catch_up::Tellers;
pub use conversation::Conversation;
use deliveries::{Beginning, Deliveries};
pub use event::{Cause, Event, Held, MemberStatus, Number, Reached, SendError, ViewInfo, WaitsFor};
use history::History;
use leaving::Stage;
use live::Live;
use notices::Notices;
use outbox::Outbox;
pub use vector_clock::VectorClock;

/// Round trips are not measured yet: a loss is suspected after this long.
const FIRST_TIMEOUT: Duration = Duration::from_millis(100);
/// The shortest time after which a loss is suspected.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(20);

/// How a node behaves in its groups.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Silence after which a member is suspected.
    pub suspect_after: Duration,
    /// How many of the last messages newcomers are told.
    pub history: usize,
    /// How many of the last messages are kept for sides that meet again.
    pub store: usize,
    /// How many deliveries may wait for the application.
    pub deliveries: usize,
    /// The seed of its back-offs.
    pub seed: u64,
}

/// A group.
#[derive(Clone, Debug)]
pub struct Group {
    name: GroupName,
    id: GroupId,
    membership: Membership,
    live: Option<Live>,
    stage: Stage,
    joined: bool,
    count: u64,
    outbox: Outbox,
    deliveries: Deliveries,
    /// With so many of them delivery pauses.
    deliveries_max: usize,
    /// The last message of each member of the view that was sent before it, as far as is known; 0 for none.
    before: Known,
    /// Counters of the views before the current one.
    past: Counters,
    notices: Notices,
    now: Instant,
}

impl Group {
    /// A group that this node joins, or founds when it is told of no contact. `former`: what it knows of the group's
    /// messages already.
    pub fn new(
        now: Instant,
        (name, id): (GroupName, GroupId),
        me: Member,
        order: OrderKind,
        former: Known,
        settings: Settings,
    ) -> Group {
        Group {
            name,
            id,
            membership: Membership::new(now, me, order, settings.suspect_after, settings.seed),
            live: None,
            stage: Stage::Member,
            joined: false,
            count: 0,
            outbox: Outbox::default(),
            deliveries: Deliveries::new(name, History::new(settings.history, settings.store, former)),
            deliveries_max: settings.deliveries.clamp(1, DELIVERIES_MAX),
            before: Known::new(),
            past: Counters::default(),
            notices: Notices::new(settings.suspect_after),
            now,
        }
    }

    /// Its name.
    pub fn name(&self) -> GroupName {
        self.name
    }

    /// Its identity.
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// Its order: as wished until it is joined.
    pub fn order(&self) -> OrderKind {
        self.membership.order()
    }

    /// The current view's identity; `None` while joining.
    pub fn view_id(&self) -> Option<ViewId> {
        self.membership.view().filter(|_| self.joined).map(|view| view.id)
    }

    /// Nodes that have come to matter since the last call, and where they may be.
    pub fn take_wanted(&mut self) -> Vec<(Incarnation, Addresses)> {
        self.membership.take_wanted()
    }

    /// A node said to be in the group.
    pub fn add_contact(&mut self, now: Instant, node: Incarnation, addresses: &Addresses) {
        self.membership.add_contact(now, node, addresses);
    }

    /// Takes a message for the group. It is sent at once, or queued while the window is full or the view changes.
    pub fn send(&mut self, now: Instant, payload: Bytes) -> Result<MessageId, SendError> {
        if self.stage != Stage::Member || !self.joined {
            return Err(SendError::NotAMember);
        }
        self.outbox.push(now, self.count + 1, payload, MESSAGE_MAX)?;
        self.count += 1;
        self.work(now);
        Ok(MessageId { sender: self.membership.me().id, count: self.count })
    }

    /// Whether nothing is left to do: the group can be dropped once its events are taken.
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over && self.deliveries.is_empty()
    }

    /// Whether there is an event for the application.
    pub fn has_event(&self) -> bool {
        self.deliveries.has_event()
    }

    /// The next event for the application.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.deliveries.poll_event()
    }

    /// What this node knew of the group's messages when it left: the last one of each member.
    pub fn into_known(self) -> Known {
        self.deliveries.into_known()
    }

    /// A frame of this group has come. `datagram` is what it came in. Returns whether the membership should look at
    /// the world anew: messages and acknowledgements alone are no reason.
    pub fn handle_frame(
        &mut self,
        now: Instant,
        mesh: &Mesh,
        (from, arrival): (Incarnation, Arrival),
        section: Section,
        frame: Frame<'_>,
        datagram: &Bytes,
    ) -> bool {
        if self.stage == Stage::Over {
            return false;
        }
        self.now = now;
        if let Some(view) = section.view {
            self.with_membership(now, mesh, |membership, cx| membership.handle_installed(cx, from, view));
        }
        match frame {
            Frame::Data(_)
            | Frame::PacketNumber(_)
            | Frame::Acks(_)
            | Frame::Request(_)
            | Frame::Proposals(_)
            | Frame::Decisions(_)
            | Frame::Decided(_) => {
                if let Some(live) = self.live.as_mut().filter(|live| Some(live.view) == section.view) {
                    live.handle_frame(now, from, &frame, datagram);
                }
                return self.membership.is_frozen();
            }
            Frame::Beacon(beacon) => {
                return self
                    .with_membership(now, mesh, |m, cx| m.handle_beacon(cx, from, section.view, beacon));
            }
            Frame::Join(join) => {
                let at = (from, arrival.address());
                self.with_membership(now, mesh, |m, cx| m.handle_join(cx, at, section.view, *join));
            }
            Frame::Refuse(refuse) => self.membership.handle_refuse(from, refuse),
            Frame::Nack(nack) => self.with_membership(now, mesh, |m, cx| m.handle_nack(cx, from, nack)),
            Frame::Ready(ready) => self.with_membership(now, mesh, |m, cx| m.handle_ready(cx, from, ready)),
            Frame::Install(install) => {
                self.with_membership(now, mesh, |m, cx| m.handle_installed(cx, from, install.attempt));
            }
            Frame::Parcel(parcel) => {
                self.with_membership(now, mesh, |m, cx| m.handle_parcel(cx, from, &parcel));
            }
            Frame::ParcelAck(ack) => self.membership.handle_parcel_ack(from, &ack),
            Frame::Hello(_)
            | Frame::Ping(_)
            | Frame::Links(_)
            | Frame::Section(_)
            | Frame::Card(_)
            | Frame::Listing(_)
            | Frame::Acquaintance(_) => return false,
        }
        true
    }

    /// The mesh has found something out.
    pub fn handle_mesh(&mut self, now: Instant, event: MeshEvent) {
        let (node, suspected) = match event {
            MeshEvent::Met(node) => {
                self.membership.handle_met(node);
                (node, false)
            }
            MeshEvent::Suspected(node) => (node, true),
            MeshEvent::Back(node) => (node, false),
        };
        let Some(rank) = self.membership.view().and_then(|view| view.rank_of_node(node)) else { return };
        let Some(live) = &mut self.live else { return };
        live.multicast.suspected(now, rank, suspected);
        let (group, member) = (self.name, live.names[rank]);
        let event = match suspected {
            true => self.notices.suspected(group, member),
            false => self.notices.back(group, member),
        };
        event.into_iter().for_each(|event| self.deliveries.push_news(now, event));
    }

    /// Looks at everything anew: after input, and when time has passed.
    pub fn advance(&mut self, now: Instant, mesh: &Mesh) {
        if matches!(self.stage, Stage::Over) {
            return;
        }
        if let Some(live) = &mut self.live {
            live.multicast.handle_timeout(now);
        }
        self.with_membership(now, mesh, |membership, cx| membership.advance(cx));
        self.advance_catch_up(now, mesh);
        self.work(now);
        self.advance_notices(now, mesh);
        self.advance_leave(now, mesh);
    }

    /// Delivers and sends what can be.
    pub fn work(&mut self, now: Instant) {
        self.now = now;
        let Some(live) = &mut self.live else { return };
        if live.multicast.is_frozen() || matches!(self.stage, Stage::Out(_) | Stage::Over) {
            return;
        }
        loop {
            while let Some(queued) = self.outbox.pop_if(|len| live.can_send(len)) {
                live.send(now, queued);
            }
            let room = self.deliveries_max.saturating_sub(self.deliveries.len());
            if live.deliver(now, self.name, room, &mut self.deliveries) == 0 {
                break;
            }
        }
        if self.outbox.is_writable_again() {
            self.deliveries.push(now, Event::Writable { group: self.name });
        }
        self.watch(now);
    }

    /// A heartbeat is about to leave for this node: beacon and receive vector ride on it.
    pub fn heartbeat(&mut self, node: Incarnation, rtt: Option<Rtt>) {
        self.membership.heartbeat(node);
        let rank = self.membership.view().and_then(|view| view.rank_of_node(node));
        if let Some((rank, live)) = rank.zip(self.live.as_mut()) {
            live.heartbeat(rank, rtt);
        }
    }

    /// Writes what is due for this node; true if more is due than fitted.
    #[must_use]
    pub fn write(&mut self, now: Instant, node: Incarnation, rtt: Option<Rtt>, packer: &mut Packer) -> bool {
        let timeout = rtt.map_or(FIRST_TIMEOUT, |rtt| rtt.timeout().max(SHORTEST_TIMEOUT));
        if self.membership.write(now, node, timeout, self.id, packer) {
            return true;
        }
        let rank = self.membership.view().and_then(|view| view.rank_of_node(node));
        let Some((rank, live)) = rank.zip(self.live.as_mut()) else { return false };
        let section = Section { group: self.id, view: Some(live.view) };
        live.write(now, rank, section, packer)
    }

    /// There is no way to this node: what is due of messages for it is thrown away, as it will be repeated; all else waits.
    pub fn discard(&mut self, now: Instant, node: Incarnation, packer: impl Fn() -> Packer) {
        self.membership.hold(now, node);
        let rank = self.membership.view().and_then(|view| view.rank_of_node(node));
        let Some((rank, live)) = rank.zip(self.live.as_mut()) else { return };
        let section = Section { group: self.id, view: Some(live.view) };
        live.discard(now, rank, section, packer);
    }

    /// Whether this node matters to this group.
    pub fn knows(&self, node: Incarnation) -> bool {
        self.membership.knows(node)
    }

    /// The person behind a node of this group.
    pub fn name_of(&self, node: Incarnation) -> Option<UserName> {
        self.membership.name_of(node)
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<Wakeup> {
        if self.stage == Stage::Over {
            return None;
        }
        let multicast = self.live.as_ref().and_then(Live::poll_timeout);
        let ask = self.deliveries.poll_timeout();
        let paused = self.live.as_ref().is_some_and(|live| live.paused && !live.multicast.is_frozen());
        let resume = (paused && self.deliveries.len() < self.deliveries_max.div_ceil(2))
            .then_some(Wakeup { at: self.now, reason: "group: deliveries may go on" });
        [
            self.membership.poll_timeout(),
            multicast,
            self.stage.deadline(),
            ask,
            resume,
            self.notices.poll_timeout(),
        ]
        .into_iter()
        .fold(None, Wakeup::earliest)
    }

    /// The current view.
    pub fn view(&self) -> Option<ViewInfo> {
        let view = self.membership.view().filter(|_| self.joined)?;
        let members = view.members.iter().map(|member| (member.id, member.name)).collect();
        Some(ViewInfo { id: view.id, order: self.membership.order(), members })
    }

    /// Whether each member is reached; over whom, the mesh knows.
    pub fn members(&self, now: Instant, mesh: &Mesh) -> Vec<MemberStatus> {
        let me = self.membership.me().id;
        let status = |id: MemberId| match id == me {
            true => Reached::Me,
            false if mesh.reaches(now, id.incarnation) && !mesh.suspects(id.incarnation) => Reached::Direct,
            false => Reached::No,
        };
        let members = self.membership.view().into_iter().flat_map(|view| &view.members);
        let rtt = |id: MemberId| mesh.rtt(id.incarnation).map(|rtt| rtt.smoothed);
        members
            .map(|m| MemberStatus { id: m.id, name: m.name, reached: status(m.id), rtt: rtt(m.id) })
            .collect()
    }

    /// The member of this name, if it is another one and not suspected.
    pub fn find(&self, mesh: &Mesh, name: UserName) -> Option<&Member> {
        let members = self.membership.view().filter(|_| self.joined)?.members.iter();
        let other = |m: &&Member| m.id != self.membership.me().id && !mesh.suspects(m.id.incarnation);
        members.filter(other).find(|member| member.name == name)
    }

    /// What is received, not delivered, and what it waits for.
    pub fn held(&self) -> Vec<Held> {
        let received = self.live.iter().flat_map(|live| live.held(&self.before));
        self.deliveries.held().chain(received).collect()
    }

    /// Counters over all views.
    pub fn counters(&self) -> Counters {
        let now = self.live.as_ref().map(|live| live.multicast.counters()).unwrap_or_default();
        self.past.plus(now)
    }

    fn with_membership<T>(
        &mut self,
        now: Instant,
        mesh: &Mesh,
        call: impl FnOnce(&mut Membership, &mut Context<'_>) -> T,
    ) -> T {
        let deliveries = &self.deliveries;
        let known = &|delivered| deliveries.known_with(delivered);
        let prior = self.live.as_mut().map(|live| live as &mut dyn Prior);
        let result = call(&mut self.membership, &mut Context { now, mesh, prior, known });
        while let Some(outcome) = self.membership.poll_outcome() {
            match outcome {
                Outcome::Installed(installed) => self.install(now, mesh, *installed),
                Outcome::Refused(reason) => self.refused(reason),
                Outcome::MergeRefused => {
                    self.deliveries.push_news(now, Event::MergeRefused { group: self.name })
                }
                Outcome::Recall(from, recall) => self.handle_recall(now, from, &recall),
                Outcome::Past(from, past) => self.handle_past(now, from, past),
                Outcome::Alone(cut) => self.end_alone(now, &cut),
            }
        }
        result
    }

    /// The end of one view and the beginning of the next: first what the cut still gives, then the view.
    fn install(&mut self, now: Instant, mesh: &Mesh, installed: Installed) {
        let (mut former, mut ended) = (None, Vec::new());
        if let Some(mut live) = self.live.take() {
            if let Some(cut) = &installed.cut {
                live.finish(now, self.name, cut, &mut self.deliveries);
            }
            ended.extend(live.known());
            former = Some(live.view);
            let last = live.known().map(|id| (id.sender, id.count));
            membership::note(&mut self.before, last, |_| true);
            self.past = self.past.plus(live.multicast.counters());
        }
        if installed.out {
            self.stage = Stage::Out(now);
            self.deliveries.history.learn(ended.into_iter());
            return;
        }
        let order = (self.membership.order(), installed.position);
        let me = self.membership.me().id;
        self.joined = true;
        self.live = Live::new(now, mesh, &installed.view, me, order);
        if former.is_some() && !installed.merged {
            let fresh = installed.view.members.iter().filter(|m| installed.joined.contains(&m.name));
            membership::note(&mut self.before, fresh.map(|m| (m.id, 0)), |_| true);
        }
        self.before.retain(|&member, _| installed.view.contains(member));
        let Some(view) = self.view() else { return };
        let tellers = Tellers::new(&installed, former, me);
        let cause = match () {
            () if installed.merged => Cause::Merge,
            () if !installed.lost.is_empty() => Cause::Suspected,
            () if !installed.left.is_empty() => Cause::Leave,
            () => Cause::Join,
        };
        let group = self.name;
        let is_marked = former.is_some() && installed.origins.iter().any(|&origin| origin != former);
        for event in self.notices.installed(group, &installed) {
            self.deliveries.push(now, event);
        }
        let (joined, left) = (installed.joined, installed.left);
        let event = match former {
            None => Event::Joined { group, view },
            Some(_) => Event::View { group, view, joined, left, cause },
        };
        let view = installed.view;
        self.deliveries.begin(now, event, Beginning { view, ended, is_marked, tellers });
        self.work(now);
    }

    fn refused(&mut self, reason: Refusal) {
        self.deliveries.push(self.now, Event::Refused { group: self.name, reason });
        self.stage = Stage::Over;
    }
}
