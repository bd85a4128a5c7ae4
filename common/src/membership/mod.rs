//! The group is what its members agree: views, and how they change.
//!
//! One attempt to change the view: the coordinator asks the participants (`Prepare`); each freezes and reports what it
//! holds (`Promise`); the coordinator computes with which messages each prior view ends (`Cut`); each fetches what it
//! lacks of that (`Ready`); when all are ready, everybody installs (`Install`). An attempt that fails is followed by a
//! higher one. From its promise to an install a member delivers, sends and acknowledges nothing: no time-out ends this.
//!
//! Who leads: of the members of a view that are not suspected, the one with the lowest rank; where several views of
//! the group are in sight, the view with the lowest id takes the others in. Everybody else waits, and tries itself
//! after a time-out. The scheme is that of virtual synchrony (Birman and Joseph 1987; Moser et al., *Extended virtual
//! synchrony*, 1994), with the numbered attempts of Paxos.
//!
//! Files: `view`; `change` (the data of a change under way); `participant`, `coordinator`, `joiner` (the three parts a
//! node plays, as methods of [`Membership`]); `roster` (whom we know of); `waits` (for whom a change waits); `apart` (who
//! is left out when there are too many); `compose`, `cut` and `known` (arithmetic); `courier` (transport of large messages).

mod apart;
mod change;
mod compose;
mod coordinator;
mod courier;
mod cut;
mod joiner;
mod known;
mod participant;
mod roster;
mod view;
mod waits;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use known::{Known, digest, note};
pub use view::View;

use crate::base::id::{GroupId, Incarnation, MemberId, MessageId, UserName, ViewId};
use crate::base::limits::MEMBERS_MAX;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::machine::Wakeup;
use crate::mesh::Mesh;
use crate::order::{OrderKind, OrderReport};
use crate::wire::membership::{
    Addresses, Digest, Holdings, Join, Member, Message, ParcelKind, Past, PriorCut, Recall, Refusal, Refuse,
};
use crate::wire::{Beacon, Frame, Packer, Section};
use apart::Apart;
use change::{Attempt, Change};
use courier::Courier;
use roster::{News, Roster};

/// Several joins, leaves and suspicions within this time make one change.
const SETTLE: Duration = Duration::from_millis(5);
/// How often a wish to come in is repeated.
const WISH_REPEAT: Duration = Duration::from_millis(200);
/// How often a `Ready` is repeated.
const READY_REPEAT: Duration = Duration::from_millis(100);
/// How far another member's attempts can be ahead of those I have seen.
const NUMBERS_AHEAD: u64 = 1 << 32;
/// How often the mesh is reminded of the nodes that matter: it may have had to forget one.
const REMIND: Duration = Duration::from_secs(1);
/// Small frames that wait for one peer; all of them are repeated by their own timers, so the oldest may go.
const OUTBOX_MAX: usize = 16;
/// Nodes for which frames may wait, beyond those that matter to the group.
const OUTBOX_PEERS_MAX: usize = 4 * MEMBERS_MAX;

/// What a change of views needs of the view that ends.
pub trait Prior {
    /// Stop delivering, sending and acknowledging; report what is held.
    fn freeze(&mut self) -> (Holdings, OrderReport);
    /// Get what is lacking of this cut.
    fn fetch(&mut self, now: Instant, cut: &PriorCut);
    /// About how many fragments of this cut are lacking; 0 means none.
    fn lacks(&self, cut: &PriorCut) -> u64;
    /// The last message of each member that is delivered.
    fn delivered(&self) -> Vec<MessageId>;
    /// Take the cut's decisions as one's own.
    fn adopt(&mut self, cut: &PriorCut);
}

/// What every call needs to know of the world.
pub struct Context<'a> {
    /// The time.
    pub now: Instant,
    /// Who is in reach.
    pub mesh: &'a Mesh,
    /// The current view's messages; `None` for a joiner.
    pub prior: Option<&'a mut dyn Prior>,
    /// What this node knows of all that was ever said, having delivered these in its current view.
    pub known: &'a dyn Fn(Vec<MessageId>) -> Digest,
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A view is installed.
    Installed(Box<Installed>),
    /// This node is not taken in.
    Refused(Refusal),
    /// My view does not merge with another one in sight, since that is full.
    MergeRefused,
    /// This node wanted to leave, and nobody else is left: its view ends for it with all that it holds.
    Alone(PriorCut),
    /// This node asks what was said before a view.
    Recall(Incarnation, Recall),
    /// This node tells it.
    Past(Incarnation, Past),
}

