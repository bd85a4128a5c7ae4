//! Groups, from the way in to the way out.

use decury_common::endpoint::{Cause, Reached};
use decury_common::order::OrderKind;

use super::world::{World, answered, group};
use super::{SECOND, code, is_notice};
use crate::session::{ErrorCode, Event, MemberSummary};

#[test]
fn people_who_join_a_group_talk_to_each_other() {
    let mut world = World::with(&["ann", "bob"]);
    world.join(0, "!j lobby");
    world.join(1, "!j lobby");
    world.wait(0, |event| matches!(event, Event::View { cause: Cause::Join, .. }));
    let sent = world.type_line(0, "hello");
    world.wait(1, |event| matches!(event, Event::Message { from, .. } if from.as_str() == "ann"));
    let place = |is_it: &dyn Fn(&Event) -> bool| world.nodes[0].events.iter().position(is_it).unwrap();
    let told = place(&|event| matches!(event, Event::Sent { re, .. } if *re == Some(sent)));
    assert!(told < place(&|event| matches!(event, Event::Message { .. })));
    let Event::Members { members, .. } = world.answer(1, "!lm") else { panic!() };
    assert_eq!(members.len(), 2);
}

#[test]
fn what_follows_a_join_waits_for_it() {
    for patient in [true, false] {
        let mut world = World::with(&["bob"]);
        world.join(0, "!j lobby");
        let ann = world.add("ann", patient);
        world.wait(ann, |event| matches!(event, Event::Ready { .. }));
        world.type_line(ann, "!j lobby");
        let text = world.type_line(ann, "hello");
        assert_eq!(world.nodes[ann].session.wants_input(), !patient);
        if !patient {
            assert_eq!(code(&world.answer(ann, "too fast")), Some(ErrorCode::Busy));
        }
        world.wait(ann, |event| matches!(event, Event::Sent { re, .. } if *re == Some(text)));
        world.wait(0, |event| matches!(event, Event::Message { .. }));
    }
}

#[test]
fn an_existing_group_keeps_its_order_and_says_so() {
    let mut world = World::with(&["ann", "bob"]);
    world.join(0, "!j lobby fifo");
    let line = world.type_line(1, "!j lobby causal");
    let joined = world.wait(1, |event| matches!(event, Event::Joined { .. }));
    assert!(matches!(joined, Event::Joined { view, .. } if view.order == OrderKind::Fifo));
    let notice = world.wait(1, |event| is_notice(event, "order_differs"));
    assert_eq!(answered(&notice), Some(line));
}

#[test]
fn text_goes_to_the_group_joined_last_or_switched_to() {
    let mut world = World::with(&["ann"]);
    world.join(0, "!j a");
    world.join(0, "!j b");
    let went_to = |event: Event| match event {
        Event::Sent { group, .. } => group,
        other => panic!("{other:?}"),
    };
    assert_eq!(went_to(world.answer(0, "one")), group("b"));
    assert!(matches!(world.answer(0, "!w a"), Event::Current { group: Some(_), .. }));
    assert_eq!(went_to(world.answer(0, "two")), group("a"));
    assert!(matches!(world.answer(0, "!j b"), Event::Current { .. }));
    assert_eq!(went_to(world.answer(0, "three")), group("b"));
    assert!(matches!(world.answer(0, "!e"), Event::Left { .. }));
    assert_eq!(code(&world.answer(0, "four")), Some(ErrorCode::NoCurrentGroup));
    assert!(matches!(world.answer(0, "!lm a"), Event::Members { .. }));
}

#[test]
fn a_group_that_one_is_not_in_is_known_or_not() {
    let mut world = World::with(&["ann", "bob"]);
    world.join(0, "!j lobby");
    for line in ["!w lobby", "!why lobby", "!e lobby"] {
        assert_eq!(code(&world.answer(1, line)), Some(ErrorCode::NotAMember), "{line}");
    }
    let Event::Members { members, .. } = world.answer(1, "!lm lobby") else { panic!() };
    let ann = MemberSummary { name: "ann".parse().unwrap(), reached: Reached::No, rtt: None };
    assert_eq!(members, [ann], "the tracker says so");
    for line in ["!w nowhere", "!lm nowhere", "!e nowhere"] {
        assert_eq!(code(&world.answer(1, line)), Some(ErrorCode::NoSuchGroup), "{line}");
    }
}

