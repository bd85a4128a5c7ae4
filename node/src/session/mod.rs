//! Commands in, events out: all a front end ever sees. The engine of the program, without a socket.
//!
//! A [`Session`] owns the [`Endpoint`] (the protocol among members) and the [`TrackerClient`] (where they find each
//! other), and joins the two: a wish to join a group first goes to the tracker, and what it answers goes to the
//! endpoint; a view that the endpoint installs goes to the tracker as a report; a hint of the tracker's makes the
//! endpoint look. Toward the driver it is both machines in one, toward the front end a queue each way.
//!
//! A group passes through a few `Place`s, and a session through a few `Phase`s. A line that must wait (its group
//! is being joined, or the window is full) waits in one slot; [`Session::wants_input`] then says no, so that input
//! that is piped in stops at its source.
//!
//! Deliveries stay in the endpoint until [`Session::poll_event`] asks for them: a reader that stalls slows its groups.

mod api;
mod commands;
mod ending;
mod error_code;
mod events;
mod figures;
mod join;
mod keeping;
mod lab;
mod letter;
mod members;
mod met;
mod namesakes;
mod notice;
mod pattern;
mod peers;
mod place;
mod private;
pub mod record;
mod strangers;
mod text;
pub mod tracker_client;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use decury_common::base::id::{GroupName, Identity, Incarnation, UserName};
use decury_common::base::limits::{DELIVERIES_MAX, HISTORY_MAX, STORE_MESSAGES};
use decury_common::base::time::Instant;
use decury_common::endpoint::{self, Endpoint};
use decury_common::machine::{Machine, Persist, StreamAction, StreamId, StreamMachine, Transmit, Wakeup};
use decury_common::wire::membership::Addresses;

pub use api::{Command, Event, FaultChange, GroupSummary, MemberSummary, Request};
pub use ending::Ending;
pub use error_code::ErrorCode;
pub use lab::{BadSpec, Source, Spec};
pub use notice::Notice;
pub use pattern::{BadPattern, Pattern};
pub use record::{Kept, Record, Restored, Talk, Task};
pub use text::{Text, sanitise};

use commands::Waiting;
use ending::Phase;
use figures::Ledger;
use keeping::Keeping;
use lab::Lab;
use met::Acquaintances;
use namesakes::Namesakes;
use peers::Peers;
use place::{Place, Wish};
use private::Private;
use strangers::Strangers;
use tracker_client::TrackerClient;

/// How long the first sign-in may take before the session starts without it.
const SIGN_IN_WITHIN: Duration = Duration::from_secs(2);
/// Events that wait for the front end, deliveries aside; beyond, no input is taken.
const EVENTS_MAX: usize = 64;
/// Events, deliveries among them, that wait for records to be safe; beyond, no more are taken from the endpoint.
const HELD_MAX: usize = 256;

/// What a session is told when it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// The person.
    pub name: UserName,
    /// This running node: 64 random bits, never used before.
    pub incarnation: Incarnation,
    /// Where the UDP socket can be reached; the first is the one shown to people.
    pub addresses: Addresses,
    /// The trackers, to be tried in this order; without any, peers alone find each other.
    pub trackers: Vec<SocketAddr>,
    /// The UDP socket's port.
    pub port: u16,
    /// Where peers may be.
    pub peers: Vec<SocketAddr>,
    /// Whether to call into the local network, and so to find peers there.
    pub discover: bool,
    /// Silence after which a member is suspected.
    pub suspect_after: Duration,
    /// The seed of all back-offs.
    pub seed: u64,
    /// The lab's faults that are in force from the start.
    pub faults: Vec<Spec>,
    /// Input that can wait (a pipe) waits where a person is told `busy`.
    pub patient: bool,
}

/// One person's node.
#[derive(Clone, Debug)]
pub struct Session {
    config: Config,
    identity: Identity,
    endpoint: Endpoint,
    tracker: TrackerClient,
    lab: Lab,
    phase: Phase,
    places: BTreeMap<GroupName, Place>,
    /// Groups that took this node in when it was already on its way out: nothing of them is told.
    unheard: BTreeSet<GroupName>,
    /// Where text goes: a group this node is in, or on its way into.
    current: Option<GroupName>,
    /// The one line that waits.
    waiting: Option<Waiting>,
    private: Private,
    peers: Peers,
    acquaintances: Acquaintances,
    namesakes: Namesakes,
    strangers: Strangers,
    /// The line behind each listing that the tracker was asked for.
    listings: BTreeMap<u32, Option<u64>>,
    signed_in_before: bool,
    ledger: Ledger,
    keeping: Keeping,
    /// What is to be told, and how many records must be safe before.
    events: VecDeque<(u64, Event)>,
}

