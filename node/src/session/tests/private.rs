//! Private messages: to whom, in which order, and what becomes of them.

use bytes::Bytes;
use decury_common::base::limits::{QUEUE_MESSAGES, WINDOW_SLOTS};

use super::world::{World, answered};
use super::{SECOND, code};
use crate::session::{Command, ErrorCode, Event};

/// What each node was told in private, in order.
fn heard(world: &World, node: usize) -> Vec<String> {
    let text = |event: &Event| match event {
        Event::Private { from, text, .. } => Some(format!("{from}: {}", text.safe())),
        _ => None,
    };
    world.nodes[node].events.iter().filter_map(text).collect()
}

fn count(world: &World, node: usize, is_it: impl Fn(&Event) -> bool) -> usize {
    world.nodes[node].events.iter().filter(|event| is_it(event)).count()
}

fn is_receipt(event: &Event) -> bool {
    matches!(event, Event::Receipt { .. })
}

fn is_sent(event: &Event) -> bool {
    matches!(event, Event::PrivateSent { .. })
}

/// The code of the first answer to a line.
fn refusal(world: &mut World, node: usize, line: &str) -> ErrorCode {
    code(&world.answer(node, line)).unwrap()
}

#[test]
fn people_in_no_common_group_talk_in_private_in_order_and_once() {
    let mut world = World::with(&["ann", "bob"]);
    for round in 1..=100 {
        world.type_line(0, &format!("!p bob {round}"));
        world.type_line(1, &format!("!p ann {round}"));
        world.pass(SECOND / 1000);
    }
    world.pass(SECOND);
    for (node, from) in [(0, "bob"), (1, "ann")] {
        let expected: Vec<String> = (1..=100).map(|round| format!("{from}: {round}")).collect();
        assert_eq!(heard(&world, node), expected);
        assert_eq!((count(&world, node, is_sent), count(&world, node, is_receipt)), (100, 100));
    }
}

#[test]
fn a_message_is_sent_then_received_then_confirmed_under_one_identity() {
    let mut world = World::with(&["ann", "bob"]);
    let Event::PrivateSent { re: Some(1), to, id } = world.answer(0, "!p bob hello") else { panic!() };
    let Event::Private { from, to: me, id: there, .. } =
        world.wait(1, |event| matches!(event, Event::Private { .. }))
    else {
        panic!()
    };
    assert_eq!((to.as_str(), from.as_str(), me.as_str(), there), ("bob", "ann", "bob", id));
    let by = to;
    assert_eq!(world.wait(0, is_receipt), Event::Receipt { id, by });
    assert_eq!(heard(&world, 0), [""; 0], "who says it does not hear it");
}

#[test]
fn members_of_a_group_talk_in_private_without_a_tracker() {
    let mut world = World::with(&["ann", "bob", "cid"]);
    world.join(0, "!j lobby");
    world.join(1, "!j lobby");
    world.pass(SECOND);
    world.stop_tracker();
    world.type_line(0, "!p bob psst");
    world.wait(0, is_receipt);
    assert_eq!((heard(&world, 1), heard(&world, 2)), (vec!["ann: psst".to_owned()], vec![]));
    assert_eq!(refusal(&mut world, 0, "!p cid psst"), ErrorCode::TrackerUnavailable);
}

#[test]
fn a_conversation_goes_on_without_a_tracker() {
    let mut world = World::with(&["ann", "bob"]);
    world.type_line(0, "!p bob one");
    world.wait(1, |event| matches!(event, Event::Private { .. }));
    world.stop_tracker();
    world.type_line(0, "!p bob two");
    world.type_line(1, "!p ann three");
    world.wait(0, |event| matches!(event, Event::Private { .. }));
    assert_eq!(heard(&world, 1), ["ann: one", "ann: two"]);
}

#[test]
fn who_is_unknown_is_told_from_who_is_away_and_from_oneself() {
    let mut world = World::with(&["ann", "bob"]);
    assert_eq!(refusal(&mut world, 0, "!p nobody hello"), ErrorCode::NoSuchUser);
    assert_eq!(refusal(&mut world, 0, "!p ann hello"), ErrorCode::BadCommand);
    world.submit(1, Command::Quit);
    world.wait(1, |event| matches!(event, Event::Bye { .. }));
    assert_eq!(refusal(&mut world, 0, "!p bob hello"), ErrorCode::NotHere);
}

