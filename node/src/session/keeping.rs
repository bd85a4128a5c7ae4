//! What a session hands over to be kept, and what waits until it is.
//!
//! Records are numbered from 1. An event that promises something (that a group was joined, that a private message will
//! be sent, or has been heard) is told only when the records before it are safe, and nothing overtakes it. Deliveries
//! in groups do not wait.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use decury_common::base::id::{GroupName, MemberId, MessageId, UserName};
use decury_common::base::time::Instant;

use super::record::{HEARD_MAX, Kept, RECALL_MAX, Recall, Recalled, Record, Restored, Talk, Task};
use super::{ErrorCode, Event, Notice, Place, Session};

/// Questions about what was said that are under way; beyond, no input is taken.
pub(super) const RECALLS_MAX: usize = 2;

/// What is kept, and what is on its way there.
#[derive(Clone, Debug)]
pub(super) struct Keeping {
    tasks: VecDeque<Task>,
    /// Records so far, and how many of them are safe.
    records: u64,
    stored: u64,
    /// Groups that this node returns to.
    places: BTreeSet<GroupName>,
    /// See [`Restored::heard`].
    heard: BTreeMap<(UserName, MemberId), u64>,
    /// Private messages to be accepted when so many records are safe.
    unaccepted: VecDeque<(u64, MessageId)>,
    /// Questions that are not answered.
    recalls: VecDeque<(Option<u64>, Vec<Talk>)>,
}

impl Keeping {
    pub(super) fn new(restored: &Restored) -> Keeping {
        Keeping {
            tasks: VecDeque::new(),
            records: 0,
            stored: 0,
            places: restored.groups.iter().map(|place| place.group).collect(),
            heard: restored.heard.clone(),
            unaccepted: VecDeque::new(),
            recalls: VecDeque::new(),
        }
    }

    /// How many records there are.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Whether the first so many records are safe.
    pub(super) fn is_stored(&self, records: u64) -> bool {
        records <= self.stored
    }

    pub(super) fn is_asked(&self) -> bool {
        !self.recalls.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.recalls.len() < RECALLS_MAX
    }

    /// Whether everything that was heard in private has been accepted.
    pub(super) fn is_accepted(&self) -> bool {
        self.unaccepted.is_empty()
    }

    /// Notes a private message as heard; false if it was before.
    pub(super) fn hear(&mut self, from: UserName, id: MessageId) -> bool {
        let conversation = (from, id.sender);
        if self.heard.get(&conversation).is_some_and(|last| *last >= id.count) {
            return false;
        }
        self.heard.insert(conversation, id.count);
        if self.heard.len() > HEARD_MAX {
            self.heard.pop_first();
        }
        true
    }

    fn keep(&mut self, record: Record) {
        self.records += 1;
        self.tasks.push_back(Task::Keep(record));
    }
}

impl Session {
    /// The next thing to be kept, or to be found among what is kept.
    pub fn poll_task(&mut self) -> Option<Task> {
        self.keeping.tasks.pop_front()
    }

    /// Takes in what whoever keeps things says.
    pub fn handle_kept(&mut self, now: Instant, kept: Kept) {
        match kept {
            Kept::Stored(records) => {
                let keeping = &mut self.keeping;
                keeping.stored = keeping.stored.max(records.min(keeping.records));
                let stored = keeping.stored;
                while let Some((_, id)) = keeping.unaccepted.front().copied().filter(|next| next.0 <= stored)
                {
                    keeping.unaccepted.pop_front();
                    self.endpoint.accept_private(now, id);
                }
                self.retry_waiting(now);
            }
            Kept::Recalled(answer) => self.handle_recalled(answer),
            Kept::Trouble(trouble) => self.notice(None, Notice::StoreTrouble { trouble }),
            Kept::Working { lost } => self.notice(None, Notice::StoreBack { lost }),
        }
        self.phase_due(now);
        self.drain_tracker(now);
    }

    /// That message of a conversation is accepted when all records so far are safe.
    pub(super) fn accept_when_stored(&mut self, now: Instant, id: MessageId) {
        if self.keeping.is_stored(self.keeping.records) {
            self.endpoint.accept_private(now, id);
        } else {
            self.keeping.unaccepted.push_back((self.keeping.records, id));
        }
    }

    pub(super) fn keep(&mut self, record: Record) {
        match &record {
            Record::Joined { group, .. } => _ = self.keeping.places.insert(*group),
            Record::Left { group } => _ = self.keeping.places.remove(group),
            _ => {}
        }
        self.keeping.keep(record);
    }

    /// Whether this node would return to that group.
    pub(super) fn returns_to(&self, group: GroupName) -> bool {
        self.keeping.places.contains(&group)
    }

    /// What is typed goes there from now on. On the way out that is nobody's wish.
    pub(super) fn set_current(&mut self, group: Option<GroupName>) {
        if self.current != group && !self.phase.is_over() {
            self.keep(Record::Current { group });
        }
        self.current = group;
    }

    /// A question about what was said; about the current group if nothing is named.
    pub(super) fn recall(&mut self, re: Option<u64>, mut talks: Vec<Talk>, last: usize) {
        match (talks.is_empty(), self.current) {
            (true, None) => {
                let text = "there is no current group; !h GROUP shows what was said in one";
                return self.error(re, ErrorCode::NoCurrentGroup, text.to_owned());
            }
            (true, Some(group)) => talks.push(Talk::Group(group)),
            (false, _) => {}
        }
        self.keeping.recalls.push_back((re, talks.clone()));
        self.keeping.tasks.push_back(Task::Recall(Recall { talks, last: last.min(RECALL_MAX) }));
    }

    fn handle_recalled(&mut self, answer: Recalled) {
        let Some((re, talks)) = self.keeping.recalls.pop_front() else { return };
        let is_mine = |talk: &Talk| match talk {
            Talk::Group(group) => matches!(self.places.get(group), Some(Place::Member { .. })),
            Talk::Person(_) => false,
        };
        match answer {
            Ok(Some((talk, messages))) => self.tell(Event::History { re, talk, messages }),
            Ok(None) => match talks.iter().copied().find(is_mine) {
                Some(talk) => self.tell(Event::History { re, talk, messages: Vec::new() }),
                None => {
                    let text = "nothing is kept of what was said there; !h GROUP, or !h USER".to_owned();
                    self.error(re, ErrorCode::NoSuchGroup, text);
                }
            },
            Err(trouble) => {
                let text = format!("what was said cannot be looked up: {trouble}");
                self.error(re, ErrorCode::StoreUnavailable, text);
            }
        }
    }

    /// The end comes: questions that are not answered by now will not be.
    pub(super) fn give_recalls_up(&mut self) {
        for (re, _) in std::mem::take(&mut self.keeping.recalls) {
            self.abandoned(re);
        }
    }
}
