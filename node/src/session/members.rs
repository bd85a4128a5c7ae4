//! Who is in a group. Its members know best; of any other it is what the tracker or the peers say.

use std::collections::BTreeSet;

use decury_common::base::id::{GroupName, UserName};
use decury_common::base::time::Instant;
use decury_common::endpoint::{MemberStatus, Reached};
use decury_common::wire::tracker::Refusal;

use super::place::Place;
use super::tracker_client::{Ask, Failure, Reply};
use super::{Event, MemberSummary, Session};

impl Session {
    /// Tells who is in a group that this node is in.
    pub(super) fn list_members(&mut self, re: Option<u64>, group: GroupName) {
        let summary =
            |MemberStatus { name, reached, rtt, .. }: MemberStatus| MemberSummary { name, reached, rtt };
        let members = self.endpoint.members(group).into_iter().map(summary).collect();
        self.tell(Event::Members { re, group, members });
    }

    /// Finds out who is in one that it is not in.
    pub(super) fn look_into(&mut self, now: Instant, re: Option<u64>, group: GroupName) {
        if self.tracker.tracker().is_some() {
            let ask = self.tracker.ask(now, Ask::Members { group });
            self.listings.insert(ask, re);
        } else if self.config.trackers.is_empty() {
            self.list_others(re, group, Err(Failure::Refused(Refusal::NoSuchGroup)));
        } else {
            self.list_others(re, group, Err(Failure::Unavailable));
        }
    }

    /// Tells what the tracker has answered, if one was asked, and what the peers say.
    pub(super) fn list_others(&mut self, re: Option<u64>, group: GroupName, told: Result<Reply, Failure>) {
        if let Some(Place::Member { .. }) = self.places.get(&group) {
            return self.list_members(re, group);
        }
        let known = self.endpoint.known_groups().into_iter().find(|known| known.name == group);
        let names: BTreeSet<UserName> = match (told, known) {
            (Ok(Reply::Members { members, .. }), known) => {
                members.into_iter().chain(known.into_iter().flat_map(|known| known.members)).collect()
            }
            (_, Some(known)) => known.members,
            (Err(Failure::Refused(Refusal::NoSuchGroup)), None) => return self.no_such_group(re, group),
            (_, None) => return self.not_a_member(re, group),
        };
        let members = names.into_iter().map(|name| self.summary(name)).collect();
        self.tell(Event::Members { re, group, members });
    }

    fn summary(&self, name: UserName) -> MemberSummary {
        let (reached, rtt) =
            if name == self.config.name { (Reached::Me, None) } else { self.endpoint.reached(name) };
        MemberSummary { name, reached, rtt }
    }
}