/// A change that has come to its end.
#[derive(Clone, Debug)]
pub struct Installed {
    /// The new view.
    pub view: View,
    /// With what my former view ended; `None` if I had none.
    pub cut: Option<PriorCut>,
    /// How many messages the group's sequence has before the new view.
    pub position: u64,
    /// Members that my former view did not have.
    pub joined: Vec<UserName>,
    /// Members of my former view that are gone.
    pub left: Vec<UserName>,
    /// Those of them who did not take part: they were suspected, or are elsewhere.
    pub lost: Vec<(Incarnation, UserName)>,
    /// Whether some of the new ones come from another view.
    pub merged: bool,
    /// The view that each member comes from, by rank; `None` for one who was in none.
    pub origins: Vec<Option<ViewId>>,
    /// What they knew between them of all that was ever said.
    pub known: Digest,
    /// I have left: I took part, and am not a member of the new view.
    pub out: bool,
}

/// The membership of one group at one node.
#[derive(Clone, Debug)]
pub struct Membership {
    me: Member,
    order: OrderKind,
    rng: Rng,
    suspect_after: Duration,
    view: Option<Arc<View>>,
    /// How many messages the group's sequence had when the view began.
    position: u64,
    /// The highest attempt promised, ever.
    promised: Option<ViewId>,
    /// The highest number of an attempt seen, ever.
    seen: u64,
    change: Option<Change>,
    attempt: Option<Attempt>,
    roster: Roster,
    courier: Courier,
    leaving: bool,
    joining_since: Instant,
    wish_at: Instant,
    ready_at: Instant,
    /// Since when there is a reason for a change that nobody has acted on.
    reason_since: Option<Instant>,
    /// How long I wait for the one who should lead, before I try myself.
    patience: Duration,
    /// Attempts of mine that were refused in a row.
    refusals: u32,
    apart: Apart,
    /// Who was silent in my last attempt: left out of the next.
    silent: BTreeSet<MemberId>,
    /// Nodes that matter to this group.
    peers: BTreeSet<Incarnation>,
    /// Those of them that the mesh has not been told of.
    wanted: Vec<(Incarnation, Addresses)>,
    remind_at: Instant,
    outbox: BTreeMap<Incarnation, Vec<Frame<'static>>>,
    beacons: BTreeSet<Incarnation>,
    outcomes: Vec<Outcome>,
    check_at: Option<Wakeup>,
}

impl Membership {
    /// A node that wants in. It founds the group when there is nobody to ask.
    pub fn new(now: Instant, me: Member, order: OrderKind, suspect_after: Duration, seed: u64) -> Membership {
        let mut rng = Rng::from_seed(seed);
        let patience = rng.between(suspect_after / 2, suspect_after);
        Membership {
            order,
            rng,
            suspect_after,
            view: None,
            position: 0,
            promised: None,
            seen: 0,
            change: None,
            attempt: None,
            roster: Roster::default(),
            courier: Courier::new(me.id.join),
            me,
            leaving: false,
            joining_since: now,
            wish_at: now,
            ready_at: now,
            reason_since: None,
            patience,
            refusals: 0,
            apart: Apart::default(),
            silent: BTreeSet::new(),
            peers: BTreeSet::new(),
            wanted: Vec::new(),
            remind_at: now,
            outbox: BTreeMap::new(),
            beacons: BTreeSet::new(),
            outcomes: Vec::new(),
            check_at: None,
        }
    }

    /// This node as a member.
    pub fn me(&self) -> &Member {
        &self.me
    }

    /// The group's order: as wished until a view is installed.
    pub fn order(&self) -> OrderKind {
        self.order
    }

    /// The current view; `None` while joining.
    pub fn view(&self) -> Option<&View> {
        self.view.as_deref()
    }

    /// Whether this node has promised a change and not installed since.
    pub fn is_frozen(&self) -> bool {
        self.view.is_some() && self.change.is_some()
    }

    /// A node said to be in the group.
    pub fn add_contact(&mut self, now: Instant, node: Incarnation, addresses: &Addresses) {
        if node != self.me.id.incarnation {
            self.roster.add_contact(now, (node, None), addresses);
            self.wanted.push((node, addresses.clone()));
            self.refresh_peers();
            self.beacons.insert(node);
        }
    }

    /// This node wants to leave; its last message has entered the view.
    pub fn leave(&mut self) {
        self.leaving = true;
        self.beacon_all();
    }

    /// Whether this node matters to this group: a member, a participant, or somebody to look for.
    pub fn knows(&self, node: Incarnation) -> bool {
        self.peers.contains(&node)
    }

    /// Nodes that have come to matter since the last call, and where they may be.
    pub fn take_wanted(&mut self) -> Vec<(Incarnation, Addresses)> {
        std::mem::take(&mut self.wanted)
    }

