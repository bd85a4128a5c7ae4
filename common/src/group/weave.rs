//! What several members told, made one list: each list keeps its order, each sender's counts rise, nothing comes twice.
//!
//! Pure data. The lists' heads are taken, the first list's as long as possible; a head waits while a lower count of its
//! sender stands in another list. If all heads wait for each other, the lists contradict each other; then senders'
//! counts win over lists.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::history::Entry;
use crate::base::id::MemberId;

/// One list of them all.
pub(super) fn weave(lists: Vec<Vec<Entry>>) -> Vec<Entry> {
    let mut lists: Vec<VecDeque<Entry>> = lists.into_iter().map(VecDeque::from).collect();
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
        let Some(entry) = next(&mut lists, &left) else { return woven };
        if let Some(counts) = left.get_mut(&entry.id.sender) {
            counts.remove(&entry.id.count);
        }
        woven.push(entry);
    }
}

fn stands(left: &BTreeMap<MemberId, BTreeSet<u64>>, entry: &Entry) -> bool {
    left.get(&entry.id.sender).is_some_and(|counts| counts.contains(&entry.id.count))
}

fn next(lists: &mut [VecDeque<Entry>], left: &BTreeMap<MemberId, BTreeSet<u64>>) -> Option<Entry> {
    let lowest = |entry: &Entry| left.get(&entry.id.sender).and_then(|counts| counts.first()).copied();
    let is_free =
        |list: &&mut VecDeque<Entry>| list.front().is_some_and(|head| lowest(head) == Some(head.id.count));
    if let Some(list) = lists.iter_mut().find(is_free) {
        return list.pop_front();
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
    use crate::base::id::{Incarnation, MessageId};
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
        (&["a1 b1 a2", "a1 b1 c1 a2"], "a1 b1 a2 c1"),
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
