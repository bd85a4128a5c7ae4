//! Ends that are asked for: what was typed arrives first, the others see a leave, the exit code is 0.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Ended, Node, World, messages};

/// How long an end may take, whoever is dead.
const END_WITHIN: Duration = Duration::from_secs(5);

fn assert_good(ended: &Ended) {
    assert_eq!((ended.code, &ended.said.errors), (Some(0), &vec![]));
    assert_eq!(ended.said.lines.last().unwrap()["event"], "bye");
}

/// `ann` sees `name` leave, and has all that it had typed before.
fn assert_left(ann: &Node, name: &str, count: usize) {
    let is_gone = |event: &Value| event["left"].as_array().is_some_and(|left| left.contains(&name.into()));
    let view = ann.event("the view without it", |event| event["event"] == "view" && is_gone(event));
    assert_eq!(view["cause"], "leave", "{view}");
    let before = ann.until("what came before that view", |said| {
        let until = said.lines.iter().position(|event| *event == view)?;
        Some(messages(&said.lines[..until], "lobby").filter(|message| message["from"] == name).count())
    });
    assert_eq!(before, count, "messages from {name}");
}

#[test]
fn all_that_was_typed_before_q_or_the_end_of_input_is_delivered() {
    let world = World::new();
    let tracker = world.tracker();
    let [ann, mut bob, mut cid] = world.lobby(&tracker, "causal", ["ann", "bob", "cid"]);
    bob.counts(1..=2_000);
    bob.types("!q");
    cid.counts(1..=2_000);
    cid.close_input();
    for node in [&mut bob, &mut cid] {
        let ended = node.ended();
        assert_good(&ended);
        assert_eq!(ended.said.lines.last().unwrap()["sent"], 2_000);
        let own = |message: &&Value| message["from"] == node.name.as_str();
        assert_eq!(messages(&ended.said.lines, "lobby").filter(own).count(), 2_000);
        assert_left(&ann, &node.name, 2_000);
    }
}

#[test]
fn interrupt_and_terminate_leave_the_group() {
    let world = World::new();
    let tracker = world.tracker();
    let [ann, bob, cid] = world.lobby(&tracker, "fifo", ["ann", "bob", "cid"]);
    for (mut node, signal) in [(bob, "INT"), (cid, "TERM")] {
        let asked = Instant::now();
        node.signal(signal);
        assert_good(&node.ended());
        assert!(asked.elapsed() < END_WITHIN, "{:?}", asked.elapsed());
        assert_left(&ann, &node.name, 0);
    }
    assert_eq!(ann.sees("lobby", &["ann"])["cause"], "leave");
}

#[test]
fn an_end_takes_five_seconds_at_most_though_peers_and_tracker_have_just_died() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, mut bob, cid] = world.lobby(&tracker, "causal", ["ann", "bob", "cid"]);
    ann.types("hello");
    cid.hears("lobby", "ann", "hello");
    bob.kill();
    cid.signal("STOP");
    tracker.kill();
    let asked = Instant::now();
    ann.signal("INT");
    let ended = ann.ended();
    assert!(asked.elapsed() < END_WITHIN, "{:?}", asked.elapsed());
    assert_good(&ended);
}

#[test]
fn nodes_that_end_at_once_all_end_well() {
    let world = World::new();
    let tracker = world.tracker();
    let mut nodes = world.lobby(&tracker, "causal", ["ann", "bob", "cid"]);
    nodes.iter_mut().for_each(|node| node.counts(1..=200));
    let asked = Instant::now();
    nodes.iter().for_each(|node| node.signal("TERM"));
    for node in &mut nodes {
        assert_good(&node.ended());
    }
    assert!(asked.elapsed() < END_WITHIN, "{:?}", asked.elapsed());
}

#[test]
fn a_node_whose_reader_goes_away_says_so_and_leaves_its_group() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, mut bob] = world.lobby(&tracker, "causal", ["ann", "bob"]);
    bob.stop_listening();
    // It notices when it writes: the first line closes the pipe, and all of them are more than a pipe holds.
    ann.counts(1..=2_000);
    assert_left(&ann, "bob", 0);
    let ended = bob.ended();
    assert_eq!(ended.code, Some(1));
    let [line] = &ended.said.errors[..] else { panic!("not one line: {:?}", ended.said.errors) };
    assert!(line.starts_with("node: the output cannot be written any more"), "{line}");
}
