//! The network: loses, doubles, delays and reorders datagrams as its rules say, from a seed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use crate::base::id::{GroupId, Incarnation, Rank};
use crate::base::limits::DATAGRAM_MAX;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::machine::Wakeup;
use crate::multicast::{Counters, Multicast};
use crate::wire::multicast::{Deps, Head};
use crate::wire::{Frame, Header, Packer, Section, Unpacker};

/// What happens to datagrams.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// Per thousand.
    pub(super) loss: u64,
    /// Per thousand.
    pub(super) duplication: u64,
    pub(super) delay: (Duration, Duration),
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Nothing is lost, and everything takes two milliseconds.
pub(super) const CALM: Rules =
    Rules { loss: 0, duplication: 0, delay: (Duration::from_millis(2), Duration::from_millis(2)) };
/// Everything that a network may do, often.
pub(super) const ROUGH: Rules =
    Rules { loss: 100, duplication: 50, delay: (Duration::from_millis(1), Duration::from_millis(9)) };

/// One member and what its application does and sees.
pub(super) struct Node {
    pub(super) multicast: Multicast,
    /// Messages that wait for the window.
    pub(super) outbox: VecDeque<Bytes>,
    pub(super) got: Vec<(Rank, u64, Bytes)>,
    count: u64,
    /// It takes part in nothing any more.
    pub(super) dead: bool,
    /// Its application takes no messages.
    pub(super) lazy: bool,
}

pub(super) struct Net {
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    pub(super) rules: Rules,
    /// Links that are cut: (from, to).
    pub(super) cut: Vec<(Rank, Rank)>,
    pub(super) datagrams: u64,
    pub(super) requests: u64,
    rng: Rng,
    queue: BTreeMap<(Instant, u64), (Rank, Rank, Vec<u8>)>,
    number: u64,
}

pub(super) fn section() -> Section {
    Section { group: GroupId(7), view: None }
}

fn packer() -> Packer {
    Packer::new(Header { from: Incarnation(1), to: Some(Incarnation(2)), hops: 0 })
}

impl Net {
    pub(super) fn new(seed: u64, members: usize, rules: Rules) -> Net {
        let now = Instant::from_micros(1_000_000);
        let node = |me| Node {
            multicast: Multicast::new(now, me, members),
            outbox: VecDeque::new(),
            got: Vec::new(),
            count: 0,
            dead: false,
            lazy: false,
        };
        Net {
            now,
            nodes: (0..members).map(node).collect(),
            rules,
            cut: Vec::new(),
            datagrams: 0,
            requests: 0,
            rng: Rng::from_seed(seed),
            queue: BTreeMap::new(),
            number: 0,
        }
    }

    /// Queues messages of these lengths at a member; their bytes tell who and which.
    pub(super) fn say(&mut self, from: Rank, lengths: impl IntoIterator<Item = usize>) {
        let outbox = &mut self.nodes[from].outbox;
        let before = outbox.len();
        for (i, len) in lengths.into_iter().enumerate() {
            outbox.push_back(vec![(before + i) as u8 ^ (from as u8) << 5; len].into());
        }
        self.turn(from);
    }

    /// One turn of a member: its application, then all that is due.
    pub(super) fn turn(&mut self, me: Rank) {
        if self.nodes[me].dead {
            return;
        }
        self.application(me);
        for to in 0..self.nodes.len() {
            for fuse in 0.. {
                assert!(fuse < 10_000, "writing does not end");
                let mut packer = packer();
                let more = self.nodes[me].multicast.write(self.now, to, section(), &mut packer);
                if !packer.is_empty() {
                    self.transmit(me, to, packer.finish());
                }
                if !more {
                    break;
                }
            }
        }
    }

    fn application(&mut self, me: Rank) {
        let node = &mut self.nodes[me];
        while node.outbox.front().is_some_and(|message| node.multicast.can_send(message.len())) {
            let Some(payload) = node.outbox.pop_front() else { break };
            node.count += 1;
            node.multicast.send(
                self.now,
                Head { count: node.count, deps: Deps::new(), proposal: 0, sent_at: None },
                payload,
            );
        }
        while !node.lazy
            && let Some(message) = node.multicast.poll_message()
        {
            assert_eq!(message.index, message.head.count);
            node.multicast.delivered(self.now, message.sender, message.index);
            node.got.push((message.sender, message.index, message.payload));
        }
    }

