//! More to say than the network carries, in virtual time: what arrives is what the lines carry, not their noise.

use std::collections::BTreeMap;
use std::time::Duration;

use decury_common::base::id::MessageId;
use decury_common::base::time::Instant;
use decury_common::order::OrderKind;
use decury_tests::sim::HostId;
use decury_tests::sim::history::What;
use decury_tests::sim::network::{Effect, Fault, Hosts, Ratio, Rule};
use decury_tests::sim::stage::Stage;

use super::{ALL_ORDERS, N, millis, seconds};

/// Bytes that a host's socket holds, as systems usually grant them.
const SOCKET: u64 = 208 * 1024;

/// What one trip takes at most over a line that is given more than it carries: the queue that its senders allow there.
const TRIP: Duration = Duration::from_millis(75);

/// So many members in one view. What is bound for one of them shares a line that carries so many bytes a millisecond.
fn narrow(members: usize, order: OrderKind, carries: u64) -> Stage {
    let mut stage = Stage::with(members, order);
    for host in &N[..members] {
        let effect = Effect::Narrow { carries, queue: SOCKET };
        stage.world.add_rule(Rule { from: Hosts::ALL, to: Hosts::one(*host), effect });
    }
    stage
}

/// Everybody has `each` messages of `size` bytes to say at once; how long it takes until everybody has all.
fn burst(stage: &mut Stage, members: usize, each: usize, size: usize) -> Duration {
    let began = stage.world.now();
    let wanted = stage.world.history.delivered() + (members * members * each) as u64;
    for _ in 0..each {
        for host in &N[..members] {
            stage.sends(*host, size);
        }
    }
    stage.until("all is delivered everywhere", |stage| stage.world.history.delivered() >= wanted);
    stage.world.now().since(began)
}

/// How many of the fragments sent were sent again, and how many were sent at all.
fn repeated(stage: &Stage, members: usize) -> (u64, u64) {
    let stats = N[..members].iter().map(|host| stage.world.stats(*host));
    stats.fold((0, 0), |sum, stats| (sum.0 + stats.data_repeated, sum.1 + stats.data_sent))
}

#[test]
fn a_burst_of_ten_members_does_not_collapse_into_repetitions() {
    const EACH: usize = 300;
    const SIZE: usize = 400;
    const CARRIES: u64 = 10_000;
    for order in ALL_ORDERS {
        let mut stage = narrow(10, order, CARRIES);
        let took = burst(&mut stage, 10, EACH, SIZE);
        let (again, sent) = repeated(&stage, 10);
        assert!(again * 50 < sent, "{order}: {again} of {sent} fragments were sent again");
        let least = millis((9 * EACH * SIZE) as u64 / CARRIES);
        assert!(took < least * 2, "{order}: took {took:?}, the lines alone {least:?}");
        stage.ends_as_it_is();
    }
}

#[test]
fn one_percent_of_loss_costs_less_than_half_of_the_throughput() {
    for order in ALL_ORDERS {
        let took = |loss: Option<Fault>| {
            let mut stage = narrow(3, order, 5_000);
            stage.world.network().set_latency(millis(2), millis(3));
            loss.into_iter().for_each(|loss| {
                stage.world.add_rule(Rule::everywhere(loss));
            });
            let took = burst(&mut stage, 3, 3_000, 500);
            stage.ends_as_it_is();
            took
        };
        let (lossless, lossy) = (took(None), took(Some(Fault::Loss(Ratio(1, 100)))));
        assert!(lossy < lossless * 2, "{order}: {lossless:?} without loss, {lossy:?} with");
    }
}

#[test]
fn a_stalled_reader_slows_the_others_and_loses_nothing() {
    const MESSAGES: usize = 8_000;
    for order in ALL_ORDERS {
        let mut stage = Stage::with(3, order);
        let views = stage.views(N[0]);
        let before = stage.world.history.delivered();
        stage.world.stall(N[2], seconds(10));
        for _ in 0..MESSAGES {
            stage.sends(N[0], 100);
        }
        stage.pass(seconds(9));
        let meanwhile = stage.world.history.delivered() - before;
        assert!(meanwhile < 2 * MESSAGES as u64, "{order}: nobody waited for the one who read nothing");
        stage.until("all is delivered everywhere", |stage| {
            stage.world.history.delivered() >= before + 3 * MESSAGES as u64
        });
        assert_eq!(stage.views(N[0]), views, "{order}: somebody was suspected");
        stage.ends_as_it_is();
    }
}

/// Three members have `load` tenths of what the lines carry to say, a fourth says something every 20 ms. How many
/// deliveries a second the fourth has of the others, and the times until its own are everywhere.
fn overload(order: OrderKind, load: u64) -> (usize, Vec<Duration>) {
    const CARRIES: u64 = 2_000;
    const SIZE: u64 = 500;
    let mut stage = narrow(4, order, CARRIES);
    let began = stage.world.now();
    let mut paced = Vec::new();
    let mut owed = 0;
    for ms in 0..3_000 {
        owed += CARRIES * load / 10;
        while owed >= 3 * SIZE {
            owed -= 3 * SIZE;
            for host in &N[..3] {
                stage.sends(*host, SIZE as usize);
            }
        }
        if ms % 20 == 0 {
            paced.extend(stage.sends(N[3], 50));
        }
        stage.pass(millis(1));
    }
    let times = Times::of(&stage);
    // From the beginning: what is held back for a cause comes later, all at once, and is no throughput of that second.
    let delivered = times.at_fourth.iter().filter(|at| **at >= began).count() / 3;
    let latencies = paced.iter().filter_map(|id| Some(times.last.get(id)?.since(*times.sent.get(id)?)));
    (delivered, latencies.collect())
}

/// When what happened to messages.
#[derive(Default)]
struct Times {
    sent: BTreeMap<MessageId, Instant>,
    /// When the last of all members delivered it.
    last: BTreeMap<MessageId, Instant>,
    /// Each delivery at the fourth member.
    at_fourth: Vec<Instant>,
}

impl Times {
    fn of(stage: &Stage) -> Times {
        let mut times = Times::default();
        for record in stage.world.history.records() {
            match &record.what {
                What::Sent { id, .. } => {
                    times.sent.insert(*id, record.at);
                }
                What::Delivered { delivery, .. } => {
                    times.last.insert(delivery.id, record.at);
                    times.at_fourth.extend((record.host == HostId(3)).then_some(record.at));
                }
                _ => {}
            }
        }
        times
    }
}

#[test]
fn ten_times_too_much_is_carried_as_fast_as_just_enough_and_a_paced_member_does_not_notice() {
    for order in ALL_ORDERS {
        let loads = [5, 10, 20, 100].map(|load| overload(order, load));
        let best = loads.iter().map(|(delivered, _)| *delivered).max().unwrap();
        let (most, latencies) = &loads[3];
        assert!(most * 10 >= best * 9, "{order}: {most} deliveries a second, at best {best}");
        let mut latencies = latencies.clone();
        latencies.sort_unstable();
        let p99 = latencies[latencies.len() * 99 / 100];
        let trips = match order {
            OrderKind::Fifo | OrderKind::Causal => 1,
            OrderKind::Total => 3,
            OrderKind::Safe => 4,
        };
        assert!(p99 < TRIP * trips, "{order}: a paced message takes {p99:?}");
    }
}
