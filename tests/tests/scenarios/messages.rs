//! Schedules about messages: kept back, lost, cut off, while views change.

use decury_common::base::id::MessageId;
use decury_common::order::OrderKind;
use decury_common::wire::Frame;
use decury_tests::sim::frames::Kind;
use decury_tests::sim::network::{Fault, FrameFilter, Hosts, Ratio, Rule, RuleId};
use decury_tests::sim::stage::Stage;

use crate::{ALL_ORDERS, N, millis, seconds};

/// The fragments of one sender, by its rank, with a number in the given range.
pub(crate) fn data_of(sender: u8, range: impl std::ops::RangeBounds<u64> + 'static) -> FrameFilter {
    FrameFilter::new(
        format!("data of r{sender}"),
        move |_, frame| matches!(frame, Frame::Data(data) if data.sender == sender && range.contains(&data.seq)),
    )
}

/// Data of the suspected arrives after the promise: it is stored, reported in the next promise, not delivered.
#[test]
fn deliver_while_frozen() {
    for order in ALL_ORDERS {
        let mut stage = Stage::with(4, order);
        let late = stage.hold(data_of(3, ..), N[3], N[1]);
        stage.lose(data_of(3, ..), N[3], [N[0], N[2]]);
        let message = stage.says(N[3]).unwrap();
        stage.pass(millis(1));
        comes_after_the_promise(stage, late, message);
    }
}

/// n3 dies, and what n1 lacks for its message is released when n1 has promised; then the coordinator n0 dies as well.
pub(crate) fn comes_after_the_promise(mut stage: Stage, late: RuleId, message: MessageId) {
    stage.kill(N[3]);
    let cut = stage.hold(Kind::Cut, N[0], Hosts::ALL);
    stage.until_hit(cut, 2);
    stage.release(late);
    stage.pass(millis(100));
    assert!(!stage.has_delivered(N[1], message), "delivered after a promise");
    stage.kill(N[0]);
    stage.discard(cut);
    stage.until_view(&[N[1], N[2]]);
    assert!(stage.has_delivered(N[1], message) && stage.has_delivered(N[2], message), "not reported");
    stage.ends_well();
}

/// m2 is held, its cause is lost with two dead members: m2 is discarded by all alike.
#[test]
fn lost_cause() {
    let mut stage = Stage::with(4, OrderKind::Causal);
    // n2's cause reaches n3 only, whose answer reaches all.
    stage.lose(data_of(2, ..), Hosts::ALL, [N[0], N[1]]);
    let cause = stage.says(N[2]).unwrap();
    stage.until_delivered(N[3], cause);
    let answer = stage.says(N[3]).unwrap();
    stage.pass(millis(50));
    stage.kill(N[2]);
    stage.kill(N[3]);
    stage.until_view(&[N[0], N[1]]);
    for host in [N[0], N[1]] {
        assert!(!stage.has_delivered(host, answer), "{host} delivered an answer without its question");
    }
    stage.ends_well();
}

/// Messages of the next view come, twice, before its install: nothing is lost, nothing is early.
#[test]
fn early_data() {
    for order in ALL_ORDERS {
        let mut stage = Stage::with(3, order);
        let rules = [Kind::Ready, Kind::Install].map(|kind| stage.hold(kind, Hosts::ALL, N[2]));
        stage.world.add_rule(Rule::everywhere(Fault::Duplicate(Ratio(1, 1), millis(20))));
        stage.kill(N[1]);
        stage.until("n0 has moved on", |stage| stage.members(N[0]) == [N[0], N[2]]);
        let early = [stage.says(N[0]).unwrap(), stage.says(N[0]).unwrap()];
        stage.pass(millis(100));
        stage.release_all(rules);
        stage.until_view(&[N[0], N[2]]);
        for message in early {
            stage.until_delivered(N[2], message);
        }
        stage.ends_well();
    }
}

/// The sender dies between two fragments, and the cut falls into the message: only whole messages are delivered.
#[test]
fn torn() {
    for order in ALL_ORDERS {
        let mut stage = Stage::with(3, order);
        let whole = stage.sends(N[2], 3_000).unwrap();
        stage.until_delivered(N[0], whole);
        let lost = stage.lose(data_of(2, 7..), N[2], Hosts::ALL);
        let torn = stage.sends(N[2], 10_000).unwrap();
        stage.until_hit(lost, 2);
        stage.pass(millis(20));
        stage.kill(N[2]);
        stage.until_view(&[N[0], N[1]]);
        for host in [N[0], N[1]] {
            assert!(stage.has_delivered(host, whole) && !stage.has_delivered(host, torn));
        }
        stage.ends_well();
    }
}

