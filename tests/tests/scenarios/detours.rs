//! Links cut one way or both, such that everybody is still in reach over others: nobody notices but `!lm`.

use decury_common::endpoint::Reached;
use decury_common::order::OrderKind;
use decury_tests::sim::HostId;
use decury_tests::sim::stage::Stage;

use crate::{ALL_ORDERS, N, millis, seconds};

fn via(host: HostId) -> Option<Reached> {
    host.to_string().parse().ok().map(Reached::Via)
}

fn is_over_any(reached: Option<Reached>, relays: &[HostId]) -> bool {
    relays.iter().any(|relay| reached == via(*relay))
}

/// Each way of each of these links.
fn both_ways(links: &[(HostId, HostId)]) -> Vec<(HostId, HostId)> {
    links.iter().flat_map(|&(a, b)| [(a, b), (b, a)]).collect()
}

/// These hosts, each with the next.
fn chain(hosts: &[HostId]) -> Vec<(HostId, HostId)> {
    hosts.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

fn ring(hosts: &[HostId]) -> Vec<(HostId, HostId)> {
    let closed = hosts.last().copied().zip(hosts.first().copied());
    chain(hosts).into_iter().chain(closed).collect()
}

/// Everybody talks for a while, and all of it is everywhere; nobody was suspected, no view has changed.
fn talk_undisturbed(stage: &mut Stage, hosts: &[HostId], rounds: u64) {
    let views = |stage: &Stage| hosts.iter().map(|host| stage.views(*host)).collect::<Vec<_>>();
    let (before, suspicions) = (views(stage), stage.suspicions());
    let mut said = Vec::new();
    for round in 0..rounds {
        for (host, size) in hosts.iter().zip([20, 300, 4_000, 20].into_iter().cycle()) {
            said.extend(stage.sends(*host, if round == 0 { size } else { 20 }));
        }
        stage.pass(millis(100));
    }
    for host in hosts {
        let last = said[said.len() - hosts.len()..].to_vec();
        last.into_iter().for_each(|message| stage.until_delivered(*host, message));
    }
    if (views(stage), stage.suspicions()) != (before, suspicions) {
        stage.fail("somebody was suspected, or a view has changed");
    }
}

/// One link is dead for good one way, and the third is a relay: no view changes.
#[test]
fn one_way() {
    for order in ALL_ORDERS {
        let mut stage = Stage::with(3, order);
        stage.cut(N[0], N[1]);
        talk_undisturbed(&mut stage, &N[..3], 100);
        stage.pass(seconds(60));
        assert_eq!(stage.reached(N[0], N[1]), via(N[2]));
        assert_eq!(stage.reached(N[1], N[0]), via(N[2]), "it is heard over the third");
        assert_eq!(stage.reached(N[2], N[0]), Some(Reached::Direct));
        talk_undisturbed(&mut stage, &N[..3], 10);
        stage.ends_as_it_is();
    }
}

/// Ten in a chain: each hears two at most.
#[test]
fn chain_of_ten() {
    for order in ALL_ORDERS {
        let mut stage = Stage::with(10, order);
        stage.cut_all_but(&N[..10], &both_ways(&chain(&N[..10])));
        talk_undisturbed(&mut stage, &N[..10], 60);
        assert_eq!(stage.reached(N[0], N[9]), via(N[1]));
        assert_eq!(stage.reached(N[4], N[9]), via(N[5]));
        assert_eq!(stage.reached(N[4], N[5]), Some(Reached::Direct));
        stage.ends_as_it_is();
    }
}

/// Ten in a ring in which each hears but one, and is heard by but another.
#[test]
fn ring_of_ten_that_goes_one_way() {
    for order in ALL_ORDERS {
        let mut stage = Stage::with(10, order);
        stage.cut_all_but(&N[..10], &ring(&N[..10]));
        talk_undisturbed(&mut stage, &N[..10], 60);
        assert_eq!(stage.reached(N[3], N[1]), via(N[4]));
        stage.ends_as_it_is();
    }
}

/// A link dies and comes back, again and again: the way round is found within a second, and so is the way back.
#[test]
fn a_link_that_dies_and_heals_is_gone_round_and_used_again_within_a_second() {
    let mut stage = Stage::with(4, OrderKind::Total);
    for links in [&[(N[0], N[1])][..], &both_ways(&[(N[0], N[1])])] {
        for _ in 0..3 {
            let cut: Vec<_> = links.iter().map(|&(from, to)| stage.cut(from, to)).collect();
            stage.pass(seconds(1));
            assert!(is_over_any(stage.reached(N[0], N[1]), &N[2..4]));
            talk_undisturbed(&mut stage, &N[..4], 3);
            stage.release_all(cut);
            stage.pass(seconds(1));
            assert_eq!(stage.reached(N[0], N[1]), Some(Reached::Direct));
            assert_eq!(stage.reached(N[1], N[0]), Some(Reached::Direct));
        }
    }
    assert_eq!(stage.suspicions(), 0);
    stage.ends_well();
}

/// Two ways round: the relay dies, and the other one is taken. Only the dead one is missed.
#[test]
fn a_relay_that_dies_is_gone_round() {
    for order in ALL_ORDERS {
        let mut stage = Stage::with(4, order);
        stage.cut_both(N[0], N[1]);
        talk_undisturbed(&mut stage, &N[..4], 20);
        let (relay, other) = match stage.reached(N[0], N[1]) == via(N[2]) {
            true => (N[2], N[3]),
            false => (N[3], N[2]),
        };
        assert_eq!(stage.reached(N[0], N[1]), via(relay));
        stage.kill(relay);
        stage.until_view(&[N[0], N[1], other]);
        assert_eq!(stage.reached(N[0], N[1]), via(other));
        assert_eq!(stage.suspicions(), 3, "each suspects the dead one");
        talk_undisturbed(&mut stage, &[N[0], N[1], other], 20);
        stage.ends_well();
    }
}

/// A newcomer that hears and is heard by one member alone comes in, and leaves again.
#[test]
fn a_newcomer_in_reach_of_one_member_alone_comes_in() {
    let mut stage = Stage::with(4, OrderKind::Causal);
    let guest = stage.add_host();
    let cut: Vec<_> = N[1..4].iter().flat_map(|host| stage.cut_both(guest, *host)).collect();
    stage.join(guest);
    stage.until_view(&N[..5]);
    stage.pass(seconds(2));
    assert_eq!(stage.reached(guest, N[3]), via(N[0]));
    talk_undisturbed(&mut stage, &N[..5], 20);
    stage.leave(guest);
    stage.until("the guest has left", |stage| stage.left(guest) == Some(true));
    stage.until_view(&N[..4]);
    stage.release_all(cut);
    stage.ends_as_it_is();
}

/// A partition of three sides heals by three links that go one way each, in a ring: all merge.
#[test]
fn sides_in_reach_by_a_ring_of_single_links_merge() {
    let mut stage = Stage::with(6, OrderKind::Total);
    let sides = [&N[..2], &N[2..4], &N[4..6]];
    let parted = stage.partition(&sides);
    for side in sides {
        stage.until_view(side);
    }
    let within = [(N[0], N[1]), (N[2], N[3]), (N[4], N[5])];
    let between = [(N[1], N[2]), (N[3], N[4]), (N[5], N[0])];
    stage.cut_all_but(&N[..6], &[both_ways(&within), between.to_vec()].concat());
    stage.release_all(parted);
    stage.until_view(&N[..6]);
    talk_undisturbed(&mut stage, &N[..6], 20);
    stage.ends_as_it_is();
}
