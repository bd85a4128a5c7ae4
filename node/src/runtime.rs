//! The program around the session: sockets, signals, front end, and the loop that turns between them.

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use decury_common::base::id::{Incarnation, UserName};
use decury_common::base::time::Instant;
use decury_common::edge::{Driver, NoEntropy, random_u64, token};
use decury_common::machine::{Machine as _, StreamMachine as _, Wakeup};
use decury_tracker::host::{self, Hosted, StartError};
use mio::Interest;
use signal_hook::consts::signal::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;
use thiserror::Error;

use crate::addresses;
use crate::cli::{Args, Join, Ui};
use crate::data::{DataDir, DataError};
use crate::front::{self, Desk, Front};
use crate::session::{Command, Config, Ending, Event, Notice, Request, Session};
use crate::ui::terminal;
use crate::ui::threads::{Input, Output, Read};

/// Lines taken in one turn of the loop: a flood of them must not keep it from the network.
const LINES_PER_TURN: usize = 256;
/// Events shown in one turn.
const EVENTS_PER_TURN: usize = 1_024;
/// What is left to be sent or shown when the session has ended may take so long: somebody may have stalled.
const FLUSH_WITHIN: Duration = Duration::from_millis(300);

/// Why a node could not start, or not go on. Each is one sentence to a person.
#[derive(Debug, Error)]
pub enum RunError {
    /// The data directory.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The tracker inside this process.
    #[error("--host: {0}")]
    Host(#[from] StartError),
    /// A tracker's name does not resolve.
    #[error("{0}")]
    Tracker(String),
    /// The UDP socket.
    #[error("cannot bind the UDP address {0}: {1}")]
    Bind(SocketAddr, io::Error),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// The tracker does not take this node in.
    #[error("{0}")]
    Refused(String),
    /// Nobody reads any more.
    #[error("the output cannot be written any more: {0}")]
    Output(io::Error),
    /// The system refuses something it usually grants.
    #[error("the system refuses: {0}")]
    System(#[from] io::Error),
}

/// Runs a node until it is asked to end, or cannot go on.
pub fn run(args: &Args, name: UserName) -> Result<(), RunError> {
    let path = args.data.clone().map_or_else(|| DataDir::default_path(name), Ok)?;
    let _data = DataDir::open(&path)?;
    let hosted = args.host.map(|addr| Hosted::start(host::Options::at(addr))).transpose()?;
    let trackers = match &hosted {
        Some(hosted) => vec![hosted_at(hosted)],
        None => args.resolve_trackers().map_err(RunError::Tracker)?,
    };
    let mut driver = Driver::new()?;
    let bound = driver.bind_udp(args.bind).map_err(|error| RunError::Bind(args.bind, error))?;
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    driver.registry().register(&mut signals, token::SIGNALS, Interest::READABLE)?;

    let config = Config {
        name,
        incarnation: Incarnation(random_u64()?),
        addresses: addresses::dialable(bound, &args.advertise),
        trackers: trackers.clone(),
        suspect_after: args.suspect_after,
        seed: random_u64()?,
        faults: args.fault.clone(),
        patient: !io::stdin().is_terminal(),
    };
    let Front { output, input, desk } = front::start(&driver, args, trackers, &path)?;
    let session = Session::new(config, driver.now());
    let first = first_requests(args);
    let offer_groups = first.is_empty() && args.ui == Ui::Line && terminal::is_interactive();
    let (input, stay, quit) = (Some(input), args.stay, false);
    Runtime { driver, signals, session, first, input, output, desk, stay, quit, offer_groups }.run()
}

/// Where this process finds the tracker inside it. If others can use it, they are told where.
fn hosted_at(hosted: &Hosted) -> SocketAddr {
    let mut addr = hosted.address();
    if addr.ip().is_unspecified() {
        for reachable in hosted.reachable_at() {
            tell(&format!("tracker for others: --tracker {reachable}"));
        }
        addr.set_ip(if addr.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    addr
}

/// A line to the person. Nobody may be listening, which changes nothing.
fn tell(line: &str) {
    _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// What is done before the first line is read.
fn first_requests(args: &Args) -> VecDeque<Request> {
    let join = |join: &Join| Command::Join { group: join.group, order: join.order };
    args.join.iter().map(|wish| Request { re: None, command: join(wish) }).collect()
}

fn knows_tracker(event: &Event) -> bool {
    match event {
        Event::Ready { tracker, .. } => tracker.is_some(),
        Event::Notice { notice, .. } => matches!(notice, Notice::TrackerBack { .. }),
        _ => false,
    }
}

struct Runtime {
    driver: Driver,
    signals: Signals,
    session: Session,
    first: VecDeque<Request>,
    /// Nothing once it has ended.
    input: Option<Input>,
    output: Output,
    /// Where a person edits lines, if one does.
    desk: Option<Desk>,
    stay: bool,
    /// The end has been asked for; a signal does not wait for it any more.
    quit: bool,
    /// A person who named no group is shown which there are, once a tracker can say.
    offer_groups: bool,
}

impl Runtime {
    fn run(mut self) -> Result<(), RunError> {
        let mut flushed_by = None;
        loop {
            let now = self.wait(flushed_by)?;
            if self.driver.has_event(token::SIGNALS) && self.handle_signals(now) {
                return self.end();
            }
            if self.output.has_failed() {
                self.quit(now);
            }
            self.driver.receive(&mut self.session);
            self.driver.receive_streams(&mut self.session);
            self.take_input(now);
            let more = self.send_and_show(now);
            if self.session.ended().is_some() {
                let by = *flushed_by.get_or_insert(now + FLUSH_WITHIN);
                if now >= by || (!more && self.driver.streams_idle()) {
                    return self.end();
                }
            }
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self, flushed_by: Option<Instant>) -> io::Result<Instant> {
        let own = flushed_by.map(|at| Wakeup { at, reason: "flush" });
        let machines = Wakeup::earliest(self.session.poll_timeout(), self.session.poll_stream_timeout());
        if self.session.wants_input()
            && (!self.first.is_empty() || self.input.as_ref().is_some_and(|input| !input.may_sleep()))
        {
            self.driver.stay_awake();
        }
        self.driver.wait(Wakeup::earliest(own, machines))
    }

    /// True when the end is not to be waited for any more: a second signal.
    fn handle_signals(&mut self, now: Instant) -> bool {
        for _signal in self.signals.pending() {
            if self.quit {
                return true;
            }
            self.quit(now);
        }
        false
    }

    fn quit(&mut self, now: Instant) {
        self.quit = true;
        self.session.quit(now);
    }

    fn take_input(&mut self, now: Instant) {
        for _ in 0..LINES_PER_TURN {
            if !self.session.wants_input() {
                return;
            }
            let request = match (self.first.pop_front(), &self.input) {
                (Some(request), _) => request,
                (None, None) => return,
                (None, Some(input)) => match input.take() {
                    Read::Request(request) => request,
                    Read::Nothing => return,
                    Read::End => {
                        self.input = None;
                        if !self.stay {
                            self.session.finish(now);
                        }
                        return;
                    }
                },
            };
            self.session.submit(now, request);
        }
        self.driver.stay_awake();
    }

    /// Sends, then hands events over while there is room for them, and again: what was taken may have made room, or
    /// asked for something. Returns whether any are left.
    fn send_and_show(&mut self, now: Instant) -> bool {
        let at = self.driver.clock().unix_micros(now);
        let mut left = EVENTS_PER_TURN;
        loop {
            self.driver.transmit(&mut self.session);
            self.driver.transmit_streams(&mut self.session);
            let before = left;
            while left > 0 {
                if !self.output.has_room() {
                    return true;
                }
                let Some(event) = self.session.poll_event(now) else { break };
                if self.offer_groups && knows_tracker(&event) {
                    self.offer_groups = false;
                    self.first.push_back(Request { re: None, command: Command::Groups });
                }
                self.output.show(at, event);
                left -= 1;
            }
            if left == 0 {
                self.driver.stay_awake();
                return true;
            }
            if left == before {
                return false;
            }
        }
    }

    fn end(mut self) -> Result<(), RunError> {
        if let Some(desk) = &mut self.desk {
            desk.clear();
        }
        let refused = match self.session.ended() {
            Some(Ending::Refused(why)) => Some(why.clone()),
            Some(Ending::Asked) | None => None,
        };
        match (self.output.close(FLUSH_WITHIN), refused) {
            (Some(error), _) => Err(RunError::Output(error)),
            (None, Some(why)) => Err(RunError::Refused(why)),
            (None, None) => Ok(()),
        }
    }
}
