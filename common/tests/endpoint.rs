//! Endpoints on a perfect network in virtual time: the life of a group, from founding to leaving.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use decury_common::base::id::{GroupId, Incarnation};
use decury_common::base::time::Instant;
use decury_common::endpoint::{Cause, Config, Endpoint, Event, JoinGroup};
use decury_common::machine::Machine;
use decury_common::order::OrderKind;
use decury_common::wire::membership::Addresses;

const LATENCY: Duration = Duration::from_micros(200);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Nodes by address; what is on the wire arrives after [`LATENCY`].
struct Net {
    now: Instant,
    nodes: BTreeMap<SocketAddr, Endpoint>,
    wire: Vec<(Instant, SocketAddr, SocketAddr, Vec<u8>)>,
    events: BTreeMap<SocketAddr, Vec<Event>>,
}

fn address(n: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(n).unwrap()], 1))
}

fn addresses(n: u64) -> Addresses {
    Addresses::from_iter([address(n)])
}

impl Net {
    fn new() -> Net {
        Net {
            now: Instant::from_micros(1_000),
            nodes: BTreeMap::new(),
            wire: Vec::new(),
            events: BTreeMap::new(),
        }
    }

    /// Starts node `n` and joins the group through `contacts`.
    fn start(&mut self, n: u64, contacts: &[u64]) {
        let config = Config {
            incarnation: Incarnation(n),
            name: format!("user{n}").parse().unwrap(),
            addresses: addresses(n),
            suspect_after: ms(2000),
            seed: n,
        };
        let mut endpoint = Endpoint::new(config, self.now);
        let join = JoinGroup {
            name: "lobby".parse().unwrap(),
            id: GroupId(7),
            order: OrderKind::Causal,
            contacts: contacts.iter().map(|&n| (Incarnation(n), addresses(n))).collect(),
        };
        endpoint.join(self.now, join).unwrap();
        self.nodes.insert(address(n), endpoint);
        self.events.insert(address(n), Vec::new());
    }

    fn node(&mut self, n: u64) -> &mut Endpoint {
        self.nodes.get_mut(&address(n)).unwrap()
    }

    fn events(&self, n: u64) -> &[Event] {
        &self.events[&address(n)]
    }

    fn members(&self, n: u64) -> Vec<u64> {
        let view = self.nodes[&address(n)].view("lobby".parse().unwrap());
        view.map(|view| view.members.iter().map(|(id, _)| id.incarnation.0).collect()).unwrap_or_default()
    }

    fn step(&mut self) {
        for (&from, node) in &mut self.nodes {
            while let Some(transmit) = node.poll_transmit(self.now) {
                for datagram in transmit.datagrams() {
                    self.wire.push((self.now + LATENCY, from, transmit.to, datagram.to_vec()));
                }
            }
            self.events.get_mut(&from).unwrap().extend(std::iter::from_fn(|| node.poll_event()));
        }
        let arrival = self.wire.iter().map(|&(at, ..)| at).min();
        let wakeup = self.nodes.values().filter_map(|node| node.poll_timeout()).map(|wakeup| wakeup.at).min();
        let next = arrival.into_iter().chain(wakeup).min().unwrap();
        self.now = self.now.max(next);
        let due: Vec<_> = self.wire.extract_if(.., |&mut (at, ..)| at <= self.now).collect();
        for (_, from, to, mut bytes) in due {
            if let Some(node) = self.nodes.get_mut(&to) {
                node.handle_datagram(self.now, from, &mut bytes);
            }
        }
        for node in self.nodes.values_mut() {
            if node.poll_timeout().is_some_and(|wakeup| wakeup.at <= self.now) {
                node.handle_timeout(self.now);
            }
        }
    }

    fn run_until(&mut self, limit: Duration, done: impl Fn(&Net) -> bool) {
        let end = self.now + limit;
        while !done(self) {
            assert!(self.now < end, "not within {limit:?}");
            self.step();
        }
    }
}

fn texts(events: &[Event]) -> Vec<String> {
    let text = |event: &Event| match event {
        Event::Message { payload, .. } => Some(String::from_utf8(payload.to_vec()).unwrap()),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}

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
    let mut rng = decury_common::base::rng::Rng::from_seed(1);
    for _ in 0..10_000 {
        let mut bytes: Vec<u8> = (0..rng.below(200)).map(|_| rng.below(24) as u8).collect();
        bytes.splice(..0, [1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let now = net.now;
        net.node(1).handle_datagram(now, address(9), &mut bytes);
        while net.node(1).poll_transmit(now).is_some() {}
    }
    assert_eq!(net.members(1), [1]);
}
