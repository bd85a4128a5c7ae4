//! Finds the machine that keeps asking for a time that has passed.

use std::time::Duration;

use super::limits::OVERDUE_SLEEP;
use crate::base::time::Instant;
use crate::machine::Wakeup;

/// Turns in a row that began with a wakeup that was due in the turn before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Overdue {
    turns: u32,
}

impl Overdue {
    /// How long to sleep at least before this wakeup, if the machines were last told that it is `told`.
    pub(super) fn check(&mut self, wakeup: Option<Wakeup>, told: Instant) -> Duration {
        let Some(wakeup) = wakeup.filter(|wakeup| wakeup.at <= told) else {
            self.turns = 0;
            return Duration::ZERO;
        };
        self.turns = self.turns.saturating_add(1);
        // Once is honest: something was asked for after the machine had been told the time.
        if self.turns == 1 {
            return Duration::ZERO;
        }
        if self.turns.is_power_of_two() {
            log::debug!("`{}` at {} is overdue for {} turns", wakeup.reason, wakeup.at, self.turns);
        }
        OVERDUE_SLEEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wakeup_that_stays_due_costs_a_sleep() {
        let at = |micros| Some(Wakeup { at: Instant::from_micros(micros), reason: "test" });
        let mut overdue = Overdue::default();
        assert_eq!(overdue.check(None, Instant::from_micros(5)), Duration::ZERO);
        assert_eq!(overdue.check(at(6), Instant::from_micros(5)), Duration::ZERO);
        assert_eq!(overdue.check(at(6), Instant::from_micros(6)), Duration::ZERO);
        assert_eq!(overdue.check(at(6), Instant::from_micros(7)), OVERDUE_SLEEP);
        assert_eq!(overdue.turns, 2);
        assert_eq!(overdue.check(at(9), Instant::from_micros(7)), Duration::ZERO);
        assert_eq!(overdue.turns, 0);
    }
}
