//! Without a tracker: named peers, the local network, and a tracker that is gone for good.

use std::net::{Ipv4Addr, UdpSocket};

use serde_json::Value;

use crate::harness::{Node, World};

/// Where nodes look for each other in the local network.
const MULTICAST: Ipv4Addr = Ipv4Addr::new(239, 255, 68, 67);

/// A name that no other run on this machine has.
fn own(name: &str) -> String {
    format!("{name}{}", std::process::id())
}

/// Where a node can be reached.
fn address(node: &Node) -> String {
    let ready = node.event("ready", |event| event["event"] == "ready");
    assert_eq!(ready["tracker"], Value::Null);
    ready["udp"].as_str().unwrap().to_owned()
}

fn alone(world: &World, name: &str, arguments: &[&str]) -> Node {
    world.node(name, &[&["--no-tracker"], arguments].concat())
}

#[test]
fn in_a_chain_of_peers_all_find_each_other_their_groups_and_people() {
    let world = World::new();
    let mut ann = alone(&world, "ann", &["--join", "lobby:total"]);
    ann.sees("lobby", &["ann"]);
    let mut bob = alone(&world, "bob", &["--peer", &address(&ann)]);
    let mut cid = alone(&world, "cid", &["--peer", &address(&bob), "--join", "lobby"]);
    for node in [&ann, &cid] {
        node.sees("lobby", &["ann", "cid"]);
    }
    bob.notice("peer_met");
    cid.types("found you");
    ann.hears("lobby", "cid", "found you");
    let line = cid.types("!p bob psst");
    assert_eq!(cid.answer(line)["event"], "sent");
    bob.event("a private message", |event| event["event"] == "private" && event["text"] == "psst");
    let line = cid.types("!g");
    let groups = cid.answer(line)["groups"].clone();
    assert_eq!((&groups[0]["name"], &groups[0]["order"]), (&"lobby".into(), &"total".into()));
    assert_eq!((&groups[0]["members"], &groups[1]), (&2.into(), &Value::Null));
    let line = bob.types("!lm lobby");
    let member = bob.answer(line)["members"][0].clone();
    assert_eq!((&member["name"], &member["reached"]), (&"ann".into(), &"direct".into()));
    let line = cid.types("!peer nowhere");
    assert_eq!(cid.answer(line)["code"], "bad_command");
    ann.types("!q");
    assert_eq!(ann.ended().code, Some(0));
    cid.sees("lobby", &["cid"]);
}

#[test]
fn the_same_name_created_on_two_sides_is_one_group_after_a_peer_is_named() {
    let world = World::new();
    let mut nodes = ["ann", "bob"].map(|name| alone(&world, name, &["--join", "lobby"]));
    for (node, name) in nodes.iter().zip(["ann", "bob"]) {
        node.sees("lobby", &[name]);
    }
    let there = address(&nodes[0]);
    let line = nodes[1].types(&format!("!peer {there}"));
    assert_eq!(nodes[1].answer(line)["kind"], "peer_tried");
    for node in &nodes {
        assert_eq!(node.sees("lobby", &["ann", "bob"])["cause"], "merge");
    }
    nodes[1].types("together");
    nodes[0].hears("lobby", "bob", "together");
}

#[test]
fn an_eleventh_that_meets_a_full_group_is_told_talks_on_and_comes_in_when_somebody_goes() {
    let world = World::new();
    let first = alone(&world, "user0", &["--join", "lobby"]);
    first.sees("lobby", &["user0"]);
    let there = address(&first);
    let names: Vec<String> = (1..10).map(|number| format!("user{number}")).collect();
    let rest = names.iter().map(|name| alone(&world, name, &["--peer", &there, "--join", "lobby"]));
    let mut nodes: Vec<Node> = std::iter::once(first).chain(rest).collect();
    let ten: Vec<&str> = std::iter::once("user0").chain(names.iter().map(String::as_str)).collect();
    for node in &nodes {
        node.sees("lobby", &ten);
    }
    let mut late = alone(&world, "late", &["--join", "lobby"]);
    late.sees("lobby", &["late"]);
    late.types(&format!("!peer {there}"));
    let refused = late.notice("merge_refused");
    assert_eq!(refused["group"], "lobby");
    late.types("on my own");
    late.hears("lobby", "late", "on my own");
    nodes[9].types("!q");
    assert_eq!(nodes[9].ended().code, Some(0));
    let all = [&ten[..9], &["late"]].concat();
    for node in nodes[..9].iter().chain([&late]) {
        node.sees("lobby", &all);
        node.hears("lobby", "late", "on my own");
    }
}

