//! Views: every member sees views with rising ids; one id means one list of members; a view contains who installs it,
//! has at most ten members, all with different names; and what is delivered belongs to the view it is delivered in.

use std::collections::{BTreeMap, BTreeSet};

use decury_common::base::id::{GroupName, MemberId, UserName, ViewId};
use decury_common::base::limits::MEMBERS_MAX;
use decury_common::endpoint::ViewInfo;

use super::{Check, Verdict};
use crate::sim::history::{Record, Roster, Stay, What};

#[derive(Clone, Debug, Default)]
pub(super) struct Views {
    known: BTreeMap<(GroupName, ViewId), ViewInfo>,
}

impl Check for Views {
    fn promise(&self) -> &'static str {
        "views"
    }

    fn observe(&mut self, record: &Record, before: &Roster) -> Verdict {
        match &record.what {
            What::View { group, member, view, first } => {
                let prior = current(before, *member)?;
                self.on_view(*group, *member, view, prior, *first)
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
        first: bool,
    ) -> Verdict {
        let id = view.id;
        if first != prior.is_none() {
            return Err(format!(
                "{member} was told of {id} as if it were its first view, or as if it were not"
            ));
        }
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
}

#[cfg(test)]
mod tests {
    use crate::sim::checks::story::{Story, delivered, info, member};
    use crate::sim::history::What;

    const PROMISE: &str = "views";

    fn installed(host: usize, first: bool, number: u64, hosts: &[usize]) -> What {
        What::View { group: "g".parse().unwrap(), member: member(host), view: info(number, hosts), first }
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
        story.tell(0, installed(0, false, 2, &[0, 1]));
        story.tell(1, installed(1, false, 2, &[1]));
        story.breaks(PROMISE);
    }

    #[test]
    fn a_view_without_its_installer_is_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.tell(0, installed(0, false, 2, &[1]));
        story.breaks(PROMISE);
    }

    #[test]
    fn an_eleventh_member_is_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.tell(0, installed(0, false, 2, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
        story.breaks(PROMISE);
    }

    #[test]
    fn one_name_twice_is_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        let mut view = info(2, &[0, 1]);
        view.members[1].1 = "n0".parse().unwrap();
        story.tell(0, What::View { group: "g".parse().unwrap(), member: member(0), view, first: false });
        story.breaks(PROMISE);
    }

    #[test]
    fn a_second_first_view_is_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.tell(0, installed(0, true, 2, &[0, 1]));
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
