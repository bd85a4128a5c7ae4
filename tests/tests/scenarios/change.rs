//! Schedules about the change of views itself: who promised, was ready for, installed what.

use decury_common::base::id::ViewId;
use decury_common::order::OrderKind;
use decury_tests::sim::HostId;
use decury_tests::sim::frames::{self, Kind};
use decury_tests::sim::network::{FrameFilter, Hosts, RuleId};
use decury_tests::sim::stage::Stage;

use crate::{ALL_ORDERS, N, millis, seconds};

/// A change to Y that only its coordinator n0 has installed.
struct Alone {
    stage: Stage,
    /// The view that the others are still in.
    former: Option<ViewId>,
    /// What holds n0's Install back on its way to n1, to n2.
    installs: [RuleId; 2],
    /// What loses all else that n0 says to n1, to n2.
    mutes: [RuleId; 2],
}

/// Four in a view; the fourth is killed while all talk, and the others change to Y, led by n0, which alone hears that
/// all are ready.
fn only_n0_installs(order: OrderKind) -> Alone {
    let mut stage = Stage::with(4, order);
    let former = stage.view_id(N[0]);
    for host in &N[..4] {
        stage.says(*host);
    }
    stage.kill(N[3]);
    let late = stage.hold(Kind::Ready, N[2], N[0]);
    let lost = stage.lose(Kind::Ready, Hosts::ALL, [N[1], N[2]]);
    stage.until("n2 is ready", |stage| stage.world.held(late) > 0);
    stage.until_hit(lost, 4);
    let installs = [N[1], N[2]].map(|to| stage.hold(Kind::Install, N[0], to));
    let mutes = [N[1], N[2]].map(|to| stage.mute(N[0], to));
    stage.release(late);
    stage.until("n0 installs", |stage| stage.members(N[0]) == [N[0], N[1], N[2]]);
    stage.release(lost);
    assert_eq!([stage.view_id(N[1]), stage.view_id(N[2])], [former; 2]);
    Alone { stage, former, installs, mutes }
}

/// Promise(X), then Install(Y < X) after Ready(Y), then Cut(X) naming the old view: Y is installed, Cut(X) refused.
#[test]
fn low_install() {
    for order in ALL_ORDERS {
        let Alone { mut stage, former, installs, .. } = only_n0_installs(order);
        let y = stage.view_id(N[0]);
        stage.kill(N[0]);
        let cut = stage.hold(Kind::Cut, N[1], N[2]);
        stage.until("n1 has sent the cut of X", |stage| stage.world.held(cut) > 0);
        assert_eq!(stage.view_id(N[2]), former);
        stage.release(installs[1]);
        stage.until("n2 installs Y", |stage| stage.view_id(N[2]) == y);
        let ready = stage.watch(Kind::Ready, N[2], Hosts::ALL);
        stage.release(cut);
        stage.pass(millis(5));
        assert_eq!(stage.world.hits(ready), 0, "ready for a cut of a view that it has left");
        stage.ends_well();
    }
}

/// Ready(Y), Ready(X), then Install(Y), then Install(X): only what one was last ready for is installed.
#[test]
fn ready_both() {
    for order in ALL_ORDERS {
        let Alone { mut stage, former, installs, .. } = only_n0_installs(order);
        let y = stage.view_id(N[0]);
        stage.kill(N[0]);
        let of_x = FrameFilter::new("Ready(X)", move |_, frame| {
            Kind::of(frame) == Kind::Ready && frames::attempt(frame) > y
        });
        let seen = [N[1], N[2]].map(|host| stage.watch(of_x.clone(), host, Hosts::ALL));
        // Neither hears that the other is.
        let readies = [stage.hold(Kind::Ready, N[1], N[2]), stage.hold(Kind::Ready, N[2], N[1])];
        stage.until("both are ready for X", |stage| seen.iter().all(|rule| stage.world.hits(*rule) > 0));
        assert_eq!([stage.view_id(N[1]), stage.view_id(N[2])], [former; 2]);
        stage.release_all(installs);
        stage.pass(millis(50));
        assert_eq!([stage.view_id(N[1]), stage.view_id(N[2])], [former; 2], "installed what came before");
        stage.release_all(readies);
        stage.until_view(&[N[1], N[2]]);
        stage.ends_well();
    }
}

