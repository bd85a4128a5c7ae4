//! Notices: who leaves a view without having wished to was said to be silent before, to everybody who sees it; who was
//! said to be silent and is in the view in the end was said to be back; who stays beside a full view, whom deaths alone have
//! left alone, and who waits in `total` or `safe` for a dead member alone, is told so; and nothing is said that cannot be
//! true, or twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use decury_common::base::id::{GroupName, MemberId, UserName};
use decury_common::base::limits::MEMBERS_MAX;
use decury_common::base::time::Instant;
use decury_common::endpoint::ViewInfo;
use decury_common::order::OrderKind;

use super::{Check, Verdict};
use crate::sim::history::{Noticed, Record, Roster, Stay, What};

/// Who is left alone is told so within this time: what waits for the past before the view may wait for a second.
const ALONE_WITHIN: Duration = Duration::from_secs(3);
/// A wait is told within this time: half a second, counted anew when the group comes to wait for another message.
const WAIT_WITHIN: Duration = Duration::from_millis(1_700);

#[derive(Clone, Debug, Default)]
pub(super) struct Notices {
    /// Whom each member was told to be silent, and not to be back.
    silent: BTreeMap<MemberId, BTreeSet<UserName>>,
    /// Who was told to be alone in its current view.
    alone: BTreeSet<MemberId>,
    /// Who has ever asked to be in each group.
    joined: BTreeMap<GroupName, BTreeSet<MemberId>>,
    /// Who was told in its current view that it does not merge.
    apart: BTreeSet<MemberId>,
    /// Who has ever wished to leave, or has left.
    leavers: BTreeSet<MemberId>,
    /// Who has left a view untold and lives: it must have left the group by itself, which a session may do, and says so
    /// soon.
    owed: BTreeMap<MemberId, String>,
    /// Since when a member is alone whom it was not told yet, all others being dead.
    lonely: BTreeMap<MemberId, Instant>,
    /// Since when a member waits that was not told so yet: a message of its own cannot be placed without a dead one.
    waits: BTreeMap<MemberId, Instant>,
    /// Who was told in its current view that it waits: that is told once.
    waiting: BTreeSet<MemberId>,
    /// Something is wrong on some link.
    is_disturbed: bool,
    /// Until when some host is stopped, or reads nothing.
    stopped_until: Instant,
    /// When something happened last.
    now: Instant,
}

fn current(roster: &Roster, member: MemberId) -> Option<&ViewInfo> {
    match &roster.seat(member)?.stay {
        Stay::In(view) => Some(view),
        _ => None,
    }
}

fn name(view: &ViewInfo, member: MemberId) -> Option<UserName> {
    view.members.iter().find(|(id, _)| *id == member).map(|&(_, name)| name)
}

impl Notices {
    fn noticed(&mut self, group: GroupName, member: MemberId, notice: Noticed, view: &ViewInfo) -> Verdict {
        match notice {
            Noticed::Alone => _ = self.lonely.remove(&member),
            Noticed::WaitingFor(_) => {
                self.waits.remove(&member);
                self.waiting.insert(member);
            }
            _ => {}
        }
        let silent = self.silent.entry(member).or_default();
        let among = |user: UserName| view.members.iter().any(|&(_, name)| name == user);
        let is_me = |user: UserName| name(view, member) == Some(user);
        match notice {
            Noticed::Suspected(user) if !among(user) || is_me(user) => {
                Err(format!("{member} is told that {user} is silent, who is not another member"))
            }
            Noticed::Suspected(user) if !silent.insert(user) => {
                Err(format!("{member} is told twice that {user} is silent"))
            }
            Noticed::Back(user) if !silent.remove(&user) => {
                Err(format!("{member} is told that {user} is back, who was not silent"))
            }
            Noticed::Alone if view.members.len() > 1 => {
                Err(format!("{member} is told to be alone, in a view of {}", view.members.len()))
            }
            Noticed::Alone if !self.alone.insert(member) => {
                Err(format!("{member} is told twice to be alone"))
            }
            Noticed::MergeRefused if self.joined.get(&group).is_none_or(|all| all.len() <= MEMBERS_MAX) => {
                Err(format!("{member} is told of a full view besides its own, and there never were so many"))
            }
            Noticed::MergeRefused if !self.apart.insert(member) => {
                Err(format!("{member} is told twice that its view does not merge"))
            }
            Noticed::WaitingFor(user) if is_me(user) => Err(format!("{member} is told to wait for itself")),
            _ => Ok(()),
        }
    }

