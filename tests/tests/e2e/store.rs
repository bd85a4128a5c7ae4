//! What survives the program: kill -9 at any time, a full disk, a damaged file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Node, Tracker, World, messages};

/// The ids of the last messages that a node has kept, oldest first.
fn history(node: &mut Node, what: &str) -> Vec<String> {
    let line = node.types(&format!("!h {what}"));
    let answer = node.answer(line);
    assert_eq!(answer["event"], "history", "{answer}");
    let messages = answer["messages"].as_array().unwrap().iter();
    messages.map(|message| message["id"].as_str().unwrap().to_owned()).collect()
}

/// The ids of the messages that a node has shown.
fn shown(node: &Node) -> Vec<String> {
    node.until("its messages", |said| {
        Some(
            messages(&said.lines, "lobby")
                .map(|message| message["id"].as_str().unwrap().to_owned())
                .collect(),
        )
    })
}

fn start(world: &World, tracker: &Tracker, name: &str) -> Node {
    world.node(name, &["--tracker", &tracker.address])
}

fn events<'a>(lines: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |event| event["event"] == kind)
}

#[test]
fn a_node_killed_amid_a_stream_keeps_what_it_had_shown_and_returns_to_its_groups() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, mut bob] = world.lobby(&tracker, "total", ["ann", "bob"]);
    ann.types("!j other");
    ann.sees("other", &["ann"]);
    ann.types("!w lobby");
    bob.counts(1..=100_000);
    ann.messages("lobby", 3_000);
    let kept = history(&mut ann, "lobby 1000");
    let before = shown(&ann);
    bob.messages("lobby", 10_000);
    ann.kill();
    let mut ann = start(&world, &tracker, "ann");
    for group in ["lobby", "other"] {
        ann.event("its return", |event| event["event"] == "joined" && event["group"] == group);
    }
    let line = ann.types("I am back");
    assert_eq!(ann.answer(line)["group"], "lobby", "the current group is another one");
    let after = history(&mut ann, "lobby 1000");
    assert_eq!(after.len(), 1_000);
    let count = |id: &String| id.rsplit_once('-').unwrap().1.parse::<u64>().unwrap();
    let (first, last) = (count(&kept[0]), count(kept.last().unwrap()));
    assert!(last - first == 999, "what was kept has gaps");
    let unique: BTreeSet<&String> = after.iter().collect();
    assert_eq!(unique.len(), after.len(), "a message is kept twice");
    let twice =
        shown(&ann).into_iter().filter(|id| before[..before.len().min(last as usize)].contains(id)).count();
    assert_eq!(twice, 0, "what was kept is told again");
}

#[test]
fn groups_are_forgotten_by_leaving_alone() {
    let world = World::new();
    let tracker = world.tracker();
    let mut ann = start(&world, &tracker, "ann");
    for line in ["!j one", "!j two fifo", "!j three"] {
        let line = ann.types(line);
        assert_eq!(ann.answer(line)["event"], "joined");
    }
    let line = ann.types("!e one");
    assert_eq!(ann.answer(line)["event"], "left");
    for end in ["!q", "TERM", "input", "KILL"] {
        match end {
            "!q" => _ = ann.types("!q"),
            "input" => ann.close_input(),
            signal => ann.signal(signal),
        }
        ann.ended();
        ann = start(&world, &tracker, "ann");
        let two = ann.event("the return", |event| event["event"] == "joined" && event["group"] == "two");
        assert_eq!(two["order"], "fifo");
        ann.event("the return", |event| event["event"] == "joined" && event["group"] == "three");
        let line = ann.types("!w one");
        assert_eq!(ann.answer(line)["event"], "error", "{end}");
    }
}

#[test]
fn who_starts_again_at_once_has_its_name_and_nobody_else_has() {
    let world = World::new();
    let tracker = world.tracker();
    let mut ann = start(&world, &tracker, "ann");
    let first = ann.event("ready", |event| event["event"] == "ready");
    // Its connection looks open to the tracker, and stays so.
    ann.signal("STOP");
    let mut thief = world.start_in("thief", "ann", &["--ui", "json", "--tracker", &tracker.address]);
    assert_eq!(thief.ended().code, Some(1));
    thief.event("the refusal", |event| event["code"] == "name_taken");
    ann.kill();
    let again = start(&world, &tracker, "ann");
    let second = again.event("ready", |event| event["event"] == "ready");
    assert_eq!(second["tracker"], tracker.address.as_str());
    assert_eq!(first["fingerprint"], second["fingerprint"]);
}

