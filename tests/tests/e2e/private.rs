//! Private messages: to one person, in order, once, and told if they do not arrive.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{Node, Tracker, World};

/// What each says to the other in a conversation.
const LINES: u64 = 100;

/// Nodes of these names that are in no group.
fn strangers<const N: usize>(world: &World, tracker: &Tracker, names: [&str; N]) -> [Node; N] {
    names.map(|name| world.node(name, &["--tracker", &tracker.address]))
}

/// Waits for that many events of a kind; all of them.
fn events(node: &Node, kind: &str, count: usize) -> Vec<Value> {
    node.until(&format!("{count} times {kind}"), |said| {
        let events = said.lines.iter().filter(|event| event["event"] == kind);
        let events: Vec<Value> = events.cloned().collect();
        (events.len() >= count).then_some(events)
    })
}

fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["id"].as_str().unwrap()).collect()
}

#[test]
fn two_in_no_common_group_talk_in_private_both_ways() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, mut bob] = strangers(&world, &tracker, ["ann", "bob"]);
    for number in 1..=LINES {
        ann.types(&format!("!p bob {number}"));
        bob.types(&format!(">> ann: {number}"));
    }
    let count = LINES as usize;
    let sent = [events(&ann, "sent", count), events(&bob, "sent", count)];
    for (node, mine, theirs, other) in
        [(&mut ann, &sent[0], &sent[1], "bob"), (&mut bob, &sent[1], &sent[0], "ann")]
    {
        let receipts = events(node, "receipt", count);
        let heard = events(node, "private", count);
        let lines: Vec<Value> = (1..=LINES).map(Value::from).collect();
        assert!(mine.iter().map(|sent| &sent["re"]).eq(&lines), "{mine:?}");
        assert!(mine.iter().all(|sent| sent["to"] == other && sent.get("group").is_none()));
        assert!(receipts.iter().all(|receipt| receipt["by"] == other && receipt["state"] == "delivered"));
        assert_eq!(ids(&receipts), ids(mine));
        assert_eq!(ids(&heard), ids(theirs));
        for (number, private) in (1..=LINES).zip(&heard) {
            let (text, to): (Value, Value) = (number.to_string().into(), node.name.as_str().into());
            assert_eq!((&private["text"], &private["to"]), (&text, &to));
            assert_eq!((&private["from"], &private["stored"]), (&other.into(), &false.into()));
        }
    }
    let all: BTreeSet<&str> = sent.iter().flat_map(|sent| ids(sent)).collect();
    assert_eq!(all.len(), 2 * count, "an id came twice");
    for mut node in [ann, bob] {
        node.types("!q");
        let ended = node.ended();
        let bye = ended.said.lines.last().unwrap();
        assert_eq!((ended.code, &bye["sent"], &bye["received"]), (Some(0), &LINES.into(), &LINES.into()));
        let private = ended.said.lines.iter().filter(|event| event["event"] == "private");
        assert_eq!(private.count(), count, "nothing came twice");
    }
}

#[test]
fn a_private_message_of_the_largest_size_arrives_whole() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, bob] = strangers(&world, &tracker, ["ann", "bob"]);
    let text: String = ('a'..='z').cycle().take(65_536).collect();
    ann.types(&format!("!p bob {text}"));
    assert_eq!(events(&bob, "private", 1)[0]["text"], text.as_str());
    events(&ann, "receipt", 1);
    let line = ann.types(&format!("!p bob {text}x"));
    assert_eq!(ann.answer(line)["code"], "too_long");
}

