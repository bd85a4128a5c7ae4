//! A store that is gone with the program: for tests, simulations, and whoever wants nothing kept.

use std::collections::{BTreeMap, VecDeque};

use decury_common::base::id::{Identity, MessageId, UserName};
use decury_common::base::limits::GROUPS_MAX;

use crate::session::Text;
use crate::session::record::{
    Letter, MET_MAX, Past, Place, RECALL_MAX, Recall, Recalled, Record, Restored, Talk,
};

/// Messages of one group or person; the oldest go first.
const MESSAGES_MAX: usize = RECALL_MAX;
/// Groups and people of whom something is kept.
const TALKS_MAX: usize = 4 * GROUPS_MAX;

/// What a session had kept.
#[derive(Clone, Debug)]
pub struct Memory {
    me: UserName,
    restored: Restored,
    talks: BTreeMap<Talk, VecDeque<Past>>,
}

impl Memory {
    /// An empty store of a person's.
    pub fn new(me: UserName, identity: Identity) -> Memory {
        Memory { me, restored: Restored::nothing(identity), talks: BTreeMap::new() }
    }

    /// What a session is started with.
    pub fn restored(&self) -> Restored {
        self.restored.clone()
    }

    /// Keeps a record. False if it is a message that is kept already.
    pub fn keep(&mut self, at: u64, record: Record) -> bool {
        let restored = &mut self.restored;
        match record {
            Record::Joined { group, id, order } => {
                let place = Place { group, id, order };
                match restored.groups.iter_mut().find(|known| known.group == group) {
                    Some(known) => *known = place,
                    None => restored.groups.push(place),
                }
            }
            Record::Left { group } => restored.groups.retain(|place| place.group != group),
            Record::Current { group } => restored.current = group,
            Record::Met(met) => {
                restored.met.retain(|known| known.user != met.user);
                restored.met.insert(0, met);
                restored.met.truncate(MET_MAX);
            }
            Record::Bound { port } => restored.port = Some(port),
            Record::Said { group, from, id, text, caught_up } => {
                let last = restored.known.entry(group).or_default().entry(id.sender).or_default();
                *last = id.count.max(*last);
                return self.say(Talk::Group(group), Past { id, from, at, caught_up, text: Text::new(text) });
            }
            Record::Written { to, id, text } => {
                restored.outbox.push(Letter { to, id, text: text.clone() });
                let (from, text) = (self.me, Text::new(text));
                return self.say(Talk::Person(to), Past { id, from, at, caught_up: false, text });
            }
            Record::Settled { id } => restored.outbox.retain(|letter| letter.id != id),
            Record::Heard { from, id, text } => {
                let MessageId { sender, count } = id;
                restored.heard.insert((from, sender), count);
                let text = Text::new(text);
                return self.say(Talk::Person(from), Past { id, from, at, caught_up: false, text });
            }
        }
        true
    }

    fn say(&mut self, talk: Talk, past: Past) -> bool {
        if self.talks.len() >= TALKS_MAX && !self.talks.contains_key(&talk) {
            self.talks.pop_first();
        }
        let said = self.talks.entry(talk).or_default();
        let is_new = said.iter().all(|known| known.id != past.id);
        if is_new {
            said.push_back(past);
            if said.len() > MESSAGES_MAX {
                said.pop_front();
            }
        }
        is_new
    }

    /// Finds what was said.
    pub fn recall(&self, recall: &Recall) -> Recalled {
        let known = |talk: &Talk| Some((*talk, self.talks.get(talk)?));
        Ok(recall.talks.iter().find_map(known).map(|(talk, said)| {
            (talk, said.range(said.len() - recall.last.min(said.len())..).cloned().collect())
        }))
    }
}
