//! Schedules about one sequence: who has proposed, who knows a decision, what a change of view makes of that.

use decury_common::base::id::{MessageId, ViewId};
use decury_common::order::OrderKind;
use decury_common::wire::Frame;
use decury_tests::sim::HostId;
use decury_tests::sim::frames::Kind;
use decury_tests::sim::network::{Fault, FrameFilter, Hosts, Ratio, Rule, RuleId};
use decury_tests::sim::stage::Stage;

use crate::messages::{comes_after_the_promise, data_of};
use crate::{N, millis, seconds};

/// The orders with one sequence.
const ONE_SEQUENCE: [OrderKind; 2] = [OrderKind::Total, OrderKind::Safe];

fn total(hosts: usize) -> Stage {
    Stage::with(hosts, OrderKind::Total)
}

/// Waits until this host has delivered this message by a decision that others do not know; in `safe` until it could have,
/// as it must not.
fn until_ahead(stage: &mut Stage, order: OrderKind, host: HostId, message: MessageId) {
    match order {
        OrderKind::Safe => {
            stage.pass(millis(50));
            assert!(!stage.has_delivered(host, message));
        }
        _ => stage.until_delivered(host, message),
    }
}

/// Somebody says something.
pub(crate) fn said(stage: &mut Stage, host: HostId) -> MessageId {
    stage.says(host).unwrap_or_else(|| stage.fail(&format!("{host} is busy")))
}

/// In which order a host has delivered these two.
fn order(stage: &Stage, host: HostId, one: MessageId, other: MessageId) -> [MessageId; 2] {
    let both = stage.deliveries(host).into_iter().filter(|id| [one, other].contains(id));
    both.collect::<Vec<_>>()
        .try_into()
        .unwrap_or_else(|_| stage.fail(&format!("{host} lacks one of the two")))
}

/// m0 is undecided at n1 and unknown to n0, which has delivered m1; they change together: m0 after m1 at both.
#[test]
fn lacker() {
    for kind in ONE_SEQUENCE {
        let mut stage = Stage::with(3, kind);
        let lost = stage.lose(data_of(2, ..), Hosts::ALL, N[0]);
        let m0 = stage.says(N[2]).unwrap();
        stage.pass(millis(10));
        let m1 = stage.says(N[0]).unwrap();
        stage.until_delivered(N[0], m1);
        assert!(!stage.has_delivered(N[1], m1));
        stage.kill(N[2]);
        let cut = stage.watch(Kind::Cut, N[0], N[1]);
        stage.until_hit(cut, 1);
        stage.release(lost);
        stage.until_view(&[N[0], N[1]]);
        for host in [N[0], N[1]] {
            assert_eq!(order(&stage, host, m0, m1), [m1, m0]);
        }
        stage.ends_well();
    }
}

/// m1 is final by the proposal of one that is gone, m2 of the same sender is undecided: m1 before m2.
#[test]
fn fifo_raise() {
    for kind in ONE_SEQUENCE {
        let mut stage = Stage::with(3, kind);
        stage.lose(data_of(0, 2..), Hosts::ALL, N[2]);
        // n2's messages, which nobody gets, raise what it proposes.
        stage.lose(data_of(2, ..), N[2], Hosts::ALL);
        for _ in 0..3 {
            stage.says(N[2]);
            stage.pass(millis(1));
        }
        let [m1, m2, other] = [N[0], N[0], N[1]].map(|host| stage.says(host).unwrap());
        stage.pass(millis(50));
        assert!(!stage.has_delivered(N[1], m2) && !stage.has_delivered(N[0], m2));
        stage.kill(N[2]);
        stage.until_view(&[N[0], N[1]]);
        for host in [N[0], N[1]] {
            assert_eq!(order(&stage, host, m2, m1), [m1, m2]);
            assert!(stage.has_delivered(host, other));
        }
        assert_eq!(stage.deliveries(N[0]), stage.deliveries(N[1]));
        stage.ends_well();
    }
}

