//! Calls to everybody in the local network, by IP multicast: bytes out, bytes in, nothing of what they mean.
//!
//! The group is of the administratively scoped block (RFC 2365), and its datagrams end at the first router. What is called
//! goes out of each of the machine's interfaces, and comes back to all who listen on the same machine.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Where all calls go.
const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 68, 67), 7468);
/// Bytes of a call that are read.
const CALL_MAX: usize = 512;
/// Calls that one turn reads.
const PER_TURN: usize = 64;

/// A socket for calls.
#[derive(Debug)]
pub struct LocalNetwork {
    socket: mio::net::UdpSocket,
    /// Only by the interface with this address, if it is set.
    only: Option<Ipv4Addr>,
    readable: bool,
    /// The last call got nowhere.
    is_stuck: bool,
}

impl LocalNetwork {
    /// Listens for calls, by the interface with the address `bound`, or by all if that is a wildcard; other programs on
    /// this machine may listen as well. Errors are those of the system: multicast, or IPv4, is not to be had.
    pub fn open(bound: IpAddr, registry: &Registry, token: Token) -> io::Result<LocalNetwork> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        #[cfg(not(any(target_os = "solaris", target_os = "illumos", windows)))]
        socket.set_reuse_port(true)?;
        socket.set_multicast_ttl_v4(1)?;
        socket.set_multicast_loop_v4(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, GROUP.port())).into())?;
        let mut socket = mio::net::UdpSocket::from_std(socket.into());
        registry.register(&mut socket, token, Interest::READABLE)?;
        let only = match bound {
            IpAddr::V4(v4) if !v4.is_unspecified() => Some(v4),
            _ => None,
        };
        let network = LocalNetwork { socket, only, readable: true, is_stuck: false };
        let joined = network.interfaces()?.into_iter().map(|interface| network.join(interface));
        // One interface that works is enough.
        joined.reduce(|one, other| one.or(other)).unwrap_or_else(|| Err(no_interface()))?;
        Ok(network)
    }

    /// Sends bytes to all. The error, if they have left by no interface, and those before had.
    pub fn send(&mut self, bytes: &[u8]) -> Option<io::Error> {
        let sent = self.send_by_all(bytes);
        let was_stuck = std::mem::replace(&mut self.is_stuck, sent.is_err());
        sent.err().filter(|_| !was_stuck)
    }

    fn send_by_all(&self, bytes: &[u8]) -> io::Result<()> {
        let mut result = Err(no_interface());
        for interface in self.interfaces()? {
            // It may be new, and cannot be joined a second time.
            _ = self.join(interface);
            let sent = SockRef::from(&self.socket)
                .set_multicast_if_v4(&interface)
                .and_then(|()| self.socket.send_to(bytes, GROUP.into()));
            result = result.or(sent.map(|_| ()));
        }
        result
    }

    /// Hands over what has come, `is_readable` if the poll says that there is something. Returns whether there may be more.
    pub fn receive(&mut self, is_readable: bool, mut hand_over: impl FnMut(SocketAddr, &[u8])) -> bool {
        self.readable |= is_readable;
        let mut buffer = [0; CALL_MAX];
        for _ in 0..PER_TURN {
            if !self.readable {
                break;
            }
            match self.socket.recv_from(&mut buffer) {
                Ok((length, from)) => hand_over(from, &buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.readable = false,
            }
        }
        self.readable
    }

    fn join(&self, interface: Ipv4Addr) -> io::Result<()> {
        SockRef::from(&self.socket).join_multicast_v4(GROUP.ip(), &interface)
    }

    /// The addresses of the interfaces in use.
    fn interfaces(&self) -> io::Result<Vec<Ipv4Addr>> {
        if let Some(only) = self.only {
            return Ok(vec![only]);
        }
        let all = if_addrs::get_if_addrs()?.into_iter().filter_map(|interface| match interface.ip() {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        });
        Ok(all.collect())
    }
}

fn no_interface() -> io::Error {
    io::Error::new(io::ErrorKind::AddrNotAvailable, "no network interface")
}
