//! Since when all has been well: no link disturbed, no host stopped or dead, nobody leaving.

use std::time::Duration;

use decury_common::base::time::Instant;

use crate::sim::history::{Record, What};

/// After so long what went wrong before has no consequences any more.
const SETTLED_AFTER: Duration = Duration::from_secs(15);

#[derive(Clone, Debug, Default)]
pub(super) struct Calm {
    is_disturbed: bool,
    /// When something went wrong last.
    trouble_at: Option<Instant>,
}

impl Calm {
    pub(super) fn observe(&mut self, record: &Record) {
        let at = match &record.what {
            What::Disturbed(links) => {
                let was_disturbed = std::mem::replace(&mut self.is_disturbed, !links.is_empty());
                (was_disturbed || self.is_disturbed).then_some(record.at)
            }
            What::Stopped(until) => Some(*until),
            What::Killed | What::Ending | What::Leaving { .. } | What::Left { .. } => Some(record.at),
            _ => None,
        };
        self.trouble_at = self.trouble_at.max(at);
    }

    /// Whether nothing has gone wrong since then, nor for a while before.
    pub(super) fn was_well_at(&self, since: Instant) -> bool {
        !self.is_disturbed && self.trouble_at.is_none_or(|trouble| trouble + SETTLED_AFTER <= since)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::sim::host::HostId;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn after(seconds: u64, what: What) -> Calm {
        let mut calm = Calm::default();
        calm.observe(&Record { at: at(seconds), host: HostId(0), what });
        calm
    }

    #[test]
    fn all_is_well_at_first_and_again_a_while_after_the_last_trouble() {
        assert!(Calm::default().was_well_at(at(0)));
        for calm in [after(10, What::Killed), after(3, What::Stopped(at(10)))] {
            assert!(!calm.was_well_at(at(9)) && !calm.was_well_at(at(24)) && calm.was_well_at(at(25)));
        }
        let link = BTreeSet::from([(HostId(0), HostId(1))]);
        let mut calm = after(1, What::Disturbed(link));
        assert!(!calm.was_well_at(at(100)));
        calm.observe(&Record { at: at(5), host: HostId(0), what: What::Disturbed(BTreeSet::new()) });
        assert!(!calm.was_well_at(at(19)) && calm.was_well_at(at(20)));
    }
}
