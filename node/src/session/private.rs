//! Private messages: the person's node is found, then first in goes first out.
//!
//! Somebody in reach, in a shared group or in an open conversation, is found without a tracker; anybody else's node is
//! asked for there. What is typed for a person meanwhile waits in an outbox of that person's, and so does what the
//! endpoint has no room for. An outbox exists while it holds something, and nothing overtakes what it holds.
//!
//! What was sent is kept until it is confirmed, or its loss is told. What a former run of the program had not settled is
//! sent again under its former identity, however long its receiver is away, so that whoever has it knows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use decury_common::base::id::{MessageId, UserName};
use decury_common::base::limits::{MESSAGE_MAX, QUEUE_BYTES, QUEUE_MESSAGES};
use decury_common::base::time::Instant;
use decury_common::endpoint::{self, Correspondent, SendError, ViewInfo};
use decury_common::machine::Wakeup;
use decury_common::wire::tracker::Refusal;

use super::commands::Waiting;
use super::ending::Phase;
use super::tracker_client::{Ask, Failure, Reply};
use super::{ErrorCode, Event, Record, Session, Text, letter, record};

/// People with something in their outboxes at a time: as many questions wait at the tracker at most.
const OUTBOXES_MAX: usize = 32;
/// Names that are remembered as seen.
const SEEN_MAX: usize = 4_096;
/// Where the endpoint had no room, it is tried again after this time, if it has not said before that it has.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Without a tracker, somebody who is not in reach is waited for so long.
const SOUGHT_FOR: Duration = Duration::from_secs(1);
/// Somebody who is away is looked for again after this time, which doubles
const AWAY_FOR: Duration = Duration::from_secs(1);
/// up to this.
const AWAY_FOR_MAX: Duration = Duration::from_secs(8);

/// A private message that somebody has typed.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) re: Option<u64>,
    pub(super) to: UserName,
    pub(super) text: Bytes,
    /// The identity that a former run of the program gave it.
    pub(super) former: Option<MessageId>,
}

/// What one person is still to be sent.
#[derive(Clone, Debug)]
struct Outbox {
    stage: Stage,
    letters: VecDeque<Letter>,
    /// How long it waits when its person is away.
    pause: Duration,
}

impl Outbox {
    fn new(stage: Stage) -> Outbox {
        Outbox { stage, letters: VecDeque::new(), pause: AWAY_FOR }
    }
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
    /// There is no tracker, and the person may still come into reach.
    Seeking {
        /// Until then.
        until: Instant,
    },
    /// The person is away, and what a former run had sent waits.
    Away {
        /// When the person is looked for again.
        again: Instant,
    },
}

/// All that is known of private messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Private {
    outboxes: BTreeMap<UserName, Outbox>,
    /// What is sent and not confirmed, by the identity in its conversation. No more than the endpoint takes.
    under_way: BTreeMap<MessageId, Letter>,
    /// People who were there at some time in this run.
    seen: BTreeSet<UserName>,
}

impl Private {
    /// Takes up what a former run had not settled.
    pub(super) fn restore(&mut self, letters: Vec<record::Letter>) {
        for record::Letter { to, id, text } in letters {
            let new = || Outbox::new(Stage::Away { again: Instant::ZERO });
            let outbox = self.outboxes.entry(to).or_insert_with(new);
            outbox.letters.push_back(Letter { re: None, to, text, former: Some(id) });
        }
    }

    /// For whom something waits, and how much.
    pub(super) fn waiting(&self) -> Vec<(UserName, usize)> {
        self.outboxes.iter().map(|(to, outbox)| (*to, outbox.letters.len())).collect()
    }

    /// Whether nothing waits to be sent for the first time.
    pub(super) fn is_idle(&self) -> bool {
        self.new_letters().next().is_none()
    }

    fn new_letters(&self) -> impl Iterator<Item = &Letter> {
        self.outboxes.values().flat_map(|outbox| &outbox.letters).filter(|letter| letter.former.is_none())
    }

