//! Round-trip times, as RFC 6298 estimates them.

use std::time::Duration;

/// The smoothed round-trip time of one peer and its variation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtt {
    /// Smoothed.
    pub smoothed: Duration,
    /// How much the samples vary around it.
    pub variation: Duration,
}

impl Rtt {
    /// Takes a sample in: the first sets, later ones smooth (RFC 6298, section 2).
    pub fn update(estimate: Option<Rtt>, sample: Duration) -> Rtt {
        match estimate {
            None => Rtt { smoothed: sample, variation: sample / 2 },
            Some(old) => {
                let error = old.smoothed.abs_diff(sample);
                Rtt { smoothed: (old.smoothed * 7 + sample) / 8, variation: (old.variation * 3 + error) / 4 }
            }
        }
    }

    /// After this long without an answer, something is probably lost: `smoothed + 4 * variation`.
    pub fn timeout(&self) -> Duration {
        self.smoothed + self.variation * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rtt_converges_and_a_jump_widens_the_timeout() {
        let ms = Duration::from_millis;
        let mut rtt = Rtt::update(None, ms(10));
        assert_eq!(rtt.timeout(), ms(30));
        for _ in 0..50 {
            rtt = Rtt::update(Some(rtt), ms(10));
        }
        assert!(rtt.timeout() < ms(11));
        assert!(Rtt::update(Some(rtt), ms(50)).timeout() > ms(50));
    }
}
