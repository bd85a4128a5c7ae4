//! Members of one view, connected by hand: who hears what, and when, is the test's.

mod safe;

use bytes::Bytes;

use super::*;
use crate::base::id::{GroupId, Incarnation};
use crate::base::time::Instant;
use crate::wire::multicast::Head;
use crate::wire::{Frame, Header, Packer, Section, Unpacker};

fn members(count: usize) -> Vec<Total> {
    (0..count).map(|me| Total::new(false, me, count, 0)).collect()
}

/// A member's next message, as it arrives.
fn message(total: &mut Total) -> Arrived {
    let (deps, proposal) = total.stamp();
    let (sender, index) = (total.me, total.sent);
    Arrived {
        sender,
        index,
        head: Head { count: index, deps, proposal, sent_at: None },
        payload: Bytes::new(),
    }
}

/// Everything that one member has to say to another about the order.
fn tell(all: &mut [Total], from: Rank, to: Rank) {
    tell_at(all, Instant::ZERO, from, to);
}

fn tell_at(all: &mut [Total], now: Instant, from: Rank, to: Rank) {
    let section = Section { group: GroupId(1), view: None };
    let mut packer = Packer::new(Header { from: Incarnation(1), to: None, hops: 0 });
    assert!(!all[from].write(now, to, section, &mut packer));
    let bytes = packer.finish();
    let (_, mut frames) = Unpacker::new(&bytes).unwrap();
    while let Some((_, frame)) = frames.next_frame().unwrap() {
        match frame {
            Frame::Proposals(proposals) => all[to].handle_proposals(from, &proposals),
            Frame::Decisions(decisions) => all[to].handle_decisions(from, &decisions),
            Frame::Decided(decided) => all[to].handle_decided(from, &decided),
            frame => panic!("{frame:?}"),
        }
    }
}

fn tell_all(all: &mut [Total]) {
    for from in 0..all.len() {
        for to in (0..all.len()).filter(|&to| to != from) {
            tell(all, from, to);
        }
    }
}

fn delivered(total: &mut Total) -> Vec<(Rank, u64)> {
    std::iter::from_fn(|| total.poll_deliver()).map(|ordered| (ordered.sender, ordered.index)).collect()
}

#[test]
fn concurrent_messages_come_in_one_order_everywhere() {
    let mut all = members(3);
    let messages: Vec<Arrived> = all.iter_mut().map(message).collect();
    for (rank, total) in all.iter_mut().enumerate() {
        // Each hears its own message first, and the others' in another order.
        for step in 0..3 {
            total.accept(messages[(rank + 2 * step) % 3].clone());
        }
    }
    tell_all(&mut all);
    tell_all(&mut all);
    let first = delivered(&mut all[0]);
    assert_eq!(first.len(), 3);
    assert_eq!(first, delivered(&mut all[1]));
    assert_eq!(first, delivered(&mut all[2]));
}

#[test]
fn nothing_is_delivered_before_all_have_proposed() {
    let mut all = members(3);
    let first = message(&mut all[0]);
    all[0].accept(first.clone());
    all[1].accept(first.clone());
    tell(&mut all, 1, 0);
    assert_eq!(delivered(&mut all[0]), []);
    assert_eq!(all[0].first_held(), all[0].held().first().copied());
    assert_eq!(all[0].first_held().map(|held| held.waits_for), Some(Awaited::Proposal(2)));
    assert_eq!(all[2].first_held(), None);
    all[2].accept(first);
    tell(&mut all, 2, 0);
    tell(&mut all, 0, 1);
    assert_eq!(delivered(&mut all[1]), [(0, 1)]);
}

#[test]
fn a_sender_delivers_by_its_own_decision_once_it_has_left_for_all() {
    let mut all = members(3);
    let first = message(&mut all[0]);
    all.iter_mut().for_each(|total| total.accept(first.clone()));
    tell(&mut all, 1, 0);
    tell(&mut all, 2, 0);
    tell(&mut all, 0, 1);
    assert_eq!(delivered(&mut all[0]), []);
    tell(&mut all, 0, 2);
    assert_eq!(delivered(&mut all[0]), [(0, 1)]);
}

/// Those who go together (all but `gone`) report, decide, adopt and finish.
fn change(all: &mut [Total], gone: Rank) {
    let going: Vec<Rank> = (0..all.len()).filter(|&rank| rank != gone).collect();
    let reports: Vec<_> = going.iter().map(|&rank| (rank, all[rank].report())).collect();
    let table = decide(false, &reports.iter().map(|(rank, report)| (*rank, report)).collect::<Vec<_>>());
    for rank in going {
        all[rank].adopt(&table);
        all[rank].finish();
    }
}

#[test]
fn lacker() {
    // m0 undecided at 1, unknown to 2; m1 final and delivered at 2; 0, whose m0 it is, dies.
    let mut all = members(3);
    let (m0, m1) = (message(&mut all[0]), message(&mut all[1]));
    all[1].accept(m0.clone());
    for total in &mut all {
        total.accept(m1.clone());
    }
    tell(&mut all, 0, 1);
    tell(&mut all, 2, 1);
    tell(&mut all, 1, 2);
    assert_eq!(delivered(&mut all[2]), [(1, 1)]);
    let reports = [(1, all[1].report()), (2, all[2].report())];
    let table = decide(false, &reports.each_ref().map(|(rank, report)| (*rank, report)));
    all[2].accept(m0);
    for rank in [1, 2] {
        all[rank].adopt(&table);
        all[rank].finish();
    }
    assert_eq!(delivered(&mut all[1]), [(1, 1), (0, 1)]);
    assert_eq!(delivered(&mut all[2]), [(0, 1)]);
}

