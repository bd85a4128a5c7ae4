//! Sides that merge tell each other what they said: at the end, whoever is in one view with somebody who delivered a
//! message, live or caught up, that was sent after it joined, has delivered it too, or it was sent before a gap that it was
//! told of. What a member of another side had delivered when they merged comes even after a gap, if these two have not
//! parted since, unless that gap has closed the account of the sender.
//!
//! What is caught up comes right after a view; what only one of the other sides had heard, in the order in which one of its
//! members had. No gap is told to whom nothing is missing.

use std::collections::{BTreeMap, BTreeSet};

use decury_common::base::id::{GroupName, MemberId, MessageId, ViewId};
use decury_common::base::limits::{STORE_BYTES, STORE_MESSAGES};

use super::{Check, Verdict};
use crate::sim::history::{Record, Roster, Stay, What};

#[derive(Clone, Debug, Default)]
pub(super) struct Merges {
    members: BTreeMap<MemberId, Member>,
    /// The how-manieth record each message was sent with, and in which group.
    sent: BTreeMap<MessageId, (u64, GroupName)>,
    records: u64,
}

/// What one member has seen.
#[derive(Clone, Debug, Default)]
struct Member {
    /// The record of its first view.
    joined: u64,
    views: Vec<Installed>,
    /// What it delivered and was told, in order.
    heard: Vec<MessageId>,
    bytes: usize,
    /// It has delivered something in its current view.
    is_live: bool,
    has_left: bool,
}

/// A view at one member.
#[derive(Clone, Debug)]
struct Installed {
    group: GroupName,
    view: ViewId,
    members: Vec<MemberId>,
    /// How many messages it had heard before.
    heard: usize,
    /// How many it was told with it.
    told: usize,
    /// The record with which it was told of a gap.
    gap: Option<u64>,
}

impl Check for Merges {
    fn promise(&self) -> &'static str {
        "what merged sides are told"
    }

    fn observe(&mut self, record: &Record, _before: &Roster) -> Verdict {
        self.records += 1;
        match &record.what {
            What::Sent { group, id, .. } => _ = self.sent.insert(*id, (self.records, *group)),
            What::View { group, member, view, change } => {
                let seen = self.members.entry(*member).or_default();
                if change.is_none() {
                    seen.joined = self.records;
                }
                let members = view.members.iter().map(|&(member, _)| member).collect();
                let (group, view, heard) = (*group, view.id, seen.heard.len());
                seen.views.push(Installed { group, view, members, heard, told: 0, gap: None });
                seen.is_live = false;
            }
            What::Delivered { member, delivery, .. } => {
                let seen = self.members.entry(*member).or_default();
                seen.hear(delivery.id, delivery.payload.len());
                seen.is_live = true;
            }
            What::Told { member, delivery, .. } => {
                let seen = self.members.entry(*member).or_default();
                seen.hear(delivery.id, delivery.payload.len());
                if seen.is_live {
                    return Err(format!("{member} is told {} after live messages", delivery.id));
                }
                if let Some(view) = seen.views.last_mut() {
                    view.told += 1;
                }
            }
            What::Gap { member, .. } => {
                let seen = self.members.entry(*member).or_default();
                if seen.is_live {
                    return Err(format!("{member} is told of a gap after live messages"));
                }
                if let Some(view) = seen.views.last_mut() {
                    view.gap = Some(self.records);
                }
            }
            What::Left { member, .. } => self.members.entry(*member).or_default().has_left = true,
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, roster: &Roster) -> Verdict {
        let mut views: BTreeMap<(GroupName, ViewId), BTreeSet<MemberId>> = BTreeMap::new();
        for (member, seat) in roster.seats() {
            if let Stay::In(view) = &seat.stay {
                views.entry((seat.group, view.id)).or_default().insert(member);
            }
        }
        for ((_, view), members) in &views {
            for (member, other) in members.iter().flat_map(|a| members.iter().map(move |b| (a, b))) {
                self.compare(*member, *other, *view)?;
            }
        }
        for member in views.values().flatten() {
            for other in self.members.keys().filter(|other| *other != member) {
                self.judge_merge(*member, *other)?;
            }
        }
        for (member, seen) in &self.members {
            for (n, _) in seen.views.iter().enumerate().skip(1) {
                self.judge_order(*member, seen, n)?;
                self.judge_gap(*member, seen, n)?;
            }
        }
        Ok(())
    }
}

