//! How long messages are on their way, as their receivers measure it with clocks that agree on nothing.

use std::time::Duration;

use decury_common::base::id::MessageId;
use decury_common::base::limits::SUSPECT_AFTER;
use decury_common::base::time::Instant;
use decury_common::endpoint::Latency;
use decury_common::order::OrderKind;
use decury_tests::sim::HostId;
use decury_tests::sim::endpoint;
use decury_tests::sim::history::What;
use decury_tests::sim::host::{Clock, Habits};
use decury_tests::sim::network::{Fault, Ratio, Rule};
use decury_tests::sim::stage::Stage;

use crate::messages::data_of;
use crate::{ALL_ORDERS, N, millis};

/// A message measured at a host: how long it truly took, and what was measured.
#[derive(Debug)]
struct Sample {
    host: HostId,
    id: MessageId,
    took: Duration,
    measured: Latency,
}

/// What a clock that is a little fast, and shows whole microseconds, adds to the time between two readings.
const READING: Duration = Duration::from_micros(5);

impl Sample {
    fn is_right(&self) -> bool {
        self.measured.time.abs_diff(self.took) <= self.measured.clock_error + READING
    }
}

fn samples(stage: &Stage) -> Vec<Sample> {
    let records = stage.world.history.records();
    let sent = |id: MessageId| -> Option<Instant> {
        let sent = records.iter().find(|record| matches!(record.what, What::Sent { id: it, .. } if it == id));
        sent.map(|record| record.at)
    };
    let measured = records.iter().filter_map(|record| match record.what {
        What::Measured { id, latency } => {
            Some(Sample { host: record.host, id, took: record.at.since(sent(id)?), measured: latency })
        }
        _ => None,
    });
    measured.collect()
}

#[test]
fn a_latency_is_right_within_its_printed_error_however_lopsided_the_ways_are() {
    for order in ALL_ORDERS {
        let mut stage = Stage::empty(0, order);
        for ppm in [40, -40, 0] {
            let habits = Habits { clock: Clock { ppm }, ..Habits::default() };
            let host = stage.world.add_host(habits, endpoint::starter(SUSPECT_AFTER));
            stage.world.run_for(millis(700));
            stage.world.start(host);
            stage.join(host);
        }
        stage.until_view(&N[..3]);
        stage.world.add_rule(Rule::on(N[0], N[1], Fault::Delay(millis(30), millis(30))));
        stage.world.add_rule(Rule::everywhere(Fault::Delay(millis(0), millis(5))));
        stage.pass(millis(3_000));
        let begun = samples(&stage).len();
        for _ in 0..50 {
            N[..3].iter().for_each(|host| _ = stage.says(*host).unwrap());
            stage.pass(millis(20));
        }
        stage.pass(millis(1_000));
        let samples = samples(&stage).split_off(begun);
        assert_eq!(samples.len(), 3 * 3 * 50, "paced messages are all measured, everywhere");
        let wrong: Vec<&Sample> = samples.iter().filter(|sample| !sample.is_right()).collect();
        assert!(wrong.is_empty(), "{order}: {wrong:?}");
        let slow = |sample: &&Sample| sample.host == N[1] && sample.took >= millis(30);
        assert!(samples.iter().filter(slow).count() >= 50, "the slow way is seen");
        let errors = samples.iter().map(|sample| sample.measured.clock_error);
        assert!(errors.max().unwrap() < millis(25), "half of a round trip, and a little for drift");
        stage.ends_well();
    }
}

#[test]
fn what_was_lost_and_sent_again_is_measured_from_its_first_sending() {
    let mut stage = Stage::with(3, OrderKind::Causal);
    stage.world.add_rule(Rule::everywhere(Fault::Loss(Ratio(1, 4))));
    let mut sent = Vec::new();
    for size in [20, 5_000].into_iter().cycle().take(40) {
        sent.push(stage.sends(N[0], size).unwrap());
        stage.pass(millis(10));
    }
    stage.pass(millis(3_000));
    let samples = samples(&stage);
    for host in &N[..3] {
        assert!(sent.iter().all(|&id| samples.iter().any(|sample| sample.host == *host && sample.id == id)));
    }
    assert!(samples.iter().all(Sample::is_right));
    assert!(samples.iter().any(|sample| sample.took > millis(15)), "nothing was late: what was repaired?");
    stage.ends_well();
}

#[test]
fn what_another_member_repairs_for_its_dead_sender_is_measured_too() {
    let mut stage = Stage::with(3, OrderKind::Causal);
    stage.pass(millis(500));
    stage.lose(data_of(0, ..), N[0], N[2]);
    let message = stage.says(N[0]).unwrap();
    stage.until_delivered(N[1], message);
    stage.kill(N[0]);
    stage.until_delivered(N[2], message);
    let samples = samples(&stage);
    let late = samples.iter().find(|sample| sample.host == N[2] && sample.id == message).unwrap();
    assert!(late.is_right() && late.took > millis(20), "{:?} of {:?}", late.measured, late.took);
    stage.ends_well();
}
