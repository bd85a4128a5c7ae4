//! One member's output, read as it comes: what it says of its group, and every message checked.

use std::io::{BufRead as _, BufReader, Read};
use std::process::ChildStdin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Instant;

use super::checks::{Heard, Message};
use super::event::Line;
use super::options::Run;
use super::workload::{Stamps, read_text};

/// Read from a pipe at once.
const BUFFER: usize = 64 * 1024;

/// What the threads of a run tell the one that conducts it.
#[derive(Debug)]
pub(crate) enum News {
    /// A member sees all members.
    Together,
    /// A sender has sent so many messages, and gives its pipe back.
    Sent(usize, u64, ChildStdin),
    /// The run has failed.
    Wrong(String),
    /// A member's output has ended.
    Ended(Box<Said>),
}

/// All that a member has said, once it has ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) me: usize,
    pub(crate) heard: Heard,
    pub(crate) bye: Option<Bye>,
}

/// A node's own figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bye {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) datagrams: u64,
    pub(crate) retransmitted: u64,
}

/// What all threads of a run see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) stamps: Stamps,
    /// By member.
    pub(crate) delivered: Vec<AtomicU64>,
    /// From now on members leave.
    pub(crate) over: AtomicBool,
}

/// Reads a member's output.
#[derive(Debug)]
pub(crate) struct Listener<'a> {
    run: &'a Run,
    shared: &'a Shared,
    news: Sender<News>,
    together: bool,
    said: Said,
}

impl<'a> Listener<'a> {
    pub(crate) fn new(
        me: usize,
        run: &'a Run,
        shared: &'a Shared,
        news: Sender<News>,
    ) -> Result<Listener<'a>, String> {
        let said = Said { me, heard: Heard::new(me, run)?, bye: None };
        Ok(Listener { run, shared, news, together: false, said })
    }

    /// Reads until the end, or until something is wrong.
    pub(crate) fn listen(mut self, output: impl Read) {
        let mut output = BufReader::with_capacity(BUFFER, output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let at = Instant::now();
            if let Err(why) = self.handle_line(at, &line) {
                let wrong = format!("m{}: {why}", self.said.me);
                _ = self.news.send(News::Wrong(wrong));
                return;
            }
            line.clear();
        }
        _ = self.news.send(News::Ended(Box::new(self.said)));
    }

    fn handle_line(&mut self, at: Instant, line: &[u8]) -> Result<(), String> {
        let parsed = serde_json::from_slice::<Line<'_>>(line);
        let line = parsed.map_err(|error| format!("{error}: {}", String::from_utf8_lossy(line)))?;
        match &*line.event {
            "message" => self.handle_message(at, &line),
            "joined" | "view" => self.handle_view(line.members.len()),
            "error" => Err(line.text.into_owned()),
            "bye" => {
                let Line { sent, received, datagrams, retransmitted, .. } = line;
                self.said.bye = Some(Bye { sent, received, datagrams, retransmitted });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn handle_message(&mut self, at: Instant, line: &Line<'_>) -> Result<(), String> {
        let Some(from) = line.from.filter(|from| from.0 < self.run.members && !line.caught_up) else {
            return Err(format!("a message that nobody has sent in this run: {line:?}"));
        };
        let number = read_text(line.text.as_bytes(), self.run.size);
        let (seq, clock, position) = (line.seq, line.clock.0, line.position);
        let message = Message { from: from.0, seq, number, clock, position };
        self.said.heard.hear(at, &message, &self.shared.stamps)?;
        self.shared.delivered[self.said.me].store(self.said.heard.count(), Ordering::Release);
        Ok(())
    }

    fn handle_view(&mut self, members: usize) -> Result<(), String> {
        if self.together && !self.shared.over.load(Ordering::Acquire) {
            return Err(format!("the group has changed while it was measured: {members} members"));
        }
        if members == self.run.members {
            self.together = true;
            _ = self.news.send(News::Together);
        }
        Ok(())
    }
}
