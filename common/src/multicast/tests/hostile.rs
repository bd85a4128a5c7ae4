use bytes::Bytes;

use super::net::{CALM, Net, ms, section};
use crate::base::id::Incarnation;
use crate::base::limits::{FRAGMENT_MAX, FRAGMENTS_MAX, RING_SLOTS};
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::multicast::Multicast;
use crate::wire::membership::{Holder, Holding};
use crate::wire::multicast::{Ack, Acks, Data, Deps, Head, Newest, Request, Span, Wanted};
use crate::wire::{Header, Packer};

const NOW: Instant = Instant::from_micros(1_000_000);

fn data(sender: u8, seq: u64, head: bool, last: bool, payload: &[u8]) -> Data<'_> {
    let head = head.then(|| Head { count: seq, deps: Deps::new(), proposal: 0, sent_at: None });
    Data { sender, seq, head, last, payload }
}

fn give(multicast: &mut Multicast, seq: u64, head: bool, last: bool) {
    multicast.handle_data(NOW, 1, &data(1, seq, head, last, b"x"), &Bytes::new());
}

#[test]
fn what_no_member_would_send_is_counted_and_changes_nothing() {
    let mut multicast = Multicast::new(NOW, 0, 3);
    let large = [0; FRAGMENT_MAX + 1];
    let cases = [
        (1, data(0, 1, true, true, b"mine")),
        (1, data(3, 1, true, true, b"nobody's")),
        (3, data(1, 1, true, true, b"from nobody")),
        (0, data(1, 1, true, true, b"from me")),
        (1, data(1, 0, true, true, b"before the first")),
        (1, data(1, RING_SLOTS as u64 + 1, true, true, b"outside the window")),
        (1, data(1, u64::MAX, true, true, b"far outside")),
        (1, data(1, 1, true, true, &large)),
    ];
    for (i, (from, data)) in cases.iter().enumerate() {
        multicast.handle_data(NOW, *from, data, &Bytes::new());
        assert_eq!(multicast.counters().refused, i as u64 + 1, "{data:?}");
    }
    multicast.handle_acks(NOW, 1, &Acks::default());
    multicast.handle_acks(
        NOW,
        0,
        &Acks { stable: 0, newest: None, of: (0..3).map(|_| Ack::default()).collect() },
    );
    let ahead = Ack { contiguous: 1, ..Ack::default() };
    multicast.handle_acks(
        NOW,
        1,
        &Acks { stable: 0, newest: None, of: std::iter::repeat_n(ahead, 3).collect() },
    );
    assert_eq!(multicast.counters().refused, 11);
    assert_eq!(multicast.poll_message(), None);
    assert_eq!(multicast.stable(0), 0);
}

#[test]
fn the_first_of_two_conflicting_fragments_counts() {
    let mut multicast = Multicast::new(NOW, 0, 2);
    multicast.handle_data(NOW, 1, &data(1, 1, true, true, b"one"), &Bytes::new());
    multicast.handle_data(NOW, 1, &data(1, 1, true, true, b"two"), &Bytes::new());
    assert_eq!(multicast.poll_message().unwrap().payload, "one");
    assert_eq!(multicast.poll_message(), None);
    assert_eq!(multicast.counters().duplicates, 1);
}

#[test]
fn what_is_no_message_is_passed_over_and_holds_nobody_up() {
    let mut multicast = Multicast::new(NOW, 0, 2);
    give(&mut multicast, 1, false, true);
    give(&mut multicast, 2, true, false);
    give(&mut multicast, 3, true, true);
    give(&mut multicast, 4, true, true);
    let message = multicast.poll_message().unwrap();
    assert_eq!((message.index, message.head.count), (1, 4));
    assert_eq!(multicast.counters().refused, 2);
    multicast.delivered(NOW, 1, 1);
    assert_eq!(multicast.windows[1].ack().undelivered, 0);

    for seq in 0..FRAGMENTS_MAX as u64 {
        give(&mut multicast, 5 + seq, seq == 0, false);
    }
    give(&mut multicast, 5 + FRAGMENTS_MAX as u64, true, true);
    assert_eq!(multicast.poll_message().unwrap().index, 2, "a message that never ends ends");
}

#[test]
fn a_payload_is_a_slice_of_its_datagram() {
    let datagram = Bytes::from(vec![7; 100]);
    let mut multicast = Multicast::new(NOW, 0, 2);
    multicast.handle_data(NOW, 1, &data(1, 1, true, true, &datagram[40..60]), &datagram);
    let payload = multicast.poll_message().unwrap().payload;
    assert_eq!(payload.as_ptr(), datagram[40..].as_ptr());
    multicast.handle_data(NOW, 1, &data(1, 2, true, true, b"elsewhere"), &datagram);
    assert_eq!(multicast.poll_message().unwrap().payload, "elsewhere");
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let mut multicast = Multicast::new(NOW, 0, 2);
    for seq in (1..5 * RING_SLOTS as u64).rev().step_by(2) {
        give(&mut multicast, seq, true, true);
    }
    assert_eq!(multicast.windows[1].capacity(), RING_SLOTS);
    assert_eq!(multicast.windows[1].ack().beyond.len(), 16);
    multicast.fetch(NOW, &[u64::MAX, u64::MAX], &[]);
    for seq in (1..9 * RING_SLOTS as u64).rev() {
        give(&mut multicast, seq, true, true);
    }
    assert_eq!(multicast.windows[1].capacity(), 2 * RING_SLOTS);
}

