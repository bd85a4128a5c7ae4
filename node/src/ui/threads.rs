//! The threads that a front end runs on: one reads lines, one shows events. Neither can keep the loop from its work,
//! and the loop can drown neither: both queues are bounded.

use std::io::{self, BufRead};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use decury_common::edge::Waker;

use super::lines::{Line, LineReader};
use super::{FrontEnd, input};
use crate::bell::Bell;
use crate::session::{Event, Request};

/// Lines read ahead.
const LINES: usize = 64;
/// Events that wait to be shown. Deliveries stop at this bound, and with them, in the end, their senders.
const EVENTS: usize = 512;

/// The reading thread's other end.
#[derive(Debug)]
pub struct Input {
    requests: Receiver<Request>,
    bell: Arc<Bell>,
}

/// What there is to read.
#[derive(Debug)]
pub enum Read {
    /// A line that asks for something.
    Request(Request),
    /// Nothing at the moment.
    Nothing,
    /// Nothing, for ever.
    End,
}

/// The reading thread's own end.
#[derive(Debug)]
pub struct Requests {
    sender: Sender<Request>,
    bell: Arc<Bell>,
    lines: u64,
}

impl Input {
    /// Starts to read lines from what `open` gives. It is called on the reading thread. Fails if the system has no
    /// thread to give.
    pub fn spawn<R: BufRead>(waker: Waker, open: impl FnOnce() -> R + Send + 'static) -> io::Result<Input> {
        Input::spawn_with(waker, move |requests| read(open(), requests))
    }

    /// Starts a thread that reads lines by itself: the input ends when `read` returns.
    pub fn spawn_with(waker: Waker, read: impl FnOnce(Requests) + Send + 'static) -> io::Result<Input> {
        let bell = Bell::new(waker);
        let (sender, requests) = bounded(LINES);
        let own_end = Requests { sender, bell: bell.clone(), lines: 0 };
        thread::Builder::new().name("input".to_owned()).spawn(move || read(own_end))?;
        Ok(Input { requests, bell })
    }

    /// Takes the next line.
    pub fn take(&self) -> Read {
        match self.requests.try_recv() {
            Ok(request) => Read::Request(request),
            Err(TryRecvError::Empty) => Read::Nothing,
            Err(TryRecvError::Disconnected) => Read::End,
        }
    }

    /// Whether the loop may sleep as far as input goes; new lines wake it then.
    pub fn may_sleep(&self) -> bool {
        self.bell.arm();
        self.requests.is_empty()
    }
}

impl Requests {
    /// Counts a line; what it asks for, if it asks for anything.
    pub fn request(&mut self, line: Line<'_>) -> Option<Request> {
        self.lines += 1;
        input::parse(line).map(|command| Request { re: Some(self.lines), command })
    }

    /// Passes a request on, and waits while too many are ahead. False if no more are wanted.
    pub fn send(&self, request: Request) -> bool {
        let sent = self.sender.send(request).is_ok();
        self.bell.ring();
        sent
    }
}

impl Drop for Requests {
    /// The loop learns of the end when nobody can send any more.
    fn drop(&mut self) {
        let (nobody, _) = bounded(0);
        drop(std::mem::replace(&mut self.sender, nobody));
        self.bell.ring();
    }
}

fn read(input: impl BufRead, mut requests: Requests) {
    let mut lines = LineReader::new(input);
    loop {
        let request = match lines.next_line() {
            Ok(Some(line)) => requests.request(line),
            Ok(None) => return,
            Err(error) => {
                log::error!("input ends: {error}");
                return;
            }
        };
        if request.is_some_and(|request| !requests.send(request)) {
            return;
        }
    }
}

/// The showing thread's other end.
#[derive(Debug)]
pub struct Output {
    events: Sender<(u64, Event)>,
    bell: Arc<Bell>,
    /// What made the thread end, if it was an error; disconnected when it has ended.
    failure: Receiver<io::Error>,
}

impl Output {
    /// Starts to show events. Fails if the system has no thread to give.
    pub fn spawn(waker: Waker, front_end: impl FrontEnd + Send + 'static) -> io::Result<Output> {
        let bell = Bell::new(waker);
        let (events, receiver) = bounded(EVENTS);
        let (failed, failure) = bounded(1);
        let ring = bell.clone();
        thread::Builder::new().name("output".to_owned()).spawn(move || {
            if let Err(error) = show(front_end, &receiver, &ring) {
                _ = failed.send(error);
                ring.ring_anyway();
            }
        })?;
        Ok(Output { events, bell, failure })
    }

    /// Whether an event would be taken at once. If not, the loop is woken when one will be.
    pub fn has_room(&self) -> bool {
        if !self.events.is_full() || self.has_failed() {
            return true;
        }
        self.bell.arm();
        !self.events.is_full()
    }

    /// Shows an event that happened at `at` (microseconds since 1970). One that nobody can see any more is dropped.
    pub fn show(&self, at: u64, event: Event) {
        if self.events.send((at, event)).is_err() {
            log::debug!("an event is not shown: the output has ended");
        }
    }

    /// Whether nothing can be shown any more.
    pub fn has_failed(&self) -> bool {
        !self.failure.is_empty()
    }

    /// Waits until all is shown, but no longer than `within`: whoever should read it may have stalled. The error, if
    /// there was one.
    pub fn close(self, within: Duration) -> Option<io::Error> {
        drop(self.events);
        self.failure.recv_timeout(within).ok()
    }
}

/// Shows events until there will be none, and flushes whenever no more wait.
fn show(mut front_end: impl FrontEnd, events: &Receiver<(u64, Event)>, bell: &Bell) -> io::Result<()> {
    while let Ok((at, event)) = events.recv() {
        front_end.show(at, &event)?;
        while let Ok((at, event)) = events.try_recv() {
            front_end.show(at, &event)?;
            if events.len() <= EVENTS / 2 {
                bell.ring();
            }
        }
        front_end.flush()?;
        bell.ring();
    }
    Ok(())
}
