//! Who asks which groups there are is told all of them, with all their members, whoever it is that answers.

use std::collections::BTreeMap;

use decury_common::base::id::GroupName;

use super::{Check, Verdict};
use crate::sim::history::{Record, Roster, Stay, What};

#[derive(Clone, Debug, Default)]
pub(super) struct Listings;

impl Check for Listings {
    fn promise(&self) -> &'static str {
        "listings"
    }

    fn observe(&mut self, record: &Record, before: &Roster) -> Verdict {
        let What::Listed { groups } = &record.what else { return Ok(()) };
        let mut there: BTreeMap<GroupName, usize> = BTreeMap::new();
        for (_, seat) in before.seats().filter(|(_, seat)| matches!(seat.stay, Stay::In(_))) {
            *there.entry(seat.group).or_default() += 1;
        }
        let listed: BTreeMap<GroupName, usize> = groups.iter().copied().collect();
        match listed == there {
            true => Ok(()),
            false => Err(format!("{} lists {listed:?}, where there are {there:?}", record.host)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::checks::story::Story;
    use crate::sim::history::What;

    const PROMISE: &str = "listings";

    #[test]
    fn a_full_list_is_fine() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.tell(0, What::Listed { groups: vec![("g".parse().unwrap(), 2)] });
        story.holds();
    }

    #[test]
    fn a_missing_member_and_a_missing_group_are_seen() {
        for groups in [vec![("g".parse().unwrap(), 1)], vec![]] {
            let mut story = Story::with_view(1, &[0, 1]);
            story.tell(0, What::Listed { groups });
            story.breaks(PROMISE);
        }
    }
}
