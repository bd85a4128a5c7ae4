//! What must hold in every state.

use std::collections::BTreeMap;

use decury_common::base::id::{MemberId, ViewId};

use super::node::Step;
use super::state::State;

impl State {
    /// The first promise that is broken here, in words.
    pub fn violation(&self) -> Option<String> {
        let mut lists: BTreeMap<ViewId, &[MemberId]> = BTreeMap::new();
        let mut ends: BTreeMap<(ViewId, ViewId), &[u64]> = BTreeMap::new();
        for node in &self.nodes {
            let mut last = None;
            for step in &node.steps {
                if last.is_some_and(|last| last >= step.view) {
                    return Some(format!("n{}'s views do not rise", node.number));
                }
                last = Some(step.view);
                if step.lacking {
                    return Some(format!("n{} installs {} with gaps", node.number, step.view));
                }
                let Step { former, view, members, delivered, .. } = step;
                if **lists.entry(*view).or_insert(members) != members[..] {
                    return Some(format!("two lists of members for {view}"));
                }
                if let Some(former) = former
                    && **ends.entry((*former, *view)).or_insert(delivered) != delivered[..]
                {
                    return Some(format!("{former} ends in two ways before {view}"));
                }
            }
        }
        None
    }
}
