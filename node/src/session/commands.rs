//! What a person asks for, done or put off.

use bytes::Bytes;
use decury_common::base::id::GroupName;
use decury_common::base::time::Instant;
use decury_common::endpoint::SendError;
use decury_common::order::OrderKind;

use super::lab::RULES_MAX;
use super::place::{Leave, Place, Wish};
use super::private::Letter;
use super::tracker_client::Ask;
use super::{Command, ErrorCode, Event, FaultChange, Notice, Record, Request, Session};

/// A command about one group: settled which, perhaps not yet possible.
#[derive(Clone, Debug)]
pub(super) struct Task {
    re: Option<u64>,
    group: GroupName,
    action: Action,
}

/// A line that waits until what it needs is there.
#[derive(Clone, Debug)]
pub(super) enum Waiting {
    /// For its group.
    Task(Task),
    /// For room behind other private messages.
    Letter(Letter),
}

/// What is to be done with the group.
#[derive(Clone, Debug)]
enum Action {
    Join(Option<OrderKind>),
    Switch,
    Say(Bytes),
    Members,
    Why,
    Leave,
}

impl Waiting {
    /// The line's number.
    pub(super) fn re(&self) -> Option<u64> {
        match self {
            Waiting::Task(task) => task.re,
            Waiting::Letter(letter) => letter.re,
        }
    }

    /// Whether it waits for this group.
    pub(super) fn is_for(&self, group: GroupName) -> bool {
        matches!(self, Waiting::Task(task) if task.group == group)
    }
}

impl Session {
    /// Takes a command in; each is answered by at least one event that carries its line's number. To be called only
    /// while [`Session::wants_input`] says so.
    pub fn submit(&mut self, now: Instant, request: Request) {
        let Request { re, command } = request;
        match command {
            Command::Join { group, order } => self.act(now, Task { re, group, action: Action::Join(order) }),
            Command::Switch { group } => self.act(now, Task { re, group, action: Action::Switch }),
            Command::Say { text } => self.act_on(now, re, None, Action::Say(text)),
            Command::Private { to, text } => self.write(now, Letter { re, to, text, former: None }),
            Command::Members { group } => self.act_on(now, re, group, Action::Members),
            Command::Why { group } => self.act_on(now, re, group, Action::Why),
            Command::History { talks, last } => self.recall(re, talks, last),
            Command::Leave { group } => self.act_on(now, re, group, Action::Leave),
            Command::Groups => match self.groups_by_peers() {
                Some(groups) => self.tell(Event::Groups { re, groups }),
                None => {
                    let ask = self.tracker.ask(now, Ask::Groups);
                    self.listings.insert(ask, re);
                }
            },
            Command::People { pattern } => self.find_people(now, re, pattern),
            Command::Peer { address } => self.try_peer(now, re, address),
            Command::Figures => {
                let figures = Box::new(self.ledger.figures(now, &self.endpoint));
                self.tell(Event::Figures { re, figures });
            }
            Command::Fault { change } => self.fault(now, re, change),
            Command::Help { topic, text } => self.tell(Event::Help { re, topic, text }),
            Command::Refuse { code, text } => self.error(re, code, text),
            Command::Quit => self.finish(now),
        }
        self.drain_tracker(now);
    }

    /// Does what waited, if it is possible now.
    pub(super) fn retry_waiting(&mut self, now: Instant) {
        match self.waiting.take() {
            Some(Waiting::Task(task)) => self.act(now, task),
            Some(Waiting::Letter(letter)) => self.write(now, letter),
            None => {}
        }
    }

    /// The same for the current group if no other is named.
    fn act_on(&mut self, now: Instant, re: Option<u64>, group: Option<GroupName>, action: Action) {
        match group.or(self.current) {
            Some(group) => self.act(now, Task { re, group, action }),
            None => {
                let text =
                    "there is no current group; !j GROUP joins one, !w GROUP switches to one you are in";
                self.error(re, ErrorCode::NoCurrentGroup, text.to_owned());
            }
        }
    }

    fn act(&mut self, now: Instant, task: Task) {
        match self.places.get(&task.group) {
            None => self.act_outside(now, task),
            Some(&Place::Member { order, since, .. }) if self.keeping.is_stored(since) => {
                self.act_inside(now, task, order);
            }
            Some(Place::Member { .. }) => self.put_off(Waiting::Task(task)),
            Some(_) => self.act_between(now, task),
        }
    }

    /// For a group that is being joined or left. A wish to join takes over one that nobody has typed; a group that no
    /// tracker knows the way to can be forgotten. All else waits.
    fn act_between(&mut self, now: Instant, task: Task) {
        let Task { re, group, action } = &task;
        match (action, self.places.get_mut(group)) {
            (
                Action::Join(order),
                Some(
                    Place::Asking(wish @ Wish { re: None, .. })
                    | Place::Joining { wish: wish @ Wish { re: None, .. }, .. },
                ),
            ) => {
                *wish = Wish { re: *re, order: order.or(wish.order) };
                self.set_current(Some(*group));
            }
            (Action::Leave, Some(Place::Waiting(_))) => {
                self.places.remove(group);
                self.forget(now, *re, *group);
            }
            _ => self.put_off(Waiting::Task(task)),
        }
    }

