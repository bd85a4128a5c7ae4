//! The application's messages before they enter the window.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::SendError;
use crate::base::limits::{QUEUE_BYTES, QUEUE_MESSAGES};
use crate::base::time::Instant;

/// Between two messages that say when they were sent lies so much time at least: paced ones all say it, those of a
/// burst hardly pay for it.
const STAMP_EVERY: Duration = Duration::from_millis(1);

/// A message on its way into the window.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    /// Its number.
    pub(super) count: u64,
    /// When the application handed it over, if it is to say so.
    pub(super) sent_at: Option<Instant>,
    pub(super) payload: Bytes,
}

/// Messages with their numbers, in the order of sending.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    messages: VecDeque<Queued>,
    bytes: usize,
    /// The application was refused, and has not been told that there is room again.
    was_full: bool,
    /// When the last one came that says so.
    stamped: Option<Instant>,
}

impl Outbox {
    /// Takes a message of 1 to `longest` bytes.
    pub(super) fn push(
        &mut self,
        now: Instant,
        count: u64,
        payload: Bytes,
        longest: usize,
    ) -> Result<(), SendError> {
        if payload.is_empty() || payload.len() > longest {
            return Err(SendError::Size);
        }
        if self.messages.len() >= QUEUE_MESSAGES || self.bytes + payload.len() > QUEUE_BYTES {
            self.was_full = true;
            return Err(SendError::Busy);
        }
        self.bytes += payload.len();
        let is_due = self.stamped.is_none_or(|last| now.since(last) >= STAMP_EVERY);
        let sent_at = is_due.then_some(now);
        self.stamped = sent_at.or(self.stamped);
        self.messages.push_back(Queued { count, sent_at, payload });
        Ok(())
    }

    /// The next message, if one of its length fits.
    pub(super) fn pop_if(&mut self, fits: impl FnOnce(usize) -> bool) -> Option<Queued> {
        if !fits(self.messages.front()?.payload.len()) {
            return None;
        }
        let queued = self.messages.pop_front()?;
        self.bytes -= queued.payload.len();
        Some(queued)
    }

    /// True once after the application was refused, as soon as half of the room is free.
    pub(super) fn is_writable_again(&mut self) -> bool {
        let room = self.messages.len() < QUEUE_MESSAGES / 2 && self.bytes <= QUEUE_BYTES / 2;
        room && std::mem::take(&mut self.was_full)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The numbers of all that waits, which is dropped.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = u64> + use<> {
        self.bytes = 0;
        std::mem::take(&mut self.messages).into_iter().map(|queued| queued.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paced_messages_all_say_when_they_were_sent_and_of_a_burst_one_a_millisecond_does() {
        let mut outbox = Outbox::default();
        let mut stamped = |micros: u64| {
            outbox.push(Instant::from_micros(micros), 1, Bytes::from_static(b"x"), 1).unwrap();
            outbox.pop_if(|_| true).unwrap().sent_at.map(Instant::as_micros)
        };
        for paced in [0, 1_000, 2_500, 4_000] {
            assert_eq!(stamped(paced), Some(paced));
        }
        let burst: Vec<u64> = (5_000..8_000).step_by(10).filter_map(stamped).collect();
        assert_eq!(burst, [5_000, 6_000, 7_000]);
    }
}
