//! Schedules without a tracker.

use decury_common::order::OrderKind;
use decury_tests::sim::HostId;
use decury_tests::sim::plan::Meeting;
use decury_tests::sim::stage::Stage;

use crate::{N, seconds};

/// Each knows the one before; the first one knows nobody.
fn chain(hosts: usize) -> Vec<HostId> {
    (0..hosts).map(|host| HostId(host.saturating_sub(1))).collect()
}

/// Ten nodes in a chain start and join in the same moment, nine of which know one other: one view of ten.
#[test]
fn chain_of_ten() {
    let mut stage = Stage::of_sessions(10, &Meeting::Peers(chain(10)), OrderKind::Total);
    for host in &N[..10] {
        stage.world.start(*host);
        stage.join(*host);
    }
    stage.until_view(&N[..10]);
    stage.ends_well();
}

/// Only the two ends of a chain are in the group: those between lead them to each other.
#[test]
fn ends_of_a_chain() {
    let mut stage = Stage::of_sessions(5, &Meeting::Peers(chain(5)), OrderKind::Causal);
    for host in &N[..5] {
        stage.world.start(*host);
    }
    stage.pass(seconds(2));
    stage.join(N[0]);
    stage.pass(seconds(3));
    stage.join(N[4]);
    stage.until_view(&[N[0], N[4]]);
    stage.ends_well();
}

/// The same name is created on two sides of a partition that holds from the start: one group when it ends.
#[test]
fn created_twice() {
    let mut stage = Stage::of_sessions(4, &Meeting::Peers(chain(4)), OrderKind::Total);
    let cut = stage.partition(&[&N[..2], &N[2..4]]);
    for host in &N[..4] {
        stage.world.start(*host);
        stage.join(*host);
    }
    stage.until_view(&N[..2]);
    stage.until_view(&N[2..4]);
    stage.says(N[0]);
    stage.says(N[3]);
    stage.pass(seconds(60));
    stage.release_all(cut);
    stage.until_view(&N[..4]);
    stage.ends_well();
}

/// The tracker is killed for good while people talk; then one crashes, one leaves, and one joins through a peer.
#[test]
fn tracker_gone() {
    let mut stage = Stage::of_sessions(5, &Meeting::MortalTracker(chain(5)), OrderKind::Causal);
    let tracker = N[5];
    for host in &N[..4] {
        stage.world.start(*host);
        stage.join(*host);
    }
    stage.until_view(&N[..4]);
    stage.kill(tracker);
    let views = stage.views(N[0]);
    stage.says(N[1]);
    stage.pass(seconds(60));
    assert_eq!(stage.views(N[0]), views, "nobody noticed");
    stage.kill(N[2]);
    stage.until_view(&[N[0], N[1], N[3]]);
    stage.leave(N[1]);
    stage.until_view(&[N[0], N[3]]);
    stage.world.start(N[4]);
    stage.join(N[4]);
    stage.until_view(&[N[0], N[3], N[4]]);
    stage.until("n4 is told what was said", |stage| !stage.heard(N[4]).is_empty());
    stage.ends_as_it_is();
}
