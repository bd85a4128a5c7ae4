//! One node's private conversations: begun when there is something to say, ended when there no longer is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::api::Correspondent;
use crate::base::id::{Incarnation, MemberId, MessageId, UserName, ViewId};
use crate::base::limits::CONVERSATIONS_MAX;
use crate::base::time::Instant;
use crate::group::{Conversation, Event, SendError};
use crate::machine::Wakeup;
use crate::mesh::{Mesh, MeshEvent, Rtt};
use crate::multicast::Counters;
use crate::wire::membership::{Addresses, Join, Member};
use crate::wire::{Frame, Packer, Section};

/// Speakers whose conversations are remembered, so that no former one is taken for a new one.
const SPEAKERS_MAX: usize = 16 * CONVERSATIONS_MAX;
/// People for whom there was no room, and whom this node is told of when there is.
const REFUSED_MAX: usize = 16 * CONVERSATIONS_MAX;
/// What a listener has not heard of for so long its speaker has ended: it may make room for others.
const LISTENED_FOR: Duration = Duration::from_secs(60);

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It belongs to a conversation.
    Taken,
    /// It belongs to one that this node does not have any more, or does not take up: its sender is to be told.
    Refused,
    /// It belongs to none.
    Unknown,
}

/// All conversations of one node.
#[derive(Clone, Debug)]
pub(super) struct Conversations {
    me: Member,
    suspect_after: Duration,
    /// By their views: the speaker's member id makes each unique.
    of: BTreeMap<ViewId, Conversation>,
    /// The newest conversation of each speaker who was listened to, the latest last.
    speakers: VecDeque<MemberId>,
    /// Whose event was taken last.
    served: Option<ViewId>,
    /// Counters of those that are over.
    past: Counters,
    /// Those to whom a conversation could not be begun.
    refused: BTreeSet<UserName>,
    /// What is to be told beside what each conversation tells.
    events: VecDeque<Event>,
    /// This node ends: no conversation begins any more.
    closed: bool,
    /// Whom to tell that.
    farewells: Vec<(Incarnation, Conversation)>,
}

impl Conversations {
    pub(super) fn new(me: Member, suspect_after: Duration) -> Conversations {
        Conversations {
            me,
            suspect_after,
            of: BTreeMap::new(),
            speakers: VecDeque::new(),
            served: None,
            past: Counters::default(),
            refused: BTreeSet::new(),
            events: VecDeque::new(),
            closed: false,
            farewells: Vec::new(),
        }
    }

    /// Says something to a node; `join` makes a new conversation unique, if one must be begun.
    pub(super) fn send(
        &mut self,
        now: Instant,
        mesh: &mut Mesh,
        to: &Correspondent,
        join: &mut u32,
        payload: Bytes,
    ) -> Result<MessageId, SendError> {
        if self.closed || to.incarnation == self.me.id.incarnation {
            return Err(SendError::NotAMember);
        }
        let open = |c: &&mut Conversation| {
            c.is_speaker() && !c.is_over() && c.peer().id.incarnation == to.incarnation
        };
        if let Some(conversation) = self.of.values_mut().find(open) {
            return conversation.send(now, payload);
        }
        // The person runs another node now: nothing that is said from here on may overtake what its former one did not
        // confirm.
        let former = |c: &&mut Conversation| c.is_speaker() && c.peer().name == to.name;
        self.of.values_mut().filter(former).for_each(Conversation::close);
        if !self.make_room(now, true) || !mesh.has_room_for(to.incarnation) {
            if self.refused.len() < REFUSED_MAX {
                self.refused.insert(to.name);
            }
            return Err(SendError::Busy);
        }
        mesh.want(now, to.incarnation, &to.addresses);
        let me = Member { id: MemberId { join: *join, ..self.me.id }, ..self.me.clone() };
        *join += 1;
        let peer = MemberId { incarnation: to.incarnation, join: 0 };
        let peer = Member { id: peer, name: to.name, addresses: to.addresses.clone() };
        let mut conversation = Conversation::speak(now, mesh, me, peer).ok_or(SendError::NotAMember)?;
        let id = conversation.send(now, payload)?;
        self.insert(conversation);
        Ok(id)
    }

