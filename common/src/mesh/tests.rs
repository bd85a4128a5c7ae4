use std::collections::BTreeSet;

use super::*;
use crate::base::limits::HOPS_MAX;
use crate::wire::Frame;

const A: Incarnation = Incarnation(1);
const B: Incarnation = Incarnation(2);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn address(node: Incarnation) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], u16::try_from(node.0).unwrap()))
}

/// A datagram on its way.
#[derive(Clone)]
struct Datagram {
    at: Instant,
    from: Incarnation,
    to: Incarnation,
    hops: u8,
    /// The sender of this hop, and the address that it goes to.
    hop: (Incarnation, SocketAddr),
    frames: Vec<Frame<'static>>,
}

/// Meshes whose links can be cut, each way on its own. One step is a millisecond, and so is a hop.
struct Net {
    now: Instant,
    latency: Duration,
    nodes: BTreeMap<Incarnation, Mesh>,
    cut: BTreeSet<(u64, u64)>,
    under_way: Vec<Datagram>,
    events: Vec<(Incarnation, MeshEvent)>,
    /// One link takes longer.
    slow: Option<((u64, u64), Duration)>,
    /// Datagrams that were passed on.
    passed_on: u64,
    /// Datagrams that each node has sent, passed on included.
    sent: BTreeMap<Incarnation, u64>,
}

impl Net {
    /// So many nodes that want each other, and these links cut from the beginning.
    fn new(nodes: u64, suspect_after: Duration, cut: &[(u64, u64)]) -> Net {
        let all = || (1..=nodes).map(Incarnation);
        let start = |me: Incarnation| {
            let mut mesh = Mesh::new(me, suspect_after);
            let others = all().filter(|&other| other != me);
            others.for_each(|other| mesh.want(Instant::ZERO, other, &[address(other)]));
            (me, mesh)
        };
        Net {
            now: Instant::ZERO,
            latency: ms(1),
            nodes: all().map(start).collect(),
            cut: cut.iter().copied().collect(),
            under_way: Vec::new(),
            events: Vec::new(),
            slow: None,
            passed_on: 0,
            sent: BTreeMap::new(),
        }
    }

    fn pair() -> Net {
        Net::new(2, ms(2000), &[])
    }

    /// Only these links are open.
    fn only(nodes: u64, open: &[(u64, u64)]) -> Net {
        let mut net = Net::new(nodes, ms(2000), &[]);
        net.open_only(open);
        net
    }

    fn open_only(&mut self, open: &[(u64, u64)]) {
        let all = self.nodes.keys().map(|node| node.0);
        let links: Vec<(u64, u64)> =
            all.clone().flat_map(|from| all.clone().map(move |to| (from, to))).collect();
        self.cut = links.into_iter().filter(|link| !open.contains(link)).collect();
    }

    fn a(&mut self) -> &mut Mesh {
        self.nodes.get_mut(&A).unwrap()
    }

    fn via(&self, from: u64, to: u64) -> Option<u64> {
        self.nodes[&Incarnation(from)].relay(Incarnation(to)).map(|relay| relay.0)
    }

