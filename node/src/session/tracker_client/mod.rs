//! The node's side of the tracker's protocol, sans-IO.
//!
//! The client keeps one connection. It tries the trackers in turn, waits longer after each round in which none could
//! be reached, signs in, reports the node's groups (a tracker that restarted learns them from its clients), and sends
//! a heartbeat as often as the tracker wishes. Questions are answered by [`Event::Answer`]; one asked while there is
//! no connection, or whose connection is lost before its answer, goes out on the next connection.
//!
//! A connection on which an answer is overdue is taken for dead, so that a tracker that vanished without a word is
//! noticed at the next heartbeat or question.

mod api;
mod wishes;

pub use api::{Ask, Config, Event, Failure, Reply, Trouble};

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use decury_common::base::id::GroupName;
use decury_common::base::list::List;
use decury_common::base::rng::Rng;
use decury_common::base::time::Instant;
use decury_common::machine::{StreamAction, StreamId, StreamMachine, Wakeup};
use decury_common::wire::figures::Figures;
use decury_common::wire::stream::{self, FrameReader};
use decury_common::wire::tracker::{
    Answer, Asked, GroupReport, Joined, Notice, Refusal, Request, SignIn, Told, Welcome,
};

use wishes::Wishes;

/// The pause after the first round of failed attempts; it doubles with each further round.
pub const BACK_OFF_MIN: Duration = Duration::from_millis(200);
/// The longest pause.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// A connection that has not opened, or an answer that has not come, within this time is given up.
pub const OVERDUE_AFTER: Duration = Duration::from_secs(3);

/// Where the connection stands.
#[derive(Clone, Debug)]
enum Link {
    /// Before the next attempt.
    Waiting { until: Instant },
    /// Asked for, not open yet.
    Opening { stream: StreamId, since: Instant },
    /// Open; signed in if `terms` are there.
    Open(Open),
    /// Nothing is attempted any more.
    Ended,
}

/// An open connection.
#[derive(Clone, Debug)]
struct Open {
    stream: StreamId,
    reader: FrameReader,
    /// Since when, and how often it wants to hear from us.
    terms: Option<(Instant, Duration)>,
    last_sent: Instant,
    /// Requests that no answer has come for, oldest first, and when they were sent.
    unanswered: VecDeque<(u32, Instant)>,
}

/// The client.
#[derive(Clone, Debug)]
pub struct TrackerClient {
    config: Config,
    rng: Rng,
    link: Link,
    /// The tracker that is being tried or used, as an index into the configured ones.
    tracker: usize,
    /// Attempts that failed since the last sign-in that lasted.
    failures: u32,
    signed_in_before: bool,
    told_unreachable: bool,
    refusals: u32,
    next_stream: u64,
    next_request: u32,
    wishes: Wishes,
    /// What the tracker is to know of each of our groups.
    reports: BTreeMap<GroupName, GroupReport>,
    actions: VecDeque<StreamAction>,
    events: VecDeque<Event>,
}