#[test]
fn forgotten_final() {
    // 2 delivers m by its sender's decision, which 1 never gets; the sender dies.
    let mut all = members(3);
    let (first, other) = (message(&mut all[0]), message(&mut all[1]));
    for total in &mut all {
        total.accept(first.clone());
        total.accept(other.clone());
    }
    tell(&mut all, 1, 0);
    tell(&mut all, 2, 0);
    tell(&mut all, 0, 2);
    let before = delivered(&mut all[2]);
    change(&mut all, 0);
    let after: Vec<_> = before.into_iter().chain(delivered(&mut all[2])).collect();
    assert_eq!(delivered(&mut all[1]), after);
    assert_eq!(after.len(), 2);
}

#[test]
fn fifo_raise() {
    // m1 is final by a high proposal of somebody absent, m2 of the same sender undecided: m1 stays first.
    let mut all = members(3);
    all[2].see(1000);
    let (m1, m2) = (message(&mut all[0]), message(&mut all[0]));
    for total in &mut all {
        total.accept(m1.clone());
    }
    tell(&mut all, 1, 0);
    tell(&mut all, 2, 0);
    for rank in [0, 1] {
        all[rank].accept(m2.clone());
    }
    change(&mut all, 2);
    for rank in [0, 1] {
        assert_eq!(delivered(&mut all[rank]), [(0, 1), (0, 2)]);
    }
}

#[test]
fn adopt_rank() {
    // Both were ready for a cut whose coordinator vanished; the next attempt keeps its exact priorities.
    let mut all = members(3);
    let (m0, m1) = (message(&mut all[0]), message(&mut all[1]));
    for total in &mut all {
        total.accept(m1.clone());
        total.accept(m0.clone());
    }
    let reports: Vec<_> = (0..3).map(|rank| (rank, all[rank].report())).collect();
    let table = decide(false, &reports.iter().map(|(rank, report)| (*rank, report)).collect::<Vec<_>>());
    all.iter_mut().for_each(|total| total.adopt(&table));
    let first: Vec<_> = all.iter().map(|total| total.adopted.clone()).collect();
    change(&mut all, 2);
    for rank in [0, 1] {
        assert_eq!(all[rank].adopted, first[rank]);
    }
}

#[test]
fn hostile_counters_and_ranks_are_ignored() {
    let mut all = members(2);
    let first = message(&mut all[0]);
    all.iter_mut().for_each(|total| total.accept(first.clone()));
    let range = |counter, rank| Agreed { first: 1, len: u32::MAX, counter, rank };
    let ranges = |agreed: Agreed| [agreed].into_iter().collect();
    all[0].handle_proposals(1, &Proposals { ranges: ranges(range(u64::MAX, 0)) });
    all[1].handle_decisions(0, &Decisions { ranges: ranges(range(1, 200)) });
    all[1].handle_decided(0, &Decided { upto: [u64::MAX, u64::MAX, 7].into_iter().collect(), ask: false });
    assert_eq!((all[0].refused, all[1].refused), (1, 1));
    tell_all(&mut all);
    tell_all(&mut all);
    assert_eq!(delivered(&mut all[1]), [(0, 1)]);
}

#[test]
fn the_first_in_the_queue_says_whose_proposal_or_decision_it_lacks_and_the_others_wait_for_it() {
    let lacks = |total: &Total| -> Vec<(Rank, u64, Awaited)> {
        total.held().into_iter().map(|held| (held.sender, held.index, held.waits_for)).collect()
    };
    let mut all = members(3);
    let messages = [message(&mut all[0]), message(&mut all[0])];
    for rank in [0, 1] {
        messages.iter().for_each(|message| all[rank].accept(message.clone()));
    }
    tell(&mut all, 1, 0);
    let behind = (0, 2, Awaited::Message(0, 1));
    assert_eq!(lacks(&all[0]), [(0, 1, Awaited::Proposal(2)), behind]);
    assert_eq!(lacks(&all[1]), [(0, 1, Awaited::Decision(0)), behind]);
    messages.iter().for_each(|message| all[2].accept(message.clone()));
    tell(&mut all, 2, 0);
    // Decided, and not announced.
    assert_eq!(lacks(&all[0]), [(0, 1, Awaited::Decision(0)), behind]);
    tell(&mut all, 0, 1);
    tell(&mut all, 0, 2);
    for total in &mut all {
        assert_eq!(delivered(total), [(0, 1), (0, 2)]);
        assert_eq!(lacks(total), []);
    }
}

/// No correct coordinator makes such a table; but it comes from the wire.
#[test]
fn a_table_that_lacks_senders_decides_about_their_messages_all_the_same() {
    for uniform in [false, true] {
        let mut all: Vec<Total> = (0..3).map(|me| Total::new(uniform, me, 3, 0)).collect();
        let messages: Vec<Arrived> = all.iter_mut().map(message).collect();
        let total = &mut all[1];
        messages.iter().for_each(|message| total.accept(message.clone()));
        total.report();
        total.adopt(&crate::order::table::TotalTable::default());
        total.finish();
        assert_eq!(delivered(total).len(), 3);
    }
}