    /// What has not been told by now was to be told, if it was due; what a member waited for is over.
    fn due(&mut self, member: MemberId, at: Instant) -> Verdict {
        let late = |since: Option<Instant>, within| since.is_some_and(|since| at.since(since) > within);
        if late(self.lonely.remove(&member), ALONE_WITHIN) {
            return Err(format!("{member} was not told that it is alone"));
        }
        if late(self.waits.remove(&member), WAIT_WITHIN) {
            return Err(format!("{member} was not told for whom it waits"));
        }
        Ok(())
    }

    /// Whether a death alone has ended this member's stay.
    fn is_dead(&self, member: MemberId, roster: &Roster) -> bool {
        roster.seat(member).is_some_and(|seat| seat.stay == Stay::Over) && !self.leavers.contains(&member)
    }

    /// A member has sent: it waits, if that cannot be placed without a dead member of its view.
    fn sends(&mut self, member: MemberId, at: Instant, roster: &Roster) {
        let Some(view) = current(roster, member) else { return };
        let is_placed = matches!(view.order, OrderKind::Total | OrderKind::Safe);
        let is_told = self.waiting.contains(&member);
        if is_placed
            && !is_told
            && !self.is_disturbed
            && at >= self.stopped_until
            && view.members.iter().any(|&(id, _)| self.is_dead(id, roster))
        {
            self.waits.entry(member).or_insert(at);
        }
    }

    fn installs(&mut self, at: Instant, member: MemberId, view: &ViewInfo, before: &Roster) -> Verdict {
        self.due(member, at)?;
        let Some(former) = current(before, member) else { return Ok(()) };
        self.alone.remove(&member);
        self.apart.remove(&member);
        self.waiting.remove(&member);
        let mut others = former.members.iter().filter(|&&(id, _)| id != member).peekable();
        if view.members.len() == 1
            && others.peek().is_some()
            && others.all(|&(id, _)| self.is_dead(id, before))
        {
            self.lonely.insert(member, at);
        }
        let stays = |user: UserName| view.members.iter().any(|&(_, name)| name == user);
        let silent = self.silent.get(&member);
        let told = |user: &UserName| silent.is_some_and(|silent| silent.contains(user));
        let gone = former.members.iter().filter(|(id, user)| !stays(*user) && !self.leavers.contains(id));
        for (id, user) in gone.filter(|(_, user)| !told(user)) {
            let what = format!("{member} was not told that {user} is silent, who is not in {}", view.id);
            // A session may not have told yet that it is in, and wish to leave all the same.
            if before.seat(*id).is_some_and(|seat| seat.stay == Stay::Over) {
                return Err(what);
            }
            self.owed.insert(*id, what);
        }
        Ok(())
    }
}

impl Notices {
    /// Whether everybody in a view of this group beside a full one has been told so.
    pub(super) fn are_told_apart(&self, group: GroupName, roster: &Roster) -> Verdict {
        let views = || {
            let seats = roster.wanted(group);
            seats.filter_map(|(member, _)| Some((member, current(roster, member)?)))
        };
        let full: BTreeSet<_> =
            views().filter(|(_, view)| view.members.len() >= MEMBERS_MAX).map(|(_, view)| view.id).collect();
        let mut beside = views().filter(|(_, view)| full.iter().any(|&id| id != view.id));
        match beside.find(|(member, _)| !self.apart.contains(member)) {
            Some((member, view)) => {
                Err(format!("{member} was not told in {} that it does not merge with a full view", view.id))
            }
            None => Ok(()),
        }
    }

    /// Nothing is due at a host that is not left to itself; and while any host is stopped or dies, others may wait for
    /// changing reasons.
    fn disturb(&mut self, record: &Record, before: &Roster) {
        let is_elsewhere =
            |member: &MemberId| before.seat(*member).is_some_and(|seat| seat.host != record.host);
        self.lonely.retain(|member, _| is_elsewhere(member));
        self.waits.clear();
    }
}