/// The coordinator dies after one install; the one who has installed can be reached.
#[test]
fn half_install() {
    for order in ALL_ORDERS {
        let Alone { mut stage, mutes, .. } = only_n0_installs(order);
        stage.release(mutes[0]);
        stage.until("n1 hears of it", |stage| stage.view_id(N[1]) == stage.view_id(N[0]));
        stage.kill(N[0]);
        stage.until_view(&[N[1], N[2]]);
        stage.ends_well();
    }
}

/// The coordinator dies after one install; the one who has installed is cut off: a clean partition, then one view.
#[test]
fn half_install_cut_off() {
    for order in ALL_ORDERS {
        let Alone { mut stage, mutes, .. } = only_n0_installs(order);
        let cut = stage.cut_both(N[1], N[2]);
        stage.release(mutes[0]);
        stage.until("n1 hears of it", |stage| stage.view_id(N[1]) == stage.view_id(N[0]));
        stage.kill(N[0]);
        stage.until_view(&[N[1]]);
        stage.until_view(&[N[2]]);
        stage.release_all(cut);
        stage.until_view(&[N[1], N[2]]);
        stage.ends_well();
    }
}

/// The coordinator is the only one who installed, and dies: the others go on without it.
#[test]
fn half_install_at_the_coordinator_only() {
    for order in ALL_ORDERS {
        let Alone { mut stage, .. } = only_n0_installs(order);
        stage.kill(N[0]);
        stage.until_view(&[N[1], N[2]]);
        stage.ends_well();
    }
}

/// Prepare(Y) is late for n2, which leads X when it comes: Y < X is not promised any more, its coordinator is told, and X
/// goes on.
#[test]
fn late_prepare() {
    for order in ALL_ORDERS {
        let mut stage = Stage::with(4, order);
        stage.kill(N[3]);
        let late = stage.hold(Kind::Prepare, N[0], N[2]);
        let of_y = stage.watch(Kind::Promise, N[1], N[0]);
        stage.until("n1 has promised Y", |stage| stage.world.hits(of_y) > 0 && stage.world.held(late) > 0);
        stage.kill(N[0]);
        let cut = stage.hold(Kind::Cut, N[2], N[1]);
        stage.until("n1 has promised X", |stage| stage.world.held(cut) > 0);
        let promise = stage.watch(Kind::Promise, N[2], N[0]);
        let nack = stage.watch(Kind::Nack, N[2], N[0]);
        stage.release(late);
        stage.pass(millis(5));
        assert!(stage.world.hits(nack) > 0, "n0 is not told");
        assert_eq!(stage.world.hits(promise), 0, "promised what is lower");
        stage.release(cut);
        stage.until_view(&[N[1], N[2]]);
        stage.ends_well();
    }
}

/// C has promised B, B dies, and A does not know: C is freed.
#[test]
fn orphan_promise() {
    let mut stage = Stage::with(3, OrderKind::Causal);
    stage.world.pause(N[0], millis(2_600));
    let promise = stage.lose(Kind::Promise, N[2], N[1]);
    stage.until_hit(promise, 1);
    stage.kill(N[1]);
    stage.until_view(&[N[0], N[2]]);
    let message = stage.says(N[2]).unwrap();
    stage.until_delivered(N[0], message);
    stage.ends_well();
}