    /// Finds out anew which nodes matter to this group.
    fn refresh_peers(&mut self) {
        let members = self.view.iter().flat_map(|view| &view.members);
        let prepares = self.change.iter().map(|change| &change.prepare);
        let prepares = prepares.chain(self.attempt.iter().map(|attempt| &attempt.prepare));
        let members = members.chain(prepares.flat_map(|prepare| &prepare.participants));
        let members = members.map(|member| (member.id.incarnation, &member.addresses));
        let all = members.chain(self.roster.contacts()).filter(|&(node, _)| node != self.me.id.incarnation);
        let mut peers = BTreeSet::new();
        for (node, addresses) in all {
            if peers.insert(node) && !self.peers.contains(&node) {
                self.wanted.push((node, addresses.clone()));
            }
        }
        self.peers = peers;
        self.courier.retain(|peer| self.peers.contains(&peer));
        if self.outbox.len() > OUTBOX_PEERS_MAX {
            self.outbox.retain(|peer, _| self.peers.contains(peer));
        }
    }

    /// Asks this node what was said before a view; the same question is not asked while it is still on its way.
    pub fn ask_past(&mut self, node: Incarnation, recall: Recall, is_repeated: bool) {
        if !is_repeated || !self.courier.is_sending(node, ParcelKind::Recall) {
            self.courier.send(node, &Message::Recall(recall));
        }
    }

    /// Tells this node what was said before a view, unless an earlier answer is still on its way.
    pub fn tell_past(&mut self, node: Incarnation, past: impl FnOnce() -> Past) {
        if !self.courier.is_sending(node, ParcelKind::Past) {
            self.courier.send(node, &Message::Past(past()));
        }
    }

    /// Whether all members of my view have said that they have installed it.
    pub fn is_installed_everywhere(&self) -> bool {
        let Some(view) = &self.view else { return true };
        let there = |m: &Member| self.roster.node(m.id.incarnation).is_some_and(|n| n.view >= Some(view.id));
        view.members.iter().all(|m| m.id == self.me.id || there(m))
    }

    /// A heartbeat is about to leave for this node: let the beacon ride on it.
    pub fn heartbeat(&mut self, node: Incarnation) {
        self.beacons.insert(node);
    }

    /// A beacon has come; `view` is its sender's. Returns whether it tells anything new: most do not.
    pub fn handle_beacon(
        &mut self,
        cx: &mut Context<'_>,
        from: Incarnation,
        view: Option<ViewId>,
        beacon: Beacon,
    ) -> bool {
        if beacon.member.incarnation != from {
            return false;
        }
        if ![view, beacon.promised].into_iter().flatten().all(|id| self.see(id)) {
            return false;
        }
        let news = self.roster.handle_beacon(cx.now, view, beacon);
        if news == News::First && !cx.mesh.suspects(from) {
            self.beacons.insert(from);
        }
        news != News::None
    }

    /// A wish to come in has come: from the node itself (`view` is where it is now), or a joiner's, forwarded by a member
    /// of my view. From a member of another view it is but a hint whom to look for.
    pub fn handle_join(
        &mut self,
        cx: &mut Context<'_>,
        (from, address): (Incarnation, Option<SocketAddr>),
        view: Option<ViewId>,
        join: Join,
    ) {
        let mut member = join.member;
        let node = member.id.incarnation;
        if self.view.as_ref().is_none_or(|mine| mine.contains(member.id)) {
            return;
        }
        let direct = from == node;
        if direct && let Some(address) = address.filter(|address| !member.addresses.contains(address)) {
            member.addresses.truncate(member.addresses.capacity() - 1);
            member.addresses.push(address);
        }
        self.roster.add_contact(cx.now, (node, Some(member.name)), &member.addresses);
        self.wanted.push((node, member.addresses.clone()));
        self.refresh_peers();
        let mine = self.view.as_ref().map(|mine| mine.id);
        if !direct && view != mine {
            return;
        }
        if direct
            && view.is_none()
            && let Some(leader) = self.view_leader(cx).filter(|&leader| leader != self.me.id.incarnation)
        {
            self.post(leader, Frame::Join(Box::new(Join { member: member.clone() })));
        }
        self.roster.handle_wish(cx.now, member, view.filter(|_| direct));
    }

    /// Somebody does not take me in, or is not in the group at all: then it can't be counted on as a member either.
    pub fn handle_refuse(&mut self, from: Incarnation, refuse: Refuse) {
        if refuse.member != self.me.id {
            return;
        }
        match (refuse.reason, &self.view) {
            (reason @ (Refusal::Full | Refusal::NameTaken), None) if self.change.is_none() => {
                self.outcomes.push(Outcome::Refused(reason));
            }
            (Refusal::Full | Refusal::NameTaken, _) => {}
            (Refusal::NotHere, view) => {
                let member = view.iter().flat_map(|view| &view.members).find(|m| m.id.incarnation == from);
                self.silent.extend(member.map(|member| member.id));
                if let Some(attempt) = &mut self.attempt {
                    let lacks = attempt.lacking().any(|member| member.id.incarnation == from);
                    attempt.gone |= lacks;
                }
                self.roster.forget(from);
                self.refresh_peers();
            }
        }
    }

