//! Crashes: those who remain agree on what the dead said, and go on.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Node, World, messages, views};

/// The texts that `from` said, as `node` delivered them.
fn texts(node: &Node, from: &str) -> Vec<String> {
    node.until("its messages", |said| {
        let theirs = messages(&said.lines, "lobby").filter(|message| message["from"] == from);
        Some(theirs.map(|message| message["text"].as_str().unwrap().to_owned()).collect())
    })
}

/// A sender of very many lines is killed amid them, while the others talk too.
fn killed_in_mid_stream(order: &str) {
    const LINES: u64 = 200_000;
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, mut bob, mut cid] = world.lobby(&tracker, order, ["ann", "bob", "cid"]);
    cid.counts(1..=LINES);
    ann.counts(1..=500);
    bob.counts(1..=500);
    ann.messages("lobby", 3_000);
    cid.kill();
    let heard = [&ann, &bob].map(|node| {
        let view = node.sees("lobby", &["ann", "bob"]);
        assert_eq!((&view["cause"], &view["left"]), (&"suspected".into(), &["cid"][..].into()));
        texts(node, "cid")
    });
    // Also by the one that hears of the new view before it becomes suspicious itself.
    for node in [&ann, &bob] {
        assert_eq!(node.notice("peer_suspected")["user"], "cid");
    }
    assert_eq!(heard[0], heard[1], "the survivors differ");
    let count = heard[0].len() as u64;
    assert!(count < LINES, "it was killed too late");
    assert!(heard[0].iter().eq(&(1..=count).map(|number| format!("cid {number}")).collect::<Vec<_>>()));
    ann.types("and on");
    bob.hears("lobby", "ann", "and on");
    for node in [&ann, &bob] {
        node.hears("lobby", "ann", "ann 500");
        node.hears("lobby", "bob", "bob 500");
        assert_eq!(texts(node, "cid").len() as u64, count, "the dead says more after the view without it");
    }
    if ["total", "safe"].contains(&order) {
        let [ann, bob] = [&ann, &bob].map(sequence);
        assert!(ann.iter().zip(&bob).all(|(ann, bob)| ann == bob), "the sequences differ");
        if order == "safe" {
            assert!(ann.starts_with(&sequence(&cid)), "the dead had delivered something else");
        }
    }
}

/// What `node` has delivered so far, by place.
fn sequence(node: &Node) -> Vec<(Value, Value)> {
    node.until("its messages", |said| {
        let places = messages(&said.lines, "lobby");
        Some(places.map(|message| (message["position"].clone(), message["id"].clone())).collect())
    })
}

#[test]
fn survivors_of_a_kill_in_mid_stream_have_the_same_messages_in_fifo_order() {
    killed_in_mid_stream("fifo");
}

#[test]
fn survivors_of_a_kill_in_mid_stream_have_the_same_messages_in_causal_order() {
    killed_in_mid_stream("causal");
}

#[test]
fn survivors_of_a_kill_in_mid_stream_have_the_same_messages_in_total_order() {
    killed_in_mid_stream("total");
}

#[test]
fn survivors_of_a_kill_in_mid_stream_have_all_that_the_dead_had_delivered_in_safe_order() {
    killed_in_mid_stream("safe");
}

#[test]
fn the_first_two_of_five_crash_at_once_and_the_others_agree() {
    let world = World::new();
    let tracker = world.tracker();
    let mut nodes = Vec::from(world.lobby(&tracker, "causal", ["ann", "bob", "cid", "dan", "eve"]));
    let view = nodes[0].sees("lobby", &["ann", "bob", "cid", "dan", "eve"]);
    // By rank: the first one leads each change of the view, the second one would be next.
    let rank = |name: &str| view["members"].as_array().unwrap().iter().position(|member| member == name);
    nodes.sort_by_key(|node| rank(&node.name));
    nodes.iter_mut().for_each(|node| node.counts(1..=20_000));
    nodes[2].messages("lobby", 2_000);
    for mut dead in nodes.drain(..2) {
        dead.kill();
    }
    let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    let heard: Vec<_> = nodes
        .iter()
        .map(|node| {
            assert_eq!(node.sees("lobby", &names)["cause"], "suspected");
            // What came before the last view: the rest is still coming.
            node.until("the messages before its view", |said| {
                let last = said.lines.iter().rposition(|event| event["event"] == "view")?;
                Some(
                    messages(&said.lines[..last], "lobby")
                        .map(|message| message["id"].to_string())
                        .collect::<BTreeSet<_>>(),
                )
            })
        })
        .collect();
    assert!(heard.windows(2).all(|pair| pair[0] == pair[1]), "the survivors differ");
}

