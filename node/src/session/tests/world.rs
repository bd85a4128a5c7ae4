//! Sessions, one tracker, and a network between them that takes a millisecond.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use decury_common::base::id::{GroupName, Identity, Incarnation};
use decury_common::base::time::Instant;
use decury_common::machine::{Machine as _, StreamAction, StreamId, StreamMachine as _, Wakeup};
use decury_common::wire::figures::Run;
use decury_common::wire::tracker::Answer;
use decury_tracker::server::{self, Server};

use crate::session::{Command, Config, Event, FaultChange, Kept, Request, Session, Talk, Task};
use crate::store::memory::Memory;

/// How long a datagram is under way.
const DELAY: Duration = Duration::from_millis(1);

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    tracker: Option<Server>,
    /// The node's end of each of the tracker's connections.
    streams: BTreeMap<StreamId, (usize, StreamId)>,
    accepted: u64,
    datagrams: VecDeque<(Instant, usize, SocketAddr, Vec<u8>)>,
    /// What nodes that are added are started with.
    pub(super) trackers: Vec<SocketAddr>,
    pub(super) peers: Vec<SocketAddr>,
    pub(super) discover: bool,
    /// Nodes that can't connect to the tracker.
    pub(super) barred: BTreeSet<usize>,
}

pub(super) struct Node {
    pub(super) session: Session,
    name: String,
    /// What it has kept, and how many records that are.
    pub(super) memory: Memory,
    records: u64,
    /// What it wants kept is kept.
    pub(super) keeps: bool,
    /// All it has said.
    pub(super) events: Vec<Event>,
    /// It neither hears nor acts.
    pub(super) asleep: bool,
    lines: u64,
}

pub(super) fn group(name: &str) -> GroupName {
    name.parse().unwrap()
}

pub(super) fn tracker_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 7400))
}

/// The command on a line. (The real parser is a layer above.)
fn command(line: &str) -> Command {
    if let Some(change) = line.strip_prefix("!fault") {
        let change = match change.trim() {
            "" => None,
            "clear" => Some(FaultChange::Clear),
            spec => Some(FaultChange::Add(spec.parse().unwrap())),
        };
        return Command::Fault { change };
    }
    let mut words = line.split(' ');
    let first = words.next();
    let named = words.next().and_then(|name| name.parse().ok());
    match (first, named) {
        (Some("!j"), Some(group)) => {
            Command::Join { group, order: words.next().map(|order| order.parse().unwrap()) }
        }
        (Some("!w"), Some(group)) => Command::Switch { group },
        (Some("!e"), group) => Command::Leave { group },
        (Some("!h"), group) => {
            let person = line[2..].trim().strip_prefix('@').map(|name| Talk::Person(name.parse().unwrap()));
            let talks = person.or(group.map(Talk::Group)).into_iter().collect();
            Command::History { talks, last: 20 }
        }
        (Some("!why"), group) => Command::Why { group },
        (Some("!lm"), group) => Command::Members { group },
        (Some("!g"), None) => Command::Groups,
        (Some("!u"), _) => Command::People { pattern: line.get(3..).map(|text| text.parse().unwrap()) },
        (Some("!peer"), None) => Command::Peer { address: line[6..].parse().unwrap() },
        (Some("!s"), None) => Command::Figures,
        (Some("!p"), Some(_)) => {
            let (name, text) = line[3..].split_once(' ').unwrap();
            Command::Private { to: name.parse().unwrap(), text: Bytes::copy_from_slice(text.as_bytes()) }
        }
        _ => Command::Say { text: Bytes::copy_from_slice(line.as_bytes()) },
    }
}

pub(super) fn address(node: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, node as u8], 5000))
}

impl World {
    /// Without a tracker.
    pub(super) fn deserted() -> World {
        World {
            now: Instant::from_micros(1),
            nodes: Vec::new(),
            tracker: None,
            streams: BTreeMap::new(),
            accepted: 1,
            datagrams: VecDeque::new(),
            trackers: vec![tracker_address()],
            peers: Vec::new(),
            discover: false,
            barred: BTreeSet::new(),
        }
    }

