//! One node: its membership, and a model of the messages that it holds.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use decury_common::base::id::{GroupId, Incarnation, MemberId, MessageId, ViewId};
use decury_common::base::limits::SUSPECT_AFTER;
use decury_common::base::time::Instant;
use decury_common::membership::{Context, Installed, Membership, Outcome, Prior};
use decury_common::mesh::{Arrival, Mesh};
use decury_common::order::{OrderKind, OrderReport};
use decury_common::wire::membership::{Addresses, Digest, Holding, Holdings, Member, PriorCut};
use decury_common::wire::mesh::{Echo, Hello};
use decury_common::wire::{Frame, Header, Packer, Section, Unpacker};

use super::canonical::Canonical;
use super::memo::Input;

const GROUP: GroupId = GroupId(1);
/// Round trips are not measured here; after this long a fragment counts as lost.
const TIMEOUT: Duration = Duration::from_millis(100);
/// One who has left stays this long for those who have not heard.
const LINGER: Duration = Duration::from_millis(500);

/// Where a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// In the group, or on its way in.
    Here,
    /// Has left, and lingers until then.
    Out(Instant),
    /// Has crashed, or left for good, at that time.
    Gone(Instant),
}

/// A view that a node installed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// The view before; `None` for the first.
    pub former: Option<ViewId>,
    /// The view.
    pub view: ViewId,
    /// Its members.
    pub members: Vec<MemberId>,
    /// Up to where the former view's messages were delivered, by rank.
    pub delivered: Vec<u64>,
    /// What was lacking of that, or of its own messages: nothing, if the protocol is right.
    pub lacking: bool,
}

/// How many messages of whom a node holds in its view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holds {
    /// The view.
    pub view: ViewId,
    /// Its own rank.
    pub me: usize,
    /// By rank.
    pub of: Vec<u64>,
    /// What it asks for, by rank.
    pub wanted: Vec<u64>,
}

impl Holds {
    /// Takes over what another holds and this node asks for. True if there was any.
    pub fn fetch(&mut self, other: &Holds) -> bool {
        let mut moved = false;
        for ((mine, &theirs), &wanted) in self.of.iter_mut().zip(&other.of).zip(&self.wanted) {
            let got = theirs.min(wanted);
            moved |= got > *mine;
            *mine = got.max(*mine);
        }
        moved && other.view == self.view
    }

    /// Whether something of what it asks for is lacking.
    pub fn lacks_something(&self) -> bool {
        self.of.iter().zip(&self.wanted).any(|(mine, wanted)| mine < wanted)
    }
}

impl Prior for Holds {
    fn freeze(&mut self) -> (Holdings, OrderReport) {
        let holding =
            |&count: &u64| Holding { contiguous: count, messages: count, count, ..Holding::default() };
        (self.of.iter().map(holding).collect(), OrderReport::None)
    }

    fn fetch(&mut self, _: Instant, cut: &PriorCut) {
        self.wanted = cut.upto.to_vec();
    }

    fn lacks(&self, cut: &PriorCut) -> u64 {
        self.of.iter().zip(cut.upto.iter()).map(|(mine, upto)| upto.saturating_sub(*mine)).sum()
    }

    fn delivered(&self) -> Vec<MessageId> {
        Vec::new()
    }

    fn adopt(&mut self, _: &PriorCut) {}
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its number, from 0.
    pub number: usize,
    /// The code under test.
    pub membership: Membership,
    /// Its messages; `None` while it is in no view.
    pub holds: Option<Holds>,
    /// Whom it suspects, by number.
    pub suspects: BTreeSet<usize>,
    /// Where it stands.
    pub stage: Stage,
    /// Whether it has said that it wants to leave.
    pub leaving: bool,
    /// All views that it installed.
    pub steps: Vec<Step>,
    /// Of everything above.
    pub digest: u64,
    /// What of that counts: states are told apart by it.
    pub canonical: Canonical,
    /// When something is due.
    pub due: Option<Instant>,
}

/// A datagram on its way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Datagram {
    /// Its sender's number.
    pub from: usize,
    /// Its receiver's number.
    pub to: usize,
    /// The whole of it.
    pub bytes: Vec<u8>,
}

impl Datagram {
    /// From where to where.
    pub fn link(&self) -> (usize, usize) {
        (self.from, self.to)
    }
}

/// The running node with this number.
pub fn incarnation(number: usize) -> Incarnation {
    Incarnation(number as u64 + 1)
}

fn address(number: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, number as u8), 1))
}

