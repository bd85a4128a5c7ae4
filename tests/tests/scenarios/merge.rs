//! Schedules about sides that part, talk, and meet again: what they tell each other.

use decury_common::base::id::MessageId;
use decury_common::base::limits::STORE_MESSAGES;
use decury_common::order::OrderKind;
use decury_tests::sim::HostId;
use decury_tests::sim::frames::Kind;
use decury_tests::sim::network::Hosts;
use decury_tests::sim::stage::Stage;

use crate::{ALL_ORDERS, N, millis, seconds};

/// So many hosts in one view, who have been told that nothing was said before.
fn together(hosts: usize, order: OrderKind) -> Stage {
    let mut stage = Stage::with(hosts, order);
    stage.pass(millis(100));
    stage
}

/// Each of these says one thing after the other, heard by all who are with it.
fn talk(stage: &mut Stage, host: HostId, times: usize) -> Vec<MessageId> {
    (0..times)
        .filter_map(|_| {
            let message = stage.says(host);
            stage.pass(millis(5));
            message
        })
        .collect()
}

fn until_heard(stage: &Stage, hosts: &[HostId], messages: &[MessageId]) -> bool {
    hosts.iter().all(|host| messages.iter().all(|message| stage.heard(*host).contains(message)))
}

fn nothing_is_missing(stage: &Stage, hosts: &[HostId]) {
    if let Some(host) = hosts.iter().find(|host| stage.gaps(**host) > 0) {
        stage.fail(&format!("{host} is told of a gap"));
    }
}

/// s sends 6 and 7 on its side, and 8 after merging: the others get 6, 7, 8.
#[test]
fn merge_fifo() {
    for order in ALL_ORDERS {
        let mut stage = Stage::with(3, order);
        let all = talk(&mut stage, N[2], 5);
        let cut = stage.isolate(N[2]);
        stage.until_view(&[N[0], N[1]]);
        stage.until_view(&[N[2]]);
        let apart = talk(&mut stage, N[2], 2);
        let recalls = stage.hold(Kind::Recall, Hosts::ALL, N[2]);
        stage.release_all(cut);
        stage.until_view(&N[..3]);
        let live = talk(&mut stage, N[2], 1);
        stage.pass(millis(50));
        assert!(!until_heard(&stage, &[N[0]], &live), "what is newer waits");
        stage.release(recalls);
        let expected = [all, apart, live].concat();
        for host in [N[0], N[1]] {
            stage.until("all of it", |stage| stage.heard(host) == expected);
            assert_eq!(stage.gaps(host), 0);
        }
        stage.ends_well();
    }
}

/// A in a view of its own, C and D in another one, and somebody who joins: one view, and all history once.
#[test]
fn three_priors() {
    for order in ALL_ORDERS {
        let mut stage = Stage::with(3, order);
        let before = talk(&mut stage, N[0], 3);
        let cut = stage.isolate(N[0]);
        stage.until_view(&[N[0]]);
        stage.until_view(&[N[1], N[2]]);
        let alone = talk(&mut stage, N[0], 3);
        let pair = [talk(&mut stage, N[1], 2), talk(&mut stage, N[2], 2)].concat();
        let joiner = stage.add_host();
        stage.release_all(cut);
        stage.join(joiner);
        stage.until_view(&[N[0], N[1], N[2], joiner]);
        let all = [before, alone, pair].concat();
        let everyone = [N[0], N[1], N[2], joiner];
        stage.until("all history everywhere", |stage| until_heard(stage, &everyone, &all));
        for host in everyone {
            assert_eq!((stage.heard(host).len(), stage.gaps(host)), (all.len(), 0), "once");
        }
        stage.ends_well();
    }
}

/// Four sides meet at once.
#[test]
fn four_sides_at_once() {
    for order in ALL_ORDERS {
        let mut stage = together(6, order);
        let cut = stage.partition(&[&[N[0]], &[N[1], N[2]], &[N[3]], &[N[4], N[5]]]);
        for side in [&N[..1], &N[1..3], &N[3..4], &N[4..6]] {
            stage.until_view(side);
        }
        let said: Vec<_> = N[..6].iter().flat_map(|host| talk(&mut stage, *host, 3)).collect();
        stage.release_all(cut);
        stage.until_view(&N[..6]);
        stage.until("all of it everywhere", |stage| until_heard(stage, &N[..6], &said));
        nothing_is_missing(&stage, &N[..6]);
        stage.ends_well();
    }
}

/// Catching up while live traffic flows, and the supplier crashes midway: once, and complete.
#[test]
fn digest_live() {
    for order in ALL_ORDERS {
        let mut stage = together(4, order);
        let cut = stage.partition(&[&[N[0], N[1]], &[N[2], N[3]]]);
        stage.until_view(&[N[0], N[1]]);
        stage.until_view(&[N[2], N[3]]);
        // More than one part of the past.
        let said: Vec<_> = (0..6)
            .map(|_| {
                let message = stage.sends(N[2], 30_000).unwrap();
                stage.pass(millis(200));
                message
            })
            .collect();
        stage.until("they have it", |stage| until_heard(stage, &[N[2], N[3]], &said));
        let parts = stage.watch(Kind::Recall, N[0], N[2]);
        stage.release_all(cut);
        stage.until_view(&N[..4]);
        stage.until_hit(parts, 1);
        let live = stage.says(N[1]).unwrap();
        stage.kill(N[2]);
        stage.until_view(&[N[0], N[1], N[3]]);
        let all = [said, vec![live]].concat();
        for host in [N[0], N[1]] {
            stage.until("all of it", |stage| stage.heard(host) == all);
            assert_eq!(stage.gaps(host), 0);
        }
        stage.ends_well();
    }
}

