//! Faults on purpose, as people ask for them.

use std::time::Duration;

use decury_common::endpoint::Cause;

use super::world::{World, answered};
use super::{SECOND, code, is_notice};
use crate::session::lab::RULES_MAX;
use crate::session::{ErrorCode, Event, MemberSummary};

fn rules(event: &Event) -> Vec<String> {
    match event {
        Event::Faults { rules, .. } => rules.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

fn rtt(world: &mut World, node: usize, name: &str) -> Duration {
    let Event::Members { members, .. } = world.answer(node, "!lm") else { panic!() };
    let member: Vec<&MemberSummary> = members.iter().filter(|member| member.name.as_str() == name).collect();
    member[0].rtt.unwrap()
}

#[test]
fn faults_are_shown_added_and_cleared() {
    let mut world = World::with(&["ann"]);
    assert!(rules(&world.answer(0, "!fault")).is_empty());
    world.answer(0, "!fault from=bob,delay=5s");
    assert_eq!(rules(&world.answer(0, "!fault loss=0.10")), ["from=bob,delay=5s", "loss=0.1"]);
    assert!(rules(&world.answer(0, "!fault clear")).is_empty());
    for _ in 0..RULES_MAX {
        world.answer(0, "!fault cut");
    }
    assert_eq!(code(&world.answer(0, "!fault cut")), Some(ErrorCode::BadCommand));
    assert_eq!(rules(&world.answer(0, "!fault")).len(), RULES_MAX);
}

#[test]
fn faults_from_the_start_are_told_when_the_session_is_ready() {
    let mut world = World::with(&[]);
    let ann = world.add_in_lab("ann", true, &["from=bob,delay=5s"]);
    let told = world.wait(ann, |event| matches!(event, Event::Faults { .. }));
    assert_eq!((rules(&told), answered(&told)), (vec!["from=bob,delay=5s".to_owned()], None));
    assert!(matches!(world.nodes[ann].events[0], Event::Ready { .. }));
}

#[test]
fn a_person_is_known_by_name_before_the_first_view_together() {
    for observer_first in [true, false] {
        let mut world = World::with(&[]);
        let mut add = |names: &[&str]| {
            for name in names {
                let faults: &[&str] = if *name == "cid" { &["from=ann,delay=300ms"] } else { &[] };
                let node = world.add_in_lab(name, true, faults);
                world.wait(node, |event| matches!(event, Event::Ready { .. }));
                world.join(node, "!j lobby");
            }
        };
        match observer_first {
            true => add(&["cid", "bob", "ann"]),
            false => add(&["ann", "bob", "cid"]),
        }
        world.pass(5 * SECOND);
        let cid = if observer_first { 0 } else { 2 };
        // A single datagram that passed undelayed would have shown in the first measurement.
        assert!(rtt(&mut world, cid, "ann") >= Duration::from_millis(300));
        assert!(rtt(&mut world, cid, "bob") < Duration::from_millis(20));
        let suspected = |event: &Event| is_notice(event, "peer_suspected");
        assert!(!world.nodes.iter().flat_map(|node| &node.events).any(suspected));
    }
}

#[test]
fn a_cut_is_noticed_and_its_end_too() {
    let mut world = World::with(&["ann", "bob"]);
    world.join(0, "!j lobby");
    world.join(1, "!j lobby");
    world.answer(1, "!fault from=10.0.1.0:5000,cut");
    world.wait(1, |event| is_notice(event, "alone"));
    assert!(rules(&world.answer(1, "!fault clear")).is_empty());
    for node in [0, 1] {
        world.wait(node, |event| matches!(event, Event::View { cause: Cause::Merge, .. }));
    }
}

#[test]
fn what_is_delayed_when_the_faults_end_arrives_then() {
    let mut world = World::with(&["ann", "bob"]);
    world.join(0, "!j lobby");
    world.join(1, "!j lobby");
    world.pass(SECOND);
    world.answer(1, "!fault from=ann,delay=1s");
    world.type_line(0, "hello");
    world.pass(SECOND / 2);
    assert!(world.nodes[1].texts().is_empty());
    world.answer(1, "!fault clear");
    world.pass(Duration::from_millis(10));
    assert_eq!(world.nodes[1].texts(), ["hello"]);
}

#[test]
fn an_answer_that_came_before_its_question_is_held_and_says_why() {
    let mut world = World::with(&[]);
    for (name, faults) in [("cid", &["from=ann,delay=300ms"][..]), ("bob", &[]), ("ann", &[])] {
        let node = world.add_in_lab(name, true, faults);
        world.wait(node, |event| matches!(event, Event::Ready { .. }));
        world.join(node, "!j lobby");
    }
    let (cid, bob, ann) = (0, 1, 2);
    world.pass(10 * SECOND);
    let Event::Held { waiting, .. } = world.answer(cid, "!why") else { panic!() };
    assert_eq!(waiting, []);
    world.type_line(ann, "anybody there?");
    world.wait(bob, |event| matches!(event, Event::Message { .. }));
    let Event::Sent { id, .. } = world.answer(bob, "yes, me") else { panic!() };
    world.pass(Duration::from_millis(50));
    let Event::Held { waiting, .. } = world.answer(cid, "!why lobby") else { panic!() };
    let words: Vec<_> = waiting.iter().map(|held| (held.id, held.waits_for.to_string())).collect();
    assert_eq!(words, [(id, "ann-1".to_owned())]);
    world.wait(cid, |event| matches!(event, Event::Message { from, .. } if from.as_str() == "bob"));
    assert_eq!(world.nodes[cid].texts(), ["anybody there?", "yes, me"]);
    assert!(
        !world.nodes.iter().flat_map(|node| &node.events).any(|event| is_notice(event, "peer_suspected"))
    );
}