    /// With a tracker, and nodes of these names that are ready.
    pub(super) fn with(names: &[&str]) -> World {
        let mut world = World::deserted();
        world.start_tracker();
        for name in names {
            let node = world.add(name, true);
            world.wait(node, |event| matches!(event, Event::Ready { .. }));
        }
        world
    }

    pub(super) fn add(&mut self, name: &str, patient: bool) -> usize {
        self.add_in_lab(name, patient, &[])
    }

    /// One with faults from the start.
    pub(super) fn add_in_lab(&mut self, name: &str, patient: bool, faults: &[&str]) -> usize {
        let memory = Memory::new(name.parse().unwrap(), Identity(self.nodes.len() as u64 + 100));
        self.add_with(name, patient, faults, memory)
    }

    fn add_with(&mut self, name: &str, patient: bool, faults: &[&str], memory: Memory) -> usize {
        let node = self.nodes.len();
        let config = self.config(node, name, patient, faults);
        let session = Session::new(config, memory.restored(), self.now);
        let (name, records, keeps, asleep, lines) = (name.to_owned(), 0, true, false, 0);
        self.nodes.push(Node { session, name, memory, records, keeps, events: Vec::new(), asleep, lines });
        node
    }

    fn config(&self, node: usize, name: &str, patient: bool, faults: &[&str]) -> Config {
        Config {
            name: name.parse().unwrap(),
            incarnation: Incarnation(node as u64 + 1),
            addresses: [address(node)].into_iter().collect(),
            trackers: self.trackers.clone(),
            port: address(node).port(),
            peers: self.peers.clone(),
            discover: self.discover,
            suspect_after: Duration::from_secs(2),
            seed: node as u64,
            faults: faults.iter().map(|fault| fault.parse().unwrap()).collect(),
            patient,
        }
    }

    /// A node of that one's person, with what that one had kept. It has not signed in yet.
    pub(super) fn restart(&mut self, former: usize) -> usize {
        let (name, memory) = (self.nodes[former].name.clone(), self.nodes[former].memory.clone());
        self.add_with(&name, true, &[], memory)
    }

    /// The same, at the address of the former one.
    pub(super) fn restart_in_place(&mut self, node: usize) -> usize {
        let mut config = self.config(node, &self.nodes[node].name, true, &[]);
        config.incarnation.0 += 1_000 * (1 + self.nodes[node].events.len() as u64);
        let it = &mut self.nodes[node];
        it.session = Session::new(config, it.memory.restored(), self.now);
        it.events.clear();
        (it.records, it.asleep, it.lines) = (0, false, 0);
        node
    }

    pub(super) fn start_tracker(&mut self) {
        let (heartbeat, lease) = (Duration::from_secs(5), Duration::from_secs(15));
        self.tracker = Some(Server::new(server::Config { heartbeat, lease }));
    }

