//! What a bad network does to one datagram: delay, loss, duplicates, a cut.
//!
//! The simulator's network and a node's lab (`--fault`) use exactly these. A [`Fault`] is one thing that is wrong with a
//! link; a [`Fate`] is what becomes of one datagram. Several faults are applied one after the other to the same fate: each
//! draws on its own, delays add, and what is lost stays lost.
//!
//! ```
//! use std::time::Duration;
//!
//! use decury_common::base::rng::Rng;
//! use decury_common::fault::{Fate, Fault, Ratio};
//!
//! let link = [
//!     Fault::Delay(Duration::from_millis(10), Duration::from_millis(12)),
//!     Fault::Duplicate(Ratio(1, 1), Duration::from_millis(3)),
//! ];
//! let (mut rng, mut fate) = (Rng::from_seed(1), Fate::default());
//! for fault in &link {
//!     fault.apply(100, &mut rng, &mut fate);
//! }
//! let arrivals: Vec<Duration> = fate.arrivals().collect();
//! assert_eq!(arrivals.len(), 2);
//! assert!(arrivals.iter().all(|after| after.as_millis() >= 10));
//! ```

use std::time::Duration;

use crate::base::rng::Rng;

/// `0` of `1` cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(pub u32, pub u32);

impl Ratio {
    /// Draws once: true in so many cases.
    pub fn hits(self, rng: &mut Rng) -> bool {
        rng.chance(u64::from(self.0), u64::from(self.1))
    }
}

/// What is wrong with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing passes.
    Cut,
    /// So many are lost.
    Loss(Ratio),
    /// So many come twice, the copy up to so much later. Faults applied after this one do not delay the copy.
    Duplicate(Ratio, Duration),
    /// So many come once more, very late: after half of this time at least, after all of it at most.
    Late(Ratio, Duration),
    /// Each takes longer, from the first to the second.
    Delay(Duration, Duration),
    /// So many are overtaken by those sent up to so much later.
    Reorder(Ratio, Duration),
    /// Those of more than so many bytes are lost.
    Mtu(usize),
}

/// What becomes of a datagram: at first, that it arrives once and at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// Why it is lost, if it is.
    pub lost: Option<&'static str>,
    /// How long it travels.
    pub delay: Duration,
    /// How long further copies of it travel.
    pub copies: Vec<Duration>,
}

impl Fault {
    /// Changes the fate of a datagram of `len` bytes; whether it did.
    pub fn apply(&self, len: usize, rng: &mut Rng, fate: &mut Fate) -> bool {
        match *self {
            Fault::Cut => fate.lost = Some("cut"),
            Fault::Loss(ratio) if ratio.hits(rng) => fate.lost = Some("loss"),
            Fault::Duplicate(ratio, within) if ratio.hits(rng) => {
                fate.copies.push(fate.delay + rng.between(Duration::ZERO, within));
            }
            Fault::Late(ratio, by) if ratio.hits(rng) => fate.copies.push(rng.between(by / 2, by)),
            Fault::Delay(least, most) => fate.delay += rng.between(least, most),
            Fault::Reorder(ratio, by) if ratio.hits(rng) => fate.delay += rng.between(Duration::ZERO, by),
            Fault::Mtu(most) if len > most => fate.lost = Some("too long"),
            _ => return false,
        }
        true
    }
}

impl Fate {
    /// After how long each copy arrives, the first copy first; none if it is lost.
    pub fn arrivals(&self) -> impl Iterator<Item = Duration> + '_ {
        let all = std::iter::once(self.delay).chain(self.copies.iter().copied());
        all.filter(|_| self.lost.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The fates of many datagrams of 100 bytes on a link with these faults.
    fn fates(faults: &[Fault]) -> Vec<Fate> {
        let mut rng = Rng::from_seed(1);
        let fate = |_| {
            let mut fate = Fate::default();
            for fault in faults {
                fault.apply(100, &mut rng, &mut fate);
            }
            fate
        };
        (0..10_000).map(fate).collect()
    }

    fn count(fates: &[Fate], is_it: impl Fn(&Fate) -> bool) -> usize {
        fates.iter().filter(|fate| is_it(fate)).count()
    }

    #[test]
    fn loss_comes_as_often_as_asked_and_each_is_drawn_on_its_own() {
        let lost = |faults: &[Fault]| count(&fates(faults), |fate| fate.arrivals().next().is_none());
        assert_eq!(lost(&[]), 0);
        assert_eq!(lost(&[Fault::Cut]), 10_000);
        assert_eq!(lost(&[Fault::Loss(Ratio(1, 1))]), 10_000);
        assert!((1_800..2_200).contains(&lost(&[Fault::Loss(Ratio(1, 5))])));
        let twice = lost(&[Fault::Loss(Ratio(1, 5)), Fault::Loss(Ratio(1, 5))]);
        assert!((3_400..3_800).contains(&twice), "{twice}");
        assert_eq!((lost(&[Fault::Mtu(99)]), lost(&[Fault::Mtu(100)])), (10_000, 0));
    }

    #[test]
    fn delays_add_and_stay_within_their_bounds() {
        let fates = fates(&[Fault::Delay(10 * MS, 20 * MS), Fault::Delay(5 * MS, 5 * MS)]);
        let delays = || fates.iter().map(|fate| fate.delay);
        assert!(delays().all(|delay| (15 * MS..25 * MS).contains(&delay)));
        assert!(delays().min() < Some(16 * MS) && delays().max() > Some(24 * MS));
        assert!(fates.iter().all(|fate| fate.copies.is_empty()));
    }

    #[test]
    fn a_copy_comes_after_the_first_and_within_its_time() {
        let faults = [Fault::Delay(10 * MS, 20 * MS), Fault::Duplicate(Ratio(1, 2), 5 * MS)];
        let fates = fates(&faults);
        let doubled: Vec<&Fate> = fates.iter().filter(|fate| !fate.copies.is_empty()).collect();
        assert!((4_700..5_300).contains(&doubled.len()), "{}", doubled.len());
        for fate in doubled {
            let arrivals: Vec<Duration> = fate.arrivals().collect();
            assert!(arrivals.len() == 2 && (fate.delay..fate.delay + 5 * MS).contains(&arrivals[1]));
        }
    }

    #[test]
    fn some_are_overtaken_and_some_come_again_long_after() {
        let overtaken = fates(&[Fault::Reorder(Ratio(1, 4), 8 * MS)]);
        let late = count(&overtaken, |fate| !fate.delay.is_zero());
        assert!((2_200..2_800).contains(&late), "{late}");
        let again = fates(&[Fault::Late(Ratio(1, 1), 1_000 * MS)]);
        let in_time = |fate: &Fate| fate.copies.len() == 1 && fate.copies[0] >= 500 * MS;
        assert_eq!(count(&again, in_time), 10_000);
    }

    #[test]
    fn the_same_seed_draws_the_same_fates() {
        let faults = [Fault::Loss(Ratio(1, 3)), Fault::Delay(MS, 9 * MS), Fault::Duplicate(Ratio(1, 3), MS)];
        assert_eq!(fates(&faults), fates(&faults));
    }
}