#[test]
fn the_last_one_after_two_crashes_goes_on_alone_and_is_told() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, mut bob, mut cid] = world.lobby(&tracker, "causal", ["ann", "bob", "cid"]);
    bob.counts(1..=50);
    bob.messages("lobby", 50);
    bob.kill();
    cid.kill();
    ann.sees("lobby", &["ann"]);
    assert_eq!(ann.notice("alone")["group"], "lobby");
    ann.types("anybody?");
    ann.hears("lobby", "ann", "anybody?");
}

#[test]
fn a_node_that_was_killed_comes_back_within_seconds_and_replaces_its_former_self() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, bob, mut cid] = world.lobby(&tracker, "causal", ["ann", "bob", "cid"]);
    cid.types("before");
    ann.hears("lobby", "cid", "before");
    let killed = Instant::now();
    // Not waited for: while it dies, it has its directory and its name.
    cid.signal("KILL");
    let mut cid = world.node("cid", &["--tracker", &tracker.address]);
    cid.event("its return", |event| event["event"] == "joined" && event["group"] == "lobby");
    assert!(killed.elapsed() < Duration::from_secs(10), "it took {:?}", killed.elapsed());
    cid.types("after");
    for node in [&ann, &bob, &cid] {
        node.hears("lobby", "cid", "after");
        node.sees("lobby", &["ann", "bob", "cid"]);
        node.until("views without anybody twice", |said| {
            views(&said.lines, "lobby").for_each(assert_names_are_unique);
            Some(())
        });
    }
    let [old, new] = ["before", "after"].map(|text| bob.hears("lobby", "cid", text)["id"].clone());
    assert_ne!(old, new);
    ann.types("welcome back");
    cid.hears("lobby", "ann", "welcome back");
}

fn assert_names_are_unique(view: &Value) {
    let mut names: Vec<&str> = view["members"].as_array().unwrap().iter().flat_map(Value::as_str).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{view}");
}

#[test]
fn a_node_that_was_frozen_beyond_suspicion_is_in_one_view_with_the_others_again_and_catches_up() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, bob, mut cid] = world.lobby(&tracker, "causal", ["ann", "bob", "cid"]);
    cid.signal("STOP");
    for node in [&ann, &bob] {
        node.sees("lobby", &["ann", "bob"]);
        assert_eq!(node.notice("peer_suspected")["user"], "cid");
    }
    ann.types("while you were away");
    bob.hears("lobby", "ann", "while you were away");
    cid.signal("CONT");
    let views = [&ann, &bob, &cid].map(|node| {
        // Until it has noticed that it was away, its old view has the same members.
        let what = "a merged view of all three";
        let merged =
            |view: &Value| view["cause"] == "merge" && view["members"].as_array().unwrap().len() == 3;
        node.event(what, merged)["view"].clone()
    });
    assert!(views.iter().all(|view| *view == views[0]), "{views:?}");
    for node in [&ann, &bob] {
        assert_eq!(node.notice("peer_back")["user"], "cid");
    }
    assert_eq!(cid.hears("lobby", "ann", "while you were away")["caught_up"], true);
    cid.types("back");
    ann.types("good");
    for node in [&ann, &bob, &cid] {
        node.hears("lobby", "cid", "back");
        node.hears("lobby", "ann", "good");
    }
}

#[test]
fn a_group_that_waits_for_a_stopped_member_says_for_whom_and_goes_on_when_it_wakes() {
    let world = World::new();
    let tracker = world.tracker();
    let arguments =
        ["--ui", "json", "--tracker", &tracker.address, "--join", "lobby:total", "--suspect-after", "30s"];
    let [mut ann, bob, cid] = ["ann", "bob", "cid"].map(|name| world.start(name, &arguments));
    for node in [&ann, &bob, &cid] {
        node.sees("lobby", &["ann", "bob", "cid"]);
    }
    cid.signal("STOP");
    ann.types("cid?");
    for node in [&ann, &bob] {
        assert_eq!(node.notice("waiting_for")["user"], "cid");
    }
    cid.signal("CONT");
    for node in [&ann, &bob, &cid] {
        node.hears("lobby", "ann", "cid?");
        node.has_suspected_nobody();
    }
}
