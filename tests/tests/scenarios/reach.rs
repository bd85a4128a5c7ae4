//! Schedules about who can reach whom, and about more than ten.

use std::time::Duration;

use decury_common::order::OrderKind;
use decury_tests::sim::HostId;
use decury_tests::sim::history::Noticed;
use decury_tests::sim::stage::Stage;

use crate::{N, millis, seconds};

/// Views that each of these hosts installs while `seconds` pass.
fn views_within(stage: &mut Stage, hosts: &[HostId], duration: u64) -> Vec<usize> {
    let before: Vec<usize> = hosts.iter().map(|host| stage.views(*host)).collect();
    stage.pass(seconds(duration));
    hosts.iter().zip(before).map(|(host, before)| stage.views(*host) - before).collect()
}

/// One link is dead for good one way, and nobody relays: a stable partition, and few views.
#[test]
fn one_way_without_a_relay() {
    let mut stage = Stage::with(3, OrderKind::Causal);
    stage.cut_detours();
    stage.cut(N[0], N[1]);
    let first = views_within(&mut stage, &N[..3], 120);
    assert!(first.iter().all(|&views| views <= 20), "{first:?} views in the first two minutes");
    let later = views_within(&mut stage, &N[..3], 120);
    assert!(later.iter().all(|&views| views <= 10), "{later:?} views in the next two minutes");
    stage.ends_well();
}

/// Four nodes, one link dead both ways, nobody relays: a handful of views, not hundreds.
#[test]
fn flapping() {
    let mut stage = Stage::with(4, OrderKind::Causal);
    stage.cut_detours();
    stage.cut_both(N[0], N[1]);
    let first = views_within(&mut stage, &N[..4], 120);
    assert!(first.iter().all(|&views| views <= 20), "{first:?} views in the first two minutes");
    let later = views_within(&mut stage, &N[..4], 120);
    assert!(later.iter().all(|&views| views <= 10), "{later:?} views in the next two minutes");
    stage.ends_well();
}

/// The only link between {0, 1} and {2, 3, 4} flaps for an hour, then holds: no side is torn apart, few views, and soon
/// afterwards one.
#[test]
fn flap_bridge() {
    for (down, up) in [(700, 900), (647, 873)] {
        bridge_flaps(millis(down), millis(up));
    }
}

/// It is down one to seven times this long, and up one to five times that long, in turn.
fn bridge_flaps(least_down: Duration, least_up: Duration) {
    let mut stage = Stage::with(5, OrderKind::Causal);
    for (near, far) in [(0, 2), (0, 3), (0, 4), (1, 3), (1, 4)] {
        stage.cut_both(N[near], N[far]);
    }
    stage.pass(seconds(10));
    let before: Vec<usize> = N[..5].iter().map(|host| stage.views(*host)).collect();
    let mut said = Vec::new();
    let (mut passed, mut turn) = (millis(0), 0u32);
    while passed < seconds(3_600) {
        let (down, up) = (least_down * (1 + turn % 7), least_up * (1 + turn % 5));
        let cut = stage.cut_both(N[1], N[2]);
        stage.pass(down);
        stage.release_all(cut);
        if turn.is_multiple_of(20) {
            said.extend([N[0], N[4]].into_iter().filter_map(|host| stage.says(host)));
        }
        stage.pass(up);
        (passed, turn) = (passed + down + up, turn + 1);
    }
    for (host, before) in N[..5].iter().zip(before) {
        let views = stage.views(*host) - before;
        assert!(views <= 300, "{host} has seen {views} views in an hour of {turn} flaps");
    }
    for side in [&N[..2], &N[2..5]] {
        for host in side {
            let torn = stage.views_without(*host, side);
            assert!(torn.is_empty(), "{host} is torn from its side in {turn} flaps: {torn:?}");
        }
    }
    stage.until_view(&N[..5]);
    stage.until("what was said", |stage| {
        N[..5].iter().all(|host| said.iter().all(|message| stage.heard(*host).contains(message)))
    });
    stage.ends_well();
}

/// One hears the other, with no path back: nobody stays frozen, and the partition is stable.
#[test]
fn hear_only() {
    let mut stage = Stage::with(2, OrderKind::Causal);
    stage.cut(N[0], N[1]);
    stage.until_view(&[N[0]]);
    stage.until_view(&[N[1]]);
    let views = views_within(&mut stage, &N[..2], 120);
    assert_eq!(views, [0, 0], "views in two minutes");
    for host in [N[0], N[1]] {
        let message = stage.says(host).unwrap();
        stage.until_delivered(host, message);
    }
    stage.ends_well();
}

