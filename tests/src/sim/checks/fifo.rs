//! Each sender's messages in the order of sending, without a gap, within the view of sending; and never backwards.

use std::collections::BTreeMap;

use decury_common::base::id::{MemberId, MessageId, ViewId};

use super::{Check, Verdict};
use crate::sim::history::{Record, Roster, What};

#[derive(Clone, Debug, Default)]
pub(super) struct Fifo {
    /// What a member delivered last of a sender, and in which view; in none if it was told.
    last: BTreeMap<(MemberId, MemberId), (Option<ViewId>, u64)>,
    /// With which message of a sender a view begins, and who said so first.
    first: BTreeMap<(ViewId, MemberId), (u64, MemberId)>,
}

impl Check for Fifo {
    fn promise(&self) -> &'static str {
        "first in, first out"
    }

    fn observe(&mut self, record: &Record, _before: &Roster) -> Verdict {
        let (member, delivery) = match &record.what {
            What::Delivered { member, delivery, .. } => (member, delivery),
            What::Told { member, delivery, .. } => return self.told(*member, delivery.id),
            _ => return Ok(()),
        };
        let (id, view) = (delivery.id, delivery.view);
        let last = self.last.insert((*member, id.sender), (Some(view), id.count));
        match last {
            Some((_, count)) if id.count <= count => {
                Err(format!("{member} delivered {id} after number {count} of the same sender"))
            }
            Some((same, count)) if same == Some(view) && id.count != count + 1 => Err(format!(
                "{member} delivered {id} right after number {count} of the same sender in {view}"
            )),
            Some((same, _)) if same == Some(view) => Ok(()),
            _ => {
                let (first, who) = *self.first.entry((view, id.sender)).or_insert((id.count, *member));
                if first == id.count {
                    return Ok(());
                }
                Err(format!(
                    "in {view} {member} begins with {id}, {who} began with number {first} of that sender"
                ))
            }
        }
    }
}

impl Fifo {
    fn told(&mut self, member: MemberId, id: MessageId) -> Verdict {
        match self.last.insert((member, id.sender), (None, id.count)) {
            Some((_, count)) if id.count <= count => {
                Err(format!("{member} is told {id} after number {count} of the same sender"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::checks::story::Story;

    const PROMISE: &str = "first in, first out";

    fn told() -> Story {
        let mut story = Story::with_view(1, &[0, 1]);
        for count in 1..=3 {
            story.send(0, count);
        }
        story
    }

    #[test]
    fn in_order_is_fine() {
        let mut story = told();
        for count in 1..=3 {
            story.deliver(1, 0, count);
        }
        story.holds();
    }

    #[test]
    fn backwards_is_seen() {
        let mut story = told();
        story.deliver(1, 0, 2);
        story.deliver(1, 0, 1);
        story.breaks(PROMISE);
    }

    #[test]
    fn a_gap_is_seen() {
        let mut story = told();
        story.deliver(1, 0, 1);
        story.deliver(1, 0, 3);
        story.breaks(PROMISE);
    }

    #[test]
    fn a_gap_at_the_beginning_of_a_view_is_seen() {
        let mut story = told();
        story.deliver(0, 0, 1);
        story.deliver(1, 0, 2);
        story.breaks(PROMISE);
    }
}
