//! The life of a group, from founding to leaving.

use bytes::Bytes;
use decury_common::base::id::{GroupId, Incarnation};
use decury_common::base::rng::Rng;
use decury_common::base::time::Instant;
use decury_common::endpoint::{Cause, Config, Endpoint, Event, JoinGroup};
use decury_common::machine::Machine;
use decury_common::order::OrderKind;

use crate::net::{Net, address, addresses, ms, texts};

#[test]
fn three_nodes_join_talk_and_part() {
    let mut net = Net::new();
    net.start(1, &[]);
    net.start(2, &[1]);
    net.start(3, &[2, 1]);
    net.run_until(ms(1000), |net| (1..=3).all(|n| net.members(n).len() == 3));

    let lobby = "lobby".parse().unwrap();
    for n in 1..=3 {
        let now = net.now;
        net.node(n).send(now, lobby, Bytes::from(format!("hello from {n}"))).unwrap();
    }
    net.run_until(ms(1000), |net| (1..=3).all(|n| texts(net.events(n)).len() == 3));

    let now = net.now;
    net.node(3).send(now, lobby, Bytes::from_static(b"bye")).unwrap();
    net.node(3).leave(now, lobby).unwrap();
    let parted = |event: &Event| matches!(event, Event::View { cause: Cause::Leave, .. });
    net.run_until(ms(100), |net| (1..=2).all(|n| net.events(n).last().is_some_and(parted)));
    for n in 1..=2 {
        assert_eq!(net.members(n), [1, 2]);
        assert_eq!(texts(net.events(n)).last().unwrap(), "bye");
    }
    net.run_until(ms(1000), |net| matches!(net.events(3).last(), Some(Event::Left { clean: true, .. })));
}

#[test]
fn a_crash_is_suspected_and_the_rest_goes_on() {
    let mut net = Net::new();
    net.start(1, &[]);
    for n in 2..=5 {
        net.start(n, &[1]);
    }
    net.run_until(ms(1000), |net| (1..=5).all(|n| net.members(n).len() == 5));
    net.nodes.remove(&address(1));
    net.run_until(ms(2300), |net| (2..=5).all(|n| net.members(n) == [2, 3, 4, 5]));
    let suspected = |event: &Event| matches!(event, Event::View { cause: Cause::Suspected, .. });
    net.run_until(ms(1), |net| (2..=5).all(|n| net.events(n).last().is_some_and(suspected)));
}

#[test]
fn a_frame_of_random_bytes_is_harmless() {
    let mut net = Net::new();
    net.start(1, &[]);
    net.run_until(ms(100), |net| net.members(1) == [1]);
    let mut rng = Rng::from_seed(1);
    for _ in 0..10_000 {
        let mut bytes: Vec<u8> = (0..rng.below(200)).map(|_| rng.below(24) as u8).collect();
        bytes.splice(..0, [1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let now = net.now;
        net.node(1).handle_datagram(now, address(9), &mut bytes);
        while net.node(1).poll_transmit(now).is_some() {}
    }
    assert_eq!(net.members(1), [1]);
}

#[test]
fn who_leaves_alone_is_told_all_it_said_however_little_was_read() {
    const SAID: u64 = 20;
    let (now, lobby) = (Instant::from_micros(1_000), "lobby".parse().unwrap());
    let config = Config {
        incarnation: Incarnation(1),
        name: "ann".parse().unwrap(),
        addresses: addresses(1),
        suspect_after: ms(2000),
        history: 0,
        store: 0,
        deliveries: 2,
        seed: 1,
    };
    let mut endpoint = Endpoint::new(config, now);
    let join = JoinGroup { name: lobby, id: GroupId(7), order: OrderKind::Causal, contacts: vec![] };
    endpoint.join(now, join).unwrap();
    endpoint.handle_timeout(now);
    for _ in 0..SAID {
        endpoint.send(now, lobby, Bytes::from_static(b"x")).unwrap();
    }
    endpoint.leave(now, lobby).unwrap();
    let events: Vec<Event> = std::iter::from_fn(|| endpoint.poll_event()).collect();
    assert_eq!(texts(&events).len() as u64, SAID);
    assert!(matches!(events.last(), Some(Event::Left { clean: true, .. })), "{events:?}");
}
