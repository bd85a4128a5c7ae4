//! Endpoints in virtual time, on a network that is perfect but for the links that a test cuts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use decury_common::base::id::{GroupId, Incarnation};
use decury_common::base::time::Instant;
use decury_common::endpoint::{Config, Endpoint, Event, JoinGroup};
use decury_common::machine::Machine;
use decury_common::order::OrderKind;
use decury_common::wire::membership::Addresses;

const LATENCY: Duration = Duration::from_micros(200);

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Nodes by address; what is on the wire arrives after [`LATENCY`].
#[derive(Clone)]
pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) nodes: BTreeMap<SocketAddr, Endpoint>,
    pub(crate) wire: Vec<(Instant, SocketAddr, SocketAddr, Vec<u8>)>,
    pub(crate) events: BTreeMap<SocketAddr, Vec<Event>>,
    /// Links that are dead, both ways.
    pub(crate) dead: Vec<(u64, u64)>,
    /// Nodes whose events are not taken.
    pub(crate) lazy: Vec<u64>,
    /// Whether all accept the private messages that they are told.
    pub(crate) accepts_private: bool,
    pub(crate) steps: u64,
    /// The order of the group.
    pub(crate) order: OrderKind,
    /// Of the datagrams in the log to come, the one with this number is lost.
    pub(crate) lost: Option<usize>,
    /// All that was ever sent.
    pub(crate) log: Vec<(Instant, SocketAddr, SocketAddr, Vec<u8>)>,
}

pub(crate) fn address(n: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(n).unwrap()], 1))
}

pub(crate) fn addresses(n: u64) -> Addresses {
    Addresses::from_iter([address(n)])
}

impl Net {
    pub(crate) fn new() -> Net {
        Net {
            now: Instant::from_micros(1_000),
            nodes: BTreeMap::new(),
            wire: Vec::new(),
            events: BTreeMap::new(),
            dead: Vec::new(),
            lazy: Vec::new(),
            accepts_private: true,
            steps: 0,
            order: OrderKind::Causal,
            lost: None,
            log: Vec::new(),
        }
    }

    /// Starts node `n` and joins the group through `contacts`.
    pub(crate) fn start(&mut self, n: u64, contacts: &[u64]) {
        self.start_as(n, n, contacts);
    }

    pub(crate) fn start_as(&mut self, n: u64, name: u64, contacts: &[u64]) {
        let config = Config {
            incarnation: Incarnation(n),
            name: format!("user{name}").parse().unwrap(),
            addresses: addresses(n),
            suspect_after: ms(2000),
            history: decury_common::base::limits::HISTORY_MAX,
            store: decury_common::base::limits::STORE_MESSAGES,
            deliveries: decury_common::base::limits::DELIVERIES_MAX,
            seed: n,
        };
        let mut endpoint = Endpoint::new(config, self.now);
        let join = JoinGroup {
            name: "lobby".parse().unwrap(),
            id: GroupId(7),
            order: self.order,
            contacts: contacts.iter().map(|&n| (Incarnation(n), addresses(n))).collect(),
        };
        endpoint.join(self.now, join).unwrap();
        self.nodes.insert(address(n), endpoint);
        self.events.insert(address(n), Vec::new());
    }

    pub(crate) fn node(&mut self, n: u64) -> &mut Endpoint {
        self.nodes.get_mut(&address(n)).unwrap()
    }

    pub(crate) fn events(&self, n: u64) -> &[Event] {
        &self.events[&address(n)]
    }

    pub(crate) fn members(&self, n: u64) -> Vec<u64> {
        let view = self.nodes[&address(n)].view("lobby".parse().unwrap());
        view.map(|view| view.members.iter().map(|(id, _)| id.incarnation.0).collect()).unwrap_or_default()
    }

    pub(crate) fn step(&mut self) {
        for (&from, node) in &mut self.nodes {
            while let Some(transmit) = node.poll_transmit(self.now) {
                for datagram in transmit.datagrams() {
                    self.wire.push((self.now + LATENCY, from, transmit.to, datagram.to_vec()));
                }
            }
            if !self.lazy.iter().any(|&n| address(n) == from) {
                let events = self.events.get_mut(&from).unwrap();
                while let Some(event) = node.poll_event() {
                    if let Event::Private { id, .. } = event
                        && self.accepts_private
                    {
                        node.accept_private(self.now, id);
                    }
                    events.push(event);
                }
            }
        }
        let fresh = self.wire.iter().position(|(at, ..)| *at == self.now + LATENCY);
        let fresh = fresh.unwrap_or(self.wire.len());
        let lost = self.lost.and_then(|lost| lost.checked_sub(self.log.len()));
        self.log.extend_from_slice(&self.wire[fresh..]);
        if let Some(lost) = lost.filter(|lost| fresh + lost < self.wire.len()) {
            self.wire.remove(fresh + lost);
        }
        let arrival = self.wire.iter().map(|&(at, ..)| at).min();
        let wakeup = self.nodes.values().filter_map(|node| node.poll_timeout()).map(|wakeup| wakeup.at).min();
        let next = arrival.into_iter().chain(wakeup).min().unwrap_or(self.now + ms(1));
        self.now = self.now.max(next);
        let due: Vec<_> = self.wire.extract_if(.., |&mut (at, ..)| at <= self.now).collect();
        self.steps += 1;
        for (_, from, to, mut bytes) in due {
            let hit = |&(a, b): &(u64, u64)| {
                (address(a), address(b)) == (from, to) || (address(b), address(a)) == (from, to)
            };
            if self.dead.iter().any(hit) {
                continue;
            }
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

    pub(crate) fn run_until(&mut self, limit: Duration, done: impl Fn(&Net) -> bool) {
        let end = self.now + limit;
        let (mut at, mut turns) = (self.now, 0);
        while !done(self) {
            assert!(self.now < end, "not within {limit:?}");
            turns = if self.now > at { 0 } else { turns + 1 };
            assert!(turns < 1_000, "somebody spins at {at}");
            at = self.now;
            self.step();
        }
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let next = self.now + ms(5);
            let wakeup = self.nodes.values().filter_map(|node| node.poll_timeout()).map(|w| w.at).min();
            if self.wire.is_empty() && wakeup.is_none_or(|at| at > next) {
                self.now = next;
            } else {
                self.step();
            }
        }
    }

    pub(crate) fn rejoin(&mut self, n: u64, contacts: &[u64]) {
        let now = self.now;
        let join = JoinGroup {
            name: "lobby".parse().unwrap(),
            id: GroupId(7),
            order: self.order,
            contacts: contacts.iter().map(|&n| (Incarnation(n), addresses(n))).collect(),
        };
        self.node(n).join(now, join).unwrap();
    }

    pub(crate) fn leave(&mut self, n: u64) {
        let now = self.now;
        self.node(n).leave(now, "lobby".parse().unwrap()).unwrap();
    }
}

pub(crate) fn texts(events: &[Event]) -> Vec<String> {
    let text = |event: &Event| match event {
        Event::Message { payload, .. } => Some(String::from_utf8(payload.to_vec()).unwrap()),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}
