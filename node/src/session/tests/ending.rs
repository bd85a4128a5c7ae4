//! Ends: everything is answered, everybody is told, and it takes no longer than five seconds.

use decury_common::endpoint::Cause;

use super::world::World;
use super::{SECOND, code};
use crate::session::{Command, Ending, ErrorCode, Event};

fn is_bye(event: &Event) -> bool {
    matches!(event, Event::Bye { .. })
}

/// Waits for the end of a session, and looks at it.
fn assert_ends_well(world: &mut World, node: usize) {
    let start = world.now;
    world.wait(node, is_bye);
    assert!(world.now.since(start) < 5 * SECOND);
    world.pass(SECOND);
    assert!(world.nodes[node].events.last().is_some_and(is_bye));
    assert_eq!(world.nodes[node].session.ended(), Some(&Ending::Asked));
    assert!(!world.nodes[node].session.wants_input());
}

#[test]
fn who_quits_leaves_all_groups_and_signs_out() {
    let mut world = World::with(&["ann", "bob"]);
    for group in ["a", "b"] {
        world.join(0, &format!("!j {group}"));
        world.join(1, &format!("!j {group}"));
    }
    world.type_line(0, "bye");
    world.submit(0, Command::Quit);
    assert_ends_well(&mut world, 0);
    let left = world.nodes[0].events.iter().filter(|event| matches!(event, Event::Left { .. })).count();
    assert_eq!(left, 2);
    assert_eq!(world.nodes[1].texts(), ["bye"]);
    world.wait(1, |event| matches!(event, Event::View { cause: Cause::Leave, .. }));
    let again = world.add("ann", true);
    world.wait(again, |event| matches!(event, Event::Ready { .. }));
}

#[test]
fn who_quits_among_the_dead_ends_in_time() {
    let mut world = World::with(&["ann", "bob"]);
    world.join(0, "!j lobby");
    world.join(1, "!j lobby");
    world.kill(1);
    world.stop_tracker();
    world.type_line(0, "anybody?");
    world.nodes[0].session.quit(world.now);
    assert_ends_well(&mut world, 0);
}

#[test]
fn what_was_asked_for_is_done_before_the_end() {
    let mut world = World::with(&["ann"]);
    world.type_line(0, "!g");
    world.type_line(0, "!j lobby");
    world.nodes[0].session.finish(world.now);
    assert_ends_well(&mut world, 0);
    let events = &world.nodes[0].events;
    assert!(events.iter().any(|event| matches!(event, Event::Groups { .. })));
    assert!(events.iter().any(|event| matches!(event, Event::Joined { .. })));
}

#[test]
fn what_cannot_be_done_before_the_end_is_answered_too() {
    let mut world = World::deserted();
    let ann = world.add("ann", true);
    world.wait(ann, |event| matches!(event, Event::Ready { .. }));
    world.type_line(ann, "!g");
    world.type_line(ann, "!j lobby");
    world.type_line(ann, "hello");
    world.nodes[ann].session.finish(world.now);
    assert_ends_well(&mut world, ann);
    let codes: Vec<_> = world.nodes[ann].events.iter().filter_map(code).collect();
    let (tracker, abandoned) = (ErrorCode::TrackerUnavailable, ErrorCode::Abandoned);
    assert_eq!(codes, [abandoned, tracker, tracker]);
}

#[test]
fn an_end_can_be_asked_for_before_the_start_is_over() {
    let mut world = World::deserted();
    let ann = world.add("ann", true);
    world.nodes[ann].session.quit(world.now);
    assert_ends_well(&mut world, ann);
}
