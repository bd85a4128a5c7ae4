use decury_common::base::id::{GroupName, Identity, Incarnation};
use decury_common::base::list::List;
use decury_common::base::rng::Rng;
use decury_common::order::OrderKind;
use decury_common::wire::figures::{Figures, Run};
use decury_common::wire::tracker::{GroupReport, Joined, Notice};

use super::*;

const LEASE: Duration = Duration::from_secs(15);

fn config() -> Config {
    Config { heartbeat: Duration::from_secs(5), lease: LEASE }
}

/// A server and what its clients have got.
struct World {
    server: Server,
    now: Instant,
    got: BTreeMap<StreamId, (FrameReader, Vec<Told>)>,
    closed: BTreeSet<StreamId>,
}

fn asked(request: u32, body: Request) -> Vec<u8> {
    stream::encode(&Asked { request, body })
}

fn group(name: &str) -> GroupName {
    name.parse().unwrap()
}

fn sign_in_of(name: &str, node: u64) -> Request {
    let addresses = [SocketAddr::from(([10, 0, 0, 1], 7000))].into_iter().collect();
    let name = name.parse().unwrap();
    let (incarnation, identity) = (Incarnation(node), Identity(node));
    Request::SignIn(SignIn { name, incarnation, identity, addresses, groups: List::new() })
}

impl World {
    fn new() -> World {
        let (got, closed) = (BTreeMap::new(), BTreeSet::new());
        World { server: Server::new(config()), now: Instant::from_micros(1), got, closed }
    }

    fn drain(&mut self) {
        while let Some(action) = self.server.poll_stream(self.now) {
            match action {
                StreamAction::Write { stream, bytes } => {
                    assert!(!self.closed.contains(&stream), "nothing is written after a close");
                    let (reader, told) = self.got.entry(stream).or_default();
                    let mut bytes = &bytes[..];
                    while let Some(frame) = reader.next_frame(&mut bytes).unwrap() {
                        told.push(stream::decode(&frame).unwrap());
                    }
                }
                StreamAction::Close { stream } => assert!(self.closed.insert(stream), "closed once"),
                StreamAction::Open { .. } => panic!("a tracker opens no connection"),
            }
        }
    }

    fn open(&mut self, stream: u64) {
        let peer = SocketAddr::from(([192, 0, 2, 1], 40_000));
        self.server.handle_opened(self.now, StreamId(stream), peer);
        self.bytes(stream, &[stream::VERSION]);
    }

    fn bytes(&mut self, stream: u64, bytes: &[u8]) -> Vec<Told> {
        self.server.handle_bytes(self.now, StreamId(stream), bytes);
        self.told(stream)
    }

    /// What has been told on a connection since this was last asked.
    fn told(&mut self, stream: u64) -> Vec<Told> {
        self.drain();
        self.got.get_mut(&StreamId(stream)).map(|(_, told)| std::mem::take(told)).unwrap_or_default()
    }

    fn ask(&mut self, stream: u64, body: Request) -> Result<Answer, Refusal> {
        match self.bytes(stream, &asked(7, body)).pop() {
            Some(Told::Answer { request: 7, result }) => result,
            other => panic!("{other:?}"),
        }
    }

    fn sign_in(&mut self, stream: u64, name: &str, node: u64) -> Result<Answer, Refusal> {
        self.open(stream);
        self.ask(stream, sign_in_of(name, node))
    }

    fn join(&mut self, stream: u64, name: &str) -> Joined {
        match self.ask(stream, Request::Join { group: group(name), order: None }) {
            Ok(Answer::Joined(joined)) => joined,
            other => panic!("{other:?}"),
        }
    }

    /// Lets the time pass, calling the server whenever it wishes.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(wakeup) = self.server.poll_stream_timeout().filter(|wakeup| wakeup.at <= end) {
            assert!(wakeup.at >= self.now, "a deadline in the past would spin");
            self.now = wakeup.at;
            self.server.handle_stream_timeout(self.now);
            assert!(self.server.poll_stream_timeout().is_none_or(|next| next.at > self.now), "it spins");
        }
        self.now = end;
        self.drain();
    }
}

