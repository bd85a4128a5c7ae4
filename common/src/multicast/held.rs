//! What is held here and cannot be handed on yet, for those who ask why.

use super::Multicast;
use crate::base::id::Rank;

impl Multicast {
    /// Whole messages of which earlier ones of the same sender have not come whole: the sender, its count of the message
    /// in the group, and the index, in this view, of the first that is missing.
    pub fn beyond_gaps(&self) -> impl Iterator<Item = (Rank, u64, u64)> + '_ {
        self.windows.iter().enumerate().flat_map(|(sender, window)| {
            let lacks = window.messages().0 + 1;
            window.whole_beyond().map(move |(_, _, count)| (sender, count, lacks))
        })
    }

    /// Whole messages that were not polled, with their sender's count in the group.
    pub fn unread(&self) -> impl Iterator<Item = (Rank, u64)> + '_ {
        let windows = self.windows.iter().enumerate();
        windows.flat_map(|(sender, window)| window.unread().map(move |count| (sender, count)))
    }

    /// How many messages a member had sent to the group before this view; `None` until one of this view has come. (A
    /// sender counts its messages without gaps over all views.)
    pub fn sent_before(&self, sender: Rank) -> Option<u64> {
        let (index, count) = self.windows.get(sender)?.messages();
        count.checked_sub(index).filter(|_| index > 0)
    }
}
