//! The program around the session: sockets, signals, front end, and the loop that turns between them.

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use decury_common::base::id::{Identity, Incarnation, UserName};
use decury_common::base::time::Instant;
use decury_common::edge::{Driver, LocalNetwork, NoEntropy, Waker, random_u64, token};
use decury_common::machine::{Machine as _, StreamMachine as _, Wakeup};
use decury_tracker::host::{self, Hosted, StartError};
use mio::{Interest, Token};
use signal_hook::consts::signal::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;
use thiserror::Error;

use crate::addresses;
use crate::cli::{Args, Join, Ui};
use crate::data::{DataDir, DataError};
use crate::front::{self, Desk, Front};
use crate::session::{Command, Config, Ending, Event, Notice, Request, Restored, Session};
use crate::store::{Store, StoreError};
use crate::ui::terminal;
use crate::ui::threads::{Input, Output, Read};

/// Lines taken in one turn of the loop: a flood of them must not keep it from the network.
const LINES_PER_TURN: usize = 256;
/// Events shown in one turn.
const EVENTS_PER_TURN: usize = 1_024;
/// What is left to be sent or shown when the session has ended may take so long: somebody may have stalled.
const FLUSH_WITHIN: Duration = Duration::from_millis(300);
/// What is left to be kept may take so long.
const STORE_WITHIN: Duration = Duration::from_millis(400);
/// The poll's token of the local network.
const LOCAL_NETWORK: Token = Token(5);
/// The store's file, in the data directory.
const STORE: &str = "node.db";

