//! TCP for any [`StreamMachine`]: one listener at most, and the connections accepted and opened.
//!
//! No connection can hold up another, or make anything grow: each is read a bounded number of times a turn, what
//! waits to be written is bounded (a slow reader is closed), and so is the number of connections. Reading is
//! edge-triggered; a connection with something left takes its place at the end of the queue.

mod acceptor;
mod connection;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::limits::{
    ACCEPTED_MAX, ACCEPTS_PER_TURN, CLOSE_WITHIN, CONNECT_WITHIN, OPENED_MAX, STREAM_ACTIONS_PER_TURN,
    STREAM_READ_BYTES, STREAM_READS_PER_TURN, STREAMS_PER_TURN,
};
use super::token;
use crate::base::time::Instant;
use crate::machine::{StreamAction, StreamId, StreamMachine, Wakeup};
use acceptor::Acceptor;
use connection::{Connection, Phase, ReadOutcome};

/// The connections of one machine, registered with a poll under the tokens from [`token::LISTENER`] on.
#[derive(Debug)]
pub struct Streams {
    registry: Registry,
    acceptor: Option<Acceptor>,
    /// By slot; a connection's token is that of its slot. A stale event of the slot's former owner is harmless.
    slots: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Those that the machine knows of: not the closing ones.
    known: BTreeMap<StreamId, usize>,
    accepted: usize,
    opened: usize,
    next_accepted: u64,
    /// Slots with something to read, or an attempt to connect that may be over.
    queue: VecDeque<usize>,
    /// Slots with something to write, whose socket may take it.
    unflushed: BTreeSet<usize>,
    deadlines: BTreeSet<(Instant, usize)>,
    /// The machine was not asked to the end.
    actions_left: bool,
    buffer: Box<[u8; STREAM_READ_BYTES]>,
}

impl Streams {
    /// No connection, and no listener.
    pub fn new(registry: &Registry) -> io::Result<Streams> {
        Ok(Streams {
            registry: registry.try_clone()?,
            acceptor: None,
            slots: Vec::new(),
            free: Vec::new(),
            known: BTreeMap::new(),
            accepted: 0,
            opened: 0,
            next_accepted: 1,
            queue: VecDeque::new(),
            unflushed: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            actions_left: false,
            buffer: Box::new([0; STREAM_READ_BYTES]),
        })
    }

    /// Accepts connections at `addr` from now on (port 0: any free one); returns the real address. Errors are those
    /// of the system: the address is in use, or not ours.
    pub fn listen(&mut self, addr: SocketAddr) -> io::Result<SocketAddr> {
        let acceptor = Acceptor::bind(addr, &self.registry, token::LISTENER)?;
        Ok(self.acceptor.insert(acceptor).local_addr())
    }

    /// Whether all that was to be written, or to be closed, is: a program that ends may wait for this.
    pub fn is_idle(&self) -> bool {
        !self.slots.iter().flatten().any(|connection| {
            connection.has_unwritten() || matches!(connection.phase, Phase::Closing { finished: false })
        })
    }

    /// Whether there is something to do without waiting.
    pub fn has_more(&self) -> bool {
        self.actions_left || !self.queue.is_empty() || self.acceptor.as_ref().is_some_and(Acceptor::is_ready)
    }

    /// The next deadline of a connection or of the listener.
    pub fn poll_timeout(&self) -> Option<Wakeup> {
        let connection = self.deadlines.first().map(|&(at, _)| Wakeup { at, reason: "connect or close" });
        let pause = self.acceptor.as_ref().and_then(Acceptor::deadline);
        Wakeup::earliest(connection, pause.map(|at| Wakeup { at, reason: "accept pause" }))
    }

    /// The poll has reported something; what is not of these connections is left alone.
    pub fn handle_event(&mut self, event: &Event) {
        if event.token() == token::LISTENER {
            if let Some(acceptor) = &mut self.acceptor {
                acceptor.handle_event();
            }
            return;
        }
        let Some(slot) = event.token().0.checked_sub(token::FIRST_STREAM.0) else { return };
        let Some(connection) = self.slots.get_mut(slot).and_then(Option::as_mut) else { return };
        connection.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        if event.is_writable() || event.is_write_closed() || event.is_error() {
            self.unflushed.insert(slot);
        }
        self.enqueue(slot);
    }