    /// A frame has come from this node that belongs to no group.
    pub(super) fn handle_frame(
        &mut self,
        now: Instant,
        mesh: &mut Mesh,
        from: Incarnation,
        section: Section,
        frame: &Frame<'_>,
        datagram: &Bytes,
    ) -> Heard {
        let Some(view) = section.view else { return Heard::Unknown };
        if let Some(conversation) = self.of.get_mut(&view).filter(|c| c.section() == section) {
            if conversation.peer().id.incarnation == from {
                conversation.handle_frame(now, from, frame, datagram);
                self.tell_refused(now, mesh);
            }
            return Heard::Taken;
        }
        let speaker = view.coordinator;
        if speaker.incarnation != from || section.group != Conversation::id(from, self.me.id.incarnation) {
            return Heard::Unknown;
        }
        let newest = self.speakers.iter().find(|known| known.incarnation == from);
        let is_past = newest.is_some_and(|newest| newest.join >= speaker.join);
        match frame {
            Frame::Refuse(_) => Heard::Taken,
            _ if is_past => Heard::Refused,
            Frame::Join(join) if join.member.id == speaker => self.listen(now, mesh, section, join),
            _ => Heard::Taken,
        }
    }

    /// Somebody begins a conversation with this node; a former one of that speaker's is over.
    fn listen(&mut self, now: Instant, mesh: &mut Mesh, section: Section, join: &Join) -> Heard {
        let speaker = join.member.id;
        let listener = Member { id: MemberId { join: 0, ..self.me.id }, ..self.me.clone() };
        mesh.want(now, speaker.incarnation, &join.member.addresses);
        let room = !self.closed && mesh.knows(speaker.incarnation) && self.make_room(now, false);
        let conversation = Conversation::listen(now, mesh, join.member.clone(), listener);
        let Some(conversation) = conversation.filter(|c| room && c.section() == section) else {
            return Heard::Refused;
        };
        let is_former =
            |c: &&mut Conversation| !c.is_speaker() && c.peer().id.incarnation == speaker.incarnation;
        self.of.values_mut().filter(is_former).for_each(Conversation::close);
        self.speakers.retain(|known| known.incarnation != speaker.incarnation);
        self.speakers.push_back(speaker);
        if self.speakers.len() > SPEAKERS_MAX {
            self.speakers.pop_front();
        }
        self.insert(conversation);
        Heard::Taken
    }

    fn insert(&mut self, conversation: Conversation) {
        if let Some(view) = conversation.section().view {
            self.of.insert(view, conversation);
        }
    }

    /// Room for one more in which this node speaks, or listens: those whose last events wait to be taken count as
    /// well, and if need be the one that has been idle for longest ends.
    fn make_room(&mut self, now: Instant, speaks: bool) -> bool {
        let room = self.has_room(speaks);
        if !room && let Some(idle) = self.longest_idle(now, speaks) {
            if let Some(conversation) = self.of.get_mut(&idle) {
                conversation.close();
            }
            self.drop_over();
        }
        room || self.has_room(speaks)
    }

    fn has_room(&self, speaks: bool) -> bool {
        self.of.values().filter(|c| c.is_speaker() == speaks).count() < CONVERSATIONS_MAX
    }

    /// Of those that may end the one in which nothing was said for longest.
    fn longest_idle(&self, now: Instant, speaks: bool) -> Option<ViewId> {
        let least = if speaks { Duration::ZERO } else { LISTENED_FOR };
        let idle = self.of.iter().filter(|(_, c)| c.is_speaker() == speaks && !c.has_event());
        let idle = idle.filter_map(|(&view, c)| Some((c.idle_since()?, view)));
        idle.filter(|&(since, _)| now.since(since) >= least).min().map(|(_, view)| view)
    }

    /// Tells of those who were refused, once there is room for one of them.
    fn tell_refused(&mut self, now: Instant, mesh: &Mesh) {
        if !self.refused.is_empty()
            && mesh.has_room()
            && (self.has_room(true) || self.longest_idle(now, true).is_some())
        {
            let refused = std::mem::take(&mut self.refused);
            self.events.extend(refused.into_iter().map(|to| Event::PrivateWritable { to }));
        }
    }

    /// The application has this message for good.
    pub(super) fn accept(&mut self, now: Instant, id: MessageId) {
        let is_its = |c: &&mut Conversation| {
            c.section().view.is_some_and(|view| view.coordinator == id.sender) && !c.is_speaker()
        };
        self.of.values_mut().filter(is_its).for_each(|conversation| conversation.accept(now, id.count));
    }

    /// The mesh has found something out.
    pub(super) fn handle_mesh(&mut self, now: Instant, event: MeshEvent) {
        let (node, suspected) = match event {
            MeshEvent::Suspected(node) => (node, true),
            MeshEvent::Back(node) => (node, false),
            // Met by an old echo it may be suspected already, and then stays so until it is back.
            MeshEvent::Met(_) => return,
        };
        for conversation in self.of.values_mut().filter(|c| c.peer().id.incarnation == node) {
            conversation.suspect(now, suspected);
        }
    }

