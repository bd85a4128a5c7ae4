//! Who goes into the next view, when there may be more than ten: pure arithmetic.

use crate::base::id::ViewId;
use crate::base::limits::MEMBERS_MAX;

/// Groups the views that are in sight into those that merge with each other.
///
/// `views` are ids with their numbers of members, rising by id. Views are considered in this order, beginning with
/// the smallest; one is taken from only if the list thereby grows longer than both itself so far and that view.
/// What is not taken from forms clusters of its own by the same rule: so a full view is left alone, and leftovers
/// merge with each other.
pub(super) fn clusters(views: &[(ViewId, usize)]) -> Vec<Vec<ViewId>> {
    let mut rest = views.to_vec();
    let mut clusters = Vec::new();
    while !rest.is_empty() {
        let (base, mut length) = rest.remove(0);
        let mut cluster = vec![base];
        rest.retain(|&(view, size)| {
            let grown = (length + size).min(MEMBERS_MAX);
            let taken = grown > length && grown > size;
            if taken {
                cluster.push(view);
                length = grown;
            }
            !taken
        });
        clusters.push(cluster);
    }
    clusters
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{Incarnation, MemberId};

    /// Sizes of views in the order of their ids, and the clusters expected, each by positions.
    const CASES: &[(&[usize], &[&[usize]])] = &[
        (&[3], &[&[0]]),
        (&[1, 1], &[&[0, 1]]),
        (&[5, 4], &[&[0, 1]]),
        (&[6, 5], &[&[0, 1]]),
        (&[1, 9], &[&[0, 1]]),
        (&[1, 10], &[&[0], &[1]]),
        (&[10, 1, 1], &[&[0], &[1, 2]]),
        (&[1, 10, 1], &[&[0, 2], &[1]]),
        (&[4, 4, 4], &[&[0, 1, 2]]),
        (&[6, 4, 1], &[&[0, 1], &[2]]),
        (&[], &[]),
    ];

    #[test]
    fn a_view_is_taken_from_only_if_both_sides_gain() {
        let id = |n: usize| {
            let coordinator = MemberId { incarnation: Incarnation(9), join: 0 };
            ViewId { number: n as u64 + 1, coordinator }
        };
        for (sizes, expected) in CASES {
            let views: Vec<_> = sizes.iter().enumerate().map(|(n, &size)| (id(n), size)).collect();
            let expected: Vec<Vec<_>> =
                expected.iter().map(|cluster| cluster.iter().map(|&n| id(n)).collect()).collect();
            assert_eq!(clusters(&views), expected, "sizes {sizes:?}");
        }
    }
}