impl Member {
    fn hear(&mut self, id: MessageId, bytes: usize) {
        self.heard.push(id);
        self.bytes += bytes;
    }

    fn outgrows_the_store(&self) -> bool {
        self.heard.len() > STORE_MESSAGES || self.bytes > STORE_BYTES
    }

    /// The how-manieth view it met somebody in from another side from whom it has not parted since, as each of the two
    /// saw it.
    fn met(&self, other: &Member) -> Option<(usize, usize)> {
        let both = self.views.iter().rev().zip(other.views.iter().rev());
        let together = both.take_while(|(mine, theirs)| mine.view == theirs.view).count();
        let first = |member: &Member| Some(member.views.len() - together).filter(|&at| at > 0);
        (together > 0).then_some(())?;
        first(self).zip(first(other))
    }

    /// What it was told with its how-manieth view.
    fn told(&self, n: usize) -> &[MessageId] {
        let view = &self.views[n];
        &self.heard[view.heard..view.heard + view.told]
    }

    /// The view that it came from into this one, and what it had heard by then. `None`: it has not come, or is new.
    fn came(&self, view: ViewId) -> Option<(ViewId, &[MessageId])> {
        let n = self.views.iter().position(|installed| installed.view == view)?;
        let former = self.views.get(n.checked_sub(1)?)?;
        Some((former.view, &self.heard[..self.views[n].heard]))
    }

    fn is_new_in(&self, view: ViewId) -> bool {
        self.views.first().is_some_and(|first| first.view == view)
    }
}

impl Merges {
    /// The first of these messages that was sent after this member joined, and that it has not heard, unless it is
    /// excused, by its id and the record of its sending.
    fn lacks(
        &self,
        member: &Member,
        messages: &[MessageId],
        is_excused: impl Fn(MessageId, u64) -> bool,
    ) -> Option<MessageId> {
        let heard: BTreeSet<MessageId> = member.heard.iter().copied().collect();
        let sent =
            |id: &MessageId| self.sent.get(id).map(|&(sent, _)| sent).filter(|&sent| sent > member.joined);
        let lacks =
            |id: &MessageId| !heard.contains(id) && sent(id).is_some_and(|sent| !is_excused(*id, sent));
        messages.iter().copied().find(lacks)
    }

    /// Whether the first of two in one view has heard what the second has.
    fn compare(&self, member: MemberId, other: MemberId, view: ViewId) -> Verdict {
        let (Some(seen), Some(others)) = (self.members.get(&member), self.members.get(&other)) else {
            return Ok(());
        };
        let last_gap = seen.views.iter().filter_map(|view| view.gap).max();
        match self.lacks(seen, &others.heard, |_, sent| last_gap.is_some_and(|gap| sent < gap)) {
            Some(id) => Err(format!("at the end, in {view}, {other} has heard {id} and {member} has not")),
            None => Ok(()),
        }
    }

    /// Whether the first has heard what the second had heard when their sides merged for good.
    fn judge_merge(&self, member: MemberId, other: MemberId) -> Verdict {
        let (Some(seen), Some(others)) = (self.members.get(&member), self.members.get(&other)) else {
            return Ok(());
        };
        if seen.outgrows_the_store() || others.outgrows_the_store() {
            return Ok(());
        }
        let Some((mine, theirs)) = seen.met(others) else { return Ok(()) };
        let is_excused = |id, sent| self.is_closed(member, &seen.views[..mine], id, sent);
        if let Some(id) = self.lacks(seen, &others.heard[..others.views[theirs].heard], is_excused) {
            let view = seen.views[mine].view;
            return Err(format!("{member} and {other} merged into {view}: {member} was not told {id}"));
        }
        Ok(())
    }

    /// Whether a gap in one of these views has closed the account of a message's sender before the message came: with a
    /// newer one of that sender, or by the word of somebody who had not heard all either.
    fn is_closed(&self, member: MemberId, views: &[Installed], id: MessageId, sent: u64) -> bool {
        let Some(seen) = self.members.get(&member) else { return false };
        let gaps = views.iter().filter(|view| view.gap.is_some_and(|gap| sent < gap));
        let is_newer = |newer: &MessageId| newer.sender == id.sender && newer.count > id.count;
        let has_newer = || seen.heard.iter().any(is_newer);
        let knew_by_word = |other: &MemberId| {
            let other = self.members.get(other);
            other.is_none_or(|other| other.joined > sent || other.views.iter().any(|view| view.gap.is_some()))
        };
        let others =
            |gap: &Installed| gap.members.iter().any(|other| *other != member && knew_by_word(other));
        gaps.into_iter().any(|gap| has_newer() || others(gap))
    }

