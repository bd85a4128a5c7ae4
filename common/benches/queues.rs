//! What a message costs between arrival and delivery, without sockets: in the order alone, and in whole endpoints that
//! are connected by hand. `cargo bench -p decury-common --bench queues`. Figures are per delivery at one member.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark of its own making cannot fail")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use decury_common::base::id::{GroupId, GroupName, Incarnation, Rank};
use decury_common::base::time::Instant;
use decury_common::endpoint::{Config, Endpoint, Event, JoinGroup};
use decury_common::machine::Machine as _;
use decury_common::multicast::Arrived;
use decury_common::order::{Order, OrderKind};
use decury_common::wire::membership::Addresses;
use decury_common::wire::multicast::Head;
use decury_common::wire::{Header, Packer, Section, Unpacker};

/// Messages that each member sends at once: as many of 64 bytes as one datagram takes, about.
const BATCH: u64 = 20;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    orders(&mut criterion);
    endpoints(&mut criterion);
    criterion.final_summary();
}

fn orders(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("order: accept to deliver");
    for kind in [OrderKind::Fifo, OrderKind::Causal, OrderKind::Total, OrderKind::Safe] {
        for members in [3, 10] {
            let mut all: Vec<Order> = (0..members).map(|me| Order::new(kind, me, members, 0)).collect();
            let mut sent = 0;
            group.throughput(Throughput::Elements(BATCH * (members * members) as u64));
            group.bench_function(BenchmarkId::new(kind.as_str(), members), |bencher| {
                bencher.iter(|| order_round(&mut all, &mut sent));
            });
        }
    }
    group.finish();
}

/// All members send a batch, and all deliver all of them.
fn order_round(all: &mut [Order], sent: &mut u64) {
    let mut messages = Vec::new();
    for (sender, order) in all.iter_mut().enumerate() {
        for index in *sent + 1..=*sent + BATCH {
            let (deps, proposal) = order.stamp();
            let head = Head { count: index, deps, proposal, sent_at: None };
            messages.push(Arrived { sender, index, head, payload: Bytes::from_static(&[7; 64]) });
        }
    }
    *sent += BATCH;
    for order in all.iter_mut() {
        messages.iter().for_each(|message| order.accept(message.clone()));
    }
    let expected = messages.len() as u64 * all.len() as u64;
    let mut delivered = 0;
    while delivered < expected {
        for from in 0..all.len() {
            (0..all.len()).filter(|&to| to != from).for_each(|to| tell(all, from, to));
        }
        let before = delivered;
        for order in all.iter_mut() {
            delivered += std::iter::from_fn(|| order.poll_deliver()).count() as u64;
        }
        assert!(delivered > before || before == 0, "nothing more comes");
    }
}

/// All that one member has to say to another about the order.
fn tell(all: &mut [Order], from: Rank, to: Rank) {
    let section = Section { group: GroupId(1), view: None };
    loop {
        let mut packer = Packer::new(Header { from: Incarnation(1), to: None, hops: 0 });
        let more = all[from].write(Instant::ZERO, to, section, &mut packer);
        let bytes = packer.finish();
        let (_, mut frames) = Unpacker::new(&bytes).unwrap();
        while let Some((_, frame)) = frames.next_frame().unwrap() {
            all[to].handle_frame(from, &frame);
        }
        if !more {
            return;
        }
    }
}

fn endpoints(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("endpoints: send to deliver");
    for kind in [OrderKind::Fifo, OrderKind::Causal, OrderKind::Total, OrderKind::Safe] {
        for members in [3, 10] {
            let mut net = Net::assembled(kind, members);
            group.throughput(Throughput::Elements(BATCH * (members * members) as u64));
            group.bench_function(BenchmarkId::new(kind.as_str(), members), |bencher| {
                bencher.iter(|| net.round());
            });
        }
    }
    group.finish();
}

/// Endpoints in one group; every datagram arrives at once, and a turn of all takes a tenth of a millisecond.
struct Net {
    now: Instant,
    group: GroupName,
    nodes: Vec<Endpoint>,
}

impl Net {
    fn assembled(order: OrderKind, members: usize) -> Net {
        let (now, group) = (Instant::ZERO, "bench".parse().unwrap());
        let mut nodes = Vec::new();
        for n in 0..members {
            let config = Config {
                incarnation: incarnation(n),
                name: format!("m{n}").parse().unwrap(),
                addresses: Addresses::from_iter([address(n)]),
                suspect_after: Duration::from_secs(2),
                history: 0,
                store: 0,
                deliveries: decury_common::base::limits::DELIVERIES_MAX,
                seed: n as u64,
            };
            let contacts = (0..n).map(|m| (incarnation(m), Addresses::from_iter([address(m)]))).collect();
            let mut node = Endpoint::new(config, now);
            node.join(now, JoinGroup { name: group, id: GroupId(1), order, contacts }).unwrap();
            nodes.push(node);
        }
        let mut net = Net { now, group, nodes };
        let mut seen = vec![0; members];
        while seen.iter().any(|&count| count < members) {
            assert!(net.now < Instant::from_micros(60_000_000), "the members do not find each other");
            net.turn(|node, event| {
                if let Event::Joined { view, .. } | Event::View { view, .. } = event {
                    seen[node] = view.members.len();
                }
            });
        }
        net
    }

    /// All members send a batch, and all deliver all of them.
    fn round(&mut self) {
        for node in &mut self.nodes {
            for _ in 0..BATCH {
                node.send(self.now, self.group, Bytes::from_static(&[7; 64])).expect("the window is open");
            }
        }
        let expected = BATCH * (self.nodes.len() * self.nodes.len()) as u64;
        let (mut delivered, mut turns) = (0, 0);
        while delivered < expected {
            turns += 1;
            assert!(turns < 1000, "nothing more comes: {delivered} of {expected}");
            self.turn(|_, event| delivered += u64::from(matches!(event, Event::Message { .. })));
        }
    }

    fn turn(&mut self, mut handle: impl FnMut(usize, Event)) {
        self.now += Duration::from_micros(100);
        for from in 0..self.nodes.len() {
            if self.nodes[from].poll_timeout().is_some_and(|wakeup| wakeup.at <= self.now) {
                self.nodes[from].handle_timeout(self.now);
            }
            while let Some(mut transmit) = self.nodes[from].poll_transmit(self.now) {
                let to = usize::from(transmit.to.port()) - 1;
                let length = transmit.segment.unwrap_or(transmit.bytes.len()).max(1);
                for datagram in transmit.bytes.chunks_mut(length) {
                    self.nodes[to].handle_datagram(self.now, address(from), datagram);
                }
            }
            while let Some(event) = self.nodes[from].poll_event() {
                handle(from, event);
            }
        }
    }
}

fn incarnation(n: usize) -> Incarnation {
    Incarnation(n as u64 + 1)
}

fn address(n: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], n as u16 + 1))
}
