//! Clients of every sort.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use decury_common::base::id::Incarnation;
use decury_common::base::rng::Rng;
use decury_common::wire::tracker::{Answer, Closing, Notice, Refusal, Request, Told};

use crate::support::{Client, PATIENCE, Tracker, asked, sign_in};

#[test]
fn two_nodes_find_each_other_in_a_group() {
    let tracker = Tracker::start(&[]);
    let mut ann = Client::signed_in(tracker.address, "ann", 1);
    let mut bob = Client::signed_in(tracker.address, "bob", 2);
    let created = ann.join("lobby");
    assert!(created.created && created.contacts.is_empty());
    let joined = bob.join("lobby");
    assert_eq!((joined.id, joined.contacts[0].incarnation), (created.id, Incarnation(1)));
    let Some(Told::Notice(Notice::Contact { contact, .. })) = ann.told() else { panic!() };
    assert_eq!(contact.incarnation, Incarnation(2));
    drop(bob);
    let gone = Notice::MemberGone { group: "lobby".parse().unwrap(), incarnation: Incarnation(2) };
    assert_eq!(ann.told(), Some(Told::Notice(gone)));
}

#[test]
fn an_unknown_group_is_an_answer_and_the_tracker_goes_on() {
    let tracker = Tracker::start(&[]);
    let mut ann = Client::signed_in(tracker.address, "ann", 1);
    let group = "nowhere".parse().unwrap();
    assert_eq!(ann.ask(Request::Members { group }), Err(Refusal::NoSuchGroup));
    assert_eq!(ann.ask(Request::Leave { group }), Err(Refusal::NoSuchGroup));
    assert_eq!(ann.users(), ["ann"]);
}

#[test]
fn a_person_is_found_or_away_or_unknown() {
    let tracker = Tracker::start(&[]);
    let mut ann = Client::signed_in(tracker.address, "ann", 1);
    let find = Request::Find { user: "bob".parse().unwrap() };
    assert_eq!(ann.ask(find.clone()), Err(Refusal::NoSuchUser));
    let mut bob = Client::signed_in(tracker.address, "bob", 2);
    let Ok(Answer::Found(contact)) = ann.ask(find.clone()) else { panic!() };
    assert_eq!(contact.incarnation, Incarnation(2));
    assert_eq!(bob.ask(Request::SignOut), Ok(Answer::Done));
    assert_eq!(ann.ask(find), Err(Refusal::Away));
}

#[test]
fn the_eleventh_is_refused() {
    let tracker = Tracker::start(&[]);
    let mut clients: Vec<Client> =
        (0..11).map(|n| Client::signed_in(tracker.address, &format!("user{n}"), n)).collect();
    clients[..10].iter_mut().for_each(|client| drop(client.join("lobby")));
    let join = Request::Join { group: "lobby".parse().unwrap(), order: None };
    assert_eq!(clients[10].ask(join), Err(Refusal::GroupFull));
}

#[test]
fn a_node_that_was_killed_can_sign_in_again_at_once() {
    let tracker = Tracker::start(&[]);
    let ann = Client::signed_in(tracker.address, "ann", 1);
    assert_eq!(Client::connect(tracker.address).ask(sign_in("ann", 2)), Err(Refusal::NameTaken));
    ann.socket.shutdown(Shutdown::Both).unwrap();
    // The end of one connection and the sign-in on another may reach the tracker in either order.
    let mut again = Client::connect(tracker.address);
    let deadline = Instant::now() + PATIENCE;
    while let Err(refusal) = again.ask(sign_in("ann", 2)) {
        assert!(refusal == Refusal::NameTaken && Instant::now() < deadline);
    }
    assert_eq!(again.users(), ["ann"]);
}

#[test]
fn random_bytes_on_the_socket_are_told_and_disturb_nobody() {
    let tracker = Tracker::start(&[]);
    let mut ann = Client::signed_in(tracker.address, "ann", 1);
    let mut rng = Rng::from_seed(11);
    for _ in 0..100 {
        let mut socket = TcpStream::connect(tracker.address).unwrap();
        let bytes: Vec<u8> = (0..rng.below(5_000)).map(|_| rng.bits() as u8).collect();
        // It may be closed under our hands, which is as well.
        let _ = socket.write_all(&bytes);
    }
    let mut garbler = Client::connect(tracker.address);
    garbler.socket.write_all(b"\x05\x00hello").unwrap();
    assert_eq!(garbler.told(), Some(Told::Closing(Closing::Malformed)));
    assert_eq!(garbler.told(), None, "then the connection is closed");
    assert_eq!(ann.users(), ["ann"]);
}

#[test]
fn clients_that_do_not_read_or_say_half_a_frame_block_nobody() {
    let tracker = Tracker::start(&[]);
    let mut ann = Client::signed_in(tracker.address, "ann", 1);
    let mut deaf: Vec<Client> =
        (0..5).map(|n| Client::signed_in(tracker.address, &format!("deaf{n}"), 100 + n)).collect();
    for client in &mut deaf {
        let flood = asked(Request::Users { after: None }).repeat(20_000);
        client.socket.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        let _ = client.socket.write_all(&flood);
    }
    let mut halting = Client::connect(tracker.address);
    halting.socket.write_all(&[255]).unwrap();
    for _ in 0..20 {
        let asked = Instant::now();
        assert!(ann.users().contains(&"ann".to_owned()));
        assert!(asked.elapsed() < Duration::from_secs(2), "an answer took {:?}", asked.elapsed());
    }
}

#[test]
fn a_silent_node_is_dropped_with_its_lease_and_a_heard_one_stays() {
    let tracker = Tracker::start(&["--heartbeat", "100ms", "--lease", "1s"]);
    let mut ann = Client::signed_in(tracker.address, "ann", 1);
    let mut bob = Client::signed_in(tracker.address, "bob", 2);
    let deadline = Instant::now() + PATIENCE;
    while ann.users() == ["ann", "bob"] {
        assert!(Instant::now() < deadline, "bob stays for ever");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(ann.users(), ["ann"]);
    assert_eq!(bob.told(), Some(Told::Closing(Closing::Silent)));
    assert_eq!(bob.told(), None);
}

#[test]
fn an_idle_tracker_costs_nothing() {
    let tracker = Tracker::start(&[]);
    let _ann = Client::signed_in(tracker.address, "ann", 1);
    let mut half = Client::connect(tracker.address);
    half.socket.write_all(&[9]).unwrap();
    half.socket.shutdown(Shutdown::Write).unwrap();
    let before = ticks(tracker.id());
    std::thread::sleep(Duration::from_secs(1));
    let used = ticks(tracker.id()) - before;
    assert!(used <= 5, "{used} of 100 clock ticks");
}

/// Processor time that a process has used, in clock ticks: fields 14 and 15 of its status line.
fn ticks(process: u32) -> u64 {
    let line = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, after_name) = line.rsplit_once(") ").unwrap();
    after_name.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}
