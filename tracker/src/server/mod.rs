//! The clients' connections, sans-IO: bytes and the time go in, answers, notices and deadlines come out.
//!
//! A connection is heard when a whole frame of it arrives; one that is silent for the lease is closed, signed in or
//! not. A client that sends what does not decode, or too much, is told so in one last frame. Nothing here waits for
//! a client: a driver closes a connection whose client does not read.

mod allowance;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use decury_common::base::id::UserName;
use decury_common::base::time::Instant;
use decury_common::machine::{StreamAction, StreamId, StreamMachine, Wakeup};
use decury_common::wire::membership::Addresses;
use decury_common::wire::stream::{self, FrameReader};
use decury_common::wire::tracker::{Answer, Asked, Closing, Refusal, Request, SignIn, Told, Welcome};

use crate::directory::{Action, Command, Directory, Outcome, SessionId};
use allowance::Allowance;

/// Connections at a time: fewer than a driver accepts, so that the next one is told why.
pub const CONNECTIONS_MAX: usize = 1_000;

/// What a server is told when it starts.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How often a client is to be heard.
    pub heartbeat: Duration,
    /// After how long a silence a client is taken for gone; several heartbeats.
    pub lease: Duration,
}

/// One connection.
#[derive(Clone, Debug)]
struct Connection {
    /// The client's address.
    peer: SocketAddr,
    reader: FrameReader,
    allowance: Allowance,
    /// Once signed in.
    name: Option<UserName>,
    heard: Instant,
    /// When the silence is checked next: this connection's entry among `checks`.
    check: Instant,
}

/// The tracker, but for its sockets.
#[derive(Clone, Debug)]
pub struct Server {
    config: Config,
    directory: Directory,
    connections: BTreeMap<StreamId, Connection>,
    checks: BTreeSet<(Instant, StreamId)>,
    /// Sign-ins whose connection is lost, and when their lease runs out: in that order.
    lost: VecDeque<(Instant, SessionId)>,
    actions: VecDeque<StreamAction>,
    /// The time of day at [`Instant::ZERO`], in microseconds since 1970.
    origin_us: u64,
}

impl Server {
    /// A tracker that knows nobody.
    pub fn new(config: Config) -> Server {
        Server {
            config,
            directory: Directory::new(),
            connections: BTreeMap::new(),
            checks: BTreeSet::new(),
            lost: VecDeque::new(),
            actions: VecDeque::new(),
            origin_us: 0,
        }
    }

    /// Tells it the time of day at `now`, in microseconds since 1970: what is reported bears it. To be called now and
    /// then, since clocks are set and machines sleep.
    pub fn set_time_of_day(&mut self, now: Instant, unix_us: u64) {
        self.origin_us = unix_us.saturating_sub(now.as_micros());
    }

    /// What it knows.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    fn tell(&mut self, stream: StreamId, told: &Told) {
        self.actions.push_back(StreamAction::Write { stream, bytes: stream::encode(told) });
    }

    /// Tells why, closes, and takes the client for disconnected.
    fn close(&mut self, now: Instant, stream: StreamId, why: Closing) {
        let Some(connection) = self.forget(stream) else { return };
        log::info!("closing the connection of {}: {why}", connection.who());
        self.tell(stream, &Told::Closing(why));
        self.actions.push_back(StreamAction::Close { stream });
        self.disconnect(now, stream, &connection);
    }

    fn forget(&mut self, stream: StreamId) -> Option<Connection> {
        let connection = self.connections.remove(&stream)?;
        self.checks.remove(&(connection.check, stream));
        Some(connection)
    }

    /// The connection of a signed-in client is gone; the client may come back within its lease.
    fn disconnect(&mut self, now: Instant, stream: StreamId, connection: &Connection) {
        if connection.name.is_some() && self.apply(stream, Action::Disconnect).is_ok() {
            self.lost.push_back((now + self.config.lease, session(stream)));
        }
    }

    /// Changes the directory, and tells those concerned, but for who asked.
    fn apply(&mut self, stream: StreamId, action: Action) -> Result<Answer, Refusal> {
        let Outcome { result, notices, replaced } =
            self.directory.apply(Command { session: session(stream), action });
        for (SessionId(to), notice) in notices {
            if self.connections.contains_key(&StreamId(to)) {
                self.tell(StreamId(to), &Told::Notice(notice));
            }
        }
        if let Some(replaced) = replaced {
            self.replace(replaced);
        }
        result
    }

    /// A client has signed in anew: its former connection, half open or lost, does not matter any more.
    fn replace(&mut self, SessionId(former): SessionId) {
        let stream = StreamId(former);
        if self.forget(stream).is_some() {
            self.tell(stream, &Told::Closing(Closing::SignedInElsewhere));
            self.actions.push_back(StreamAction::Close { stream });
        }
        self.lost.retain(|(_, lost)| *lost != session(stream));
    }

    fn handle_request(&mut self, now: Instant, stream: StreamId, asked: Asked) {
        let Asked { request, body } = asked;
        let Some(connection) = self.connections.get_mut(&stream) else { return };
        connection.heard = now;
        if !connection.allowance.take(now) {
            self.close(now, stream, Closing::TooFast);
            return;
        }
        let signed_in = connection.name.is_some();
        let signing_out = signed_in && body == Request::SignOut;
        let result = match body {
            Request::SignIn(sign_in) => self.sign_in(stream, sign_in),
            Request::Runs { after } => Ok(self.directory.runs(after)),
            _ if !signed_in => Err(Refusal::NotSignedIn),
            Request::Heartbeat => Ok(Answer::Done),
            Request::Groups { after } => Ok(self.directory.groups(after)),
            Request::Members { group } => self.directory.members_of(group),
            Request::Users { after } => Ok(self.directory.users(after)),
            Request::Report(report) => self.apply(stream, Action::Report(report)),
            Request::Join { group, order } => self.apply(stream, Action::Join { group, order }),
            Request::Leave { group } => self.apply(stream, Action::Leave { group }),
            Request::SignOut => self.apply(stream, Action::SignOut),
            Request::Find { user } => self.directory.find(user),
            Request::Run(figures) => {
                let at_us = self.origin_us.saturating_add(now.as_micros());
                self.apply(stream, Action::Run { figures, at_us })
            }
        };
        self.tell(stream, &Told::Answer { request, result });
        if signing_out {
            self.close(now, stream, Closing::SignedOut);
        }
    }

    fn sign_in(&mut self, stream: StreamId, mut sign_in: SignIn) -> Result<Answer, Refusal> {
        let Some(connection) = self.connections.get(&stream) else { return Err(Refusal::NotSignedIn) };
        let peer = connection.peer;
        let observed = peer.ip().to_canonical();
        let name = sign_in.name;
        add_observed(&mut sign_in.addresses, observed);
        self.apply(stream, Action::SignIn(sign_in))
            .inspect_err(|refusal| log::info!("{name} from {peer} is refused: {refusal}"))?;
        log::info!("{name} has signed in from {peer}");
        if let Some(connection) = self.connections.get_mut(&stream) {
            connection.name = Some(name);
        }
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let Config { heartbeat, lease, .. } = self.config;
        Ok(Answer::Welcome(Welcome { observed, heartbeat_ms: millis(heartbeat), lease_ms: millis(lease) }))
    }

    /// Closes a connection that has been silent for the lease, or notes when to look again.
    fn check(&mut self, now: Instant, stream: StreamId) {
        let Some(connection) = self.connections.get_mut(&stream) else { return };
        let due = connection.heard + self.config.lease;
        if due > now {
            connection.check = due;
            self.checks.insert((due, stream));
            return;
        }
        self.close(now, stream, Closing::Silent);
        self.lost.retain(|(_, lost)| *lost != session(stream));
        // Silence for a whole lease was the lease: nobody waits for a second one.
        let _ = self.apply(stream, Action::Expire);
    }
}

