//! One peer: its addresses, its heartbeats, and whether the two of us hear each other.

use std::net::SocketAddr;
use std::time::Duration;

use super::clock::ClockFilter;
use super::link::Link;
use super::links::Telling;
use super::rtt::Rtt;
use crate::base::id::Incarnation;
use crate::base::time::Instant;
use crate::wire::membership::Addresses;
use crate::wire::mesh::{Echo, Hello, Ping};

/// Heartbeats whose time of sending is remembered, so that an echo can be measured.
const SENT_MAX: usize = 64;
/// The first wait between two probes of a peer that does not answer.
const PROBE_FIRST: Duration = Duration::from_millis(50);
/// The longest wait between two probes.
pub(super) const PROBE_LAST: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Where it may be, as it or others say.
    pub(super) addresses: Addresses,
    /// Where it is reached straight: where its newest datagram came from that no relay passed on.
    pub(super) path: Option<SocketAddr>,
    /// From where a relay passed its newest datagram on.
    pub(super) came_by: Option<SocketAddr>,
    /// The next on the way to it, unless that is the peer itself.
    pub(super) relay: Option<Incarnation>,
    /// Who that would be: one whom nothing has reached straight so far is given some time, as the line may be slow.
    pub(super) detour: Option<Incarnation>,
    pub(super) detour_at: Instant,
    /// Whether it is known to hear this node straight.
    pub(super) hears_me: bool,
    /// Whether it ever was.
    pub(super) was_heard: bool,
    /// Whether this node hears it straight.
    pub(super) link: Link,
    /// What it is to be told about others' links.
    pub(super) telling: Telling,
    /// When any datagram of it came.
    pub(super) heard_at: Option<Instant>,
    /// A group is interested in it; a stranger gets answers only.
    pub(super) wanted: bool,
    /// Since when: before, nobody sent it heartbeats, and its silence means nothing.
    wanted_at: Instant,
    /// We are known to have heard each other at this time; at first, when it was first heard of.
    pub(super) mutual_at: Instant,
    /// Whether we have ever heard each other.
    pub(super) met: bool,
    pub(super) suspected: bool,
    /// No proof has come for so long that others are better relays.
    pub(super) doubted: bool,
    pub(super) rtt: Option<Rtt>,
    /// How far its clock is from mine.
    pub(super) clock: ClockFilter,
    /// Its newest heartbeat and when it came.
    newest: Option<(u64, Instant)>,
    /// When my heartbeats and pings were sent, by number modulo the length.
    sent: [Instant; SENT_MAX],
    pub(super) number: u64,
    /// The number before the first that was sent since this peer was met: echoes of earlier ones measure nothing.
    before: u64,
    /// When the next heartbeat is due, while we hear each other.
    hello_at: Instant,
    /// It asked for a heartbeat at once.
    answer: bool,
    /// When the next round of probes to all its addresses is due, while it does not answer.
    pub(super) probe_at: Instant,
    probe_wait: Duration,
    probed_at: Instant,
    /// When the next ping is due, while relays carry the rest.
    pub(super) ping_at: Instant,
    /// Which of its addresses was pinged last.
    pinged: usize,
}

impl Peer {
    /// `number`: heartbeats count on from here, since the peer may remember those sent before it was forgotten here.
    pub(super) fn new(now: Instant, number: u64) -> Peer {
        Peer {
            addresses: Addresses::new(),
            path: None,
            came_by: None,
            relay: None,
            detour: None,
            detour_at: now,
            hears_me: false,
            was_heard: false,
            link: Link::default(),
            telling: Telling::default(),
            heard_at: None,
            wanted: false,
            wanted_at: now,
            mutual_at: now,
            met: false,
            suspected: false,
            doubted: false,
            rtt: None,
            clock: ClockFilter::default(),
            newest: None,
            sent: [Instant::ZERO; SENT_MAX],
            number,
            before: number,
            hello_at: now,
            answer: false,
            probe_at: now,
            probe_wait: PROBE_FIRST,
            probed_at: Instant::ZERO,
            ping_at: now,
            pinged: 0,
        }
    }

    /// Whether a group is interested in it. Gives whether one was before.
    pub(super) fn want(&mut self, now: Instant, wanted: bool) -> bool {
        if wanted && !self.wanted {
            self.wanted_at = now;
        }
        std::mem::replace(&mut self.wanted, wanted)
    }

    /// Since when there has been no proof that we hear each other, and should have been.
    pub(super) fn unproven_since(&self) -> Instant {
        self.mutual_at.max(self.wanted_at)
    }

    /// When it is suspected unless it is known before that we hear each other.
    pub(super) fn suspect_at(&self, suspect_after: Duration) -> Option<Instant> {
        let is_watched = self.wanted && !self.suspected;
        is_watched.then(|| self.unproven_since() + suspect_after)
    }

    /// When it is no good relay any more unless it is known before that we hear each other.
    pub(super) fn doubt_at(&self, doubt_after: Duration) -> Option<Instant> {
        let is_trusted = self.is_company() && !self.doubted;
        is_trusted.then(|| self.unproven_since() + doubt_after)
    }

    /// Whether we send each other heartbeats; otherwise it is probed.
    pub(super) fn is_company(&self) -> bool {
        self.wanted && self.met && !self.suspected
    }

    /// Whether what is for it goes straight to it.
    pub(super) fn is_straight(&self) -> bool {
        self.relay.is_none() && self.path.is_some()
    }

