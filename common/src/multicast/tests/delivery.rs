use super::net::{CALM, Net, ROUGH, Rules, ms};
use crate::base::limits::{PAYLOAD_MAX, RING_SLOTS, WINDOW_BYTES, WINDOW_SLOTS};
use crate::base::rng::Rng;

fn all_got(net: &Net, messages: usize) -> bool {
    net.nodes.iter().filter(|node| !node.dead).all(|node| node.got.len() == messages)
}

/// Every member sends messages of mixed lengths; returns the lengths by sender.
fn mixed(seed: u64, net: &mut Net, each: usize) -> Vec<Vec<usize>> {
    let mut rng = Rng::from_seed(seed ^ 0xfeed);
    let members = net.nodes.len();
    let mut length = || match rng.below(20) {
        0 => rng.below(PAYLOAD_MAX as u64 + 1) as usize,
        1..4 => rng.below(5_000) as usize,
        _ => rng.below(200) as usize,
    };
    let lengths: Vec<Vec<usize>> = (0..members).map(|_| (0..each).map(|_| length()).collect()).collect();
    for (sender, lengths) in lengths.iter().enumerate() {
        net.say(sender, lengths.clone());
    }
    lengths
}

#[test]
fn everything_arrives_once_and_in_order_over_a_rough_network() {
    for seed in 0..30 {
        let members = 1 + seed as usize % 10;
        let mut net = Net::new(seed, members, ROUGH);
        let lengths = mixed(seed, &mut net, 120 / members);
        let total = lengths.iter().map(Vec::len).sum();
        net.run_until(ms(60_000), |net| all_got(net, total));
        net.check_all_got(&lengths);
        net.rules = CALM;
        net.run_until(ms(60_000), Net::is_quiet);
        for node in &net.nodes {
            assert!(node.multicast.is_all_stable());
        }
        assert_eq!(net.counters().refused, 0, "seed {seed}");
    }
}

#[test]
fn without_loss_nothing_is_repeated_and_then_all_is_quiet_and_stable() {
    for members in [1, 2, 3, 10] {
        let mut net = Net::new(1, members, CALM);
        let lengths = mixed(members as u64, &mut net, 60);
        net.run_until(ms(30_000), Net::is_quiet);
        net.check_all_got(&lengths);
        let counters = net.counters();
        assert_eq!((counters.repeated, counters.duplicates, counters.refused), (0, 0, 0), "{members}");
        assert_eq!(net.requests, 0);
        for (sender, node) in net.nodes.iter().enumerate() {
            assert!(node.multicast.is_all_stable());
            for other in &net.nodes {
                assert_eq!(other.multicast.stable(sender), node.multicast.stable(sender));
                assert!(other.multicast.windows[sender].capacity() <= 128, "memory is given back");
            }
        }
    }
}

#[test]
fn one_message_among_three_costs_few_datagrams() {
    let mut net = Net::new(1, 3, CALM);
    net.say(0, [64]);
    net.run_until(ms(1_000), Net::is_quiet);
    assert!(
        net.datagrams <= 2 + 4,
        "2 of data, an acknowledgement from each receiver to each member: {}",
        net.datagrams
    );
}

#[test]
fn small_messages_share_datagrams() {
    let mut net = Net::new(1, 2, CALM);
    net.say(0, [20; 1000]);
    net.run_until(ms(1_000), |net| all_got(net, 1000));
    assert!(net.datagrams < 40, "{}", net.datagrams);
}

#[test]
fn one_percent_loss_costs_little_more_than_what_was_lost() {
    let mut net = Net::new(5, 3, Rules { loss: 10, ..CALM });
    net.say(0, [1000; 5000]);
    let start = net.now;
    net.run_until(ms(60_000), |net| all_got(net, 5000));
    let counters = net.counters();
    assert!(counters.repeated < counters.sent * 3 / 100, "{counters:?}");
    let lossy = net.now - start;

    let mut net = Net::new(5, 3, CALM);
    net.say(0, [1000; 5000]);
    let start = net.now;
    net.run_until(ms(60_000), |net| all_got(net, 5000));
    let clean = net.now - start;
    assert!(lossy < clean * 2, "1 % of loss must not halve the rate: {lossy:?} against {clean:?}");
}

