//! Simulated TCP: connections whose bytes arrive in order, cut anywhere, late, or not at all.
//!
//! Each direction of a connection is a queue. What is at its front is tried when its time has come: while the link is
//! cut it is tried again and again, and after [`GIVE_UP`] its sender is told that the connection is lost, and only its
//! sender: the other side is left with a half-open connection, as after a power cut. Writing into one that the other
//! side does not know (any more) breaks it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use decury_common::base::rng::Rng;
use decury_common::base::time::Instant;
use decury_common::machine::{StreamAction, StreamId};

use super::host::{HostId, Input};

/// How long a sender's kernel tries to get something through.
const GIVE_UP: Duration = Duration::from_secs(6);
/// How often.
const TRY_AGAIN: Duration = Duration::from_millis(200);
/// Bytes on their way in one direction; a driver closes a connection that has more.
const BACKLOG_MAX: usize = 1 << 20;

/// One end of a connection, at a host.
type End = (HostId, StreamId);

/// A connection; numbers are never used twice.
pub(super) type Number = u64;

/// Which end: 0 opened it, 1 accepted it.
pub(super) type Side = usize;

/// All connections.
#[derive(Clone, Debug)]
pub(super) struct Tcp {
    rng: Rng,
    connections: BTreeMap<Number, Connection>,
    /// Where each living end belongs.
    ends: BTreeMap<End, (Number, Side)>,
    opened: u64,
    accepted: u64,
}

#[derive(Clone, Debug)]
struct Connection {
    hosts: [HostId; 2],
    /// The ends' numbers at their hosts; `None` when an end is not there yet, or not any more.
    streams: [Option<StreamId>; 2],
    /// What is on its way from each side.
    pipes: [Pipe; 2],
}

#[derive(Clone, Debug, Default)]
struct Pipe {
    segments: VecDeque<Segment>,
    bytes: usize,
    /// A try of the front is under way.
    busy: bool,
}

#[derive(Clone, Debug)]
struct Segment {
    content: Content,
    sent: Instant,
    /// When it arrives, once it has found the link open.
    ready: Option<Instant>,
}

#[derive(Clone, Debug)]
enum Content {
    /// The wish to open, or its acceptance.
    Open,
    Bytes(Vec<u8>),
    /// Nothing follows.
    End,
}

/// What is to be done by the world after a call.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// At these times, [`Tcp::arrive`] is due for what this side has sent.
    pub(super) due: Vec<(Instant, Number, Side)>,
    /// What hosts get to read.
    pub(super) inputs: Vec<(HostId, Input)>,
}

/// How the world's hosts and links are at the moment.
pub(super) struct Reach<'a> {
    /// How long something sent now from one host to another travels; `None` if nothing passes.
    pub(super) travel: &'a mut dyn FnMut(HostId, HostId) -> Option<Duration>,
    /// Whether a program at this host accepts connections.
    pub(super) accepts: &'a dyn Fn(HostId) -> bool,
}

impl Tcp {
    pub(super) fn new(rng: Rng) -> Tcp {
        Tcp { rng, connections: BTreeMap::new(), ends: BTreeMap::new(), opened: 0, accepted: 0 }
    }

    /// A program wants something done.
    pub(super) fn act(&mut self, now: Instant, host: HostId, action: StreamAction, effects: &mut Effects) {
        match action {
            StreamAction::Open { stream, to } => self.open(now, (host, stream), to, effects),
            StreamAction::Write { stream, bytes } => {
                if let Some(&(number, side)) = self.ends.get(&(host, stream)) {
                    self.write(now, (number, side), &bytes, effects);
                }
            }
            StreamAction::Close { stream } => {
                if let Some(end) = self.ends.remove(&(host, stream)) {
                    self.close(now, end, effects);
                }
            }
        }
    }

    /// A program has ended: its kernel closes its connections.
    pub(super) fn host_down(&mut self, now: Instant, host: HostId, effects: &mut Effects) {
        let ends: Vec<End> = self.ends.keys().filter(|end| end.0 == host).copied().collect();
        for end in ends {
            if let Some(end) = self.ends.remove(&end) {
                self.close(now, end, effects);
            }
        }
    }

    fn open(&mut self, now: Instant, end: End, to: SocketAddr, effects: &mut Effects) {
        let Some(peer) = HostId::at(to) else {
            effects.inputs.push((end.0, Input::Closed(end.1)));
            return;
        };
        self.opened += 1;
        let number = self.opened;
        let connection = Connection {
            hosts: [end.0, peer],
            streams: [Some(end.1), None],
            pipes: [Pipe::default(), Pipe::default()],
        };
        self.connections.insert(number, connection);
        self.ends.insert(end, (number, 0));
        self.push(now, (number, 0), Content::Open, effects);
    }

