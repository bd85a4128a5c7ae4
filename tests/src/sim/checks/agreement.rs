//! Agreement (virtual synchrony): members that go together from one view to the next have delivered the same set of
//! messages in the first. And at the end, those who are in one view have delivered the same there.

use std::collections::{BTreeMap, BTreeSet};

use decury_common::base::id::{GroupName, MemberId, MessageId, ViewId};

use super::{Check, Verdict};
use crate::sim::history::{Record, Roster, Stay, What};

#[derive(Clone, Debug, Default)]
pub(super) struct Agreement {
    /// What each member has delivered in its current view.
    current: BTreeMap<MemberId, (ViewId, BTreeSet<MessageId>)>,
    /// What those who went from the first view to the second had delivered in the first, and who said so first.
    moved: BTreeMap<(GroupName, ViewId, ViewId), (MemberId, BTreeSet<MessageId>)>,
}

impl Check for Agreement {
    fn promise(&self) -> &'static str {
        "agreement"
    }

    fn observe(&mut self, record: &Record, _before: &Roster) -> Verdict {
        match &record.what {
            What::Delivered { member, delivery, .. } => {
                if let Some((_, set)) = self.current.get_mut(member) {
                    set.insert(delivery.id);
                }
                Ok(())
            }
            What::View { group, member, view, .. } => {
                match self.current.insert(*member, (view.id, BTreeSet::new())) {
                    Some((prior, set)) => self.compare((*group, prior, view.id), *member, set),
                    None => Ok(()),
                }
            }
            What::Left { member, .. } => {
                self.current.remove(member);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, roster: &Roster) -> Verdict {
        self.complete(roster)
    }
}

impl Agreement {
    /// Whether those who are in one view have delivered the same there.
    pub(super) fn complete(&self, roster: &Roster) -> Verdict {
        let mut first: BTreeMap<(GroupName, ViewId), MemberId> = BTreeMap::new();
        for (member, seat) in roster.seats() {
            let (Stay::In(view), Some((_, set))) = (&seat.stay, self.current.get(&member)) else { continue };
            let other = *first.entry((seat.group, view.id)).or_insert(member);
            if let Some((_, others)) = self.current.get(&other)
                && let Some(id) = set.symmetric_difference(others).next()
            {
                let (has, lacks) = if set.contains(id) { (member, other) } else { (other, member) };
                return Err(format!(
                    "at the end {has} has delivered {id} in {} and {lacks} has not",
                    view.id
                ));
            }
        }
        Ok(())
    }

    fn compare(
        &mut self,
        step: (GroupName, ViewId, ViewId),
        member: MemberId,
        set: BTreeSet<MessageId>,
    ) -> Verdict {
        let (_, prior, next) = step;
        let Some((other, others)) = self.moved.get(&step) else {
            self.moved.insert(step, (member, set));
            return Ok(());
        };
        let Some(id) = set.symmetric_difference(others).next() else { return Ok(()) };
        let (has, lacks) = if set.contains(id) { (member, *other) } else { (*other, member) };
        Err(format!("{has} delivered {id} in {prior} and {lacks} did not, both went on to {next}"))
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::checks::story::Story;

    const PROMISE: &str = "agreement";

    fn told() -> Story {
        let mut story = Story::with_view(1, &[0, 1, 2]);
        story.send(0, 1);
        story.deliver(0, 0, 1);
        story.deliver(1, 0, 1);
        story
    }

    #[test]
    fn those_who_go_together_delivered_the_same() {
        let mut story = told();
        story.view(2, &[0, 1]);
        story.holds();
    }

    #[test]
    fn a_member_that_comes_along_without_a_message_is_seen() {
        let mut story = told();
        story.view(2, &[0, 1, 2]);
        story.breaks(PROMISE);
    }

    #[test]
    fn a_member_that_goes_elsewhere_may_differ() {
        let mut story = told();
        story.view(2, &[0, 1]);
        story.view(3, &[2]);
        story.end();
        story.holds();
    }

    #[test]
    fn members_of_the_last_view_that_differ_are_seen_at_the_end() {
        let mut story = told();
        story.holds();
        story.end();
        story.breaks(PROMISE);
    }
}
