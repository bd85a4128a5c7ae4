//! A tracker over real sockets: in the foreground ([`Tracker::run`]), or on a thread of another program ([`Hosted`]).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use decury_common::edge::{Driver, reachable_at};
use decury_common::machine::StreamMachine as _;
use thiserror::Error;

use crate::server::{Config, Server};

/// How often a client is to be heard, unless told otherwise.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// After how long a silence a client is taken for gone, unless told otherwise.
pub const LEASE: Duration = Duration::from_secs(15);

/// What a tracker is started with.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where it listens; port 0 picks a free one.
    pub listen: SocketAddr,
    /// How often a client is to be heard.
    pub heartbeat: Duration,
    /// After how long a silence a client is taken for gone; longer than `heartbeat`.
    pub lease: Duration,
}

impl Options {
    /// The usual times.
    pub fn at(listen: SocketAddr) -> Options {
        Options { listen, heartbeat: HEARTBEAT, lease: LEASE }
    }
}

/// Why a tracker could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address is in use.
    #[error("cannot listen on {0}: another program does already (a tracker that still runs?)")]
    InUse(SocketAddr),
    /// The address is not this machine's, or the system refuses.
    #[error("cannot listen on {listen}: {source}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system refuses something else.
    #[error("cannot start the tracker: {0}")]
    System(#[from] io::Error),
}

/// A tracker that listens, and serves while it is [run](Tracker::run).
#[derive(Debug)]
pub struct Tracker {
    driver: Driver,
    server: Server,
    address: SocketAddr,
}

impl Tracker {
    /// Listens.
    pub fn bind(options: Options) -> Result<Tracker, StartError> {
        let Options { listen, heartbeat, lease } = options;
        let server = Server::new(Config { heartbeat, lease });
        let mut driver = Driver::new()?;
        let address = driver.listen(listen).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => StartError::InUse(listen),
            _ => StartError::Listen { listen, source },
        })?;
        Ok(Tracker { driver, server, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where others can reach it: every address of this machine if it listens on a wildcard.
    pub fn reachable_at(&self) -> Vec<SocketAddr> {
        reachable_at(self.address)
    }

    /// The loop, for sources and wakers of the program's own.
    pub fn driver(&self) -> &Driver {
        &self.driver
    }

    /// Serves until `stop` says so; it is asked after each wait.
    pub fn run(&mut self, mut stop: impl FnMut(&Driver) -> bool) -> io::Result<()> {
        loop {
            self.driver.wait(self.server.poll_stream_timeout())?;
            if stop(&self.driver) {
                return Ok(());
            }
            let now = self.driver.now();
            self.server.set_time_of_day(now, self.driver.clock().unix_micros(now));
            self.driver.receive_streams(&mut self.server);
            self.driver.transmit_streams(&mut self.server);
        }
    }
}

/// A tracker on a thread of its own; it ends when this is dropped.
#[derive(Debug)]
pub struct Hosted {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    waker: decury_common::edge::Waker,
    thread: Option<JoinHandle<()>>,
}

impl Hosted {
    /// Listens, and serves from now on.
    pub fn start(options: Options) -> Result<Hosted, StartError> {
        let mut tracker = Tracker::bind(options)?;
        let (address, waker) = (tracker.address(), tracker.driver().waker());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let serve = move || {
            if let Err(error) = tracker.run(|_| stopped.load(Ordering::Acquire)) {
                log::error!("the tracker at {address} has ended: {error}");
            }
        };
        let thread = Some(std::thread::Builder::new().name("tracker".to_owned()).spawn(serve)?);
        Ok(Hosted { address, stop, waker, thread })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where others can reach it: every address of this machine if it listens on a wildcard.
    pub fn reachable_at(&self) -> Vec<SocketAddr> {
        reachable_at(self.address)
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the tracker at {} has panicked", self.address);
        }
    }
}
