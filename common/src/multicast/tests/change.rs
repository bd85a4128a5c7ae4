use bytes::Bytes;

use super::net::{CALM, Net, ROUGH, Rules, ms};
use crate::base::id::Rank;
use crate::base::limits::MESSAGE_MAX;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::multicast::{Multicast, cut};
use crate::wire::membership::{Holder, Holding};
use crate::wire::multicast::{Data, Deps, Head, Span};

const NOW: Instant = Instant::from_micros(1_000_000);

/// Fragment `seq` of a sender: `text` begins with `^` if it begins a message and ends with `$` if it ends one.
fn give(multicast: &mut Multicast, sender: u8, seq: u64, text: &str) {
    let head =
        text.starts_with('^').then(|| Head { count: seq, deps: Deps::new(), proposal: 0, sent_at: None });
    let data = Data { sender, seq, head, last: text.ends_with('$'), payload: text.as_bytes() };
    multicast.handle_data(NOW, usize::from(sender), &data, &Bytes::new());
}

fn holding(contiguous: u64, beyond: &[(u32, u32)]) -> Holding {
    Holding {
        contiguous,
        beyond: beyond.iter().map(|&(gap, len)| Span { gap, len }).collect(),
        ..Holding::default()
    }
}

fn holders(net: &Net, of: &[Rank]) -> Vec<Holder> {
    let holder = |&rank: &Rank| Holder { rank: rank as u8, holdings: net.nodes[rank].multicast.holdings() };
    of.iter().map(holder).collect()
}

/// Prepare to Install among those who go together, over the network as it is; returns the cut.
fn change(net: &mut Net, together: &[Rank]) -> Vec<u64> {
    for &rank in together {
        net.nodes[rank].multicast.freeze();
    }
    let holders = holders(net, together);
    let upto = cut(net.nodes.len(), holders.iter().map(|holder| &holder.holdings));
    for &rank in together {
        net.nodes[rank].multicast.fetch(net.now, &upto, &holders);
        net.turn(rank);
    }
    net.run_until(ms(30_000), |net| together.iter().all(|&rank| net.nodes[rank].multicast.holds(&upto)));
    for &rank in together {
        net.nodes[rank].multicast.release(&upto);
        net.turn(rank);
    }
    upto.to_vec()
}

fn got(net: &Net, rank: Rank) -> Vec<(Rank, u64, Bytes)> {
    let mut got = net.nodes[rank].got.clone();
    got.sort();
    got
}

#[test]
fn torn_messages_are_not_reported() {
    let mut multicast = Multicast::new(NOW, 0, 2);
    give(&mut multicast, 1, 1, "^a$");
    give(&mut multicast, 1, 2, "^b");
    give(&mut multicast, 1, 3, "b");
    // 4 is missing: the end of the second message; 5 is the end of another one's; 6-7 and 8 are whole; 9 has begun.
    give(&mut multicast, 1, 5, "x$");
    give(&mut multicast, 1, 6, "^c");
    give(&mut multicast, 1, 7, "c$");
    give(&mut multicast, 1, 8, "^d$");
    give(&mut multicast, 1, 9, "^e");
    let holdings = multicast.holdings();
    let first = Holding { messages: 1, count: 1, counts: [8].into_iter().collect(), ..holding(1, &[(4, 3)]) };
    assert_eq!(holdings[..], [holding(0, &[]), first]);
    give(&mut multicast, 1, 4, "b");
    assert_eq!(multicast.holdings()[1], Holding { messages: 4, count: 8, ..holding(8, &[]) });
}

#[test]
fn the_cut_is_the_longest_prefix_that_promisers_hold_between_them() {
    let lists = [
        vec![holding(3, &[(2, 4)]), holding(0, &[]), holding(9, &[])],
        vec![holding(1, &[(2, 2)]), holding(0, &[(1, 5)])],
    ];
    let promised: Vec<_> = lists.into_iter().map(|list| list.into_iter().collect()).collect();
    assert_eq!(cut(3, promised.iter())[..], [9, 0, 9]);
    assert_eq!(cut(2, promised.iter())[..], [9, 0]);
    assert_eq!(cut(4, promised.iter())[..], [9, 0, 9, 0]);
}

#[test]
fn frozen_it_stores_and_is_silent_and_released_it_yields_the_cut_and_no_more() {
    let mut net = Net::new(1, 2, CALM);
    net.say(1, [10]);
    net.run_until(ms(1_000), Net::is_quiet);
    net.nodes[0].multicast.freeze();
    net.nodes[0].multicast.freeze();
    assert!(net.nodes[0].multicast.is_frozen());
    assert!(!net.nodes[0].multicast.can_send(1));
    let before = net.nodes[0].multicast.holdings();
    let datagrams = net.datagrams;
    net.say(1, [10, 10]);
    net.run_for(ms(15));
    assert_eq!(net.nodes[0].got.len(), 1, "nothing is delivered");
    assert_eq!(net.datagrams, datagrams + 1, "nothing is acknowledged");
    assert_ne!(net.nodes[0].multicast.holdings(), before, "it is stored, and in the next promise");
    assert!(net.nodes[0].multicast.holds(&[0, 3]));
    net.nodes[0].multicast.release(&[0, 2]);
    net.turn(0);
    assert_eq!(net.nodes[0].got.len(), 2);
    assert_eq!(net.nodes[0].multicast.poll_timeout(), None);
    net.nodes[0].multicast.handle_timeout(net.now);
}