    /// Bytes leave in pieces of any length.
    fn write(&mut self, now: Instant, end: (Number, Side), mut bytes: &[u8], effects: &mut Effects) {
        while !bytes.is_empty() {
            let whole = self.rng.chance(3, 4);
            let len = if whole { bytes.len() } else { 1 + self.rng.below(bytes.len() as u64) as usize };
            let (piece, rest) = bytes.split_at(len.min(bytes.len()));
            self.push(now, end, Content::Bytes(piece.to_vec()), effects);
            bytes = rest;
        }
        let (number, side) = end;
        let full = self.connections.get(&number).is_some_and(|c| c.pipes[side].bytes > BACKLOG_MAX);
        if full {
            self.lose_end(end, effects);
        }
    }

    fn close(&mut self, now: Instant, (number, side): (Number, Side), effects: &mut Effects) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.streams[side] = None;
            self.push(now, (number, side), Content::End, effects);
        }
    }

    fn push(
        &mut self,
        now: Instant,
        (number, side): (Number, Side),
        content: Content,
        effects: &mut Effects,
    ) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let pipe = &mut connection.pipes[side];
        if let Content::Bytes(bytes) = &content {
            pipe.bytes += bytes.len();
        }
        pipe.segments.push_back(Segment { content, sent: now, ready: None });
        if !std::mem::replace(&mut pipe.busy, true) {
            effects.due.push((now, number, side));
        }
    }

    /// The time has come to try the front of what this side has sent.
    pub(super) fn arrive(
        &mut self,
        now: Instant,
        (number, side): (Number, Side),
        reach: &mut Reach<'_>,
        effects: &mut Effects,
    ) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let (from, to) = (connection.hosts[side], connection.hosts[1 - side]);
        let pipe = &mut connection.pipes[side];
        let Some(front) = pipe.segments.front_mut() else {
            pipe.busy = false;
            return;
        };
        match (reach.travel)(from, to) {
            None if now.since(front.sent) >= GIVE_UP => {
                pipe.busy = false;
                return self.lose_end((number, side), effects);
            }
            None => return effects.due.push((now + TRY_AGAIN, number, side)),
            // The front is under way until then, and all that follows waits behind it.
            Some(travel) => {
                let ready = *front.ready.get_or_insert(now.max(front.sent + travel));
                if ready > now {
                    return effects.due.push((ready, number, side));
                }
            }
        }
        let Some(Segment { content, .. }) = pipe.segments.pop_front() else { return };
        pipe.busy = !pipe.segments.is_empty();
        if pipe.busy {
            effects.due.push((now, number, side));
        }
        self.take(now, (number, 1 - side), content, reach, effects);
    }

    /// Something arrives at this end.
    fn take(
        &mut self,
        now: Instant,
        (number, side): (Number, Side),
        content: Content,
        reach: &Reach<'_>,
        effects: &mut Effects,
    ) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let host = connection.hosts[side];
        if let Content::Bytes(bytes) = &content {
            let pipe = &mut connection.pipes[1 - side];
            pipe.bytes = pipe.bytes.saturating_sub(bytes.len());
        }
        match (content, connection.streams[side]) {
            (Content::Open, None) if side == 1 && (reach.accepts)(host) => {
                self.accepted += 1;
                let stream = StreamId(2 * self.accepted + 1);
                let peer = connection.hosts[0].address();
                connection.streams[1] = Some(stream);
                self.ends.insert((host, stream), (number, 1));
                effects.inputs.push((host, Input::Opened(stream, peer)));
                self.push(now, (number, 1), Content::Open, effects);
            }
            (Content::Open, Some(stream)) => {
                let peer = connection.hosts[1 - side].address();
                effects.inputs.push((host, Input::Opened(stream, peer)));
            }
            (Content::Bytes(bytes), Some(stream)) => effects.inputs.push((host, Input::Bytes(stream, bytes))),
            (Content::End, Some(_)) => self.lose_end((number, side), effects),
            (Content::End, None) => {
                if connection.streams == [None; 2] {
                    self.connections.remove(&number);
                }
            }
            // Nobody is there (any more): the other side is told.
            (Content::Open | Content::Bytes(_), None) => {
                self.push(now, (number, side), Content::End, effects)
            }
        }
    }

    /// This end learns that the connection is lost; nothing it has sent matters any more.
    fn lose_end(&mut self, (number, side): (Number, Side), effects: &mut Effects) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        connection.pipes[side] = Pipe { busy: connection.pipes[side].busy, ..Pipe::default() };
        let host = connection.hosts[side];
        if let Some(stream) = connection.streams[side].take() {
            self.ends.remove(&(host, stream));
            effects.inputs.push((host, Input::Closed(stream)));
        }
        if connection.streams == [None; 2] && connection.pipes.iter().all(|pipe| pipe.segments.is_empty()) {
            self.connections.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: HostId = HostId(0);
    const B: HostId = HostId(1);
    const STREAM: StreamId = StreamId(0);

    /// Two hosts, and all that they get to read, under a link that is cut for a time.
    struct Line {
        tcp: Tcp,
        now: Instant,
        queue: Vec<(Instant, Number, Side)>,
        cut: bool,
        read: Vec<(HostId, Input)>,
    }

    impl Line {
        fn new() -> Line {
            let (queue, read) = Default::default();
            Line { tcp: Tcp::new(Rng::from_seed(5)), now: Instant::ZERO, queue, cut: false, read }
        }

        fn act(&mut self, host: HostId, action: StreamAction) {
            let mut effects = Effects::default();
            self.tcp.act(self.now, host, action, &mut effects);
            self.take(effects);
        }

        fn take(&mut self, effects: Effects) {
            self.queue.extend(effects.due);
            self.read.extend(effects.inputs);
        }

        fn run(&mut self, duration: Duration) {
            let end = self.now + duration;
            while let Some(next) = self.queue.iter().copied().min().filter(|next| next.0 <= end) {
                self.queue.retain(|other| *other != next);
                self.now = next.0.max(self.now);
                let cut = self.cut;
                let mut travel = |_, _| (!cut).then_some(Duration::from_millis(1));
                let mut reach = Reach { travel: &mut travel, accepts: &|host| host == B };
                let mut effects = Effects::default();
                self.tcp.arrive(self.now, (next.1, next.2), &mut reach, &mut effects);
                self.take(effects);
            }
            self.now = end;
        }

        fn open(&mut self, to: HostId) {
            self.act(A, StreamAction::Open { stream: STREAM, to: to.address() });
            self.run(Duration::from_secs(1));
        }

        /// The stream's number at B.
        fn accepted(&self) -> StreamId {
            let opened = |(host, input): &(HostId, Input)| match input {
                Input::Opened(stream, _) if *host == B => Some(*stream),
                _ => None,
            };
            self.read.iter().find_map(opened).unwrap()
        }

        fn bytes_at(&self, wanted: HostId) -> Vec<u8> {
            let bytes = |(host, input): &(HostId, Input)| match input {
                Input::Bytes(_, bytes) if *host == wanted => bytes.clone(),
                _ => Vec::new(),
            };
            self.read.iter().flat_map(bytes).collect()
        }

        fn is_closed_at(&self, wanted: HostId) -> bool {
            self.read.iter().any(|(host, input)| *host == wanted && matches!(input, Input::Closed(_)))
        }
    }

    #[test]
    fn bytes_arrive_in_order_in_both_directions_and_a_close_comes_last() {
        let mut line = Line::new();
        line.open(B);
        let at_b = line.accepted();
        assert_eq!(at_b.0 % 2, 1);
        let sent: Vec<u8> = (0..=255).cycle().take(5_000).collect();
        for piece in sent.chunks(700) {
            line.act(A, StreamAction::Write { stream: STREAM, bytes: piece.to_vec() });
            line.act(B, StreamAction::Write { stream: at_b, bytes: piece.to_vec() });
        }
        line.act(A, StreamAction::Close { stream: STREAM });
        line.run(Duration::from_secs(1));
        assert_eq!(line.bytes_at(B), sent);
        assert!(line.is_closed_at(B) && !line.is_closed_at(A));
    }

    #[test]
    fn a_connection_that_nobody_accepts_is_closed() {
        let mut line = Line::new();
        line.open(A);
        assert!(line.is_closed_at(A));
    }

    #[test]
    fn a_short_cut_delays_and_a_long_one_breaks_the_senders_end_only() {
        let mut line = Line::new();
        line.open(B);
        line.cut = true;
        line.act(A, StreamAction::Write { stream: STREAM, bytes: vec![1] });
        line.run(Duration::from_secs(2));
        line.cut = false;
        line.run(Duration::from_secs(1));
        assert_eq!(line.bytes_at(B), [1]);

        line.cut = true;
        line.act(A, StreamAction::Write { stream: STREAM, bytes: vec![2] });
        line.run(GIVE_UP + Duration::from_secs(1));
        assert!(line.is_closed_at(A) && !line.is_closed_at(B));
        line.cut = false;
        let at_b = line.accepted();
        line.act(B, StreamAction::Write { stream: at_b, bytes: vec![3] });
        line.run(Duration::from_secs(1));
        assert!(line.is_closed_at(B), "writing into a half-open connection breaks it");
        assert!(line.bytes_at(A).is_empty());
    }

    #[test]
    fn the_kernel_of_a_killed_program_closes_its_connections() {
        let mut line = Line::new();
        line.open(B);
        let mut effects = Effects::default();
        line.tcp.host_down(line.now, A, &mut effects);
        line.take(effects);
        line.run(Duration::from_secs(1));
        assert!(line.is_closed_at(B) && !line.is_closed_at(A));
        assert!(line.tcp.connections.is_empty() && line.tcp.ends.is_empty());
    }
}
