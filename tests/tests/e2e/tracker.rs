//! The tracker: needed to find each other, and for nothing else.

use serde_json::Value;

use crate::harness::{Node, World};

/// Waits until as many trackers have come back to it, or been lost, as said.
fn notices(node: &Node, kind: &str, count: usize) {
    node.until(&format!("{count} notices {kind}"), |said| {
        (said.lines.iter().filter(|event| event["kind"] == kind).count() >= count).then_some(())
    });
}

#[test]
fn talk_goes_on_while_the_tracker_restarts_and_newcomers_find_it_afterwards() {
    let world = World::new();
    let mut tracker = world.tracker();
    let address = tracker.address.clone();
    let [mut ann, mut bob, mut cid] = world.lobby(&tracker, "causal", ["ann", "bob", "cid"]);
    for round in 1..=2 {
        for node in [&mut ann, &mut bob] {
            node.counts(1000 * round..=1000 * round + 299);
        }
        tracker.kill();
        for node in [&ann, &bob, &cid] {
            notices(node, "tracker_lost", round as usize);
        }
        cid.types(&format!("without it {round}"));
        ann.hears("lobby", "cid", &format!("without it {round}"));
        tracker = world.tracker_at(&address);
        for node in [&ann, &bob, &cid] {
            notices(node, "tracker_back", round as usize);
        }
    }
    for node in [&ann, &bob, &cid] {
        node.messages("lobby", 2 * 600 + 2);
    }
    let mut dan = world.node("dan", &["--tracker", &address]);
    let line = dan.types("!j lobby");
    let joined = dan.answer(line);
    assert_eq!((&joined["event"], &joined["order"]), (&"joined".into(), &"causal".into()));
    let line = dan.types("!g");
    assert_eq!(dan.answer(line)["groups"][0]["members"], 4);
    dan.types("found you");
    for node in [&ann, &bob, &cid, &dan] {
        node.sees("lobby", &["ann", "bob", "cid", "dan"]);
        node.hears("lobby", "dan", "found you");
        let views = node.until("its views", |said| {
            Some(said.lines.iter().filter(|event| event["event"] == "view").count())
        });
        assert!(views <= 3, "the tracker's restart has changed a view");
    }
}

#[test]
fn without_a_tracker_a_crash_and_a_leave_are_handled() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, mut bob, mut cid, mut dan] = world.lobby(&tracker, "causal", ["ann", "bob", "cid", "dan"]);
    tracker.kill();
    dan.counts(1..=100);
    ann.messages("lobby", 100);
    dan.kill();
    for node in [&ann, &bob, &cid] {
        assert_eq!(node.sees("lobby", &["ann", "bob", "cid"])["cause"], "suspected");
    }
    cid.types("goodbye");
    cid.types("!q");
    assert_eq!(cid.ended().code, Some(0));
    for node in [&ann, &bob] {
        assert_eq!(node.sees("lobby", &["ann", "bob"])["cause"], "leave");
        node.hears("lobby", "cid", "goodbye");
        assert_eq!(node.messages("lobby", 101).len(), 101);
    }
    let line = ann.types("!g");
    assert_eq!(ann.answer(line)["groups"][0]["members"], 2);
    bob.types("we do not need it");
    ann.hears("lobby", "bob", "we do not need it");
}

#[test]
fn what_is_piped_in_before_there_is_a_tracker_is_done_when_it_comes() {
    let world = World::new();
    let gone = world.tracker();
    let address = gone.address.clone();
    gone.kill();
    let arguments = ["--tracker", address.as_str(), "--join", "lobby:fifo"];
    let mut ann = world.node("ann", &arguments);
    let ready = ann.event("ready", |event| event["event"] == "ready");
    assert_eq!(ready["tracker"], Value::Null);
    ann.types("first words");
    let mut bob = world.start("bob", &arguments);
    bob.until("that no tracker answers", |said| {
        said.errors
            .iter()
            .find(|line| line.contains("no tracker answers") && line.contains("still trying"))
            .cloned()
    });
    let line = bob.types("!g");
    let answer = format!("line {line}: no tracker answers");
    bob.until("that a list has to wait", |said| {
        said.errors.iter().find(|line| line.starts_with(&answer)).cloned()
    });
    let _tracker = world.tracker_at(&address);
    ann.notice("tracker_back");
    ann.hears("lobby", "ann", "first words");
    ann.sees("lobby", &["ann", "bob"]);
    bob.types("me too");
    ann.hears("lobby", "bob", "me too");
}

#[test]
fn one_hosts_the_tracker_and_when_that_one_ends_the_others_talk_on() {
    let world = World::new();
    let mut ann = world.node("ann", &["--host=127.0.0.1:0", "--join", "lobby"]);
    let ready = ann.event("ready", |event| event["event"] == "ready");
    let address = ready["tracker"].as_str().unwrap();
    assert!(ready["udp"].as_str().unwrap().starts_with("127.0.0.1:"));
    let [mut bob, cid] =
        ["bob", "cid"].map(|name| world.node(name, &["--tracker", address, "--join", "lobby"]));
    for node in [&ann, &bob, &cid] {
        node.sees("lobby", &["ann", "bob", "cid"]);
    }
    ann.types("welcome to my house");
    bob.hears("lobby", "ann", "welcome to my house");
    ann.signal("INT");
    assert_eq!(ann.ended().code, Some(0));
    for node in [&bob, &cid] {
        assert_eq!(node.sees("lobby", &["bob", "cid"])["cause"], "leave");
        node.notice("tracker_lost");
    }
    bob.types("she has left");
    cid.hears("lobby", "bob", "she has left");
}

#[test]
fn a_tracker_that_hangs_is_taken_for_lost_and_answers_when_it_goes_on() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, mut bob] = world.lobby(&tracker, "fifo", ["ann", "bob"]);
    tracker.signal("STOP");
    let line = ann.types("!g");
    bob.types("it does not answer");
    ann.hears("lobby", "bob", "it does not answer");
    ann.notice("tracker_lost");
    tracker.signal("CONT");
    assert_eq!(ann.answer(line)["groups"][0]["members"], 2);
    ann.notice("tracker_back");
}