    /// Looks at everything anew: to be called after whatever has come, and when time has passed.
    pub fn advance(&mut self, cx: &mut Context<'_>) {
        self.check_at = None;
        if self.is_out() {
            return;
        }
        self.roster.tidy(cx.now, cx.mesh);
        // Who comes back asks again.
        for kind in [ParcelKind::Recall, ParcelKind::Past] {
            self.courier.give_up_on(kind, |node| cx.mesh.suspects(node));
        }
        if cx.now >= self.remind_at {
            self.remind_at = cx.now + REMIND;
            self.peers.retain(|&node| cx.mesh.knows(node));
            self.refresh_peers();
        }
        self.advance_participant(cx);
        if self.view.is_none() {
            self.advance_joiner(cx);
        } else if self.attempt.is_some() {
            self.advance_attempt(cx);
        } else {
            self.consider(cx);
        }
    }

    /// What came of it; to be drained after each call.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        (!self.outcomes.is_empty()).then(|| self.outcomes.remove(0))
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<Wakeup> {
        Wakeup::earliest(self.check_at, self.courier.poll_timeout())
    }

    /// There is no way to this node: what is due for it waits for one.
    pub fn hold(&mut self, now: Instant, to: Incarnation) {
        self.courier.hold(now, to);
    }

    /// Writes what is due for this node; true if more is due than fitted. `timeout`: after this long without an
    /// acknowledgement something is probably lost.
    #[must_use]
    pub fn write(
        &mut self,
        now: Instant,
        to: Incarnation,
        timeout: Duration,
        group: GroupId,
        packer: &mut Packer,
    ) -> bool {
        let section = Section { group, view: self.view.as_ref().map(|view| view.id) };
        if self.beacons.contains(&to) {
            if !packer.push_in(section, &Frame::Beacon(self.beacon())) {
                return true;
            }
            self.beacons.remove(&to);
        }
        if let Some(frames) = self.outbox.get_mut(&to) {
            let fit = frames.iter().position(|frame| !packer.push_in(section, frame));
            frames.drain(..fit.unwrap_or(frames.len()));
            if fit.is_some() {
                return true;
            }
            self.outbox.remove(&to);
        }
        self.courier.write(now, to, timeout, section, packer)
    }

    /// An attempt's number has been seen. False for one so high that no correct member can have come to it: nobody
    /// shall use the numbers up.
    fn see(&mut self, id: ViewId) -> bool {
        let credible = id.number <= self.seen.saturating_add(NUMBERS_AHEAD);
        if credible {
            self.seen = self.seen.max(id.number);
        }
        credible
    }

    /// Whether I have left: I took part in the change to a view without me, and stay for those who have not heard.
    fn is_out(&self) -> bool {
        self.view.as_ref().is_some_and(|view| !view.contains(self.me.id))
    }

    fn beacon(&self) -> Beacon {
        let view = self.view.as_deref();
        let still_there = |view: &View| {
            view.members
                .iter()
                .filter(|m| m.id == self.me.id || !self.roster.is_elsewhere(view, m.id))
                .count()
        };
        Beacon {
            member: self.me.id,
            rank: view.and_then(|view| view.rank(self.me.id)).unwrap_or(0) as u8,
            members: view.map_or(0, still_there) as u8,
            promised: self.promised,
            frozen: self.is_frozen(),
            leaving: self.leaving,
        }
    }

    /// Everybody shall know at once where I stand.
    fn beacon_all(&mut self) {
        self.refresh_peers();
        self.beacons = self.peers.clone();
    }

    /// Queues a small frame for a node.
    fn post(&mut self, to: Incarnation, frame: Frame<'static>) {
        let frames = self.outbox.entry(to).or_default();
        if !frames.contains(&frame) {
            if frames.len() == OUTBOX_MAX {
                frames.remove(0);
            }
            frames.push(frame);
        }
    }

    /// Wakes no later than `at`.
    fn check_by(&mut self, at: Instant, reason: &'static str) {
        self.check_at = Wakeup::earliest(self.check_at, Some(Wakeup { at, reason }));
    }

    /// Whether this member of my view can be counted on: not suspected, not elsewhere, not silent of late.
    fn is_present(&self, cx: &Context<'_>, view: &View, member: MemberId) -> bool {
        member == self.me.id
            || !(cx.mesh.suspects(member.incarnation)
                || self.roster.is_elsewhere(view, member)
                || self.silent.contains(&member))
    }

    /// Who leads my view: the first by rank that can be counted on.
    fn view_leader(&self, cx: &Context<'_>) -> Option<Incarnation> {
        let view = self.view.as_ref()?;
        let leader = view.members.iter().find(|member| self.is_present(cx, view, member.id));
        leader.map(|member| member.id.incarnation)
    }
}