    pub(super) fn timeout(&self) -> Option<Wakeup> {
        let at = self.outboxes.values().filter_map(|outbox| outbox.stage.again()).min()?;
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
        let bytes: usize = self.new_letters().map(|letter| letter.text.len()).sum();
        let mut people: BTreeSet<UserName> = self.new_letters().map(|letter| letter.to).collect();
        people.insert(letter.to);
        let room = self.new_letters().count() < QUEUE_MESSAGES && bytes + letter.text.len() <= QUEUE_BYTES;
        room && people.len() <= OUTBOXES_MAX
    }

    /// Puts a letter behind those to the same person; whether that person is to be looked for.
    fn put(&mut self, letter: Letter) -> bool {
        let outbox = self.outboxes.entry(letter.to).or_insert_with(|| Outbox::new(Stage::Asking));
        outbox.letters.push_back(letter);
        outbox.letters.len() == 1 || matches!(outbox.stage, Stage::Away { .. })
    }

    /// Puts letters of a former run that have not arrived back before all others.
    fn put_back(&mut self, now: Instant, to: UserName, letters: Vec<Letter>) {
        let new = || Outbox::new(Stage::Away { again: now + AWAY_FOR });
        let outbox = self.outboxes.entry(to).or_insert_with(new);
        letters.into_iter().rev().for_each(|letter| outbox.letters.push_front(letter));
    }

    /// A person is not here: what waits for the first time is given back, what a former run had sent goes on waiting.
    fn give_back(&mut self, now: Instant, to: UserName) -> Vec<Letter> {
        let Some(Outbox { letters, pause, .. }) = self.outboxes.remove(&to) else { return Vec::new() };
        let (former, new): (VecDeque<Letter>, VecDeque<Letter>) =
            letters.into_iter().partition(|letter| letter.former.is_some());
        if !former.is_empty() {
            let stage = Stage::Away { again: now + pause };
            let pause = AWAY_FOR_MAX.min(pause * 2);
            self.outboxes.insert(to, Outbox { stage, letters: former, pause });
        }
        new.into()
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

    fn stage(&self, to: UserName) -> Option<Stage> {
        self.outboxes.get(&to).map(|outbox| outbox.stage)
    }

    /// People who were there at some time.
    pub(super) fn seen(&self) -> &BTreeSet<UserName> {
        &self.seen
    }

    fn has_seen(&self, name: UserName) -> bool {
        self.seen.contains(&name)
    }

    fn is_asking(&self, to: UserName) -> bool {
        self.outboxes.get(&to).is_some_and(|outbox| matches!(outbox.stage, Stage::Asking))
    }

    /// Those who are to be tried again at some time, and of whom that is so.
    fn paused(&self, is_due: impl Fn(UserName, Instant) -> bool) -> Vec<UserName> {
        let due =
            |&(&to, outbox): &(&UserName, &Outbox)| outbox.stage.again().is_some_and(|at| is_due(to, at));
        self.outboxes.iter().filter(due).map(|(to, _)| *to).collect()
    }
}

impl Stage {
    /// When it is tried again.
    fn again(self) -> Option<Instant> {
        match self {
            Stage::Full { again } | Stage::Away { again } | Stage::Seeking { until: again } => Some(again),
            Stage::Asking => None,
        }
    }
}

impl Session {
    /// Takes in a message to one person. It is sent, or waits its turn, or is refused.
    pub(super) fn write(&mut self, now: Instant, letter: Letter) {
        let (re, to) = (letter.re, letter.to);
        if letter.text.is_empty() || letter.text.len() > MESSAGE_MAX {
            self.error(re, ErrorCode::TooLong, SendError::Size.to_string());
        } else if to == self.config.name {
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
            None if self.config.trackers.is_empty() => self.seek_person(now, to),
            None => {
                self.private.set_stage(to, Stage::Asking);
                self.tracker.ask(now, Ask::Find { user: to });
            }
        }
    }