impl Session {
    /// A session that signs in at once, and returns to the groups that a former one had not left. [`Event::Ready`]
    /// follows within two seconds, at once if there is no tracker to ask, or the session ends because one refuses it.
    pub fn new(mut config: Config, restored: Restored, now: Instant) -> Session {
        let endpoint = endpoint::Config {
            incarnation: config.incarnation,
            name: config.name,
            addresses: config.addresses.clone(),
            suspect_after: config.suspect_after,
            history: HISTORY_MAX,
            store: STORE_MESSAGES,
            deliveries: DELIVERIES_MAX,
            seed: config.seed,
        };
        let tracker = tracker_client::Config {
            trackers: config.trackers.clone(),
            name: config.name,
            incarnation: config.incarnation,
            identity: restored.identity,
            addresses: config.addresses.clone(),
            seed: config.seed.wrapping_add(1),
        };
        let mut session = Session {
            lab: Lab::new(std::mem::take(&mut config.faults), config.seed.wrapping_add(2)),
            config,
            endpoint: Endpoint::new(endpoint, now),
            tracker: TrackerClient::new(tracker, now),
            phase: Phase::Starting { until: now + SIGN_IN_WITHIN },
            places: BTreeMap::new(),
            unheard: BTreeSet::new(),
            current: None,
            waiting: None,
            private: Private::default(),
            peers: Peers::default(),
            acquaintances: Acquaintances::default(),
            namesakes: Namesakes::default(),
            strangers: Strangers::default(),
            listings: BTreeMap::new(),
            signed_in_before: false,
            ledger: Ledger::new(now),
            identity: restored.identity,
            keeping: Keeping::new(&restored),
            events: VecDeque::new(),
        };
        session.look_for_peers(now);
        session.look_for_those_met(now, &restored);
        session.restore(now, restored);
        if session.config.trackers.is_empty() {
            session.start(None);
        }
        session
    }

    /// Takes up what a former session left.
    fn restore(&mut self, now: Instant, restored: Restored) {
        for (group, known) in restored.known {
            self.endpoint.remember(group, known);
        }
        for record::Place { group, order, .. } in restored.groups {
            self.ask_to_join(now, group, Wish { re: None, order: Some(order) });
        }
        self.current = restored.current.filter(|current| self.places.contains_key(current));
        self.private.restore(restored.outbox);
    }

    /// Whether [`Session::submit`] may be called now. It may change with every other call.
    pub fn wants_input(&self) -> bool {
        let idle = self.waiting.is_none() || !self.config.patient;
        let room = self.events.len() < EVENTS_MAX && self.keeping.has_room();
        matches!(self.phase, Phase::Running) && idle && room
    }

    /// The next event, the first of which is [`Event::Ready`], if it starts at all. Deliveries wait for this call, and with
    /// them, in the end, their senders.
    pub fn poll_event(&mut self, now: Instant) -> Option<Event> {
        let is_ready = !matches!(self.phase, Phase::Starting { .. });
        loop {
            if is_ready && self.events.front().is_some_and(|next| self.keeping.is_stored(next.0)) {
                return self.events.pop_front().map(|(_, event)| event);
            }
            if matches!(self.phase, Phase::Ended(_)) || self.events.len() >= HELD_MAX {
                return None;
            }
            let event = self.endpoint.poll_event()?;
            match self.handle_endpoint(now, event) {
                Some(event) if is_ready && self.events.is_empty() => return Some(event),
                Some(event) => self.tell(event),
                None => {}
            }
        }
    }

    /// Whether there are events that are to be told, now or when records are safe.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The protocol's counters.
    pub fn stats(&self) -> endpoint::Stats {
        self.endpoint.stats()
    }