/// t delivers m1, says m2 and dies; x has proposed for m2 before it learned what was decided about m1: m1 before m2.
#[test]
fn late_final_causal() {
    for sender_dies in [false, true] {
        let mut stage = total(4);
        let (x, sender, t) = (N[0], N[2], N[3]);
        stage.hold(Kind::Decisions, sender, [N[0], N[1]]);
        let m1 = stage.says(sender).unwrap();
        stage.until_delivered(t, m1);
        let proposals = stage.watch(Kind::Proposals, x, t);
        let decisions = stage.lose(Kind::Decisions, t, Hosts::ALL);
        let m2 = stage.says(t).unwrap();
        stage.until_hit(proposals, 1);
        stage.kill(t);
        if sender_dies {
            stage.kill(sender);
        }
        assert!(!stage.has_delivered(x, m1));
        let rest = if sender_dies { &N[..2] } else { &N[..3] };
        stage.until_view(rest);
        stage.release(decisions);
        for host in rest {
            assert_eq!(order(&stage, *host, m2, m1), [m1, m2]);
        }
        stage.ends_well();
    }
}

/// n1 has delivered m9 by a decision that n0 never gets, and the sender dies: n0 delivers it in the same place.
#[test]
fn forgotten_final() {
    for kind in ONE_SEQUENCE {
        let mut stage = Stage::with(3, kind);
        stage.lose(Kind::Decisions, N[2], N[0]);
        let late = stage.hold(data_of(0, ..), N[0], N[1]);
        let repairs = stage.lose(data_of(0, ..), N[2], N[1]);
        let other = stage.says(N[0]).unwrap();
        stage.pass(millis(10));
        let m9 = stage.says(N[2]).unwrap();
        until_ahead(&mut stage, kind, N[1], m9);
        stage.kill(N[2]);
        let promise = stage.watch(Kind::Promise, N[1], Hosts::ALL);
        stage.until_hit(promise, 1);
        assert!(!stage.has_delivered(N[0], m9));
        stage.release_all([late, repairs]);
        stage.until_view(&[N[0], N[1]]);
        for host in [N[0], N[1]] {
            assert_eq!(stage.deliveries(host), [m9, other]);
        }
        stage.ends_well();
    }
}

/// m0 comes to B after its promise, undecided, and B has delivered m1; it promises again: m0 after m1 everywhere.
#[test]
fn late_data() {
    for known_to_c in [true, false] {
        let mut stage = total(4);
        let (b, c) = (N[1], N[2]);
        let late = stage.hold(data_of(3, ..), N[3], b);
        let repairs = stage.lose(data_of(3, ..), [N[0], c], b);
        if !known_to_c {
            // Nobody proposes for m0; c does not come to m1 since it does not know that it is decided.
            stage.lose(data_of(3, ..), N[3], [N[0], c]);
            stage.lose(Kind::Decisions, b, [N[0], c]);
        }
        let m0 = stage.says(N[3]).unwrap();
        stage.pass(millis(10));
        let m1 = stage.says(b).unwrap();
        stage.until_delivered(b, m1);
        assert!(!stage.has_delivered(c, m1));
        stage.kill(N[3]);
        let cut = stage.hold(Kind::Cut, N[0], Hosts::ALL);
        stage.until_hit(cut, 2);
        stage.release(late);
        stage.pass(millis(20));
        stage.kill(N[0]);
        stage.discard(cut);
        stage.release(repairs);
        stage.until_view(&[b, c]);
        for host in [b, c] {
            assert_eq!(order(&stage, host, m0, m1), [m1, m0]);
        }
        stage.ends_well();
    }
}

/// m1 is stable, and all who promise have forgotten it; of the same sender's m2 one knows the decision: nothing is
/// decided about m1, and m2 is not raised.
#[test]
fn stable_forgotten() {
    for kind in ONE_SEQUENCE {
        let mut stage = Stage::with(3, kind);
        let m1 = stage.says(N[2]).unwrap();
        stage.pass(seconds(1));
        stage.lose(Kind::Decisions, N[2], N[0]);
        let m2 = stage.says(N[2]).unwrap();
        until_ahead(&mut stage, kind, N[1], m2);
        // Undecided, and proposed above m2.
        stage.lose(Kind::Proposals, N[2], N[0]);
        let other = stage.says(N[0]).unwrap();
        stage.pass(millis(50));
        assert!(!stage.has_delivered(N[0], m2) && !stage.has_delivered(N[1], other));
        stage.kill(N[2]);
        stage.until_view(&[N[0], N[1]]);
        for host in [N[0], N[1]] {
            assert_eq!(stage.deliveries(host), [m1, m2, other]);
        }
        stage.ends_well();
    }
}