#[test]
fn who_was_seen_here_is_away_even_if_the_tracker_forgot() {
    let mut world = World::with(&["ann", "bob", "cid"]);
    world.join(0, "!j lobby");
    world.join(1, "!j lobby");
    world.type_line(2, "!p ann hello");
    world.pass(SECOND);
    for node in [1, 2] {
        world.submit(node, Command::Quit);
        world.wait(node, |event| matches!(event, Event::Bye { .. }));
    }
    world.stop_tracker();
    world.start_tracker();
    world.pass(SECOND);
    for name in ["bob", "cid"] {
        assert_eq!(refusal(&mut world, 0, &format!("!p {name} hello")), ErrorCode::NotHere);
    }
    assert_eq!(refusal(&mut world, 0, "!p dan hello"), ErrorCode::NoSuchUser);
}

#[test]
fn what_is_written_while_the_tracker_is_looked_for_waits_in_order() {
    let mut world = World::with(&["ann", "bob"]);
    world.barred.insert(0);
    world.stop_tracker();
    world.start_tracker();
    let lines: Vec<u64> =
        ["one", "two", "three"].map(|text| world.type_line(0, &format!("!p bob {text}"))).into();
    world.pass(SECOND);
    assert_eq!(count(&world, 0, |event| answered(event).is_some()), 0);
    world.barred.clear();
    world.wait(0, |event| answered(event) == lines.last().copied());
    let sent = world.nodes[0].events.iter().filter(|event| is_sent(event)).filter_map(answered);
    assert_eq!(sent.collect::<Vec<u64>>(), lines);
    world.pass(SECOND);
    assert_eq!(heard(&world, 1), ["ann: one", "ann: two", "ann: three"]);
}

#[test]
fn who_comes_into_reach_while_the_tracker_is_asked_is_found() {
    let mut world = World::with(&["ann", "bob"]);
    world.join(0, "!j lobby");
    world.join(1, "!j lobby");
    world.pass(SECOND);
    world.stop_tracker();
    world.nodes[1].asleep = true;
    world.pass(4 * SECOND);
    let line = world.type_line(0, "!p bob are you back?");
    world.nodes[1].asleep = false;
    let answer = world.wait(0, |event| answered(event) == Some(line));
    assert!(is_sent(&answer), "{answer:?}");
    world.wait(0, is_receipt);
}

#[test]
fn what_a_crash_left_unconfirmed_is_told_line_by_line() {
    let mut world = World::with(&["ann", "bob"]);
    world.type_line(0, "!p bob one");
    world.wait(0, is_receipt);
    world.kill(1);
    let lines = ["two", "three"].map(|text| world.type_line(0, &format!("!p bob {text}")));
    let lost = |event: &Event, line: u64| matches!(event, Event::Error { re, code: ErrorCode::NotHere, id: Some(_), .. } if *re == Some(line));
    for line in lines {
        world.wait(0, |event| lost(event, line));
    }
    assert_eq!(refusal(&mut world, 0, "!p bob four"), ErrorCode::NotHere);
    assert_eq!((count(&world, 0, is_sent), count(&world, 0, is_receipt)), (3, 1));
}

#[test]
fn who_starts_again_is_written_to_anew() {
    let mut world = World::with(&["ann", "bob"]);
    world.type_line(0, "!p bob one");
    world.wait(0, is_receipt);
    world.submit(1, Command::Quit);
    world.wait(1, |event| matches!(event, Event::Bye { .. }));
    let again = world.add("bob", true);
    world.wait(again, |event| matches!(event, Event::Ready { .. }));
    world.pass(SECOND);
    world.type_line(0, "!p bob two");
    world.pass(SECOND);
    assert_eq!((heard(&world, 1), heard(&world, again)), (vec!["ann: one".into()], vec!["ann: two".into()]));
}

#[test]
fn more_than_has_room_makes_piped_input_wait_and_is_refused_to_a_person() {
    for patient in [true, false] {
        let mut world = World::with(&["bob"]);
        let ann = world.add("ann", patient);
        world.wait(ann, |event| matches!(event, Event::Ready { .. }));
        world.type_line(ann, "!p bob 0");
        world.wait(ann, is_receipt);
        world.nodes[0].asleep = true;
        let most = WINDOW_SLOTS + 2 * QUEUE_MESSAGES;
        let mut typed = 1;
        while world.nodes[ann].session.wants_input() && typed <= most + 100 {
            world.type_line(ann, &format!("!p bob {typed}"));
            world.pass(SECOND / 1_000_000);
            typed += 1;
        }
        assert_eq!(typed <= most + 2, patient, "{typed} lines were taken");
        world.nodes[0].asleep = false;
        world.pass(2 * SECOND);
        let sent = count(&world, ann, is_sent);
        let busy = count(&world, ann, |event| code(event) == Some(ErrorCode::Busy));
        assert_eq!((sent + busy, busy > 0), (typed, !patient));
        assert_eq!(count(&world, ann, is_receipt), sent);
        let expected: Vec<String> = (0..sent).map(|round| format!("ann: {round}")).collect();
        assert_eq!(heard(&world, 0), expected);
        assert!(world.nodes[ann].session.wants_input());
    }
}

