//! The application's messages before they enter the window.

use std::collections::VecDeque;

use bytes::Bytes;

use super::SendError;
use crate::base::limits::{QUEUE_BYTES, QUEUE_MESSAGES};

/// Messages with their numbers, in the order of sending.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    messages: VecDeque<(u64, Bytes)>,
    bytes: usize,
    /// The application was refused, and has not been told that there is room again.
    was_full: bool,
}

impl Outbox {
    /// Takes a message of 1 to `longest` bytes.
    pub(super) fn push(&mut self, count: u64, payload: Bytes, longest: usize) -> Result<(), SendError> {
        if payload.is_empty() || payload.len() > longest {
            return Err(SendError::Size);
        }
        if self.messages.len() >= QUEUE_MESSAGES || self.bytes + payload.len() > QUEUE_BYTES {
            self.was_full = true;
            return Err(SendError::Busy);
        }
        self.bytes += payload.len();
        self.messages.push_back((count, payload));
        Ok(())
    }

    /// The next message, if one of its length fits.
    pub(super) fn pop_if(&mut self, fits: impl FnOnce(usize) -> bool) -> Option<(u64, Bytes)> {
        let (_, payload) = self.messages.front()?;
        if !fits(payload.len()) {
            return None;
        }
        let (count, payload) = self.messages.pop_front()?;
        self.bytes -= payload.len();
        Some((count, payload))
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
        std::mem::take(&mut self.messages).into_iter().map(|(count, _)| count)
    }
}
