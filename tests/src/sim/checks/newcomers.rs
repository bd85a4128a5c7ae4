//! Newcomers are told the last messages of the group: right after their first view, in the order in which somebody
//! delivered them who was there before, all of them, once. Only when nobody is left who knows, a gap is told instead: never
//! while all is well.

use std::collections::BTreeMap;

use decury_common::base::id::{Incarnation, MemberId, MessageId, ViewId};
use decury_common::base::limits::HISTORY_MAX;
use decury_common::base::time::Instant;
use decury_common::endpoint::{Known, ViewInfo};

use super::calm::Calm;
use super::{Check, Verdict};
use crate::sim::endpoint::HISTORY;
use crate::sim::history::{Record, Roster, Stay, What};
use crate::sim::host::HostId;
use crate::sim::session::COMMIT_WITHIN;

#[derive(Clone, Debug, Default)]
pub(super) struct Newcomers {
    /// What each member has delivered and been told.
    logs: BTreeMap<MemberId, Vec<MessageId>>,
    /// What those who came into a view from a former one had in their logs then.
    before: BTreeMap<(ViewId, MemberId), Vec<MessageId>>,
    newcomers: BTreeMap<MemberId, Newcomer>,
    /// The view that each member came into from a former one last.
    later: BTreeMap<MemberId, ViewId>,
    /// What each node knew from its disk when it started.
    remembered: BTreeMap<Incarnation, Known>,
    /// Who runs at each host.
    running: BTreeMap<HostId, Incarnation>,
    calm: Calm,
}

#[derive(Clone, Debug)]
struct Newcomer {
    view: ViewInfo,
    /// When it came into that.
    at: Instant,
    told: Vec<MessageId>,
    gap: bool,
    /// What it has done since, if anything, and when.
    then: Option<(Then, Instant)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It delivered something, or saw another view.
    Live,
    /// It asked to leave: it need not be told any more.
    Leaving,
}

impl Check for Newcomers {
    fn promise(&self) -> &'static str {
        "what newcomers are told"
    }

    fn observe(&mut self, record: &Record, _before: &Roster) -> Verdict {
        self.calm.observe(record);
        match &record.what {
            What::Started { incarnation, .. } => _ = self.running.insert(record.host, *incarnation),
            What::Remembers { known } => {
                if let Some(node) = self.running.get(&record.host) {
                    self.remembered.insert(*node, known.clone());
                }
            }
            What::View { member, view, change: None, .. } => {
                let (view, at) = (view.clone(), record.at);
                let newcomer = Newcomer { view, at, told: Vec::new(), gap: false, then: None };
                self.newcomers.insert(*member, newcomer);
            }
            What::View { member, view, .. } => {
                self.then(*member, Then::Live, record.at);
                let log = self.logs.get(member).cloned().unwrap_or_default();
                self.before.insert((view.id, *member), log);
                self.later.insert(*member, view.id);
            }
            What::Delivered { member, delivery, .. } => {
                self.then(*member, Then::Live, record.at);
                self.logs.entry(*member).or_default().push(delivery.id);
            }
            What::Leaving { member, .. } => self.then(*member, Then::Leaving, record.at),
            What::Left { member, .. } => self.left(*member, record.at),
            What::Told { member, delivery, .. } => {
                let id = delivery.id;
                let log = self.logs.entry(*member).or_default();
                log.push(id);
                if let Some(view) = self.later.get(member) {
                    // What merged sides tell each other is another promise; newcomers are told it with the rest.
                    self.before.insert((*view, *member), log.clone());
                    return Ok(());
                }
                match self.newcomers.get_mut(member) {
                    Some(Newcomer { told, gap: false, then: None | Some((Then::Leaving, _)), .. }) => {
                        told.push(id)
                    }
                    _ => return Err(format!("{member} is told {id} not right after its first view")),
                }
            }
            What::Gap { member, .. } if self.later.contains_key(member) => {}
            What::Gap { member, .. } => match self.newcomers.get_mut(member) {
                Some(newcomer) if self.calm.was_well_at(newcomer.at) => {
                    return Err(format!("{member} is told of a gap, though all has been well since it came"));
                }
                Some(Newcomer { told, gap, then: None | Some((Then::Leaving, _)), .. })
                    if told.is_empty() && !*gap =>
                {
                    *gap = true;
                }
                _ => return Err(format!("{member} is told of a gap not right after its first view")),
            },
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, roster: &Roster) -> Verdict {
        for (member, newcomer) in &self.newcomers {
            let alive = roster.seat(*member).is_some_and(|seat| seat.stay != Stay::Over);
            self.judge(*member, newcomer, alive)?;
        }
        Ok(())
    }
}

impl Newcomers {
    fn then(&mut self, member: MemberId, then: Then, at: Instant) {
        if let Some(newcomer) = self.newcomers.get_mut(&member) {
            newcomer.then.get_or_insert((then, at));
        }
    }

    /// It is out. What had waited for the past was delivered with that: then it was being told when it left. (That it has
    /// left is said when its disk has it.)
    fn left(&mut self, member: MemberId, at: Instant) {
        if let Some(newcomer) = self.newcomers.get_mut(&member)
            && newcomer.then.is_none_or(|(_, then)| at.since(then) <= COMMIT_WITHIN * 2)
        {
            newcomer.then = Some((Then::Leaving, at));
        }
    }

