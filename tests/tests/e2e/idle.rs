//! Nothing to say, nothing to do: what ten nodes and their tracker cost then.

use std::time::Duration;

use crate::harness::World;

/// How long is measured. The processor time used meanwhile depends on it alone, not on how busy the machine is.
const MEASURED: Duration = Duration::from_secs(3);
/// One in so many ticks of a core may be used, by each: a loop that spins takes nearly all.
const ONE_IN: u64 = 30;

#[test]
fn ten_idle_members_and_their_tracker_cost_next_to_nothing() {
    let world = World::new();
    let tracker = world.tracker();
    let names: [String; 10] = std::array::from_fn(|number| format!("user{number}"));
    let arguments =
        ["--ui", "json", "--tracker", &tracker.address, "--join", "lobby", "--suspect-after", "2s"];
    let mut nodes = names.each_ref().map(|name| world.start(name, &arguments));
    let all = names.each_ref().map(String::as_str);
    nodes.iter().for_each(|node| _ = node.sees("lobby", &all));
    nodes[0].types("and now silence");
    nodes.iter().for_each(|node| _ = node.hears("lobby", "user0", "and now silence"));
    let used = || -> Vec<u64> { nodes.iter().map(|node| node.ticks()).chain([tracker.ticks()]).collect() };
    let before = used();
    std::thread::sleep(MEASURED);
    // A tick is a hundredth of a second on every Linux.
    let most = MEASURED.as_secs() * 100 / ONE_IN;
    for (after, before) in used().into_iter().zip(before) {
        assert!(after - before <= most, "{} of {} ticks", after - before, MEASURED.as_secs() * 100);
    }
}