    fn own_timeout(&self) -> Option<Wakeup> {
        let places = self.places.values().filter_map(Session::place_timeout);
        let next = places.min_by_key(|wakeup| wakeup.at);
        let own = [
            self.phase_timeout(),
            self.lab.poll_timeout(),
            self.private_timeout(),
            self.peers_timeout(),
            self.met_timeout(),
            self.namesakes_timeout(),
        ];
        own.into_iter().fold(next, Wakeup::earliest)
    }

    /// The people who are known to be at an address, if the lab must know.
    fn people_at(&self, address: SocketAddr) -> Vec<UserName> {
        if !self.lab.names_people() {
            return Vec::new();
        }
        let names = |node| [self.endpoint.name_of(node), self.lab.name_of(node)];
        self.endpoint.nodes_at(address).flat_map(names).flatten().collect()
    }

    /// Takes a datagram in. After the end nobody would be told of a message that this node then confirmed.
    fn receive(&mut self, now: Instant, from: SocketAddr, bytes: &mut [u8]) {
        if self.ended().is_none() {
            self.endpoint.handle_datagram(now, from, bytes);
            self.hear_of_peers(now);
            self.hear_of_strangers(now);
        }
    }

    /// Queues an event; after the last one there is none.
    fn tell(&mut self, event: Event) {
        if !matches!(self.phase, Phase::Ended(_)) {
            self.events.push_back((0, event));
        }
    }

    /// Queues an event that waits for no record, and for none of those that do.
    fn tell_at_once(&mut self, event: Event) {
        let waits = |next: &(u64, Event)| !self.keeping.is_stored(next.0);
        let place = self.events.iter().position(waits).unwrap_or(self.events.len());
        self.events.insert(place, (0, event));
    }

    /// Queues an event that is told only when all records so far are safe.
    fn tell_when_stored(&mut self, event: Event) {
        if !matches!(self.phase, Phase::Ended(_)) {
            self.events.push_back((self.keeping.records(), event));
        }
    }

    fn error(&mut self, re: Option<u64>, code: ErrorCode, text: String) {
        self.tell(Event::Error { re, code, id: None, text });
    }

    fn notice(&mut self, re: Option<u64>, notice: Notice) {
        self.tell(Event::Notice { re, notice });
    }
}

impl Machine for Session {
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &mut [u8]) {
        let people = self.people_at(from);
        if self.lab.handle_datagram(now, from, &people, bytes) {
            self.receive(now, from, bytes);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some((from, mut bytes)) = self.lab.poll_arrival(now) {
            self.receive(now, from, &mut bytes);
        }
        if self.endpoint.poll_timeout().is_some_and(|wakeup| wakeup.at <= now) {
            self.endpoint.handle_timeout(now);
        }
        self.places_due(now);
        self.peers_due(now);
        self.met_due(now);
        self.namesakes_due(now);
        self.private_due(now);
        self.phase_due(now);
    }

    fn poll_persist(&mut self) -> Option<Persist> {
        self.endpoint.poll_persist()
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        self.endpoint.poll_transmit(now)
    }

    fn poll_timeout(&self) -> Option<Wakeup> {
        Wakeup::earliest(self.endpoint.poll_timeout(), self.own_timeout())
    }
}

impl StreamMachine for Session {
    fn handle_opened(&mut self, now: Instant, stream: StreamId, peer: SocketAddr) {
        self.tracker.handle_opened(now, stream, peer);
        self.drain_tracker(now);
    }

    fn handle_bytes(&mut self, now: Instant, stream: StreamId, bytes: &[u8]) {
        self.tracker.handle_bytes(now, stream, bytes);
        self.drain_tracker(now);
    }

    fn handle_closed(&mut self, now: Instant, stream: StreamId) {
        self.tracker.handle_closed(now, stream);
        self.drain_tracker(now);
    }

    fn handle_stream_timeout(&mut self, now: Instant) {
        self.tracker.handle_stream_timeout(now);
        self.drain_tracker(now);
    }

    fn poll_stream(&mut self, now: Instant) -> Option<StreamAction> {
        self.tracker.poll_stream(now)
    }

    fn poll_stream_timeout(&self) -> Option<Wakeup> {
        self.tracker.poll_stream_timeout()
    }
}

#[cfg(test)]
mod tests;
