//! What happens to a group when the network between its hosts breaks, and when it heals.

use std::collections::BTreeSet;

use crate::harness::Node;
use crate::hosts::Lab;

/// All tests here.
pub(crate) const ALL: &[(&str, fn())] = &[
    ("a_host_that_is_cut_off_goes_on_alone_and_merges_when_the_link_heals", cut_off),
    ("two_sides_of_two_both_talk_and_become_one_again", two_sides),
    ("a_host_without_an_address_for_a_while_comes_back_by_itself", unplugged),
    ("over_a_bad_network_all_arrives_once_in_one_sequence_and_nobody_is_suspected", bad_network),
];

/// These see a merge of all.
pub(crate) fn are_one_again(nodes: &[&Node], names: &[&str]) {
    let views: BTreeSet<String> = nodes
        .iter()
        .map(|node| {
            node.event("a merge", |event| event["event"] == "view" && event["cause"] == "merge");
            node.sees("lobby", names)["view"].to_string()
        })
        .collect();
    assert_eq!(views.len(), 1, "{views:?}");
}

/// Everybody hears what everybody says now.
pub(crate) fn all_talk(nodes: &mut [&mut Node], text: &str) {
    nodes.iter_mut().for_each(|node| _ = node.types(text));
    for node in nodes.iter() {
        nodes.iter().for_each(|other| _ = node.hears("lobby", &other.name, text));
    }
}

/// Cut in the middle, both sides go on: they see themselves alone, and talk.
pub(crate) fn go_on_apart(nodes: &mut [&mut Node; 4], names: &[&str; 4]) {
    for (side, text) in [(0..2, "over here"), (2..4, "over there")] {
        nodes[side.clone()].iter().for_each(|node| _ = node.sees("lobby", &names[side.clone()]));
        all_talk(&mut nodes[side], text);
    }
}

fn cut_off() {
    let mut lab = Lab::new(4);
    let _tracker = lab.tracker();
    let names = ["ann", "bob", "cid", "dan"];
    let [mut ann, mut bob, mut cid, mut dan] = lab.lobby("causal", names, &[]);
    lab.says("cut dan");
    for node in [&ann, &bob, &cid] {
        assert_eq!(node.sees("lobby", &names[..3])["cause"], "suspected");
        assert_eq!(node.notice("peer_suspected")["user"], "dan");
    }
    dan.sees("lobby", &["dan"]);
    assert_eq!(dan.notice("alone")["group"], "lobby");
    all_talk(&mut [&mut ann, &mut bob, &mut cid], "without dan");
    all_talk(&mut [&mut dan], "without them");
    lab.says("heal");
    are_one_again(&[&ann, &bob, &cid, &dan], &names);
    for node in [&ann, &bob, &cid] {
        assert_eq!(node.notice("peer_back")["user"], "dan");
    }
    all_talk(&mut [&mut ann, &mut bob, &mut cid, &mut dan], "together");
}

fn two_sides() {
    let mut lab = Lab::new(4);
    let _tracker = lab.tracker();
    let names = ["ann", "bob", "cid", "dan"];
    let [mut ann, mut bob, mut cid, mut dan] = lab.lobby("total", names, &[]);
    for link in ["ann cid", "ann dan", "bob cid", "bob dan"] {
        lab.says(&format!("cut {link}"));
    }
    go_on_apart(&mut [&mut ann, &mut bob, &mut cid, &mut dan], &names);
    lab.says("heal");
    are_one_again(&[&ann, &bob, &cid, &dan], &names);
    all_talk(&mut [&mut ann, &mut bob, &mut cid, &mut dan], "together");
}

fn unplugged() {
    let lab = Lab::new(3);
    let _tracker = lab.tracker();
    let names = ["ann", "bob", "cid"];
    let [mut ann, mut bob, mut cid] = lab.lobby("causal", names, &[]);
    lab.unplug("cid");
    for node in [&ann, &bob] {
        node.sees("lobby", &names[..2]);
    }
    cid.sees("lobby", &["cid"]);
    all_talk(&mut [&mut cid], "nobody?");
    lab.plug("cid");
    are_one_again(&[&ann, &bob, &cid], &names);
    all_talk(&mut [&mut ann, &mut bob, &mut cid], "together");
}

fn bad_network() {
    const EACH: u64 = 30;
    let mut lab = Lab::new(5);
    let _tracker = lab.tracker();
    let names = ["ann", "bob", "cid", "dan", "eve"];
    // The simulator proves this with 2 s. Here a busy machine may itself hold everything up for as long.
    let mut nodes = lab.lobby("total", names, &["--suspect-after", "5s"]);
    lab.says("fault all delay=75ms,jitter=50ms,loss=0.2,dup=0.02");
    nodes.iter_mut().for_each(|node| node.counts(1..=EACH));
    let count = names.len() * EACH as usize;
    let sequences = nodes.each_ref().map(|node| {
        let messages = node.messages("lobby", count);
        messages
            .into_iter()
            .map(|message| (message["position"].clone(), message["id"].clone()))
            .collect::<Vec<_>>()
    });
    assert!(sequences.iter().all(|sequence| *sequence == sequences[0]), "not one sequence");
    let ids: BTreeSet<String> = sequences[0].iter().map(|(_, id)| id.to_string()).collect();
    assert_eq!((ids.len(), sequences[0].len()), (count, count));
    nodes.iter().for_each(Node::has_suspected_nobody);
}
