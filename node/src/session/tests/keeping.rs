//! What a session has kept, and what the next one makes of it.

use super::world::{World, answered, group};
use super::{SECOND, code, is_notice};
use crate::session::{Command, ErrorCode, Event, Request, Talk};

fn is_joined(event: &Event, name: &str) -> bool {
    matches!(event, Event::Joined { group: joined, .. } if *joined == group(name))
}

/// What a node was told in private.
fn heard(world: &World, node: usize) -> Vec<String> {
    let text = |event: &Event| match event {
        Event::Private { text, .. } => Some(text.safe().into_owned()),
        _ => None,
    };
    world.nodes[node].events.iter().filter_map(text).collect()
}

/// The texts of a history.
fn history(event: &Event) -> Vec<String> {
    let Event::History { messages, .. } = event else { panic!("{event:?}") };
    messages.iter().map(|past| past.text.safe().into_owned()).collect()
}

/// Kills a node and starts it again; the new one is ready.
fn start_again(world: &mut World, node: usize) -> usize {
    world.kill(node);
    let new = world.restart(node);
    world.wait(new, |event| matches!(event, Event::Ready { .. }));
    new
}

#[test]
fn a_node_that_starts_again_returns_to_the_groups_it_had_not_left() {
    let mut world = World::with(&["ann", "bob"]);
    for line in ["!j one fifo", "!j two", "!j three total", "!j four"] {
        world.join(0, line);
    }
    world.type_line(0, "!e two");
    world.wait(0, |event| matches!(event, Event::Left { .. }));
    world.type_line(0, "!w one");
    world.pass(SECOND);
    let ann = start_again(&mut world, 0);
    for name in ["one", "three", "four"] {
        world.wait(ann, |event| is_joined(event, name));
    }
    let text = world.type_line(ann, "to one");
    let sent = world.wait(ann, |event| answered(event) == Some(text));
    assert!(matches!(sent, Event::Sent { group: to, .. } if to == group("one")), "{sent:?}");
    assert!(!world.nodes[ann].events.iter().any(|event| is_joined(event, "two")));
}

#[test]
fn the_end_of_a_run_forgets_no_group() {
    for ends in [false, true] {
        let mut world = World::with(&["ann"]);
        world.join(0, "!j one");
        let now = world.now;
        match ends {
            true => _ = world.submit(0, Command::Quit),
            false => world.nodes[0].session.quit(now),
        }
        world.wait(0, |event| matches!(event, Event::Bye { .. }));
        let ann = start_again(&mut world, 0);
        world.wait(ann, |event| matches!(event, Event::Joined { re: None, current: true, .. }));
    }
}

#[test]
fn a_wish_to_join_that_is_typed_during_the_return_gets_its_answer() {
    let mut world = World::with(&["ann"]);
    world.join(0, "!j one");
    world.kill(0);
    let ann = world.restart(0);
    let ready = |event: &Event| matches!(event, Event::Ready { .. });
    while !world.nodes[ann].events.iter().any(ready) {
        world.pass(SECOND / 1000);
    }
    let line = world.type_line(ann, "!j one");
    let joined = world.wait(ann, |event| answered(event) == Some(line));
    assert!(is_joined(&joined, "one") || matches!(joined, Event::Current { .. }), "{joined:?}");
}

#[test]
fn a_group_that_nobody_can_lead_to_can_be_forgotten() {
    let mut world = World::with(&["ann"]);
    world.join(0, "!j one");
    world.kill(0);
    world.stop_tracker();
    let ann = world.restart(0);
    world.pass(10 * SECOND);
    let line = world.type_line(ann, "!e one");
    world.wait(ann, |event| matches!(event, Event::Left { re, .. } if *re == Some(line)));
    world.start_tracker();
    let again = start_again(&mut world, ann);
    world.pass(10 * SECOND);
    assert!(!world.nodes[again].events.iter().any(|event| is_joined(event, "one")));
}

