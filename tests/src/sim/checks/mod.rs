//! The promises of the protocol, one file each. Every record of a run is held against all of them; some have more to
//! say when the run is over and all has converged.

mod agreement;
mod calm;
mod causal;
mod creation;
mod fifo;
mod latency;
mod lines;
mod listing;
mod merges;
mod newcomers;
mod notices;
mod own;
mod private;
mod reach;
mod sequence;
mod stay;
#[cfg(test)]
mod story;
mod uniformity;
mod views;

use std::fmt;
use std::time::Duration;

use decury_common::base::id::GroupName;
use decury_common::base::time::Instant;

use super::history::{Record, Roster};

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When it was seen.
    pub at: Instant,
    /// Which promise.
    pub promise: &'static str,
    /// By what, in one sentence.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

/// What a check answers: nothing, or by what its promise is broken.
type Verdict = Result<(), String>;

/// A promise that can be held against what happens.
trait Check {
    /// The promise's name.
    fn promise(&self) -> &'static str;

    /// Something has happened; `before` is who was where until then.
    fn observe(&mut self, record: &Record, before: &Roster) -> Verdict;

    /// The run is over, all faults are healed, and nothing is under way any more.
    fn finish(&mut self, _roster: &Roster) -> Verdict {
        Ok(())
    }
}

/// All promises.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checks {
    creation: creation::Creation,
    own: own::SelfDelivery,
    agreement: agreement::Agreement,
    fifo: fifo::Fifo,
    causal: causal::Causal,
    views: views::Views,
    stay: stay::Leaves,
    sequence: sequence::Sequence,
    uniformity: uniformity::Uniformity,
    newcomers: newcomers::Newcomers,
    private: private::Private,
    latency: latency::Latencies,
    listing: listing::Listings,
    merges: merges::Merges,
    reach: reach::Reach,
    notices: notices::Notices,
}

impl Checks {
    fn all(&mut self) -> [&mut dyn Check; 16] {
        [
            &mut self.creation,
            &mut self.views,
            &mut self.fifo,
            &mut self.causal,
            &mut self.agreement,
            &mut self.own,
            &mut self.stay,
            &mut self.sequence,
            &mut self.uniformity,
            &mut self.newcomers,
            &mut self.private,
            &mut self.latency,
            &mut self.listing,
            &mut self.merges,
            &mut self.reach,
            &mut self.notices,
        ]
    }

    /// From now on nobody must be suspected who has been in reach for so long.
    pub(crate) fn expect_reach(&mut self, patience: Duration) {
        self.reach.expect(patience);
    }

    pub(crate) fn observe(&mut self, record: &Record, before: &Roster) -> Result<(), Violation> {
        for check in self.all() {
            let promise = check.promise();
            check.observe(record, before).map_err(|what| Violation { at: record.at, promise, what })?;
        }
        Ok(())
    }

    /// Whether nothing is under way any more.
    pub(crate) fn all_delivered(&self, roster: &Roster) -> bool {
        self.own.complete(roster).is_ok() && self.agreement.complete(roster).is_ok()
    }

    /// Whether all who are in a view of this group beside a full one have been told so.
    pub(crate) fn are_told_apart(&self, group: GroupName, roster: &Roster) -> bool {
        self.notices.are_told_apart(group, roster).is_ok()
    }

    /// Whether every private message has been confirmed, or given up.
    pub(crate) fn all_confirmed(&self) -> bool {
        self.private.is_settled()
    }

    pub(crate) fn finish(&mut self, at: Instant, roster: &Roster) -> Result<(), Violation> {
        for check in self.all() {
            let promise = check.promise();
            check.finish(roster).map_err(|what| Violation { at, promise, what })?;
        }
        Ok(())
    }
}
