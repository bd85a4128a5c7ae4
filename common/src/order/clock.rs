//! The dynamic vector clock: one entry per member of the view, zero when the view begins.

use arrayvec::ArrayVec;

use crate::base::id::Rank;
use crate::base::limits::MEMBERS_MAX;
use crate::wire::multicast::Deps;

/// How many messages of each member of the view, by rank.
pub type Clock = ArrayVec<u64, MEMBERS_MAX>;

/// A clock of a view of `members` members, at its beginning.
pub(super) fn zero(members: usize) -> Clock {
    (0..members.min(MEMBERS_MAX)).map(|_| 0).collect()
}

/// The entries of `now` that differ from `before`, except that of `me`: a message's own number says that one.
pub(super) fn changes(me: Rank, before: &Clock, now: &Clock) -> Deps {
    let entries = before.iter().zip(now).enumerate();
    let changed = entries.filter(|&(rank, (before, now))| rank != me && before != now);
    changed.map(|(rank, (_, &now))| (rank as u8, now)).collect()
}

/// Takes a message's entries into its sender's clock. Entries about nobody, about the sender itself, and such that do not
/// rise are no correct member's: they are ignored. All members see a sender's messages in the same order, so they
/// ignore the same. Returns how many there were.
pub(super) fn apply(sender: Rank, clock: &mut Clock, deps: &Deps) -> u64 {
    let mut refused = 0;
    for &(rank, count) in deps {
        match clock.get_mut(usize::from(rank)) {
            Some(entry) if usize::from(rank) != sender && count > *entry => *entry = count,
            _ => refused += 1,
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(entries: &[u64]) -> Clock {
        entries.iter().copied().collect()
    }

    #[test]
    fn changes_applied_give_the_clock_back() {
        let (before, now) = (clock(&[3, 1, 0, 7]), clock(&[3, 2, 5, 9]));
        let deps = changes(3, &before, &now);
        assert_eq!(deps[..], [(1, 2), (2, 5)]);
        let mut rebuilt = before;
        assert_eq!(apply(3, &mut rebuilt, &deps), 0);
        assert_eq!(rebuilt, clock(&[3, 2, 5, 7]));
    }

    #[test]
    fn entries_of_no_correct_member_are_ignored_and_counted() {
        let mut now = clock(&[3, 1, 0]);
        let deps: Deps = [(9, 1), (0, 2), (0, 3), (1, 50), (2, 4), (2, 4)].into_iter().collect();
        assert_eq!(apply(1, &mut now, &deps), 5);
        assert_eq!(now, clock(&[3, 1, 4]));
    }
}