#[test]
fn who_comes_back_is_told_only_what_it_missed() {
    let mut world = World::with(&["ann", "bob"]);
    world.join(0, "!j lobby");
    world.join(1, "!j lobby");
    for round in 1..=5 {
        world.type_line(0, &format!("ann {round}"));
        world.type_line(1, &format!("bob {round}"));
    }
    world.pass(SECOND);
    let known = world.nodes[0].texts();
    assert_eq!(known.len(), 10);
    world.kill(0);
    world.pass(5 * SECOND);
    world.type_line(1, "missed");
    let ann = start_again(&mut world, 0);
    world.wait(ann, |event| is_joined(event, "lobby"));
    world.type_line(1, "live");
    world.wait(ann, |event| matches!(event, Event::Message { caught_up: false, .. }));
    assert_eq!(world.nodes[ann].texts(), ["missed", "live"]);
    let all = history(&world.answer(ann, "!h"));
    assert_eq!(all, [&known[..], &["missed".to_owned(), "live".to_owned()]].concat());
}

#[test]
fn a_history_is_there_without_its_group_and_is_refused_where_there_is_none() {
    let mut world = World::with(&["ann", "bob"]);
    world.join(0, "!j lobby");
    assert_eq!(history(&world.answer(0, "!h")), [""; 0], "nothing was said yet");
    world.type_line(0, "hello");
    world.type_line(0, "!p bob psst");
    world.wait(0, |event| matches!(event, Event::Receipt { .. }));
    world.type_line(1, "!p ann yes?");
    world.pass(SECOND);
    world.type_line(0, "!e");
    world.wait(0, |event| matches!(event, Event::Left { .. }));
    assert_eq!(history(&world.answer(0, "!h lobby")), ["hello"]);
    let private = world.answer(0, "!h @bob");
    assert!(matches!(&private, Event::History { talk: Talk::Person(name), .. } if name.as_str() == "bob"));
    assert_eq!(history(&private), ["psst", "yes?"]);
    assert_eq!(code(&world.answer(0, "!h")), Some(ErrorCode::NoCurrentGroup));
    assert_eq!(code(&world.answer(0, "!h nowhere")), Some(ErrorCode::NoSuchGroup));
}

#[test]
fn what_is_promised_is_told_only_when_it_is_safe_and_deliveries_do_not_wait() {
    let mut world = World::with(&["ann", "bob"]);
    world.join(0, "!j lobby");
    world.nodes[0].keeps = false;
    world.type_line(0, "hello");
    world.wait(0, |event| matches!(event, Event::Message { .. }));
    let line = world.type_line(0, "!p bob psst");
    world.pass(SECOND);
    assert_eq!(heard(&world, 1), ["psst"]);
    let told = |world: &World| world.nodes[0].events.iter().any(|event| answered(event) == Some(line));
    assert!(!told(&world));
    world.nodes[0].keeps = true;
    world.wait(0, |event| matches!(event, Event::PrivateSent { re, .. } if *re == Some(line)));
    world.wait(0, |event| matches!(event, Event::Receipt { .. }));
    let is_sent = |event: &Event| matches!(event, Event::PrivateSent { .. } | Event::Receipt { .. });
    let order: Vec<_> = world.nodes[0].events.iter().filter(|event| is_sent(event)).collect();
    assert!(matches!(order[..], [Event::PrivateSent { .. }, Event::Receipt { .. }]));
}

#[test]
fn a_private_message_is_confirmed_when_it_is_safe_at_the_other_side() {
    let mut world = World::with(&["ann", "bob"]);
    world.nodes[1].keeps = false;
    world.type_line(0, "!p bob psst");
    world.pass(3 * SECOND);
    assert!(!world.nodes[0].events.iter().any(|event| matches!(event, Event::Receipt { .. })));
    assert_eq!(heard(&world, 1), [""; 0]);
    world.nodes[1].keeps = true;
    world.wait(0, |event| matches!(event, Event::Receipt { .. }));
    assert_eq!(heard(&world, 1), ["psst"]);
}

