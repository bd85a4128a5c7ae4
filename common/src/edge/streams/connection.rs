//! One TCP connection: its phase, and what waits to be written.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::net::TcpStream;

use crate::base::time::Instant;
use crate::edge::limits::{STREAM_READ_BYTES, UNWRITTEN_MAX};
use crate::machine::StreamId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Asked for; open or failed by the deadline.
    Connecting,
    /// Both ways.
    Open,
    /// The machine is done with it: what is unwritten leaves, what arrives is thrown away.
    Closing {
        /// All is written and the peer has been told so.
        finished: bool,
    },
}

/// What a read found.
#[derive(Debug)]
pub(super) enum ReadOutcome {
    Bytes(usize),
    Nothing,
    /// The peer has closed its side.
    Eof,
    Lost,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: StreamId,
    pub(super) peer: SocketAddr,
    pub(super) phase: Phase,
    pub(super) accepted: bool,
    /// There may be bytes to read: set by the poll, cleared by `WouldBlock`.
    pub(super) readable: bool,
    /// In the queue of those to be served.
    pub(super) queued: bool,
    /// When the phase must be over.
    pub(super) deadline: Option<Instant>,
    pub(super) socket: TcpStream,
    unwritten: VecDeque<u8>,
}

impl Connection {
    pub(super) fn new(id: StreamId, peer: SocketAddr, socket: TcpStream, accepted: bool) -> Connection {
        let phase = if accepted { Phase::Open } else { Phase::Connecting };
        Connection {
            id,
            peer,
            phase,
            accepted,
            readable: accepted,
            queued: false,
            deadline: None,
            socket,
            unwritten: VecDeque::new(),
        }
    }

    /// Whether the attempt to connect has succeeded; an error if it has failed. The poll's word alone is not enough:
    /// it reports a failed attempt as writable too.
    pub(super) fn is_connected(&mut self) -> io::Result<bool> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            // With nobody listening, a connection to a local port may by chance be given that very port, and reach
            // itself.
            Ok(peer) if self.socket.local_addr()? == peer => Err(io::ErrorKind::ConnectionRefused.into()),
            Ok(_) => {
                self.phase = Phase::Open;
                self.readable = true;
                self.prefer_speed();
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Small frames leave at once; they are collected here already.
    pub(super) fn prefer_speed(&self) {
        if let Err(error) = self.socket.set_nodelay(true) {
            log::debug!("{}: no TCP_NODELAY: {error}", self.peer);
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8; STREAM_READ_BYTES]) -> ReadOutcome {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => return ReadOutcome::Eof,
                Ok(count) => return ReadOutcome::Bytes(count),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => {
                        self.readable = false;
                        return ReadOutcome::Nothing;
                    }
                    _ => {
                        log::debug!("{}: connection lost: {error}", self.peer);
                        return ReadOutcome::Lost;
                    }
                },
            }
        }
    }

    /// Takes bytes to be written with the next [`Connection::flush`]; an error if the peer reads so slowly that more
    /// than the bound would wait.
    pub(super) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unwritten.extend(bytes);
        if self.unwritten.len() > UNWRITTEN_MAX {
            self.flush()?;
        }
        if self.unwritten.len() > UNWRITTEN_MAX {
            let reason = format!("the peer reads too slowly, {} bytes wait", self.unwritten.len());
            return Err(io::Error::other(reason));
        }
        Ok(())
    }

    pub(super) fn has_unwritten(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Writes what the socket takes. When a closing connection has written all, its peer is told.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.phase == Phase::Connecting {
            return Ok(());
        }
        while !self.unwritten.is_empty() {
            match self.socket.write(self.unwritten.as_slices().0) {
                Ok(count) => drop(self.unwritten.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if self.unwritten.capacity() > STREAM_READ_BYTES {
            self.unwritten = VecDeque::new();
        }
        if self.phase == (Phase::Closing { finished: false }) {
            // The socket stays until the peer has closed too: closing it with bytes unread would make the kernel
            // reset the connection, and destroy what was written last.
            self.phase = Phase::Closing { finished: true };
            self.readable = true;
            self.socket.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }
}