    /// This node is not in that group, and will not return to it.
    fn forget(&mut self, now: Instant, re: Option<u64>, group: GroupName) {
        self.keep(Record::Left { group });
        if self.current == Some(group) {
            self.set_current(None);
        }
        self.tell_when_stored(Event::Left { re, group });
        self.retry_waiting(now);
    }

    /// One line can wait; the person behind a second one is told.
    pub(super) fn put_off(&mut self, line: Waiting) {
        match self.waiting {
            None => self.waiting = Some(line),
            Some(_) => self.error(line.re(), ErrorCode::Busy, SendError::Busy.to_string()),
        }
    }

    fn act_outside(&mut self, now: Instant, task: Task) {
        let Task { re, group, action } = task;
        match action {
            Action::Join(order) => {
                self.set_current(Some(group));
                self.ask_to_join(now, group, Wish { re, order });
            }
            Action::Leave if self.returns_to(group) => self.forget(now, re, group),
            Action::Say(_) => self.not_a_member(re, group),
            Action::Members => self.look_into(now, re, group),
            _ if self.endpoint.find_group(group).is_some() => self.not_a_member(re, group),
            // Whether there is such a group, only the tracker can say.
            _ if self.tracker.tracker().is_some() => {
                let ask = self.tracker.ask(now, Ask::Exists { group });
                self.listings.insert(ask, re);
            }
            _ if self.config.trackers.is_empty() => self.no_such_group(re, group),
            _ => self.not_a_member(re, group),
        }
    }

    fn act_inside(&mut self, now: Instant, task: Task, order: OrderKind) {
        let Task { re, group, action } = task;
        match action {
            Action::Join(wanted) => {
                self.switch(re, group);
                self.compare_orders(re, group, order, wanted);
            }
            Action::Switch => self.switch(re, group),
            Action::Say(text) => self.say(now, re, group, text),
            Action::Members => self.list_members(re, group),
            Action::Why => {
                let waiting = self.endpoint.held(group);
                self.tell(Event::Held { re, group, waiting });
            }
            Action::Leave => {
                self.keep(Record::Left { group });
                self.set_current(self.current.filter(|current| *current != group));
                self.leave(now, group, Leave::Wished { re });
            }
        }
    }

    fn switch(&mut self, re: Option<u64>, group: GroupName) {
        self.set_current(Some(group));
        self.tell(Event::Current { re, group: Some(group) });
    }

    fn say(&mut self, now: Instant, re: Option<u64>, group: GroupName, text: Bytes) {
        match self.endpoint.send(now, group, text.clone()) {
            Ok(id) => {
                self.ledger.sent(Some(group));
                self.tell_at_once(Event::Sent { re, group, id });
            }
            Err(SendError::Busy) if self.config.patient => {
                self.put_off(Waiting::Task(Task { re, group, action: Action::Say(text) }));
            }
            Err(error @ SendError::Busy) => self.error(re, ErrorCode::Busy, error.to_string()),
            Err(error @ SendError::Size) => self.error(re, ErrorCode::TooLong, error.to_string()),
            Err(SendError::NotAMember) => self.not_a_member(re, group),
        }
    }

    fn fault(&mut self, now: Instant, re: Option<u64>, change: Option<FaultChange>) {
        match change {
            Some(FaultChange::Add(rule)) if !self.lab.add(rule) => {
                let text = format!("{RULES_MAX} faults are in force, as many as there can be; !fault clear");
                return self.error(re, ErrorCode::BadCommand, text);
            }
            Some(FaultChange::Clear) => self.lab.clear(now),
            Some(FaultChange::Add(_)) | None => {}
        }
        self.tell(Event::Faults { re, rules: self.lab.rules().to_vec() });
    }

    pub(super) fn compare_orders(
        &mut self,
        re: Option<u64>,
        group: GroupName,
        order: OrderKind,
        wanted: Option<OrderKind>,
    ) {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != order) {
            self.notice(re, Notice::OrderDiffers { group, order, wanted });
        }
    }

    pub(super) fn no_such_group(&mut self, re: Option<u64>, group: GroupName) {
        let text = format!("there is no group #{group}; !j {group} makes it");
        self.error(re, ErrorCode::NoSuchGroup, text);
    }

    pub(super) fn not_a_member(&mut self, re: Option<u64>, group: GroupName) {
        self.error(re, ErrorCode::NotAMember, format!("you are not in #{group}; !j {group} joins it"));
    }
}