/// Why a node could not start, or not go on. Each is one sentence to a person.
#[derive(Debug, Error)]
pub enum RunError {
    /// The data directory.
    #[error(transparent)]
    Data(#[from] DataError),
    /// What is in it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tracker inside this process.
    #[error("--host: {0}")]
    Host(#[from] StartError),
    /// A tracker's or a peer's name does not resolve.
    #[error("{0}")]
    Name(String),
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
    let data = Data::open(args, name)?;
    let hosted = args.host.map(|addr| Hosted::start(host::Options::at(addr))).transpose()?;
    let trackers = match &hosted {
        Some(hosted) => vec![hosted_at(hosted)],
        None => args.resolve_trackers().map_err(RunError::Name)?,
    };
    let mut driver = Driver::new()?;
    let (store, mut restored) = data.store(name, args.history, driver.waker())?;
    let bound = bind(&mut driver, args.bind, restored.port)?;
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    driver.registry().register(&mut signals, token::SIGNALS, Interest::READABLE)?;

    let local = if args.discover { local_network(&driver, bound) } else { None };
    let config = Config {
        name,
        incarnation: Incarnation(random_u64()?),
        addresses: addresses::dialable(bound, &args.advertise),
        trackers: trackers.clone(),
        port: bound.port(),
        peers: args.resolve_peers().map_err(RunError::Name)?,
        discover: local.is_some(),
        suspect_after: args.suspect_after,
        seed: random_u64()?,
        faults: args.fault.clone(),
        patient: !io::stdin().is_terminal(),
    };
    restored.groups.retain(|place| args.join.iter().all(|join| join.group != place.group));
    let first = first_requests(args);
    let seeks_peers = !restored.met.is_empty() || !args.peer.is_empty() || local.is_some();
    let joins = !first.is_empty() || restored.current.is_some();
    let anywhere = joins || !restored.groups.is_empty();
    let offer_groups = !anywhere && args.ui == Ui::Line && terminal::is_interactive();
    let Front { output, input, desk } =
        front::start(&driver, args, trackers, data.path(), seeks_peers, joins)?;
    let session = Session::new(config, restored, driver.now());
    let (input, stay, quit) = (Some(input), args.stay, false);
    let stalled = false;
    let runtime = Runtime {
        driver,
        signals,
        local,
        session,
        store,
        first,
        input,
        output,
        desk,
        stay,
        quit,
        offer_groups,
        stalled,
    };
    runtime.run()
}

/// Where any port will do, the former one is taken if it is free: there the node is looked for by those who met it.
fn bind(driver: &mut Driver, wanted: SocketAddr, former: Option<u16>) -> Result<SocketAddr, RunError> {
    let former = former.filter(|_| wanted.port() == 0).map(|port| SocketAddr::new(wanted.ip(), port));
    if let Some(bound) = former.and_then(|former| driver.bind_udp(former).ok()) {
        return Ok(bound);
    }
    driver.bind_udp(wanted).map_err(|error| RunError::Bind(wanted, error))
}

/// The local network; where there is none, the person is told, and the node goes on without.
fn local_network(driver: &Driver, bound: SocketAddr) -> Option<LocalNetwork> {
    let opened = LocalNetwork::open(bound.ip(), driver.registry(), LOCAL_NETWORK);
    opened.map_err(|error| tell(&format!("--discover finds nobody here: {error}"))).ok()
}

/// Where a node keeps what is its own.
enum Data {
    /// In a directory, which is locked while this lives.
    Directory(DataDir),
    /// Nowhere.
    Memory,
}

impl Data {
    fn open(args: &Args, name: UserName) -> Result<Data, DataError> {
        match &args.data {
            Some(path) if path.as_os_str() == ":memory:" => Ok(Data::Memory),
            Some(path) => DataDir::open(path).map(Data::Directory),
            None => DataDir::open(&DataDir::default_path(name)?).map(Data::Directory),
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Data::Directory(directory) => Some(directory.path()),
            Data::Memory => None,
        }
    }

    fn store(&self, name: UserName, history: u64, waker: Waker) -> Result<(Store, Restored), RunError> {
        let identity = Identity(random_u64()?);
        match self.path() {
            Some(path) => Ok(Store::open(&path.join(STORE), name, history, identity, waker)?),
            None => Ok(Store::in_memory(name, identity)),
        }
    }
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
    /// With `--discover`, where it works.
    local: Option<LocalNetwork>,
    session: Session,
    store: Store,
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
    /// What is shown is not read, and input waits for that.
    stalled: bool,
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
            self.hear_calls();
            self.driver.receive_streams(&mut self.session);
            let now = self.driver.now();
            self.keep(now);
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
        if !self.store.may_sleep() {
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

    /// Gives the store what is to be kept, and takes what it says; whether it said anything.
    fn keep(&mut self, now: Instant) -> bool {
        self.hand_over(now);
        let mut some = false;
        while let Some(kept) = self.store.poll() {
            self.session.handle_kept(now, kept);
            some = true;
        }
        some
    }

    /// Gives the store what is to be kept; whether it took all.
    fn hand_over(&mut self, now: Instant) -> bool {
        let at = self.driver.clock().unix_micros(now);
        while self.store.has_room() {
            match self.session.poll_task() {
                Some(task) => self.store.put(at, task),
                None => return true,
            }
        }
        false
    }

    /// Takes in what others call into the local network.
    fn hear_calls(&mut self) {
        let (now, is_readable) = (self.driver.now(), self.driver.has_event(LOCAL_NETWORK));
        let Some(local) = &mut self.local else { return };
        if local.receive(is_readable, |from, bytes| self.session.handle_call(now, from, bytes)) {
            self.driver.stay_awake();
        }
    }

    /// Calls, if it is time.
    fn call(&mut self, now: Instant) {
        let Some(local) = &mut self.local else { return };
        while let Some(bytes) = self.session.poll_call(now) {
            if let Some(error) = local.send(&bytes) {
                tell(&format!("--discover finds nobody here at the moment: {error}"));
            }
        }
    }

    fn take_input(&mut self, now: Instant) {
        for _ in 0..LINES_PER_TURN {
            if !self.session.wants_input() || !self.hand_over(now) {
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
        self.call(now);
        loop {
            self.driver.transmit(&mut self.session);
            self.driver.transmit_streams(&mut self.session);
            let before = left;
            while left > 0 {
                if !self.output.has_room() {
                    if !self.session.wants_input() && !std::mem::replace(&mut self.stalled, true) {
                        log::debug!("what is shown is not read: no input is taken meanwhile");
                    }
                    return true;
                }
                self.stalled = false;
                if !self.hand_over(now) {
                    return true;
                }
                let Some(event) = self.session.poll_event(now) else {
                    // What is safe now may let events pass.
                    if self.keep(now) {
                        continue;
                    }
                    break;
                };
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
                return self.session.has_events();
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
        if !self.store.close(STORE_WITHIN) {
            log::warn!("the disk is slow: the last of what was said may not be kept");
        }
        match (self.output.close(FLUSH_WITHIN), refused) {
            (Some(error), _) => Err(RunError::Output(error)),
            (None, Some(why)) => Err(RunError::Refused(why)),
            (None, None) => Ok(()),
        }
    }
}
