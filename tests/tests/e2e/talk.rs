//! Talk: everything arrives, everywhere, in order.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{Node, World};

/// What each says in a conversation.
const LINES: u64 = 300;

/// Three talk at once, and bob answers each of ann's first lines. What each has delivered in the end.
fn conversation(order: &str) -> Vec<Vec<Value>> {
    let world = World::new();
    let tracker = world.tracker();
    let mut nodes = world.lobby(&tracker, order, ["ann", "bob", "cid"]);
    nodes.iter_mut().for_each(|node| node.counts(1..=LINES));
    for round in 1..=20 {
        nodes[0].types(&format!("question {round}"));
        nodes[1].hears("lobby", "ann", &format!("question {round}"));
        nodes[1].types(&format!("answer {round}"));
    }
    let count = 3 * LINES as usize + 40;
    let heard: Vec<Vec<Value>> = nodes.iter().map(|node| node.messages("lobby", count)).collect();
    for (node, heard) in nodes.iter_mut().zip(&heard) {
        assert_sent_before_delivered(node);
        node.types("!q");
        let ended = node.ended();
        assert_eq!((ended.code, ended.said.errors), (Some(0), vec![]));
        let bye = ended.said.lines.last().unwrap();
        assert_eq!((&bye["event"], &bye["received"]), (&"bye".into(), &count.into()));
        assert_eq!(heard.len(), count);
    }
    heard
}

/// Every line is answered by `sent`, with the identity under which its own message then comes.
fn assert_sent_before_delivered(node: &Node) {
    node.until("all of its messages", |said| {
        let mut sent = BTreeMap::new();
        for event in &said.lines {
            if event["event"] == "sent" {
                sent.insert(event["id"].as_str().unwrap(), event["re"].as_u64().unwrap());
            } else if event["event"] == "message" && event["from"] == node.name.as_str() {
                // Nothing but talk was typed: the lines are numbered as the messages are.
                assert_eq!(sent.get(event["id"].as_str().unwrap()), event["seq"].as_u64().as_ref());
            }
        }
        Some(())
    });
}

/// One sender's messages come as they were typed, with the same identity everywhere.
fn assert_fifo(heard: &[Vec<Value>], order: &str) {
    let mut known = BTreeMap::new();
    for heard in heard {
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for message in heard {
            let (from, seq) = (message["from"].as_str().unwrap(), message["seq"].as_u64().unwrap());
            assert_eq!(last.insert(from, seq).unwrap_or(0) + 1, seq, "{message}");
            if seq <= LINES {
                assert_eq!(message["text"], format!("{from} {seq}"));
            }
            assert_eq!((&message["order"], &message["caught_up"]), (&order.into(), &false.into()));
            let id = message["id"].as_str().unwrap();
            assert!(!id.is_empty() && !id.contains(char::is_whitespace), "{message}");
            assert_eq!(*known.entry((from, seq)).or_insert(id), id, "{message}");
        }
    }
    let ids: std::collections::BTreeSet<_> = known.values().collect();
    assert_eq!(ids.len(), known.len(), "two messages have one id");
}

#[test]
fn three_nodes_talk_in_fifo_order() {
    let heard = conversation("fifo");
    assert_fifo(&heard, "fifo");
    assert!(heard.iter().flatten().all(|message| message.get("clock").is_none()));
}

#[test]
fn three_nodes_talk_in_causal_order() {
    let heard = conversation("causal");
    assert_fifo(&heard, "causal");
    assert_causal(&heard);
}

#[test]
fn three_nodes_talk_in_total_order() {
    let heard = conversation("total");
    assert_fifo(&heard, "total");
    assert_causal(&heard);
    assert_one_sequence(&heard);
    assert!(heard.iter().flatten().all(|message| message.get("uniform").is_none()));
}

#[test]
fn three_nodes_talk_in_safe_order() {
    let heard = conversation("safe");
    assert_fifo(&heard, "safe");
    assert_causal(&heard);
    assert_one_sequence(&heard);
    assert!(heard.iter().flatten().all(|message| message["uniform"] == true));
}

/// All have the same sequence, with the same positions.
fn assert_one_sequence(heard: &[Vec<Value>]) {
    let sequence = |heard: &Vec<Value>| -> Vec<(u64, String)> {
        let place = |message: &Value| (message["position"].as_u64().unwrap(), message["id"].to_string());
        heard.iter().map(place).collect()
    };
    let first = sequence(&heard[0]);
    assert!(first.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0), "positions have gaps");
    assert!(heard.iter().all(|heard| sequence(heard) == first), "the sequences differ");
}

/// What a message depends on comes before it, and its clock says so.
fn assert_causal(heard: &[Vec<Value>]) {
    for heard in heard {
        let mut delivered: BTreeMap<&str, u64> = BTreeMap::new();
        for message in heard {
            let from = message["from"].as_str().unwrap();
            *delivered.entry(from).or_default() += 1;
            for (name, count) in message["clock"].as_object().unwrap() {
                let (count, here) = (count.as_u64().unwrap(), delivered.get(name.as_str()).copied());
                assert!(count <= here.unwrap_or(0), "{message} before what it depends on: {delivered:?}");
            }
            assert_eq!(message["clock"][from], message["seq"], "{message}");
        }
        let place = |text: String| heard.iter().position(|message| message["text"] == text.as_str()).unwrap();
        for round in 1..=20 {
            assert!(place(format!("question {round}")) < place(format!("answer {round}")));
        }
    }
}

#[test]
fn a_member_that_is_not_read_slows_the_others_and_loses_nothing() {
    // Far more than pipes, queues and windows hold.
    const LINES: u64 = 20_000;
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, bob, mut cid] = world.lobby(&tracker, "fifo", ["ann", "bob", "cid"]);
    let unread = bob.unread();
    ann.counts(1..=LINES);
    ann.messages("lobby", 1_000);
    // She is held up, he is not.
    cid.types("all well?");
    ann.hears("lobby", "cid", "all well?");
    drop(unread);
    for node in [&ann, &bob, &cid] {
        let heard = node.messages("lobby", LINES as usize + 1);
        let texts = heard.iter().filter(|message| message["from"] == "ann").map(|message| &message["text"]);
        assert!(texts.eq(&(1..=LINES).map(|number| format!("ann {number}").into()).collect::<Vec<Value>>()));
        node.sees("lobby", &["ann", "bob", "cid"]);
    }
}