/// The second message of a sender comes before the first: nothing is proposed for it yet.
#[test]
fn gap_propose() {
    for kind in ONE_SEQUENCE {
        let mut stage = Stage::with(3, kind);
        let first = stage.hold(data_of(0, 1..=1), Hosts::ALL, N[1]);
        let proposals = stage.watch(Kind::Proposals, N[1], Hosts::ALL);
        let both = [stage.says(N[0]).unwrap(), stage.says(N[0]).unwrap()];
        stage.pass(millis(500));
        assert_eq!(stage.world.hits(proposals), 0, "proposed beyond a gap");
        stage.release(first);
        for host in &N[..3] {
            stage.until_delivered(*host, both[1]);
            assert_eq!(stage.deliveries(*host), both);
        }
        stage.ends_well();
    }
}

/// What a change to Y = {n0, n1, n2} has left behind, which n0 alone has installed: n3 and n4 are not in Y.
struct Alone {
    stage: Stage,
    m0: MessageId,
    m1: MessageId,
}

/// n0 has delivered m1, to which the others have not come: m0, undecided and unknown to n0, is in its way. The change
/// to Y puts m0 after m1, and n0 installs it alone and is gone.
fn n0_installs_alone() -> Alone {
    let mut stage = total(4);
    let lost = stage.lose(data_of(3, ..), Hosts::ALL, N[0]);
    let m0 = said(&mut stage, N[3]);
    stage.pass(millis(10));
    let m1 = said(&mut stage, N[1]);
    stage.until_delivered(N[0], m1);
    stage.kill(N[3]);
    let cut = stage.watch(Kind::Cut, N[0], N[1]);
    stage.until_hit(cut, 1);
    stage.release(lost);
    vanish_with_y(&mut stage, &[N[0], N[1], N[2]]);
    assert_eq!(order(&stage, N[0], m0, m1), [m1, m0]);
    Alone { stage, m0, m1 }
}

/// All of Y become ready, its leader n0 alone hears so, installs, and is cut off from all others.
pub(crate) fn vanish_with_y(stage: &mut Stage, y: &[HostId]) {
    let former = stage.view_id(N[0]);
    let lost = stage.lose(Kind::Ready, Hosts::ALL, Hosts::one(N[0]).others());
    let late: Vec<RuleId> = y[1..].iter().map(|host| stage.hold(ready_beyond(former), *host, N[0])).collect();
    stage.until("the others are ready", |stage| late.iter().all(|rule| stage.world.held(*rule) > 0));
    let mute = stage.mute(N[0], Hosts::ALL);
    stage.release_all(late);
    stage.until("n0 installs", |stage| stage.members(N[0]) == y);
    assert!(y[1..].iter().all(|host| stage.view_id(*host) == former));
    stage.isolate(N[0]);
    stage.release_all([lost, mute]);
}

/// The word of one that is ready for an attempt beyond this one.
pub(crate) fn ready_beyond(attempt: Option<ViewId>) -> FrameFilter {
    FrameFilter::new(
        format!("ready beyond {attempt:?}"),
        move |_, frame| matches!(frame, Frame::Ready(ready) if ready.missing == 0 && Some(ready.attempt) > attempt),
    )
}

/// All are ready for Y, one installs it and is cut off, the rest go on to X: X keeps the order of Y.
#[test]
fn adopted() {
    let Alone { mut stage, m0, m1 } = n0_installs_alone();
    assert!(!stage.has_delivered(N[1], m1) && !stage.has_delivered(N[2], m1));
    stage.until_view(&[N[1], N[2]]);
    for host in [N[1], N[2]] {
        assert_eq!(order(&stage, host, m0, m1), [m1, m0], "not the order of Y");
    }
    stage.ends_well();
}

/// Two were ready for Y, whose coordinator vanished, and then for X, which nobody installs: what comes after X still has
/// the priorities of Y.
#[test]
fn adopt_rank() {
    let Alone { mut stage, m0, m1 } = n0_installs_alone();
    let y = stage.view_id(N[0]);
    let ready = [N[1], N[2]].map(|host| stage.lose(ready_beyond(y), host, Hosts::ALL));
    stage.until("both are ready for X", |stage| ready.iter().all(|rule| stage.world.hits(*rule) > 0));
    let prepare = stage.watch(Kind::Prepare, Hosts::ALL, Hosts::ALL);
    stage.until_hit(prepare, 1);
    stage.release_all(ready);
    stage.until_view(&[N[1], N[2]]);
    for host in [N[1], N[2]] {
        assert_eq!(order(&stage, host, m0, m1), [m1, m0], "not the priorities of Y");
    }
    stage.ends_well();
}