    /// There is no tracker to be asked: somebody who is not in reach may be so in a moment, while peers are looked for.
    fn seek_person(&mut self, now: Instant, to: UserName) {
        let sought = match self.private.stage(to) {
            Some(Stage::Seeking { until }) => Some(until),
            Some(Stage::Away { .. }) => None,
            _ => self.endpoint.is_searching().then_some(now + SOUGHT_FOR),
        };
        match sought.filter(|&until| until > now) {
            Some(until) => self.private.set_stage(to, Stage::Seeking { until }),
            None if self.private.has_seen(to) => self.give_back(now, to, ErrorCode::NotHere, &not_here(to)),
            None => self.give_back(now, to, ErrorCode::NoSuchUser, &unknown(to)),
        }
    }

    /// Hands what waits for a person to the endpoint, as far as that has room.
    fn post(&mut self, now: Instant, node: &Correspondent) {
        let to = node.name;
        while let Some(letter) = self.private.first(to).cloned() {
            let re = letter.re;
            match self.endpoint.send_private(now, node, letter::seal(letter.former, &letter.text)) {
                Ok(id) => self.posted(id, letter),
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

    /// The endpoint has taken a letter.
    fn posted(&mut self, id: MessageId, letter: Letter) {
        if letter.former.is_none() {
            let (re, to, text) = (letter.re, letter.to, letter.text.clone());
            self.ledger.sent(None);
            self.keep(Record::Written { to, id, text });
            self.tell_when_stored(Event::PrivateSent { re, to, id });
        }
        self.private.under_way.insert(id, letter);
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
            Err(Failure::Refused(Refusal::NoSuchUser)) if !self.private.has_seen(to) => {
                (ErrorCode::NoSuchUser, unknown(to))
            }
            Err(Failure::Refused(Refusal::NoSuchUser | Refusal::Away)) => (ErrorCode::NotHere, not_here(to)),
            _ => {
                let text =
                    format!("{to} is in none of your groups, and no tracker answers; nothing was sent");
                (ErrorCode::TrackerUnavailable, text)
            }
        };
        self.give_back(now, to, code, &text);
    }

    fn give_back(&mut self, now: Instant, to: UserName, code: ErrorCode, text: &str) {
        for letter in self.private.give_back(now, to) {
            self.error(letter.re, code, text.to_owned());
        }
        self.retry_waiting(now);
    }

    /// Whether private messages are sent now: not before the start is settled, nor on the way out.
    fn is_writing(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Settling { .. })
    }

    pub(super) fn private_timeout(&self) -> Option<Wakeup> {
        self.private.timeout().filter(|_| self.is_writing())
    }

    /// Tries again those for whom it is time.
    pub(super) fn private_due(&mut self, now: Instant) {
        self.try_again(now, |_, again| again <= now);
    }

    /// Tries again that person, if something waits: there is news.
    pub(super) fn look_again_for(&mut self, now: Instant, person: UserName) {
        self.try_again(now, |to, _| to == person);
    }

    /// Tries again those for whom something waits and who are in reach now.
    pub(super) fn look_for_peers_in_reach(&mut self, now: Instant) {
        let people = self.endpoint.people();
        people.iter().for_each(|person| self.private.note_seen(*person));
        self.try_again(now, |to, _| people.contains(&to));
    }

    /// Tries again those for whom something waits and who are in this view.
    pub(super) fn look_for_those(&mut self, now: Instant, view: &ViewInfo) {
        self.try_again(now, |to, _| view.members.iter().any(|&(_, name)| name == to));
    }

    fn try_again(&mut self, now: Instant, is_due: impl Fn(UserName, Instant) -> bool) {
        let due = if self.is_writing() { self.private.paused(is_due) } else { Vec::new() };
        due.into_iter().for_each(|to| self.look_for(now, to));
    }

    /// Takes in what the endpoint says of private messages.
    pub(super) fn handle_private(&mut self, now: Instant, event: endpoint::Event) {
        match event {
            endpoint::Event::Private { from, id, sent_at, payload } => {
                self.handle_heard(now, from, (id, sent_at), payload);
            }
            endpoint::Event::Confirmed { to: by, id } => {
                let letter = self.private.under_way.remove(&id);
                let id = letter.and_then(|letter| letter.former).unwrap_or(id);
                self.keep(Record::Settled { id });
                self.tell(Event::Receipt { id, by });
            }
            endpoint::Event::Unconfirmed { to, ids } => self.handle_unconfirmed(now, to, &ids),
            endpoint::Event::PrivateWritable { to } => self.look_again_for(now, to),
            _ => {}
        }
    }

    /// A private message has come. Its sender is told so when it is safe here.
    fn handle_heard(
        &mut self,
        now: Instant,
        from: UserName,
        (id, sent_at): (MessageId, Option<Instant>),
        payload: Bytes,
    ) {
        if let Some((name, text)) = letter::open(id, payload)
            && self.keeping.hear(from, name)
        {
            self.note_received(now, None, id, sent_at);
            self.private.note_seen(from);
            self.keep(Record::Heard { from, id: name, text: text.clone() });
            let (to, text) = (self.config.name, Text::new(text));
            self.tell_when_stored(Event::Private { from, to, id: name, text });
        }
        self.accept_when_stored(now, id);
    }

    /// A conversation is over. What this run has sent is told as lost, what a former one had is sent again.
    fn handle_unconfirmed(&mut self, now: Instant, to: UserName, ids: &[MessageId]) {
        let mut former = Vec::new();
        for &id in ids {
            match self.private.under_way.remove(&id) {
                Some(letter) if letter.former.is_some() => former.push(letter),
                letter => {
                    let re = letter.and_then(|letter| letter.re);
                    let text = format!("{to}'s node is gone; whether this reached it is not known");
                    self.keep(Record::Settled { id });
                    self.tell_when_stored(Event::Error { re, code: ErrorCode::NotHere, id: Some(id), text });
                }
            }
        }
        if !former.is_empty() {
            self.private.put_back(now, to, former);
        }
    }

    /// What has not been sent by now will not be; each line gets its answer.
    pub(super) fn give_letters_up(&mut self) {
        for outbox in std::mem::take(&mut self.private.outboxes).into_values() {
            for letter in outbox.letters.into_iter().filter(|letter| letter.former.is_none()) {
                match outbox.stage {
                    Stage::Asking | Stage::Away { .. } | Stage::Seeking { .. } => self.unheard(letter.re),
                    Stage::Full { .. } => self.abandoned(letter.re),
                }
            }
        }
    }

    /// This node goes. What has come and is not taken is confirmed to nobody. What nobody has confirmed to this node is
    /// told; it stays to be sent again by a later run.
    pub(super) fn end_conversations(&mut self, now: Instant) {
        while let Some(event) = self.endpoint.poll_event() {
            if matches!(event, endpoint::Event::Confirmed { .. } | endpoint::Event::Unconfirmed { .. }) {
                self.handle_private(now, event);
            }
        }
        self.endpoint.close_conversations();
        for (id, letter) in std::mem::take(&mut self.private.under_way) {
            if letter.former.is_none() {
                let text =
                    format!("not confirmed by {} before the end; sent again after the next start", letter.to);
                self.tell(Event::Error { re: letter.re, code: ErrorCode::Abandoned, id: Some(id), text });
            }
        }
    }
}

/// The node that the tracker has found, if it is that person's.
fn correspondent(to: UserName, reply: &Reply) -> Option<Correspondent> {
    let Reply::Found(contact) = reply else { return None };
    let (incarnation, addresses) = (contact.incarnation, contact.addresses.clone());
    (contact.name == to).then_some(Correspondent { name: to, incarnation, addresses })
}

fn unknown(to: UserName) -> String {
    format!("nobody called {to} has ever been here; nothing was sent")
}

fn not_here(to: UserName) -> String {
    format!("{to} is not here at the moment; nothing was sent")
}
