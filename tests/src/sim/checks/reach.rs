//! Reach: who has been in one strongly connected part of the graph of good links for long enough, with nobody but members
//! of the same view in between, is not suspected, whatever becomes of other links.
//!
//! A link counts if nothing at all has been wrong on it for that long, a host if its program has run undisturbed for that
//! long. So nothing is said about bad links, only about those that are good or cut.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use decury_common::base::id::{MemberId, UserName};
use decury_common::base::time::Instant;
use decury_common::endpoint::ViewInfo;

use super::{Check, Verdict};
use crate::sim::history::{Noticed, Record, Roster, Seat, Stay, What};
use crate::sim::host::HostId;

#[derive(Clone, Debug, Default)]
pub(super) struct Reach {
    /// What "long enough" is; nothing is said before it is known.
    patience: Option<Duration>,
    disturbed: BTreeSet<(HostId, HostId)>,
    /// Since when a link is good that was not always so.
    good_since: BTreeMap<(HostId, HostId), Instant>,
    /// Since when a host's program runs.
    runs_since: BTreeMap<HostId, Instant>,
    /// Since when a member has had others in its view.
    together_since: BTreeMap<MemberId, BTreeMap<MemberId, Instant>>,
    /// Suspicions that break the promise, unless they came with a view: then others had them, who may have had reason to.
    doubts: Vec<Doubt>,
}

#[derive(Clone, Debug)]
struct Doubt {
    at: Instant,
    member: MemberId,
    peer: UserName,
    what: String,
}

impl Reach {
    pub(super) fn expect(&mut self, patience: Duration) {
        self.patience = Some(patience);
    }

    fn disturb(&mut self, at: Instant, links: &BTreeSet<(HostId, HostId)>) {
        let healed = self.disturbed.difference(links).map(|link| (*link, at));
        self.good_since.extend(healed);
        self.disturbed = links.clone();
    }

    fn view(&mut self, at: Instant, member: MemberId, view: &ViewInfo) {
        let before = self.together_since.remove(&member).unwrap_or_default();
        let since = |other| (other, before.get(&other).copied().unwrap_or(at));
        let now = view.members.iter().map(|(other, _)| since(*other)).collect();
        self.together_since.insert(member, now);
    }

    fn suspects(&self, at: Instant, member: MemberId, peer: UserName, roster: &Roster) -> Verdict {
        let Some(patience) = self.patience.filter(|patience| at.since(Instant::ZERO) > *patience) else {
            return Ok(());
        };
        let is_old = |since: Instant| at.since(since) >= patience;
        let Some(view) = roster.seat(member).and_then(view_of) else { return Ok(()) };
        let together = self.together_since.get(&member);
        let counts = |other: &MemberId| {
            let seat = roster.seat(*other)?;
            let same = view_of(seat).is_some_and(|theirs| theirs.id == view.id);
            let since = together.and_then(|together| together.get(other))?;
            let runs = self.runs_since.get(&seat.host)?;
            (same && is_old(*since) && is_old(*runs)).then_some(seat.host)
        };
        let hosts: BTreeMap<MemberId, HostId> =
            view.members.iter().filter_map(|(other, _)| Some((*other, counts(other)?))).collect();
        let suspect = view.members.iter().find(|(_, name)| *name == peer);
        let pair = hosts.get(&member).zip(suspect.and_then(|(id, _)| hosts.get(id)));
        let Some((&here, &there)) = pair else { return Ok(()) };
        let good = |from: HostId, to: HostId| {
            let since = self.good_since.get(&(from, to)).copied().unwrap_or(Instant::ZERO);
            !self.disturbed.contains(&(from, to)) && is_old(since)
        };
        let all: BTreeSet<HostId> = hosts.into_values().collect();
        match leads(&all, here, there, good) && leads(&all, there, here, good) {
            true => Err(format!("{here} suspects {there}, though for {patience:?} both have been in reach")),
            false => Ok(()),
        }
    }
}

fn view_of(seat: &Seat) -> Option<&ViewInfo> {
    match &seat.stay {
        Stay::In(view) | Stay::Leaving(_, Some(view)) => Some(view),
        _ => None,
    }
}

