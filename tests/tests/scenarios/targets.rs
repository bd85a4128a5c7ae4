//! How long a change of views may take, in virtual time: pauses in round trips, and the merge after healing.

use std::time::Duration;

use decury_common::base::time::Instant;
use decury_common::order::OrderKind;
use decury_tests::sim::HostId;
use decury_tests::sim::frames::Kind;
use decury_tests::sim::network::Hosts;
use decury_tests::sim::stage::Stage;

use crate::{ALL_ORDERS, N, millis, seconds};

const ROUND_TRIP: Duration = Duration::from_millis(50);
/// How often each member says something: pauses are known as exactly as this.
const TICK: Duration = Duration::from_millis(1);

/// So many members who have measured their round trips, on a network that loses nothing.
fn company(members: usize, order: OrderKind) -> Stage {
    let mut stage = Stage::with(members, order);
    stage.world.network().set_latency(ROUND_TRIP / 2, ROUND_TRIP / 2);
    stage.pass(seconds(2));
    stage
}

/// Everybody talks, from a moment before something happens until a moment after `after` are in one view; the longest
/// pause between two messages that one of them sends.
fn longest_pause(stage: &mut Stage, after: &[HostId], happens: impl FnOnce(&mut Stage)) -> Duration {
    let began = stage.world.now();
    talk_until(stage, after, |stage| stage.world.now().since(began) >= ROUND_TRIP);
    let views: Vec<usize> = after.iter().map(|host| stage.views(*host)).collect();
    happens(stage);
    talk_until(stage, after, |stage| {
        after.iter().zip(&views).all(|(host, before)| stage.views(*host) > *before)
    });
    let installed = stage.world.now();
    talk_until(stage, after, |stage| stage.world.now().since(installed) >= ROUND_TRIP);
    stage.until_view(after);
    longest_pause_since(stage, after, began)
}

fn longest_pause_since(stage: &Stage, hosts: &[HostId], began: Instant) -> Duration {
    let pauses = hosts.iter().filter_map(|host| {
        let times: Vec<Instant> = stage.own_deliveries(*host).into_iter().filter(|at| *at >= began).collect();
        times.windows(2).map(|pair| pair[1].since(pair[0])).max()
    });
    pauses.max().unwrap_or_default()
}

fn talk_until(stage: &mut Stage, hosts: &[HostId], done: impl Fn(&Stage) -> bool) {
    let limit = stage.world.now() + seconds(20);
    while !done(stage) {
        hosts.iter().for_each(|host| _ = stage.says(*host));
        stage.pass(TICK);
        assert!(stage.world.now() < limit, "no new view");
    }
}

fn at_most(round_trips: u32, pause: Duration, what: &str) {
    let limit = ROUND_TRIP * round_trips + 3 * TICK;
    assert!(pause <= limit, "{what}: senders paused for {pause:?}, more than {limit:?}");
}

#[test]
fn senders_pause_for_two_round_trips_when_somebody_leaves() {
    for (order, leaver) in ALL_ORDERS.into_iter().flat_map(|order| [(order, N[0]), (order, N[9])]) {
        let mut stage = company(10, order);
        let rest: Vec<HostId> = N[..10].iter().filter(|host| **host != leaver).copied().collect();
        let pause = longest_pause(&mut stage, &rest, |stage| stage.leave(leaver));
        at_most(2, pause, &format!("{order} leave"));
        stage.ends_well();
    }
}

#[test]
fn senders_pause_for_two_round_trips_when_somebody_joins() {
    let mut stage = company(9, OrderKind::Causal);
    let guest = stage.add_host();
    let before: Vec<HostId> = N[..9].to_vec();
    let began = stage.world.now();
    talk_until(&mut stage, &before, |stage| stage.world.now().since(began) >= ROUND_TRIP);
    stage.join(guest);
    talk_until(&mut stage, &before, |stage| before.iter().all(|host| stage.members(*host).len() == 10));
    let installed = stage.world.now();
    talk_until(&mut stage, &before, |stage| stage.world.now().since(installed) >= ROUND_TRIP);
    at_most(2, longest_pause_since(&stage, &before, began), "join");
}