#[test]
fn in_the_local_network_nodes_find_each_other_or_say_that_they_cannot() {
    let here = Ipv4Addr::LOCALHOST;
    let heard = UdpSocket::bind((here, 0)).and_then(|socket| socket.join_multicast_v4(&MULTICAST, &here));
    let world = World::new();
    // Whoever else looks for peers on this machine is met too.
    let (ours, [ann, bob]) = (own("lobby"), ["ann", "bob"].map(own));
    let nodes = [&ann, &bob].map(|name| alone(&world, name, &["--discover", "--join", &ours]));
    for node in &nodes {
        match heard {
            Ok(()) => _ = node.sees(&ours, &[&ann, &bob]),
            Err(_) => {
                let is_told = |line: &String| line.starts_with("--discover finds nobody");
                node.until("a word", |said| said.errors.iter().any(is_told).then_some(()));
            }
        }
    }
}

#[test]
fn when_the_tracker_is_gone_for_good_nothing_ends_and_newcomers_come_through_peers() {
    let world = World::new();
    let tracker = world.tracker();
    let gone = tracker.address.clone();
    let [mut ann, mut bob, mut cid] = world.lobby(&tracker, "causal", ["ann", "bob", "cid"]);
    tracker.kill();
    ann.counts(1..=50);
    bob.messages("lobby", 50);
    cid.kill();
    for node in [&ann, &bob] {
        assert_eq!(node.sees("lobby", &["ann", "bob"])["cause"], "suspected");
    }
    let there = bob.event("ready", |event| event["event"] == "ready")["udp"].as_str().unwrap().to_owned();
    let mut dan = world.node("dan", &["--tracker", &gone, "--peer", &there]);
    let line = dan.types("!j lobby");
    assert_eq!(dan.answer(line)["event"], "joined");
    for node in [&ann, &bob, &dan] {
        node.sees("lobby", &["ann", "bob", "dan"]);
    }
    bob.types("!q");
    assert_eq!(bob.ended().code, Some(0));
    for node in [&ann, &dan] {
        node.sees("lobby", &["ann", "dan"]);
    }
    dan.types("it goes on");
    ann.hears("lobby", "dan", "it goes on");
    let line = ann.types("!g");
    assert_eq!(ann.answer(line)["groups"][0]["members"], 2);
}

#[test]
fn nodes_that_were_all_killed_find_each_other_and_their_group_unaided() {
    let world = World::new();
    let ann = alone(&world, "ann", &["--join", "lobby:total"]);
    let bob = alone(&world, "bob", &["--join", "lobby", "--peer", &address(&ann)]);
    let mut cid = alone(&world, "cid", &["--join", "lobby", "--peer", &address(&bob)]);
    for node in [&ann, &bob, &cid] {
        node.sees("lobby", &["ann", "bob", "cid"]);
    }
    cid.types("remember this");
    let mut nodes = [ann, bob, cid];
    for node in &mut nodes {
        node.hears("lobby", "cid", "remember this");
        // What is told as joined is on the disk, and with it who has been met before.
        let line = node.types("!j other");
        assert_eq!(node.answer(line)["event"], "joined");
    }
    nodes.iter_mut().for_each(Node::kill);
    let mut ann = alone(&world, "ann", &[]);
    let mut cid = alone(&world, "cid", &[]);
    for group in ["lobby", "other"] {
        for node in [&ann, &cid] {
            node.sees(group, &["ann", "cid"]);
        }
    }
    ann.types("!w lobby");
    ann.types("here again");
    cid.hears("lobby", "ann", "here again");
    let line = cid.types("!h lobby");
    assert_eq!(cid.answer(line)["messages"][0]["text"], "remember this");
    let line = cid.types("!u b*");
    let bob = &cid.answer(line)["users"][0];
    assert_eq!((&bob["name"], &bob["online"]), (&"bob".into(), &false.into()));
}

#[test]
fn two_sides_with_two_people_of_one_name_are_told_why_they_are_two() {
    let world = World::new();
    let start = |data: &str, name: &str| {
        world.start_in(data, name, &["--ui", "json", "--no-tracker", "--join", "lobby"])
    };
    let mut nodes = [start("one", "ann"), start("two", "ann")];
    for node in &nodes {
        node.sees("lobby", &["ann"]);
    }
    let there = address(&nodes[0]);
    nodes[1].types(&format!("!peer {there}"));
    for node in &nodes {
        let told = node.notice("merge_refused");
        assert_eq!((&told["group"], &told["user"]), (&"lobby".into(), &"ann".into()));
    }
    nodes[1].types("!e lobby");
    nodes[1].types("!q");
    assert_eq!(nodes[1].ended().code, Some(0));
}

#[test]
fn who_starts_without_a_tracker_and_without_peers_is_told_what_to_do() {
    let world = World::new();
    let ann = world.start("ann", &["--no-tracker"]);
    ann.until("what to do", |said| {
        said.errors.iter().find(|line| line.contains("no peers yet: !peer ADDR")).cloned()
    });
    for (arguments, words) in [
        (&["--no-tracker", "--host"][..], "cannot be used with"),
        (&["--no-tracker", "--peer", "nowhere"], "HOST:PORT"),
    ] {
        let mut refused = world.start("bob", arguments);
        let ended = refused.ended();
        assert_eq!(ended.code, Some(2));
        assert!(ended.said.errors.iter().any(|line| line.contains(words)), "{:?}", ended.said.errors);
    }
}
