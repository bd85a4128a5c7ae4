//! How long to wait for a peer: round trips measured by the mesh and by acknowledgements.

use std::time::Duration;

use crate::mesh::Rtt;

/// Acknowledgements wait this long for something to ride on, to whom the data came from.
pub(super) const ACK_DELAY: Duration = Duration::from_millis(2);
/// Likewise to the other members, who learn from them what is stable and who could repair.
pub(super) const NEWS_DELAY: Duration = Duration::from_millis(10);

/// Before anything is measured.
const UNMEASURED: Rtt = Rtt { smoothed: Duration::from_millis(50), variation: Duration::from_millis(25) };
/// The least margin between the smoothed round trip and a time-out.
const MARGIN: Duration = Duration::from_millis(10);
/// The least allowance for reordering.
const REORDERING_MIN: Duration = Duration::from_millis(1);
/// Backing off ends here, unless one round trip alone takes longer.
const TIMEOUT_MAX: Duration = Duration::from_secs(1);

/// The estimates of one peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Timing {
    mesh: Option<Rtt>,
    acks: Option<Rtt>,
}

impl Timing {
    pub(super) fn set(&mut self, rtt: Rtt) {
        self.mesh = Some(rtt);
    }

    /// An acknowledgement took this long. It knows of the queues under load, which heartbeats do not.
    pub(super) fn sample(&mut self, took: Duration) {
        self.acks = Some(Rtt::update(self.acks, took));
    }

    /// The smoothed time until an acknowledgement.
    pub(super) fn smoothed(&self) -> Duration {
        self.acks.or(self.mesh).unwrap_or(UNMEASURED).smoothed
    }

    /// A fragment is lost if a later one is acknowledged, and this long has passed since it was sent.
    pub(super) fn patience(&self) -> Duration {
        let smoothed = self.smoothed();
        smoothed + (smoothed / 4).max(REORDERING_MIN)
    }

    /// Without any acknowledgement, a fragment is taken for lost after this long (RFC 6298, with a lower floor).
    pub(super) fn timeout(&self) -> Duration {
        let timeout = |rtt: Rtt| rtt.smoothed + (rtt.variation * 4).max(MARGIN) + ACK_DELAY;
        let mesh = self.mesh.map(timeout);
        let acks = self.acks.map(timeout);
        mesh.max(acks).unwrap_or(timeout(UNMEASURED))
    }

    /// The same after `times` time-outs in a row.
    pub(super) fn backed_off(&self, times: u32) -> Duration {
        let timeout = self.timeout();
        (timeout * (1 << times.min(10))).min(TIMEOUT_MAX.max(timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_exceeds_the_round_trip_and_backs_off_to_a_second() {
        let ms = Duration::from_millis;
        let mut timing = Timing::default();
        for _ in 0..50 {
            timing.sample(ms(100));
        }
        assert!(timing.timeout() >= ms(110) && timing.timeout() < ms(120));
        assert!(timing.patience() >= ms(125));
        assert_eq!(timing.backed_off(9), TIMEOUT_MAX);
        timing.set(Rtt { smoothed: ms(3000), variation: ms(10) });
        assert!(timing.backed_off(9) > ms(3000));
    }
}
