//! Links that are cut one way, or both ways: a third member passes on what goes between the two.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Node, World, views};

/// Asks a node how it reaches a member until it is so.
fn reaches(node: &mut Node, member: &str, how: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let line = node.types("!lm");
        let answer = node.answer(line);
        let mut members = answer["members"].as_array().unwrap().iter();
        if members.any(|status| status["name"] == member && status["reached"] == how) {
            return;
        }
        assert!(Instant::now() < deadline, "{} does not reach {member} '{how}': {answer}", node.name);
        // So that asking does not keep the machine from what is asked for.
        thread::sleep(Duration::from_millis(10));
    }
}

fn fault(node: &mut Node, spec: &str) {
    let line = node.types(&format!("!fault {spec}"));
    assert_eq!(node.answer(line)["event"], "fault");
}

#[test]
fn what_a_dead_link_does_not_carry_comes_over_somebody_else_and_straight_when_it_heals() {
    let world = World::new();
    let tracker = world.tracker();
    let arguments = ["--ui", "json", "--tracker", &tracker.address, "--join", "lobby:total"];
    let arguments = [&arguments[..], &["--suspect-after", "3s"]].concat();
    let names = ["ann", "bob", "cid"];
    let [mut ann, mut bob, mut cid] = names.map(|name| world.start(name, &arguments));
    let mut rounds = 0;
    let mut all_hear_all = |nodes: [&mut Node; 3]| {
        rounds += 1;
        let nodes = nodes.map(|node| {
            node.types(&format!("{} in round {rounds}", node.name));
            &*node
        });
        for node in nodes {
            names.iter().for_each(|from| _ = node.hears("lobby", from, &format!("{from} in round {rounds}")));
        }
    };
    for node in [&ann, &bob, &cid] {
        node.sees("lobby", &names);
    }
    reaches(&mut ann, "bob", "direct");
    let seen = |node: &Node| node.until("views", |said| Some(views(&said.lines, "lobby").count()));
    let before = [&ann, &bob, &cid].map(seen);

    // What ann sends does not reach bob any more; then neither does what bob sends reach ann.
    fault(&mut bob, "from=ann,cut");
    reaches(&mut ann, "bob", "via cid");
    reaches(&mut bob, "ann", "via cid");
    all_hear_all([&mut ann, &mut bob, &mut cid]);
    fault(&mut ann, "from=bob,cut");
    reaches(&mut bob, "ann", "via cid");
    all_hear_all([&mut ann, &mut bob, &mut cid]);
    reaches(&mut cid, "ann", "direct");

    fault(&mut bob, "clear");
    fault(&mut ann, "clear");
    reaches(&mut ann, "bob", "direct");
    reaches(&mut bob, "ann", "direct");
    all_hear_all([&mut ann, &mut bob, &mut cid]);
    assert_eq!([&ann, &bob, &cid].map(seen), before, "views changed");
    for node in [&ann, &bob, &cid] {
        let suspects = |event: &&Value| event["kind"] == "peer_suspected";
        let suspicion = node.until("its events", |said| Some(said.lines.iter().find(suspects).cloned()));
        assert_eq!(suspicion, None);
    }
}

#[test]
fn who_was_cut_off_from_one_member_from_the_start_comes_in_over_another() {
    let world = World::new();
    let tracker = world.tracker();
    let arguments =
        ["--ui", "json", "--tracker", &tracker.address, "--join", "lobby", "--suspect-after", "3s"];
    let mut ann = world.start("ann", &[&arguments[..], &["--fault", "from=cid,cut"]].concat());
    ann.sees("lobby", &["ann"]);
    let bob = world.start("bob", &arguments);
    bob.sees("lobby", &["ann", "bob"]);
    let mut cid = world.start("cid", &[&arguments[..], &["--fault", "from=ann,cut"]].concat());
    for node in [&ann, &bob, &cid] {
        node.sees("lobby", &["ann", "bob", "cid"]);
    }
    cid.types("over bob");
    ann.hears("lobby", "cid", "over bob");
    ann.types("me too");
    cid.hears("lobby", "ann", "me too");
    reaches(&mut ann, "cid", "via bob");
}
