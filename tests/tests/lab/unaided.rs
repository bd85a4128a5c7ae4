//! A group without a tracker: its people find each other, and a way round links that carry nothing.

use crate::harness::Node;
use crate::hosts::Lab;
use crate::partition::{all_talk, are_one_again, go_on_apart};

/// All tests here.
pub(crate) const ALL: &[(&str, fn())] = &[
    ("in_the_local_network_a_link_that_dies_one_way_or_both_is_gone_round", gone_round),
    ("a_chain_of_hosts_is_one_group_and_so_it_is_again_after_a_cut_in_its_middle", chain),
];

fn gone_round() {
    let mut lab = Lab::new(3);
    let names = ["ann", "bob", "cid"];
    let unaided = ["--no-tracker", "--discover", "--bind", "0.0.0.0:0", "--join", "lobby:total"];
    let arguments = [&unaided[..], &["--suspect-after", "3s"]].concat();
    let [mut ann, mut bob, mut cid] = names.map(|name| lab.node(name, &arguments));
    for node in [&ann, &bob, &cid] {
        node.sees("lobby", &names);
    }
    ann.reaches("bob", "direct");
    let before = [&ann, &bob, &cid].map(|node| node.views("lobby"));
    for cut in ["cut ann->bob", "cut ann bob"] {
        lab.says(cut);
        ann.reaches("bob", "via cid");
        bob.reaches("ann", "via cid");
        all_talk(&mut [&mut ann, &mut bob, &mut cid], cut);
    }
    lab.says("heal");
    ann.reaches("bob", "direct");
    bob.reaches("ann", "direct");
    all_talk(&mut [&mut ann, &mut bob, &mut cid], "healed");
    assert_eq!([&ann, &bob, &cid].map(|node| node.views("lobby")), before, "views changed");
    [&ann, &bob, &cid].into_iter().for_each(Node::has_suspected_nobody);
}

/// ann - bob - cid - dan: nobody hears more than its neighbours, and each has been told of the one before it.
fn chain() {
    const PORT: u16 = 7500;
    let mut lab = Lab::new(4);
    for link in ["ann cid", "ann dan", "bob dan"] {
        lab.says(&format!("cut {link}"));
    }
    let names = ["ann", "bob", "cid", "dan"];
    let (bind, mut before) = (format!("0.0.0.0:{PORT}"), None);
    let [mut ann, mut bob, mut cid, mut dan] = names.map(|name| {
        let unaided = ["--no-tracker", "--bind", &bind, "--join", "lobby:safe", "--suspect-after", "2s"];
        let peer = before.replace(lab.address(name, PORT));
        let peer = peer.as_ref().map(|address| ["--peer", address]);
        lab.node(name, &[&unaided[..], peer.as_ref().map_or(&[], |peer| &peer[..])].concat())
    });
    for node in [&ann, &bob, &cid, &dan] {
        node.sees("lobby", &names);
    }
    ann.reaches("dan", "via bob");
    dan.reaches("ann", "via cid");
    all_talk(&mut [&mut ann, &mut bob, &mut cid, &mut dan], "along the chain");

    lab.says("cut bob cid");
    go_on_apart(&mut [&mut ann, &mut bob, &mut cid, &mut dan], &names);
    lab.says("heal bob cid");
    are_one_again(&[&ann, &bob, &cid, &dan], &names);
    for (node, told) in
        [(&ann, ["cid", "dan"]), (&bob, ["cid", "dan"]), (&cid, ["ann", "bob"]), (&dan, ["ann", "bob"])]
    {
        let text = if told[0] == "ann" { "over here" } else { "over there" };
        told.iter().for_each(|from| assert_eq!(node.hears("lobby", from, text)["caught_up"], true));
    }
    all_talk(&mut [&mut ann, &mut bob, &mut cid, &mut dan], "together");
}
