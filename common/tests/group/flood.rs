//! Everybody sends as fast as the windows allow, in the order `total`.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use decury_common::base::id::{GroupId, Incarnation, MessageId};
use decury_common::base::limits::{DELIVERIES_MAX, HISTORY_MAX, STORE_MESSAGES};
use decury_common::base::time::Instant;
use decury_common::endpoint::{Config, Endpoint, Event, JoinGroup};
use decury_common::machine::Machine;
use decury_common::order::OrderKind;
use decury_common::wire::membership::Addresses;

use crate::net::{address, addresses, ms};

/// Datagrams that a socket holds: what comes then is lost.
const SOCKET: usize = 60;
/// Events that the application takes in a turn.
const READ: usize = 30;

/// Nodes whose datagrams wait in sockets: a turn of a node reads some, then sends all that is due.
struct Busy {
    now: Instant,
    nodes: Vec<Endpoint>,
    sockets: Vec<Vec<(SocketAddr, Vec<u8>)>>,
    sequences: Vec<Vec<MessageId>>,
}

impl Busy {
    fn new(members: u64) -> Busy {
        let mut busy =
            Busy { now: Instant::from_micros(1_000), nodes: vec![], sockets: vec![], sequences: vec![] };
        for n in 1..=members {
            let config = Config {
                incarnation: Incarnation(n),
                name: format!("user{n}").parse().unwrap(),
                addresses: addresses(n),
                suspect_after: ms(60_000),
                history: HISTORY_MAX,
                store: STORE_MESSAGES,
                deliveries: DELIVERIES_MAX,
                seed: n,
            };
            let mut endpoint = Endpoint::new(config, busy.now);
            let contacts: Vec<(Incarnation, Addresses)> =
                (1..n).map(|m| (Incarnation(m), addresses(m))).collect();
            let name = "lobby".parse().unwrap();
            let join = JoinGroup { name, id: GroupId(7), order: OrderKind::Total, contacts };
            endpoint.join(busy.now, join).unwrap();
            busy.nodes.push(endpoint);
            busy.sockets.push(Vec::new());
            busy.sequences.push(Vec::new());
            busy.run_until(|busy| busy.members() == n as usize);
        }
        busy
    }

    fn members(&self) -> usize {
        let size = |node: &Endpoint| node.view("lobby".parse().unwrap()).map_or(0, |view| view.members.len());
        self.nodes.iter().map(size).min().unwrap()
    }

    fn run_until(&mut self, done: impl Fn(&Busy) -> bool) {
        for step in 0..2_000_000 {
            if done(self) {
                return;
            }
            self.now += Duration::from_micros(20);
            let turn = step % self.nodes.len();
            self.turn(turn, 40);
        }
        panic!("it does not end: {:?}", self.sequences.iter().map(Vec::len).collect::<Vec<_>>());
    }

    fn turn(&mut self, n: usize, batch: usize) {
        let waiting = &mut self.sockets[n];
        let batch = batch.min(waiting.len());
        for (from, mut bytes) in waiting.drain(..batch).collect::<Vec<_>>() {
            self.nodes[n].handle_datagram(self.now, from, &mut bytes);
        }
        if self.nodes[n].poll_timeout().is_some_and(|wakeup| wakeup.at <= self.now) {
            self.nodes[n].handle_timeout(self.now);
        }
        let from = address(n as u64 + 1);
        while let Some(transmit) = self.nodes[n].poll_transmit(self.now) {
            for datagram in transmit.datagrams() {
                let to = (0..self.sockets.len()).find(|&to| address(to as u64 + 1) == transmit.to);
                let socket = &mut self.sockets[to.unwrap()];
                if socket.len() < SOCKET {
                    socket.push((from, datagram.to_vec()));
                }
            }
        }
        for _ in 0..READ {
            let Some(event) = self.nodes[n].poll_event() else { break };
            if let Event::Message { id, position: Some(position), .. } = event {
                self.sequences[n].push(id);
                assert_eq!(position, self.sequences[n].len() as u64);
            }
        }
    }
}

#[test]
fn a_flood_from_everybody_has_one_sequence() {
    const EACH: usize = 10_000;
    for members in [3, 10] {
        let each = EACH / members as usize;
        let mut busy = Busy::new(members);
        let mut left = vec![each; members as usize];
        let mut n = 0;
        while left.iter().any(|&left| left > 0) {
            n = (n + 1) % left.len();
            while left[n] > 0
                && busy.nodes[n]
                    .send(busy.now, "lobby".parse().unwrap(), Bytes::from_static(&[7; 64]))
                    .is_ok()
            {
                left[n] -= 1;
            }
            busy.now += Duration::from_micros(20);
            busy.turn(n, 40);
        }
        let all = each * members as usize;
        busy.run_until(|busy| busy.sequences.iter().all(|sequence| sequence.len() == all));
        for sequence in &busy.sequences {
            let differ = sequence.iter().zip(&busy.sequences[0]).position(|(a, b)| a != b);
            assert_eq!(differ, None, "{members} members");
        }
    }
}