impl Node {
    /// A node that wants in and knows of these others; of none: it founds the group.
    pub fn new(now: Instant, number: usize, others: &[usize]) -> Node {
        let id = MemberId { incarnation: incarnation(number), join: 0 };
        let name = format!("n{number}").parse().unwrap_or_else(|_| unreachable!("a short name of letters"));
        let me = Member { id, name, addresses: Addresses::from_iter([address(number)]) };
        let mut membership = Membership::new(now, me, OrderKind::Fifo, SUSPECT_AFTER, number as u64);
        for &other in others {
            membership.add_contact(now, incarnation(other), &Addresses::from_iter([address(other)]));
            membership.handle_met(incarnation(other));
        }
        let (holds, suspects) = (None, BTreeSet::new());
        let (stage, leaving, steps) = (Stage::Here, false, Vec::new());
        let (digest, canonical, due) = (0, Canonical::default(), None);
        let mut node =
            Node { number, membership, holds, suspects, stage, leaving, steps, digest, canonical, due };
        node.note_digest();
        node
    }

    /// Its current view.
    pub fn view(&self) -> Option<ViewId> {
        self.membership.view().map(|view| view.id)
    }

    /// Something comes to it; gives the datagrams that it sends then. `nodes`: how many there are in all.
    pub fn take(&mut self, now: Instant, nodes: usize, input: &Input) -> Vec<Datagram> {
        match input {
            Input::Datagram(datagram) => return self.receive(now, nodes, datagram),
            Input::Suspect(gone) => _ = self.suspects.insert(*gone),
            Input::Fetch(theirs) => _ = self.holds.as_mut().map(|mine| mine.fetch(theirs)),
            Input::Heartbeats => {
                for other in (0..nodes)
                    .map(incarnation)
                    .filter(|&other| self.membership.knows(other))
                    .collect::<Vec<_>>()
                {
                    self.membership.heartbeat(other);
                }
            }
            Input::Time => {}
        }
        self.turn(now, nodes)
    }

    /// It looks at everything anew; gives the datagrams that it sends then.
    pub fn turn(&mut self, now: Instant, nodes: usize) -> Vec<Datagram> {
        let mesh = self.mesh(now, nodes);
        self.call(now, &mesh, |membership, cx| membership.advance(cx));
        let is_over = match self.stage {
            Stage::Out(until) => until <= now || self.membership.is_installed_everywhere(),
            Stage::Here | Stage::Gone(_) => false,
        };
        let sent = self.write(now, nodes);
        if is_over {
            self.stage = Stage::Gone(now);
        }
        self.note_digest();
        sent
    }

