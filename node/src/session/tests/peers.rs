//! Without a tracker, or with one that is gone for good: peers find each other.

use std::collections::BTreeMap;

use decury_common::endpoint::{Cause, Reached};

use super::world::{World, address, answered, group};
use super::*;

/// Nodes without a tracker; each but the first knows the one before.
fn chain(names: &[&str]) -> World {
    let mut world = World::deserted();
    world.trackers.clear();
    for (node, name) in names.iter().enumerate() {
        world.peers = node.checked_sub(1).into_iter().map(address).collect();
        world.add(name, true);
    }
    world
}

/// Waits until a node's view of the group has so many members.
fn together(world: &mut World, node: usize, members: usize) {
    world.wait(node, |event| match event {
        Event::Joined { view, .. } | Event::View { view, .. } => view.members.len() == members,
        _ => false,
    });
}

fn notice(world: &mut World, node: usize, kind: &str) -> Event {
    world.wait(node, |event| is_notice(event, kind))
}

#[test]
fn without_a_tracker_a_session_is_ready_at_once_and_founds_what_nobody_can_know() {
    let mut world = chain(&["ann"]);
    assert!(world.nodes[0].session.wants_input());
    assert_eq!(world.answer(0, "!g"), Event::Groups { re: Some(1), groups: Vec::new() });
    let before = world.now;
    world.join(0, "!j lobby total");
    assert_eq!(world.now, before, "there is nobody to wait for");
    let Event::Groups { groups, .. } = world.answer(0, "!g") else { panic!() };
    assert_eq!((groups[0].name, groups[0].members), (group("lobby"), 1));
    let refused = world.answer(0, "!lm attic");
    assert_eq!(code(&refused), Some(ErrorCode::NoSuchGroup));
}

#[test]
fn only_so_many_addresses_are_tried() {
    let mut world = chain(&["ann"]);
    for port in 1..=64 {
        let answer = world.answer(0, &format!("!peer 192.0.2.9:{port}"));
        assert!(is_notice(&answer, "peer_tried"), "{answer:?}");
    }
    assert_eq!(code(&world.answer(0, "!peer 192.0.2.9:65")), Some(ErrorCode::TooManyPeers));
    assert!(is_notice(&world.answer(0, "!peer 192.0.2.9:64"), "peer_tried"), "it is tried already");
}

#[test]
fn one_known_peer_of_a_chain_is_enough_to_join_through_any_member() {
    let mut world = chain(&["ann", "bob", "cid", "dan"]);
    world.join(0, "!j lobby fifo");
    world.pass(SECOND);
    let Event::Groups { groups, .. } = world.answer(3, "!g") else { panic!() };
    assert_eq!((groups.len(), groups[0].order.as_str(), groups[0].members), (1, "fifo", 1));
    assert_eq!(code(&world.answer(3, "!w lobby")), Some(ErrorCode::NotAMember));
    let Event::Members { members, .. } = world.answer(3, "!lm lobby") else { panic!() };
    let named: Vec<_> = members.iter().map(|member| (member.name.as_str(), member.reached)).collect();
    assert_eq!(named, [("ann", Reached::Direct)], "the peers say so");
    let differs = world.type_line(3, "!j lobby total");
    together(&mut world, 3, 2);
    world.wait(3, |event| is_notice(event, "order_differs") && answered(event) == Some(differs));
    world.join(2, "!j lobby");
    world.join(1, "!j lobby");
    for node in 0..4 {
        together(&mut world, node, 4);
    }
    world.type_line(3, "hello");
    world.wait(0, |event| matches!(event, Event::Message { .. }));
}

#[test]
fn the_same_name_created_on_two_sides_becomes_one_group_when_they_meet() {
    let mut world = chain(&["ann"]);
    world.peers.clear();
    for name in ["bob", "cid"] {
        world.add(name, true);
    }
    world.join(0, "!j lobby");
    world.join(1, "!j lobby");
    world.type_line(0, "alone");
    world.pass(SECOND);
    let tried = world.submit(1, Command::Peer { address: address(0) });
    world.wait(1, |event| is_notice(event, "peer_tried") && answered(event) == Some(tried));
    notice(&mut world, 1, "peer_met");
    for node in [0, 1] {
        together(&mut world, node, 2);
    }
    world.submit(2, Command::Peer { address: address(1) });
    world.join(2, "!j lobby");
    together(&mut world, 0, 3);
}

