//! A host: an address, a clock, and the program that runs there until it is killed.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use decury_common::base::id::{GroupName, Incarnation, UserName};
use decury_common::base::time::Instant;
use decury_common::endpoint::{MemberStatus, Stats};
use decury_common::machine::{Machine, StreamId, StreamMachine, Wakeup};
use decury_common::order::OrderKind;
use decury_node::store::memory::Memory;

use super::directory::Directory;
use super::history::{History, What};

/// A host's number, from 0; shown, and used as the user's name there, as `n0`, `n1`, ...
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(pub usize);

impl HostId {
    /// Where its UDP socket is.
    pub fn address(self) -> SocketAddr {
        let low = u8::try_from(self.0 + 1).unwrap_or(u8::MAX);
        SocketAddr::from((Ipv4Addr::new(10, 0, 0, low), 4000))
    }

    /// Whose UDP socket this is.
    pub fn at(address: SocketAddr) -> Option<HostId> {
        match address {
            SocketAddr::V4(v4) => {
                let [a, b, c, low] = v4.ip().octets();
                ([a, b, c] == [10, 0, 0] && low > 0).then(|| HostId(usize::from(low) - 1))
            }
            SocketAddr::V6(_) => None,
        }
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl fmt::Debug for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A host's clock, as fast as the world's or a little off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Parts per million that it runs faster than the world's (negative: slower).
    pub ppm: i32,
}

impl Clock {
    const MILLION: u128 = 1_000_000;

    fn rate(self) -> u128 {
        u128::from(1_000_000u32.saturating_add_signed(self.ppm))
    }

    /// What it shows at an instant of the world.
    pub fn local(self, world: Instant) -> Instant {
        let micros = u128::from(world.as_micros()) * self.rate() / Clock::MILLION;
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// The first instant of the world at which it shows `local` or more.
    pub fn world(self, local: Instant) -> Instant {
        let micros = (u128::from(local.as_micros()) * Clock::MILLION).div_ceil(self.rate());
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

/// What a person at a host asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Join, or found, a group.
    Join {
        /// Which.
        group: GroupName,
        /// Its order, if it must be founded.
        order: OrderKind,
    },
    /// Leave it.
    Leave {
        /// Which.
        group: GroupName,
    },
    /// Leave all groups, and end the program.
    Quit,
    /// List the groups that there are.
    List,
    /// Send a message.
    Send {
        /// To which group.
        group: GroupName,
        /// What.
        payload: Bytes,
    },
    /// Say something to one other in private.
    Say {
        /// To whom.
        to: UserName,
        /// What.
        payload: Bytes,
    },
}

/// What a program finds around it: the time, the place where groups are found, and the record of what happened.
pub struct Desk<'a> {
    /// What the host's own clock shows.
    pub now: Instant,
    /// The world's time.
    pub world_now: Instant,
    /// Where the program runs.
    pub host: HostId,
    /// Where groups are found.
    pub directory: &'a mut Directory,
    /// What happened.
    pub history: &'a mut History,
}

impl Desk<'_> {
    /// Something has happened here.
    pub fn record(&mut self, what: What) {
        self.history.record(self.world_now, self.host, what);
    }
}

/// A length that must stay below a limit, whatever happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gauge {
    /// What is measured.
    pub name: &'static str,
    /// Its value.
    pub value: usize,
    /// What it may never exceed.
    pub limit: usize,
}

/// What runs on a host: one or two state machines, and the person (or program) that uses them.
pub trait Program {
    /// The machine behind the UDP socket, if there is one.
    fn machine(&mut self) -> Option<&mut dyn Machine>;

    /// Whether it accepts connections.
    fn accepts(&self) -> bool {
        false
    }

    /// Whether it has ended by itself: then it is as if it were killed.
    fn has_ended(&self) -> bool {
        false
    }

    /// The machine behind the TCP sockets, if there is one.
    fn streams(&mut self) -> Option<&mut dyn StreamMachine> {
        None
    }

