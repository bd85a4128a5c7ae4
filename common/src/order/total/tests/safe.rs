use super::*;
use crate::order::table::TotalTable;

fn members(count: usize) -> Vec<Total> {
    (0..count).map(|me| Total::new(true, me, count, 0)).collect()
}

fn lacks(total: &Total) -> Vec<(Rank, u64, Awaited)> {
    total.held().into_iter().map(|held| (held.sender, held.index, held.waits_for)).collect()
}

/// Whose message was delivered, and whether within the promise.
fn marks(total: &mut Total) -> Vec<(Rank, u64, bool)> {
    let ordered = std::iter::from_fn(|| total.poll_deliver());
    ordered.map(|ordered| (ordered.sender, ordered.index, ordered.uniform.unwrap())).collect()
}

/// Some promise, and so freeze; the table for them.
fn promise(all: &mut [Total], going: &[Rank]) -> TotalTable {
    let reports: Vec<_> = going.iter().map(|&rank| (rank, all[rank].report())).collect();
    decide(true, &reports.iter().map(|(rank, report)| (*rank, report)).collect::<Vec<_>>())
}

/// They are ready, and install.
fn install(all: &mut [Total], going: &[Rank], table: &TotalTable) {
    for &rank in going {
        all[rank].adopt(table);
        all[rank].finish();
    }
}

#[test]
fn nothing_is_delivered_before_all_are_known_to_hold_message_and_place_and_who_is_missing_is_told() {
    let mut all = members(3);
    let first = message(&mut all[0]);
    all.iter_mut().for_each(|total| total.accept(first.clone()));
    tell(&mut all, 1, 0);
    tell(&mut all, 2, 0);
    tell(&mut all, 0, 1);
    assert_eq!(lacks(&all[0]), [(0, 1, Awaited::Acknowledgement(1))]);
    assert_eq!(lacks(&all[1]), [(0, 1, Awaited::Acknowledgement(2))]);
    tell(&mut all, 1, 0);
    assert_eq!((lacks(&all[0]), delivered(&mut all[0])), (vec![(0, 1, Awaited::Acknowledgement(2))], vec![]));
    tell(&mut all, 0, 2);
    tell(&mut all, 2, 0);
    assert_eq!(marks(&mut all[0]), [(0, 1, true)]);
    assert_eq!(delivered(&mut all[1]), []);
    tell(&mut all, 2, 1);
    assert_eq!(delivered(&mut all[1]), [(0, 1)]);
    assert_eq!(lacks(&all[2]), [(0, 1, Awaited::Acknowledgement(1))]);
}

#[test]
fn alone_one_delivers_at_once() {
    let mut all = members(1);
    let first = message(&mut all[0]);
    all[0].accept(first);
    assert_eq!(marks(&mut all[0]), [(0, 1, true)]);
}

#[test]
fn no_acknowledgement_is_given_after_a_promise() {
    let mut all = members(3);
    let first = message(&mut all[0]);
    all.iter_mut().for_each(|total| total.accept(first.clone()));
    tell(&mut all, 1, 0);
    tell(&mut all, 2, 0);
    all[1].report();
    for (from, to) in [(0, 1), (0, 2), (1, 0), (2, 0), (1, 2)] {
        tell(&mut all, from, to);
    }
    assert_eq!(lacks(&all[0]), [(0, 1, Awaited::Acknowledgement(1))]);
    assert_eq!(delivered(&mut all[2]), []);
    // It holds the place nevertheless, and reports it.
    assert_eq!(all[1].report().of[0].finals.len(), 1);
}

#[test]
fn what_one_has_delivered_comes_to_all_in_the_same_place_and_unmarked() {
    let mut all = members(3);
    let (m0, m1) = (message(&mut all[0]), message(&mut all[1]));
    all.iter_mut().for_each(|total| total.accept(m1.clone()));
    [0, 1].into_iter().for_each(|rank| all[rank].accept(m0.clone()));
    // 1 decides about m1, and 2, which does not know m0, delivers it and is gone.
    for (from, to) in [(0, 1), (2, 1), (1, 0), (1, 2), (0, 2), (1, 2)] {
        tell(&mut all, from, to);
    }
    assert_eq!(marks(&mut all[2]), [(1, 1, true)]);
    let table = promise(&mut all, &[0, 1]);
    install(&mut all, &[0, 1], &table);
    for rank in [0, 1] {
        assert_eq!(marks(&mut all[rank]), [(1, 1, true), (0, 1, true)]);
    }
}

