//! The UDP socket: batched, with segmentation offload both ways where the kernel has it.
//!
//! Reading is edge-triggered: what the poll reports is remembered in a flag until the socket says `WouldBlock`, so
//! that a turn may stop early and lose nothing. Writing is asked about only while the socket's buffer is full: then
//! the one transmit under way is kept, the machine is asked for no other, and nothing is lost. Every other error of
//! a send is a lost datagram, which the protocol repairs anyway; none is ever fatal.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV6};

use mio::{Interest, Registry, Token};
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

use super::clock::Clock;
use super::limits::{
    SOCKET_BUFFER_BYTES, UDP_BUFFER_BYTES, UDP_BUFFERS, UDP_BUFFERS_PER_TURN, UDP_PAYLOAD_MAX,
    UDP_TRANSMITS_PER_TURN,
};
use crate::base::time::Instant;
use crate::machine::{Machine, Transmit};

/// Where one system call fills as many buffers as there are datagrams, fewer than asked for mean that no more wait:
/// the next arrival raises a new edge. Elsewhere one call reads one datagram.
const SHORT_BATCH_IS_LAST: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpStats {
    /// System calls that sent something.
    pub sends: u64,
    /// Datagrams given to the kernel.
    pub datagrams_sent: u64,
    /// Datagrams that the kernel refused to send, for another reason than a full buffer.
    pub datagrams_lost: u64,
    /// Datagrams handed to the machine.
    pub datagrams_received: u64,
    /// Reads that failed.
    pub receive_errors: u64,
    /// How often the send buffer was full.
    pub blocked: u64,
}

/// A bound UDP socket, registered with a poll.
#[derive(Debug)]
pub struct Udp {
    socket: mio::net::UdpSocket,
    offload: UdpSocketState,
    registry: Registry,
    token: Token,
    local: SocketAddr,
    receive_buffer: usize,
    buffers: Vec<u8>,
    readable: bool,
    blocked: Option<Blocked>,
    stats: UdpStats,
}

/// A transmit that met a full socket buffer, and how much of it had left before.
#[derive(Debug)]
struct Blocked {
    transmit: Transmit,
    sent: usize,
}

impl Udp {
    /// Binds to `addr` (port 0: any free one) and registers with the poll under `token`. Errors are those of the
    /// system: the address is in use, or not ours.
    pub fn bind(addr: SocketAddr, registry: &Registry, token: Token) -> io::Result<Udp> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if addr.is_ipv6() && addr.ip().is_unspecified() {
            // `[::]` is meant to be reached by everybody; a system that can't do both is IPv6 only.
            let _ = socket.set_only_v6(false);
        }
        enlarge(|bytes| socket.set_recv_buffer_size(bytes));
        enlarge(|bytes| socket.set_send_buffer_size(bytes));
        let receive_buffer = socket.recv_buffer_size()?;
        warn_if_small(receive_buffer);
        socket.bind(&addr.into())?;

