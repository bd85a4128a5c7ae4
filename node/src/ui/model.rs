//! What every front end shows the same way: who I am, where I am, who else is there, what I type into.

use std::collections::BTreeMap;

use decury_common::base::id::{GroupName, UserName};
use decury_common::order::OrderKind;

use crate::session::Event;

/// The state behind a screen, made of events alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    me: Option<UserName>,
    current: Option<GroupName>,
    groups: BTreeMap<GroupName, Group>,
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
            Event::Joined { group, view, current, .. } => {
                self.set(*group, view);
                if *current {
                    self.current = Some(*group);
                }
            }
            Event::View { group, view, .. } => self.set(*group, view),
            Event::Left { group, .. } => {
                self.groups.remove(group);
                self.current = self.current.filter(|current| current != group);
            }
            Event::Current { group, .. } => self.current = *group,
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

    fn set(&mut self, group: GroupName, view: &decury_common::endpoint::ViewInfo) {
        let members = view.members.iter().map(|&(_, name)| name).collect();
        self.groups.insert(group, Group { order: view.order, members });
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
}
