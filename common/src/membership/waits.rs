//! For whom a change of view waits, as far as this member can know.

use super::Membership;
use crate::base::id::UserName;
use crate::wire::membership::Member;

impl Membership {
    /// Those for whom the change of view under way waits: who has not promised, as they say or as the coordinator knows
    /// better; then the coordinator, until its cut comes; then who is not ready. Nobody while I fetch what I lack myself.
    pub fn awaited(&self) -> Vec<UserName> {
        let Some(change) = &self.change else { return Vec::new() };
        let attempt = change.prepare.attempt;
        let participants = &change.prepare.participants;
        let others = |m: &&Member| m.id != self.me.id;
        let ready = change.ready.as_ref().filter(|ready| ready.prepare.attempt == attempt);
        let mine = self.attempt.as_ref().filter(|mine| mine.prepare.attempt == attempt);
        let promised = |m: &&Member| {
            let known = self.roster.node(m.id.incarnation);
            known.is_some_and(|node| node.beacon.promised >= Some(attempt))
        };
        let awaited: Vec<&Member> = match (mine, ready) {
            (Some(mine), _) => mine.lacking().collect(),
            (None, Some(ready)) => participants.iter().filter(|m| !ready.readies.contains(&m.id)).collect(),
            (None, None) if change.cut.is_some() => Vec::new(),
            (None, None) => {
                let late: Vec<&Member> =
                    participants.iter().filter(others).filter(|m| !promised(m)).collect();
                let coordinator =
                    participants.iter().filter(|m| late.is_empty() && m.id == attempt.coordinator);
                late.iter().copied().chain(coordinator).collect()
            }
        };
        awaited.into_iter().filter(others).map(|member| member.name).collect()
    }
}
