//! What lies between the hosts: datagrams and connections on their way.

use decury_common::base::limits::DATAGRAM_MAX;
use decury_common::base::rng::Rng;
use decury_common::base::time::Instant;
use decury_common::machine::{StreamAction, Transmit};

use super::checks::Violation;
use super::history::History;
use super::host::{Host, HostId, Input, Program};
use super::network::{Held, Network};
use super::queue::Queue;
use super::tcp::{self, Effects, Reach, Tcp};

/// Datagrams, and actions on connections, that one turn may send: several full windows to nine peers.
const SENT_PER_TURN: usize = 50_000;

/// What a run has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Turns that hosts have taken.
    pub turns: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams that arrived.
    pub arrived: u64,
}

/// What is on its way to some host.
#[derive(Clone)]
pub(super) enum Arrival {
    Datagram { from: HostId, to: HostId, bytes: Vec<u8> },
    Stream(tcp::Number, tcp::Side),
}

/// All that is between the hosts.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) network: Network,
    pub(super) queue: Queue<Arrival>,
    pub(super) figures: Figures,
    tcp: Tcp,
}

impl Wire {
    pub(super) fn new(rng: Rng) -> Wire {
        let tcp = Tcp::new(rng.clone().fork());
        Wire { network: Network::new(rng), queue: Queue::new(), figures: Figures::default(), tcp }
    }

    /// What a rule has held back sets out again.
    pub(super) fn let_go(&mut self, now: Instant, held: Vec<Held>) {
        for Held { from, to, bytes } in held {
            let at = now + self.network.travel();
            self.queue.push(at, Arrival::Datagram { from, to, bytes });
        }
    }

    /// The next arrival, if there is one. Its time must have come.
    pub(super) fn arrive(&mut self, now: Instant, hosts: &mut [Host], history: &mut History) {
        match self.queue.pop() {
            Some((_, Arrival::Datagram { from, to, bytes })) => {
                let traced = history.trace.is_some().then(|| bytes.clone());
                let input = Input::Datagram(from.address(), bytes);
                let heard = hosts.get_mut(to.0).is_some_and(|host| host.arrive(now, input));
                self.figures.arrived += u64::from(heard);
                if let (Some(trace), Some(bytes)) = (&mut history.trace, traced) {
                    let what = if heard { "arrives" } else { "finds nobody" };
                    trace.datagram(now, (from, to), what, &bytes);
                }
            }
            Some((_, Arrival::Stream(number, side))) => {
                let network = &mut self.network;
                let accepts = |host: HostId| {
                    let program = hosts.get(host.0).and_then(|host| host.program.as_ref());
                    program.is_some_and(|program| program.accepts())
                };
                let mut travel = |from, to| network.stream_travel(from, to);
                let mut reach = Reach { travel: &mut travel, accepts: &accepts };
                let mut effects = Effects::default();
                self.tcp.arrive(now, (number, side), &mut reach, &mut effects);
                self.apply(now, hosts, effects, history);
            }
            None => {}
        }
    }

    /// What became of something done to connections.
    pub(super) fn apply(
        &mut self,
        now: Instant,
        hosts: &mut [Host],
        effects: Effects,
        history: &mut History,
    ) {
        for (at, number, side) in effects.due {
            self.queue.push(at, Arrival::Stream(number, side));
        }
        for (to, input) in effects.inputs {
            if let Some(trace) = &mut history.trace {
                trace.line(now, format_args!("{to} reads {}", describe(&input)));
            }
            if let Some(host) = hosts.get_mut(to.0) {
                host.arrive(now, input);
            }
        }
    }

    /// A program has ended.
    pub(super) fn host_down(
        &mut self,
        now: Instant,
        host: HostId,
        hosts: &mut [Host],
        history: &mut History,
    ) {
        let mut effects = Effects::default();
        self.tcp.host_down(now, host, &mut effects);
        self.apply(now, hosts, effects, history);
    }

    /// Sends all that a program's machines have to send; what becomes of its connections is noted in `effects`.
    pub(super) fn drain(
        &mut self,
        now: Instant,
        local: Instant,
        from: HostId,
        program: &mut dyn Program,
        effects: &mut Effects,
        history: &mut History,
    ) {
        let mut sent = 0;
        if let Some(machine) = program.machine() {
            if let Some(persist) = machine.poll_persist() {
                match persist {}
            }
            while sent <= SENT_PER_TURN
                && let Some(transmit) = machine.poll_transmit(local)
            {
                for datagram in transmit.datagrams() {
                    sent += 1;
                    self.send(now, from, &transmit, datagram, history);
                }
            }
        }
        if let Some(streams) = program.streams() {
            while sent <= SENT_PER_TURN
                && let Some(action) = streams.poll_stream(local)
            {
                sent += 1;
                if let Some(trace) = &mut history.trace {
                    trace.line(now, format_args!("{from} wants stream {}", describe_action(&action)));
                }
                self.tcp.act(now, from, action, effects);
            }
        }
        if sent > SENT_PER_TURN {
            let what = format!("{from} sends {sent} datagrams in one turn");
            history.violate(Violation { at: now, promise: "no storms", what });
        }
    }

    fn send(&mut self, now: Instant, from: HostId, transmit: &Transmit, bytes: &[u8], history: &mut History) {
        self.figures.sent += 1;
        if bytes.len() > DATAGRAM_MAX {
            let what = format!("{from} sends a datagram of {} bytes", bytes.len());
            history.violate(Violation { at: now, promise: "datagrams fit", what });
        }
        let Some(to) = HostId::at(transmit.to) else { return };
        let mut bytes = bytes.to_vec();
        let fate = self.network.judge(now, from, to, &mut bytes);
        if let (Some(why), Some(trace)) = (fate.lost, &mut history.trace) {
            trace.datagram(now, (from, to), &format!("lost ({why})"), &bytes);
        }
        if fate.lost.is_some() {
            return;
        }
        for delay in &fate.copies {
            self.queue.push(now + *delay, Arrival::Datagram { from, to, bytes: bytes.clone() });
        }
        self.queue.push(now + fate.delay, Arrival::Datagram { from, to, bytes });
    }
}

fn describe(input: &Input) -> String {
    match input {
        Input::Datagram(from, bytes) => format!("{} bytes from {from}", bytes.len()),
        Input::Opened(stream, peer) => format!("stream {}: open to {peer}", stream.0),
        Input::Bytes(stream, bytes) => format!("stream {}: {} bytes", stream.0, bytes.len()),
        Input::Closed(stream) => format!("stream {}: closed", stream.0),
    }
}

fn describe_action(action: &StreamAction) -> String {
    match action {
        StreamAction::Open { stream, to } => format!("{} opened to {to}", stream.0),
        StreamAction::Write { stream, bytes } => format!("{} to carry {} bytes", stream.0, bytes.len()),
        StreamAction::Close { stream } => format!("{} closed", stream.0),
    }
}
