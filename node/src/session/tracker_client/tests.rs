use std::net::IpAddr;

use decury_common::base::id::{GroupId, Identity, Incarnation, UserName};
use decury_common::order::OrderKind;
use decury_common::wire::stream::StreamError;
use decury_common::wire::tracker::Peer;
use decury_tracker::server::{self, Server};

use super::wishes::{ANSWERED_WITHIN, WISHES_MAX};
use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn tracker(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 7400))
}

fn group(name: &str) -> GroupName {
    name.parse().unwrap()
}

fn join(name: &str) -> Ask {
    Ask::Join { group: group(name), order: None }
}

fn client(name: &str, node: u64, trackers: &[SocketAddr], now: Instant) -> TrackerClient {
    let (name, incarnation, trackers) = (name.parse().unwrap(), Incarnation(node), trackers.to_vec());
    let (identity, addresses) = (Identity(node), Default::default());
    TrackerClient::new(Config { trackers, name, incarnation, identity, addresses, seed: node }, now)
}

/// Clients and trackers, with a network that loses nothing and takes no time.
#[derive(Default)]
struct World {
    now: Instant,
    clients: Vec<TrackerClient>,
    trackers: BTreeMap<SocketAddr, Server>,
    /// Which client's which stream is at the other end of a tracker's stream.
    streams: BTreeMap<(SocketAddr, StreamId), (usize, StreamId)>,
    accepted: u64,
    attempts: u32,
    /// The trackers' words get lost, and no connection ends.
    mute: bool,
}

impl World {
    /// A tracker, and a client of each name that has signed in there.
    fn with(names: &[&str]) -> World {
        let mut world = World::default();
        world.start(1);
        for name in names {
            let client = world.add(name, &[tracker(1)]);
            assert!(matches!(world.events(client)[..], [Event::SignedIn { .. }]));
        }
        world
    }

    fn add(&mut self, name: &str, trackers: &[SocketAddr]) -> usize {
        let number = self.clients.len();
        self.clients.push(client(name, number as u64 + 1, trackers, self.now));
        self.pass(Duration::ZERO);
        number
    }

    fn start(&mut self, n: u8) {
        let (heartbeat, lease) = (Duration::from_secs(5), Duration::from_secs(15));
        self.accepted += 1_000;
        self.trackers.insert(tracker(n), Server::new(server::Config { heartbeat, lease }));
    }

    /// A tracker crashes; its connections end.
    fn stop(&mut self, n: u8) {
        self.trackers.remove(&tracker(n));
        let ended: Vec<_> = self.streams.keys().filter(|(at, _)| *at == tracker(n)).copied().collect();
        for key in ended {
            let (client, stream) = self.streams.remove(&key).unwrap();
            self.clients[client].handle_closed(self.now, stream);
        }
        self.settle();
    }

    fn peer(&self, client: usize, stream: StreamId) -> Option<(SocketAddr, StreamId)> {
        self.streams.iter().find(|(_, end)| **end == (client, stream)).map(|(key, _)| *key)
    }

    fn carry_from_client(&mut self, client: usize, action: StreamAction) {
        match action {
            StreamAction::Open { stream, to } => {
                self.attempts += 1;
                let Some(tracker) = self.trackers.get_mut(&to) else {
                    return self.clients[client].handle_closed(self.now, stream);
                };
                self.accepted += 2;
                let accepted = StreamId(self.accepted);
                self.streams.insert((to, accepted), (client, stream));
                tracker.handle_opened(self.now, accepted, SocketAddr::from(([192, 0, 2, 9], 1)));
                self.clients[client].handle_opened(self.now, stream, to);
            }
            StreamAction::Write { stream, bytes } => {
                let Some((to, accepted)) = self.peer(client, stream) else { return };
                self.trackers.get_mut(&to).unwrap().handle_bytes(self.now, accepted, &bytes);
            }
            StreamAction::Close { stream } => {
                let Some((to, accepted)) = self.peer(client, stream) else { return };
                self.streams.remove(&(to, accepted));
                self.trackers.get_mut(&to).unwrap().handle_closed(self.now, accepted);
            }
        }
    }