#[test]
fn halves_of_a_message_at_two_members_are_lost_at_both() {
    let mut a = Multicast::new(NOW, 0, 3);
    let mut b = Multicast::new(NOW, 1, 3);
    give(&mut a, 2, 1, "^first");
    give(&mut b, 2, 2, "second$");
    let promised = [a.holdings(), b.holdings()];
    assert_eq!(cut(3, promised.iter())[..], [0, 0, 0]);
    a.freeze();
    a.release(&[0, 0, 0]);
    assert_eq!(a.poll_message(), None);
}

#[test]
fn survivors_of_a_crash_deliver_the_same_set() {
    for seed in 0..60 {
        let mut rng = Rng::from_seed(seed);
        let members = 3 + rng.below(8) as usize;
        let mut net = Net::new(seed, members, Rules { loss: rng.below(300), ..ROUGH });
        for rank in 0..members {
            let lengths: Vec<usize> = (0..20).map(|_| 1 + rng.below(3_000) as usize).collect();
            net.say(rank, lengths);
            if rng.chance(1, 3) {
                net.cut.push((rank, (rank + 1) % members));
            }
        }
        net.run_for(ms(rng.below(40)));
        net.nodes[0].dead = true;
        net.run_for(ms(rng.below(40)));
        net.cut.clear();
        let survivors: Vec<Rank> = (1..members).collect();
        let mine: Vec<usize> = net.nodes.iter().map(|node| 20 - node.outbox.len()).collect();
        change(&mut net, &survivors);
        let first = got(&net, 1);
        for &rank in &survivors {
            assert_eq!(got(&net, rank), first, "seed {seed}");
            let own = first.iter().filter(|(sender, ..)| *sender == rank).count();
            assert_eq!(own, mine[rank], "seed {seed}: what a survivor sent is delivered");
        }
    }
}

#[test]
fn one_holder_is_enough_even_if_it_is_frozen_and_the_sender_is_dead() {
    let mut net = Net::new(9, 3, CALM);
    net.cut = vec![(0, 2), (1, 2), (2, 1)];
    net.say(0, [MESSAGE_MAX, 100, 100]);
    net.run_for(ms(20));
    net.nodes[0].dead = true;
    net.cut.clear();
    let upto = change(&mut net, &[1, 2]);
    assert!(upto[0] > 50);
    assert_eq!(got(&net, 1), got(&net, 2));
    assert_eq!(net.nodes[2].got.len(), 3);
}

#[test]
fn fetch_storm_asks_in_proportion_to_what_is_lacking() {
    let storm = |lacking: usize| {
        let mut net = Net::new(lacking as u64, 4, CALM);
        net.cut = vec![(0, 3), (1, 3), (2, 3)];
        net.say(0, vec![1000; lacking]);
        net.run_for(ms(40));
        net.nodes[0].dead = true;
        net.cut.clear();
        net.rules = Rules { loss: 300, duplication: 500, ..ROUGH };
        let before = net.counters().repeated;
        net.requests = 0;
        change(&mut net, &[1, 2, 3]);
        assert_eq!(net.nodes[3].got.len(), net.nodes[1].got.len());
        (net.requests, net.counters().repeated - before)
    };
    let (requests, answered) = storm(250);
    assert!(requests <= 30 && answered <= 3 * 250, "{requests} requests, {answered} answered");
    let (_, small) = storm(60);
    assert!(answered <= small * 8, "{small} against {answered}");
}

#[test]
fn a_later_cut_replaces_an_earlier_one() {
    let mut net = Net::new(2, 3, CALM);
    net.cut = vec![(0, 1)];
    net.say(0, [100; 5]);
    net.run_for(ms(3));
    net.nodes[0].dead = true;
    [1, 2].iter().for_each(|&rank: &Rank| net.nodes[rank].multicast.freeze());
    let vanished = Holder { rank: 0, holdings: net.nodes[2].multicast.holdings() };
    net.nodes[1].multicast.fetch(net.now, &[5, 0, 0], &[vanished]);
    net.run_for(ms(500));
    assert!(!net.nodes[1].multicast.holds(&[5, 0, 0]));
    let holders = holders(&net, &[1, 2]);
    net.nodes[1].multicast.fetch(net.now, &[5, 0, 0], &holders);
    net.turn(1);
    net.run_until(ms(100), |net| net.nodes[1].multicast.holds(&[5, 0, 0]));
}
