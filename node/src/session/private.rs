//! Private messages: the person's node is found, then first in goes first out.
//!
//! Somebody in reach, in a shared group or in an open conversation, is found without a tracker; anybody else's node is
//! asked for there. What is typed for a person meanwhile waits in an outbox of that person's, and so does what the
//! endpoint has no room for. An outbox exists while it holds something, and nothing overtakes what it holds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use decury_common::base::id::{MessageId, UserName};
use decury_common::base::limits::{QUEUE_BYTES, QUEUE_MESSAGES};
use decury_common::base::time::Instant;
use decury_common::endpoint::{self, Correspondent, SendError, ViewInfo};
use decury_common::machine::Wakeup;
use decury_common::wire::tracker::Refusal;

use super::commands::Waiting;
use super::tracker_client::{Ask, Failure, Reply};
use super::{ErrorCode, Event, Session, Text};

/// People with something in their outboxes at a time: as many questions wait at the tracker at most.
const OUTBOXES_MAX: usize = 32;
/// Names that are remembered as seen.
const SEEN_MAX: usize = 4_096;
/// Where the endpoint had no room, it is tried again after this time, if it has not said before that it has.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A private message that somebody has typed.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) re: Option<u64>,
    pub(super) to: UserName,
    pub(super) text: Bytes,
}

/// A private message that the endpoint has taken.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    re: Option<u64>,
    to: UserName,
}

/// What one person is still to be sent.
#[derive(Clone, Debug)]
struct Outbox {
    stage: Stage,
    letters: VecDeque<Letter>,
}

/// What an outbox waits for.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The tracker is asked where the person is.
    Asking,
    /// The endpoint takes no more for this person at the moment.
    Full {
        /// When it is tried again.
        again: Instant,
    },
}

/// All that is known of private messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Private {
    outboxes: BTreeMap<UserName, Outbox>,
    /// What is sent and not confirmed. No more than the endpoint takes.
    under_way: BTreeMap<MessageId, UnderWay>,
    /// People who were there at some time in this run.
    seen: BTreeSet<UserName>,
}

impl Private {
    /// Whether nothing waits to be sent.
    pub(super) fn is_idle(&self) -> bool {
        self.outboxes.is_empty()
    }

    pub(super) fn timeout(&self) -> Option<Wakeup> {
        let full = |outbox: &Outbox| match outbox.stage {
            Stage::Full { again } => Some(again),
            Stage::Asking => None,
        };
        let at = self.outboxes.values().filter_map(full).min()?;
        Some(Wakeup { at, reason: "private message: try again" })
    }

    pub(super) fn note_seen(&mut self, name: UserName) {
        if self.seen.len() < SEEN_MAX {
            self.seen.insert(name);
        }
    }

    pub(super) fn note_view(&mut self, view: &ViewInfo) {
        view.members.iter().for_each(|&(_, name)| self.note_seen(name));
    }

    fn has_room(&self, letter: &Letter) -> bool {
        let letters = || self.outboxes.values().flat_map(|outbox| &outbox.letters);
        let bytes: usize = letters().map(|letter| letter.text.len()).sum();
        let place = self.outboxes.contains_key(&letter.to) || self.outboxes.len() < OUTBOXES_MAX;
        place && letters().count() < QUEUE_MESSAGES && bytes + letter.text.len() <= QUEUE_BYTES
    }

    /// Puts a letter behind those to the same person; whether there are none.
    fn put(&mut self, letter: Letter) -> bool {
        let new = || Outbox { stage: Stage::Asking, letters: VecDeque::new() };
        let outbox = self.outboxes.entry(letter.to).or_insert_with(new);
        outbox.letters.push_back(letter);
        outbox.letters.len() == 1
    }

    fn first(&self, to: UserName) -> Option<&Letter> {
        self.outboxes.get(&to)?.letters.front()
    }

    fn take_first(&mut self, to: UserName) -> Option<Letter> {
        let outbox = self.outboxes.get_mut(&to)?;
        let letter = outbox.letters.pop_front();
        if outbox.letters.is_empty() {
            self.outboxes.remove(&to);
        }
        letter
    }

    fn set_stage(&mut self, to: UserName, stage: Stage) {
        if let Some(outbox) = self.outboxes.get_mut(&to) {
            outbox.stage = stage;
        }
    }

    fn is_asking(&self, to: UserName) -> bool {
        self.outboxes.get(&to).is_some_and(|outbox| matches!(outbox.stage, Stage::Asking))
    }

    /// Those for whom the endpoint had no room and who are to be tried again.
    fn full(&self, is_due: impl Fn(UserName, Instant) -> bool) -> Vec<UserName> {
        let due = |(&to, outbox): (&UserName, &Outbox)| match outbox.stage {
            Stage::Full { again } if is_due(to, again) => Some(to),
            Stage::Full { .. } | Stage::Asking => None,
        };
        self.outboxes.iter().filter_map(due).collect()
    }
}

impl Session {
    /// Takes in a message to one person. It is sent, or waits its turn, or is refused.
    pub(super) fn write(&mut self, now: Instant, letter: Letter) {
        let (re, to) = (letter.re, letter.to);
        if to == self.config.name {
            let text = format!("you are {to} yourself; a private message goes to somebody else");
            self.error(re, ErrorCode::BadCommand, text);
        } else if !self.private.has_room(&letter) {
            match self.config.patient {
                true => self.put_off(Waiting::Letter(letter)),
                false => self.error(re, ErrorCode::Busy, SendError::Busy.to_string()),
            }
        } else if self.private.put(letter) {
            self.look_for(now, to);
        }
    }

