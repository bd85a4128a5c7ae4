//! Views: every member sees views with rising ids; one id means one list of members; a view contains who installs it,
//! has at most ten members, all with different names; what is delivered belongs to the view it is delivered in; and what
//! a view says to have changed has changed, and is the same for all who come from the same one.

use std::collections::{BTreeMap, BTreeSet};

use decury_common::base::id::{GroupName, MemberId, UserName, ViewId};
use decury_common::base::limits::MEMBERS_MAX;
use decury_common::endpoint::{Cause, ViewInfo};

use super::{Check, Verdict};
use crate::sim::history::{Change, Record, Roster, Stay, What};

#[derive(Clone, Debug, Default)]
pub(super) struct Views {
    known: BTreeMap<(GroupName, ViewId), ViewInfo>,
    /// What was said to have changed, from one view to another.
    changes: BTreeMap<(GroupName, ViewId, ViewId), Change>,
}

impl Check for Views {
    fn promise(&self) -> &'static str {
        "views"
    }

    fn observe(&mut self, record: &Record, before: &Roster) -> Verdict {
        match &record.what {
            What::View { group, member, view, change } => {
                let prior = current(before, *member)?;
                self.on_view(*group, *member, view, prior)?;
                match (prior, change) {
                    (None, None) => Ok(()),
                    (Some(prior), Some(change)) => self.on_change(*group, *member, (prior, view), change),
                    _ => Err(format!("{member} is told of {} as its first view, or as a later one", view.id)),
                }
            }
            What::Delivered { member, delivery, .. } => {
                let Some(view) = current(before, *member)? else {
                    return Err(format!("{member} delivered {} before its first view", delivery.id));
                };
                if view.id != delivery.view {
                    return Err(format!(
                        "{member} delivered {} of view {} in {}",
                        delivery.id, delivery.view, view.id
                    ));
                }
                let sender = (delivery.id.sender, delivery.from);
                if !view.members.contains(&sender) {
                    return Err(format!(
                        "{member} delivered {} in {}, where its sender is not",
                        delivery.id, view.id
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The member's current view; an error if it should see nothing any more.
fn current(roster: &Roster, member: MemberId) -> Result<Option<&ViewInfo>, String> {
    match roster.seat(member).map(|seat| &seat.stay) {
        Some(Stay::In(view) | Stay::Leaving(_, Some(view))) => Ok(Some(view)),
        Some(Stay::Joining | Stay::Leaving(_, None)) => Ok(None),
        Some(Stay::Over) | None => Err(format!("{member} sees something of a group that it is not in")),
    }
}

impl Views {
    fn on_view(
        &mut self,
        group: GroupName,
        member: MemberId,
        view: &ViewInfo,
        prior: Option<&ViewInfo>,
    ) -> Verdict {
        let id = view.id;
        if let Some(prior) = prior
            && id <= prior.id
        {
            return Err(format!("{member} went from {} back to {id}", prior.id));
        }
        if !view.members.iter().any(|(other, _)| *other == member) {
            return Err(format!("{member} installed {id} without being in it"));
        }
        if view.members.len() > MEMBERS_MAX {
            return Err(format!("{id} has {} members", view.members.len()));
        }
        let names: BTreeSet<UserName> = view.members.iter().map(|(_, name)| *name).collect();
        if names.len() != view.members.len() {
            return Err(format!("two members of {id} have the same name"));
        }
        let known = self.known.entry((group, id)).or_insert_with(|| view.clone());
        if known != view {
            return Err(format!("{member} sees {view:?}, others see {known:?}"));
        }
        Ok(())
    }

    fn on_change(
        &mut self,
        group: GroupName,
        member: MemberId,
        (prior, view): (&ViewInfo, &ViewInfo),
        change: &Change,
    ) -> Verdict {
        let right = said(prior, view);
        let is_possible = match change.cause {
            Cause::Merge => !change.joined.is_empty(),
            Cause::Suspected | Cause::Leave => !change.left.is_empty(),
            Cause::Join => change.left.is_empty(),
        };
        if (&change.joined, &change.left) != (&right.joined, &right.left) || !is_possible {
            return Err(format!("{member} is told {change:?} between {prior:?} and {view:?}"));
        }
        let known = self.changes.entry((group, prior.id, view.id)).or_insert_with(|| change.clone());
        if known != change {
            return Err(format!("{member} is told {change:?}, others are told {known:?}"));
        }
        Ok(())
    }
}

/// What a view has to say, if nobody came from another one.
pub(super) fn said(prior: &ViewInfo, view: &ViewInfo) -> Change {
    let without = |all: &ViewInfo, others: &ViewInfo| -> Vec<UserName> {
        let rest = all.members.iter().filter(|member| !others.members.contains(member));
        rest.map(|&(_, name)| name).collect()
    };
    let (joined, left) = (without(view, prior), without(prior, view));
    let cause = if left.is_empty() { Cause::Join } else { Cause::Leave };
    Change { joined, left, cause }
}

#[cfg(test)]
mod tests {
    use decury_common::endpoint::Cause;

    use super::said;
    use crate::sim::checks::story::{Story, delivered, info, member};
    use crate::sim::history::{Change, What};

    const PROMISE: &str = "views";

    /// Told to a member of the first view of 0 and 1.
    fn installed(host: usize, number: u64, hosts: &[usize]) -> What {
        let view = info(number, hosts);
        let change = Some(said(&info(1, &[0, 1]), &view));
        What::View { group: "g".parse().unwrap(), member: member(host), view, change }
    }

    /// The same, with this said.
    fn told(host: usize, number: u64, hosts: &[usize], joined: &[&str], left: &[&str], cause: Cause) -> What {
        let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        let change = Some(Change { joined: names(joined), left: names(left), cause });
        What::View { group: "g".parse().unwrap(), member: member(host), view: info(number, hosts), change }
    }

    #[test]
    fn rising_views_are_fine() {
        let mut story = Story::with_view(1, &[0, 1, 2]);
        story.view(2, &[0, 1]);
        story.view(4, &[0, 1, 2]);
        story.holds();
    }

    #[test]
    fn a_view_that_goes_back_is_seen() {
        let mut story = Story::with_view(2, &[0, 1]);
        story.view(1, &[0, 1]);
        story.breaks(PROMISE);
    }

    #[test]
    fn two_lists_under_one_id_are_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.tell(0, installed(0, 2, &[0, 1]));
        story.tell(1, installed(1, 2, &[1]));
        story.breaks(PROMISE);
    }

    #[test]
    fn a_view_without_its_installer_is_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.tell(0, installed(0, 2, &[1]));
        story.breaks(PROMISE);
    }

    #[test]
    fn an_eleventh_member_is_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.tell(0, installed(0, 2, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
        story.breaks(PROMISE);
    }

    #[test]
    fn one_name_twice_is_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        let mut view = info(2, &[0, 1]);
        view.members[1].1 = "n0".parse().unwrap();
        let change = Some(said(&info(1, &[0, 1]), &view));
        story.tell(0, What::View { group: "g".parse().unwrap(), member: member(0), view, change });
        story.breaks(PROMISE);
    }

    #[test]
    fn a_second_first_view_is_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.tell(
            0,
            What::View {
                group: "g".parse().unwrap(),
                member: member(0),
                view: info(2, &[0, 1]),
                change: None,
            },
        );
        story.breaks(PROMISE);
    }

    #[test]
    fn what_a_view_says_of_itself_must_be_true_and_the_same_for_all() {
        let cases: [(&[&str], &[&str], Cause, bool); 6] = [
            (&["n2"], &["n1"], Cause::Leave, true),
            (&["n2"], &["n1"], Cause::Merge, true),
            (&["n2"], &["n1"], Cause::Join, false),
            (&[], &["n1"], Cause::Leave, false),
            (&["n2"], &[], Cause::Merge, false),
            (&["n2"], &["n0"], Cause::Suspected, false),
        ];
        for (joined, left, cause, is_right) in cases {
            let mut story = Story::with_view(1, &[0, 1]);
            story.leave(1);
            story.tell(0, told(0, 2, &[0, 2], joined, left, cause));
            match is_right {
                true => story.holds(),
                false => story.breaks(PROMISE),
            }
        }
        let mut story = Story::with_view(1, &[0, 1]);
        story.tell(0, told(0, 2, &[0, 1, 2], &["n2"], &[], Cause::Merge));
        story.tell(1, told(1, 2, &[0, 1, 2], &["n2"], &[], Cause::Join));
        story.breaks(PROMISE);
    }

    #[test]
    fn a_delivery_in_another_view_than_its_own_is_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.send(0, 1);
        story.view(2, &[0, 1]);
        story.tell(1, delivered(1, 0, 1).into_what(1));
        story.breaks(PROMISE);
    }

    #[test]
    fn a_delivery_from_somebody_outside_is_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.send(0, 1);
        story.view(2, &[1]);
        story.tell(1, delivered(2, 0, 1).into_what(1));
        story.breaks(PROMISE);
    }

    #[test]
    fn something_after_the_end_is_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.send(0, 1);
        story.leave(1);
        story.left(1);
        story.deliver(1, 0, 1);
        story.breaks(PROMISE);
    }
}
