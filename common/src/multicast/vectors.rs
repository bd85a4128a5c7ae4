//! What every member is known to hold of every sender, and what follows: what is stable.

use super::ranges::Ranges;
use crate::base::id::Rank;
use crate::wire::multicast::Ack;

/// One member's word on one sender.
#[derive(Clone, Debug, Default)]
struct Entry {
    contiguous: u64,
    beyond: Ranges,
    delivered: u64,
}

/// The newest receive vectors of the other members.
#[derive(Clone, Debug)]
pub(super) struct Vectors {
    me: Rank,
    members: usize,
    /// By member, then by sender.
    entries: Vec<Entry>,
    /// By sender: what all members but this one and the sender hold; a sender holds all that it has sent.
    others: Vec<u64>,
    /// By sender: how far it says that every member holds its fragments.
    told: Vec<u64>,
    /// By sender: the highest fragment that a third member claims to hold.
    claimed: Vec<u64>,
}

impl Vectors {
    pub(super) fn new(me: Rank, members: usize) -> Vectors {
        let mut vectors = Vectors {
            me,
            members,
            entries: vec![Entry::default(); members * members],
            others: vec![0; members],
            told: vec![0; members],
            claimed: vec![0; members],
        };
        (0..members).for_each(|sender| vectors.recompute(sender));
        vectors
    }

    /// A member's word on one sender; older words change nothing.
    pub(super) fn update(&mut self, member: Rank, sender: Rank, ack: &Ack) {
        let entry = &mut self.entries[member * self.members + sender];
        if ack.contiguous < entry.contiguous {
            return;
        }
        let moved = ack.contiguous > entry.contiguous;
        entry.contiguous = ack.contiguous;
        entry.delivered = entry.delivered.max(ack.contiguous.saturating_sub(ack.undelivered));
        if !(ack.beyond.is_empty() && entry.beyond.is_empty()) {
            entry.beyond = Ranges::from_spans(ack.contiguous, &ack.beyond);
        }
        if member != sender {
            let highest = entry.beyond.end().unwrap_or(entry.contiguous);
            self.claimed[sender] = self.claimed[sender].max(highest);
        }
        if moved {
            self.recompute(sender);
        }
    }

    fn recompute(&mut self, sender: Rank) {
        let others = (0..self.members).filter(|&member| member != self.me && member != sender);
        let least = others.map(|member| self.entry(member, sender).contiguous).min();
        self.others[sender] = least.unwrap_or(u64::MAX);
    }

    fn entry(&self, member: Rank, sender: Rank) -> &Entry {
        &self.entries[member * self.members + sender]
    }

    /// A sender says how far every member holds its fragments.
    pub(super) fn tell(&mut self, sender: Rank, stable: u64) {
        self.told[sender] = self.told[sender].max(stable);
    }

    /// Up to where every member holds a sender's fragments, `mine` being how far this one does.
    pub(super) fn stable(&self, sender: Rank, mine: u64) -> u64 {
        mine.min(self.others[sender].max(self.told[sender]))
    }

    /// Up to where all other members have delivered this member's fragments.
    pub(super) fn delivered_by_others(&self) -> u64 {
        let others = (0..self.members).filter(|&member| member != self.me);
        others.map(|member| self.entry(member, self.me).delivered).min().unwrap_or(u64::MAX)
    }

    /// Up to where a member is known to hold all of a sender.
    pub(super) fn contiguous(&self, member: Rank, sender: Rank) -> u64 {
        self.entry(member, sender).contiguous
    }

    /// What a member is known to hold beyond its contiguous prefix.
    pub(super) fn beyond(&self, member: Rank, sender: Rank) -> &Ranges {
        &self.entry(member, sender).beyond
    }

    /// The highest fragment of a sender that any member but the sender claims to hold.
    pub(super) fn claimed(&self, sender: Rank) -> u64 {
        self.claimed[sender]
    }

    /// The parts of `first` to `last` that a member is known to hold.
    pub(super) fn held(
        &self,
        member: Rank,
        sender: Rank,
        (first, last): (u64, u64),
    ) -> impl Iterator<Item = (u64, u64)> + '_ {
        let entry = self.entry(member, sender);
        let prefix = (first, last.min(entry.contiguous));
        let prefix = (prefix.0 <= prefix.1).then_some(prefix);
        prefix.into_iter().chain(entry.beyond.within(first, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(contiguous: u64) -> Ack {
        Ack { contiguous, ..Ack::default() }
    }

    #[test]
    fn stable_is_what_all_hold_and_a_sender_is_believed_about_its_own() {
        let mut vectors = Vectors::new(0, 3);
        assert_eq!(vectors.stable(1, 9), 0);
        vectors.update(2, 1, &ack(7));
        assert_eq!(vectors.stable(1, 9), 7);
        assert_eq!(vectors.stable(1, 5), 5);
        vectors.update(2, 1, &ack(6));
        assert_eq!(vectors.stable(1, 9), 7, "an old vector takes nothing back");
        vectors.tell(1, 8);
        assert_eq!(vectors.stable(1, 9), 8);
        assert_eq!(vectors.stable(1, 5), 5, "never more than is held here");
        assert_eq!(vectors.stable(0, 4), 0);
        vectors.update(1, 0, &ack(4));
        vectors.update(2, 0, &ack(3));
        assert_eq!(vectors.stable(0, 4), 3);
    }

    #[test]
    fn alone_everything_is_stable_at_once() {
        assert_eq!(Vectors::new(0, 1).stable(0, 12), 12);
    }
}
