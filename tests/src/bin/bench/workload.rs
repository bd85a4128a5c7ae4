//! What is sent: numbered messages, in a burst or at a pace; and when, for whoever measures how long they take.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::options::{Mode, Run};

/// Bytes written to a pipe at once in a burst. The clock is read as often.
const CHUNK: usize = 16 * 1024;

/// Appends the text of a sender's message: its number, a space, and as many bytes as are missing.
pub(crate) fn push_text(out: &mut Vec<u8>, number: u64, size: usize) {
    let end = out.len() + size;
    out.extend_from_slice(number.to_string().as_bytes());
    out.push(b' ');
    out.resize(end, b'x');
}

/// The number of a message, if its text is as it was sent.
pub(crate) fn read_text(text: &[u8], size: usize) -> Option<u64> {
    let space = text.iter().position(|&byte| byte == b' ')?;
    let number = std::str::from_utf8(&text[..space]).ok()?.parse().ok()?;
    (text.len() == size && text[space + 1..].iter().all(|&byte| byte == b'x')).then_some(number)
}

/// When each message of a paced run was sent.
#[derive(Debug)]
pub(crate) struct Stamps {
    origin: Instant,
    /// Nanoseconds since the origin, by sender and number.
    of: Vec<Vec<AtomicU64>>,
}

impl Stamps {
    /// None yet; in a burst there will be none.
    pub(crate) fn new(run: &Run) -> Stamps {
        let count = match run.mode {
            Mode::Burst => 0,
            Mode::Paced => run.pace * run.seconds,
        };
        let of_one = |_| (0..count).map(|_| AtomicU64::new(0)).collect();
        Stamps { origin: Instant::now(), of: (0..run.senders()).map(of_one).collect() }
    }

    /// How long a sender's message had been on its way at that time.
    pub(crate) fn latency(&self, sender: usize, number: u64, at: Instant) -> Option<Duration> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        let sent = self.of.get(sender)?.get(index)?.load(Ordering::Acquire);
        Some(at.saturating_duration_since(self.origin + Duration::from_nanos(sent)))
    }

    /// A sender's message leaves now. In a burst nobody asks when.
    pub(crate) fn stamp(&self, sender: usize, number: u64) {
        let index = usize::try_from(number - 1).ok();
        if let Some(stamp) = index.and_then(|index| self.of.get(sender)?.get(index)) {
            stamp.store(self.origin.elapsed().as_nanos() as u64, Ordering::Release);
        }
    }
}

/// Sends as a member, one message a line, from `start` on; how many.
pub(crate) fn send(
    run: &Run,
    start: Instant,
    stamps: &Stamps,
    sender: usize,
    out: &mut impl Write,
) -> io::Result<u64> {
    match run.mode {
        Mode::Burst => burst(run, start + run.duration(), out),
        Mode::Paced => paced(run, start, stamps, sender, out),
    }
}

fn burst(run: &Run, until: Instant, out: &mut impl Write) -> io::Result<u64> {
    let (mut sent, mut chunk) = (0, Vec::new());
    while Instant::now() < until {
        chunk.clear();
        while chunk.len() < CHUNK {
            sent += 1;
            push_text(&mut chunk, sent, run.size);
            chunk.push(b'\n');
        }
        out.write_all(&chunk)?;
    }
    Ok(sent)
}

/// A message that is late does not make the later ones late.
fn paced(run: &Run, start: Instant, stamps: &Stamps, sender: usize, out: &mut impl Write) -> io::Result<u64> {
    let mut line = Vec::new();
    for number in 1.. {
        let due = due(run, sender, number);
        if due >= run.duration() {
            return Ok(number - 1);
        }
        thread::sleep(due.saturating_sub(start.elapsed()));
        line.clear();
        push_text(&mut line, number, run.size);
        line.push(b'\n');
        stamps.stamp(sender, number);
        out.write_all(&line)?;
    }
    Ok(0)
}

/// When a sender's message is to be sent, from the start of the run. At a pace, the senders' intervals are equal, and
/// evenly shifted against each other.
pub(crate) fn due(run: &Run, sender: usize, number: u64) -> Duration {
    match run.mode {
        Mode::Burst => Duration::ZERO,
        Mode::Paced => {
            let shift = sender as f64 / run.senders() as f64;
            Duration::from_secs_f64(((number - 1) as f64 + shift) / run.pace as f64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_it_was_written_and_not_otherwise() {
        let mut text = Vec::new();
        push_text(&mut text, 1234, 64);
        assert_eq!((text.len(), read_text(&text, 64)), (64, Some(1234)));
        assert_eq!(read_text(&text, 65), None);
        assert_eq!(read_text(&text[..63], 64), None);
        text[40] = b'y';
        assert_eq!(read_text(&text, 64), None);
    }
}