#[test]
fn of_a_sender_that_is_gone_what_nobody_knows_to_be_decided_comes_last_and_marked() {
    let mut all = members(4);
    // 0 decides about its first message, and 1 alone learns it; then it says two more.
    let first = message(&mut all[0]);
    all.iter_mut().for_each(|total| total.accept(first.clone()));
    [1, 2, 3].into_iter().for_each(|rank| tell(&mut all, rank, 0));
    tell(&mut all, 0, 1);
    let more = [message(&mut all[0]), message(&mut all[0])];
    let later = message(&mut all[2]);
    for total in &mut all[1..] {
        more.iter().for_each(|message| total.accept(message.clone()));
        total.accept(later.clone());
    }
    let going = [1, 2, 3];
    let table = promise(&mut all, &going);
    install(&mut all, &going, &table);
    let sequence = [(0, 1, true), (2, 1, true), (0, 2, false), (0, 3, false)];
    for rank in going {
        assert_eq!(marks(&mut all[rank]), sequence);
        assert_eq!(all[rank].position, 4, "marked ones count: nobody's next view begins with a gap");
    }
}

#[test]
fn a_sender_that_was_ready_takes_the_decision_of_that_cut_as_final() {
    // 0 says m0, undecided; 0, 1 and 2 are ready for Y, which 2 installs; then 0 goes on with 3, which was not in Y.
    let mut all = members(4);
    let (m0, m3) = (message(&mut all[0]), message(&mut all[3]));
    for total in &mut all {
        total.accept(m3.clone());
        total.accept(m0.clone());
    }
    let y = promise(&mut all, &[0, 1, 2]);
    [0, 1, 2].into_iter().for_each(|rank| all[rank].adopt(&y));
    all[2].finish();
    // m3 is nobody's to decide in Y, as 3 is not there.
    assert_eq!(marks(&mut all[2]), [(0, 1, true), (3, 1, false)]);
    all[3].see(1000);
    let x = promise(&mut all, &[0, 3]);
    install(&mut all, &[0, 3], &x);
    assert_eq!(marks(&mut all[0]), [(0, 1, true), (3, 1, true)], "not the place that Y gave it");
    assert_eq!(marks(&mut all[3]), [(0, 1, true), (3, 1, true)]);
    // 1 was ready for Y too, but only a sender decides: without 0 nobody knows whether that became final.
    let alone = promise(&mut all, &[1]);
    install(&mut all, &[1], &alone);
    assert_eq!(marks(&mut all[1]), [(0, 1, false), (3, 1, false)]);
}

#[test]
fn a_decision_that_a_cut_tells_is_kept() {
    // 3 alone has learned what 0 decided; it was in Y with 1, which then goes on without both.
    let mut all = members(4);
    let first = message(&mut all[0]);
    all.iter_mut().for_each(|total| total.accept(first.clone()));
    [1, 2, 3].into_iter().for_each(|rank| tell(&mut all, rank, 0));
    tell(&mut all, 0, 3);
    let y = promise(&mut all, &[1, 3]);
    [1, 3].into_iter().for_each(|rank| all[rank].adopt(&y));
    let x = promise(&mut all, &[1, 2]);
    install(&mut all, &[1, 2], &x);
    for rank in [1, 2] {
        assert_eq!(marks(&mut all[rank]), [(0, 1, true)]);
    }
}

#[test]
fn who_misses_a_word_asks_for_it() {
    let mut all = members(2);
    let first = message(&mut all[0]);
    all.iter_mut().for_each(|total| total.accept(first.clone()));
    tell(&mut all, 1, 0);
    tell(&mut all, 0, 1);
    // What 1 says is lost.
    let section = Section { group: GroupId(1), view: None };
    let lost = &mut Packer::new(Header { from: Incarnation(2), to: None, hops: 0 });
    assert!(!all[1].write(Instant::ZERO, 0, section, lost));
    tell(&mut all, 1, 0);
    assert_eq!(delivered(&mut all[0]), []);
    let at = all[0].poll_timeout().unwrap().at;
    tell_at(&mut all, at, 0, 1);
    tell_at(&mut all, at, 1, 0);
    assert_eq!(delivered(&mut all[0]), [(0, 1)]);
    // What is settled leaves no deadline behind.
    tell_at(&mut all, at, 0, 1);
    assert!(all.iter().all(|total| total.poll_timeout().is_none_or(|wakeup| wakeup.at > at)));
}