#[test]
fn what_a_killed_node_had_sent_arrives_after_its_restart_once() {
    for bob_has_it in [false, true] {
        let mut world = World::with(&["ann", "bob"]);
        world.type_line(0, "!p bob one");
        world.wait(0, |event| matches!(event, Event::Receipt { .. }));
        world.nodes[1].asleep = !bob_has_it;
        // It learns nothing of what becomes of these.
        for line in ["!p bob two", "!p bob three"] {
            let line = world.type_line(0, line);
            world.wait(0, |event| matches!(event, Event::PrivateSent { re, .. } if *re == Some(line)));
        }
        world.nodes[0].keeps = false;
        if bob_has_it {
            world.wait(1, |event| matches!(event, Event::Private { text, .. } if text.safe() == "three"));
        }
        world.kill(0);
        world.nodes[1].asleep = false;
        let ann = start_again(&mut world, 0);
        assert!(world.nodes[ann].events.iter().any(|event| is_notice(event, "outbox")));
        world.type_line(ann, "!p bob four");
        world.wait(1, |event| matches!(event, Event::Private { text, .. } if text.safe() == "four"));
        world.pass(SECOND);
        assert_eq!(heard(&world, 1), ["one", "two", "three", "four"], "{bob_has_it}");
        let receipts = world.nodes[ann].events.iter().filter(|event| matches!(event, Event::Receipt { .. }));
        assert_eq!(receipts.count(), 3);
        assert_eq!(world.nodes[ann].memory.restored().outbox, []);
    }
}

#[test]
fn what_a_former_run_had_sent_waits_for_its_receiver_and_a_new_line_does_not() {
    let mut world = World::with(&["ann", "bob"]);
    world.type_line(0, "!p bob one");
    world.wait(0, |event| matches!(event, Event::Receipt { .. }));
    world.nodes[1].asleep = true;
    let line = world.type_line(0, "!p bob two");
    world.wait(0, |event| matches!(event, Event::PrivateSent { re, .. } if *re == Some(line)));
    world.kill(0);
    world.kill(1);
    let ann = start_again(&mut world, 0);
    world.pass(60 * SECOND);
    assert_eq!(code(&world.answer(ann, "!p bob now")), Some(ErrorCode::NotHere));
    let errors = world.nodes[ann].events.iter().filter(|event| code(event).is_some());
    assert_eq!(errors.count(), 1);
    let bob = start_again(&mut world, 1);
    world.wait(bob, |event| matches!(event, Event::Private { .. }));
    world.wait(ann, |event| matches!(event, Event::Receipt { .. }));
    assert_eq!((heard(&world, 1), heard(&world, bob)), (vec!["one".to_owned()], vec!["two".to_owned()]));
}

#[test]
fn a_receiver_that_was_killed_knows_what_it_had_heard() {
    let mut world = World::with(&["ann", "bob"]);
    let line = world.type_line(0, "!p bob one");
    world.wait(0, |event| matches!(event, Event::PrivateSent { re, .. } if *re == Some(line)));
    // What is told to the sender now does not survive there.
    world.nodes[0].keeps = false;
    world.wait(1, |event| matches!(event, Event::Private { .. }));
    world.kill(0);
    let bob = start_again(&mut world, 1);
    let ann = start_again(&mut world, 0);
    world.wait(ann, |event| matches!(event, Event::Receipt { .. }));
    world.pass(SECOND);
    assert_eq!((heard(&world, 1), heard(&world, bob)), (vec!["one".to_owned()], vec![]));
}

#[test]
fn trouble_with_the_store_is_told() {
    use crate::session::record::{Kept, Trouble};
    let mut world = World::with(&["ann"]);
    let now = world.now;
    let session = &mut world.nodes[0].session;
    session.handle_kept(now, Kept::Trouble(Trouble::Full));
    session.handle_kept(now, Kept::Working { lost: 3 });
    session.submit(
        now,
        Request { re: Some(1), command: Command::History { talks: vec![Talk::Group(group("a"))], last: 1 } },
    );
    session.handle_kept(now, Kept::Recalled(Err(Trouble::Damaged)));
    world.wait(0, |event| is_notice(event, "store_trouble"));
    world.wait(0, |event| is_notice(event, "store_back"));
    world.wait(0, |event| code(event) == Some(ErrorCode::StoreUnavailable));
}
