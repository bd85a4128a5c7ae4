//! Groups: several at once, ten members at most, left and joined again; commands and their answers.

use serde_json::{Value, json};

use crate::harness::{World, messages};

#[test]
fn two_groups_at_once_share_nothing_but_their_people() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, mut bob] = world.lobby(&tracker, "fifo", ["ann", "bob"]);
    let mut cid = world.node("cid", &["--tracker", &tracker.address, "--join", "attic"]);
    cid.sees("attic", &["cid"]);
    ann.types("!j attic");
    bob.types("!j attic causal");
    for node in [&ann, &bob, &cid] {
        node.sees("attic", &["ann", "bob", "cid"]);
    }
    // The group that was joined last is the current one.
    ann.types("up here");
    assert_eq!(ann.types("!w lobby"), 3);
    let switched = ann.answer(3);
    assert_eq!((&switched["event"], &switched["group"]), (&"current".into(), &"lobby".into()));
    ann.types("down here");
    bob.types("!w lobby");
    bob.counts(1..=100);
    bob.types("!w attic");
    bob.counts(1..=50);
    cid.counts(1..=50);
    for node in [&ann, &bob] {
        let lobby = node.messages("lobby", 101);
        let from_bob: Vec<_> = lobby.iter().filter(|message| message["from"] == "bob").collect();
        let numbers: Vec<_> = from_bob.iter().flat_map(|message| message["seq"].as_u64()).collect();
        assert!(numbers.iter().copied().eq(1..=100), "{numbers:?}");
        assert_eq!(node.hears("lobby", "ann", "down here")["seq"], 1);
        assert!(lobby.iter().all(|message| message["order"] == "fifo" && message.get("clock").is_none()));
    }
    for node in [&ann, &bob, &cid] {
        let attic = node.messages("attic", 101);
        assert_eq!(node.hears("attic", "ann", "up here")["seq"], 1);
        assert_eq!(node.hears("attic", "bob", "bob 1")["seq"], 1);
        assert!(attic.iter().all(|message| message["order"] == "causal"));
    }
    cid.types("!q");
    let said = cid.ended().said;
    assert_eq!(messages(&said.lines, "lobby").count(), 0);
    assert_eq!(messages(&said.lines, "attic").count(), 101);
}

#[test]
fn ten_that_start_at_once_are_one_group_and_the_eleventh_is_refused_until_one_leaves() {
    let world = World::new();
    let tracker = world.tracker();
    let names: [String; 10] = std::array::from_fn(|number| format!("user{number}"));
    let mut nodes = world.lobby(&tracker, "causal", names.each_ref().map(String::as_str));
    for (node, name) in nodes.iter_mut().zip(&names) {
        node.types(&format!("I am {name}"));
    }
    for node in &nodes {
        node.messages("lobby", 10);
    }
    let mut late = world.node("late", &["--tracker", &tracker.address]);
    let line = late.types("!j lobby");
    let refused = late.answer(line);
    assert_eq!((&refused["event"], &refused["code"]), (&"error".into(), &"group_full".into()));
    let line = late.types("nobody hears this");
    assert_eq!(late.answer(line)["code"], "no_current_group");
    let line = late.types("!g");
    let lobby = json!([{ "name": "lobby", "order": "causal", "members": 10, "limit": 10 }]);
    assert_eq!(late.answer(line)["groups"], lobby);

    nodes[4].types("!q");
    assert_eq!(nodes[4].ended().code, Some(0));
    let nine: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != "user4").collect();
    nodes[0].sees("lobby", &nine);
    let line = late.types("!j lobby");
    assert_eq!(late.answer(line)["event"], "joined");
    late.types("hello ten");
    let ten = [&nine[..], &["late"]].concat();
    for node in nodes.iter().filter(|node| node.name != "user4") {
        node.sees("lobby", &ten);
        node.hears("lobby", "late", "hello ten");
    }
}