    /// What the tracker has been told of runs, the oldest first.
    pub(super) fn runs(&self) -> Vec<Run> {
        match self.tracker.as_ref().map(|tracker| tracker.directory().runs(None)) {
            Some(Answer::Runs { runs, .. }) => runs.into_iter().collect(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn stop_tracker(&mut self) {
        self.tracker = None;
        for (node, stream) in std::mem::take(&mut self.streams).into_values() {
            self.nodes[node].session.handle_closed(self.now, stream);
        }
    }

    /// A crash, as far as others can tell.
    pub(super) fn kill(&mut self, node: usize) {
        self.nodes[node].asleep = true;
        let ended: Vec<StreamId> = self.ends_of(node).map(|(accepted, _)| accepted).collect();
        for stream in ended {
            self.streams.remove(&stream);
            if let Some(tracker) = &mut self.tracker {
                tracker.handle_closed(self.now, stream);
            }
        }
    }

    /// Types a line; returns its number. The line must be wanted.
    pub(super) fn type_line(&mut self, node: usize, line: &str) -> u64 {
        assert!(self.nodes[node].session.wants_input(), "{line}");
        self.submit(node, command(line))
    }

    pub(super) fn submit(&mut self, node: usize, command: Command) -> u64 {
        let it = &mut self.nodes[node];
        it.lines += 1;
        it.session.submit(self.now, Request { re: Some(it.lines), command });
        it.lines
    }

    /// Types a line and waits for its first answer.
    pub(super) fn answer(&mut self, node: usize, line: &str) -> Event {
        let number = self.type_line(node, line);
        self.wait(node, |event| answered(event) == Some(number))
    }

    /// Joins, and waits until that is done.
    pub(super) fn join(&mut self, node: usize, line: &str) {
        assert!(matches!(self.answer(node, line), Event::Joined { .. }));
    }

    /// The first event that is so, past or to come within a minute.
    pub(super) fn wait(&mut self, node: usize, is_it: impl Fn(&Event) -> bool) -> Event {
        let end = self.now + Duration::from_secs(60);
        self.settle();
        loop {
            if let Some(event) = self.nodes[node].events.iter().find(|event| is_it(event)) {
                return event.clone();
            }
            assert!(self.step(end), "not among {:#?}", self.nodes[node].events);
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
    }

    /// Goes on to the next instant at which something happens; false, and to `end`, if nothing does before.
    fn step(&mut self, end: Instant) -> bool {
        self.settle();
        let arrival = self.datagrams.front().map(|datagram| datagram.0);
        let awake = self.nodes.iter().filter(|node| !node.asleep);
        let nodes = awake.filter_map(|node| node.wakeup()).map(|wakeup| wakeup.at);
        let tracker = self.tracker.as_ref().and_then(|tracker| tracker.poll_stream_timeout());
        let next = nodes.chain(arrival).chain(tracker.map(|wakeup| wakeup.at)).min();
        let Some(next) = next.filter(|next| *next <= end) else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(next);
        let now = self.now;
        while let Some((_, to, from, mut bytes)) = self.datagrams.pop_front_if(|datagram| datagram.0 <= now) {
            if !self.nodes[to].asleep {
                self.nodes[to].session.handle_datagram(now, from, &mut bytes);
            }
        }
        for node in self.nodes.iter_mut().filter(|node| !node.asleep) {
            node.session.handle_timeout(now);
            node.session.handle_stream_timeout(now);
        }
        if let Some(tracker) = &mut self.tracker {
            tracker.handle_stream_timeout(now);
        }
        self.settle();
        true
    }

    /// Carries what is said at this instant.
    fn settle(&mut self) {
        let mut busy = true;
        while busy {
            busy = false;
            for node in 0..self.nodes.len() {
                if !self.nodes[node].asleep {
                    busy |= self.drain(node);
                }
            }
            while let Some(action) = self.tracker.as_mut().and_then(|tracker| tracker.poll_stream(self.now)) {
                busy = true;
                self.carry_from_tracker(action);
            }
        }
    }

    fn drain(&mut self, node: usize) -> bool {
        let now = self.now;
        let mut busy = false;
        while let Some(transmit) = self.nodes[node].session.poll_transmit(now) {
            busy = true;
            let to = (0..self.nodes.len()).find(|&node| address(node) == transmit.to);
            for bytes in to.into_iter().flat_map(|_| transmit.datagrams()) {
                let to = to.unwrap_or_default();
                self.datagrams.push_back((now + DELAY, to, address(node), bytes.to_vec()));
            }
        }
        // Calls into the local network, where nobody hears them.
        while self.nodes[node].session.poll_call(now).is_some() {
            busy = true;
        }
        while let Some(action) = self.nodes[node].session.poll_stream(now) {
            busy = true;
            self.carry_from_node(node, action);
        }
        while let Some(event) = self.nodes[node].session.poll_event(now) {
            busy = true;
            self.nodes[node].events.push(event);
        }
        busy | self.nodes[node].keep(now)
    }

    fn ends_of(&self, node: usize) -> impl Iterator<Item = (StreamId, StreamId)> {
        self.streams.iter().filter(move |(_, end)| end.0 == node).map(|(accepted, end)| (*accepted, end.1))
    }

    fn accepted(&self, node: usize, stream: StreamId) -> Option<StreamId> {
        self.ends_of(node).find(|(_, own)| *own == stream).map(|(accepted, _)| accepted)
    }

    fn carry_from_node(&mut self, node: usize, action: StreamAction) {
        let now = self.now;
        let session = &mut self.nodes[node].session;
        match action {
            StreamAction::Open { stream, to } => match &mut self.tracker {
                Some(tracker) if !self.barred.contains(&node) => {
                    self.accepted += 2;
                    let accepted = StreamId(self.accepted);
                    self.streams.insert(accepted, (node, stream));
                    tracker.handle_opened(now, accepted, address(node));
                    session.handle_opened(now, stream, to);
                }
                _ => session.handle_closed(now, stream),
            },
            StreamAction::Write { stream, bytes } => {
                if let (Some(accepted), Some(tracker)) = (self.accepted(node, stream), &mut self.tracker) {
                    tracker.handle_bytes(now, accepted, &bytes);
                }
            }
            StreamAction::Close { stream } => {
                if let (Some(accepted), Some(tracker)) = (self.accepted(node, stream), &mut self.tracker) {
                    self.streams.remove(&accepted);
                    tracker.handle_closed(now, accepted);
                }
            }
        }
    }

    fn carry_from_tracker(&mut self, action: StreamAction) {
        match action {
            StreamAction::Write { stream, bytes } => {
                if let Some(&(node, stream)) = self.streams.get(&stream) {
                    self.nodes[node].session.handle_bytes(self.now, stream, &bytes);
                }
            }
            StreamAction::Close { stream } => {
                if let Some((node, stream)) = self.streams.remove(&stream) {
                    self.nodes[node].session.handle_closed(self.now, stream);
                }
            }
            StreamAction::Open { .. } => panic!("a tracker opens no connection"),
        }
    }
}

impl Node {
    /// Keeps what it wants kept.
    fn keep(&mut self, now: Instant) -> bool {
        let mut busy = false;
        while self.keeps
            && let Some(task) = self.session.poll_task()
        {
            busy = true;
            let kept = match task {
                Task::Keep(record) => {
                    assert!(self.memory.keep(now.as_micros(), record.clone()), "kept twice: {record:?}");
                    self.records += 1;
                    Kept::Stored(self.records)
                }
                Task::Recall(recall) => Kept::Recalled(self.memory.recall(&recall)),
            };
            self.session.handle_kept(now, kept);
        }
        busy
    }

    /// How many records it has kept.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    fn wakeup(&self) -> Option<Wakeup> {
        Wakeup::earliest(self.session.poll_timeout(), self.session.poll_stream_timeout())
    }

    /// The texts delivered here, in order.
    pub(super) fn texts(&self) -> Vec<String> {
        let texts = self.events.iter().filter_map(|event| match event {
            Event::Message { text, .. } => Some(text.safe().into_owned()),
            _ => None,
        });
        texts.collect()
    }
}

/// The line that an event answers.
pub(super) fn answered(event: &Event) -> Option<u64> {
    match event {
        Event::Joined { re, .. }
        | Event::Left { re, .. }
        | Event::Current { re, .. }
        | Event::Sent { re, .. }
        | Event::PrivateSent { re, .. }
        | Event::Groups { re, .. }
        | Event::Users { re, .. }
        | Event::Members { re, .. }
        | Event::Held { re, .. }
        | Event::History { re, .. }
        | Event::Figures { re, .. }
        | Event::Faults { re, .. }
        | Event::Help { re, .. }
        | Event::Notice { re, .. }
        | Event::Error { re, .. } => *re,
        Event::Ready { .. }
        | Event::View { .. }
        | Event::Message { .. }
        | Event::Private { .. }
        | Event::Receipt { .. }
        | Event::Refused { .. }
        | Event::Bye { .. } => None,
    }
}