/// A number from all orders of magnitude, often small.
fn number(rng: &mut Rng) -> u64 {
    let bits = rng.below(65);
    if bits == 0 { 0 } else { rng.bits() >> (64 - bits) }
}

fn span(rng: &mut Rng) -> Span {
    Span { gap: number(rng) as u32, len: number(rng) as u32 }
}

fn spans<const N: usize>(rng: &mut Rng) -> crate::base::list::List<Span, N> {
    (0..rng.below(5)).map(|_| span(rng)).collect()
}

fn torment(rng: &mut Rng, victim: &mut Multicast, now: Instant) {
    let from = rng.below(4) as usize;
    match rng.below(12) {
        0..5 => {
            let seq = 1 + if rng.chance(1, 10) { number(rng) / 2 } else { rng.below(300) };
            let (head, last) = (rng.chance(3, 4), rng.chance(3, 4));
            victim.handle_data(
                now,
                from,
                &data(rng.below(4) as u8, seq, head, last, b"payload"),
                &Bytes::new(),
            );
        }
        5..7 => {
            let ack =
                |rng: &mut Rng| Ack { contiguous: number(rng), undelivered: number(rng), beyond: spans(rng) };
            let acks = Acks {
                stable: number(rng),
                newest: Some(Newest { number: number(rng), held_us: 5 }),
                of: (0..3).map(|_| ack(rng)).collect(),
            };
            victim.handle_acks(now, from, &acks);
        }
        7 => {
            let wanted =
                |rng: &mut Rng| Wanted { sender: rng.below(4) as u8, first: number(rng), last: number(rng) };
            victim.handle_request(from, &Request { ranges: (0..8).map(|_| wanted(rng)).collect() });
        }
        8 => {
            let holding = |rng: &mut Rng| Holding {
                contiguous: number(rng),
                messages: number(rng),
                count: number(rng),
                beyond: spans(rng),
                counts: (0..rng.below(4)).map(|_| number(rng)).collect(),
            };
            let holders: Vec<Holder> = (0..rng.below(4))
                .map(|rank| Holder { rank: rank as u8, holdings: (0..3).map(|_| holding(rng)).collect() })
                .collect();
            victim.fetch(now, &[number(rng), number(rng), number(rng)], &holders);
            let _ = crate::multicast::messages(3, holders.iter().map(|holder| &holder.holdings)).count();
        }
        9 => {
            let _ = victim.can_send(100).then(|| {
                victim.send(
                    now,
                    Head { count: 1, deps: Deps::new(), proposal: 0, sent_at: None },
                    Bytes::from_static(b"mine"),
                );
            });
        }
        10 => victim.suspected(now, from, rng.chance(1, 2)),
        _ => {
            victim.handle_timeout(now);
            victim.delivered(now, from, number(rng));
            let _ = victim.holdings();
        }
    }
}

#[test]
fn nothing_that_decodes_makes_it_panic_or_talk_for_ever() {
    for seed in 0..200 {
        let mut rng = Rng::from_seed(seed);
        let mut victim = Multicast::new(NOW, 0, 3);
        let mut now = NOW;
        for step in 0..400 {
            now += std::time::Duration::from_micros(rng.below(20_000));
            torment(&mut rng, &mut victim, now);
            while rng.chance(9, 10) && victim.poll_message().is_some() {}
            if step == 300 && rng.chance(1, 2) {
                victim.freeze();
            }
            let header = Header { from: Incarnation(1), to: None, hops: 0 };
            let turns = (0..1000).take_while(|_| victim.write(now, 1, section(), &mut Packer::new(header)));
            assert!(turns.count() < 1000);
            let _ = victim.poll_timeout();
        }
    }
}

#[test]
fn a_liar_about_its_holdings_is_asked_at_a_bounded_rate() {
    let mut net = Net::new(1, 3, CALM);
    let liar = Ack { contiguous: 1 << 40, ..Ack::default() };
    let acks =
        Acks { stable: 0, newest: None, of: [Ack::default(), Ack::default(), liar].into_iter().collect() };
    net.nodes[0].multicast.handle_acks(net.now, 1, &acks);
    net.run_for(ms(60_000));
    assert!(net.requests < 150, "{}", net.requests);
}
