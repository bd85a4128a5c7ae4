//! What several members told, made one list: each list keeps its order, each sender's counts rise, nothing comes twice.
//!
//! Pure data. The lists' heads are taken, the first list's as long as possible; a head waits while a lower count of its
//! sender stands in another list, or something before it in another list (as classes are merged into one order of
//! resolution: K. Barrett et al., *A Monotonic Superclass Linearization for Dylan*, OOPSLA 1996). If all heads wait for
//! each other, the lists contradict each other; then senders' counts win over lists, and earlier lists over later ones.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::history::Entry;
use crate::base::id::{MemberId, MessageId};

/// One list of them all.
pub(super) fn weave(lists: Vec<Vec<Entry>>) -> Vec<Entry> {
    let mut lists: Vec<VecDeque<Entry>> = lists.into_iter().map(VecDeque::from).collect();
    let ids = |list: &VecDeque<Entry>| list.iter().map(|entry| entry.id).collect();
    let told: Vec<BTreeSet<MessageId>> = lists.iter().map(ids).collect();
    let mut left: BTreeMap<MemberId, BTreeSet<u64>> = BTreeMap::new();
    for entry in lists.iter().flatten() {
        left.entry(entry.id.sender).or_default().insert(entry.id.count);
    }
    let mut woven = Vec::new();
    loop {
        for list in &mut lists {
            while list.front().is_some_and(|head| !stands(&left, head)) {
                list.pop_front();
            }
        }
        let Some(entry) = next(&mut lists, &told, &left) else { return woven };
        if let Some(counts) = left.get_mut(&entry.id.sender) {
            counts.remove(&entry.id.count);
        }
        woven.push(entry);
    }
}

fn stands(left: &BTreeMap<MemberId, BTreeSet<u64>>, entry: &Entry) -> bool {
    left.get(&entry.id.sender).is_some_and(|counts| counts.contains(&entry.id.count))
}

/// `told`: what stood in each list at first.
fn next(
    lists: &mut [VecDeque<Entry>],
    told: &[BTreeSet<MessageId>],
    left: &BTreeMap<MemberId, BTreeSet<u64>>,
) -> Option<Entry> {
    let lowest = |entry: &Entry| left.get(&entry.id.sender).and_then(|counts| counts.first()).copied();
    let is_lowest = |head: &Entry| lowest(head) == Some(head.id.count);
    let is_behind = |head: &Entry| {
        let mut others = lists.iter().zip(told);
        others.any(|(list, told)| {
            told.contains(&head.id) && list.front().is_some_and(|first| first.id != head.id)
        })
    };
    let heads = || lists.iter().map(VecDeque::front).enumerate().filter_map(|(n, head)| Some((n, head?)));
    let free = heads().find(|(_, head)| is_lowest(head) && !is_behind(head));
    if let Some((n, _)) = free.or_else(|| heads().find(|(_, head)| is_lowest(head))) {
        return lists.get_mut(n)?.pop_front();
    }
    let head = lists.iter().filter_map(VecDeque::front).min_by_key(|head| lowest(head))?;
    let (sender, count) = (head.id.sender, lowest(head)?);
    let awaited = |entry: &&Entry| entry.id.sender == sender && entry.id.count == count;
    lists.iter().flatten().find(awaited).cloned()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::base::id::Incarnation;
    use crate::group::VectorClock;

    /// `a3`: the third message of a.
    fn list(ids: &str) -> Vec<Entry> {
        let entry = |id: &str| Entry {
            id: MessageId {
                sender: MemberId { incarnation: Incarnation(u64::from(id.as_bytes()[0])), join: 0 },
                count: id[1..].parse().unwrap(),
            },
            from: id[..1].parse().unwrap(),
            clock: VectorClock::default(),
            payload: Bytes::new(),
        };
        ids.split_whitespace().map(entry).collect()
    }

    /// The lists, and what becomes of them.
    const CASES: &[(&[&str], &str)] = &[
        (&[], ""),
        (&["a1 b1 a2"], "a1 b1 a2"),
        (&["a1 a2", "b1 b2"], "a1 a2 b1 b2"),
        (&["a1 b1 a2", "a1 b1 c1 a2"], "a1 b1 c1 a2"),
        (&["a1 a2 a3", "a1 b1 a2 a3 b2 a4"], "a1 b1 a2 a3 b2 a4"),
        (&["a1 b1", "b1 a1 c1"], "a1 b1 c1"),
        (&["a2 b1", "a1 c1"], "a1 a2 b1 c1"),
        (&["c1 a2", "b1 a1"], "c1 b1 a1 a2"),
        (&["a2 b1", "b2 a1"], "a1 a2 b1 b2"),
        (&["a3 a4", "a2 a3", "a1 a4"], "a1 a2 a3 a4"),
    ];

    #[test]
    fn lists_keep_their_order_and_counts_rise_and_nothing_comes_twice() {
        for (lists, expected) in CASES {
            let woven = weave(lists.iter().map(|ids| list(ids)).collect());
            assert_eq!(woven, list(expected), "{lists:?}");
        }
    }
}