#[test]
fn what_a_killed_node_had_sent_in_private_arrives_once() {
    let world = World::new();
    let tracker = world.tracker();
    let (mut ann, mut bob) = (start(&world, &tracker, "ann"), start(&world, &tracker, "bob"));
    ann.types("!p bob 0");
    ann.event("its receipt", |event| event["event"] == "receipt");
    bob.signal("STOP");
    let last = (1..=20).map(|number| ann.types(&format!("!p bob {number}"))).last().unwrap();
    ann.answer(last);
    ann.kill();
    bob.kill();
    let mut ann = start(&world, &tracker, "ann");
    let notice = ann.notice("outbox");
    assert_eq!(notice["user"], "bob");
    let line = ann.types("!p bob not now");
    assert_eq!(ann.answer(line)["code"], "not_here");
    let bob = start(&world, &tracker, "bob");
    bob.event("the last", |event| event["event"] == "private" && event["text"] == "20");
    let receipts = |said: &crate::process::Said| events(&said.lines, "receipt").count();
    ann.until("all receipts", |said| (receipts(said) == 20).then_some(()));
    bob.until("each once", |said| {
        let texts: Vec<&str> =
            events(&said.lines, "private").flat_map(|event| event["text"].as_str()).collect();
        assert_eq!(texts, (1..=20).map(|number| number.to_string()).collect::<Vec<_>>());
        Some(())
    });
    assert_eq!(history(&mut ann, "@bob 100").len(), 21);
}

#[test]
fn a_history_outlives_the_program_and_the_stay_in_its_group() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, bob] = world.lobby(&tracker, "causal", ["ann", "bob"]);
    for number in 1..=30 {
        ann.types(&format!("number {number}"));
    }
    bob.messages("lobby", 30);
    ann.types("!e");
    ann.types("!q");
    assert_eq!(ann.ended().code, Some(0));
    let mut ann = start(&world, &tracker, "ann");
    let line = ann.types("!h lobby");
    let answer = ann.answer(line);
    let texts: Vec<&str> =
        answer["messages"].as_array().unwrap().iter().flat_map(|message| message["text"].as_str()).collect();
    assert_eq!(texts, (11..=30).map(|number| format!("number {number}")).collect::<Vec<_>>());
    let first = &answer["messages"][0];
    assert_eq!((&first["from"], &first["caught_up"]), (&"ann".into(), &false.into()));
    assert!(first["at"].as_u64().unwrap() > 1_700_000_000_000_000);
    let line = ann.types("!h nowhere");
    assert_eq!(ann.answer(line)["code"], "no_such_group");
}

#[test]
fn a_damaged_store_is_told_and_not_replaced() {
    let world = World::new();
    let tracker = world.tracker();
    let mut ann = start(&world, &tracker, "ann");
    ann.types("!q");
    ann.ended();
    let file = world.data("ann").join("node.db");
    let mut bytes = fs::read(&file).unwrap();
    bytes[..512].fill(0xee);
    fs::write(&file, &bytes).unwrap();
    let mut ann = world.start("ann", &["--ui", "json", "--tracker", &tracker.address]);
    let ended = ann.ended();
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.said.errors.len(), 1, "{:?}", ended.said.errors);
    let error = &ended.said.errors[0];
    assert!(error.contains("node.db is damaged") && error.contains("move it away"), "{error}");
    assert!(fs::read(&file).unwrap() == bytes);
}

#[test]
fn a_full_disk_is_told_and_talk_goes_on_until_there_is_room_again() {
    // A limit on the size of files stands for the disk. It can be lifted from outside.
    let limited = |limit: &str, id: u32| {
        let status =
            Command::new("prlimit").args([format!("--pid={id}"), format!("--fsize={limit}:")]).status();
        status.is_ok_and(|status| status.success())
    };
    if !Path::new("/usr/bin/prlimit").exists() {
        eprintln!("prlimit (util-linux) is missing: skipped");
        return;
    }
    let world = World::new();
    let tracker = world.tracker();
    let mut ann = world.start_deaf_to("XFSZ", "ann", &["--ui", "json", "--tracker", &tracker.address]);
    ann.types("!j lobby");
    ann.sees("lobby", &["ann"]);
    assert!(limited("4096", ann.id()));
    for number in 1..=200 {
        ann.types(&format!("number {number}"));
    }
    ann.notice("store_trouble");
    ann.messages("lobby", 200);
    assert!(limited("unlimited", ann.id()));
    let back = ann.notice("store_back");
    assert!(back["text"].as_str().unwrap().contains("nothing is missing"), "{back}");
    assert_eq!(history(&mut ann, "lobby 1000").len(), 200);
    ann.kill();
    let mut ann = start(&world, &tracker, "ann");
    assert_eq!(history(&mut ann, "lobby 1000").len(), 200);
}

#[test]
fn nothing_is_kept_if_that_is_wished() {
    let world = World::new();
    let tracker = world.tracker();
    let arguments = ["--ui", "json", "--tracker", tracker.address.as_str()];
    let mut ann = world.start_in(":memory:", "ann", &arguments);
    ann.types("!j lobby");
    ann.sees("lobby", &["ann"]);
    let line = ann.types("hello");
    ann.answer(line);
    ann.hears("lobby", "ann", "hello");
    assert_eq!(history(&mut ann, "lobby").len(), 1);
    ann.kill();
    let mut ann = world.start_in(":memory:", "ann", &arguments);
    let line = ann.types("!h lobby");
    assert_eq!(ann.answer(line)["code"], "no_such_group");
    assert!(!Path::new(":memory:").exists());
}