    /// The person at the host speaks.
    fn command(&mut self, command: Command, desk: &mut Desk<'_>);

    /// Reads what the machine reports and does what is due at [`Program::wakeup`]. Whether there was anything to do.
    fn attend(&mut self, desk: &mut Desk<'_>) -> bool;

    /// When [`Program::attend`] must be called without anything having arrived.
    fn wakeup(&self) -> Option<Wakeup>;

    /// Whether its person wishes to be in the group.
    fn wants(&self, group: GroupName) -> bool;

    /// Its state for a failure report, in a few lines.
    fn status(&self) -> String;

    /// Whether everything that its person said has been handed over.
    fn is_flushed(&self) -> bool {
        true
    }

    /// The protocol's counters.
    fn stats(&self) -> Stats {
        Stats::default()
    }

    /// How it reaches the members of a group.
    fn members(&self, _group: GroupName) -> Vec<MemberStatus> {
        Vec::new()
    }

    /// What it has committed to its host's disk: all that is left when it is killed.
    fn disk(&self) -> Option<Disk> {
        None
    }

    /// Its bounded lengths.
    fn gauges(&self) -> Vec<Gauge> {
        Vec::new()
    }

    /// A copy, as [`Clone`] would make.
    fn boxed_clone(&self) -> Box<dyn Program>;
}

impl Clone for Box<dyn Program> {
    fn clone(&self) -> Self {
        self.boxed_clone()
    }
}

/// What a host's disk holds, as far as it was committed there.
pub type Disk = Memory;

/// What a program is started with.
#[derive(Clone, Debug)]
pub struct Boot {
    /// Where.
    pub host: HostId,
    /// The person's name.
    pub name: UserName,
    /// The number drawn for this start.
    pub incarnation: Incarnation,
    /// For its back-offs.
    pub seed: u64,
    /// What the host's clock shows.
    pub now: Instant,
    /// What a former program had left on the disk.
    pub disk: Option<Disk>,
}

/// Starts a program: at first, and again after each crash.
pub type Starter = Rc<dyn Fn(Boot) -> Box<dyn Program>>;

/// How a host behaves, for its whole life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Habits {
    /// Its clock.
    pub clock: Clock,
    /// How long it gathers what arrives before it takes a turn; a busy machine, or a driver that reads in batches.
    pub gather: Duration,
    /// It calls `handle_timeout` also when nothing is due, which must be harmless.
    pub nudges: bool,
}

/// What arrives at a host's sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A datagram, and where from.
    Datagram(SocketAddr, Vec<u8>),
    /// A connection is open, and to whom.
    Opened(StreamId, SocketAddr),
    /// Bytes of a connection.
    Bytes(StreamId, Vec<u8>),
    /// A connection has ended, or could not be opened.
    Closed(StreamId),
}

/// Datagrams that a host's socket keeps while its program does not read; more are lost.
const SOCKET_BUFFER: usize = 512;

/// A host.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) id: HostId,
    pub(crate) name: UserName,
    pub(crate) habits: Habits,
    pub(crate) starter: Starter,
    pub(crate) program: Option<Box<dyn Program>>,
    pub(crate) boots: u32,
    pub(crate) disk: Option<Disk>,
    /// Arrived and not read yet.
    pub(crate) inbox: Vec<Input>,
    /// The process is stopped until then.
    pub(crate) paused_until: Option<Instant>,
    /// The person (or program) in front of it does not read until then.
    pub(crate) stalled_until: Option<Instant>,
    /// When it takes its next turn, in the world's time.
    pub(crate) due: Option<Instant>,
    /// The current millisecond, and the turns that deadlines caused in it since anything arrived.
    pub(crate) wakeups: (u64, u32),
}

impl Host {
    pub(crate) fn new(id: HostId, name: UserName, habits: Habits, starter: Starter) -> Host {
        Host {
            id,
            name,
            habits,
            starter,
            program: None,
            boots: 0,
            disk: None,
            inbox: Vec::new(),
            paused_until: None,
            stalled_until: None,
            due: None,
            wakeups: (0, 0),
        }
    }

    /// Something arrives at its sockets. False if nobody listens, or for a datagram if the socket is full.
    pub(crate) fn arrive(&mut self, now: Instant, input: Input) -> bool {
        let full = matches!(input, Input::Datagram(..)) && self.inbox.len() >= SOCKET_BUFFER;
        if self.program.is_none() || full {
            return false;
        }
        self.inbox.push(input);
        let turn = now + self.habits.gather;
        let turn = self.paused_until.map_or(turn, |until| turn.max(until));
        self.due = Some(self.due.map_or(turn, |due| due.min(turn)));
        true
    }

    /// Counts a turn caused by a deadline; how many there were in this millisecond.
    pub(crate) fn count_wakeup(&mut self, now: Instant) -> u32 {
        let millisecond = now.as_micros() / 1000;
        if self.wakeups.0 != millisecond {
            self.wakeups = (millisecond, 0);
        }
        self.wakeups.1 += 1;
        self.wakeups.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_its_host() {
        for number in [0, 1, 9, 30] {
            assert_eq!(HostId::at(HostId(number).address()), Some(HostId(number)));
        }
    }

    #[test]
    fn a_deadline_on_a_skewed_clock_is_reached_when_the_world_says_so() {
        for ppm in [-300_000, -50, 0, 50, 300_000] {
            let clock = Clock { ppm };
            for micros in [0, 1, 999_999, 1_000_003, 123_456_789] {
                let local = Instant::from_micros(micros);
                assert!(clock.local(clock.world(local)) >= local);
            }
        }
    }
}