    /// Time has passed.
    pub(super) fn advance(&mut self, now: Instant, mesh: &mut Mesh) {
        for conversation in self.of.values_mut() {
            let peer = conversation.peer();
            if !mesh.knows(peer.id.incarnation) {
                mesh.want(now, peer.id.incarnation, &peer.addresses);
            }
            if !mesh.knows(peer.id.incarnation) {
                conversation.close();
            }
            conversation.advance(now, self.suspect_after);
        }
        self.drop_over();
        self.tell_refused(now, mesh);
    }

    fn drop_over(&mut self) {
        let past = &mut self.past;
        self.of.retain(|_, conversation| {
            let kept = !conversation.is_over() || conversation.has_event();
            if !kept {
                *past = past.plus(conversation.counters());
            }
            kept
        });
    }

    /// Whether this node takes part in one.
    pub(super) fn knows(&self, node: Incarnation) -> bool {
        self.of.values().any(|c| !c.is_over() && c.peer().id.incarnation == node)
    }

    /// The person behind a node that takes part in one.
    pub(super) fn name_of(&self, node: Incarnation) -> Option<UserName> {
        let mut peers = self.of.values().map(Conversation::peer);
        peers.find(|peer| peer.id.incarnation == node).map(|peer| peer.name)
    }

    /// A node of that person's that takes part in one and is in reach.
    pub(super) fn find(&self, mesh: &Mesh, name: UserName) -> Option<Correspondent> {
        let mut peers = self.of.values().filter(|c| !c.is_over()).map(Conversation::peer);
        let peer = peers.find(|peer| peer.name == name && !mesh.suspects(peer.id.incarnation))?;
        let (incarnation, addresses) = (peer.id.incarnation, peer.addresses.clone());
        Some(Correspondent { name, incarnation, addresses })
    }

    /// Whether something that this node said is not confirmed.
    pub(super) fn has_unconfirmed(&self) -> bool {
        self.of.values().any(Conversation::has_unconfirmed)
    }

    /// This node ends: the others are told with the next datagrams, and what is not confirmed will not be.
    pub(super) fn close(&mut self) {
        self.closed = true;
        for conversation in self.of.values_mut().filter(|c| !c.is_over()) {
            self.farewells.push((conversation.peer().id.incarnation, conversation.clone()));
            conversation.close();
        }
    }

    /// The next event, from each in turn; of several with one node the earlier comes first.
    pub(super) fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        let after = |c: &(&ViewId, &Conversation)| self.served.is_none_or(|served| *c.0 > served);
        let is_first = |view: ViewId, c: &Conversation| {
            let mut earlier = self.of.range(..view).map(|(_, earlier)| earlier);
            !earlier.any(|earlier| earlier.section().group == c.section().group && earlier.has_event())
        };
        let ready = || self.of.iter().filter(|&(&view, c)| c.has_event() && is_first(view, c));
        let view = ready().find(after).or_else(|| ready().next()).map(|(&view, _)| view)?;
        self.served = Some(view);
        let event = self.of.get_mut(&view).and_then(Conversation::poll_event);
        self.drop_over();
        event
    }

    /// A heartbeat is about to leave for this node.
    pub(super) fn heartbeat(&mut self, node: Incarnation, rtt: Option<Rtt>) {
        self.with(node).for_each(|conversation| conversation.heartbeat(rtt));
    }

    /// Writes what is due for this node; true if more is due than fitted.
    #[must_use]
    pub(super) fn write(&mut self, now: Instant, node: Incarnation, packer: &mut Packer) -> bool {
        self.farewells.retain_mut(|(to, conversation)| *to != node || !conversation.write_end(now, packer));
        self.with(node).any(|conversation| conversation.write(now, packer))
    }

    /// Throws away what is due for a node that cannot be reached yet: it will be repeated.
    pub(super) fn discard(&mut self, now: Instant, node: Incarnation, packer: impl Fn() -> Packer) {
        self.with(node).for_each(|conversation| conversation.discard(now, &packer));
    }

    fn with(&mut self, node: Incarnation) -> impl Iterator<Item = &mut Conversation> {
        self.of.values_mut().filter(move |c| !c.is_over() && c.peer().id.incarnation == node)
    }

    /// The next deadline.
    pub(super) fn poll_timeout(&self) -> Option<Wakeup> {
        let deadlines = self.of.values().map(|c| c.poll_timeout(self.suspect_after));
        deadlines.fold(None, Wakeup::earliest)
    }

    /// What happened since the start.
    pub(super) fn counters(&self) -> Counters {
        self.of.values().fold(self.past, |sum, conversation| sum.plus(conversation.counters()))
    }

    /// The addresses at which others may reach this node have changed.
    pub(super) fn set_addresses(&mut self, addresses: Addresses) {
        self.me.addresses = addresses;
    }
}
