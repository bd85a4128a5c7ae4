//! What a person should be told of the others: who has fallen silent and who is back, that nobody else is left, for whom
//! the group waits.
//!
//! Each is told once: silence, until the silent one is back; a wait, until it is over, at the next view at the latest. A
//! wait is that of one message (the first in the queue of `total` or `safe`), or of a change of view, for a member that has
//! not done its part. The group is looked at a few times within the shortest wait that is told, and only while there is
//! something to wait for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Event, Group};
use crate::base::id::{GroupName, Incarnation, Rank, UserName};
use crate::base::limits::MEMBERS_MAX;
use crate::base::time::Instant;
use crate::machine::Wakeup;
use crate::membership::Installed;
use crate::mesh::Mesh;

/// The shortest wait that is told, unless suspicion comes as soon.
const WAIT_TOLD: Duration = Duration::from_millis(500);
/// How many looks that takes.
const LOOKS: u32 = 4;
/// Silent people to remember: members, and former ones that may come back.
const SILENT_MAX: usize = 4 * MEMBERS_MAX;

/// What one group has told, and is about to tell.
#[derive(Clone, Debug)]
pub(super) struct Notices {
    limit: Duration,
    /// Told as silent, and not as back.
    silent: Vec<UserName>,
    /// Those whose silence has left this node alone, until that is told.
    lost: Vec<Incarnation>,
    /// The first message in the queue, as of the last look.
    first: Option<First>,
    /// For whom the group waits, as of the last look.
    waits: BTreeMap<UserName, Wait>,
    look_at: Option<Instant>,
}

/// A message that is the first in the queue, and waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct First {
    pub(super) sender: Rank,
    pub(super) index: u64,
    /// So many fragments of its sender were here when it was first looked at, it among them.
    pub(super) upto: u64,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    /// What waits; `None`: the change of view.
    what: Option<(Rank, u64)>,
    since: Instant,
    told: bool,
}

impl Notices {
    pub(super) fn new(suspect_after: Duration) -> Notices {
        Notices {
            limit: WAIT_TOLD.min(suspect_after / 2),
            silent: Vec::new(),
            lost: Vec::new(),
            first: None,
            waits: BTreeMap::new(),
            look_at: None,
        }
    }

    /// A member is suspected.
    pub(super) fn suspected(&mut self, group: GroupName, member: UserName) -> Option<Event> {
        let is_new = !self.silent.contains(&member);
        if is_new {
            self.silent.truncate(SILENT_MAX - 1);
            self.silent.insert(0, member);
        }
        is_new.then_some(Event::Suspected { group, member })
    }

    /// It is not any more, or is in the view again.
    pub(super) fn back(&mut self, group: GroupName, member: UserName) -> Option<Event> {
        let known = self.silent.iter().position(|&silent| silent == member)?;
        self.silent.remove(known);
        Some(Event::Back { group, member })
    }

    /// A view is about to be told: who leaves by suspicion, and who comes back by it, is told before.
    pub(super) fn installed(&mut self, group: GroupName, installed: &Installed) -> Vec<Event> {
        (self.first, self.waits) = (None, BTreeMap::new());
        let is_alone = installed.view.members.len() == 1;
        self.lost = installed.lost.iter().map(|&(node, _)| node).filter(|_| is_alone).collect();
        let lost = installed.lost.iter().filter_map(|&(_, member)| self.suspected(group, member));
        let lost: Vec<Event> = lost.collect();
        let back = installed.joined.iter().filter_map(|&member| self.back(group, member));
        lost.into_iter().chain(back).collect()
    }

    /// Whether to tell that nobody else is left. Who is still heard is only elsewhere, and will be back at once.
    fn is_alone(&mut self, now: Instant, mesh: &Mesh) -> bool {
        let is_alone = !self.lost.is_empty() && !self.lost.iter().any(|&node| mesh.reaches(now, node));
        if is_alone {
            self.lost.clear();
        }
        is_alone
    }

    /// The first in the queue, with what was here of its sender when it was first looked at.
    fn looked_at(&mut self, first: First) -> First {
        match self.first {
            Some(known) if (known.sender, known.index) == (first.sender, first.index) => known,
            _ => *self.first.insert(first),
        }
    }

    /// For whom the group waits now, and what waits. Gives those for whom it has waited long enough to tell.
    fn look(&mut self, now: Instant, late: Vec<UserName>, what: Option<(Rank, u64)>) -> Vec<UserName> {
        self.look_at = (!late.is_empty() || what.is_some()).then(|| now + self.limit / LOOKS);
        self.waits.retain(|name, _| late.contains(name));
        let mut long = Vec::new();
        for name in late {
            let fresh = Wait { what, since: now, told: false };
            let wait = self.waits.entry(name).or_insert(fresh);
            if wait.what != what && !wait.told {
                *wait = fresh;
            }
            if !wait.told && now.since(wait.since) >= self.limit {
                wait.told = true;
                long.push(name);
            }
        }
        long
    }