    /// Whether what a member was told with a view is nowhere turned against all members of another side. (Those who come
    /// from different sides themselves have heard what these said in different orders, and several of them may tell.)
    /// What two sides had heard is told by one of them: it counts for neither.
    fn judge_order(&self, member: MemberId, seen: &Member, n: usize) -> Verdict {
        let (told, view) = (seen.told(n), &seen.views[n]);
        if told.len() < 2 || seen.outgrows_the_store() {
            return Ok(());
        }
        let former = seen.views[n - 1].view;
        let mut sides: BTreeMap<ViewId, Vec<&[MessageId]>> = BTreeMap::new();
        for other in view.members.iter().filter_map(|other| self.members.get(other)) {
            match other.came(view.view) {
                Some((side, _)) if side == former => {}
                Some((side, log)) => sides.entry(side).or_default().push(log),
                None if other.is_new_in(view.view) => {}
                // Somebody who died before anybody read what it knew: it may have told anything.
                None => return Ok(()),
            }
        }
        for (side, logs) in &sides {
            let others = sides.iter().filter(|(other, _)| *other != side).flat_map(|(_, logs)| logs);
            let elsewhere: BTreeSet<&MessageId> = others.flat_map(|log| log.iter()).collect();
            let told: Vec<MessageId> = told.iter().copied().filter(|id| !elsewhere.contains(id)).collect();
            if let Some((one, next)) = turned(&told, logs) {
                let view = view.view;
                return Err(format!(
                    "{member} is told {one} before {next} in {view}, and all of {side} heard them the other way round"
                ));
            }
        }
        Ok(())
    }

    /// Whether a gap that was told of a view is one: not all that anybody has said by then was heard. Whom this member has
    /// lost since, or when it left, may not have been able to say that it had nothing to tell.
    fn judge_gap(&self, member: MemberId, seen: &Member, n: usize) -> Verdict {
        let Installed { group, view, ref members, gap, .. } = seen.views[n];
        let Some(gap) = gap else { return Ok(()) };
        let later = &seen.views[n + 1..];
        let loses = |later: &Installed| members.iter().any(|member| !later.members.contains(member));
        if later.iter().any(loses) || (later.is_empty() && seen.has_left) {
            return Ok(());
        }
        let heard: BTreeSet<&MessageId> = seen.heard.iter().collect();
        let mut said = self.sent.iter().filter(|&(_, &(sent, of))| of == group && sent < gap);
        match said.all(|(id, _)| heard.contains(id)) {
            true => Err(format!("{member} is told of a gap in {view}, and has heard all that was ever said")),
            false => Ok(()),
        }
    }
}