    /// The peer hears what is sent to this of its addresses. While it is heard itself, that it is there is known better.
    pub(super) fn handle_way(&mut self, way: u8) {
        let address = usize::from(way).checked_sub(1).and_then(|index| self.addresses.get(index));
        if self.path.is_none() || !self.link.is_up() {
            self.path = address.copied().or(self.path);
        }
    }

    /// Whether we have heard each other within `limit`.
    pub(super) fn is_mutual(&self, now: Instant, limit: Duration) -> bool {
        self.met && now.since(self.mutual_at) < limit
    }

    /// Takes a heartbeat in.
    pub(super) fn handle_hello(&mut self, now: Instant, hello: &Hello, suspect_after: Duration) {
        if self.newest.is_none_or(|(number, _)| number < hello.number) {
            self.newest = Some((hello.number, now));
        }
        if let Some(echo) = hello.echo {
            self.handle_echo(now, echo, hello.at, suspect_after);
        }
        self.answer |= hello.probe;
    }

    /// `at`: when the other sent it, by its clock.
    fn handle_echo(&mut self, now: Instant, echo: Echo, at: Instant, suspect_after: Duration) {
        let known = echo.number <= self.number && echo.number + (SENT_MAX as u64) > self.number;
        if echo.number <= self.before || !known {
            return;
        }
        let sent_at = self.sent[slot(echo.number)];
        let held = Duration::from_micros(u64::from(echo.held_us));
        self.clock.update((sent_at, now), (at, held));
        let took = now.since(sent_at).saturating_sub(held);
        // What takes longer than that proves nothing any more: one of us was stopped.
        if took < suspect_after {
            self.rtt = Some(Rtt::update(self.rtt, took));
        }
        if sent_at > self.mutual_at || !self.met {
            self.mutual_at = sent_at.max(self.mutual_at);
            self.met = true;
            self.probe_wait = PROBE_FIRST;
        }
    }

    /// When a heartbeat is due; a peer that does not answer gets probes only, and a stranger answers only.
    pub(super) fn hello_due(&self) -> Option<Instant> {
        match (self.answer, self.is_company()) {
            (true, _) => Some(Instant::ZERO),
            (false, true) => Some(self.hello_at),
            (false, false) => None,
        }
    }

    /// When the time is over that it has to be reached straight.
    pub(super) fn detour_due(&self) -> Option<Instant> {
        self.detour.filter(|_| self.relay.is_none()).map(|_| self.detour_at)
    }

    /// Where it may be, and the way by which that is called in a ping.
    fn ways(&self) -> impl Iterator<Item = (SocketAddr, u8)> + '_ {
        let known = self.addresses.iter().copied().zip(1..);
        known.chain(self.path.filter(|path| !self.addresses.contains(path)).map(|path| (path, 0)))
    }

    /// Whether there is any address to try.
    pub(super) fn has_ways(&self) -> bool {
        self.path.is_some() || !self.addresses.is_empty()
    }

    /// When a ping is due: what goes over relays does not tell whether the link would work again.
    pub(super) fn ping_due(&self) -> Option<Instant> {
        let pings = self.is_company() && !self.is_straight() && self.has_ways();
        pings.then(|| self.telling.at().map_or(self.ping_at, |at| at.min(self.ping_at)))
    }

    /// The next of its addresses to ping.
    pub(super) fn ping(&mut self, now: Instant, pace: Duration) -> Option<(SocketAddr, Ping)> {
        self.ping_at = now + pace;
        self.pinged = (self.pinged + 1) % self.ways().count().max(1);
        let (to, way) = self.ways().nth(self.pinged)?;
        Some((to, Ping { number: self.next_number(now), way, slow: false }))
    }

    /// The next heartbeat in time.
    pub(super) fn hello(&mut self, now: Instant, pace: Duration, probe: bool) -> Hello {
        self.hello_at = now + pace;
        self.answer = false;
        self.next_hello(now, probe)
    }

    /// When it is to be told of links though it is not company: it may be so for want of links.
    pub(super) fn whisper_due(&self) -> Option<Instant> {
        self.telling.at().filter(|_| self.wanted && !self.is_company() && self.has_ways())
    }

    /// A heartbeat to send to all its addresses, by these ways. The next such round waits twice as long, if the wait is
    /// over.
    pub(super) fn probe(&mut self, now: Instant) -> (Vec<(SocketAddr, u8)>, Hello) {
        self.probed_at = now;
        if self.probe_at <= now {
            self.probe_at = now + self.probe_wait;
            self.probe_wait = (self.probe_wait * 2).min(PROBE_LAST);
        }
        (self.ways().collect(), self.next_hello(now, true))
    }

    fn next_hello(&mut self, now: Instant, probe: bool) -> Hello {
        let number = self.next_number(now);
        let echo = self.newest.map(|(number, at)| Echo {
            number,
            held_us: u32::try_from(now.since(at).as_micros()).unwrap_or(u32::MAX),
        });
        Hello { number, at: now, echo, probe }
    }

    fn next_number(&mut self, now: Instant) -> u64 {
        self.number += 1;
        self.sent[slot(self.number)] = now;
        self.number
    }

    /// Something has come of a peer that does not answer: perhaps it would now.
    pub(super) fn handle_sign_of_life(&mut self, now: Instant, pace: Duration) {
        if now.since(self.probed_at) >= pace {
            self.probe_at = now.min(self.probe_at);
        }
    }

    /// Probe at once, and often again.
    pub(super) fn probe_soon(&mut self, now: Instant) {
        self.hello_at = now;
        self.probe_at = now;
        self.probe_wait = PROBE_FIRST;
    }
}

fn slot(number: u64) -> usize {
    (number % SENT_MAX as u64) as usize
}