    /// When to look again.
    pub(super) fn poll_timeout(&self) -> Option<Wakeup> {
        self.look_at.map(|at| Wakeup { at, reason: "group: for whom it waits" })
    }
}

impl Group {
    /// If something waits, it will be looked at.
    pub(super) fn watch(&mut self, now: Instant) {
        let waits =
            || self.live.as_ref().is_some_and(|live| live.multicast.is_frozen() || live.first().is_some());
        if self.notices.look_at.is_none() && waits() {
            self.notices.look_at = Some(now + self.notices.limit / LOOKS);
        }
    }

    /// Tells what has become true.
    pub(super) fn advance_notices(&mut self, now: Instant, mesh: &Mesh) {
        self.watch(now);
        let group = self.name;
        if self.notices.is_alone(now, mesh) {
            self.deliveries.push(now, Event::Alone { group });
        }
        if self.notices.look_at.is_none_or(|at| at > now) {
            return;
        }
        let (mut late, what) = match &self.live {
            Some(live) if live.multicast.is_frozen() => (self.membership.awaited(), None),
            Some(live) => {
                let first = live.first().map(|first| self.notices.looked_at(first));
                let late = first.map(|first| live.late(first)).unwrap_or_default();
                (late, first.map(|first| (first.sender, first.index)))
            }
            None => (Vec::new(), None),
        };
        late.retain(|&name| name != self.membership.me().name);
        for member in self.notices.look(now, late, what) {
            self.deliveries.push_news(now, Event::WaitingFor { group, member });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{MemberId, ViewId};
    use crate::membership::View;
    use crate::wire::membership::Digest;

    const MS: Duration = Duration::from_millis(1);

    fn name(text: &str) -> UserName {
        text.parse().unwrap()
    }

    fn notices() -> Notices {
        Notices::new(2_000 * MS)
    }

    /// Looks ten times, 125 ms apart, at a group that waits for `late` at each; how often that is told.
    fn told(
        notices: &mut Notices,
        looks: impl Fn(u32) -> (Vec<UserName>, Option<(Rank, u64)>),
    ) -> Vec<(u32, UserName)> {
        let mut told = Vec::new();
        for look in 0..10 {
            let (late, what) = looks(look);
            let now = Instant::ZERO + 125 * MS * look;
            told.extend(notices.look(now, late, what).into_iter().map(|name| (look, name)));
        }
        told
    }

    #[test]
    fn a_wait_for_one_member_is_told_once_when_it_has_lasted() {
        let cid = name("cid");
        assert_eq!(told(&mut notices(), |_| (vec![cid], Some((1, 7)))), [(4, cid)]);
        assert_eq!(told(&mut notices(), |_| (vec![cid], None)), [(4, cid)]);
        assert_eq!(Notices::new(200 * MS).limit, 100 * MS);
    }

    #[test]
    fn short_waits_for_one_message_after_the_other_are_not_told() {
        let cid = name("cid");
        assert_eq!(told(&mut notices(), |look| (vec![cid], Some((1, u64::from(look) / 2)))), []);
        assert_eq!(told(&mut notices(), |look| (vec![cid; usize::from(look % 3 > 0)], None)), []);
    }

    #[test]
    fn a_wait_that_was_told_goes_on_when_another_message_or_the_change_of_view_waits_for_the_same() {
        let cid = name("cid");
        let what = |look| (look < 6).then_some((1, 7));
        assert_eq!(told(&mut notices(), |look| (vec![cid], what(look))), [(4, cid)]);
    }

    #[test]
    fn a_wait_that_was_told_is_over_with_the_next_view() {
        let (mut notices, cid) = (notices(), name("cid"));
        assert_eq!(told(&mut notices, |_| (vec![cid], None)), [(4, cid)]);
        let coordinator = MemberId { incarnation: Incarnation(1), join: 0 };
        let view = View { id: ViewId { number: 2, coordinator }, members: Vec::new() };
        let installed = Installed {
            view,
            cut: None,
            position: 0,
            joined: Vec::new(),
            left: Vec::new(),
            lost: Vec::new(),
            merged: false,
            origins: Vec::new(),
            known: Digest::default(),
            out: false,
        };
        assert_eq!(notices.installed("lobby".parse().unwrap(), &installed), []);
        assert_eq!(told(&mut notices, |_| (vec![cid], Some((1, 7)))), [(4, cid)]);
    }

    #[test]
    fn silence_is_told_once_until_the_silent_one_is_back() {
        let (mut notices, group, cid) = (notices(), "lobby".parse().unwrap(), name("cid"));
        assert_eq!(notices.back(group, cid), None);
        for _ in 0..2 {
            assert_eq!(notices.suspected(group, cid), Some(Event::Suspected { group, member: cid }));
            assert_eq!(notices.suspected(group, cid), None);
            assert_eq!(notices.back(group, cid), Some(Event::Back { group, member: cid }));
            assert_eq!(notices.back(group, cid), None);
        }
    }
}
