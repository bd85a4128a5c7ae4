//! Strangers: bytes from nowhere on every socket, and a reader that goes away, disturb nobody else.

use std::io::Write as _;
use std::net::{TcpStream, UdpSocket};
use std::time::Instant;

use decury_common::base::rng::Rng;
use decury_common::wire::VERSION;

use crate::harness::World;

#[test]
fn random_bytes_on_every_socket_disturb_nobody() {
    const LINES: u64 = 500;
    let began = Instant::now();
    let world = World::new();
    let tracker = world.tracker();
    let mut nodes = world.lobby(&tracker, "causal", ["ann", "bob", "cid"]);
    nodes.iter_mut().for_each(|node| _ = node.types("hello"));
    let targets = nodes.each_ref().map(|node| {
        let ready = node.event("ready", |event| event["event"] == "ready");
        let id = node.event("its first message", |event| event["event"] == "sent")["id"].clone();
        let incarnation = u64::from_str_radix(&id.as_str().unwrap()[..16], 16).unwrap();
        (ready["udp"].as_str().unwrap().to_owned(), incarnation.to_le_bytes())
    });
    let mut rng = Rng::from_seed(4);
    let mut bytes = move |most: u64| (0..rng.below(most)).map(|_| rng.bits() as u8).collect::<Vec<u8>>();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for round in 0..20 {
        let first = 1 + round * LINES / 20;
        nodes.iter_mut().for_each(|node| node.counts(first..=first + LINES / 20 - 1));
        for (target, incarnation) in targets.iter().cycle().take(300) {
            let random = bytes(1_500);
            stranger.send_to(&random, target).unwrap();
            // What begins as ours do, from somebody to this very node, gets further.
            let header = [&[VERSION][..], &round.to_le_bytes(), incarnation].concat();
            stranger.send_to(&[&header[..], &random].concat(), target).unwrap();
        }
        for _ in 0..10 {
            let mut connection = TcpStream::connect(&tracker.address).unwrap();
            // It may be closed under our hands, which is as well.
            _ = connection.write_all(&bytes(3_000));
        }
    }
    for node in &nodes {
        let heard = node.messages("lobby", 3 * (LINES as usize + 1));
        assert_eq!(heard.len(), 3 * (LINES as usize + 1));
        let views = node.until("its views", |said| {
            let shown =
                |event: &&serde_json::Value| event["kind"] == "tracker_lost" || event["cause"] == "suspected";
            Some(said.lines.iter().filter(shown).count())
        });
        assert_eq!(views, 0, "somebody was lost");
        assert!(node.notice("stranger")["text"].as_str().unwrap().contains("it is dropped"));
        let strangers = |event: &&serde_json::Value| event["kind"] == "stranger";
        let told = node.until("its notices", |said| Some(said.lines.iter().filter(strangers).count()));
        let minutes = began.elapsed().as_secs() as usize / 60;
        assert!(told <= 1 + minutes, "{} is told once a minute at most", node.name);
    }
    let late = world.node("late", &["--tracker", &tracker.address, "--join", "lobby"]);
    late.sees("lobby", &["ann", "bob", "cid", "late"]);
    for node in &mut nodes {
        node.types("!q");
        let ended = node.ended();
        assert_eq!((ended.code, ended.said.errors), (Some(0), vec![]));
    }
}