    fn carry_from_tracker(&mut self, at: SocketAddr, action: StreamAction) {
        match action {
            StreamAction::Write { stream, bytes } => {
                let Some(&(client, stream)) = self.streams.get(&(at, stream)) else { return };
                if !self.mute {
                    bytes
                        .chunks(3)
                        .for_each(|part| self.clients[client].handle_bytes(self.now, stream, part));
                }
            }
            StreamAction::Close { stream } => {
                let Some((client, stream)) = self.streams.remove(&(at, stream)) else { return };
                if !self.mute {
                    self.clients[client].handle_closed(self.now, stream);
                }
            }
            StreamAction::Open { .. } => panic!("a tracker opens no connection"),
        }
    }

    /// Carries everything to its end.
    fn settle(&mut self) {
        loop {
            let client = (0..self.clients.len())
                .find_map(|client| Some((client, self.clients[client].poll_stream(self.now)?)));
            if let Some((client, action)) = client {
                self.carry_from_client(client, action);
                continue;
            }
            let now = self.now;
            let tracker = self.trackers.iter_mut().find_map(|(at, it)| Some((*at, it.poll_stream(now)?)));
            let Some((at, action)) = tracker else { return };
            self.carry_from_tracker(at, action);
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        self.settle();
        loop {
            let clients = self.clients.iter().filter_map(|client| client.poll_stream_timeout());
            let trackers = self.trackers.values().filter_map(|tracker| tracker.poll_stream_timeout());
            let Some(at) = clients.chain(trackers).map(|wakeup| wakeup.at).min().filter(|at| *at <= end)
            else {
                break;
            };
            self.now = self.now.max(at);
            let now = self.now;
            self.clients.iter_mut().for_each(|client| client.handle_stream_timeout(now));
            self.trackers.values_mut().for_each(|tracker| tracker.handle_stream_timeout(now));
            self.settle();
        }
        self.now = end;
    }

    fn events(&mut self, client: usize) -> Vec<Event> {
        self.settle();
        std::iter::from_fn(|| self.clients[client].poll_event()).collect()
    }

    fn ask(&mut self, client: usize, ask: Ask) -> Result<Reply, Failure> {
        let number = self.clients[client].ask(self.now, ask);
        let events = self.events(client);
        let answer = events.into_iter().find_map(|event| match event {
            Event::Answer { ask, result, .. } if ask == number => Some(result),
            _ => None,
        });
        answer.expect("an answer")
    }

    fn joined(&mut self, client: usize, name: &str) -> Joined {
        match self.ask(client, join(name)) {
            Ok(Reply::Joined(joined)) => joined,
            other => panic!("{other:?}"),
        }
    }
}

fn names(names: &[&str]) -> Vec<UserName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

#[test]
fn a_client_signs_in_asks_and_is_told() {
    let mut world = World::default();
    world.start(1);
    let ann = world.add("ann", &[tracker(1)]);
    let observed: IpAddr = "192.0.2.9".parse().unwrap();
    assert_eq!(world.events(ann), [Event::SignedIn { tracker: tracker(1), observed }]);
    assert_eq!(world.clients[ann].tracker(), Some(tracker(1)));
    let bob = world.add("bob", &[tracker(1)]);
    world.joined(ann, "lobby");
    assert_eq!(world.joined(bob, "lobby").contacts[0].name.as_str(), "ann");
    let [Event::Notice(Notice::Contact { contact, .. })] = &world.events(ann)[..] else { panic!() };
    assert_eq!(contact.name.as_str(), "bob");
    let members = Reply::Members { group: group("lobby"), members: names(&["ann", "bob"]) };
    assert_eq!(world.ask(ann, Ask::Members { group: group("lobby") }), Ok(members));
    assert_eq!(world.ask(ann, Ask::Users), Ok(Reply::Users(names(&["ann", "bob"]))));
    let unknown = Ask::Leave { group: group("nowhere") };
    assert_eq!(world.ask(ann, unknown), Err(Failure::Refused(Refusal::NoSuchGroup)));
}

#[test]
fn a_person_is_found_or_away_or_unknown() {
    let mut world = World::with(&["ann", "bob"]);
    let find = |name: &str| Ask::Find { user: name.parse().unwrap() };
    let Ok(Reply::Found(contact)) = world.ask(0, find("bob")) else { panic!() };
    assert_eq!((contact.incarnation, contact.name.as_str()), (Incarnation(2), "bob"));
    assert_eq!(world.ask(0, find("cid")), Err(Failure::Refused(Refusal::NoSuchUser)));
    let now = world.now;
    world.clients[1].sign_out(now);
    world.settle();
    assert_eq!(world.ask(0, find("bob")), Err(Failure::Refused(Refusal::Away)));
}

#[test]
fn a_client_stays_signed_in_by_its_heartbeats_alone() {
    let mut world = World::with(&["ann"]);
    world.pass(10 * MINUTE);
    assert_eq!(world.events(0), []);
    assert_eq!(world.attempts, 1);
}

#[test]
fn a_long_listing_is_one_answer() {
    let mut world = World::with(&["a", "b", "c", "d", "e"]);
    for client in 0..5 {
        for n in 0..50 {
            world.joined(client, &format!("group{client}-{n:02}"));
        }
    }
    let Ok(Reply::Groups(groups)) = world.ask(0, Ask::Groups) else { panic!() };
    assert_eq!(groups.len(), 250);
    assert!(groups.is_sorted_by_key(|group| group.name));
}

#[test]
fn an_unreachable_tracker_is_told_once_and_tried_on_until_it_comes() {
    let mut world = World::default();
    let ann = world.add("ann", &[tracker(1)]);
    let unreachable = Event::Unreachable { tracker: tracker(1), why: Trouble::NoConnection };
    assert_eq!(world.events(ann), [unreachable]);
    world.pass(MINUTE);
    assert_eq!(world.events(ann), []);
    assert!((12..30).contains(&world.attempts), "{} attempts in a minute", world.attempts);
    world.start(1);
    world.pass(BACK_OFF_MAX);
    assert!(matches!(world.events(ann)[..], [Event::SignedIn { .. }]));
}

#[test]
fn trackers_are_tried_in_turn() {
    let mut world = World::default();
    world.start(3);
    let ann = world.add("ann", &[tracker(1), tracker(2), tracker(3)]);
    world.pass(Duration::from_secs(1));
    let events = world.events(ann);
    assert!(matches!(events[..], [Event::SignedIn { tracker: at, .. }] if at == tracker(3)), "{events:?}");
}

#[test]
fn a_tracker_that_restarts_learns_the_groups_again() {
    let mut world = World::with(&["ann", "bob", "cid"]);
    let id = world.joined(0, "lobby").id;
    world.joined(1, "lobby");
    let peers = [("ann", 1), ("bob", 2)]
        .map(|(name, node)| Peer { incarnation: Incarnation(node), name: name.parse().unwrap() });
    let order = OrderKind::Causal;
    let report = GroupReport { group: group("lobby"), id, order, members: peers.into_iter().collect() };
    world.clients[0].report(world.now, report);
    world.events(0);
    world.stop(1);
    let lost = Event::Lost { tracker: tracker(1), why: Trouble::NoConnection };
    assert_eq!(world.events(0), [lost]);
    world.start(1);
    world.pass(Duration::from_secs(1));
    let events = world.events(0);
    assert!(matches!(events[0], Event::Back { .. }), "{events:?}");
    assert_eq!(world.joined(2, "lobby").id, id);
    let members = Reply::Members { group: group("lobby"), members: names(&["ann", "bob", "cid"]) };
    assert_eq!(world.ask(2, Ask::Members { group: group("lobby") }), Ok(members));
}

#[test]
fn a_group_that_was_left_is_not_reported_again() {
    let mut world = World::with(&["ann"]);
    world.joined(0, "lobby");
    world.ask(0, Ask::Leave { group: group("lobby") }).unwrap();
    world.stop(1);
    world.start(1);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.ask(0, Ask::Groups), Ok(Reply::Groups(Vec::new())));
}

