//! Latency: how long a message was on its way, as its receiver measures it, is right within the error that it gives,
//! whatever the network does. (Clocks that run at different rates may make it wrong by as much as they part while an
//! estimate of their offset is used; here they part far more than real ones do, and than the error allows for.)

use std::collections::BTreeMap;
use std::time::Duration;

use decury_common::base::id::MessageId;
use decury_common::base::time::Instant;
use decury_common::endpoint::Latency;

use super::{Check, Verdict};
use crate::sim::history::{Record, Roster, What};
use crate::sim::host::{Clock, HostId};

/// How old an estimate of an offset may get.
const ESTIMATE_KEPT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Default)]
pub(super) struct Latencies {
    clocks: BTreeMap<HostId, Clock>,
    /// When a message was sent, and where.
    sent: BTreeMap<MessageId, (Instant, HostId)>,
}

impl Latencies {
    fn measured(&self, at: Instant, host: HostId, id: MessageId, measured: Latency) -> Verdict {
        let Some(&(sent, from)) = self.sent.get(&id) else {
            return Err(format!("{host} measured {id}, which nobody sent"));
        };
        let took = at.since(sent);
        let parts = |host| self.clocks.get(host).map_or(0, |clock: &Clock| clock.ppm.unsigned_abs());
        let drift = (took + ESTIMATE_KEPT) * (parts(&host) + parts(&from)) / 1_000_000;
        let Latency { time, clock_error } = measured;
        let error = clock_error + drift;
        if time.abs_diff(took) > error {
            return Err(format!(
                "{host} measured {time:?} of {id}, give or take {error:?}; it took {took:?}"
            ));
        }
        if from == host && !clock_error.is_zero() {
            return Err(format!("{host} measured its own {id} by two clocks"));
        }
        Ok(())
    }
}

impl Check for Latencies {
    fn promise(&self) -> &'static str {
        "latency"
    }

    fn observe(&mut self, record: &Record, _before: &Roster) -> Verdict {
        match &record.what {
            What::Clock(clock) => _ = self.clocks.insert(record.host, *clock),
            What::Sent { id, .. } | What::Said { id, .. } => {
                self.sent.insert(*id, (record.at, record.host));
            }
            What::Measured { id, latency } => return self.measured(record.at, record.host, *id, *latency),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::checks::story::Story;

    /// n1 delivers what n0 said 40 ms before, and measures this.
    fn story(ppm: i32, time_ms: u64, error_ms: u64) -> Story {
        let mut story = Story::with_view(1, &[0, 1]);
        story.tell(0, What::Clock(Clock { ppm }));
        story.send(0, 1);
        story.wait(Duration::from_millis(39));
        story.measure(1, 0, 1, (time_ms, error_ms));
        story
    }

    #[test]
    fn a_measurement_is_right_within_its_error_and_what_the_clocks_part() {
        for (ppm, time, error) in [(0, 40, 0), (0, 37, 3), (0, 43, 3), (100, 44, 3), (-100, 41, 0)] {
            story(ppm, time, error).holds();
        }
    }

    #[test]
    fn a_measurement_beyond_its_error_is_seen() {
        for (ppm, time, error) in [(0, 41, 0), (0, 36, 3), (0, 44, 3), (100, 45, 3), (0, 3_600_000, 1_000)] {
            story(ppm, time, error).breaks("latency");
        }
    }

    #[test]
    fn a_measurement_of_nothing_and_an_error_of_the_own_clock_are_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.measure(1, 0, 1, (1, 1));
        story.breaks("latency");
        let mut story = Story::with_view(1, &[0, 1]);
        story.send(0, 1);
        story.measure(0, 0, 1, (1, 1));
        story.breaks("latency");
    }
}
