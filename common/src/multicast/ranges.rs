//! Sets of sequence numbers as ranges, and the spans by which they travel.

use crate::base::list::List;
use crate::wire::membership::Holding;
use crate::wire::multicast::Span;

/// A set of numbers: inclusive ranges, rising, with a gap between any two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// The ranges that spans describe, `floor` being the number that the first gap is counted from. Reading ends at
    /// the first span that no correct member would send (nothing missing before it, empty, or beyond all numbers).
    pub(super) fn from_spans(floor: u64, spans: &[Span]) -> Ranges {
        let mut ranges = Vec::with_capacity(spans.len());
        let mut end = floor;
        for span in spans {
            let first = end.checked_add(u64::from(span.gap)).and_then(|gap_end| gap_end.checked_add(1));
            let last = first.and_then(|first| first.checked_add(u64::from(span.len).checked_sub(1)?));
            match (first, last) {
                (Some(first), Some(last)) if span.gap > 0 => {
                    ranges.push((first, last));
                    end = last;
                }
                _ => break,
            }
        }
        Ranges(ranges)
    }

    /// All that a promiser holds of one sender.
    pub(super) fn of_holding(holding: &Holding) -> Ranges {
        let mut ranges = Ranges::from_spans(holding.contiguous, &holding.beyond);
        if holding.contiguous > 0 {
            ranges.insert_range(1, holding.contiguous);
        }
        ranges
    }

    /// The lowest `N` ranges as spans; all numbers here are above `floor + 1`.
    pub(super) fn to_spans<const N: usize>(&self, floor: u64) -> List<Span, N> {
        let mut end = floor;
        let spans = self.0.iter().take(N).map(|&(first, last)| {
            let gap = u32::try_from(first - end - 1).unwrap_or(u32::MAX);
            let len = u32::try_from(last - first + 1).unwrap_or(u32::MAX);
            end = last;
            Span { gap, len }
        });
        spans.collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        let at = self.0.partition_point(|&(_, last)| last < number);
        self.0.get(at).is_some_and(|&(first, _)| first <= number)
    }

    /// How many ranges there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The highest number.
    pub(super) fn end(&self) -> Option<u64> {
        self.0.last().map(|&(_, last)| last)
    }

    pub(super) fn insert(&mut self, number: u64) {
        self.insert_range(number, number);
    }

    /// Adds `first` to `last`, both included.
    pub(super) fn insert_range(&mut self, first: u64, last: u64) {
        let from = self.0.partition_point(|&(_, end)| end.saturating_add(1) < first);
        let upto = self.0.partition_point(|&(start, _)| start <= last.saturating_add(1));
        if from == upto {
            self.0.insert(from, (first, last));
            return;
        }
        let joined = (first.min(self.0[from].0), last.max(self.0[upto - 1].1));
        self.0[from] = joined;
        self.0.drain(from + 1..upto);
    }

    /// Takes the first range out if it begins with `number`; returns its end.
    pub(super) fn take_from(&mut self, number: u64) -> Option<u64> {
        let &(first, last) = self.0.first()?;
        (first == number).then(|| {
            self.0.remove(0);
            last
        })
    }

    /// The parts of `first` to `last` that are not in the set, rising.
    pub(super) fn gaps(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let above = self.0.partition_point(|&(_, end)| end < first);
        let stops = self.0[above..].iter().copied().chain(std::iter::once((u64::MAX, u64::MAX)));
        let mut next = Some(first);
        stops
            .map_while(move |(start, end)| {
                let from = next.filter(|&from| from <= last)?;
                next = end.checked_add(1);
                Some((from, (start - 1).min(last)))
            })
            .filter(|&(from, to)| from <= to)
    }

    /// The parts of `first` to `last` that are in the set, rising.
    pub(super) fn within(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let from = self.0.partition_point(|&(_, end)| end < first);
        let overlapping = self.0[from..].iter().take_while(move |&&(start, _)| start <= last);
        overlapping.map(move |&(start, end)| (start.max(first), end.min(last)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(list: &[(u64, u64)]) -> Ranges {
        Ranges(list.to_vec())
    }

    #[test]
    fn insertions_join_what_touches() {
        type Case = (&'static [(u64, u64)], (u64, u64), &'static [(u64, u64)]);
        let cases: &[Case] = &[
            (&[], (5, 5), &[(5, 5)]),
            (&[(5, 5)], (6, 6), &[(5, 6)]),
            (&[(5, 5)], (4, 4), &[(4, 5)]),
            (&[(5, 5)], (7, 7), &[(5, 5), (7, 7)]),
            (&[(5, 5)], (3, 3), &[(3, 3), (5, 5)]),
            (&[(3, 3), (5, 5)], (4, 4), &[(3, 5)]),
            (&[(3, 4), (8, 9)], (1, 20), &[(1, 20)]),
            (&[(3, 4), (8, 9), (12, 12)], (4, 10), &[(3, 10), (12, 12)]),
            (&[(3, 9)], (4, 5), &[(3, 9)]),
        ];
        for (before, (first, last), after) in cases {
            let mut set = ranges(before);
            set.insert_range(*first, *last);
            assert_eq!(set, ranges(after), "{before:?} + {first}..={last}");
        }
    }

    #[test]
    fn gaps_and_what_is_within_divide_a_range() {
        type Case = ((u64, u64), &'static [(u64, u64)], &'static [(u64, u64)]);
        let set = ranges(&[(3, 4), (8, 9)]);
        let cases: &[Case] = &[
            ((1, 10), &[(1, 2), (5, 7), (10, 10)], &[(3, 4), (8, 9)]),
            ((4, 8), &[(5, 7)], &[(4, 4), (8, 8)]),
            ((3, 4), &[], &[(3, 4)]),
            ((5, 7), &[(5, 7)], &[]),
            ((9, 9), &[], &[(9, 9)]),
            ((10, 12), &[(10, 12)], &[]),
            ((7, 5), &[], &[]),
        ];
        for ((first, last), gaps, within) in cases {
            assert_eq!(set.gaps(*first, *last).collect::<Vec<_>>(), *gaps, "gaps in {first}..={last}");
            assert_eq!(set.within(*first, *last).collect::<Vec<_>>(), *within, "within {first}..={last}");
        }
        assert_eq!(ranges(&[]).gaps(1, 3).collect::<Vec<_>>(), [(1, 3)]);
    }

    #[test]
    fn spans_bring_ranges_back() {
        let set = ranges(&[(12, 12), (15, 20), (30, 31)]);
        let spans: List<Span, 16> = set.to_spans(10);
        assert_eq!(spans[0], Span { gap: 1, len: 1 });
        assert_eq!(spans[1], Span { gap: 2, len: 6 });
        assert_eq!(Ranges::from_spans(10, &spans), set);
        let two: List<Span, 2> = set.to_spans(10);
        assert_eq!(Ranges::from_spans(10, &two), ranges(&[(12, 12), (15, 20)]));
    }

    #[test]
    fn hostile_spans_end_the_reading() {
        let good = Span { gap: 1, len: 2 };
        for bad in [Span { gap: 0, len: 1 }, Span { gap: 1, len: 0 }] {
            assert_eq!(Ranges::from_spans(0, &[good, bad, good]), ranges(&[(2, 3)]));
        }
        assert!(Ranges::from_spans(u64::MAX - 1, &[good]).is_empty());
        assert!(Ranges::from_spans(u64::MAX, &[good]).is_empty());
    }
}