#[test]
fn a_node_is_welcomed_with_its_observed_address_and_the_times() {
    let mut world = World::new();
    let observed = "192.0.2.1".parse().unwrap();
    let welcome = Welcome { observed, heartbeat_ms: 5_000, lease_ms: 15_000 };
    assert_eq!(world.sign_in(1, "ann", 1), Ok(Answer::Welcome(welcome)));
    world.sign_in(3, "bob", 2).unwrap();
    world.join(1, "lobby");
    let addresses = world.join(3, "lobby").contacts[0].addresses.clone();
    let expected: [SocketAddr; 2] = ["10.0.0.1:7000".parse().unwrap(), "192.0.2.1:7000".parse().unwrap()];
    assert_eq!(addresses[..], expected);
}

#[test]
fn requests_survive_every_cut() {
    let mut bytes = vec![stream::VERSION];
    bytes.extend(asked(1, sign_in_of("ann", 1)));
    bytes.extend(asked(2, Request::Join { group: group("lobby"), order: Some(OrderKind::Fifo) }));
    bytes.extend(asked(3, Request::Members { group: group("lobby") }));
    let answers = |chunk: usize| {
        let mut world = World::new();
        world.server.handle_opened(world.now, StreamId(1), SocketAddr::from(([127, 0, 0, 1], 1)));
        bytes.chunks(chunk).flat_map(|part| world.bytes(1, part)).collect::<Vec<Told>>()
    };
    let whole = answers(bytes.len());
    assert_eq!(whole.len(), 3);
    assert!((1..bytes.len()).all(|chunk| answers(chunk) == whole));
}

#[test]
fn nothing_but_a_sign_in_is_answered_before_it() {
    let mut world = World::new();
    world.open(1);
    for body in [Request::Heartbeat, Request::Groups { after: None }, Request::SignOut] {
        assert_eq!(world.ask(1, body), Err(Refusal::NotSignedIn));
    }
    assert!(world.closed.is_empty());
}

#[test]
fn what_is_no_frame_gets_one_clear_frame_and_a_close() {
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[1, 0, 0], &[1, 255, 255, 3], &[1, 2, 0, 9, 99, 1, 1, 1]]
    {
        let mut world = World::new();
        world.server.handle_opened(world.now, StreamId(1), SocketAddr::from(([127, 0, 0, 1], 1)));
        assert_eq!(world.bytes(1, garbage), [Told::Closing(Closing::Malformed)]);
        assert!(world.closed.contains(&StreamId(1)));
        assert_eq!(world.bytes(1, garbage), [], "nothing more is said");
    }
}

#[test]
fn random_bytes_on_many_connections_harm_nobody() {
    let mut rng = Rng::from_seed(5);
    let mut world = World::new();
    world.sign_in(1, "ann", 1).unwrap();
    for stream in (3..4_003).step_by(2) {
        world.open(stream);
        for _ in 0..rng.below(5) {
            let mut bytes: Vec<u8> = (0..rng.below(300)).map(|_| rng.bits() as u8).collect();
            if rng.chance(1, 2) {
                bytes = asked(1, sign_in_of(&format!("user{stream}"), stream));
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.bits() as u8;
            }
            world.bytes(stream, &bytes);
        }
        if rng.chance(1, 2) && !world.closed.contains(&StreamId(stream)) {
            world.server.handle_closed(world.now, StreamId(stream));
        }
    }
    assert_eq!(world.ask(1, Request::Heartbeat), Ok(Answer::Done));
    world.pass(2 * LEASE);
    assert!(world.server.connections.is_empty() && world.server.checks.is_empty());
    assert!(world.server.lost.is_empty());
    assert_eq!(world.server.directory().users(None), none(), "all leases ran out");
    assert_eq!(world.server.directory().groups(None), Answer::Groups { groups: List::new(), more: false });
}

