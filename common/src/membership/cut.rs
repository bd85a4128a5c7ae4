//! The cut: with which messages each prior view ends, computed from the promises.

use std::collections::BTreeMap;

use crate::base::id::{Rank, ViewId};
use crate::base::limits::MEMBERS_MAX;
use crate::multicast;
use crate::order::{self, OrderKind, OrderReport};
use crate::wire::membership::{Cut, Holder, Prior, PriorCut};

/// For each prior view: of each of its senders the longest prefix of whole messages held by those who promise
/// together, and the order layer's decisions.
pub(super) fn compute<'a>(
    attempt: ViewId,
    order: OrderKind,
    promises: impl Iterator<Item = &'a Prior>,
) -> Cut {
    let mut by_view: BTreeMap<ViewId, Vec<&Prior>> = BTreeMap::new();
    for prior in promises {
        by_view.entry(prior.view).or_default().push(prior);
    }
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
    Cut { attempt, position, priors: priors.collect() }
}

/// How many messages the group's sequence has when a prior view ends.
fn end_of(priors: &[&Prior]) -> u64 {
    let members = priors.iter().map(|prior| prior.holdings.len()).max().unwrap_or(0);
    let before = priors.iter().map(|prior| prior.position).max().unwrap_or(0);
    let messages = multicast::messages(members, priors.iter().map(|prior| &prior.holdings));
    messages.fold(before, u64::saturating_add)
}