#[test]
fn who_has_quit_is_not_here_and_who_never_came_is_unknown() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, mut bob] = strangers(&world, &tracker, ["ann", "bob"]);
    let line = ann.types("!p bob hello");
    assert_eq!(ann.answer(line)["event"], "sent");
    events(&ann, "receipt", 1);
    bob.types("!q");
    assert_eq!(bob.ended().code, Some(0));
    let line = ann.types("!p bob are you there?");
    let answer = ann.until("that bob is not here", |said| {
        said.lines.iter().rfind(|event| event["re"] == line && event["event"] == "error").cloned()
    });
    assert_eq!(answer["code"], "not_here");
    let line = ann.types("!p nobody hello");
    assert_eq!(ann.answer(line)["code"], "no_such_user");
    let bob = world.node("bob", &["--tracker", &tracker.address]);
    ann.types("!p bob welcome back");
    assert_eq!(events(&bob, "private", 1)[0]["text"], "welcome back");
}

#[test]
fn what_a_crash_left_unconfirmed_is_told() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, mut bob] = strangers(&world, &tracker, ["ann", "bob"]);
    ann.types("!p bob one");
    events(&ann, "receipt", 1);
    bob.signal("STOP");
    let line = ann.types("!p bob two");
    let sent = ann.answer(line);
    assert_eq!(sent["event"], "sent");
    bob.kill();
    let lost = ann.event("that it is lost", |event| event["re"] == line && event["event"] == "error");
    assert_eq!((&lost["code"], &lost["id"]), (&"not_here".into(), &sent["id"]));
    assert_eq!(events(&ann, "receipt", 1).len(), 1);
}

#[test]
fn members_of_a_group_talk_in_private_without_a_tracker_and_nobody_else_hears_it() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, mut bob, mut cid] = world.lobby(&tracker, "causal", ["ann", "bob", "cid"]);
    tracker.kill();
    for number in 1..=LINES {
        ann.types(&format!("!p bob {number}"));
        bob.types(&format!("!p ann {number}"));
        cid.types(&format!("{number}"));
    }
    for node in [&ann, &bob] {
        let heard = events(node, "private", LINES as usize);
        let texts: Vec<Value> = (1..=LINES).map(|number| number.to_string().into()).collect();
        assert!(heard.iter().map(|private| &private["text"]).eq(&texts));
        events(node, "receipt", LINES as usize);
        assert_eq!(node.messages("lobby", LINES as usize).len(), LINES as usize);
    }
    cid.types("!q");
    let ended = cid.ended();
    assert!(ended.said.lines.iter().all(|event| event["event"] != "private"));
    let line = ann.types("!p dan hello");
    assert_eq!(ann.answer(line)["code"], "tracker_unavailable");
}

#[test]
fn what_is_piped_in_for_one_person_arrives_before_the_end() {
    const LINES: u64 = 3_000;
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, bob] = strangers(&world, &tracker, ["ann", "bob"]);
    for number in 1..=LINES {
        ann.types(&format!("!p bob {number}"));
    }
    ann.close_input();
    let ended = ann.ended();
    assert_eq!((ended.code, ended.said.errors), (Some(0), vec![]));
    let receipts = ended.said.lines.iter().filter(|event| event["event"] == "receipt");
    assert_eq!(receipts.count(), LINES as usize);
    let heard = events(&bob, "private", LINES as usize);
    let texts: Vec<Value> = (1..=LINES).map(|number| number.to_string().into()).collect();
    assert!(heard.iter().map(|private| &private["text"]).eq(&texts));
}

#[test]
fn in_line_mode_a_private_message_is_marked_and_its_loss_told() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann] = strangers(&world, &tracker, ["ann"]);
    let arguments = ["--ui", "line", "--tracker", tracker.address.as_str()];
    let mut bob = world.start("bob", &arguments);
    bob.until("its start", |said| said.errors.iter().find(|line| line.contains("you are bob")).cloned());
    ann.types("!p bob psst");
    bob.until("the message", |said| said.lines.iter().find(|line| **line == "[private] ann: psst").cloned());
    bob.types("!p ann hello");
    bob.types("!p nobody hello");
    assert_eq!(events(&ann, "private", 1)[0]["text"], "hello");
    bob.until("that nobody is not there", |said| {
        said.errors.iter().find(|line| line.starts_with("line 2: nobody called nobody")).cloned()
    });
}
