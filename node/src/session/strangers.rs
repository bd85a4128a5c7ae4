//! Bytes that are none of ours: dropped, which a person is told now and then, since it may be a friend's older program.

use std::net::SocketAddr;
use std::time::Duration;

use decury_common::base::time::Instant;

use super::{Notice, Session};

/// Told at most so often.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Until when nothing more is told of strangers.
#[derive(Clone, Debug, Default)]
pub(super) struct Strangers(Option<Instant>);

impl Session {
    /// A datagram has been taken in.
    pub(super) fn hear_of_strangers(&mut self, now: Instant) {
        if let Some(address) = self.endpoint.take_unreadable() {
            self.tell_of_stranger(now, address);
        }
    }

    /// What came from there cannot be read.
    pub(super) fn tell_of_stranger(&mut self, now: Instant, address: SocketAddr) {
        if self.strangers.0.is_none_or(|until| until <= now) {
            self.strangers.0 = Some(now + TOLD_EVERY);
            self.notice(None, Notice::Stranger { address });
        }
    }
}
