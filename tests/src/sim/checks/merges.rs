//! Sides that merge tell each other what they said: at the end, whoever is in one view with somebody who delivered a
//! message, live or caught up, that was sent after it joined, has delivered it too, or was told of a gap. What a member
//! of another side had delivered when they merged comes even then, if these two have not parted since (and no earlier gap
//! has closed the account of some sender). What is caught up comes right after a view.

use std::collections::{BTreeMap, BTreeSet};

use decury_common::base::id::{GroupName, MemberId, MessageId, ViewId};
use decury_common::base::limits::{STORE_BYTES, STORE_MESSAGES};

use super::{Check, Verdict};
use crate::sim::history::{Record, Roster, Stay, What};

#[derive(Clone, Debug, Default)]
pub(super) struct Merges {
    members: BTreeMap<MemberId, Member>,
    /// The how-manieth record each message was sent with.
    sent: BTreeMap<MessageId, u64>,
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
    gap: bool,
}

/// A view at one member.
#[derive(Clone, Copy, Debug)]
struct Installed {
    view: ViewId,
    /// How many messages it had heard before.
    heard: usize,
    /// It had been told of a gap before.
    gap: bool,
}

impl Check for Merges {
    fn promise(&self) -> &'static str {
        "what merged sides are told"
    }

    fn observe(&mut self, record: &Record, _before: &Roster) -> Verdict {
        self.records += 1;
        match &record.what {
            What::Sent { id, .. } => _ = self.sent.insert(*id, self.records),
            What::View { member, view, first, .. } => {
                let seen = self.members.entry(*member).or_default();
                if *first {
                    seen.joined = self.records;
                }
                seen.views.push(Installed { view: view.id, heard: seen.heard.len(), gap: seen.gap });
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
            }
            What::Gap { member, .. } => {
                let seen = self.members.entry(*member).or_default();
                seen.gap = true;
                if seen.is_live {
                    return Err(format!("{member} is told of a gap after live messages"));
                }
            }
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
        Ok(())
    }
}

impl Member {
    fn hear(&mut self, id: MessageId, bytes: usize) {
        self.heard.push(id);
        self.bytes += bytes;
    }

    /// The view in which it met somebody from another side from whom it has not parted since, as each of the two saw it.
    fn met<'a>(&'a self, other: &'a Member) -> Option<(&'a Installed, &'a Installed)> {
        let both = self.views.iter().rev().zip(other.views.iter().rev());
        let together = both.take_while(|(mine, theirs)| mine.view == theirs.view).count();
        let first = |member: &'a Member| {
            let at = member.views.len() - together;
            if at == 0 { None } else { member.views.get(at) }
        };
        first(self).zip(first(other))
    }
}

impl Merges {
    /// The first of these messages that was sent after this member joined, and that it has not heard.
    fn lacks(&self, member: &Member, messages: &[MessageId]) -> Option<MessageId> {
        let heard: BTreeSet<MessageId> = member.heard.iter().copied().collect();
        let since = |id: &MessageId| self.sent.get(id).is_some_and(|sent| *sent > member.joined);
        messages.iter().copied().find(|id| since(id) && !heard.contains(id))
    }

    /// Whether the first of two in one view has heard what the second has.
    fn compare(&self, member: MemberId, other: MemberId, view: ViewId) -> Verdict {
        let (Some(seen), Some(others)) = (self.members.get(&member), self.members.get(&other)) else {
            return Ok(());
        };
        match self.lacks(seen, &others.heard).filter(|_| !seen.gap) {
            Some(id) => Err(format!("at the end, in {view}, {other} has heard {id} and {member} has not")),
            None => Ok(()),
        }
    }

    /// Whether the first has heard what the second had heard when their sides merged for good.
    fn judge_merge(&self, member: MemberId, other: MemberId) -> Verdict {
        let (Some(seen), Some(others)) = (self.members.get(&member), self.members.get(&other)) else {
            return Ok(());
        };
        if others.heard.len() > STORE_MESSAGES || others.bytes > STORE_BYTES {
            return Ok(());
        }
        let Some((mine, told)) = seen.met(others).filter(|(mine, _)| !mine.gap) else { return Ok(()) };
        if let Some(id) = self.lacks(seen, &others.heard[..told.heard]) {
            let view = mine.view;
            return Err(format!("{member} and {other} merged into {view}: {member} was not told {id}"));
        }
        Ok(())
    }
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
        let What::Delivered { group, member, delivery } = delivered(4, from, 1).into_what(host) else {
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
}