impl TrackerClient {
    /// A client that makes its first attempt at once. Without trackers it makes none, and every question fails.
    pub fn new(config: Config, now: Instant) -> TrackerClient {
        let link = if config.trackers.is_empty() { Link::Ended } else { Link::Waiting { until: now } };
        TrackerClient {
            rng: Rng::from_seed(config.seed),
            config,
            link,
            tracker: 0,
            failures: 0,
            signed_in_before: false,
            told_unreachable: false,
            refusals: 0,
            next_stream: 0,
            next_request: 0,
            wishes: Wishes::default(),
            reports: BTreeMap::new(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The tracker that this node is signed in at.
    pub fn tracker(&self) -> Option<SocketAddr> {
        match &self.link {
            Link::Open(Open { terms: Some(_), .. }) => self.config.trackers.get(self.tracker).copied(),
            _ => None,
        }
    }

    /// Asks the tracker; [`Event::Answer`] with the returned number follows in any case, within a few seconds.
    pub fn ask(&mut self, now: Instant, ask: Ask) -> u32 {
        if let Ask::Leave { group } = ask {
            self.reports.remove(&group);
        }
        let number = self.number();
        let result = Err(Failure::Unavailable);
        if matches!(self.link, Link::Ended) {
            self.events.push_back(Event::Answer { ask: number, asked: ask, result });
        } else if let Err(asked) = self.wishes.add(now, number, ask) {
            self.events.push_back(Event::Answer { ask: number, asked, result });
        }
        self.send_wishes(now);
        number
    }

    /// Tells the tracker how this node sees one of its groups: now if it has changed, and after each sign-in. To be
    /// called with each view; [`Ask::Leave`] ends it. (A group that is being joined is reported without being asked.)
    pub fn report(&mut self, now: Instant, report: GroupReport) {
        if self.reports.get(&report.group) == Some(&report) {
            return;
        }
        self.reports.insert(report.group, report.clone());
        if self.tracker().is_some() {
            let number = self.number();
            self.send(now, number, Request::Report(report));
        }
    }

    /// Tells the tracker what this run amounts to, if it is signed in there; otherwise nobody is told, since a run that
    /// ends does not wait.
    pub fn report_run(&mut self, now: Instant, figures: Figures) {
        if self.tracker().is_some() {
            let number = self.number();
            self.send(now, number, Request::Run(figures));
        }
    }

    /// Signs out and ends: no attempt is made any more.
    pub fn sign_out(&mut self, now: Instant) {
        if self.tracker().is_some() {
            let number = self.number();
            self.send(now, number, Request::SignOut);
        }
        self.end(now);
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn number(&mut self) -> u32 {
        self.next_request = self.next_request.wrapping_add(1);
        self.next_request
    }

    fn address(&self) -> Option<SocketAddr> {
        self.config.trackers.get(self.tracker).copied()
    }

    fn connect(&mut self, now: Instant) {
        let Some(to) = self.address() else { return };
        let stream = StreamId(self.next_stream);
        self.next_stream += 2;
        self.actions.push_back(StreamAction::Open { stream, to });
        self.link = Link::Opening { stream, since: now };
    }

    /// Sends a request, if the connection is open.
    fn send(&mut self, now: Instant, request: u32, body: Request) {
        let Link::Open(open) = &mut self.link else { return };
        open.last_sent = now;
        open.unanswered.push_back((request, now));
        let bytes = stream::encode(&Asked { request, body });
        self.actions.push_back(StreamAction::Write { stream: open.stream, bytes });
    }

    /// Sends the questions that are to be sent, if signed in.
    fn send_wishes(&mut self, now: Instant) {
        if self.tracker().is_none() {
            return;
        }
        for (number, request) in self.wishes.take_unsent() {
            self.send(now, number, request);
        }
    }

    /// The stream of the connection, open or opening.
    fn stream(&self) -> Option<StreamId> {
        match &self.link {
            Link::Opening { stream, .. } | Link::Open(Open { stream, .. }) => Some(*stream),
            Link::Waiting { .. } | Link::Ended => None,
        }
    }

    /// Closes the connection for good.
    fn end(&mut self, now: Instant) {
        if let Some(stream) = self.stream() {
            self.actions.push_back(StreamAction::Close { stream });
        }
        self.link = Link::Ended;
        self.expire_wishes(now);
    }

    fn expire_wishes(&mut self, now: Instant) {
        let ended = matches!(self.link, Link::Ended);
        while let Some(event) = self.wishes.expire(now, ended) {
            self.events.push_back(event);
        }
    }

    /// The connection is gone, or is given up: pause and try the next tracker.
    fn lose(&mut self, now: Instant, why: Trouble) {
        let Some(tracker) = self.address() else { return };
        let signed_in = self.tracker().is_some();
        if let Link::Open(Open { terms: Some((since, _)), .. }) = self.link
            && now.since(since) >= BACK_OFF_MAX
        {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.link = Link::Waiting { until: now + self.back_off() };
        self.tracker = (self.tracker + 1) % self.config.trackers.len();
        self.wishes.unsend();
        if signed_in {
            log::warn!("lost the tracker at {tracker}: {why}");
            self.events.push_back(Event::Lost { tracker, why });
        } else if !self.signed_in_before && !self.told_unreachable && self.rounds().0 > 0 {
            self.told_unreachable = true;
            self.events.push_back(Event::Unreachable { tracker, why });
        }
    }

    /// How many rounds over all trackers have failed, and whether the last failure ended one.
    fn rounds(&self) -> (u32, bool) {
        let trackers = u32::try_from(self.config.trackers.len()).unwrap_or(u32::MAX).max(1);
        (self.failures / trackers, self.failures.is_multiple_of(trackers))
    }

    /// The pause after a failed attempt: long after a whole round, short before the next tracker of one. Half of it
    /// is random, so that the clients of a tracker that comes back do not come all at once.
    fn back_off(&mut self) -> Duration {
        let doublings = match self.rounds() {
            (rounds, true) => rounds.saturating_sub(1).min(10),
            (_, false) => 0,
        };
        let longest = BACK_OFF_MIN.saturating_mul(1 << doublings).min(BACK_OFF_MAX);
        self.rng.between(longest / 2, longest)
    }

    fn drop_connection(&mut self, now: Instant, why: Trouble) {
        if let Some(stream) = self.stream() {
            self.actions.push_back(StreamAction::Close { stream });
        }
        self.lose(now, why);
    }

    fn handle_told(&mut self, now: Instant, told: Told) {
        match told {
            Told::Answer { request, result } => self.handle_answer(now, request, result),
            Told::Notice(notice) => {
                if let Notice::GroupReplaced { group, .. } = &notice {
                    self.reports.remove(group);
                }
                self.events.push_back(Event::Notice(notice));
            }
            Told::Closing(why) => self.drop_connection(now, why.into()),
        }
    }

    fn handle_answer(&mut self, now: Instant, request: u32, result: Result<Answer, Refusal>) {
        let Link::Open(open) = &mut self.link else { return };
        open.unanswered.retain(|(number, _)| *number != request);
        match (open.terms, result) {
            (None, Ok(Answer::Welcome(welcome))) => self.handle_welcome(now, welcome),
            (None, Ok(_)) => {}
            (None, Err(refusal)) => self.handle_refused(now, refusal),
            (Some(_), result) => {
                let joined = match &result {
                    Ok(Answer::Joined(joined)) => Some(joined.group),
                    _ => None,
                };
                match (self.wishes.handle_answer(request, result), joined) {
                    (Some(event), _) => self.handle_reply(event),
                    (None, Some(group)) => self.take_back(now, group),
                    (None, None) => {}
                }
                self.send_wishes(now);
            }
        }
    }

    /// Keeps the groups to be reported in step with what has been asked for and is now answered.
    fn handle_reply(&mut self, event: Event) {
        match &event {
            Event::Answer { result: Ok(Reply::Joined(joined)), .. } => {
                let Joined { group, id, order, .. } = *joined;
                let joining = GroupReport { group, id, order, members: List::new() };
                if self.reports.get(&group).is_none_or(|report| report.id != id) {
                    self.reports.insert(group, joining);
                }
            }
            Event::Answer { asked: Ask::Leave { group }, .. } => {
                self.reports.remove(group);
            }
            _ => {}
        }
        self.events.push_back(event);
    }

    /// A join was answered after the question was given up: the tracker must not count this node as joining.
    fn take_back(&mut self, now: Instant, group: GroupName) {
        if !self.reports.contains_key(&group) {
            let number = self.number();
            self.send(now, number, Request::Leave { group });
        }
    }

    fn handle_welcome(&mut self, now: Instant, welcome: Welcome) {
        let Some(tracker) = self.address() else { return };
        let Link::Open(open) = &mut self.link else { return };
        let heartbeat = Duration::from_millis(u64::from(welcome.heartbeat_ms.max(10)));
        open.terms = Some((now, heartbeat));
        self.refusals = 0;
        let observed = welcome.observed;
        log::info!("signed in at the tracker {tracker}, which sees us at {observed}");
        self.events.push_back(match self.signed_in_before {
            false => Event::SignedIn { tracker, observed },
            true => Event::Back { tracker, observed },
        });
        self.signed_in_before = true;
        let reports: Vec<GroupReport> = self.reports.values().cloned().collect();
        for report in reports {
            let number = self.number();
            self.send(now, number, Request::Report(report));
        }
        self.send_wishes(now);
    }

    /// The sign-in is refused. A name is reported as taken at the second refusal only: after a crash and a quick
    /// restart the tracker may see the new connection before the end of the old one.
    fn handle_refused(&mut self, now: Instant, refusal: Refusal) {
        self.refusals = self.refusals.saturating_add(1);
        let told_at = if refusal == Refusal::NameTaken { 2 } else { 1 };
        if self.refusals == told_at {
            self.events.push_back(Event::Refused(refusal));
        }
        if let Some(stream) = self.stream() {
            self.actions.push_back(StreamAction::Close { stream });
        }
        let pause = if self.refusals < told_at { BACK_OFF_MIN } else { BACK_OFF_MAX };
        self.link = Link::Waiting { until: now + pause };
    }

    /// The next deadline of the connection.
    fn link_timeout(&self) -> Option<Wakeup> {
        match &self.link {
            Link::Waiting { until } => Some(Wakeup { at: *until, reason: "tracker attempt" }),
            Link::Opening { since, .. } => {
                Some(Wakeup { at: *since + OVERDUE_AFTER, reason: "tracker open" })
            }
            Link::Open(open) => {
                let heartbeat = open.terms.map(|(_, every)| open.last_sent + every);
                let heartbeat = heartbeat.map(|at| Wakeup { at, reason: "tracker heartbeat" });
                let oldest = open.unanswered.front().map(|(_, sent)| *sent + OVERDUE_AFTER);
                Wakeup::earliest(heartbeat, oldest.map(|at| Wakeup { at, reason: "tracker answer" }))
            }
            Link::Ended => None,
        }
    }
}

impl StreamMachine for TrackerClient {
    fn handle_opened(&mut self, now: Instant, stream: StreamId, _peer: SocketAddr) {
        if self.stream() != Some(stream) || !matches!(self.link, Link::Opening { .. }) {
            return;
        }
        self.link = Link::Open(Open {
            stream,
            reader: FrameReader::new(),
            terms: None,
            last_sent: now,
            unanswered: VecDeque::new(),
        });
        self.actions.push_back(StreamAction::Write { stream, bytes: vec![stream::VERSION] });
        let Config { name, incarnation, identity, .. } = self.config;
        let groups = self.reports.keys().copied().collect();
        let addresses = self.config.addresses.clone();
        let sign_in = SignIn { name, incarnation, identity, addresses, groups };
        let number = self.number();
        self.send(now, number, Request::SignIn(sign_in));
    }

    fn handle_bytes(&mut self, now: Instant, stream: StreamId, mut bytes: &[u8]) {
        loop {
            let Link::Open(open) = &mut self.link else { return };
            if open.stream != stream {
                return;
            }
            let told = match open.reader.next_frame(&mut bytes) {
                Ok(Some(frame)) => stream::decode(&frame),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            match told {
                Ok(told) => self.handle_told(now, told),
                Err(error) => self.drop_connection(now, error.into()),
            }
        }
    }

    fn handle_closed(&mut self, now: Instant, stream: StreamId) {
        if self.stream() == Some(stream) {
            self.lose(now, Trouble::NoConnection);
        }
    }

    fn handle_stream_timeout(&mut self, now: Instant) {
        self.expire_wishes(now);
        if self.link_timeout().is_none_or(|wakeup| wakeup.at > now) {
            return;
        }
        match &self.link {
            Link::Waiting { .. } => self.connect(now),
            Link::Opening { .. } => self.drop_connection(now, Trouble::NoAnswer),
            Link::Open(open) => match open.unanswered.front() {
                Some((_, sent)) if *sent + OVERDUE_AFTER <= now => {
                    self.drop_connection(now, Trouble::NoAnswer);
                }
                _ => {
                    let number = self.number();
                    self.send(now, number, Request::Heartbeat);
                }
            },
            Link::Ended => {}
        }
    }

    fn poll_stream(&mut self, _now: Instant) -> Option<StreamAction> {
        self.actions.pop_front()
    }

    fn poll_stream_timeout(&self) -> Option<Wakeup> {
        let wish = self.wishes.deadline().map(|at| Wakeup { at, reason: "tracker question" });
        Wakeup::earliest(self.link_timeout(), wish)
    }
}

#[cfg(test)]
mod tests;