impl StreamMachine for Server {
    fn handle_opened(&mut self, now: Instant, stream: StreamId, peer: SocketAddr) {
        self.actions.push_back(StreamAction::Write { stream, bytes: vec![stream::VERSION] });
        if self.connections.len() >= CONNECTIONS_MAX {
            self.tell(stream, &Told::Closing(Closing::TooManyConnections));
            self.actions.push_back(StreamAction::Close { stream });
            return;
        }
        let (reader, allowance) = (FrameReader::new(), Allowance::new(now));
        let check = now + self.config.lease;
        let connection = Connection { peer, reader, allowance, name: None, heard: now, check };
        self.connections.insert(stream, connection);
        self.checks.insert((check, stream));
    }

    fn handle_bytes(&mut self, now: Instant, stream: StreamId, mut bytes: &[u8]) {
        while let Some(connection) = self.connections.get_mut(&stream) {
            let asked = match connection.reader.next_frame(&mut bytes) {
                Ok(Some(frame)) => stream::decode(&frame),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            match asked {
                Ok(asked) => self.handle_request(now, stream, asked),
                Err(error) => {
                    log::info!("{} sent {error}", connection.who());
                    self.close(now, stream, Closing::Malformed);
                }
            }
        }
    }

    fn handle_closed(&mut self, now: Instant, stream: StreamId) {
        let Some(connection) = self.forget(stream) else { return };
        log::info!("the connection of {} is lost", connection.who());
        self.disconnect(now, stream, &connection);
    }

    fn handle_stream_timeout(&mut self, now: Instant) {
        while let Some((at, stream)) = self.checks.pop_first() {
            if at > now {
                self.checks.insert((at, stream));
                break;
            }
            self.check(now, stream);
        }
        while self.lost.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, SessionId(session))) = self.lost.pop_front() else { break };
            // Refused if the client has signed in anew, which is as well.
            let _ = self.apply(StreamId(session), Action::Expire);
        }
    }

    fn poll_stream(&mut self, _now: Instant) -> Option<StreamAction> {
        self.actions.pop_front()
    }

    fn poll_stream_timeout(&self) -> Option<Wakeup> {
        let silence = self.checks.first().map(|(at, _)| Wakeup { at: *at, reason: "client silent" });
        let lease = self.lost.front().map(|(at, _)| Wakeup { at: *at, reason: "client's lease" });
        Wakeup::earliest(silence, lease)
    }
}

impl Connection {
    /// For the log.
    fn who(&self) -> String {
        self.name.map_or_else(|| self.peer.to_string(), |name| format!("{name} ({})", self.peer))
    }
}

fn session(stream: StreamId) -> SessionId {
    SessionId(stream.0)
}

/// Adds the address that a node is seen at to those it gave, with the first one's port: behind a translator of
/// addresses it may be the one that works. A full list gives up its last.
fn add_observed(addresses: &mut Addresses, observed: IpAddr) {
    let Some(port) = addresses.first().map(SocketAddr::port) else { return };
    if observed.is_loopback() || addresses.iter().any(|address| address.ip() == observed) {
        return;
    }
    if addresses.is_full() {
        addresses.pop();
    }
    addresses.push(SocketAddr::new(observed, port));
}

#[cfg(test)]
mod tests;
