//! Two machines to be driven, and turns of the loop.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant as StdInstant};

use decury_common::base::time::Instant;
use decury_common::edge::Driver;
use decury_common::machine::{Machine, Persist, StreamAction, StreamId, StreamMachine, Transmit, Wakeup};

const PATIENCE: Duration = Duration::from_secs(20);

/// A machine for datagrams: remembers what came, sends what it is given.
#[derive(Default)]
pub(crate) struct Post {
    pub(crate) received: Vec<(SocketAddr, Vec<u8>)>,
    pub(crate) outgoing: VecDeque<Transmit>,
    pub(crate) wakeup: Option<Wakeup>,
    pub(crate) timeouts: u32,
}

impl Post {
    pub(crate) fn sending(transmits: impl IntoIterator<Item = Transmit>) -> Post {
        Post { outgoing: transmits.into_iter().collect(), ..Post::default() }
    }
}

impl Machine for Post {
    fn handle_datagram(&mut self, _now: Instant, from: SocketAddr, bytes: &mut [u8]) {
        self.received.push((from, bytes.to_vec()));
    }

    fn handle_timeout(&mut self, _now: Instant) {
        self.timeouts += 1;
    }

    fn poll_persist(&mut self) -> Option<Persist> {
        None
    }

    fn poll_transmit(&mut self, _now: Instant) -> Option<Transmit> {
        self.outgoing.pop_front()
    }

    fn poll_timeout(&self) -> Option<Wakeup> {
        self.wakeup
    }
}

/// A machine for connections: sends back what comes, or a farewell.
#[derive(Default)]
pub(crate) struct Echo {
    pub(crate) actions: VecDeque<StreamAction>,
    pub(crate) silent: bool,
    pub(crate) farewell: Option<Vec<u8>>,
    pub(crate) open: BTreeSet<StreamId>,
    pub(crate) received: BTreeMap<StreamId, usize>,
    pub(crate) opened: usize,
    pub(crate) closed: usize,
}

impl StreamMachine for Echo {
    fn handle_opened(&mut self, _now: Instant, stream: StreamId, _peer: SocketAddr) {
        assert!(self.open.insert(stream));
        self.opened += 1;
    }

    fn handle_bytes(&mut self, _now: Instant, stream: StreamId, bytes: &[u8]) {
        assert!(self.open.contains(&stream));
        *self.received.entry(stream).or_default() += bytes.len();
        if let Some(farewell) = self.farewell.take() {
            self.open.remove(&stream);
            self.actions.push_back(StreamAction::Write { stream, bytes: farewell });
            self.actions.push_back(StreamAction::Close { stream });
        } else if !self.silent {
            self.actions.push_back(StreamAction::Write { stream, bytes: bytes.to_vec() });
        }
    }

    fn handle_closed(&mut self, _now: Instant, stream: StreamId) {
        self.open.remove(&stream);
        self.closed += 1;
    }

    fn handle_stream_timeout(&mut self, _now: Instant) {}

    fn poll_stream(&mut self, _now: Instant) -> Option<StreamAction> {
        self.actions.pop_front()
    }

    fn poll_stream_timeout(&self) -> Option<Wakeup> {
        None
    }
}

pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) fn udp_driver() -> (Driver, SocketAddr) {
    let mut driver = Driver::new().unwrap();
    let at = driver.bind_udp(loopback()).unwrap();
    (driver, at)
}

pub(crate) fn tcp_driver() -> (Driver, SocketAddr) {
    let mut driver = Driver::new().unwrap();
    let at = driver.listen(loopback()).unwrap();
    (driver, at)
}

pub(crate) fn datagram(to: SocketAddr, bytes: &[u8]) -> Transmit {
    Transmit { to, bytes: bytes.to_vec(), segment: None }
}

pub(crate) fn turn(driver: &mut Driver, machine: &mut dyn StreamMachine) {
    driver.receive_streams(machine);
    driver.transmit_streams(machine);
}

/// Turns of the loop until `done`, or a failed test.
pub(crate) fn turns_until(driver: &mut Driver, mut done: impl FnMut(&mut Driver) -> bool) {
    let began = StdInstant::now();
    while !done(driver) {
        assert!(began.elapsed() < PATIENCE, "it did not happen");
        let at = driver.clock().now() + Duration::from_millis(5);
        driver.wait(Some(Wakeup { at, reason: "test" })).unwrap();
    }
}

/// Runs the test that calls this in a process of its own, prepared by a line of shell. False in that process, which
/// goes on.
pub(crate) fn ran_alone(test: &str, prepare: &str) -> bool {
    const ALONE: &str = "DECURY_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return false;
    }
    let script = format!("{prepare} && exec \"$0\" --exact {test} --nocapture");
    let this = std::env::current_exe().unwrap();
    let output = Command::new("sh").arg("-c").arg(script).arg(this).env(ALONE, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
    true
}