    fn all_reach_all(&self) -> bool {
        let reaches = |from: &Incarnation, to| self.nodes[from].reaches(self.now, to);
        let ids = || self.nodes.keys();
        ids().all(|from| ids().all(|to| from == to || reaches(from, *to)))
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    /// Runs until it is so; how long that took.
    fn until(&mut self, within: Duration, is_so: impl Fn(&Net) -> bool) -> Duration {
        let began = self.now;
        while !is_so(self) {
            assert!(self.now.since(began) < within, "not within {within:?}: {:?}", self.events);
            self.step();
        }
        self.now.since(began)
    }

    fn step(&mut self) {
        self.now += ms(1);
        let due = |datagram: &Datagram| datagram.at <= self.now;
        let (arrived, rest) = std::mem::take(&mut self.under_way).into_iter().partition(due);
        self.under_way = rest;
        let arrived: Vec<Datagram> = arrived;
        arrived.into_iter().for_each(|datagram| self.arrive(datagram));
        for node in self.nodes.keys().copied().collect::<Vec<_>>() {
            let mesh = self.nodes.get_mut(&node).unwrap();
            mesh.handle_timeout(self.now);
            self.events.extend(std::iter::from_fn(|| mesh.poll_event()).map(|event| (node, event)));
            self.drain(node);
        }
    }

    fn drain(&mut self, node: Incarnation) {
        let now = self.now;
        while let Some(straight) = self.nodes.get_mut(&node).unwrap().poll_straight(now) {
            self.send(straight.node, (node, straight.to), straight.frames);
        }
        let mut peer = None;
        while let Some(to) = self.nodes[&node].peer_after(peer) {
            let mesh = self.nodes.get_mut(&node).unwrap();
            let Some(hop) = mesh.next_hop(to) else {
                peer = Some(to);
                continue;
            };
            let hello = mesh.poll_hello(now, to);
            let links = mesh.poll_links(now, to, hello.is_some(), 1_000);
            let frames: Vec<_> =
                hello.map(Frame::Hello).into_iter().chain(links.into_iter().map(Frame::Links)).collect();
            match frames.is_empty() {
                true => peer = Some(to),
                false => self.send(to, (node, hop), frames),
            }
        }
        // A machine that is drained has nothing more to do now.
        let due = self.nodes[&node].poll_timeout().filter(|wakeup| wakeup.at <= now);
        assert!(due.is_none() || self.nodes[&node].peers.is_empty(), "{node} spins: {due:?}");
    }

    fn send(&mut self, to: Incarnation, hop: (Incarnation, SocketAddr), frames: Vec<Frame<'static>>) {
        let at = self.now + self.latency;
        self.put(Datagram { at, from: hop.0, to, hops: 0, hop, frames });
    }

    fn put(&mut self, mut datagram: Datagram) {
        let link = (datagram.hop.0.0, u64::from(datagram.hop.1.port()));
        if let Some((_, longer)) = self.slow.filter(|(slow, _)| *slow == link) {
            datagram.at += longer;
        }
        self.passed_on += u64::from(datagram.hops > 0);
        *self.sent.entry(datagram.hop.0).or_default() += 1;
        if !self.cut.contains(&link) {
            self.under_way.push(datagram);
        }
    }

    fn arrive(&mut self, datagram: Datagram) {
        let Datagram { from, to, hops, hop, .. } = datagram;
        let (at, came_from) = (Incarnation(u64::from(hop.1.port())), address(hop.0));
        let Some(mesh) = self.nodes.get_mut(&at) else { return };
        let arrival = if hops == 0 { Arrival::Straight(came_from) } else { Arrival::Relayed(came_from) };
        if at == to {
            mesh.handle_heard(self.now, from, arrival);
            for frame in datagram.frames {
                match frame {
                    Frame::Hello(hello) => mesh.handle_hello(self.now, from, arrival, &hello),
                    Frame::Ping(ping) => mesh.handle_ping(self.now, from, ping),
                    Frame::Links(links) => mesh.handle_links(self.now, from, &links),
                    frame => panic!("{frame:?}"),
                }
            }
        } else if from != at && mesh.wants(to) && hops < HOPS_MAX {
            if hops == 0 {
                mesh.handle_heard(self.now, from, arrival);
            }
            if let Some(next) = mesh.next_hop(to).filter(|&next| next != came_from) {
                let at_next = self.now + self.latency;
                self.put(Datagram { at: at_next, hops: hops + 1, hop: (at, next), ..datagram });
            }
        }
    }

    fn suspicions(&self) -> usize {
        self.events.iter().filter(|(_, event)| matches!(event, MeshEvent::Suspected(_))).count()
    }
}

#[test]
fn two_nodes_meet_and_measure_their_round_trip() {
    let mut net = Net::pair();
    net.run(ms(1000));
    assert_eq!(net.events, [(A, MeshEvent::Met(B)), (B, MeshEvent::Met(A))]);
    assert!(net.all_reach_all());
    assert!(net.a().rtt(B).unwrap().smoothed <= ms(3));
    assert_eq!(net.via(1, 2), None);
}

#[test]
fn a_link_cut_one_way_without_a_relay_is_suspected_by_both_and_healed_by_probes() {
    let mut net = Net::pair();
    net.run(ms(1000));
    net.events.clear();
    net.cut.insert((1, 2));
    net.run(ms(1700));
    assert_eq!(net.events, []);
    net.run(ms(400));
    assert_eq!(net.events.len(), 2);
    assert!(net.nodes[&A].suspects(B) && net.nodes[&B].suspects(A));
    net.run(ms(60_000));
    net.cut.clear();
    net.events.clear();
    net.run(ms(2200));
    assert!(net.events.contains(&(A, MeshEvent::Back(B))) && net.events.contains(&(B, MeshEvent::Back(A))));
}

#[test]
fn a_dead_link_is_gone_round_within_a_second_and_used_again_when_it_heals() {
    for cut in [&[(1, 2)][..], &[(2, 1)], &[(1, 2), (2, 1)]] {
        let mut net = Net::new(3, ms(2000), &[]);
        net.run(ms(1000));
        assert_eq!((net.via(1, 2), net.via(2, 1)), (None, None));
        net.cut.extend(cut);
        net.until(ms(1000), |net| net.via(1, 2) == Some(3) && net.via(2, 1) == Some(3));
        net.run(ms(20_000));
        assert_eq!((net.suspicions(), net.all_reach_all()), (0, true));
        assert_eq!((net.via(1, 2), net.via(1, 3), net.via(3, 2)), (Some(3), None, None));
        net.cut.clear();
        net.until(ms(1000), |net| net.via(1, 2).is_none() && net.via(2, 1).is_none());
        net.run(ms(5_000));
        assert_eq!(net.suspicions(), 0);
    }
}

#[test]
fn nodes_that_never_heard_each_other_meet_over_others() {
    let ring: Vec<(u64, u64)> = (1..=10).map(|n| (n, n % 10 + 1)).collect();
    let chain: Vec<(u64, u64)> = (1..10).flat_map(|n| [(n, n + 1), (n + 1, n)]).collect();
    for open in [ring, chain] {
        let mut net = Net::only(10, &open);
        net.until(ms(2_000), Net::all_reach_all);
        net.run(ms(30_000));
        assert_eq!((net.suspicions(), net.all_reach_all()), (0, true));
        net.cut.clear();
        let straight = |net: &Net| (1..=10).all(|a| (1..=10).all(|b| net.via(a, b).is_none()));
        net.until(ms(1_000), straight);
    }
}

#[test]
fn a_line_that_is_slow_from_the_beginning_is_not_gone_round() {
    // What 1 sends to 2 takes five seconds, and both are patient: nothing is passed on over 3.
    let mut net = Net::new(3, ms(30_000), &[]);
    net.slow = Some(((1, 2), ms(5_000)));
    net.until(ms(6_000), Net::all_reach_all);
    net.run(ms(20_000));
    assert_eq!((net.passed_on, net.via(1, 2), net.via(2, 1)), (0, None, None));
}

#[test]
fn a_ring_that_closes_after_a_long_time_is_one_again_soon() {
    let mut ring: Vec<(u64, u64)> = (1..=10).map(|n| (n, n % 10 + 1)).collect();
    let mut net = Net::only(10, &ring);
    net.run(ms(3_000));
    let last = ring.pop().unwrap();
    net.open_only(&ring);
    net.run(ms(60_000));
    assert_eq!(net.suspicions(), 90, "in a chain that goes one way only nobody is heard by whom he hears");
    ring.push(last);
    net.open_only(&ring);
    net.until(ms(4_000), Net::all_reach_all);
}

#[test]
fn links_to_and_fro_cost_no_storm() {
    let mut net = Net::new(10, ms(2000), &[]);
    net.run(ms(3_000));
    let sent = |net: &Net| net.sent.values().sum::<u64>();
    let before = sent(&net);
    net.run(ms(10_000));
    let idle = sent(&net) - before;
    assert!(idle <= 90 * 80 + 90, "{idle} in ten seconds without a fault: more than heartbeats");
    let before = sent(&net);
    for round in 0..10 {
        match round % 2 {
            0 => net.cut.extend([(1, 2), (3, 4), (4, 3), (5, 6)]),
            _ => net.cut.clear(),
        }
        net.run(ms(1_000));
    }
    let flapping = sent(&net) - before;
    assert!(flapping <= 2 * idle, "{flapping} against {idle}");
    assert_eq!(net.suspicions(), 0);
}

#[test]
fn of_several_addresses_the_one_that_works_is_told_by_who_is_never_heard() {
    let dead = |node: Incarnation| SocketAddr::from(([127, 0, 0, 1], u16::try_from(node.0).unwrap() + 100));
    let mut net = Net::only(3, &[(1, 2), (2, 3), (3, 1)]);
    for (&me, mesh) in &mut net.nodes {
        *mesh = Mesh::new(me, ms(2000));
        let others = (1..=3).map(Incarnation).filter(|&node| node != me);
        others.for_each(|node| mesh.want(Instant::ZERO, node, &[dead(node), address(node), dead(node)]));
    }
    net.until(ms(2_000), Net::all_reach_all);
    assert_eq!(net.a().next_hop(B), Some(address(B)));
}

#[test]
fn sets_of_nodes_that_do_not_matter_are_not_kept() {
    let mut net = Net::pair();
    net.run(ms(1000));
    let now = net.now;
    let set = |origin, number| Links { origin: Incarnation(origin), number, peers: Default::default() };
    net.a().handle_links(now, B, &set(7, 1));
    net.a().handle_links(now, Incarnation(9), &set(2, 1_000));
    assert_eq!(net.a().links.sets().keys().map(|node| node.0).collect::<Vec<_>>(), [1, 2]);
    assert!(net.a().links.sets()[&B].number < 1_000, "only those who matter are believed");
    net.a().retain(now, |_| false);
    assert_eq!(net.a().links.sets().len(), 1);
}

#[test]
fn a_flood_of_strangers_is_bounded_and_pushes_out_no_friend() {
    let mut net = Net::pair();
    net.run(ms(1000));
    let now = net.now;
    for n in 10..10_000 {
        net.a().handle_heard(now, Incarnation(n), Arrival::Straight(address(Incarnation(9))));
    }
    assert_eq!(net.a().peers.len(), PEERS_MAX);
    assert!(net.a().reaches(now, B));
    net.run(STRANGER_KEPT);
    let now = net.now;
    net.a().retain(now, |node| node == B);
    assert_eq!(net.a().peers.len(), 1);
}

#[test]
fn an_echo_of_a_heartbeat_from_before_it_forgot_the_peer_measures_nothing() {
    let mut net = Net::pair();
    net.now = Instant::from_micros(3_600_000_000);
    net.run(ms(5000));
    // Cut, long enough for A to forget B; B goes on looking for A.
    net.cut.insert((2, 1));
    net.run(ms(11_000));
    let now = net.now;
    net.a().retain(now, |_| false);
    assert!(net.a().next_hop(B).is_none());
    net.cut.clear();
    net.run(ms(3000));
    let rtt = net.a().rtt(B);
    assert!(rtt.is_none_or(|rtt| rtt.smoothed < ms(100)), "{rtt:?}");
}

#[test]
fn on_a_slow_line_heartbeats_do_not_multiply() {
    let mut net = Net::new(2, ms(30_000), &[]);
    net.latency = ms(3_000);
    // In a minute both know how slow the line is.
    net.run(ms(60_000));
    net.sent.clear();
    net.run(ms(60_000));
    assert!(net.events.iter().all(|(_, event)| matches!(event, MeshEvent::Met(_))), "{:?}", net.events);
    // One every 250 ms.
    let sent = net.sent[&A];
    assert!((230..=250).contains(&sent), "{sent} in a minute");
}

#[test]
fn a_round_trip_that_outlasts_the_suspicion_time_is_not_measured() {
    let mut net = Net::pair();
    net.run(ms(1000));
    net.slow = Some(((2, 1), ms(2_500)));
    net.run(ms(200));
    net.slow = None;
    net.run(ms(5_000));
    assert!(net.a().rtt(B).unwrap().timeout() < ms(50));
}

/// 3 and 4 fall silent together, and are suspected one after the other: of the first it is not known yet that the other
/// does not lead to it.
#[test]
fn who_is_suspected_is_expected_until_those_are_too_who_heard_it() {
    let mut net = Net::only(4, &[(1, 2), (2, 1), (2, 3), (3, 2), (3, 4), (4, 3)]);
    net.run(ms(2_000));
    net.cut.extend([(2, 3), (3, 2)]);
    let suspects = |net: &Net, node| net.nodes[&A].suspects(Incarnation(node));
    net.until(ms(3_000), |net| suspects(net, 3) || suspects(net, 4));
    let first = Incarnation(if suspects(&net, 3) { 3 } else { 4 });
    assert!(!(suspects(&net, 3) && suspects(&net, 4)) && net.a().expected_until(first) > Some(net.now));
    net.until(ms(300), |net| suspects(net, 3) && suspects(net, 4));
    assert_eq!([3, 4].map(|node| net.a().expected_until(Incarnation(node))), [None, None]);
}

#[test]
fn who_was_long_a_stranger_is_given_the_suspicion_time_once_it_is_wanted() {
    let mut mesh = Mesh::new(A, ms(2000));
    let at = |n| Instant::ZERO + ms(n);
    for n in 0..10 {
        mesh.handle_heard(at(1000 * n), B, Arrival::Straight(address(B)));
        mesh.handle_timeout(at(1000 * n));
    }
    mesh.want(at(9000), B, &[]);
    mesh.handle_timeout(at(10_999));
    assert_eq!(mesh.poll_event(), None);
    assert!(mesh.poll_timeout().is_some_and(|wakeup| wakeup.at <= at(11_000)));
    mesh.handle_timeout(at(11_000));
    assert_eq!(mesh.poll_event(), Some(MeshEvent::Suspected(B)));
}