/// Whether good links lead from one to the other.
fn leads(all: &BTreeSet<HostId>, from: HostId, to: HostId, good: impl Fn(HostId, HostId) -> bool) -> bool {
    let mut reached = BTreeSet::from([from]);
    let mut next = vec![from];
    while let Some(at) = next.pop() {
        let further = all.iter().filter(|&&host| good(at, host));
        next.extend(further.filter(|&&host| reached.insert(host)));
    }
    reached.contains(&to)
}

impl Check for Reach {
    fn promise(&self) -> &'static str {
        "reach"
    }

    fn observe(&mut self, record: &Record, before: &Roster) -> Verdict {
        if let What::View { member, view, .. } = &record.what {
            let is_in = |name: UserName| view.members.iter().any(|(_, other)| *other == name);
            let came_with_it =
                |doubt: &Doubt| (doubt.at, doubt.member) == (record.at, *member) && !is_in(doubt.peer);
            // Who is alone in the view had nobody else's word.
            let has_others = view.members.len() > 1;
            self.doubts.retain(|doubt| !has_others || !came_with_it(doubt));
        }
        if let Some(doubt) = self.doubts.iter().find(|doubt| doubt.at < record.at) {
            return Err(doubt.what.clone());
        }
        match &record.what {
            What::Disturbed(links) => self.disturb(record.at, links),
            What::Started { .. } => _ = self.runs_since.insert(record.host, record.at),
            What::Stopped(until) => _ = self.runs_since.insert(record.host, *until),
            What::Killed => _ = self.runs_since.remove(&record.host),
            What::View { member, view, .. } => self.view(record.at, *member, view),
            What::Noticed { member, notice: Noticed::Suspected(peer), .. } => {
                if let Err(what) = self.suspects(record.at, *member, *peer, before) {
                    self.doubts.push(Doubt { at: record.at, member: *member, peer: *peer, what });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, _roster: &Roster) -> Verdict {
        self.doubts.first().map_or(Ok(()), |doubt| Err(doubt.what.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::checks::story::Story;

    const PATIENCE: Duration = Duration::from_secs(5);

    /// Four in a view, and these links good from the beginning; after `wait` n0 suspects n1.
    fn story(good: &[(usize, usize)], wait: Duration) -> Story {
        let mut story = connected(good);
        story.wait(wait);
        story.suspects(0, 1);
        story
    }

    fn connected(good: &[(usize, usize)]) -> Story {
        let mut story = Story::with_view(1, &[0, 1, 2, 3]);
        story.expect_reach(PATIENCE);
        story.disturb(|from, to| !good.contains(&(from, to)));
        story
    }

    #[test]
    fn who_is_in_reach_over_others_for_long_must_not_be_suspected() {
        for good in
            [&[(0, 1), (1, 0)][..], &[(0, 1), (1, 2), (2, 0)], &[(0, 2), (2, 3), (3, 1), (1, 2), (2, 0)]]
        {
            let mut story = story(good, PATIENCE * 2);
            story.end();
            story.breaks("reach");
        }
    }

    #[test]
    fn who_is_not_or_was_not_long_enough_may_be() {
        story(&[(0, 1), (1, 2), (2, 3)], PATIENCE * 2).holds();
        story(&[], PATIENCE * 2).holds();
        story(&[(0, 1), (1, 0)], PATIENCE / 2).holds();
    }

    #[test]
    fn a_suspicion_that_came_with_a_view_is_others_unless_there_are_none() {
        for others in [&[2][..], &[]] {
            let mut story = connected(&[(0, 1), (1, 0)]);
            story.wait(PATIENCE * 2);
            story.view_with(0, (2, &[&[0], others].concat()), &[], 1);
            story.end();
            if others.is_empty() { story.breaks("reach") } else { story.holds() }
        }
    }

    #[test]
    fn a_relay_that_was_stopped_or_restarted_or_is_elsewhere_does_not_count() {
        let over = [(0, 2), (2, 1), (1, 2), (2, 0)];
        for what in 0..4 {
            let mut story = connected(&over);
            story.wait(PATIENCE * 2);
            match what {
                0 => story.stop(2, PATIENCE / 2),
                1 => story.kill(2),
                2 => story.view_with(2, (2, &[2, 3]), &[], 1),
                _ => story.disturb(|from, to| (from, to) == (2, 1)),
            }
            story.suspects(0, 1);
            story.holds();
        }
        let mut story = connected(&over);
        story.wait(PATIENCE * 2);
        story.disturb(|from, to| (from, to) == (3, 1));
        story.suspects(0, 1);
        story.end();
        story.breaks("reach");
    }
}