/// Two suspect each other, a third hears both: ids differ, and it ends in one view.
#[test]
fn dueling() {
    for time in [2_500, 5_000, 20_000] {
        let mut stage = Stage::with(3, OrderKind::Causal);
        stage.cut_detours();
        let cut = stage.cut_both(N[0], N[1]);
        for _ in 0..time / 500 {
            for host in [N[0], N[1], N[2]] {
                stage.says(host);
            }
            stage.pass(millis(500));
        }
        stage.release_all(cut);
        stage.until_view(&[N[0], N[1], N[2]]);
        stage.ends_well();
    }
}

/// Nine members split five and four, one joins each side, then they merge: ten at most, a twelfth is refused, and the
/// eleventh gets in when there is a seat.
#[test]
fn eleven() {
    let mut stage = Stage::with(9, OrderKind::Causal);
    let guests = [stage.add_host(), stage.add_host()];
    let (left, right) = ([&N[..5], &guests[..1]].concat(), [&N[5..9], &guests[1..]].concat());
    let parted = stage.partition(&[&left, &right]);
    stage.until_view(&N[..5]);
    stage.until_view(&N[5..9]);
    for guest in guests {
        stage.join(guest);
    }
    stage.until_view(&left);
    stage.until_view(&right);
    stage.release_all(parted);
    let largest = |stage: &Stage| N[..11].iter().map(|host| stage.members(*host).len()).max();
    stage.until("ten are in one view", |stage| largest(stage) == Some(10));
    stage.pass(seconds(5));
    let outside: Vec<HostId> = N[..11].iter().filter(|n| stage.members(**n).len() != 10).copied().collect();
    assert_eq!(outside.len(), 1, "outside: {outside:?}");
    assert_eq!(stage.members(outside[0]), outside, "the eleventh has a view of its own");
    let told = |stage: &Stage, host: HostId| {
        stage.noticed(host).iter().filter(|notice| **notice == Noticed::MergeRefused).count()
    };
    for host in &N[..11] {
        assert_eq!(told(&stage, *host), usize::from(*host == outside[0]), "{host}");
    }
    let alone = stage.says(outside[0]).unwrap();
    stage.until_delivered(outside[0], alone);
    // A twelfth is refused, as often as it asks, beside the full view as well.
    let twelfth = stage.add_host();
    stage.join(twelfth);
    let views = views_within(&mut stage, &N[..11], 30);
    assert!(views.iter().all(|&views| views == 0), "{views:?} views without a reason");
    assert!(stage.refusals(twelfth) > 10 && stage.view(twelfth).is_none());
    stage.leave(twelfth);

    let leaver = *N[..11].iter().find(|host| **host != outside[0]).unwrap();
    stage.leave(leaver);
    let rest: Vec<HostId> = N[..11].iter().filter(|host| **host != leaver).copied().collect();
    stage.until_view(&rest);
    stage.until("they are told what it said", |stage| {
        rest.iter().all(|host| stage.heard(*host).contains(&alone))
    });
    assert_eq!(told(&stage, outside[0]), 1);
    stage.ends_well();
}

/// A full view, and an eleventh whose view has an older id, all in reach: no view changes until a seat is free.
#[test]
fn leftover_leads() {
    let mut stage = Stage::empty(11, OrderKind::Causal);
    let parted = stage.isolate(N[10]);
    stage.join(N[10]);
    stage.until_view(&[N[10]]);
    for host in &N[..10] {
        stage.join(*host);
    }
    stage.until_view(&N[..10]);
    assert!(stage.view_id(N[10]) < stage.view_id(N[0]));
    stage.release_all(parted);
    let views = views_within(&mut stage, &N[..11], 60);
    assert!(views.iter().all(|&views| views == 0), "{views:?} views without a reason");
    stage.leave(N[4]);
    let rest: Vec<HostId> = N[..11].iter().filter(|host| **host != N[4]).copied().collect();
    stage.until_view(&rest);
    stage.ends_well();
}

/// A full view with the smallest id, and two singles: the singles merge.
#[test]
fn two_leftovers() {
    let mut stage = Stage::empty(13, OrderKind::Causal);
    let parted = stage.partition(&[&N[..10], &N[10..13]]);
    for host in &N[..10] {
        stage.join(*host);
    }
    stage.until_view(&N[..10]);
    // The others go through so many views that theirs have higher ids.
    stage.join(N[10]);
    stage.join(N[11]);
    stage.until_view(&[N[10], N[11]]);
    while stage.view_id(N[10]) < stage.view_id(N[0]) {
        stage.join(N[12]);
        stage.until_view(&[N[10], N[11], N[12]]);
        stage.leave(N[12]);
        stage.until_view(&[N[10], N[11]]);
    }
    let split = stage.cut_both(N[10], N[11]);
    stage.until_view(&[N[10]]);
    stage.until_view(&[N[11]]);
    let full = stage.view_id(N[0]);
    stage.release_all(parted);
    stage.release_all(split);
    stage.until_view(&[N[10], N[11]]);
    stage.pass(seconds(30));
    assert_eq!(stage.view_id(N[0]), full, "the full view changed");
    stage.ends_as_it_is();
}