        let mut socket = mio::net::UdpSocket::from_std(socket.into());
        let offload = UdpSocketState::new(UdpSockRef::from(&socket))?;
        allow_fragments(&socket);
        registry.register(&mut socket, token, Interest::READABLE)?;
        Ok(Udp {
            local: socket.local_addr()?,
            socket,
            offload,
            registry: registry.try_clone()?,
            token,
            receive_buffer,
            buffers: vec![0; UDP_BUFFERS * UDP_BUFFER_BYTES],
            readable: true,
            blocked: None,
            stats: UdpStats::default(),
        })
    }

    /// Where the socket is bound; the address may be the wildcard, the port is real.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Bytes of kernel buffer for what arrives, as the system reports them (Linux: twice what was granted, its own
    /// bookkeeping included).
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }

    /// Counters since the start.
    pub fn stats(&self) -> UdpStats {
        self.stats
    }

    /// The poll has reported this socket.
    pub fn handle_event(&mut self, event: &mio::event::Event) {
        self.readable |= event.is_readable() || event.is_error();
        if event.is_writable() || event.is_error() {
            self.unblock();
        }
    }

    /// Whether there may be something to read.
    pub fn is_readable(&self) -> bool {
        self.readable
    }

    /// Whether a transmit would be taken: false while the socket's buffer is full.
    pub fn is_writable(&self) -> bool {
        self.blocked.is_none()
    }

    /// Hands what has arrived to the machine, at most [`UDP_BUFFERS_PER_TURN`] buffers, with the time at which it was
    /// read: a datagram that came while the turn went on must not seem to have come before it did, or round trips would
    /// be measured too short, and the clocks of others wrongly by more than that. Returns whether there may be more.
    pub fn receive(&mut self, clock: &Clock, machine: &mut dyn Machine) -> bool {
        let mut budget = UDP_BUFFERS_PER_TURN;
        let mut failed = 0;
        while self.readable && budget > 0 {
            let mut metas = [RecvMeta::default(); UDP_BUFFERS];
            match self.read(&mut metas) {
                Ok(count) => {
                    self.hand_over(clock.now(), &metas[..count], machine);
                    budget = budget.saturating_sub(count.max(1));
                    self.readable = !(SHORT_BATCH_IS_LAST && count < UDP_BUFFERS);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) => {
                    // Usually the late report of a datagram that could not be delivered; reading it clears it. A
                    // socket that only ever fails must not keep the loop awake.
                    log::debug!("udp {}: receive failed: {error}", self.local);
                    self.stats.receive_errors += 1;
                    failed += 1;
                    budget = budget.saturating_sub(UDP_BUFFERS);
                    self.readable = failed * UDP_BUFFERS < UDP_BUFFERS_PER_TURN;
                }
            }
        }
        self.readable
    }

    /// Sends what the machine has, while the socket takes it, at most [`UDP_TRANSMITS_PER_TURN`] transmits. Returns
    /// whether there may be more that the socket would take.
    pub fn transmit(&mut self, now: Instant, machine: &mut dyn Machine) -> bool {
        for _ in 0..UDP_TRANSMITS_PER_TURN {
            if !self.is_writable() {
                return false;
            }
            match machine.poll_transmit(now) {
                Some(transmit) => self.send(transmit),
                None => return false,
            }
        }
        self.is_writable()
    }

    /// Sends, with one system call for all datagrams of the transmit if the kernel can. On a full buffer the rest is
    /// kept and sent when there is room; until then [`Udp::is_writable`] is false, and a further transmit is lost.
    pub fn send(&mut self, transmit: Transmit) {
        if !self.is_writable() || !self.can_reach(transmit.to) {
            log::debug!("udp {}: nothing sent to {}", self.local, transmit.to);
            self.stats.datagrams_lost += transmit.datagrams().count() as u64;
            return;
        }
        self.send_from(transmit, 0);
    }

    /// A destination that the kernel would refuse as invalid, and then quinn-udp would stop using offload for all.
    fn can_reach(&self, to: SocketAddr) -> bool {
        to.port() != 0 && (to.is_ipv4() || self.local.is_ipv6())
    }

    fn send_from(&mut self, transmit: Transmit, mut sent: usize) {
        let segment = transmit.segment.unwrap_or(transmit.bytes.len()).max(1);
        let mut at_once = UDP_PAYLOAD_MAX / segment;
        while sent < transmit.bytes.len() {
            let together = self.offload.max_gso_segments().min(at_once).max(1);
            let end = transmit.bytes.len().min(sent + together * segment);
            let contents = &transmit.bytes[sent..end];
            let datagrams = contents.len().div_ceil(segment) as u64;
            match self.send_once(transmit.to, contents, segment) {
                Ok(()) => {
                    self.stats.sends += 1;
                    self.stats.datagrams_sent += datagrams;
                    sent = end;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.block(Blocked { transmit, sent });
                    return;
                }
                // The device can't segment, or not to this size (they exceed its MTU): one by one they may pass.
                Err(error) if datagrams > 1 && self.is_refused_together(&error) => at_once = 1,
                Err(error) => {
                    log::debug!("udp {}: a datagram to {} is lost: {error}", self.local, transmit.to);
                    self.stats.datagrams_lost += datagrams;
                    sent = end;
                }
            }
        }
    }

    /// Whether datagrams might pass one by one. quinn-udp itself finds out when a device cannot segment.
    fn is_refused_together(&self, error: &io::Error) -> bool {
        quinn_udp::is_msg_size_err(error) || self.offload.max_gso_segments() == 1
    }

    fn send_once(&self, to: SocketAddr, contents: &[u8], segment: usize) -> io::Result<()> {
        let destination = if self.local.is_ipv6() { mapped(to) } else { to };
        let segment_size = (contents.len() > segment).then_some(segment);
        let transmit = quinn_udp::Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
        self.socket.try_io(|| self.offload.try_send(UdpSockRef::from(&self.socket), &transmit))
    }

    fn block(&mut self, blocked: Blocked) {
        self.stats.blocked += 1;
        self.blocked = Some(blocked);
        self.watch(Interest::READABLE | Interest::WRITABLE);
    }

    fn unblock(&mut self) {
        if let Some(Blocked { transmit, sent }) = self.blocked.take() {
            self.watch(Interest::READABLE);
            self.send_from(transmit, sent);
        }
    }

    /// Writability is watched only while it is missed: Linux reports it for every datagram that has left, which would
    /// wake the loop once for each.
    fn watch(&mut self, interest: Interest) {
        if let Err(error) = self.registry.reregister(&mut self.socket, self.token, interest) {
            // Without the watch a kept transmit would stay for ever; dropping it is mere loss.
            log::debug!("udp {}: cannot watch the socket: {error}", self.local);
            self.blocked = None;
        }
    }

    fn read(&mut self, metas: &mut [RecvMeta; UDP_BUFFERS]) -> io::Result<usize> {
        let mut chunks = self.buffers.chunks_exact_mut(UDP_BUFFER_BYTES);
        let mut slices: [IoSliceMut; UDP_BUFFERS] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let (socket, offload) = (&self.socket, &self.offload);
        socket.try_io(|| offload.recv(UdpSockRef::from(socket), &mut slices, metas))
    }

    fn hand_over(&mut self, now: Instant, metas: &[RecvMeta], machine: &mut dyn Machine) {
        for (meta, buffer) in metas.iter().zip(self.buffers.chunks_exact_mut(UDP_BUFFER_BYTES)) {
            let from = canonical(meta.addr);
            let filled = meta.len.min(buffer.len());
            for datagram in buffer[..filled].chunks_mut(meta.stride.max(1)) {
                self.stats.datagrams_received += 1;
                machine.handle_datagram(now, from, datagram);
            }
        }
    }
}

