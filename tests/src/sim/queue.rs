//! What is on its way, by time of arrival. Ties are broken by the order of sending, so that a run replays exactly.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use decury_common::base::time::Instant;

/// A queue of things that happen at an instant.
#[derive(Clone, Debug)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    pushed: u64,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    at: Instant,
    serial: u64,
    item: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.serial == other.serial
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Queue<T> {
        Queue { heap: BinaryHeap::new(), pushed: 0 }
    }

    pub(crate) fn push(&mut self, at: Instant, item: T) {
        self.pushed += 1;
        self.heap.push(Reverse(Entry { at, serial: self.pushed, item }));
    }

    /// Forgets what would happen after `limit`.
    pub(crate) fn cut_off(&mut self, limit: Instant) {
        self.heap.retain(|Reverse(entry)| entry.at <= limit);
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    pub(crate) fn pop(&mut self) -> Option<(Instant, T)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_for_one_instant_leaves_in_the_order_it_came() {
        let mut queue = Queue::new();
        for (at, item) in [(2, 'c'), (1, 'a'), (2, 'd'), (1, 'b')] {
            queue.push(Instant::from_micros(at), item);
        }
        let order: String = std::iter::from_fn(|| queue.pop()).map(|(_, item)| item).collect();
        assert_eq!(order, "abcd");
    }
}
