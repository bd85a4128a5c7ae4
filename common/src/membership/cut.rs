//! The cut: with which messages each prior view ends, computed from the promises.

use std::collections::{BTreeMap, BTreeSet};

use super::known::{Known, digest, note};
use crate::base::id::{MemberId, Rank, ViewId};
use crate::base::limits::MEMBERS_MAX;
use crate::multicast;
use crate::order::{self, OrderKind, OrderReport};
use crate::wire::membership::{Cut, Digest, Holder, Prior, PriorCut};

/// For each prior view: of each of its senders the longest prefix of whole messages held by those who promise
/// together, and the order layer's decisions. `promises`: of each participant, in the order of the `Prepare`.
pub(super) fn compute(
    attempt: ViewId,
    order: OrderKind,
    participants: &BTreeSet<MemberId>,
    promises: &[Option<&Prior>],
) -> Cut {
    let mut by_view: BTreeMap<ViewId, Vec<&Prior>> = BTreeMap::new();
    for prior in promises.iter().flatten() {
        by_view.entry(prior.view).or_default().push(prior);
    }
    let origin = |view: ViewId| by_view.keys().position(|&prior| prior == view).map(|index| index as u8);
    let origins = promises.iter().map(|prior| prior.and_then(|prior| origin(prior.view))).collect();
    let position = by_view.values().map(|priors| end_of(priors)).max().unwrap_or(0);
    let priors = by_view.into_iter().map(|(view, priors)| {
        let members = priors.iter().map(|prior| prior.holdings.len()).max().unwrap_or(0);
        let reports: Vec<(Rank, &OrderReport)> =
            priors.iter().map(|prior| (Rank::from(prior.rank), &prior.order)).collect();
        let holders = priors.iter().take(MEMBERS_MAX);
        PriorCut {
            view,
            upto: multicast::cut(members, priors.iter().map(|prior| &prior.holdings)),
            holders: holders.map(|p| Holder { rank: p.rank, holdings: p.holdings.clone() }).collect(),
            order: order::decide(order, &reports),
        }
    });
    Cut { attempt, position, priors: priors.collect(), origins, known: known(participants, promises) }
}

/// Of each member the last message that one of those who promise knows.
fn known(participants: &BTreeSet<MemberId>, promises: &[Option<&Prior>]) -> Digest {
    let mut known = Known::new();
    let all = promises.iter().flatten().flat_map(|prior| prior.known.iter().copied());
    note(&mut known, all, |member| participants.contains(&member));
    digest(&known)
}

/// How many messages the group's sequence has when a prior view ends.
fn end_of(priors: &[&Prior]) -> u64 {
    let members = priors.iter().map(|prior| prior.holdings.len()).max().unwrap_or(0);
    let before = priors.iter().map(|prior| prior.position).max().unwrap_or(0);
    let messages = multicast::messages(members, priors.iter().map(|prior| &prior.holdings));
    messages.fold(before, u64::saturating_add)
}
