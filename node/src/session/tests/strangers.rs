//! What is no Decury, or another version of it.

use decury_common::machine::Machine as _;

use super::world::World;
use super::*;

#[test]
fn what_cannot_be_read_is_told_once_a_minute_wherever_it_comes() {
    let mut world = World::with(&["ann"]);
    let from = "192.0.2.9:5353".parse().unwrap();
    let told =
        |world: &World| world.nodes[0].events.iter().filter(|event| is_notice(event, "stranger")).count();
    for minutes in 1..=3 {
        for _ in 0..100 {
            let (now, session) = (world.now, &mut world.nodes[0].session);
            session.handle_datagram(now, from, &mut b"who is there?".to_vec());
            session.handle_call(now, from, b"who is there?");
            world.pass(SECOND / 4);
        }
        assert_eq!(told(&world), minutes);
        world.pass(40 * SECOND);
    }
    world.nodes[0].session.handle_call(world.now, from, b"who is there?");
    world.wait(0, |event| is_notice(event, "stranger"));
}