#[test]
fn the_same_name_with_another_order_stays_apart_and_one_side_is_told_once() {
    let mut world = chain(&["ann"]);
    world.peers.clear();
    world.add("bob", true);
    world.add("cid", true);
    world.join(0, "!j lobby causal");
    world.join(1, "!j lobby fifo");
    world.submit(1, Command::Peer { address: address(0) });
    world.submit(2, Command::Peer { address: address(0) });
    world.pass(20 * SECOND);
    let told = |node: &super::world::Node| {
        node.events.iter().filter(|event| is_notice(event, "order_conflict")).count()
    };
    assert_eq!(world.nodes.iter().map(told).collect::<Vec<_>>(), [1, 0, 0]);
    world.join(2, "!j lobby");
    together(&mut world, 1, 2);
    world.type_line(0, "still here");
    world.wait(0, |event| matches!(event, Event::Message { .. }));
}

#[test]
fn who_has_a_tracker_that_is_dead_joins_through_a_peer_and_founds_nothing_alone() {
    let mut world = World::with(&["ann", "bob"]);
    for node in [0, 1] {
        world.join(node, "!j lobby");
    }
    world.stop_tracker();
    world.peers = vec![address(1)];
    let cid = world.add("cid", true);
    world.wait(cid, |event| matches!(event, Event::Ready { tracker: None, .. }));
    world.join(cid, "!j lobby");
    for node in 0..3 {
        together(&mut world, node, 3);
    }
    world.join(cid, "!j attic");
    world.pass(SECOND);
    let Event::Groups { groups, .. } = world.answer(0, "!g") else { panic!() };
    assert_eq!(groups.len(), 2, "{groups:?}");
    world.peers.clear();
    let dan = world.add("dan", true);
    world.wait(dan, |event| matches!(event, Event::Ready { .. }));
    let refused = world.answer(dan, "!j lobby");
    assert_eq!(code(&refused), Some(ErrorCode::TrackerUnavailable));
    world.start_tracker();
    world.wait(dan, |event| is_notice(event, "tracker_back"));
    world.join(dan, "!j lobby");
    together(&mut world, 0, 4);
}

#[test]
fn the_name_of_a_member_who_lives_is_refused_and_that_of_one_who_crashed_is_taken_over() {
    let mut world = chain(&["ann", "bob", "ann"]);
    world.join(0, "!j lobby");
    world.join(1, "!j lobby");
    let refused = world.answer(2, "!j lobby");
    assert_eq!(code(&refused), Some(ErrorCode::NameTaken));
    world.kill(0);
    world.join(2, "!j lobby");
    let Event::Members { members, .. } = world.answer(2, "!lm") else { panic!() };
    assert_eq!(members.len(), 2);
}

#[test]
fn people_are_found_among_peers_and_who_is_not_there_is_told_after_a_moment() {
    let mut world = chain(&["ann", "bob", "cid"]);
    let hello = world.type_line(2, "!p ann hello");
    world.wait(2, |event| matches!(event, Event::PrivateSent { re, .. } if *re == Some(hello)));
    world.wait(0, |event| matches!(event, Event::Private { .. }));
    let nobody = world.answer(2, "!p eve hello");
    assert_eq!(code(&nobody), Some(ErrorCode::NoSuchUser));
    world.kill(0);
    world.pass(20 * SECOND);
    let Event::Users { users, .. } = world.answer(2, "!u *n*") else { panic!() };
    assert_eq!(users, [("ann".parse().unwrap(), false)]);
    let Event::Users { users, .. } = world.answer(2, "!u /^(bob|cid)$/") else { panic!() };
    assert!(users.len() == 2 && users.iter().all(|user| user.1));
    let away = world.answer(2, "!p ann are you there?");
    assert_eq!(code(&away), Some(ErrorCode::NotHere));
}

#[test]
fn that_nobody_answers_in_the_local_network_is_told_once_unless_somebody_is_known() {
    let mut world = World::deserted();
    world.trackers.clear();
    world.discover = true;
    world.add("ann", true);
    let told = notice(&mut world, 0, "nobody_near");
    let Event::Notice { notice, .. } = told else { panic!() };
    assert!(notice.to_string().contains(&address(0).to_string()) && notice.to_string().contains("!peer"));
    world.peers = vec![address(0)];
    world.add("bob", true);
    world.pass(20 * SECOND);
    let told = |node: usize| world.nodes[node].events.iter().filter(|e| is_notice(e, "nobody_near")).count();
    assert_eq!([told(0), told(1)], [1, 0]);
}