#[test]
fn a_question_asked_while_the_tracker_restarts_is_answered() {
    let mut world = World::with(&["ann"]);
    world.stop(1);
    world.events(0);
    let number = world.clients[0].ask(world.now, join("lobby"));
    world.pass(Duration::from_secs(1));
    assert_eq!(world.events(0), []);
    world.start(1);
    world.pass(BACK_OFF_MAX);
    let events = world.events(0);
    let [Event::Back { .. }, Event::Answer { ask, result: Ok(Reply::Joined(_)), .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(*ask, number);
}

#[test]
fn a_question_that_nobody_answers_fails_after_some_seconds() {
    let mut world = World::with(&["ann"]);
    world.stop(1);
    world.events(0);
    let ask = world.clients[0].ask(world.now, Ask::Groups);
    world.pass(ANSWERED_WITHIN - Duration::from_millis(1));
    assert_eq!(world.events(0), []);
    world.pass(Duration::from_millis(1));
    let failed = Event::Answer { ask, asked: Ask::Groups, result: Err(Failure::Unavailable) };
    assert_eq!(world.events(0), [failed]);
}

#[test]
fn one_question_too_many_fails_at_once() {
    let mut world = World::default();
    let ann = world.add("ann", &[tracker(1)]);
    world.events(ann);
    for _ in 0..=WISHES_MAX {
        world.clients[ann].ask(world.now, Ask::Users);
    }
    assert_eq!(world.events(ann).len(), 1);
}

#[test]
fn without_trackers_every_question_fails_at_once() {
    let mut world = World::default();
    let ann = world.add("ann", &[]);
    assert_eq!(world.ask(ann, Ask::Groups), Err(Failure::Unavailable));
    assert_eq!(world.clients[ann].poll_stream_timeout(), None);
}

#[test]
fn a_tracker_that_falls_silent_is_noticed_and_returned_to() {
    let mut world = World::with(&["ann"]);
    world.mute = true;
    world.pass(Duration::from_secs(8));
    assert_eq!(world.events(0), [Event::Lost { tracker: tracker(1), why: Trouble::NoAnswer }]);
    world.mute = false;
    world.pass(Duration::from_secs(5));
    assert!(matches!(world.events(0)[..], [Event::Back { .. }]));
}

#[test]
fn a_node_that_reconnects_supersedes_its_half_open_connection() {
    let mut world = World::with(&["ann", "bob"]);
    world.joined(0, "lobby");
    let half_open = std::mem::take(&mut world.streams);
    let stream = world.clients[0].stream().unwrap();
    world.clients[0].handle_closed(world.now, stream);
    world.streams.extend(half_open.into_iter().filter(|(_, (client, _))| *client == 1));
    world.pass(Duration::from_secs(1));
    assert!(matches!(world.events(0)[..], [Event::Lost { .. }, Event::Back { .. }]));
    let members = Reply::Members { group: group("lobby"), members: names(&["ann"]) };
    assert_eq!(world.ask(1, Ask::Members { group: group("lobby") }), Ok(members));
}

#[test]
fn a_taken_name_is_told_once_and_tried_on() {
    let mut world = World::with(&["ann"]);
    let second = world.add("ann", &[tracker(1)]);
    assert_eq!(world.events(second), [], "it may be our own former connection, whose end is on its way");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.events(second), [Event::Refused(Refusal::NameTaken)]);
    world.pass(MINUTE);
    assert_eq!(world.events(second), []);
    world.clients[0].sign_out(world.now);
    world.pass(BACK_OFF_MAX);
    assert!(matches!(world.events(second)[..], [Event::SignedIn { .. }]));
}

#[test]
fn a_name_that_gets_free_at_once_is_not_told_as_taken() {
    let mut world = World::with(&["ann"]);
    let second = world.add("ann", &[tracker(1)]);
    world.clients[0].sign_out(world.now);
    world.pass(BACK_OFF_MIN);
    assert!(matches!(world.events(second)[..], [Event::SignedIn { .. }]));
}

#[test]
fn a_node_whose_own_former_connection_speaks_up_late_comes_back() {
    let mut world = World::with(&["ann"]);
    let former = world.clients.len();
    world.clients.push(client("ann", 1, &[tracker(1)], world.now));
    world.pass(Duration::ZERO);
    assert!(matches!(world.events(0)[..], [Event::Lost { .. }]), "the tracker takes it for the newer one");
    world.clients[former].sign_out(world.now);
    world.pass(BACK_OFF_MAX);
    assert!(matches!(world.events(0)[..], [Event::Back { .. }]));
}

#[test]
fn signing_out_answers_what_is_open_and_ends() {
    let mut world = World::with(&["ann", "bob"]);
    world.clients[0].sign_out(world.now);
    world.settle();
    assert_eq!(world.ask(1, Ask::Users), Ok(Reply::Users(names(&["bob"]))));
    assert_eq!(world.ask(0, Ask::Users), Err(Failure::Unavailable));
    assert_eq!(world.clients[0].poll_stream_timeout(), None);
}

/// A client whose connection to some other program has opened.
fn connected() -> (TrackerClient, Instant, StreamId) {
    let now = Instant::from_micros(1);
    let mut client = client("ann", 1, &[tracker(1)], now);
    client.handle_stream_timeout(now);
    let Some(StreamAction::Open { stream, to }) = client.poll_stream(now) else { panic!() };
    client.handle_opened(now, stream, to);
    (client, now, stream)
}

#[test]
fn another_program_or_version_is_told_from_a_tracker() {
    let (mut client, now, stream) = connected();
    client.handle_bytes(now, stream, b"SSH-2.0-OpenSSH");
    let why = Trouble::Stream(StreamError::Version(b'S'));
    assert_eq!(client.poll_event(), Some(Event::Unreachable { tracker: tracker(1), why }));
    assert!(why.to_string().contains("version"));
}

#[test]
fn random_bytes_from_a_tracker_end_in_another_attempt() {
    let mut rng = Rng::from_seed(17);
    for round in 0..2_000 {
        let (mut client, now, stream) = connected();
        let mut bytes = vec![stream::VERSION];
        if round % 2 == 0 {
            let terms = Welcome { observed: [127, 0, 0, 1].into(), heartbeat_ms: 0, lease_ms: 0 };
            let welcome = Told::Answer { request: 1, result: Ok(Answer::Welcome(terms)) };
            bytes.extend(stream::encode(&welcome));
        }
        bytes.extend((0..100 + rng.below(100)).map(|_| rng.bits() as u8));
        client.handle_bytes(now, stream, &bytes);
        client.handle_stream_timeout(now + MINUTE);
        assert!(client.poll_stream_timeout().is_some());
    }
}

#[test]
fn a_join_answered_after_it_was_given_up_is_taken_back() {
    let (mut client, now, stream) = connected();
    let ask = client.ask(now, join("lobby"));
    let late = now + (ANSWERED_WITHIN - Duration::from_secs(1));
    let terms = Welcome { observed: [127, 0, 0, 1].into(), heartbeat_ms: 60_000, lease_ms: 120_000 };
    let welcome = Told::Answer { request: 1, result: Ok(Answer::Welcome(terms)) };
    client.handle_bytes(late, stream, &[vec![stream::VERSION], stream::encode(&welcome)].concat());
    client.handle_stream_timeout(now + ANSWERED_WITHIN);
    while client.poll_stream(now).is_some() {}
    let joined = Joined {
        group: group("lobby"),
        id: GroupId(1),
        order: OrderKind::Causal,
        created: true,
        order_differs: false,
        contacts: List::new(),
    };
    let answer = Told::Answer { request: ask, result: Ok(Answer::Joined(joined)) };
    client.handle_bytes(now + ANSWERED_WITHIN, stream, &stream::encode(&answer));
    let Some(StreamAction::Write { bytes, .. }) = client.poll_stream(now) else { panic!("nothing is sent") };
    let asked: Asked = stream::decode(&bytes[2..]).unwrap();
    assert_eq!(asked.body, Request::Leave { group: group("lobby") });
}