    /// Sends what waits for a person who can be reached, and asks the tracker otherwise.
    fn look_for(&mut self, now: Instant, to: UserName) {
        match self.endpoint.find(to) {
            Some(node) => self.post(now, &node),
            None => {
                self.private.set_stage(to, Stage::Asking);
                self.tracker.ask(now, Ask::Find { user: to });
            }
        }
    }

    /// Hands what waits for a person to the endpoint, as far as that has room.
    fn post(&mut self, now: Instant, node: &Correspondent) {
        let to = node.name;
        while let Some(Letter { re, text, .. }) = self.private.first(to).cloned() {
            match self.endpoint.send_private(now, node, text) {
                Ok(id) => {
                    self.sent += 1;
                    self.private.under_way.insert(id, UnderWay { re, to });
                    self.tell(Event::PrivateSent { re, to, id });
                }
                Err(SendError::Busy) => {
                    self.private.set_stage(to, Stage::Full { again: now + AGAIN_AFTER });
                    break;
                }
                Err(error @ SendError::Size) => self.error(re, ErrorCode::TooLong, error.to_string()),
                Err(SendError::NotAMember) => self.error(re, ErrorCode::NotHere, not_here(to)),
            }
            self.private.take_first(to);
        }
        self.retry_waiting(now);
    }

    /// The tracker says where a person is, or why it does not. Who has come into reach meanwhile is sent to there: the
    /// tracker may know less by now.
    pub(super) fn handle_found(&mut self, now: Instant, to: UserName, result: Result<Reply, Failure>) {
        if !self.private.is_asking(to) {
            return;
        }
        let node = self.endpoint.find(to).or_else(|| correspondent(to, result.as_ref().ok()?));
        if let Some(node) = node {
            self.private.note_seen(to);
            return self.post(now, &node);
        }
        let (code, text) = match result {
            Err(Failure::Refused(Refusal::NoSuchUser)) if !self.private.seen.contains(&to) => {
                (ErrorCode::NoSuchUser, format!("nobody called {to} has ever been here; nothing was sent"))
            }
            Err(Failure::Refused(Refusal::NoSuchUser | Refusal::Away)) => (ErrorCode::NotHere, not_here(to)),
            _ => {
                let text =
                    format!("{to} is in none of your groups, and no tracker answers; nothing was sent");
                (ErrorCode::TrackerUnavailable, text)
            }
        };
        while let Some(letter) = self.private.take_first(to) {
            self.error(letter.re, code, text.clone());
        }
        self.retry_waiting(now);
    }

    /// Tries again what the endpoint had no room for.
    pub(super) fn private_due(&mut self, now: Instant) {
        for to in self.private.full(|_, again| again <= now) {
            self.look_for(now, to);
        }
    }

    /// Takes in what the endpoint says of private messages. What is frequent is returned rather than queued.
    pub(super) fn handle_private(&mut self, now: Instant, event: endpoint::Event) -> Option<Event> {
        match event {
            endpoint::Event::Private { from, id, payload } => {
                self.received += 1;
                self.private.note_seen(from);
                let (to, text) = (self.config.name, Text::new(payload));
                return Some(Event::Private { from, to, id, text });
            }
            endpoint::Event::Confirmed { to, id } => {
                self.private.under_way.remove(&id);
                return Some(Event::Receipt { id, by: to });
            }
            endpoint::Event::Unconfirmed { to, ids } => {
                for id in ids {
                    let text = format!("{to}'s node is gone; whether this reached it is not known");
                    self.lost(id, ErrorCode::NotHere, text);
                }
            }
            endpoint::Event::PrivateWritable { to } => {
                for to in self.private.full(|full, _| full == to) {
                    self.look_for(now, to);
                }
            }
            _ => {}
        }
        None
    }

    /// A message that was sent will not be confirmed any more.
    fn lost(&mut self, id: MessageId, code: ErrorCode, text: String) {
        let re = self.private.under_way.remove(&id).and_then(|sent| sent.re);
        self.tell(Event::Error { re, code, id: Some(id), text });
    }

    /// What has not been sent by now will not be; each line gets its answer.
    pub(super) fn give_letters_up(&mut self) {
        for outbox in std::mem::take(&mut self.private.outboxes).into_values() {
            for letter in outbox.letters {
                match outbox.stage {
                    Stage::Asking => self.unheard(letter.re),
                    Stage::Full { .. } => self.abandoned(letter.re),
                }
            }
        }
    }

    /// This node goes. What has come by now is told, since its sender may have been told that it is here; then what
    /// nobody has confirmed.
    pub(super) fn end_conversations(&mut self, now: Instant) {
        while let Some(event) = self.endpoint.poll_event() {
            if let Some(event) = self.handle_private(now, event) {
                self.tell(event);
            }
        }
        self.endpoint.close_conversations();
        for (id, UnderWay { to, .. }) in self.private.under_way.clone() {
            let text = format!("not confirmed by {to} before the end; whether it arrived is not known");
            self.lost(id, ErrorCode::Abandoned, text);
        }
    }
}

/// The node that the tracker has found, if it is that person's.
fn correspondent(to: UserName, reply: &Reply) -> Option<Correspondent> {
    let Reply::Found(contact) = reply else { return None };
    let (incarnation, addresses) = (contact.incarnation, contact.addresses.clone());
    (contact.name == to).then_some(Correspondent { name: to, incarnation, addresses })
}

fn not_here(to: UserName) -> String {
    format!("{to} is not here at the moment; nothing was sent")
}
