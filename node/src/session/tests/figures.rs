//! Figures: asked for, at the end, and at the tracker.

use std::time::Duration;

use decury_common::wire::figures::{Figures, Tally};

use super::world::{World, group};
use crate::session::{Command, Event};

fn asked(world: &mut World, node: usize) -> Figures {
    match world.answer(node, "!s") {
        Event::Figures { figures, .. } => *figures,
        other => panic!("{other:?}"),
    }
}

fn of_lobby(figures: &Figures) -> Tally {
    let [(name, tally)] = figures.groups[..] else { panic!("{figures:?}") };
    assert_eq!(name, group("lobby"));
    tally
}

#[test]
fn what_is_said_and_heard_counts_where_it_was_said() {
    let mut world = World::with(&["ann", "bob"]);
    world.join(0, "!j lobby");
    world.join(1, "!j lobby");
    for text in ["one", "two", "three"] {
        world.type_line(0, text);
        world.pass(Duration::from_millis(500));
    }
    world.type_line(0, "!p bob psst");
    world.wait(1, |event| matches!(event, Event::Private { .. }));
    let (ann, bob) = (asked(&mut world, 0), asked(&mut world, 1));
    let counts = |tally: &Tally| (tally.sent, tally.received);
    assert_eq!((counts(&ann.all), counts(&of_lobby(&ann)), counts(&ann.private)), ((4, 3), (3, 3), (1, 0)));
    assert_eq!((counts(&bob.all), counts(&of_lobby(&bob)), counts(&bob.private)), ((0, 4), (0, 3), (0, 1)));
    let rate = of_lobby(&bob).messages_per_s();
    assert!((1.9..2.1).contains(&rate), "two a second: {rate}");
    let took = |tally: &Tally| tally.latency.unwrap().p50_us;
    assert_eq!(of_lobby(&ann).latency, None, "own messages are no samples");
    assert!((950..1_100).contains(&took(&of_lobby(&bob))), "a millisecond on the way: {bob:?}");
    assert!(bob.all.latency.unwrap().clock_error_us >= 1_000, "half of a round trip: {bob:?}");
}

#[test]
fn a_run_ends_with_its_figures_and_the_tracker_has_them() {
    let mut world = World::with(&["ann", "bob"]);
    world.join(0, "!j lobby");
    world.join(1, "!j lobby");
    world.type_line(0, "hello");
    world.wait(1, |event| matches!(event, Event::Message { .. }));
    world.type_line(1, "!e");
    world.wait(1, |event| matches!(event, Event::Left { .. }));
    assert_eq!(of_lobby(&asked(&mut world, 1)).received, 1, "a group that was left still counts");
    for node in [0, 1] {
        world.submit(node, Command::Quit);
        let Event::Bye { figures } = world.wait(node, |event| matches!(event, Event::Bye { .. })) else {
            panic!()
        };
        let run = world.runs().pop().unwrap();
        assert_eq!((run.user.as_str(), &run.figures), (["ann", "bob"][node], &*figures));
        assert_eq!((figures.all.sent, figures.all.received), ([1, 0][node], 1));
        assert!(figures.ran_us > 0 && figures.datagrams > 0);
    }
    assert_eq!(world.runs().len(), 2);
}

#[test]
fn a_run_that_ends_while_the_tracker_is_away_does_not_wait_for_it() {
    let mut world = World::with(&["ann"]);
    world.stop_tracker();
    let start = world.now;
    world.submit(0, Command::Quit);
    world.wait(0, |event| matches!(event, Event::Bye { .. }));
    assert_eq!(world.now, start);
}
