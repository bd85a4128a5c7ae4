//! Faults that were seen in systems of this kind: see `docs/faults.md`.

use bytes::Bytes;
use decury_common::endpoint::Event;
use decury_common::machine::Machine as _;
use decury_common::order::OrderKind;
use decury_common::wire::membership::Refusal;

use crate::net::{Net, address, ms, texts};

const ORDERS: [OrderKind; 4] = [OrderKind::Fifo, OrderKind::Causal, OrderKind::Total, OrderKind::Safe];

/// So many nodes in one view, that have nothing to say.
fn together(order: OrderKind, members: u64) -> Net {
    let mut net = Net::new();
    net.order = order;
    for n in 1..=members {
        net.start(n, if n == 1 { &[] } else { &[1] });
        net.run_until(ms(3000), |net| (1..=n).all(|m| net.members(m).len() == n as usize));
    }
    net.run_for(ms(300));
    net.log.clear();
    net
}

fn say(net: &mut Net, n: u64, text: &'static str) {
    let now = net.now;
    net.node(n).send(now, "lobby".parse().unwrap(), Bytes::from_static(text.as_bytes())).unwrap();
}

/// Plays a story without loss, then again and again with another one of its datagrams lost; `done` within two seconds.
fn with_each_datagram_lost(net: &Net, story: impl Fn(&mut Net), done: impl Fn(&Net) -> bool) {
    let play = |lost: Option<usize>| {
        let mut net = net.clone();
        net.lost = lost;
        story(&mut net);
        net.run_until(ms(2000), &done);
        net
    };
    let datagrams = play(None).log.len();
    assert!(datagrams > 2, "{datagrams} datagrams are hardly a story");
    for lost in 0..datagrams {
        let net = play(Some(lost));
        let suspected = |event: &Event| matches!(event, Event::Suspected { .. });
        assert!(!net.events.values().flatten().any(suspected), "somebody is suspected for a lost datagram");
    }
}

#[test]
fn whichever_datagram_is_lost_a_message_arrives_though_nothing_follows_it() {
    // Of three, a third one can repair; of two, only the sender itself.
    for (order, members) in ORDERS.into_iter().flat_map(|order| [(order, 2), (order, 3)]) {
        with_each_datagram_lost(
            &together(order, members),
            |net| {
                say(net, 1, "hello");
                net.step();
                net.run_for(ms(50));
                say(net, 2, "hello");
            },
            |net| (1..=members).all(|n| texts(net.events(n)) == ["hello"; 2]),
        );
    }
}

#[test]
fn whichever_datagram_is_lost_a_newcomer_comes_in_and_is_told() {
    for order in ORDERS {
        let mut net = together(order, 2);
        say(&mut net, 1, "before");
        net.run_for(ms(300));
        net.log.clear();
        with_each_datagram_lost(
            &net,
            |net| net.start(3, &[1]),
            |net| (1..=3).all(|n| net.members(n).len() == 3 && texts(net.events(n)) == ["before"]),
        );
    }
}

#[test]
fn in_whatever_order_datagrams_arrive_messages_are_delivered_in_that_of_sending() {
    const TEXTS: [&str; 4] = ["1", "2", "3", "4"];
    for order in ORDERS {
        let mut net = together(order, 2);
        let mut datagrams = Vec::new();
        for text in TEXTS {
            say(&mut net, 1, text);
            let now = net.now;
            let sent = std::iter::from_fn(|| net.node(1).poll_transmit(now)).collect::<Vec<_>>();
            assert_eq!(sent.len(), 1, "each leaves alone");
            datagrams.extend(sent.into_iter().map(|transmit| transmit.bytes));
        }
        for arrival in permutations(TEXTS.len()) {
            let mut net = net.clone();
            let now = net.now;
            for &datagram in &arrival {
                net.node(2).handle_datagram(now, address(1), &mut datagrams[datagram].clone());
            }
            net.run_until(ms(2000), |net| (1..=2).all(|n| texts(net.events(n)).len() == TEXTS.len()));
            for n in 1..=2 {
                assert_eq!(texts(net.events(n)), TEXTS, "{order}, arrived as {arrival:?}");
            }
        }
    }
}

/// All orders of the numbers below `n`.
fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![vec![]];
    }
    let shorter = permutations(n - 1);
    let with_last = |shorter: &Vec<usize>| {
        let shorter = shorter.clone();
        (0..n).map(move |at| [&shorter[..at], &[n - 1], &shorter[at..]].concat())
    };
    shorter.iter().flat_map(with_last).collect()
}

#[test]
fn the_place_of_one_that_crashed_is_kept_for_a_while_and_then_free() {
    let mut net = together(OrderKind::Causal, 10);
    net.nodes.remove(&address(10));
    net.run_until(ms(5000), |net| (1..=9).all(|n| net.members(n).len() == 9));
    net.start(11, &[1]);
    net.run_until(ms(5000), |net| {
        let full = |event: &Event| matches!(event, Event::Refused { reason: Refusal::Full, .. });
        net.events(11).iter().any(full)
    });
    net.run_for(ms(15_000));
    net.rejoin(11, &[1]);
    net.run_until(ms(5000), |net| net.members(11).len() == 10);
}