#[test]
fn messages_to_many_people_are_answered_each() {
    let mut world = World::with(&["ann"]);
    for n in 0..200 {
        while !world.nodes[0].session.wants_input() {
            world.pass(SECOND / 1000);
        }
        world.type_line(0, &format!("!p nobody{n} hello"));
    }
    world.pass(SECOND);
    assert_eq!(count(&world, 0, |event| code(event) == Some(ErrorCode::NoSuchUser)), 200);
}

#[test]
fn what_is_under_way_at_the_end_arrives_first() {
    let mut world = World::with(&["ann", "bob"]);
    for round in 1..=100 {
        world.type_line(0, &format!("!p bob {round}"));
    }
    world.nodes[0].session.finish(world.now);
    world.wait(0, |event| matches!(event, Event::Bye { figures } if figures.all.sent == 100));
    world.pass(SECOND);
    assert_eq!((heard(&world, 1).len(), count(&world, 0, is_receipt)), (100, 100));
}

#[test]
fn what_never_arrives_is_told_before_the_end_which_comes_in_time() {
    let mut world = World::with(&["ann", "bob"]);
    world.type_line(0, "!p bob one");
    world.wait(0, is_receipt);
    world.nodes[1].asleep = true;
    let line = world.type_line(0, "!p bob two");
    world.nodes[0].session.finish(world.now);
    let start = world.now;
    world.wait(0, |event| matches!(event, Event::Bye { .. }));
    assert!(world.now.since(start) < 5 * SECOND);
    let told = |event: &&Event| matches!(event, Event::Error { re, code: ErrorCode::Abandoned, id: Some(_), .. } if *re == Some(line));
    assert_eq!(world.nodes[0].events.iter().filter(told).count(), 1);
}

#[test]
fn letters_that_no_tracker_placed_are_answered_before_the_end() {
    let mut world = World::deserted();
    let ann = world.add("ann", true);
    world.wait(ann, |event| matches!(event, Event::Ready { .. }));
    let lines = ["bob", "bob", "cid"].map(|name| world.type_line(ann, &format!("!p {name} hello")));
    world.nodes[ann].session.finish(world.now);
    world.wait(ann, |event| matches!(event, Event::Bye { .. }));
    for line in lines {
        let answer = world.wait(ann, |event| answered(event) == Some(line));
        assert_eq!(code(&answer), Some(ErrorCode::TrackerUnavailable));
    }
}

#[test]
fn who_quits_while_being_written_to_shows_what_it_confirmed() {
    let mut world = World::with(&["ann", "bob"]);
    for round in 1..=50 {
        world.type_line(0, &format!("!p bob {round}"));
        if round == 25 {
            world.nodes[1].session.quit(world.now);
        }
        world.pass(SECOND / 2000);
    }
    world.pass(20 * SECOND);
    let confirmed = count(&world, 0, is_receipt);
    let refused = count(&world, 0, |event| code(event) == Some(ErrorCode::NotHere));
    assert_eq!(confirmed + refused, 50);
    let there = heard(&world, 1);
    assert!(there.len() >= confirmed, "{confirmed} were confirmed, {} shown", there.len());
    assert!(there.iter().enumerate().all(|(at, text)| *text == format!("ann: {}", at + 1)));
}

#[test]
fn the_largest_message_arrives_and_a_larger_one_is_refused() {
    let mut world = World::with(&["ann", "bob"]);
    let to = "bob".parse().unwrap();
    let text = |length| Command::Private { to, text: Bytes::from(vec![b'x'; length]) };
    world.submit(0, text(65_536));
    world.wait(0, is_receipt);
    assert_eq!(heard(&world, 1)[0].len(), "ann: ".len() + 65_536);
    let line = world.submit(0, text(65_537));
    let answer = world.wait(0, |event| answered(event) == Some(line));
    assert_eq!(code(&answer), Some(ErrorCode::TooLong));
}