    fn judge(&self, member: MemberId, newcomer: &Newcomer, alive: bool) -> Verdict {
        let Newcomer { view, told, gap, then, .. } = newcomer;
        let others = view.members.iter().map(|(id, _)| *id).filter(|id| *id != member);
        // Those of whom it is known that they came into the view from none have nothing to tell.
        let new = |id: &MemberId| self.newcomers.get(id).is_some_and(|other| other.view.id == view.id);
        let tellers: Vec<MemberId> = others.filter(|id| !new(id)).collect();
        let log = |id: &MemberId| self.before.get(&(view.id, *id)).map(|log| (*id, log));
        let logs: Option<Vec<_>> = tellers.iter().map(log).collect();
        // Somebody who died before anybody read what it knew: it may have told anything.
        let Some(logs) = logs else { return Ok(()) };
        let fits = |(teller, log): &(MemberId, &Vec<MessageId>)| {
            [HISTORY, HISTORY_MAX].into_iter().any(|limit| {
                let last = &log[log.len() - limit.min(log.len())..];
                // Who was there before knows more than it was told this time: only the end is certain.
                let rest = self.without_known(member, *teller, last, told);
                rest.is_some_and(|rest| rest == 0 || self.was_there_before(*teller))
            })
        };
        if told.is_empty() && (*gap || (then.is_none() && !alive) || matches!(then, Some((Then::Leaving, _))))
        {
            return Ok(());
        }
        if logs.iter().any(fits) || (told.is_empty() && logs.is_empty()) {
            return Ok(());
        }
        Err(format!("{member} was told {told:?} after {}, which is not what anybody there had last", view.id))
    }

    /// How many of `told` stand before its end that is `last` without what this node knew from an earlier stay; `None` if
    /// its end is something else. (What it was told in a stay that its user never saw is not known here: of a node
    /// that joined before, any part will do.) What the teller knew from an earlier stay itself may stand between: that was
    /// kept with the rest when it was told, and is in no log of this stay.
    fn without_known(
        &self,
        member: MemberId,
        teller: MemberId,
        last: &[MessageId],
        told: &[MessageId],
    ) -> Option<usize> {
        let mut told = told.iter().rev().peekable();
        for id in last.iter().rev() {
            while told.next_if(|&next| next != id && self.knew(teller, *next)).is_some() {}
            if told.next_if_eq(&id).is_none() && !self.knew(member, *id) && member.join == 0 {
                return None;
            }
        }
        Some(told.count())
    }

    fn was_there_before(&self, member: MemberId) -> bool {
        member.join > 0 || self.remembered.contains_key(&member.incarnation)
    }

    fn knew(&self, member: MemberId, id: MessageId) -> bool {
        let Incarnation(node) = member.incarnation;
        let last = self.remembered.get(&member.incarnation).and_then(|known| known.get(&id.sender));
        let remembers = last.is_some_and(|last| *last >= id.count);
        remembers
            || (0..member.join).any(|join| {
                let former = MemberId { incarnation: Incarnation(node), join };
                let log = self.logs.get(&former).into_iter().flatten();
                log.into_iter().any(|known| known.sender == id.sender && known.count >= id.count)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::checks::story::{Story, delivered, member};

    const PROMISE: &str = "what newcomers are told";

    /// Host 0 has said three things in a view with host 1; then host 2 comes in.
    fn told() -> Story {
        let mut story = Story::with_view(1, &[0, 1]);
        for count in 1..=3 {
            story.send(0, count);
            story.deliver(0, 0, count);
            story.deliver(1, 0, count);
        }
        story.view(2, &[0, 1, 2]);
        story
    }

    fn tell(story: &mut Story, host: usize, count: u64) {
        let What::Delivered { group, member, delivery } = delivered(2, 0, count).into_what(host) else {
            panic!()
        };
        story.tell(host, What::Told { group, member, delivery });
    }

    #[test]
    fn all_in_order_is_fine() {
        let mut story = told();
        (1..=3).for_each(|count| tell(&mut story, 2, count));
        story.end();
        story.holds();
    }

    #[test]
    fn too_little_or_nothing_is_seen() {
        for counts in [vec![], vec![1, 2], vec![2, 3], vec![1, 3]] {
            let mut story = told();
            counts.into_iter().for_each(|count| tell(&mut story, 2, count));
            story.end();
            story.breaks(PROMISE);
        }
    }

    #[test]
    fn a_gap_is_told_only_if_something_was_wrong() {
        for wrong in [false, true] {
            let mut story = told();
            if wrong {
                story.kill(1);
            }
            story.tell(2, What::Gap { group: "g".parse().unwrap(), member: member(2) });
            story.end();
            if wrong { story.holds() } else { story.breaks(PROMISE) }
        }
    }

    #[test]
    fn history_after_live_messages_is_seen() {
        let mut story = told();
        story.send(1, 1);
        story.deliver(2, 1, 1);
        tell(&mut story, 2, 1);
        story.breaks(PROMISE);
    }

    #[test]
    fn who_died_or_left_meanwhile_need_not_have_been_told() {
        let mut story = told();
        story.kill(2);
        story.end();
        story.holds();
    }
}
