//! Links that are cut one way, or both ways: a third member passes on what goes between the two.

use crate::harness::{Node, World};

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
    ann.reaches("bob", "direct");
    let before = [&ann, &bob, &cid].map(|node| node.views("lobby"));

    // What ann sends does not reach bob any more; then neither does what bob sends reach ann.
    fault(&mut bob, "from=ann,cut");
    ann.reaches("bob", "via cid");
    bob.reaches("ann", "via cid");
    all_hear_all([&mut ann, &mut bob, &mut cid]);
    fault(&mut ann, "from=bob,cut");
    bob.reaches("ann", "via cid");
    all_hear_all([&mut ann, &mut bob, &mut cid]);
    cid.reaches("ann", "direct");

    fault(&mut bob, "clear");
    fault(&mut ann, "clear");
    ann.reaches("bob", "direct");
    bob.reaches("ann", "direct");
    all_hear_all([&mut ann, &mut bob, &mut cid]);
    assert_eq!([&ann, &bob, &cid].map(|node| node.views("lobby")), before, "views changed");
    [&ann, &bob, &cid].into_iter().for_each(Node::has_suspected_nobody);
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
    ann.reaches("cid", "via bob");
}