#[test]
fn the_eleventh_is_refused_and_its_text_goes_nowhere_else() {
    let names: Vec<String> = (0..11).map(|number| format!("n{number}")).collect();
    let mut world = World::with(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for node in 0..10 {
        world.join(node, "!j full");
    }
    world.join(10, "!j other");
    let join = world.type_line(10, "!j full");
    let text = world.type_line(10, "for the full group only");
    let refused = world.wait(10, |event| answered(event) == Some(join));
    assert_eq!(code(&refused), Some(ErrorCode::GroupFull));
    let unsent = world.wait(10, |event| answered(event) == Some(text));
    assert_eq!(code(&unsent), Some(ErrorCode::NotAMember));
    assert_eq!(code(&world.answer(10, "and this")), Some(ErrorCode::NoCurrentGroup));
    world.wait(10, |event| matches!(event, Event::Current { group: None, .. }));
}

#[test]
fn a_crash_is_announced_and_the_last_one_is_told_that_nobody_is_left() {
    let mut world = World::with(&["ann", "bob"]);
    world.join(0, "!j lobby");
    world.join(1, "!j lobby");
    world.kill(1);
    world.wait(0, |event| is_notice(event, "peer_suspected"));
    world.wait(
        0,
        |event| matches!(event, Event::View { cause: Cause::Suspected, left, .. } if left.len() == 1),
    );
    world.wait(0, |event| is_notice(event, "alone"));
}

#[test]
fn a_group_whose_members_all_crashed_can_be_joined_again() {
    let mut world = World::with(&["ann", "bob", "cid"]);
    world.join(0, "!j lobby");
    world.join(1, "!j lobby");
    world.kill(0);
    world.kill(1);
    world.join(2, "!j lobby");
}

#[test]
fn piped_input_waits_while_the_window_is_full_and_a_person_is_told() {
    for patient in [true, false] {
        let mut world = World::with(&["bob"]);
        world.join(0, "!j lobby");
        let ann = world.add("ann", patient);
        world.wait(ann, |event| matches!(event, Event::Ready { .. }));
        world.join(ann, "!j lobby");
        world.pass(SECOND);
        world.nodes[0].asleep = true;
        let line = "x".repeat(10_000);
        let mut typed = 0;
        while world.nodes[ann].session.wants_input() && typed < 200 {
            world.type_line(ann, &line);
            typed += 1;
        }
        world.nodes[0].asleep = false;
        world.pass(SECOND);
        let sent = world.nodes[ann].events.iter().filter(|event| matches!(event, Event::Sent { .. })).count();
        let busy =
            world.nodes[ann].events.iter().filter(|event| code(event) == Some(ErrorCode::Busy)).count();
        assert_eq!(world.nodes[0].texts().len(), sent);
        assert_eq!(sent + busy, typed);
        assert_eq!(busy > 0, !patient, "{typed} typed");
        assert!(world.nodes[ann].session.wants_input());
    }
}

/// Ann is in the lobby and out of the restarted tracker's reach while bob and cid join it anew.
fn created_anew(order: &str) -> World {
    let mut world = World::with(&["ann", "bob", "cid"]);
    world.join(0, "!j lobby");
    world.stop_tracker();
    world.barred.insert(0);
    world.start_tracker();
    for node in [1, 2] {
        world.join(node, &format!("!j lobby {order}"));
    }
    world.barred.clear();
    world
}

#[test]
fn a_group_that_is_created_anew_while_some_are_away_is_the_same_one() {
    let mut world = created_anew("causal");
    world.wait(0, |event| matches!(event, Event::View { view, .. } if view.members.len() == 3));
    assert!(!world.nodes[0].events.iter().any(|event| matches!(event, Event::Left { .. })));
    world.type_line(0, "together");
    world.wait(2, |event| matches!(event, Event::Message { .. }));
}

#[test]
fn with_another_order_it_is_another_one_and_who_lost_the_name_is_told() {
    let mut world = created_anew("fifo");
    world.wait(0, |event| is_notice(event, "order_conflict"));
    world.pass(10 * SECOND);
    let told = world.nodes[0].events.iter().filter(|event| is_notice(event, "order_conflict"));
    assert_eq!(told.count(), 1);
    world.type_line(0, "on my own");
    world.wait(0, |event| matches!(event, Event::Message { .. }));
}