/// The sender dies, one survivor holds the first fragment, the other the second: the change ends, the message is lost.
#[test]
fn halves() {
    for order in ALL_ORDERS {
        let mut stage = Stage::with(3, order);
        stage.lose(data_of(2, 2..=2), N[2], N[0]);
        stage.lose(data_of(2, 1..=1), N[2], N[1]);
        // Nor do they repair it for each other before the change.
        let repairs = [stage.lose(data_of(2, ..), N[0], N[1]), stage.lose(data_of(2, ..), N[1], N[0])];
        let message = stage.sends(N[2], 2_000).unwrap();
        stage.pass(millis(20));
        stage.kill(N[2]);
        let prepare = stage.watch(Kind::Prepare, Hosts::ALL, Hosts::ALL);
        stage.until_hit(prepare, 1);
        stage.release_all(repairs);
        stage.until_view(&[N[0], N[1]]);
        assert!(!stage.has_delivered(N[0], message) && !stage.has_delivered(N[1], message));
        stage.ends_well();
    }
}

/// A hundred views within a minute, under full windows: no sender starves afterwards.
#[test]
fn churn_credit() {
    let mut stage = Stage::with(3, OrderKind::Causal);
    let guest = stage.add_host();
    let began = stage.world.now();
    for _ in 0..50 {
        // As long as anything is taken: windows and queues are full.
        for host in [N[0], N[1], N[2]] {
            while stage.sends(host, 2_000).is_some() {}
        }
        stage.join(guest);
        stage.until("the guest is in", |stage| stage.members(guest).len() == 4);
        stage.leave(guest);
        stage.until("the guest is out", |stage| stage.view(guest).is_none());
    }
    assert!(stage.views(N[0]) >= 100 && stage.world.now().since(began) <= seconds(60));
    stage.pass(seconds(5));
    for host in [N[0], N[1], N[2]] {
        assert!(stage.says(host).is_some(), "{host} is still busy");
    }
    stage.ends_well();
}

/// Frozen without news, while the application sends: nothing leaves before an install.
#[test]
fn no_thaw() {
    let mut stage = Stage::with(4, OrderKind::Causal);
    stage.kill(N[3]);
    let prepare = stage.watch(Kind::Promise, N[2], Hosts::ALL);
    stage.until_hit(prepare, 1);
    stage.mute(Hosts::ALL, N[2]);
    stage.mute(N[2], Hosts::ALL);
    let before = stage.view_id(N[2]);
    let sent = stage.watch(Kind::Data, N[2], Hosts::ALL);
    let message = stage.says(N[2]).unwrap();
    let mut frozen = 0;
    while stage.view_id(N[2]) == before && frozen < 600 {
        frozen += 1;
        assert_eq!(stage.world.hits(sent), 0, "a frozen member sends");
        assert!(!stage.has_delivered(N[2], message), "a frozen member delivers");
        stage.pass(seconds(1));
    }
    assert!(frozen > 1, "it was frozen for {frozen} s");
    stage.ends_well();
}

/// The only holder of a message is itself frozen: it answers, and the change ends.
#[test]
fn frozen_holder() {
    for order in ALL_ORDERS {
        let mut stage = Stage::with(4, order);
        stage.lose(data_of(3, ..), N[3], [N[0], N[2]]);
        let repairs = stage.lose(data_of(3, ..), N[1], Hosts::ALL);
        let message = stage.says(N[3]).unwrap();
        stage.pass(millis(10));
        stage.kill(N[3]);
        let promise = stage.watch(Kind::Promise, N[1], Hosts::ALL);
        stage.until_hit(promise, 1);
        assert!(!stage.has_delivered(N[0], message) && !stage.has_delivered(N[2], message));
        stage.release(repairs);
        stage.until_view(&[N[0], N[1], N[2]]);
        assert!(stage.has_delivered(N[0], message) && stage.has_delivered(N[2], message));
        stage.ends_well();
    }
}

/// Five hundred messages are lacking, answers are partial and come twice: what is fetched grows with what is lacking.
#[test]
fn fetch_storm() {
    const LACKING: u64 = 500;
    let mut stage = Stage::with(3, OrderKind::Fifo);
    stage.lose(data_of(2, ..), N[2], N[0]);
    let repairs = stage.lose(data_of(2, ..), N[1], N[0]);
    for _ in 0..LACKING {
        stage.says(N[2]).unwrap();
    }
    stage.until("n1 has them all", |stage| stage.deliveries(N[1]).len() as u64 == LACKING);
    stage.kill(N[2]);
    let promise = stage.watch(Kind::Promise, N[1], Hosts::ALL);
    stage.until_hit(promise, 1);
    stage.release(repairs);
    stage.world.add_rule(Rule::on(N[1], N[0], Fault::Loss(Ratio(1, 4))));
    stage.world.add_rule(Rule::on(N[1], N[0], Fault::Duplicate(Ratio(1, 4), millis(30))));
    let data = stage.watch(Kind::Data, N[1], N[0]);
    let requests = stage.watch(Kind::Request, N[0], N[1]);
    stage.until_view(&[N[0], N[1]]);
    assert_eq!(stage.deliveries(N[0]).len() as u64, LACKING);
    let (data, requests) = (stage.world.hits(data), stage.world.hits(requests));
    assert!(requests < 100 && data < 3 * LACKING, "{requests} requests, {data} datagrams of answers");
    stage.ends_well();
}