/// C has promised B; B lives, but has installed another attempt: C is freed.
#[test]
fn abandoned_promise() {
    let mut stage = Stage::with(4, OrderKind::Causal);
    stage.kill(N[3]);
    // n2 promises n0, which does not hear of it, and goes on with n1 alone.
    let promise = stage.lose(Kind::Promise, N[2], N[0]);
    stage.until("n0 goes on without n2", |stage| stage.members(N[0]) == [N[0], N[1]]);
    stage.release(promise);
    stage.until_view(&[N[0], N[1], N[2]]);
    stage.ends_well();
}

/// Y = {C, B}; C never installs Y, and leads X with D; B finds its way.
#[test]
fn alive_elsewhere() {
    let mut stage = Stage::with(3, OrderKind::Causal);
    let (c, b, d) = (N[0], N[1], N[2]);
    let away = stage.isolate(d);
    let mute = stage.mute(b, c);
    let promise = stage.watch(Kind::Prepare, c, b);
    stage.until_hit(promise, 1);
    stage.release(mute);
    let ready = stage.lose(Kind::Ready, b, c);
    stage.until_hit(ready, 1);
    let mute = stage.mute(b, c);
    stage.until("b has installed Y", |stage| stage.members(b) == [c, b]);
    assert_eq!(stage.members(c), [c, b, d]);
    let y = stage.view_id(b);
    stage.release_all(away);
    stage.until("c has gone elsewhere", |stage| stage.view_id(c) > y);
    stage.release(mute);
    stage.release(ready);
    stage.until_view(&[b, c, d]);
    stage.ends_well();
}

/// A member that has moved on gets a Cut for its former view: it is refused.
#[test]
fn stale_cut() {
    let mut stage = Stage::with(4, OrderKind::Causal);
    stage.kill(N[3]);
    let late = stage.hold(Kind::Cut, N[0], N[2]);
    stage.until_hit(late, 1);
    stage.kill(N[0]);
    stage.until_view(&[N[1], N[2]]);
    let view = stage.view_id(N[2]);
    let ready = stage.watch(Kind::Ready, N[2], Hosts::ALL);
    stage.release(late);
    stage.pass(seconds(1));
    assert_eq!((stage.view_id(N[2]), stage.world.hits(ready)), (view, 0));
    stage.ends_well();
}

/// Promise(Y), Promise(X > Y), then Cut(Y): refused.
#[test]
fn low_cut() {
    for order in ALL_ORDERS {
        let mut stage = Stage::with(4, order);
        stage.kill(N[3]);
        let low = stage.hold(Kind::Cut, N[0], N[2]);
        stage.until_hit(low, 1);
        stage.kill(N[0]);
        let high = stage.hold(Kind::Cut, N[1], N[2]);
        stage.until_hit(high, 1);
        let ready = stage.watch(Kind::Ready, N[2], Hosts::ALL);
        stage.release(low);
        stage.pass(millis(300));
        assert_eq!(stage.world.hits(ready), 0, "ready for an attempt below the one promised");
        stage.release(high);
        stage.until_view(&[N[1], N[2]]);
        stage.ends_well();
    }
}

/// The joiner dies after its promise, after it was ready, after the install was sent to it: the group goes on.
#[test]
fn joiner_dies() {
    let moments: [(Kind, Hosts, Hosts); 3] = [
        (Kind::Promise, Hosts::one(N[3]), Hosts::ALL),
        (Kind::Ready, Hosts::one(N[3]), Hosts::ALL),
        (Kind::Install, Hosts::ALL, Hosts::one(N[3])),
    ];
    for (kind, from, to) in moments {
        let mut stage = Stage::with(3, OrderKind::Causal);
        let joiner = stage.add_host();
        let message = stage.says(N[1]).unwrap();
        let moment = stage.watch(kind, from, to);
        stage.join(joiner);
        stage.until_hit(moment, 1);
        stage.kill(joiner);
        stage.until_view(&N[..3]);
        stage.until_delivered(N[2], message);
        stage.pass(seconds(10));
        stage.until_view(&N[..3]);
        stage.ends_well();
    }
}