#[test]
fn a_silent_client_is_dropped_with_its_lease_and_hinted_at() {
    let mut world = World::new();
    world.sign_in(1, "ann", 1).unwrap();
    world.join(1, "lobby");
    world.pass(Duration::from_secs(10));
    world.sign_in(3, "bob", 2).unwrap();
    world.join(3, "lobby");
    world.told(1);
    world.pass(Duration::from_secs(4));
    assert!(world.closed.is_empty());
    assert_eq!(world.ask(3, Request::Users { after: None }), users(&["ann", "bob"]));
    world.pass(Duration::from_secs(2));
    assert_eq!(world.told(1), [Told::Closing(Closing::Silent)]);
    let gone = Notice::MemberGone { group: group("lobby"), incarnation: Incarnation(1) };
    assert_eq!(world.told(3), [Told::Notice(gone)]);
    assert_eq!(world.ask(3, Request::Users { after: None }), users(&["bob"]));
}

fn none() -> Answer {
    Answer::Users { users: List::new(), more: false }
}

fn users(names: &[&str]) -> Result<Answer, Refusal> {
    let users = names.iter().map(|name| name.parse().unwrap()).collect();
    Ok(Answer::Users { users, more: false })
}

#[test]
fn who_is_looked_for_is_found_or_away_or_unknown() {
    let mut world = World::new();
    world.open(1);
    let find = |name: &str| Request::Find { user: name.parse().unwrap() };
    assert_eq!(world.ask(1, find("bob")), Err(Refusal::NotSignedIn));
    world.ask(1, sign_in_of("ann", 1)).unwrap();
    assert_eq!(world.ask(1, find("bob")), Err(Refusal::NoSuchUser));
    world.sign_in(3, "bob", 2).unwrap();
    let Ok(Answer::Found(contact)) = world.ask(1, find("bob")) else { panic!() };
    assert_eq!((contact.incarnation, contact.name.as_str()), (Incarnation(2), "bob"));
    assert_eq!(contact.addresses[..], ["10.0.0.1:7000".parse().unwrap(), "192.0.2.1:7000".parse().unwrap()]);
    world.server.handle_closed(world.now, StreamId(3));
    assert_eq!(world.ask(1, find("bob")), Err(Refusal::Away));
}

#[test]
fn heartbeats_keep_a_client_and_half_a_frame_does_not() {
    let mut world = World::new();
    world.sign_in(1, "ann", 1).unwrap();
    world.sign_in(3, "eve", 2).unwrap();
    for _ in 0..10 {
        world.pass(Duration::from_secs(5));
        assert_eq!(world.ask(1, Request::Heartbeat), Ok(Answer::Done));
        world.bytes(3, &[255]);
        world.bytes(3, &[0]);
    }
    assert_eq!(world.ask(1, Request::Users { after: None }), users(&["ann"]));
}

#[test]
fn a_connection_that_never_signs_in_is_closed() {
    let mut world = World::new();
    world.open(1);
    world.pass(LEASE);
    assert_eq!(world.told(1), [Told::Closing(Closing::Silent)]);
    assert_eq!(world.server.poll_stream_timeout(), None);
}

#[test]
fn a_taken_name_is_refused_and_free_once_its_connection_is_closed() {
    let mut world = World::new();
    world.sign_in(1, "ann", 1).unwrap();
    assert_eq!(world.sign_in(3, "ann", 2), Err(Refusal::NameTaken));
    world.server.handle_closed(world.now, StreamId(1));
    assert!(world.ask(3, sign_in_of("ann", 2)).is_ok(), "the same connection may try again");
    world.pass(LEASE - Duration::from_secs(1));
    world.ask(3, Request::Heartbeat).unwrap();
    world.pass(Duration::from_secs(2));
    assert_eq!(world.ask(3, Request::Users { after: None }), users(&["ann"]), "the old lease is void");
}

#[test]
fn the_same_node_supersedes_its_former_connection() {
    let mut world = World::new();
    world.sign_in(1, "ann", 1).unwrap();
    world.sign_in(3, "ann", 1).unwrap();
    assert_eq!(world.told(1), [Told::Closing(Closing::SignedInElsewhere)]);
    assert!(world.closed.contains(&StreamId(1)));
    assert_eq!(world.ask(3, Request::Users { after: None }), users(&["ann"]));
}

