//! The listening socket: accepts in bounded portions, and pauses where trying again would spin.

use std::io;
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::base::time::Instant;
use crate::edge::limits::{ACCEPT_PAUSE, LISTEN_BACKLOG};

#[derive(Debug)]
pub(super) struct Acceptor {
    listener: TcpListener,
    local: SocketAddr,
    /// Connections may be waiting: set by the poll, cleared by `WouldBlock`.
    ready: bool,
    paused_until: Option<Instant>,
}

impl Acceptor {
    /// Listens with `SO_REUSEADDR`, so that a restart is not refused because of its predecessor's connections.
    pub(super) fn bind(addr: SocketAddr, registry: &Registry, token: Token) -> io::Result<Acceptor> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        socket.bind(&addr.into())?;
        socket.listen(LISTEN_BACKLOG)?;
        let mut listener = TcpListener::from_std(socket.into());
        registry.register(&mut listener, token, Interest::READABLE)?;
        Ok(Acceptor { local: listener.local_addr()?, listener, ready: true, paused_until: None })
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn handle_event(&mut self) {
        self.ready = true;
    }

    /// Whether [`Acceptor::accept`] may have something now.
    pub(super) fn is_ready(&self) -> bool {
        self.ready && self.paused_until.is_none()
    }

    /// When a pause ends.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.paused_until
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.paused_until = self.paused_until.filter(|&until| now < until);
    }

    /// The next connection that waits, if any.
    pub(super) fn accept(&mut self, now: Instant) -> Option<(TcpStream, SocketAddr)> {
        while self.is_ready() {
            match self.listener.accept() {
                Ok(accepted) => return Some(accepted),
                Err(error) => self.handle_error(now, &error),
            }
        }
        None
    }

    fn handle_error(&mut self, now: Instant, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
        match error.kind() {
            WouldBlock => self.ready = false,
            // The next in the queue may be sound.
            Interrupted | ConnectionAborted | ConnectionReset => {}
            // Out of descriptors or memory: the connection stays in the queue, and so would this error.
            _ => {
                log::warn!("{}: cannot accept a connection, will try again: {error}", self.local);
                self.paused_until = Some(now + ACCEPT_PAUSE);
            }
        }
    }
}