/// Asks for the full size, and for less where the system refuses (macOS) rather than grants what it may (Linux).
fn enlarge(set: impl Fn(usize) -> io::Result<()>) {
    let mut bytes = SOCKET_BUFFER_BYTES;
    while bytes >= 128 * 1024 && set(bytes).is_err() {
        bytes /= 2;
    }
}

/// Undoes what quinn-udp does for QUIC, which probes for the largest size that passes whole. Here the size is fixed,
/// and on a link with a smaller MTU (a tunnel in a tunnel) two fragments that arrive are better than a datagram that
/// never does. IPv6 sockets and other systems keep refusing them.
fn allow_fragments(socket: &mio::net::UdpSocket) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};
        if let Err(error) = set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DONT) {
            log::debug!("datagrams larger than a link's MTU will be lost: {error}");
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = socket;
}

fn warn_if_small(receive_buffer: usize) {
    let doubled = cfg!(any(target_os = "linux", target_os = "android"));
    let granted = if doubled { receive_buffer / 2 } else { receive_buffer };
    if granted < SOCKET_BUFFER_BYTES {
        let (granted, asked) = (granted / 1024, SOCKET_BUFFER_BYTES / 1024);
        let hint = if doubled { " (sysctl net.core.rmem_max raises the limit)" } else { "" };
        log::warn!("the system grants a UDP receive buffer of {granted} KiB, {asked} would lose less{hint}");
    }
}

/// An IPv4 peer of an IPv6 socket has one address everywhere in the protocol: the plain one.
fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::from((v4, v6.port())),
            None => addr,
        },
        SocketAddr::V4(_) => addr,
    }
}

fn mapped(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V4(v4) => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into(),
        SocketAddr::V6(_) => addr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Persist, Wakeup};

    #[test]
    fn an_ipv4_peer_of_an_ipv6_socket_keeps_its_plain_address() {
        let plain: SocketAddr = "192.0.2.7:9".parse().unwrap();
        assert_ne!(mapped(plain), plain);
        assert_eq!(canonical(mapped(plain)), plain);
        let v6: SocketAddr = "[2001:db8::1]:9".parse().unwrap();
        assert_eq!(canonical(mapped(v6)), v6);
    }

    /// Takes what comes, sends nothing.
    #[derive(Default)]
    struct Listener(Vec<Vec<u8>>);

    impl Machine for Listener {
        fn handle_datagram(&mut self, _now: Instant, _from: SocketAddr, bytes: &mut [u8]) {
            self.0.push(bytes.to_vec());
        }

        fn handle_timeout(&mut self, _now: Instant) {}

        fn poll_persist(&mut self) -> Option<Persist> {
            None
        }

        fn poll_transmit(&mut self, _now: Instant) -> Option<Transmit> {
            None
        }

        fn poll_timeout(&self) -> Option<Wakeup> {
            None
        }
    }

    #[test]
    fn what_met_a_full_buffer_is_kept_and_sent_from_where_it_stopped() {
        let mut poll = mio::Poll::new().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let mut sender = Udp::bind(any, poll.registry(), Token(1)).unwrap();
        let mut receiver = Udp::bind(any, poll.registry(), Token(2)).unwrap();
        let transmit = Transmit { to: receiver.local_addr(), bytes: b"onetwosix".to_vec(), segment: Some(3) };

        // Loopback delivers within the system call, so its buffer is never full: this is what such a send leaves.
        sender.block(Blocked { transmit: transmit.clone(), sent: 3 });
        assert!(!sender.is_writable());
        sender.send(transmit);
        assert_eq!(sender.stats().datagrams_lost, 3);

        let mut listener = Listener::default();
        let mut events = mio::Events::with_capacity(8);
        for _ in 0..100 {
            poll.poll(&mut events, Some(std::time::Duration::from_millis(100))).unwrap();
            for event in &events {
                let udp = if event.token() == Token(1) { &mut sender } else { &mut receiver };
                udp.handle_event(event);
            }
            receiver.receive(&Clock::start(), &mut listener);
            if listener.0.len() == 2 {
                break;
            }
        }
        assert_eq!(listener.0, [b"two", b"six"]);
        assert!(sender.is_writable());
    }
}