impl Check for Notices {
    fn promise(&self) -> &'static str {
        "notices"
    }

    fn observe(&mut self, record: &Record, before: &Roster) -> Verdict {
        self.now = record.at;
        match &record.what {
            What::Joining { group, member } => {
                self.joined.entry(*group).or_default().insert(*member);
            }
            What::Leaving { member, .. } => {
                self.leavers.insert(*member);
                return self.due(*member, record.at);
            }
            What::Ending => {
                let there = before.seats().filter(|(_, seat)| seat.host == record.host);
                self.leavers.extend(there.map(|(member, _)| member));
                self.disturb(record, before);
            }
            What::Left { member, .. } => {
                self.leavers.insert(*member);
                self.owed.remove(member);
                return self.due(*member, record.at);
            }
            What::Stopped(until) => {
                self.stopped_until = self.stopped_until.max(*until);
                self.disturb(record, before);
            }
            What::Disturbed(links) => {
                self.is_disturbed = !links.is_empty();
                self.waits.clear();
            }
            What::Sent { id, .. } => self.sends(id.sender, record.at, before),
            What::Delivered { member, delivery, .. } if delivery.id.sender == *member => {
                if self.waits.get(member).is_some_and(|since| record.at.since(*since) > WAIT_WITHIN) {
                    return Err(format!("{member} was not told for whom it waits"));
                }
                self.waits.remove(member);
            }
            What::Killed => {
                self.disturb(record, before);
                self.owed
                    .retain(|member, _| before.seat(*member).is_some_and(|seat| seat.host != record.host));
            }
            What::Noticed { group, member, notice } => {
                if let Some(view) = current(before, *member) {
                    return self.noticed(*group, *member, *notice, view);
                }
            }
            What::View { member, view: new, change: Some(_), .. } => {
                return self.installs(record.at, *member, new, before);
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, roster: &Roster) -> Verdict {
        let groups: BTreeSet<GroupName> = roster.seats().map(|(_, seat)| seat.group).collect();
        groups.into_iter().try_for_each(|group| self.are_told_apart(group, roster))?;
        if let Some((_, what)) = self.owed.pop_first() {
            return Err(what);
        }
        let lonely: Vec<MemberId> = self.lonely.keys().copied().collect();
        lonely.into_iter().try_for_each(|member| self.due(member, self.now))?;
        for (&member, silent) in &self.silent {
            let Some(view) = current(roster, member) else { continue };
            if let Some((_, user)) = view.members.iter().find(|(_, user)| silent.contains(user)) {
                return Err(format!("{member} was told that {user} is silent, and never that it is back"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::checks::story::{Story, member};

    const PROMISE: &str = "notices";

    fn user(host: usize) -> UserName {
        format!("n{host}").parse().unwrap()
    }

    /// A group in its first view, whose members are told only what a test says.
    fn quiet(hosts: &[usize]) -> Story {
        let mut story = Story::with_view(1, hosts);
        story.keeps_quiet();
        story
    }

    fn notice(story: &mut Story, host: usize, notice: Noticed) {
        story.tell(host, What::Noticed { group: "g".parse().unwrap(), member: member(host), notice });
    }

    #[test]
    fn silence_told_before_the_view_and_the_return_told_are_fine() {
        let mut story = quiet(&[0, 1]);
        for host in [0, 1] {
            notice(&mut story, host, Noticed::WaitingFor(user(1 - host)));
            notice(&mut story, host, Noticed::Suspected(user(1 - host)));
            story.view(2 + host as u64, &[host]);
            notice(&mut story, host, Noticed::Alone);
            notice(&mut story, host, Noticed::Back(user(1 - host)));
        }
        story.view(4, &[0, 1]);
        story.end();
        story.holds();
    }

    /// Host 0 is left alone by the death of the other.
    fn left_alone() -> Story {
        let mut story = quiet(&[0, 1]);
        story.kill(1);
        notice(&mut story, 0, Noticed::Suspected(user(1)));
        story.view(2, &[0]);
        story
    }

    #[test]
    fn who_is_left_alone_and_not_told_so_is_seen() {
        for is_told in [true, false] {
            let mut story = left_alone();
            if is_told {
                notice(&mut story, 0, Noticed::Alone);
            }
            story.wait(ALONE_WITHIN * 2);
            story.leave(0);
            if is_told { story.holds() } else { story.breaks(PROMISE) }
        }
        let mut story = left_alone();
        story.leave(0);
        story.holds();
    }

    #[test]
    fn who_waits_for_a_dead_member_and_is_not_told_so_is_seen() {
        for (order, is_told, is_right) in [
            (OrderKind::Total, true, true),
            (OrderKind::Total, false, false),
            (OrderKind::Safe, false, false),
            (OrderKind::Causal, false, true),
        ] {
            let mut story = Story::new(order);
            story.view(1, &[0, 1, 2]);
            story.kill(2);
            story.send(0, 1);
            if is_told {
                notice(&mut story, 0, Noticed::WaitingFor(user(2)));
            }
            story.wait(WAIT_WITHIN * 2);
            story.view(2, &[0, 1]);
            if is_right { story.holds() } else { story.breaks(PROMISE) }
        }
    }

    #[test]
    fn a_leaver_goes_without_a_notice() {
        let mut story = quiet(&[0, 1]);
        story.leave(1);
        story.view(2, &[0]);
        story.holds();
    }

    #[test]
    fn a_member_that_leaves_unasked_goes_without_a_notice_and_one_that_does_not_leave_is_seen() {
        for leaves in [true, false] {
            let mut story = quiet(&[0, 1]);
            story.view(2, &[0]);
            if leaves {
                story.left(1);
            }
            story.end();
            if leaves { story.holds() } else { story.breaks(PROMISE) }
        }
    }

    #[test]
    fn a_member_that_vanishes_untold_is_seen() {
        let mut story = quiet(&[0, 1, 2]);
        story.kill(2);
        notice(&mut story, 0, Noticed::Suspected(user(1)));
        story.view(2, &[0, 1]);
        story.breaks(PROMISE);
    }

    #[test]
    fn a_return_that_is_not_told_is_seen() {
        let mut story = quiet(&[0, 1]);
        notice(&mut story, 0, Noticed::Suspected(user(1)));
        story.end();
        story.breaks(PROMISE);
    }

    /// Ten in a view, and two more in another one.
    fn full() -> Story {
        let mut story = quiet(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        story.view(2, &[10, 11]);
        story
    }

    #[test]
    fn all_who_stay_beside_a_full_view_must_be_told_in_each_view_of_theirs() {
        let mut story = full();
        notice(&mut story, 10, Noticed::MergeRefused);
        story.end();
        story.breaks(PROMISE);

        let mut story = full();
        [10, 11].into_iter().for_each(|host| notice(&mut story, host, Noticed::MergeRefused));
        story.view(3, &[10, 11, 12]);
        [10, 11].into_iter().for_each(|host| notice(&mut story, host, Noticed::MergeRefused));
        story.end();
        story.breaks(PROMISE);

        let mut story = full();
        [10, 11].into_iter().for_each(|host| notice(&mut story, host, Noticed::MergeRefused));
        story.end();
        story.holds();
    }

    #[test]
    fn that_views_do_not_merge_is_not_told_twice_or_without_a_full_one() {
        let mut story = full();
        for _ in 0..2 {
            notice(&mut story, 10, Noticed::MergeRefused);
        }
        story.breaks(PROMISE);
    }

    #[test]
    fn what_cannot_be_true_or_was_said_before_is_seen() {
        for wrong in [
            &[Noticed::Suspected(user(7))][..],
            &[Noticed::Suspected(user(0))],
            &[Noticed::Suspected(user(1)), Noticed::Suspected(user(1))],
            &[Noticed::Back(user(1))],
            &[Noticed::Alone],
            &[Noticed::WaitingFor(user(0))],
            &[Noticed::MergeRefused],
        ] {
            let mut story = quiet(&[0, 1]);
            wrong.iter().for_each(|wrong| notice(&mut story, 0, *wrong));
            story.breaks(PROMISE);
        }
    }
}
