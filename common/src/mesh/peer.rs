//! One peer: its addresses, its heartbeats, and whether the two of us hear each other.

use std::net::SocketAddr;
use std::time::Duration;

use super::clock::ClockFilter;
use super::rtt::Rtt;
use crate::base::time::Instant;
use crate::wire::membership::Addresses;
use crate::wire::mesh::{Echo, Hello};

/// Heartbeats whose time of sending is remembered, so that an echo can be measured.
const SENT_MAX: usize = 64;
/// The first wait between two probes of a peer that does not answer.
const PROBE_FIRST: Duration = Duration::from_millis(50);
/// The longest wait between two probes.
const PROBE_LAST: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Where it may be, as it or others say.
    pub(super) addresses: Addresses,
    /// Where its newest datagram came from.
    pub(super) path: Option<SocketAddr>,
    /// When any datagram of it came.
    pub(super) heard_at: Option<Instant>,
    /// A group is interested in it; a stranger gets answers only.
    pub(super) wanted: bool,
    /// We are known to have heard each other at this time; at first, when its company was first wanted.
    pub(super) mutual_at: Instant,
    /// Whether we have ever heard each other.
    pub(super) met: bool,
    pub(super) suspected: bool,
    pub(super) rtt: Option<Rtt>,
    /// How far its clock is from mine.
    pub(super) clock: ClockFilter,
    /// Its newest heartbeat and when it came.
    newest: Option<(u64, Instant)>,
    /// When my heartbeats were sent, by number modulo the length.
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
}

impl Peer {
    /// `number`: heartbeats count on from here, since the peer may remember those sent before it was forgotten here.
    pub(super) fn new(now: Instant, number: u64) -> Peer {
        Peer {
            addresses: Addresses::new(),
            path: None,
            heard_at: None,
            wanted: false,
            mutual_at: now,
            met: false,
            suspected: false,
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
        }
    }

    /// Whether we have heard each other within `limit`.
    pub(super) fn is_mutual(&self, now: Instant, limit: Duration) -> bool {
        self.met && now.since(self.mutual_at) < limit
    }

    /// Takes a heartbeat in.
    pub(super) fn handle_hello(&mut self, now: Instant, hello: &Hello) {
        if self.newest.is_none_or(|(number, _)| number < hello.number) {
            self.newest = Some((hello.number, now));
        }
        if let Some(echo) = hello.echo {
            self.handle_echo(now, echo, hello.at);
        }
        self.answer |= hello.probe;
    }

    /// `at`: when the other sent it, by its clock.
    fn handle_echo(&mut self, now: Instant, echo: Echo, at: Instant) {
        let known = echo.number <= self.number && echo.number + (SENT_MAX as u64) > self.number;
        if echo.number <= self.before || !known {
            return;
        }
        let sent_at = self.sent[slot(echo.number)];
        let held = Duration::from_micros(u64::from(echo.held_us));
        self.clock.update((sent_at, now), (at, held));
        self.rtt = Some(Rtt::update(self.rtt, now.since(sent_at).saturating_sub(held)));
        if sent_at > self.mutual_at || !self.met {
            self.mutual_at = sent_at.max(self.mutual_at);
            self.met = true;
            self.probe_wait = PROBE_FIRST;
        }
    }

    /// When a heartbeat is due; a peer that does not answer gets probes only, and a stranger answers only.
    pub(super) fn hello_due(&self) -> Option<Instant> {
        self.path?;
        match (self.answer, self.wanted && self.met && !self.suspected) {
            (true, _) => Some(Instant::ZERO),
            (false, true) => Some(self.hello_at),
            (false, false) => None,
        }
    }

    /// The next heartbeat in time.
    pub(super) fn hello(&mut self, now: Instant, pace: Duration, probe: bool) -> Hello {
        self.hello_at = now + pace;
        self.answer = false;
        self.next_hello(now, probe)
    }

    /// A heartbeat to send to all its addresses; the next such round waits twice as long.
    pub(super) fn probe(&mut self, now: Instant) -> (Addresses, Hello) {
        self.probe_at = now + self.probe_wait;
        self.probe_wait = (self.probe_wait * 2).min(PROBE_LAST);
        let mut addresses = self.addresses.clone();
        if let Some(path) = self.path.filter(|path| !addresses.contains(path)) {
            addresses.truncate(addresses.capacity() - 1);
            addresses.push(path);
        }
        (addresses, self.next_hello(now, true))
    }

    fn next_hello(&mut self, now: Instant, probe: bool) -> Hello {
        self.number += 1;
        self.sent[slot(self.number)] = now;
        let echo = self.newest.map(|(number, at)| Echo {
            number,
            held_us: u32::try_from(now.since(at).as_micros()).unwrap_or(u32::MAX),
        });
        Hello { number: self.number, at: now, echo, probe }
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
