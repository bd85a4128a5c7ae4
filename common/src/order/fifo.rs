//! Each sender's messages in the order of sending: as the multicast hands them over.

use std::collections::VecDeque;

use super::{Clock, Ordered};
use crate::multicast::Arrived;

/// Nothing is ever held back.
#[derive(Clone, Debug, Default)]
pub(super) struct Fifo {
    ready: VecDeque<Arrived>,
    refused: u64,
}

impl Fifo {
    pub(super) fn accept(&mut self, arrived: Arrived) {
        self.refused += arrived.head.deps.len() as u64;
        self.ready.push_back(arrived);
    }

    pub(super) fn poll_deliver(&mut self) -> Option<Ordered> {
        let Arrived { sender, index, head, payload } = self.ready.pop_front()?;
        let (count, sent_at) = (head.count, head.sent_at);
        Some(Ordered {
            sender,
            index,
            count,
            payload,
            clock: Clock::new(),
            position: None,
            uniform: None,
            placed: None,
            sent_at,
        })
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }
}