    /// A datagram has come.
    fn receive(&mut self, now: Instant, nodes: usize, datagram: &Datagram) -> Vec<Datagram> {
        let mut frames: Vec<(Section, Frame<'_>)> = Vec::new();
        if let Ok((_, mut unpacker)) = Unpacker::new(&datagram.bytes) {
            while let Ok(Some((Some(section), frame))) = unpacker.next_frame() {
                frames.push((section, frame));
            }
        }
        let mesh = self.mesh(now, nodes);
        for (section, frame) in frames {
            self.call(now, &mesh, |membership, cx| handle(membership, cx, datagram.from, section, frame));
        }
        self.turn(now, nodes)
    }

    fn deadline(&self) -> Option<Instant> {
        let due = self.membership.poll_timeout().map(|wakeup| wakeup.at);
        match self.stage {
            Stage::Here => due,
            Stage::Out(until) => Some(due.map_or(until, |due| due.min(until))),
            Stage::Gone(_) => None,
        }
    }

    fn call(&mut self, now: Instant, mesh: &Mesh, what: impl FnOnce(&mut Membership, &mut Context<'_>)) {
        let prior = self.holds.as_mut().map(|holds| holds as &mut dyn Prior);
        what(&mut self.membership, &mut Context { now, mesh, prior, known: &|_| Digest::new() });
        while let Some(outcome) = self.membership.poll_outcome() {
            match outcome {
                Outcome::Installed(installed) => self.install(now, &installed),
                Outcome::Alone(_) | Outcome::Refused(_) => self.stage = Stage::Gone(now),
                Outcome::MergeRefused | Outcome::Recall(..) | Outcome::Past(..) => {}
            }
        }
        self.membership.take_wanted();
    }

    fn install(&mut self, now: Instant, installed: &Installed) {
        let former = self.holds.take();
        let delivered = installed.cut.as_ref().map(|cut| cut.upto.to_vec()).unwrap_or_default();
        let lacking = former.as_ref().is_some_and(|holds| {
            holds.of.iter().zip(&delivered).any(|(has, upto)| has < upto)
                || delivered.get(holds.me) != holds.of.get(holds.me)
        });
        let view = &installed.view;
        let members: Vec<MemberId> = view.members.iter().map(|member| member.id).collect();
        let former = former.map(|holds| holds.view);
        self.steps.push(Step { former, view: view.id, members, delivered, lacking });
        match view.rank(self.membership.me().id) {
            Some(me) if !installed.out => {
                let of = (0..view.members.len()).map(|rank| u64::from(rank == me)).collect();
                let wanted = vec![0; view.members.len()];
                self.holds = Some(Holds { view: view.id, me, of, wanted });
            }
            _ => self.stage = Stage::Out(now + LINGER),
        }
    }

    fn write(&mut self, now: Instant, nodes: usize) -> Vec<Datagram> {
        let mut sent = Vec::new();
        for to in (0..nodes).filter(|&to| to != self.number) {
            loop {
                let header = Header { from: incarnation(self.number), to: Some(incarnation(to)), hops: 0 };
                let mut packer = Packer::new(header);
                let more = self.membership.write(now, incarnation(to), TIMEOUT, GROUP, &mut packer);
                if packer.is_empty() {
                    break;
                }
                sent.push(Datagram { from: self.number, to, bytes: packer.finish() });
                if !more {
                    break;
                }
            }
        }
        sent
    }

    /// A mesh that says of all that they are in reach, but for those whom this node suspects.
    fn mesh(&self, now: Instant, nodes: usize) -> Mesh {
        let before = Instant::from_micros(now.as_micros() - 2 * SUSPECT_AFTER.as_micros() as u64);
        let mut mesh = Mesh::new(incarnation(self.number), SUSPECT_AFTER);
        // Those in reach first: a probe that is due then is theirs.
        let others = (0..nodes).filter(|&other| other != self.number);
        let (suspected, reached): (Vec<usize>, Vec<usize>) = others.partition(|o| self.suspects.contains(o));
        let at = reached.into_iter().map(|other| (other, now));
        for (other, heard) in at.chain(suspected.into_iter().map(|other| (other, before))) {
            let node = incarnation(other);
            mesh.want(heard, node, &[address(other)]);
            let arrival = Arrival::Straight(address(other));
            mesh.handle_heard(heard, node, arrival);
            let mut probes = std::iter::from_fn(|| mesh.poll_straight(heard)).flat_map(|probe| probe.frames);
            let number = probes.find_map(|frame| match frame {
                Frame::Hello(hello) => Some(hello.number),
                _ => None,
            });
            let echo = number.map(|number| Echo { number, held_us: 0 });
            mesh.handle_hello(heard, node, arrival, &Hello { number: 1, at: heard, echo, probe: false });
        }
        mesh.handle_timeout(now);
        mesh
    }

    /// To be called when anything has changed.
    pub fn note_digest(&mut self) {
        let (digest, canonical, due) = (0, Canonical::default(), self.deadline());
        (self.digest, self.canonical, self.due) = (digest, canonical, due);
        let mut text = String::with_capacity(8_192);
        let mut written = write!(text, "{self:?}");
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        self.digest = hasher.finish();
        if let Stage::Gone(_) = self.stage {
            // Of one who is gone only its views count any more, and since when.
            text.clear();
            written = written.and(write!(text, "{} {:?} {:?}", self.number, self.stage, self.steps));
        }
        debug_assert!(written.is_ok(), "a string takes all that is written");
        self.canonical = Canonical::new(&text, self.view().is_some());
    }
}

/// What [`decury_common::group`] does with a frame of the membership.
fn handle(
    membership: &mut Membership,
    cx: &mut Context<'_>,
    from: usize,
    section: Section,
    frame: Frame<'_>,
) {
    let node = incarnation(from);
    if let Some(view) = section.view {
        membership.handle_installed(cx, node, view);
    }
    match frame {
        Frame::Beacon(beacon) => _ = membership.handle_beacon(cx, node, section.view, beacon),
        Frame::Join(join) => membership.handle_join(cx, (node, Some(address(from))), section.view, *join),
        Frame::Refuse(refuse) => membership.handle_refuse(node, refuse),
        Frame::Nack(nack) => membership.handle_nack(cx, node, nack),
        Frame::Ready(ready) => membership.handle_ready(cx, node, ready),
        Frame::Install(install) => membership.handle_installed(cx, node, install.attempt),
        Frame::Parcel(parcel) => membership.handle_parcel(cx, node, &parcel),
        Frame::ParcelAck(ack) => membership.handle_parcel_ack(node, &ack),
        _ => {}
    }
}