#[test]
fn a_lost_node_is_listed_until_its_lease_runs_out() {
    let mut world = World::new();
    world.sign_in(1, "ann", 1).unwrap();
    world.server.handle_closed(world.now, StreamId(1));
    world.sign_in(3, "bob", 2).unwrap();
    world.pass(Duration::from_secs(14));
    assert_eq!(world.ask(3, Request::Users { after: None }), users(&["ann", "bob"]));
    world.pass(Duration::from_secs(1));
    assert_eq!(world.ask(3, Request::Users { after: None }), users(&["bob"]));
}

#[test]
fn signing_out_is_answered_and_closed() {
    let mut world = World::new();
    world.sign_in(1, "ann", 1).unwrap();
    let told = world.bytes(1, &asked(9, Request::SignOut));
    let done = Told::Answer { request: 9, result: Ok(Answer::Done) };
    assert_eq!(told, [done, Told::Closing(Closing::SignedOut)]);
    assert_eq!(world.server.directory().users(None), none());
    assert_eq!(world.server.poll_stream_timeout(), None);
}

#[test]
fn too_many_requests_at_once_close_the_connection() {
    let mut world = World::new();
    world.sign_in(1, "ann", 1).unwrap();
    let flood: Vec<u8> = (0..10_000).flat_map(|n| asked(n, Request::Users { after: None })).collect();
    let told = world.bytes(1, &flood);
    assert_eq!(told.last(), Some(&Told::Closing(Closing::TooFast)));
    assert!(told.len() <= allowance::BURST as usize + 1);
}

#[test]
fn one_connection_too_many_is_told_so() {
    let mut world = World::new();
    (0..CONNECTIONS_MAX as u64).for_each(|stream| world.open(stream));
    let peer = SocketAddr::from(([192, 0, 2, 1], 40_000));
    world.server.handle_opened(world.now, StreamId(CONNECTIONS_MAX as u64), peer);
    assert_eq!(world.told(CONNECTIONS_MAX as u64), [Told::Closing(Closing::TooManyConnections)]);
    assert!(world.ask(0, sign_in_of("ann", 1)).is_ok(), "the others stay");
}

#[test]
fn a_restarted_tracker_learns_a_group_with_its_identity() {
    let mut world = World::new();
    world.sign_in(1, "ann", 1).unwrap();
    let id = world.join(1, "lobby").id;
    let mut restarted = World::new();
    restarted.sign_in(1, "ann", 1).unwrap();
    let report = GroupReport { group: group("lobby"), id, order: OrderKind::Causal, members: List::new() };
    assert_eq!(restarted.ask(1, Request::Report(report)), Ok(Answer::Done));
    restarted.sign_in(3, "bob", 2).unwrap();
    assert_eq!(restarted.join(3, "lobby").id, id);
}

#[test]
fn a_run_is_reported_by_who_is_signed_in_and_can_be_read_by_anybody() {
    let mut world = World::new();
    world.server.set_time_of_day(world.now, 5_000_000);
    world.now += Duration::from_secs(2);
    let figures = Figures { datagrams: 9, ..Figures::default() };
    world.open(3);
    assert_eq!(world.ask(3, Request::Run(figures.clone())), Err(Refusal::NotSignedIn));
    world.sign_in(1, "ann", 7).unwrap();
    assert_eq!(world.ask(1, Request::Run(figures.clone())), Ok(Answer::Done));
    let Ok(Answer::Runs { runs, more: false }) = world.ask(3, Request::Runs { after: None }) else {
        panic!()
    };
    let (number, at_us, incarnation) = (1, 7_000_000, Incarnation(7));
    let run = Run { number, at_us, user: "ann".parse().unwrap(), incarnation, figures };
    assert_eq!(runs[..], [run]);
    let none = Answer::Runs { runs: List::new(), more: false };
    assert_eq!(world.ask(3, Request::Runs { after: Some(1) }), Ok(none));
}