/// The leaver's last message is lost on the way: it takes part in the change, so that it arrives.
#[test]
fn leaver() {
    let mut stage = Stage::with(3, OrderKind::Causal);
    let lost = stage.lose(Kind::Data, N[2], Hosts::ALL);
    let message = stage.says(N[2]).unwrap();
    stage.until_hit(lost, 2);
    stage.leave(N[2]);
    stage.release(lost);
    stage.until_view(&[N[0], N[1]]);
    assert!(stage.has_delivered(N[0], message) && stage.has_delivered(N[1], message));
    stage.until("n2 is out", |stage| stage.left(N[2]).is_some());
    assert_eq!(stage.left(N[2]), Some(true));
    stage.ends_well();
}

/// The leaver never hears of the install: it goes anyway, after a time-out.
#[test]
fn leaver_without_install() {
    let mut stage = Stage::with(3, OrderKind::Causal);
    let message = stage.says(N[2]).unwrap();
    stage.leave(N[2]);
    stage.lose(Kind::Ready, Hosts::ALL, N[2]);
    let cut = stage.watch(Kind::Cut, Hosts::ALL, N[2]);
    stage.until_hit(cut, 1);
    stage.pass(millis(1));
    stage.mute(Hosts::ALL, N[2]);
    stage.until("n2 is out", |stage| stage.left(N[2]).is_some());
    stage.until_view(&[N[0], N[1]]);
    assert!(stage.has_delivered(N[0], message) && stage.has_delivered(N[1], message));
    stage.ends_well();
}

/// The leaver dies in the change: the others go on, alike.
#[test]
fn leaver_dies() {
    for kind in [Kind::Promise, Kind::Ready] {
        let mut stage = Stage::with(3, OrderKind::Causal);
        stage.lose(Kind::Data, N[2], N[0]);
        let message = stage.says(N[2]).unwrap();
        let moment = stage.watch(kind, N[2], Hosts::ALL);
        stage.leave(N[2]);
        stage.until_hit(moment, 1);
        stage.kill(N[2]);
        stage.until_view(&[N[0], N[1]]);
        assert_eq!(stage.has_delivered(N[0], message), stage.has_delivered(N[1], message));
        stage.ends_well();
    }
}

/// Ten nodes start and join in the same millisecond, and one is killed meanwhile: one view of nine.
#[test]
fn mass_start() {
    for (victim, after) in [(0, 1), (0, 30), (4, 3), (4, 200), (9, 1_000), (0, 1_100), (3, 1_500)] {
        let mut stage = Stage::empty(10, OrderKind::Causal);
        for host in &N[..10] {
            stage.join(*host);
        }
        stage.pass(millis(after));
        stage.kill(N[victim]);
        let rest: Vec<HostId> = N[..10].iter().filter(|host| **host != N[victim]).copied().collect();
        stage.until_view(&rest);
        stage.ends_well();
    }
}

/// The coordinator dies while it takes somebody in, at each step: the newcomer comes in, and is told all, once.
#[test]
fn a_newcomer_comes_in_though_the_coordinator_dies() {
    for order in ALL_ORDERS {
        for kind in [Kind::Prepare, Kind::Promise, Kind::Cut, Kind::Ready, Kind::Install, Kind::Recall] {
            let mut stage = Stage::with(3, order);
            let mut said = Vec::new();
            for host in [N[0], N[1], N[2], N[1], N[0]] {
                said.extend(stage.says(host));
                stage.pass(millis(100));
            }
            let guest = stage.add_host();
            let step = stage.watch(kind, Hosts::ALL, Hosts::ALL);
            stage.join(guest);
            stage.until_hit(step, 1);
            stage.kill(N[0]);
            stage.until_view(&[N[1], N[2], guest]);
            stage.until("all that was said", |stage| stage.heard(guest) == said);
            assert_eq!(stage.gaps(guest), 0);
            stage.ends_well();
        }
    }
}
