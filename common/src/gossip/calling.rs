//! When to call into the local network: at once, then ever more rarely while nothing changes, never more than once a
//! second.

use std::time::Duration;

use crate::base::time::Instant;

/// The least time between two calls.
const EVERY_LEAST: Duration = Duration::from_secs(1);
/// The most.
const EVERY_MOST: Duration = Duration::from_secs(10);

/// The next call, if this node calls at all.
#[derive(Clone, Debug, Default)]
pub(super) struct Calling(Option<Next>);

#[derive(Clone, Copy, Debug)]
struct Next {
    at: Instant,
    called_at: Option<Instant>,
    wait: Duration,
}

impl Calling {
    pub(super) fn start(&mut self, now: Instant) {
        self.0.get_or_insert(Next { at: now, called_at: None, wait: EVERY_LEAST });
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Something has changed.
    pub(super) fn soon(&mut self, now: Instant) {
        if let Some(next) = &mut self.0 {
            let earliest = next.called_at.map_or(now, |at| now.max(at + EVERY_LEAST));
            (next.at, next.wait) = (next.at.min(earliest), EVERY_LEAST);
        }
    }

    /// A call is made now, if it is time.
    pub(super) fn poll(&mut self, now: Instant) -> Option<()> {
        let next = self.0.as_mut().filter(|next| next.at <= now)?;
        *next = Next { at: now + next.wait, called_at: Some(now), wait: (next.wait * 2).min(EVERY_MOST) };
        Some(())
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.0.map(|next| next.at)
    }
}
