//! Private messages: what one says to one other arrives there, first in, first out, and once; confirmed is only what
//! has arrived, and what was given up does not arrive later. Between two who are in one view nothing is given up while all is
//! well.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use decury_common::base::id::{Incarnation, MemberId, MessageId, UserName};
use decury_common::base::time::Instant;

use super::calm::Calm;
use super::{Check, Verdict};
use crate::sim::history::{Record, Roster, Stay, What};
use crate::sim::host::HostId;

#[derive(Clone, Debug, Default)]
pub(super) struct Private {
    /// Who runs where now, and under which name.
    running: BTreeMap<HostId, Incarnation>,
    /// Of each run, whose it was, and where.
    runs: BTreeMap<Incarnation, (UserName, HostId)>,
    /// Hosts with a disk: what one run there has said, a later one says again until it is confirmed or given up.
    keepers: BTreeSet<HostId>,
    /// What was said, and is said again by later runs.
    promised: BTreeSet<MessageId>,
    said: BTreeMap<MessageId, Said>,
    /// What was said and is neither confirmed nor given up.
    open: BTreeSet<MessageId>,
    confirmed: BTreeSet<MessageId>,
    /// The last message heard of each conversation.
    heard: BTreeMap<MemberId, u64>,
    calm: Calm,
}

#[derive(Clone, Debug)]
struct Said {
    to: UserName,
    /// Who ran under that name then.
    node: Option<Incarnation>,
    payload: Bytes,
    at: Instant,
    /// The two were in one view then.
    are_together: bool,
}

impl Private {
    /// Whether every message has been confirmed, or given up, or its sender is gone.
    pub(super) fn is_settled(&self) -> bool {
        !self.open.iter().any(|id| self.must_settle(*id))
    }

    /// Whether somebody is there who cares for it: the run that said it; or a later one, if its receiver is there too.
    fn must_settle(&self, id: MessageId) -> bool {
        let Some((_, host)) = self.runs.get(&id.sender.incarnation) else { return false };
        let is_there = |to| self.running.keys().any(|host| self.name_at(*host) == Some(to));
        let kept = self.keepers.contains(host) && self.promised.contains(&id);
        let later = self.running.contains_key(host) && kept;
        self.is_running(id.sender.incarnation)
            || (later && self.said.get(&id).is_some_and(|said| is_there(said.to)))
    }

    fn name_of(&self, node: Incarnation) -> Option<UserName> {
        self.runs.get(&node).map(|run| run.0)
    }

    fn name_at(&self, host: HostId) -> Option<UserName> {
        self.name_of(*self.running.get(&host)?)
    }

    fn is_running(&self, incarnation: Incarnation) -> bool {
        self.running.values().any(|running| *running == incarnation)
    }

    fn heard(&mut self, host: HostId, from: UserName, id: MessageId, payload: &Bytes) -> Verdict {
        match self.said.get(&id) {
            None => return Err(format!("{host} heard {id}, which nobody said")),
            Some(said) if self.name_at(host) != Some(said.to) => {
                return Err(format!("{host} heard {id}, which was said to {}", said.to));
            }
            Some(said) if said.payload != *payload => {
                return Err(format!("{host} heard {id} with another content than was said"));
            }
            Some(_) => {}
        }
        if self.name_of(id.sender.incarnation) != Some(from) {
            return Err(format!("{host} heard {id} as from {from}"));
        }
        // What a former run had said passes through the same conversation, under its own name.
        match self.heard.insert(id.sender, id.count).unwrap_or(0) {
            last if last < id.count && self.said_between(id.sender, last, id.count).is_none() => Ok(()),
            last => Err(format!("{host} heard {id} after number {last} of the same conversation")),
        }
    }
}

impl Private {
    /// Something that was said in a conversation between two others of its messages.
    fn said_between(&self, sender: MemberId, after: u64, before: u64) -> Option<MessageId> {
        let first = MessageId { sender, count: after + 1 };
        self.said.range(first..MessageId { sender, count: before }).next().map(|(id, _)| *id)
    }
}