#[test]
fn a_named_peer_that_does_not_answer_is_told_once_and_found_when_it_comes() {
    let mut world = chain(&["ann"]);
    world.peers = vec![address(3), address(1)];
    world.add("bob", true);
    notice(&mut world, 1, "peer_silent");
    world.pass(20 * SECOND);
    let of = |kind: &str, node: &super::world::Node| {
        node.events.iter().filter(|event| is_notice(event, kind)).count()
    };
    assert_eq!(of("peer_silent", &world.nodes[1]), 1, "of the own address nothing is said");
    world.peers.clear();
    world.add("cid", true);
    world.add("dan", true);
    notice(&mut world, 1, "peer_met");
    let own = world.submit(1, Command::Peer { address: address(1) });
    let refused = world.wait(1, |event| answered(event) == Some(own));
    assert_eq!(code(&refused), Some(ErrorCode::BadCommand));
    let there = world.submit(1, Command::Peer { address: address(3) });
    world.wait(1, |event| is_notice(event, "peer_met") && answered(event) == Some(there));
}

#[test]
fn nodes_that_all_crashed_find_each_other_where_they_met_and_their_group() {
    let mut world = chain(&["ann", "bob", "cid"]);
    for node in 0..3 {
        world.join(node, "!j lobby total");
    }
    together(&mut world, 0, 3);
    world.pass(2 * SECOND);
    let met = |world: &World, node: usize| {
        let met = world.nodes[node].memory.restored().met;
        met.iter().map(|met| (met.user.to_string(), met.address)).collect::<BTreeMap<_, _>>()
    };
    let is_at = |name: &str, node| (name.to_owned(), address(node));
    assert_eq!(met(&world, 0), BTreeMap::from([is_at("bob", 1), is_at("cid", 2)]));
    assert_eq!(world.nodes[0].memory.restored().port, Some(address(0).port()));
    (0..3).for_each(|node| world.kill(node));
    world.pass(60 * SECOND);
    world.peers.clear();
    // Each is where it was: two of them.
    let (ann, cid) = (world.restart_in_place(0), world.restart_in_place(2));
    for node in [ann, cid] {
        together(&mut world, node, 2);
    }
    let Event::Users { users, .. } = world.answer(ann, "!u") else { panic!() };
    let users: Vec<_> = users.iter().map(|(name, online)| (name.as_str(), *online)).collect();
    assert_eq!(users, [("ann", true), ("bob", false), ("cid", true)]);
    assert_eq!(met(&world, ann).len(), 2, "who was not found is not forgotten");
}

#[test]
fn who_is_in_touch_is_kept_once_until_somebody_new_comes() {
    let mut world = chain(&["ann", "bob"]);
    world.pass(10 * SECOND);
    let before = world.nodes[0].records();
    world.pass(100 * SECOND);
    assert_eq!(world.nodes[0].records(), before);
    world.peers = vec![address(1)];
    world.add("cid", true);
    world.pass(10 * SECOND);
    assert_eq!(world.nodes[0].records(), before + 1);
}

#[test]
fn two_sides_with_two_people_of_one_name_are_told_once_why_they_are_two() {
    let mut world = chain(&["ann"]);
    world.peers.clear();
    for name in ["bob", "ann", "bob"] {
        world.add(name, true);
    }
    for node in 0..4 {
        if node % 2 == 1 {
            world.submit(node, Command::Peer { address: address(node - 1) });
            world.pass(SECOND);
        }
        world.join(node, "!j lobby");
    }
    together(&mut world, 0, 2);
    together(&mut world, 2, 2);
    world.submit(2, Command::Peer { address: address(0) });
    world.pass(60 * SECOND);
    for node in &world.nodes {
        let told = node.events.iter().filter_map(|event| match event {
            Event::Notice { notice: notice @ Notice::Namesake { user, .. }, .. } => {
                assert_eq!(notice.kind(), "merge_refused");
                Some(user.as_str())
            }
            _ => None,
        });
        assert_eq!(told.collect::<Vec<_>>(), ["ann", "bob"]);
    }
    world.kill(0);
    world.kill(3);
    world.wait(1, |event| matches!(event, Event::View { cause: Cause::Merge, .. }));
}

#[test]
fn a_member_that_crashed_and_is_back_is_nobody_s_namesake() {
    let mut world = chain(&["ann", "bob", "cid"]);
    for node in 0..3 {
        world.join(node, "!j lobby");
    }
    together(&mut world, 0, 3);
    world.kill(2);
    let cid = world.restart_in_place(2);
    together(&mut world, cid, 3);
    world.pass(20 * SECOND);
    let told = |node: &super::world::Node| node.events.iter().any(|event| is_notice(event, "merge_refused"));
    assert!(!world.nodes.iter().any(told));
}