    fn transmit(&mut self, from: Rank, to: Rank, bytes: Vec<u8>) {
        assert_ne!(from, to);
        assert!(bytes.len() <= DATAGRAM_MAX);
        self.datagrams += 1;
        let copies = 1 + u64::from(self.rng.chance(self.rules.duplication, 1000));
        for _ in 0..copies {
            if self.cut.contains(&(from, to)) || self.rng.chance(self.rules.loss, 1000) {
                continue;
            }
            let at = self.now + self.rng.between(self.rules.delay.0, self.rules.delay.1);
            self.number += 1;
            self.queue.insert((at, self.number), (from, to, bytes.clone()));
        }
    }

    fn receive(&mut self, from: Rank, to: Rank, bytes: Vec<u8>) {
        if self.nodes[to].dead {
            return;
        }
        let datagram = Bytes::from(bytes);
        let (_, mut frames) = Unpacker::new(&datagram).unwrap();
        let multicast = &mut self.nodes[to].multicast;
        while let Some((at, frame)) = frames.next_frame().unwrap() {
            assert_eq!(at, Some(section()));
            match frame {
                Frame::Data(data) => multicast.handle_data(self.now, from, &data, &datagram),
                Frame::PacketNumber(number) => multicast.handle_packet(self.now, from, number),
                Frame::Acks(acks) => multicast.handle_acks(self.now, from, &acks),
                Frame::Request(request) => {
                    self.requests += 1;
                    multicast.handle_request(from, &request);
                }
                other => panic!("{other:?}"),
            }
        }
        self.turn(to);
    }

    fn next_wakeup(&self) -> Option<(Rank, Wakeup)> {
        let alive = self.nodes.iter().enumerate().filter(|(_, node)| !node.dead);
        let wakeups = alive.filter_map(|(rank, node)| Some((rank, node.multicast.poll_timeout()?)));
        wakeups.min_by_key(|(_, wakeup)| wakeup.at)
    }

    /// Goes on until `done`, or panics when it takes more than `limit`. Whether nothing was left to happen before.
    pub(super) fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Net) -> bool) {
        let end = self.now + limit;
        let mut same = 0;
        while !done(self) {
            let wakeup = self.next_wakeup();
            let arrival = self.queue.first_key_value().map(|(&(at, _), _)| at);
            let next = [wakeup.map(|(_, wakeup)| wakeup.at), arrival].into_iter().flatten().min();
            let next = next.unwrap_or_else(|| panic!("nothing happens any more"));
            assert!(next <= end, "not done after {limit:?}: {:?}", wakeup);
            same = if next <= self.now { same + 1 } else { 0 };
            assert!(same < 100_000, "it spins: {wakeup:?}");
            self.now = self.now.max(next);
            if arrival.is_some_and(|at| at <= self.now)
                && let Some((_, (from, to, bytes))) = self.queue.pop_first()
            {
                self.receive(from, to, bytes);
            } else if let Some((rank, _)) = wakeup {
                self.nodes[rank].multicast.handle_timeout(self.now);
                self.turn(rank);
            }
        }
    }

    /// Goes on for a time.
    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.next_wakeup().is_some_and(|(_, w)| w.at <= end)
            || self.queue.first_key_value().is_some_and(|(&(at, _), _)| at <= end)
        {
            let mut once = false;
            self.run_until(time + ms(1), |_| std::mem::replace(&mut once, true));
        }
        self.now = end;
    }

    /// Whether nothing is under way and no timer runs.
    pub(super) fn is_quiet(&self) -> bool {
        self.queue.is_empty() && self.next_wakeup().is_none()
    }

    pub(super) fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for counters in self.nodes.iter().map(|node| node.multicast.counters()) {
            sum.sent += counters.sent;
            sum.repeated += counters.repeated;
            sum.duplicates += counters.duplicates;
            sum.refused += counters.refused;
        }
        sum
    }

    /// Checks that every living member got every message of every sender once, in the sender's order.
    pub(super) fn check_all_got(&self, lengths: &[Vec<usize>]) {
        for node in self.nodes.iter().filter(|node| !node.dead) {
            for (sender, lengths) in lengths.iter().enumerate() {
                let of: Vec<_> = node.got.iter().filter(|(from, ..)| *from == sender).collect();
                assert_eq!(of.len(), lengths.len());
                for (i, ((_, index, payload), len)) in of.iter().zip(lengths).enumerate() {
                    assert_eq!(*index, i as u64 + 1);
                    assert_eq!(payload.len(), *len);
                    assert!(payload.iter().all(|&byte| byte == i as u8 ^ (sender as u8) << 5));
                }
            }
        }
    }
}