#[test]
fn senders_pause_for_two_round_trips_after_a_crash_and_for_three_when_something_must_be_fetched() {
    for (fetched, round_trips) in [(false, 2), (true, 3)] {
        let mut stage = company(10, OrderKind::Causal);
        if fetched {
            // Nobody learns before the change that one has it: it would be repaired at once.
            stage.lose(Kind::Data, N[9], Hosts::one(N[4]).others());
            stage.lose(Kind::Acks, N[4], Hosts::ALL);
            let last = stage.says(N[9]).unwrap();
            stage.until_delivered(N[4], last);
        }
        stage.kill(N[9]);
        // The dead acknowledges nothing: what is sent until it is suspected must fit into the windows.
        stage.pass(seconds(2) - ROUND_TRIP * 4);
        let pause = longest_pause(&mut stage, &N[..9], |_| {});
        at_most(round_trips, pause, if fetched { "crash with a fetch" } else { "crash" });
        assert!(!fetched || pause > ROUND_TRIP * 2, "nothing was fetched: {pause:?}");
        stage.ends_well();
    }
}

/// Until the next message is delivered: in `total` and `safe` its order takes one round trip and two by itself.
#[test]
fn senders_pause_for_two_round_trips_when_sides_merge() {
    for (order, ordering) in ALL_ORDERS.into_iter().zip([0, 0, 1, 2]) {
        let mut stage = company(10, order);
        let parted = stage.partition(&[&N[..5], &N[5..10]]);
        stage.until_view(&N[..5]);
        stage.until_view(&N[5..10]);
        stage.pass(seconds(2));
        let pause = longest_pause(&mut stage, &N[..10], |stage| stage.release_all(parted));
        at_most(2 + ordering, pause, &format!("{order} merge"));
        stage.ends_well();
    }
}

/// However long the sides were apart, and however many they are: all are in one view, and have been told what the others said.
#[test]
fn all_are_in_one_view_and_have_caught_up_within_five_seconds_after_healing() {
    let sides: [&[&[HostId]]; 3] =
        [&[&N[..5], &N[5..10]], &[&N[..9], &N[9..10]], &[&N[..4], &N[4..7], &N[7..10]]];
    let mut orders = ALL_ORDERS.into_iter().cycle();
    for apart in [seconds(3), seconds(20), seconds(60), seconds(600)] {
        for sides in sides {
            let order = orders.next().unwrap();
            let mut stage = company(10, order);
            let parted = stage.partition(sides);
            stage.pass(apart);
            for side in sides {
                stage.until_view(side);
            }
            let said: Vec<_> = N[..10].iter().filter_map(|host| stage.says(*host)).collect();
            stage.pass(seconds(1));
            stage.release_all(parted);
            let healed = stage.world.now();
            stage.until_view(&N[..10]);
            let heard = |stage: &Stage, host: &HostId| {
                let heard = stage.heard(*host);
                said.iter().all(|message| heard.contains(message))
            };
            stage.until("what was said", |stage| N[..10].iter().all(|host| heard(stage, host)));
            let took = stage.world.now().since(healed);
            assert!(took <= seconds(5), "{order}, {} sides, {apart:?} apart: {took:?}", sides.len());
        }
    }
}

/// A new view after a crash comes 300 ms after the suspicion at most.
#[test]
fn the_view_without_the_dead_follows_the_suspicion_at_once() {
    let mut times: Vec<Duration> = Vec::new();
    for victim in [N[0], N[5], N[9]] {
        let mut stage = company(10, OrderKind::Causal);
        let rest: Vec<HostId> = N[..10].iter().filter(|host| **host != victim).copied().collect();
        stage.kill(victim);
        let killed = stage.world.now();
        stage.until_view(&rest);
        times.push(stage.world.now().since(killed));
    }
    let limit = decury_common::base::limits::SUSPECT_AFTER + millis(300);
    assert!(times.iter().all(|time| *time <= limit), "{times:?} until the view, more than {limit:?}");
}