    /// Hands to the machine what has happened: accepted, opened, arrived, ended. Bounded; [`Streams::has_more`] tells
    /// whether something is left.
    pub fn receive(&mut self, now: Instant, machine: &mut dyn StreamMachine) {
        self.expire(now, machine);
        self.accept(now, machine);
        for _ in 0..self.queue.len().min(STREAMS_PER_TURN) {
            let Some(slot) = self.queue.pop_front() else { break };
            let Some(connection) = self.slots.get_mut(slot).and_then(Option::as_mut) else { continue };
            connection.queued = false;
            match connection.phase {
                Phase::Connecting => self.check_connecting(now, slot, machine),
                Phase::Open | Phase::Closing { .. } => self.read(now, slot, machine),
            }
        }
    }

    /// Does what the machine wants, and writes.
    pub fn transmit(&mut self, now: Instant, machine: &mut dyn StreamMachine) {
        self.actions_left = true;
        for _ in 0..STREAM_ACTIONS_PER_TURN {
            let Some(action) = machine.poll_stream(now) else {
                self.actions_left = false;
                break;
            };
            match action {
                StreamAction::Open { stream, to } => self.open(now, stream, to, machine),
                StreamAction::Write { stream, bytes } => self.write(now, stream, &bytes, machine),
                StreamAction::Close { stream } => self.close(now, stream),
            }
        }
        for slot in std::mem::take(&mut self.unflushed) {
            self.flush(now, slot, machine);
        }
    }

