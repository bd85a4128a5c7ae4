mod ending;
mod figures;
mod groups;
mod keeping;
mod lab;
mod peers;
mod private;
mod strangers;
mod world;

use std::time::Duration;

use super::{Command, ErrorCode, Event, Notice, Request};
use world::{World, tracker_address};

const SECOND: Duration = Duration::from_secs(1);

/// The code of an event that is an error.
fn code(event: &Event) -> Option<ErrorCode> {
    match event {
        Event::Error { code, .. } | Event::Refused { code, .. } => Some(*code),
        _ => None,
    }
}

/// Whether an event is a notice of that kind.
fn is_notice(event: &Event, kind: &str) -> bool {
    matches!(event, Event::Notice { notice, .. } if notice.kind() == kind)
}

#[test]
fn a_session_is_ready_when_it_has_signed_in() {
    let world = World::with(&["ann"]);
    let [Event::Ready { user, tracker, .. }] = &world.nodes[0].events[..] else { panic!() };
    assert_eq!((user.as_str(), *tracker), ("ann", Some(tracker_address())));
    assert!(world.nodes[0].session.wants_input());
}

#[test]
fn without_a_tracker_a_session_is_ready_after_two_seconds_and_goes_on_when_one_comes() {
    let mut world = World::deserted();
    let ann = world.add("ann", true);
    world.pass(2 * SECOND - Duration::from_millis(1));
    assert!(world.nodes[ann].events.is_empty() && !world.nodes[ann].session.wants_input());
    world.pass(Duration::from_millis(1));
    assert!(matches!(world.nodes[ann].events[..], [Event::Ready { tracker: None, .. }]));
    world.start_tracker();
    let back = Notice::TrackerBack { tracker: tracker_address() };
    world.wait(ann, |event| *event == Event::Notice { re: None, notice: back });
}

#[test]
fn a_name_that_is_taken_ends_the_session() {
    let mut world = World::with(&["ann"]);
    let other = world.add("ann", true);
    world.pass(SECOND);
    let [refused @ Event::Refused { .. }, Event::Bye { .. }] = &world.nodes[other].events[..] else {
        panic!()
    };
    assert_eq!(code(refused), Some(ErrorCode::NameTaken));
    assert!(matches!(world.nodes[other].session.ended(), Some(super::Ending::Refused(_))));
}

#[test]
fn a_line_typed_while_the_tracker_restarts_is_not_lost() {
    let mut world = World::with(&["ann"]);
    world.stop_tracker();
    world.wait(0, |event| is_notice(event, "tracker_lost"));
    let join = world.type_line(0, "!j lobby");
    let text = world.type_line(0, "hello");
    assert!(!world.nodes[0].session.wants_input());
    world.pass(2 * SECOND);
    world.start_tracker();
    world.wait(0, |event| matches!(event, Event::Joined { re, .. } if *re == Some(join)));
    world.wait(0, |event| matches!(event, Event::Sent { re, .. } if *re == Some(text)));
    assert_eq!(world.nodes[0].texts(), ["hello"]);
}

#[test]
fn what_comes_before_a_session_is_ready_is_told_after_it() {
    let mut world = World::deserted();
    let trackers = std::mem::take(&mut world.trackers);
    let bob = world.add("bob", true);
    world.wait(bob, |event| matches!(event, Event::Ready { .. }));
    (world.trackers, world.peers) = (trackers, vec![world::address(bob)]);
    let ann = world.add("ann", true);
    let from = "192.0.2.9:5353".parse().unwrap();
    world.nodes[ann].session.handle_call(world.now, from, b"who is there?");
    world.pass(SECOND);
    assert_eq!(world.nodes[ann].events, []);
    for kind in ["stranger", "peer_met"] {
        world.wait(ann, |event| is_notice(event, kind));
    }
    assert!(matches!(world.nodes[ann].events[0], Event::Ready { .. }));
}

#[test]
fn what_needs_a_tracker_fails_in_time_without_one() {
    let mut world = World::deserted();
    let ann = world.add("ann", true);
    world.wait(ann, |event| matches!(event, Event::Ready { .. }));
    let start = world.now;
    world.type_line(ann, "!g");
    let failed = world.answer(ann, "!j lobby");
    assert_eq!(code(&failed), Some(ErrorCode::TrackerUnavailable));
    assert!(world.now.since(start) < 10 * SECOND);
    assert_eq!(code(&world.answer(ann, "hello")), Some(ErrorCode::NoCurrentGroup));
    assert_eq!(code(&world.answer(ann, "!w lobby")), Some(ErrorCode::NotAMember));
    let listing = world.wait(ann, |event| world::answered(event) == Some(1));
    assert_eq!(code(&listing), Some(ErrorCode::TrackerUnavailable));
}

#[test]
fn a_group_to_join_at_the_start_is_joined_when_a_tracker_comes_however_late() {
    let mut world = World::deserted();
    let ann = world.add("ann", true);
    world.wait(ann, |event| matches!(event, Event::Ready { .. }));
    let join = Command::Join { group: world::group("lobby"), order: None };
    world.nodes[ann].session.submit(world.now, Request { re: None, command: join });
    let text = world.type_line(ann, "first words");
    world.pass(60 * SECOND);
    assert!(!world.nodes[ann].events.iter().any(|event| code(event).is_some()));
    world.start_tracker();
    world.wait(ann, |event| matches!(event, Event::Joined { re: None, .. }));
    world.wait(ann, |event| matches!(event, Event::Sent { re, .. } if *re == Some(text)));
}

#[test]
fn talk_goes_on_while_the_tracker_is_away_and_it_learns_the_groups_again() {
    let mut world = World::with(&["ann", "bob"]);
    world.join(0, "!j lobby fifo");
    world.join(1, "!j lobby");
    world.stop_tracker();
    world.type_line(0, "still here");
    world.wait(1, |event| matches!(event, Event::Message { .. }));
    world.start_tracker();
    for node in [0, 1] {
        world.wait(node, |event| is_notice(event, "tracker_back"));
    }
    let Event::Groups { groups, .. } = world.answer(0, "!g") else { panic!() };
    assert_eq!((groups.len(), groups[0].name.as_str(), groups[0].members), (1, "lobby", 2));
}