#[test]
fn a_silent_receiver_closes_the_window_and_a_largest_message_fits_an_empty_one() {
    let mut net = Net::new(1, 3, CALM);
    assert!(net.nodes[0].multicast.can_send(PAYLOAD_MAX));
    assert!(!net.nodes[0].multicast.can_send(PAYLOAD_MAX + 1));
    net.nodes[2].dead = true;
    net.say(0, [10; 2 * WINDOW_SLOTS]);
    net.run_for(ms(5_000));
    assert_eq!(net.nodes[1].got.len(), WINDOW_SLOTS);
    assert_eq!(net.nodes[0].outbox.len(), WINDOW_SLOTS);

    let mut net = Net::new(1, 3, CALM);
    net.nodes[2].dead = true;
    net.say(0, [PAYLOAD_MAX; 10]);
    net.run_for(ms(5_000));
    assert_eq!(net.nodes[1].got.len(), WINDOW_BYTES / PAYLOAD_MAX);
}

#[test]
fn an_application_that_takes_nothing_stops_the_senders_and_loses_nothing() {
    let mut net = Net::new(1, 3, CALM);
    net.nodes[2].lazy = true;
    let messages = RING_SLOTS + 500;
    net.say(0, vec![10; messages]);
    net.run_until(ms(10_000), Net::is_quiet);
    assert_eq!(net.nodes[1].got.len(), RING_SLOTS - WINDOW_SLOTS);
    assert_eq!(net.counters().refused, 0);
    net.nodes[2].lazy = false;
    net.turn(2);
    net.run_until(ms(10_000), |net| all_got(net, messages));
}

#[test]
fn a_dead_sender_is_repaired_by_a_holder() {
    for suspected in [true, false] {
        let mut net = Net::new(1, 4, CALM);
        net.cut = vec![(0, 2)];
        net.say(0, [64, PAYLOAD_MAX, 64]);
        net.run_for(ms(40));
        net.nodes[0].dead = true;
        if suspected {
            (1..4).for_each(|rank| net.nodes[rank].multicast.suspected(net.now, 0, true));
        }
        let start = net.now;
        net.run_until(ms(2_000), |net| all_got(net, 3));
        assert!(net.requests > 0);
        if suspected {
            assert!(net.now - start < ms(30), "{:?}", net.now - start);
        }
    }
}

#[test]
fn a_one_way_link_is_repaired_by_the_others_while_the_sender_lives() {
    let mut net = Net::new(3, 3, CALM);
    net.cut = vec![(0, 1)];
    let lengths = vec![vec![100; 50], vec![], vec![]];
    net.say(0, lengths[0].clone());
    net.run_until(ms(5_000), |net| all_got(net, 50));
    net.check_all_got(&lengths);
}

#[test]
fn a_suspected_member_is_sent_hardly_anything_and_catches_up_when_it_is_back() {
    let mut net = Net::new(1, 2, CALM);
    net.nodes[1].dead = true;
    net.nodes[0].multicast.suspected(net.now, 1, true);
    net.say(0, [1000; 200]);
    net.run_for(ms(10_000));
    assert!(net.datagrams <= 11, "{}", net.datagrams);
    net.nodes[1].dead = false;
    net.nodes[0].multicast.suspected(net.now, 1, false);
    net.turn(0);
    net.run_until(ms(2_000), |net| all_got(net, 200));
}

#[test]
fn a_dead_member_makes_no_storm() {
    let mut net = Net::new(1, 2, CALM);
    net.nodes[1].dead = true;
    net.say(0, [1000; 500]);
    net.run_for(ms(10_000));
    let repeated = net.counters().repeated;
    assert!(repeated < 16 * 20, "backed off, a few at a time: {repeated}");
}

#[test]
fn a_heartbeat_carries_the_vector() {
    let mut net = Net::new(1, 2, CALM);
    net.say(0, [64]);
    net.run_until(ms(1_000), Net::is_quiet);
    let before = net.datagrams;
    net.nodes[0].multicast.heartbeat(1);
    net.turn(0);
    assert_eq!(net.datagrams, before, "alone it does not leave");
    let mut packer = crate::wire::Packer::new(crate::wire::Header {
        from: crate::base::id::Incarnation(1),
        to: None,
        hops: 0,
    });
    assert!(packer.push(&crate::wire::Frame::Section(super::net::section())));
    let before = packer.clone().finish().len();
    assert!(!net.nodes[0].multicast.write(net.now, 1, super::net::section(), &mut packer));
    assert!(packer.finish().len() > before);
}

#[test]
fn one_seed_gives_one_run() {
    let run = |seed| {
        let mut net = Net::new(seed, 4, ROUGH);
        let lengths = mixed(seed, &mut net, 40);
        let total = lengths.iter().map(Vec::len).sum();
        net.run_until(ms(60_000), |net| all_got(net, total));
        (net.now, net.datagrams, net.counters())
    };
    assert_eq!(run(11), run(11));
}