#[test]
fn who_leaves_hears_nothing_more_and_can_come_back() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, mut bob] = world.lobby(&tracker, "causal", ["ann", "bob"]);
    let mut ids = Vec::new();
    for round in 1..=3 {
        bob.types(&format!("round {round}"));
        ids.push(ann.hears("lobby", "bob", &format!("round {round}"))["id"].to_string());
        let line = bob.types("!e");
        let left = bob.answer(line);
        assert_eq!((&left["event"], &left["group"]), (&"left".into(), &"lobby".into()));
        assert_eq!(ann.sees("lobby", &["ann"])["cause"], "leave");
        ann.types(&format!("without bob {round}"));
        ann.hears("lobby", "ann", &format!("without bob {round}"));
        let line = bob.types("!j lobby");
        let joined = bob.answer(line);
        assert_eq!((&joined["event"], &joined["members"]), (&"joined".into(), &json!(["ann", "bob"])));
        assert_eq!(ann.sees("lobby", &["ann", "bob"])["cause"], "join");
        bob.hears("lobby", "ann", &format!("without bob {round}"));
    }
    ids.dedup();
    assert_eq!(ids.len(), 3, "an id came again: {ids:?}");
    bob.types("!q");
    let heard = bob.ended().said.lines;
    let from_ann = messages(&heard, "lobby").filter(|message| message["from"] == "ann");
    let from_ann: Vec<_> = from_ann.map(|message| (&message["text"], &message["caught_up"])).collect();
    // What was said without him he is told when he is back, once.
    let told = [1, 2, 3].map(|round| (json!(format!("without bob {round}")), json!(true)));
    assert_eq!(from_ann, told.each_ref().map(|(text, caught_up)| (text, caught_up)));
}

#[test]
fn every_line_is_answered_by_its_number() {
    let world = World::new();
    let tracker = world.tracker();
    let [ann, mut bob] = world.lobby(&tracker, "fifo", ["ann", "bob"]);
    // All at once, as a pipe gives them: none waits for the one before to be answered.
    let lines = [
        ("hello", json!({ "event": "sent", "group": "lobby" })),
        ("", Value::Null),
        ("!g", json!({ "event": "groups" })),
        ("!lm", json!({ "event": "members", "group": "lobby" })),
        ("!j attic", json!({ "event": "joined", "group": "attic", "order": "causal" })),
        ("alone", json!({ "event": "sent", "group": "attic" })),
        ("!w lobby", json!({ "event": "current", "group": "lobby" })),
        ("not alone", json!({ "event": "sent", "group": "lobby" })),
        ("!lm attic", json!({ "event": "members", "group": "attic" })),
        ("!j lobby causal", json!({ "event": "current", "group": "lobby" })),
        ("!help j", json!({ "event": "help" })),
        ("!e attic", json!({ "event": "left", "group": "attic" })),
        ("!lm attic", json!({ "event": "error", "code": "no_such_group" })),
        ("!nonsense", json!({ "event": "error", "code": "bad_command" })),
        ("still here", json!({ "event": "sent", "group": "lobby" })),
    ];
    for (typed, _) in &lines {
        bob.types(typed);
    }
    for (number, (typed, fields)) in (1..).zip(&lines) {
        for (field, value) in fields.as_object().into_iter().flatten() {
            assert_eq!(&bob.answer(number)[field], value, "{typed}: {}", bob.answer(number));
        }
    }
    let members = bob.answer(4)["members"].clone();
    let mut reached: Vec<[&str; 2]> = members.as_array().unwrap().iter().map(name_and_way).collect();
    reached.sort_unstable();
    assert_eq!(json!(reached), json!([["ann", "direct"], ["bob", "self"]]));
    assert_eq!(bob.notice("order_differs")["re"], 10);
    let heard: Vec<_> = ann.messages("lobby", 3).iter().map(|message| message["text"].clone()).collect();
    assert_eq!(json!(heard), json!(["hello", "not alone", "still here"]));
}

fn name_and_way(member: &Value) -> [&str; 2] {
    ["name", "reached"].map(|field| member[field].as_str().unwrap())
}