/// Y = {A, C} puts m0 low; A installs it and vanishes; E, not in Y, has delivered past m0 by its decision, and goes on
/// with C: what E knows to be decided wins.
#[test]
fn outsider_ahead() {
    let mut stage = total(4);
    let (a, c, e, sender) = (N[0], N[1], N[2], N[3]);
    let late = stage.hold(data_of(3, ..), Hosts::ALL, e);
    stage.lose(Kind::Decisions, sender, [a, c]);
    let m0 = stage.says(sender).unwrap();
    stage.pass(millis(10));
    let m1 = stage.says(c).unwrap();
    stage.until_delivered(e, m1);
    stage.release(late);
    stage.until_delivered(e, m0);
    assert!(!stage.has_delivered(a, m1) && !stage.has_delivered(c, m1));
    let promise = stage.lose(Kind::Promise, e, a);
    stage.kill(sender);
    vanish_with_y(&mut stage, &[a, c]);
    assert_eq!(order(&stage, a, m0, m1), [m0, m1]);
    stage.release(promise);
    stage.until_view(&[c, e]);
    for host in [c, e] {
        assert_eq!(order(&stage, host, m0, m1), [m1, m0], "what was decided is forgotten");
    }
    stage.ends_well();
}

/// As adopted, but X includes an outsider, and is followed by X2 without it: here the order of Y may be reversed, which
/// is the one exception.
#[test]
fn adopted_through_outsider() {
    let mut stage = total(5);
    let (a, c, d, outsider, sender) = (N[0], N[1], N[2], N[3], N[4]);
    let late = stage.hold(data_of(4, ..), Hosts::ALL, outsider);
    let m0 = stage.says(sender).unwrap();
    stage.pass(millis(10));
    let m1 = stage.says(c).unwrap();
    stage.until_delivered(outsider, m1);
    // The outsider proposes for m0 above m1, which only it knows.
    let proposals = stage.lose(Kind::Proposals, outsider, sender);
    stage.release(late);
    stage.until_hit(proposals, 1);
    let promise = stage.lose(Kind::Promise, outsider, a);
    stage.kill(sender);
    vanish_with_y(&mut stage, &[a, c, d]);
    assert_eq!(order(&stage, a, m0, m1), [m0, m1]);
    stage.release(promise);
    // X: both are ready for it, and nobody installs it.
    let y = stage.view_id(a);
    let ready = [c, d].map(|host| stage.lose(ready_beyond(y), host, Hosts::ALL));
    stage.until("both are ready for X", |stage| ready.iter().all(|rule| stage.world.hits(*rule) > 0));
    stage.kill(outsider);
    let prepare = stage.watch(Kind::Prepare, Hosts::ALL, Hosts::ALL);
    stage.until_hit(prepare, 1);
    stage.release_all(ready);
    stage.until_view(&[c, d]);
    for host in [c, d] {
        assert_eq!(order(&stage, host, m0, m1), [m1, m0]);
    }
    stage.ends_well();
}

/// A decision of the suspected arrives after the promise: nothing is delivered by it, and the next promise tells it.
#[test]
fn deliver_while_frozen() {
    for kind in ONE_SEQUENCE {
        let mut stage = Stage::with(4, kind);
        let late = stage.hold(Kind::Decisions, N[3], N[1]);
        stage.lose(Kind::Decisions, N[3], [N[0], N[2]]);
        let message = stage.says(N[3]).unwrap();
        stage.pass(millis(50));
        comes_after_the_promise(stage, late, message);
    }
}

/// One datagram in ten is lost, five members all talk: everything arrives everywhere, in one sequence with the same
/// positions, and nobody is suspected.
#[test]
fn ten_percent_loss() {
    const EACH: usize = 200;
    for kind in ONE_SEQUENCE {
        let mut stage = Stage::with(5, kind);
        let prepare = stage.watch(Kind::Prepare, Hosts::ALL, Hosts::ALL);
        stage.world.add_rule(Rule::everywhere(Fault::Loss(Ratio(1, 10))));
        for _ in 0..EACH {
            for host in &N[..5] {
                stage.says(*host).unwrap();
            }
            stage.pass(millis(20));
        }
        stage.pass(seconds(10));
        let first = stage.positions(N[0]);
        assert_eq!(first.len(), 5 * EACH);
        assert!(first.windows(2).all(|pair| pair[0].1.map(|position| position + 1) == pair[1].1));
        for host in &N[1..5] {
            assert_eq!(stage.positions(*host), first);
        }
        assert_eq!(stage.world.hits(prepare), 0, "somebody was suspected");
        stage.ends_as_it_is();
    }
}