impl Check for Private {
    fn promise(&self) -> &'static str {
        "private messages"
    }

    fn observe(&mut self, record: &Record, before: &Roster) -> Verdict {
        self.calm.observe(record);
        match &record.what {
            What::Started { incarnation, name } => {
                self.running.insert(record.host, *incarnation);
                self.runs.insert(*incarnation, (*name, record.host));
            }
            What::Remembers { .. } => _ = self.keepers.insert(record.host),
            What::Killed => {
                self.running.remove(&record.host);
            }
            What::Said { to, id, payload } => {
                self.open.insert(*id);
                let node = self.running.values().find(|node| self.name_of(**node) == Some(*to)).copied();
                let speaker = id.sender.incarnation;
                let are_together = node.is_some_and(|node| are_together(before, speaker, node));
                let (at, payload) = (record.at, payload.clone());
                let said = Said { to: *to, node, payload, at, are_together };
                if self.said.insert(*id, said).is_some() {
                    return Err(format!("the id {id} was given to two messages"));
                }
            }
            What::Promised { id } => _ = self.promised.insert(*id),
            What::Heard { from, id, payload } => return self.heard(record.host, *from, *id, payload),
            What::Confirmed { id } => {
                self.confirmed.insert(*id);
                // A later run may not know that it was confirmed, or given up at an end.
                let is_former = self.said.contains_key(id) && !self.is_running(id.sender.incarnation);
                if !self.open.remove(id) && !is_former {
                    return Err(format!("{id} is confirmed, and was not waited for"));
                }
            }
            What::Unconfirmed { id } if !self.open.remove(id) => {
                return Err(format!("{id} is given up, and was not waited for"));
            }
            What::Unconfirmed { id } => {
                if let Some(said) = self.said.get(id).filter(|said| said.are_together)
                    && self.calm.was_well_at(said.at)
                {
                    return Err(format!("{id} is given up, though all is well, and {} is there", said.to));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, _roster: &Roster) -> Verdict {
        for id in &self.confirmed {
            let Some(Said { to, node, .. }) = self.said.get(id) else { continue };
            let heard = self.heard.get(&id.sender).is_some_and(|&count| count >= id.count);
            if node.is_some_and(|node| self.is_running(node)) && !heard {
                return Err(format!("{id} was confirmed, and {to} has not heard it"));
            }
        }
        match self.open.iter().find(|id| self.must_settle(**id)) {
            Some(id) => Err(format!("{id} is neither confirmed nor given up")),
            None => Ok(()),
        }
    }
}

fn are_together(roster: &Roster, one: Incarnation, other: Incarnation) -> bool {
    let views = |node| {
        roster.seats().filter_map(move |(member, seat)| match &seat.stay {
            Stay::In(view) if member.incarnation == node => Some((seat.group, view.id)),
            _ => None,
        })
    };
    one != other && views(one).any(|view| views(other).any(|theirs| theirs == view))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::checks::story::{Story, member};

    const PROMISE: &str = "private messages";

    fn id(count: u64) -> MessageId {
        MessageId { sender: MemberId { join: 7, ..member(0) }, count }
    }

    fn text(count: u64) -> Bytes {
        Bytes::from(count.to_string())
    }

    /// Host 0 has said three things to host 1.
    fn told() -> Story {
        let mut story = Story::with_view(1, &[0, 1, 2]);
        story.disturb(|_, _| true);
        for count in 1..=3 {
            story.tell(0, What::Said { to: "n1".parse().unwrap(), id: id(count), payload: text(count) });
        }
        story
    }

    fn hear(story: &mut Story, host: usize, count: u64) {
        let from = "n0".parse().unwrap();
        story.tell(host, What::Heard { from, id: id(count), payload: text(count) });
    }

    #[test]
    fn what_is_heard_in_order_and_confirmed_or_given_up_is_fine() {
        let mut story = told();
        hear(&mut story, 1, 1);
        hear(&mut story, 1, 2);
        story.tell(0, What::Confirmed { id: id(1) });
        story.tell(0, What::Unconfirmed { id: id(2) });
        story.tell(0, What::Unconfirmed { id: id(3) });
        story.end();
        story.holds();
    }

    #[test]
    fn what_is_given_up_while_all_is_well_is_seen() {
        for wrong in [false, true] {
            let mut story = Story::with_view(1, &[0, 1, 2]);
            story.disturb(|_, _| wrong);
            story.tell(0, What::Said { to: "n1".parse().unwrap(), id: id(1), payload: text(1) });
            story.tell(0, What::Unconfirmed { id: id(1) });
            story.end();
            if wrong { story.holds() } else { story.breaks(PROMISE) }
        }
    }

    #[test]
    fn twice_out_of_order_or_at_another_host_is_seen() {
        for (host, counts) in [(1, vec![1, 1]), (1, vec![2]), (1, vec![1, 3]), (2, vec![1])] {
            let mut story = told();
            counts.into_iter().for_each(|count| hear(&mut story, host, count));
            story.breaks(PROMISE);
        }
    }

    #[test]
    fn a_confirmation_without_a_delivery_is_seen_at_the_end() {
        let mut story = told();
        (1..=3).for_each(|count| story.tell(0, What::Confirmed { id: id(count) }));
        hear(&mut story, 1, 1);
        story.holds();
        story.end();
        story.breaks(PROMISE);
    }

    #[test]
    fn a_message_nobody_cares_for_any_more_is_seen_at_the_end() {
        let mut story = told();
        story.end();
        story.breaks(PROMISE);
        let mut story = told();
        story.kill(0);
        story.end();
        story.holds();
    }
}