    fn accept(&mut self, now: Instant, machine: &mut dyn StreamMachine) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some((socket, peer)) = self.acceptor.as_mut().and_then(|acceptor| acceptor.accept(now))
            else {
                return;
            };
            if self.accepted == ACCEPTED_MAX {
                log::debug!("{peer}: refused, {ACCEPTED_MAX} connections are open");
                continue;
            }
            let stream = StreamId(self.next_accepted);
            self.next_accepted += 2;
            let connection = Connection::new(stream, peer, socket, true);
            connection.prefer_speed();
            match self.insert(connection) {
                Ok(_) => machine.handle_opened(now, stream, peer),
                Err(error) => log::debug!("{peer}: cannot watch the connection: {error}"),
            }
        }
    }

    fn open(&mut self, now: Instant, stream: StreamId, to: SocketAddr, machine: &mut dyn StreamMachine) {
        if !stream.0.is_multiple_of(2) || self.known.contains_key(&stream) {
            log::error!("{to}: the machine opens {stream:?}, which is not its to give, or in use");
            return;
        }
        let inserted = if self.opened == OPENED_MAX {
            Err(io::Error::other("too many connections are open"))
        } else {
            TcpStream::connect(to).and_then(|socket| self.insert(Connection::new(stream, to, socket, false)))
        };
        match inserted {
            Ok(slot) => self.set_deadline(slot, now + CONNECT_WITHIN),
            Err(error) => {
                log::debug!("{to}: cannot connect: {error}");
                machine.handle_closed(now, stream);
            }
        }
    }

    fn write(&mut self, now: Instant, stream: StreamId, bytes: &[u8], machine: &mut dyn StreamMachine) {
        // Unknown: it has ended, and the machine has been told.
        let Some(&slot) = self.known.get(&stream) else { return };
        let Some(connection) = &mut self.slots[slot] else { return };
        match connection.push(bytes) {
            Ok(()) => drop(self.unflushed.insert(slot)),
            Err(error) => {
                log::debug!("{}: closed: {error}", connection.peer);
                self.end(now, slot, machine);
            }
        }
    }

    fn close(&mut self, now: Instant, stream: StreamId) {
        let Some(slot) = self.known.remove(&stream) else { return };
        let Some(connection) = &mut self.slots[slot] else { return };
        if connection.phase == Phase::Connecting {
            self.release(slot);
            return;
        }
        connection.phase = Phase::Closing { finished: false };
        self.unflushed.insert(slot);
        self.set_deadline(slot, now + CLOSE_WITHIN);
        self.enqueue(slot);
    }

    fn check_connecting(&mut self, now: Instant, slot: usize, machine: &mut dyn StreamMachine) {
        let Some(connection) = &mut self.slots[slot] else { return };
        match connection.is_connected() {
            Ok(false) => {}
            Ok(true) => {
                let (id, peer) = (connection.id, connection.peer);
                self.clear_deadline(slot);
                self.unflushed.insert(slot);
                machine.handle_opened(now, id, peer);
                self.enqueue(slot);
            }
            Err(error) => {
                log::debug!("{}: cannot connect: {error}", connection.peer);
                self.end(now, slot, machine);
            }
        }
    }

    fn read(&mut self, now: Instant, slot: usize, machine: &mut dyn StreamMachine) {
        let Some(connection) = &mut self.slots[slot] else { return };
        for _ in 0..STREAM_READS_PER_TURN {
            if !connection.readable {
                return;
            }
            match connection.read(&mut self.buffer) {
                ReadOutcome::Bytes(count) if connection.phase == Phase::Open => {
                    machine.handle_bytes(now, connection.id, &self.buffer[..count]);
                }
                ReadOutcome::Bytes(_) => {}
                ReadOutcome::Nothing => return,
                // It sends no more, and may still read what is left for it.
                ReadOutcome::Eof if connection.phase == (Phase::Closing { finished: false }) => {
                    connection.readable = false;
                    return;
                }
                ReadOutcome::Eof | ReadOutcome::Lost => {
                    self.end(now, slot, machine);
                    return;
                }
            }
        }
        self.enqueue(slot);
    }

    fn flush(&mut self, now: Instant, slot: usize, machine: &mut dyn StreamMachine) {
        let Some(connection) = self.slots.get_mut(slot).and_then(Option::as_mut) else { return };
        match connection.flush() {
            Ok(()) if connection.readable => self.enqueue(slot),
            Ok(()) => {}
            Err(error) => {
                log::debug!("{}: connection lost: {error}", connection.peer);
                self.end(now, slot, machine);
            }
        }
    }

    fn expire(&mut self, now: Instant, machine: &mut dyn StreamMachine) {
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.handle_timeout(now);
        }
        while let Some(&(at, slot)) = self.deadlines.first()
            && at <= now
        {
            self.deadlines.pop_first();
            if let Some(connection) = &self.slots[slot] {
                log::debug!("{}: given up, {:?} took too long", connection.peer, connection.phase);
            }
            self.end(now, slot, machine);
        }
    }

    /// A connection is over; the machine is told unless it has closed it itself.
    fn end(&mut self, now: Instant, slot: usize, machine: &mut dyn StreamMachine) {
        if let Some(id) = self.release(slot)
            && self.known.remove(&id).is_some()
        {
            machine.handle_closed(now, id);
        }
    }

    fn insert(&mut self, mut connection: Connection) -> io::Result<usize> {
        let slot = self.free.last().copied().unwrap_or(self.slots.len());
        let token = Token(token::FIRST_STREAM.0 + slot);
        self.registry.register(&mut connection.socket, token, Interest::READABLE | Interest::WRITABLE)?;
        *self.count(connection.accepted) += 1;
        self.known.insert(connection.id, slot);
        if self.free.pop().is_none() {
            self.slots.push(None);
        }
        self.slots[slot] = Some(connection);
        self.enqueue(slot);
        Ok(slot)
    }

    fn release(&mut self, slot: usize) -> Option<StreamId> {
        self.clear_deadline(slot);
        self.unflushed.remove(&slot);
        let mut connection = self.slots[slot].take()?;
        *self.count(connection.accepted) -= 1;
        self.free.push(slot);
        if let Err(error) = self.registry.deregister(&mut connection.socket) {
            log::debug!("{}: cannot deregister: {error}", connection.peer);
        }
        Some(connection.id)
    }

    fn count(&mut self, accepted: bool) -> &mut usize {
        if accepted { &mut self.accepted } else { &mut self.opened }
    }

    fn enqueue(&mut self, slot: usize) {
        if let Some(connection) = self.slots[slot].as_mut().filter(|connection| !connection.queued) {
            connection.queued = true;
            self.queue.push_back(slot);
        }
    }

    fn set_deadline(&mut self, slot: usize, at: Instant) {
        self.clear_deadline(slot);
        if let Some(connection) = &mut self.slots[slot] {
            connection.deadline = Some(at);
            self.deadlines.insert((at, slot));
        }
    }

    fn clear_deadline(&mut self, slot: usize) {
        if let Some(at) = self.slots[slot].as_mut().and_then(|connection| connection.deadline.take()) {
            self.deadlines.remove(&(at, slot));
        }
    }
}
