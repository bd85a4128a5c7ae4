//! Leaving ends within a bounded time, whatever the others do.

use std::time::Duration;

use super::{Check, Verdict};
use crate::sim::history::{Record, Roster, Stay, What};

/// The most that leaving may take. (A process that is stopped meanwhile leaves later; no plan stops one this long.)
const LEAVE_WITHIN: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, Default)]
pub(super) struct Leaves;

impl Check for Leaves {
    fn promise(&self) -> &'static str {
        "leaving ends"
    }

    fn observe(&mut self, record: &Record, before: &Roster) -> Verdict {
        if let What::Left { member, .. } = &record.what
            && let Some(Stay::Leaving(since, _)) = before.seat(*member).map(|seat| &seat.stay)
            && record.at.since(*since) > LEAVE_WITHIN
        {
            return Err(format!("{member} needed {:?} to leave", record.at.since(*since)));
        }
        Ok(())
    }

    fn finish(&mut self, roster: &Roster) -> Verdict {
        match roster.seats().find(|(_, seat)| matches!(seat.stay, Stay::Leaving(..))) {
            Some((member, _)) => Err(format!("{member} wished to leave and is still there")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::checks::story::Story;

    const PROMISE: &str = "leaving ends";

    #[test]
    fn leaving_in_time_is_fine() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.leave(1);
        story.left(1);
        story.end();
        story.holds();
    }

    #[test]
    fn leaving_for_ever_is_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.leave(1);
        story.end();
        story.breaks(PROMISE);
    }

    #[test]
    fn leaving_too_slowly_is_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.leave(1);
        story.wait(LEAVE_WITHIN + Duration::from_secs(1));
        story.left(1);
        story.breaks(PROMISE);
    }
}
