//! The loop around the machines: waits, feeds, drains. Its use is shown on the page of [`edge`](crate::edge).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::{Events, Poll, Registry, Token};

use super::clock::Clock;
use super::overdue::Overdue;
use super::streams::Streams;
use super::timer::Timer;
use super::token;
use super::udp::{Udp, UdpStats};
use super::waker::Waker;
use crate::base::time::Instant;
use crate::machine::{Machine, StreamMachine, Wakeup};

/// Events taken from the poll at once; more wait for the next turn.
const EVENTS: usize = 256;

/// The poll, the sockets and the clock of one loop.
#[derive(Debug)]
pub struct Driver {
    poll: Poll,
    events: Events,
    clock: Clock,
    timer: Timer,
    waker: Waker,
    udp: Option<Udp>,
    streams: Streams,
    now: Instant,
    turns: u64,
    overdue: Overdue,
    awake: bool,
}

impl Driver {
    /// A loop without sockets; its clock starts now.
    pub fn new() -> io::Result<Driver> {
        let poll = Poll::new()?;
        let timer = Timer::new(poll.registry())?;
        let waker = Waker::new(poll.registry())?;
        let streams = Streams::new(poll.registry())?;
        Ok(Driver {
            poll,
            events: Events::with_capacity(EVENTS),
            clock: Clock::start(),
            timer,
            waker,
            udp: None,
            streams,
            now: Instant::ZERO,
            turns: 0,
            overdue: Overdue::default(),
            awake: false,
        })
    }

    /// Opens the UDP socket (port 0: any free one); returns where it is bound. Errors are those of the system: the
    /// address is in use, or not ours.
    pub fn bind_udp(&mut self, addr: SocketAddr) -> io::Result<SocketAddr> {
        let udp = Udp::bind(addr, self.poll.registry(), token::UDP)?;
        Ok(self.udp.insert(udp).local_addr())
    }

    /// Opens the TCP listener (port 0: any free one); returns where it is bound. Errors as in [`Driver::bind_udp`].
    pub fn listen(&mut self, addr: SocketAddr) -> io::Result<SocketAddr> {
        self.streams.listen(addr)
    }

    /// Bytes of kernel buffer for arriving datagrams, as the system reports them; zero without a UDP socket.
    pub fn receive_buffer(&self) -> usize {
        self.udp.as_ref().map_or(0, Udp::receive_buffer)
    }

    /// The UDP socket's counters.
    pub fn udp_stats(&self) -> UdpStats {
        self.udp.as_ref().map(Udp::stats).unwrap_or_default()
    }

    /// Whether everything for connections has been written: a program that ends may wait for this.
    pub fn streams_idle(&self) -> bool {
        self.streams.is_idle()
    }

    /// The clock behind [`Driver::now`].
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The time of this turn: when [`Driver::wait`] last returned, or [`Driver::receive`] had read all that it read.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// How often [`Driver::wait`] has returned.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// Ends a wait, from another thread.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Where the program registers its own sources, under the tokens that [`token`] leaves to it.
    pub fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Whether this turn's wait was ended by that token, among others.
    pub fn has_event(&self, token: Token) -> bool {
        self.events.iter().any(|event| event.token() == token)
    }

    /// The next wait does not sleep: the program itself has left something to do.
    pub fn stay_awake(&mut self) {
        self.awake = true;
    }

    /// Sleeps until the wakeup, something from the network, a [`Waker`], or a source of the program's own; not at all
    /// while something is left from the turn before. Returns the time of the new turn.
    ///
    /// A wakeup that was already due in the turn before, and still is, costs a short sleep and a line in the debug
    /// log: a machine that forgets to move a deadline is slow, not a full processor.
    pub fn wait(&mut self, wakeup: Option<Wakeup>) -> io::Result<Instant> {
        let timeout = self.timeout(wakeup);
        self.timer.arm(timeout.unwrap_or_default())?;
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            result => result?,
        }
        self.awake = false;
        self.turns += 1;
        self.now = self.clock.now();
        for event in &self.events {
            match (event.token(), &mut self.udp) {
                (token::UDP, Some(udp)) => udp.handle_event(event),
                _ => self.streams.handle_event(event),
            }
        }
        Ok(self.now)
    }

    /// Feeds the machine: the datagrams that have arrived, then the time if its deadline has come.
    pub fn receive(&mut self, machine: &mut dyn Machine) {
        if let Some(udp) = &mut self.udp {
            udp.receive(&self.clock, machine);
            self.now = self.clock.now();
        }
        if machine.poll_timeout().is_some_and(|wakeup| wakeup.at <= self.now) {
            machine.handle_timeout(self.now);
        }
    }

    /// Feeds the machine: what has happened to its connections, then the time if its deadline has come.
    pub fn receive_streams(&mut self, machine: &mut dyn StreamMachine) {
        self.streams.receive(self.now, machine);
        if machine.poll_stream_timeout().is_some_and(|wakeup| wakeup.at <= self.now) {
            machine.handle_stream_timeout(self.now);
        }
    }

    /// Drains the machine: first what must be durable, then what is to be sent.
    pub fn transmit(&mut self, machine: &mut dyn Machine) {
        if let Some(persist) = machine.poll_persist() {
            match persist {}
        }
        if let Some(udp) = &mut self.udp {
            self.awake |= udp.transmit(self.now, machine);
        }
    }

    /// Drains the machine: does what it wants done with its connections, and writes.
    pub fn transmit_streams(&mut self, machine: &mut dyn StreamMachine) {
        self.streams.transmit(self.now, machine);
    }

    fn timeout(&mut self, wakeup: Option<Wakeup>) -> Option<Duration> {
        let overdue = self.overdue.check(wakeup, self.now);
        if self.awake || self.streams.has_more() || self.udp.as_ref().is_some_and(Udp::is_readable) {
            return Some(Duration::ZERO);
        }
        let wakeup = Wakeup::earliest(wakeup, self.streams.poll_timeout())?;
        Some(wakeup.at.since(self.clock.now()).max(overdue))
    }
}
