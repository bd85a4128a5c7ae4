//! What every front end shows the same way: who I am, where I am, who else is there, what I type into.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use decury_common::base::id::{GroupName, UserName};
use decury_common::order::OrderKind;

use crate::session::Event;

/// Names that are remembered of each kind; as many as a tracker lists.
const NAMES_MAX: usize = 4_096;

/// The state behind a screen, made of events alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    me: Option<UserName>,
    current: Option<GroupName>,
    groups: BTreeMap<GroupName, Group>,
    heard_of_groups: BTreeSet<GroupName>,
    heard_of_people: BTreeSet<UserName>,
    answered: u64,
}

/// A model that one thread keeps and others look at.
#[derive(Debug, Default)]
pub struct SharedModel {
    model: Mutex<Model>,
    news: Condvar,
}

/// A group I am in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its order.
    pub order: OrderKind,
    /// Its members, by rank, me among them.
    pub members: Vec<UserName>,
}

impl Model {
    /// Takes an event in.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Ready { user, .. } => self.me = Some(*user),
            Event::Joined { re, group, view, current } => {
                self.answer(*re);
                self.set(*group, view);
                if *current {
                    self.current = Some(*group);
                }
            }
            Event::View { group, view, .. } => self.set(*group, view),
            Event::Left { re, group } => {
                self.answer(*re);
                self.groups.remove(group);
                self.current = self.current.filter(|current| current != group);
            }
            Event::Current { re, group } => {
                self.answer(*re);
                self.current = *group;
            }
            Event::Error { re, .. } => self.answer(*re),
            Event::Groups { groups, .. } => {
                groups.iter().for_each(|group| remember(&mut self.heard_of_groups, group.name));
            }
            Event::Users { users, .. } => {
                users.iter().for_each(|user| remember(&mut self.heard_of_people, user.0));
            }
            Event::Private { from, .. } => remember(&mut self.heard_of_people, *from),
            _ => {}
        }
    }

    /// Who I am, once that is settled.
    pub fn me(&self) -> Option<UserName> {
        self.me
    }

    /// Where what I type goes.
    pub fn current(&self) -> Option<GroupName> {
        self.current
    }

    /// A group I am in.
    pub fn group(&self, group: GroupName) -> Option<&Group> {
        self.groups.get(&group)
    }

    /// The groups that were heard of, by name.
    pub fn heard_of_groups(&self) -> impl Iterator<Item = GroupName> {
        self.heard_of_groups.iter().copied()
    }

    /// The people who were heard of, by name; not me.
    pub fn heard_of_people(&self) -> impl Iterator<Item = UserName> {
        self.heard_of_people.iter().copied().filter(|name| self.me != Some(*name))
    }

    /// The last line that has been answered, of those that can change the current group.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    fn set(&mut self, group: GroupName, view: &decury_common::endpoint::ViewInfo) {
        let members: Vec<UserName> = view.members.iter().map(|&(_, name)| name).collect();
        members.iter().for_each(|name| remember(&mut self.heard_of_people, *name));
        remember(&mut self.heard_of_groups, group);
        self.groups.insert(group, Group { order: view.order, members });
    }

    fn answer(&mut self, re: Option<u64>) {
        self.answered = self.answered.max(re.unwrap_or_default());
    }
}

impl SharedModel {
    /// Takes an event in.
    pub fn apply(&self, event: &Event) {
        self.lock().apply(event);
        self.news.notify_all();
    }

    /// Looks at it.
    pub fn read<T>(&self, look: impl FnOnce(&Model) -> T) -> T {
        look(&self.lock())
    }

    /// Waits until it is as wished, no longer than `within`; whether it is.
    pub fn wait(&self, within: Duration, is_so: impl Fn(&Model) -> bool) -> bool {
        let waited = self.news.wait_timeout_while(self.lock(), within, |model| !is_so(model));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// A thread that panicked meanwhile has left a model that is good enough to be shown.
    fn lock(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remember<T: Ord>(names: &mut BTreeSet<T>, name: T) {
    if names.len() < NAMES_MAX {
        names.insert(name);
    }
}

#[cfg(test)]
mod tests {
    use decury_common::base::id::{Incarnation, MemberId, ViewId};
    use decury_common::endpoint::{Cause, ViewInfo};

    use super::*;

    fn view(names: &[&str]) -> ViewInfo {
        let member = |join| MemberId { incarnation: Incarnation(1), join };
        let members = (0..).map(member).zip(names.iter().map(|name| name.parse().unwrap())).collect();
        ViewInfo { id: ViewId { number: 1, coordinator: member(0) }, order: OrderKind::Fifo, members }
    }

    #[test]
    fn it_follows_views_and_the_current_group() {
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        let mut model = Model::default();
        model.apply(&Event::Joined { re: None, group: a, view: view(&["ann"]), current: true });
        model.apply(&Event::Joined { re: None, group: b, view: view(&["ann"]), current: false });
        assert_eq!(model.current(), Some(a));
        let joined = vec!["bob".parse().unwrap()];
        let view = view(&["ann", "bob"]);
        model.apply(&Event::View { group: a, view, joined, left: vec![], cause: Cause::Join });
        assert_eq!(model.group(a).unwrap().members.len(), 2);
        model.apply(&Event::Current { re: None, group: Some(b) });
        model.apply(&Event::Left { re: None, group: a });
        assert_eq!(model.current(), Some(b));
        assert_eq!(model.group(a), None);
        model.apply(&Event::Left { re: None, group: b });
        assert_eq!(model.current(), None);
    }

    #[test]
    fn it_remembers_names_and_which_line_was_answered() {
        let shared = SharedModel::default();
        let (group, me) = ("a".parse().unwrap(), "ann".parse().unwrap());
        shared.apply(&Event::Joined { re: Some(3), group, view: view(&["ann", "bob"]), current: true });
        shared.apply(&Event::Left { re: Some(2), group });
        shared.lock().me = Some(me);
        assert!(shared.wait(Duration::ZERO, |model| model.answered() == 3));
        assert!(!shared.wait(Duration::ZERO, |model| model.answered() == 2));
        assert_eq!(shared.read(|model| model.heard_of_groups().collect::<Vec<_>>()), [group]);
        let people: Vec<UserName> = shared.read(|model| model.heard_of_people().collect());
        assert_eq!(people, ["bob".parse().unwrap()]);
    }
}
