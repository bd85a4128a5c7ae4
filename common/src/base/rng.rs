//! Seeded randomness: the same seed gives the same sequence on every machine.

use std::time::Duration;

use rand_core::Rng as _;
use rand_core::SeedableRng;
use rand_pcg::Pcg64Mcg;

/// A deterministic generator; not for secrets.
#[derive(Clone, Debug)]
pub struct Rng(Pcg64Mcg);

impl Rng {
    /// The generator that `seed` determines.
    pub fn from_seed(seed: u64) -> Rng {
        Rng(Pcg64Mcg::seed_from_u64(seed))
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 to `bound - 1`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.bits()) * u128::from(bound);
        (product >> 64) as u64
    }

    /// True in `numerator` of `denominator` cases.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// A duration from `low` up to, not including, `high` (microsecond steps); `low` if the range is empty.
    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = u64::try_from(high.saturating_sub(low).as_micros()).unwrap_or(u64::MAX);
        low + Duration::from_micros(self.below(span))
    }

    /// A generator whose sequence is independent of what this one yields later.
    pub fn fork(&mut self) -> Rng {
        Rng::from_seed(self.bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence_within_its_bounds() {
        let (mut a, mut b) = (Rng::from_seed(7), Rng::from_seed(7));
        for _ in 0..1000 {
            let x = a.below(10);
            assert_eq!(x, b.below(10));
            assert!(x < 10);
        }
        assert_eq!(a.below(0), 0);
        assert_eq!(a.between(Duration::from_secs(2), Duration::from_secs(1)), Duration::from_secs(2));
    }
}