/// A merge, and an old message that nobody stores any more: the change ends, and the gap is told.
#[test]
fn evicted() {
    const STORE: usize = 10;
    let mut stage = Stage::empty(0, OrderKind::Causal);
    for host in [N[0], N[1]] {
        assert_eq!(stage.add_host_storing(STORE), host);
        stage.join(host);
        stage.until("it is in", |stage| stage.view(host).is_some());
    }
    stage.until_view(&N[..2]);
    let cut = stage.isolate(N[1]);
    stage.until_view(&[N[0]]);
    stage.until_view(&[N[1]]);
    // Until nobody may ask any more what was said before they came together, twice as many are kept.
    stage.pass(seconds(31));
    let said = talk(&mut stage, N[0], STORE + 5);
    stage.release_all(cut);
    stage.until_view(&N[..2]);
    stage.until("what is left", |stage| stage.heard(N[1]) == said[5..]);
    assert_eq!((stage.gaps(N[0]), stage.gaps(N[1])), (0, 1));
    let live = stage.says(N[0]).unwrap();
    stage.until_delivered(N[1], live);
}

/// A cut in the middle of catching up, and a merge: nothing is missing in the end.
#[test]
fn a_cut_while_catching_up_loses_nothing() {
    for order in ALL_ORDERS {
        let mut stage = together(3, order);
        let cut = stage.isolate(N[2]);
        stage.until_view(&[N[0], N[1]]);
        stage.until_view(&[N[2]]);
        let mut said = talk(&mut stage, N[2], 3);
        said.extend(talk(&mut stage, N[0], 3));
        let past = [stage.hold(Kind::Past, N[2], Hosts::ALL), stage.hold(Kind::Past, Hosts::ALL, N[2])];
        stage.release_all(cut);
        stage.until_view(&N[..3]);
        let cut = stage.isolate(N[2]);
        stage.until_view(&[N[0], N[1]]);
        stage.until_view(&[N[2]]);
        past.into_iter().for_each(|rule| stage.discard(rule));
        said.extend(talk(&mut stage, N[1], 2));
        stage.release_all(cut);
        stage.until_view(&N[..3]);
        stage.until("all of it", |stage| until_heard(stage, &N[..3], &said));
        stage.ends_well();
    }
}

/// A cut at any step of a merge, and a merge: nothing is missing in the end.
#[test]
fn a_cut_at_any_step_of_a_merge_loses_nothing() {
    for order in ALL_ORDERS {
        for kind in [Kind::Prepare, Kind::Promise, Kind::Cut, Kind::Ready, Kind::Install, Kind::Recall] {
            let mut stage = together(4, order);
            let sides = [&N[..2], &N[2..4]];
            let cut = stage.partition(&sides);
            sides.iter().for_each(|side| stage.until_view(side));
            let mut said: Vec<_> = N[..4].iter().flat_map(|host| talk(&mut stage, *host, 2)).collect();
            let step = stage.watch(kind, Hosts::ALL, Hosts::ALL);
            stage.release_all(cut);
            stage.until_hit(step, 1);
            let cut = stage.partition(&sides);
            stage.pass(seconds(10));
            sides.iter().for_each(|side| stage.until_view(side));
            said.extend(N[..4].iter().flat_map(|host| talk(&mut stage, *host, 2)));
            stage.release_all(cut);
            stage.until_view(&N[..4]);
            stage.until("all of it", |stage| until_heard(stage, &N[..4], &said));
            stage.ends_well();
        }
    }
}

/// A third side merges while two are still telling each other.
#[test]
fn a_merge_while_catching_up() {
    for order in ALL_ORDERS {
        let mut stage = together(3, order);
        let cuts = [stage.cut_both(N[0], N[1]), stage.cut_both(N[0], N[2]), stage.cut_both(N[1], N[2])];
        for host in &N[..3] {
            stage.until_view(&[*host]);
        }
        let mut said: Vec<_> = N[..3].iter().flat_map(|host| talk(&mut stage, *host, 3)).collect();
        let past = stage.hold(Kind::Past, Hosts::ALL, Hosts::ALL);
        stage.release_all(cuts[0]);
        stage.until_view(&N[..2]);
        said.extend(stage.says(N[1]));
        stage.release_all([cuts[1], cuts[2]].concat());
        // The group merges again; who is still being told does not say so yet.
        stage.until("n2 is in a view with them", |stage| stage.members(N[2]).len() == 3);
        said.extend(stage.says(N[2]));
        stage.release(past);
        stage.until("all of it", |stage| until_heard(stage, &N[..3], &said));
        nothing_is_missing(&stage, &N[..3]);
        stage.ends_well();
    }
}

/// As many messages as are stored are told, in many parts.
#[test]
fn a_whole_store_is_told() {
    let mut stage = together(2, OrderKind::Fifo);
    let cut = stage.isolate(N[1]);
    stage.until_view(&[N[0]]);
    stage.until_view(&[N[1]]);
    let mut said = Vec::new();
    while said.len() < STORE_MESSAGES {
        match stage.says(N[0]) {
            Some(message) => said.push(message),
            None => stage.pass(millis(1)),
        }
    }
    stage.release_all(cut);
    stage.until_view(&N[..2]);
    stage.until("all of it", |stage| stage.heard(N[1]).len() == said.len());
    assert_eq!((stage.heard(N[1]), stage.gaps(N[1])), (said, 0));
    stage.ends_well();
}
