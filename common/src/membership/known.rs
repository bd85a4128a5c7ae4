//! What is known of all that was ever said in a group: of each member, gone ones included, the number of its last message.
//!
//! It is bounded, and by one rule, since what one member forgets and another does not is told again: members stay; of
//! those who are gone, whose time nobody knows, the ones with the lowest ids are forgotten.

use std::collections::BTreeMap;

use crate::base::id::MemberId;
use crate::base::limits::KNOWN_MAX;
use crate::wire::membership::Digest;

/// Of each member the number of its last message that is known here.
pub type Known = BTreeMap<MemberId, u64>;

/// Notes the last messages of some members as known; of too many those who are members stay.
pub fn note(
    known: &mut Known,
    last: impl IntoIterator<Item = (MemberId, u64)>,
    is_member: impl Fn(MemberId) -> bool,
) {
    for (member, count) in last {
        let last = known.entry(member).or_default();
        *last = count.max(*last);
    }
    let mut surplus = known.len().saturating_sub(KNOWN_MAX);
    known.retain(|&member, _| {
        let stays = surplus == 0 || is_member(member);
        surplus -= usize::from(!stays);
        stays
    });
}

/// What is known, for the wire.
pub fn digest(known: &Known) -> Digest {
    known.iter().map(|(&member, &count)| (member, count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::Incarnation;

    #[test]
    fn of_too_many_the_members_and_the_highest_stay_in_whatever_order_they_come() {
        let member = |n: u64| MemberId { incarnation: Incarnation(n), join: 0 };
        let is_member = |id: MemberId| [1, 500].contains(&id.incarnation.0);
        let last = 2 * KNOWN_MAX as u64;
        let (mut rising, mut falling) = (Known::new(), Known::new());
        (1..=last).for_each(|n| note(&mut rising, [(member(n), n)], is_member));
        (1..=last).rev().for_each(|n| note(&mut falling, [(member(n), n)], is_member));
        assert_eq!(rising, falling);
        assert_eq!(rising.len(), KNOWN_MAX);
        assert!([1, 500, last].iter().all(|&n| rising.get(&member(n)) == Some(&n)));
        assert_eq!(digest(&rising).len(), KNOWN_MAX);
    }
}
