use super::*;

const A: Incarnation = Incarnation(1);
const B: Incarnation = Incarnation(2);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Two meshes on a line that can be cut in each direction; one step is a millisecond.
struct Pair {
    now: Instant,
    a: Mesh,
    b: Mesh,
    a_to_b: bool,
    b_to_a: bool,
    events: Vec<(Incarnation, MeshEvent)>,
}

impl Pair {
    fn new() -> Pair {
        let mut a = Mesh::new(ms(2000));
        a.want(Instant::ZERO, B, &[address(2)]);
        let mut b = Mesh::new(ms(2000));
        b.want(Instant::ZERO, A, &[address(1)]);
        Pair { now: Instant::ZERO, a, b, a_to_b: true, b_to_a: true, events: Vec::new() }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += ms(1);
            Pair::step(self.now, A, &mut self.a, &mut self.b, self.a_to_b, B);
            Pair::step(self.now, B, &mut self.b, &mut self.a, self.b_to_a, A);
            for (id, mesh) in [(A, &mut self.a), (B, &mut self.b)] {
                mesh.handle_timeout(self.now);
                self.events.extend(std::iter::from_fn(|| mesh.poll_event()).map(|event| (id, event)));
            }
        }
    }

    fn step(now: Instant, from: Incarnation, mesh: &mut Mesh, peer: &mut Mesh, open: bool, to: Incarnation) {
        let mut hellos: Vec<Hello> = mesh.poll_hello(now, to).into_iter().collect();
        hellos.extend(std::iter::from_fn(|| mesh.poll_probe(now)).map(|(_, _, hello)| hello));
        for hello in hellos.into_iter().filter(|_| open) {
            peer.handle_heard(now, from, address(u16::try_from(from.0).unwrap()));
            peer.handle_hello(now, from, &hello);
        }
    }
}

#[test]
fn two_nodes_meet_and_measure_their_round_trip() {
    let mut pair = Pair::new();
    pair.run(ms(1000));
    assert_eq!(pair.events, [(A, MeshEvent::Met(B)), (B, MeshEvent::Met(A))]);
    assert!(pair.a.reaches(pair.now, B) && pair.b.reaches(pair.now, A));
    assert!(pair.a.rtt(B).unwrap().smoothed <= ms(2));
}

#[test]
fn a_link_cut_one_way_is_suspected_by_both_and_healed_by_probes() {
    let mut pair = Pair::new();
    pair.run(ms(1000));
    pair.events.clear();
    pair.a_to_b = false;
    pair.run(ms(1800));
    assert_eq!(pair.events, []);
    pair.run(ms(400));
    assert_eq!(pair.events.len(), 2);
    assert!(pair.a.suspects(B) && pair.b.suspects(A));
    pair.run(ms(60_000));
    pair.a_to_b = true;
    pair.events.clear();
    pair.run(ms(2200));
    assert!(pair.events.contains(&(A, MeshEvent::Back(B))) && pair.events.contains(&(B, MeshEvent::Back(A))));
}

#[test]
fn a_flood_of_strangers_is_bounded_and_pushes_out_no_friend() {
    let mut pair = Pair::new();
    pair.run(ms(1000));
    for n in 10..10_000 {
        pair.a.handle_heard(pair.now, Incarnation(n), address(9));
    }
    assert_eq!(pair.a.peers.len(), PEERS_MAX);
    assert!(pair.a.reaches(pair.now, B));
    pair.run(STRANGER_KEPT);
    pair.a.retain(pair.now, |node| node == B);
    assert_eq!(pair.a.peers.len(), 1);
}

#[test]
fn an_echo_of_a_heartbeat_from_before_it_forgot_the_peer_measures_nothing() {
    let mut pair = Pair::new();
    pair.now = Instant::from_micros(3_600_000_000);
    pair.a = Mesh::new(ms(2000));
    pair.a.want(pair.now, B, &[address(2)]);
    pair.b = Mesh::new(ms(2000));
    pair.b.want(pair.now, A, &[address(1)]);
    pair.run(ms(5000));
    // Cut, long enough for A to forget B; B goes on looking for A.
    pair.b_to_a = false;
    pair.run(ms(11_000));
    pair.a.retain(pair.now, |_| false);
    assert!(pair.a.path(B).is_none());
    pair.b_to_a = true;
    pair.run(ms(3000));
    assert!(pair.a.rtt(B).is_none_or(|rtt| rtt.smoothed < ms(100)), "{:?}", pair.a.rtt(B));
}

#[test]
fn on_a_slow_line_heartbeats_do_not_multiply() {
    let slow = ms(3000);
    let mut pair = Pair::new();
    (pair.a, pair.b) = (Mesh::new(ms(30_000)), Mesh::new(ms(30_000)));
    pair.a.want(Instant::ZERO, B, &[address(2)]);
    pair.b.want(Instant::ZERO, A, &[address(1)]);
    let mut under_way = std::collections::VecDeque::new();
    let mut sent = 0;
    for step in 0..120_000 {
        let now = Instant::ZERO + ms(step);
        let mut from_a: Vec<Hello> = pair.a.poll_hello(now, B).into_iter().collect();
        from_a.extend(std::iter::from_fn(|| pair.a.poll_probe(now)).map(|(_, _, hello)| hello));
        // In a minute both know how slow the line is.
        sent += if step >= 60_000 { from_a.len() } else { 0 };
        under_way.extend(from_a.into_iter().map(|hello| (now + slow, hello)));
        while let Some((_, hello)) = under_way.pop_front_if(|(at, _)| *at <= now) {
            pair.b.handle_heard(now, A, address(1));
            pair.b.handle_hello(now, A, &hello);
        }
        Pair::step(now, B, &mut pair.b, &mut pair.a, true, A);
        for mesh in [&mut pair.a, &mut pair.b] {
            mesh.handle_timeout(now);
            let events = std::iter::from_fn(|| mesh.poll_event());
            assert!(events.into_iter().all(|event| matches!(event, MeshEvent::Met(_))));
        }
    }
    // One every 250 ms.
    assert!((230..=250).contains(&sent), "{sent} in a minute");
}
