//! What a member is told about the others: when it is true, and not when it is false.

use decury_common::base::id::UserName;
use decury_common::order::OrderKind;
use decury_tests::sim::HostId;
use decury_tests::sim::frames::Kind;
use decury_tests::sim::history::Noticed;
use decury_tests::sim::network::Hosts;
use decury_tests::sim::stage::Stage;

use crate::{ALL_ORDERS, N, millis, seconds};

fn name(host: HostId) -> UserName {
    match host.to_string().parse() {
        Ok(name) => name,
        Err(error) => unreachable!("{error}"),
    }
}

/// How often a host was told this.
fn times(stage: &Stage, host: HostId, notice: Noticed) -> usize {
    stage.noticed(host).iter().filter(|told| **told == notice).count()
}

/// A host dies: everybody is told once that it is silent, whoever finds out first, and nobody is told to be alone.
#[test]
fn silent() {
    for order in ALL_ORDERS {
        let mut stage = Stage::with(5, order);
        stage.kill(N[3]);
        stage.until_view(&[N[0], N[1], N[2], N[4]]);
        for host in [N[0], N[1], N[2], N[4]] {
            assert_eq!(stage.noticed(host), [Noticed::Suspected(name(N[3]))], "{host}, {order}");
        }
        stage.ends_well();
    }
}

/// A host is cut off, and comes back: it alone is told to be alone; all are told that the others are back.
#[test]
fn alone() {
    let mut stage = Stage::with(3, OrderKind::Causal);
    let cut = stage.isolate(N[2]);
    stage.until_view(&[N[2]]);
    stage.until_view(&[N[0], N[1]]);
    stage.release_all(cut);
    stage.until_view(&[N[0], N[1], N[2]]);
    for (host, others, alone) in [(N[0], &N[2..3], 0), (N[1], &N[2..3], 0), (N[2], &N[..2], 1)] {
        assert_eq!(times(&stage, host, Noticed::Alone), alone, "{host}");
        for other in others {
            assert_eq!(times(&stage, host, Noticed::Suspected(name(*other))), 1, "{host} of {other}");
            assert_eq!(times(&stage, host, Noticed::Back(name(*other))), 1, "{host} of {other}");
        }
    }
    stage.ends_well();
}

/// Who is left because the others left is not told to be alone: they are not out of reach.
#[test]
fn left_behind() {
    let mut stage = Stage::with(3, OrderKind::Causal);
    stage.leave(N[1]);
    stage.leave(N[2]);
    stage.until_view(&[N[0]]);
    stage.pass(seconds(5));
    assert_eq!(stage.noticed(N[0]), []);
    stage.ends_as_it_is();
}

/// In `total`, a member takes messages in and gives them no place: the sender waits for it, says so once, and for nobody
/// else, however many messages follow; the next such wait is told again.
#[test]
fn waiting_for_a_proposal() {
    let mut stage = Stage::with(3, OrderKind::Total);
    for times_told in 1..=2 {
        let lost = stage.lose(Kind::Proposals, N[2], Hosts::ALL);
        for _ in 0..20 {
            stage.says(N[0]);
            stage.pass(millis(100));
        }
        assert_eq!(stage.noticed(N[0]), vec![Noticed::WaitingFor(name(N[2])); times_told]);
        stage.release(lost);
        stage.pass(seconds(1));
    }
    stage.ends_well();
}

/// A change of view waits for one member, and everybody else says so.
#[test]
fn waiting_in_a_change() {
    let mut stage = Stage::with(4, OrderKind::Causal);
    let muted = stage.mute(N[2], Hosts::ALL);
    stage.leave(N[3]);
    stage.pass(millis(900));
    for host in [N[0], N[1]] {
        assert_eq!(stage.noticed(host), [Noticed::WaitingFor(name(N[2]))], "{host}");
    }
    stage.release(muted);
    stage.until_view(&N[..3]);
    stage.ends_well();
}

/// While all goes well nobody is told anything, though messages wait for one another all the time.
#[test]
fn nothing_to_tell() {
    for order in ALL_ORDERS {
        let mut stage = Stage::with(4, order);
        for round in 0..200 {
            stage.says(N[round % 4]);
            stage.pass(millis(10));
        }
        let guest = stage.add_host();
        stage.join(guest);
        stage.until_view(&[&N[..4], &[guest]].concat());
        stage.leave(N[0]);
        stage.until_view(&[&N[1..4], &[guest]].concat());
        for host in [&N[..4], &[guest]].concat() {
            assert_eq!(stage.noticed(host), [], "{host}, {order}");
        }
        stage.ends_well();
    }
}

/// Who falls silent is told at once, though what was said before the view is still being asked for.
#[test]
fn news_does_not_wait_for_the_past() {
    let mut stage = Stage::with(3, OrderKind::Total);
    stage.pass(millis(100));
    let cut = stage.isolate(N[2]);
    stage.until_view(&[N[0], N[1]]);
    stage.until_view(&[N[2]]);
    let said = stage.says(N[2]).unwrap();
    stage.until_delivered(N[2], said);
    let past = stage.hold(Kind::Past, Hosts::ALL, N[0]);
    stage.release_all(cut);
    stage.until_view(&N[..3]);
    stage.kill(N[1]);
    let silent = Noticed::Suspected("n1".parse().unwrap());
    stage.until("n0 is told", |stage| stage.noticed(N[0]).contains(&silent));
    assert!(!stage.heard(N[0]).contains(&said));
    stage.release(past);
    stage.until("the past", |stage| stage.heard(N[0]).contains(&said));
    stage.ends_well();
}