/// Two messages that follow each other here and stand the other way round in all of these logs. (Where one lacks either,
/// it may have told what it had, and another the rest.)
fn turned(told: &[MessageId], logs: &[&[MessageId]]) -> Option<(MessageId, MessageId)> {
    let places = |log: &&[MessageId]| log.iter().copied().enumerate().map(|(n, id)| (id, n)).collect();
    let logs: Vec<BTreeMap<MessageId, usize>> = logs.iter().map(places).collect();
    let is_turned = |one: &MessageId, next: &MessageId| {
        !logs.is_empty() && logs.iter().all(|log| log.get(one).zip(log.get(next)).is_some_and(|(a, b)| a > b))
    };
    told.iter()
        .zip(told.iter().skip(1))
        .find(|(one, next)| is_turned(one, next))
        .map(|(&one, &next)| (one, next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::checks::story::{Story, delivered, member};

    const PROMISE: &str = "what merged sides are told";

    /// Hosts 0 and 1 part; each says something; they merge.
    fn merged() -> Story {
        let mut story = Story::with_view(1, &[0, 1]);
        story.view(2, &[0]);
        story.view(3, &[1]);
        story.send(0, 1);
        story.deliver(0, 0, 1);
        story.send(1, 1);
        story.deliver(1, 1, 1);
        story.view(4, &[0, 1]);
        story
    }

    fn tell(story: &mut Story, host: usize, from: usize) {
        tell_one(story, host, from, 1);
    }

    fn tell_one(story: &mut Story, host: usize, from: usize, count: u64) {
        let What::Delivered { group, member, delivery } = delivered(4, from, count).into_what(host) else {
            panic!()
        };
        story.tell(host, What::Told { group, member, delivery });
    }

    fn gap(story: &mut Story, host: usize) {
        story.tell(host, What::Gap { group: "g".parse().unwrap(), member: member(host) });
    }

    #[test]
    fn sides_that_tell_each_other_all_are_fine() {
        let mut story = merged();
        tell(&mut story, 0, 1);
        tell(&mut story, 1, 0);
        story.end();
        story.holds();
    }

    #[test]
    fn a_side_that_is_told_nothing_is_seen_even_if_it_is_told_of_a_gap() {
        for with_gap in [false, true] {
            let mut story = merged();
            tell(&mut story, 0, 1);
            if with_gap {
                gap(&mut story, 1);
            }
            story.end();
            story.breaks(PROMISE);
        }
    }

    #[test]
    fn what_comes_after_live_messages_is_seen() {
        let mut story = merged();
        story.send(0, 2);
        story.deliver(0, 0, 2);
        tell(&mut story, 0, 1);
        story.breaks(PROMISE);
    }

    #[test]
    fn what_died_with_its_only_witness_need_not_be_told() {
        let mut story = merged();
        tell(&mut story, 1, 0);
        gap(&mut story, 0);
        story.kill(1);
        story.view(5, &[0]);
        story.end();
        story.holds();
    }

    #[test]
    fn what_a_side_said_comes_in_the_order_of_one_of_its_members() {
        for (first, second, is_right) in [(1, 2, true), (2, 1, false)] {
            let mut story = Story::with_view(1, &[0, 1, 2]);
            story.view(2, &[0]);
            story.view(3, &[1, 2]);
            for from in [1, 2] {
                story.send(from, 1);
                [1, 2].into_iter().for_each(|host| story.deliver(host, from, 1));
            }
            story.view(4, &[0, 1, 2]);
            tell(&mut story, 0, first);
            tell(&mut story, 0, second);
            story.end();
            if is_right { story.holds() } else { story.breaks(PROMISE) }
        }
    }

    #[test]
    fn a_gap_does_not_excuse_what_is_sent_after_it() {
        let mut story = Story::with_view(1, &[0, 1, 2]);
        (0..3).for_each(|host| story.view(2 + host as u64, &[host]));
        story.send(1, 1);
        story.deliver(1, 1, 1);
        story.view(5, &[0, 1]);
        gap(&mut story, 0);
        story.kill(1);
        story.view(6, &[0]);
        story.send(2, 1);
        story.deliver(2, 2, 1);
        story.view(7, &[0, 2]);
        story.end();
        story.breaks(PROMISE);
    }

    /// What host 1 said does not reach host 0 when they merge; they part, and merge again. `newer`: host 0 has heard
    /// something newer of host 1 by then.
    fn parted_again(newer: bool) -> Story {
        let mut story = merged();
        tell(&mut story, 1, 0);
        gap(&mut story, 0);
        if newer {
            story.send(1, 2);
            [0, 1].into_iter().for_each(|host| story.deliver(host, 1, 2));
        }
        story.view(5, &[0]);
        story.view(6, &[1]);
        story.view(7, &[0, 1]);
        story
    }

    #[test]
    fn what_a_gap_left_out_comes_when_the_sides_meet_again_unless_a_newer_one_has_closed_it() {
        let mut story = parted_again(false);
        tell(&mut story, 0, 1);
        story.end();
        story.holds();
        for newer in [false, true] {
            let mut story = parted_again(newer);
            story.end();
            if newer { story.holds() } else { story.breaks(PROMISE) }
        }
    }

    #[test]
    fn a_gap_where_nothing_is_missing_is_seen_unless_it_is_told_to_one_who_leaves() {
        for leaves in [false, true] {
            let mut story = merged();
            tell(&mut story, 0, 1);
            tell(&mut story, 1, 0);
            gap(&mut story, 0);
            if leaves {
                story.leave(0);
                story.left(0);
            }
            story.end();
            if leaves { story.holds() } else { story.breaks(PROMISE) }
        }
    }
}
