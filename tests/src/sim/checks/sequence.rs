//! One sequence (`total`): members that stay together deliver the identical sequence, with equal positions that rise by
//! one; and no two members deliver two messages in opposite orders.
//!
//! The one exception: two members that left the view by different installs, or by a crash, may differ on a pair of
//! messages if a change of view, not the sender, fixed the priority of one of them for one of the two members. What a
//! change has fixed is delivered with its install; so a member's deliveries at the very instant of its next view are
//! set apart, and only pairs with such a message are excused, and only between members that did not go together.

use std::collections::BTreeMap;

use decury_common::base::id::{GroupName, MemberId, MessageId, ViewId};
use decury_common::base::time::Instant;
use decury_common::order::OrderKind;

use super::{Check, Verdict};
use crate::sim::history::{Record, Roster, Stay, What};

/// A message, when it was delivered, and its position.
type Place = (Instant, MessageId, u64);

/// What one member has delivered in one view.
#[derive(Clone, Debug, Default)]
struct Line {
    messages: Vec<Place>,
    /// The view it went on to.
    next: Option<ViewId>,
    /// How many of the messages a change of view has fixed, at most: those delivered with the install that ended this.
    fixed: usize,
}

impl Line {
    /// The view ended with an install at this instant.
    fn fix(&mut self, at: Instant) {
        self.fixed = self.messages.iter().rev().take_while(|(then, ..)| *then == at).count();
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Sequence {
    /// Who is in which view of a totally ordered group.
    current: BTreeMap<MemberId, (GroupName, ViewId)>,
    lines: BTreeMap<(GroupName, ViewId), BTreeMap<MemberId, Line>>,
}

impl Check for Sequence {
    fn promise(&self) -> &'static str {
        "one sequence"
    }

    fn observe(&mut self, record: &Record, _before: &Roster) -> Verdict {
        match &record.what {
            What::View { group, member, view, .. } if view.order == OrderKind::Total => {
                let old = self.current.insert(*member, (*group, view.id));
                self.lines.entry((*group, view.id)).or_default().insert(*member, Line::default());
                old.map_or(Ok(()), |at| self.moved(record.at, at, *member, view.id))
            }
            What::Delivered { member, delivery, .. } => {
                let Some(at) = self.current.get(member) else { return Ok(()) };
                let id = delivery.id;
                let Some(position) = delivery.position else {
                    return Err(format!("{member} delivered {id} without a position"));
                };
                let line = self.lines.entry(*at).or_default().entry(*member).or_default();
                let last = line.messages.last().map(|&(.., last)| last);
                line.messages.push((record.at, id, position));
                match last {
                    Some(last) if position != last + 1 => {
                        Err(format!("{member} delivered {id} at position {position} right after {last}"))
                    }
                    _ => Ok(()),
                }
            }
            What::Left { member, .. } => {
                // A leaver's install has no view to tell of: it came with the last that was delivered.
                let line =
                    self.current.remove(member).and_then(|at| self.lines.get_mut(&at)?.get_mut(member));
                if let Some(line) = line {
                    line.fix(line.messages.last().map_or(record.at, |&(at, ..)| at));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, roster: &Roster) -> Verdict {
        let staying = |member: &MemberId, view: ViewId| {
            roster.seat(*member).is_some_and(|seat| matches!(&seat.stay, Stay::In(info) if info.id == view))
        };
        for ((_, view), lines) in &self.lines {
            let all: Vec<(&MemberId, &Line)> = lines.iter().collect();
            for (n, &(a, one)) in all.iter().enumerate() {
                for &(b, other) in &all[n + 1..] {
                    let together = match (one.next, other.next) {
                        (Some(x), Some(y)) => x == y,
                        (None, None) => staying(a, *view) && staying(b, *view),
                        _ => false,
                    };
                    compare(*view, (*a, one), (*b, other), together)?;
                }
            }
        }
        Ok(())
    }
}

impl Sequence {
    fn moved(&mut self, at: Instant, from: (GroupName, ViewId), member: MemberId, to: ViewId) -> Verdict {
        if let Some(line) = self.lines.get_mut(&from).and_then(|lines| lines.get_mut(&member)) {
            line.next = Some(to);
            line.fix(at);
        }
        Ok(())
    }
}

/// Whether two members' sequences in a view are as promised.
fn compare(view: ViewId, a: (MemberId, &Line), b: (MemberId, &Line), together: bool) -> Verdict {
    let places =
        |line: &Line| -> Vec<_> { line.messages.iter().map(|&(_, id, position)| (id, position)).collect() };
    if together {
        return match places(a.1) == places(b.1) {
            true => Ok(()),
            false => Err(format!(
                "{} and {} stayed together in {view} and delivered different sequences",
                a.0, b.0
            )),
        };
    }
    let live = |line: &Line| -> Vec<MessageId> {
        line.messages[..line.messages.len() - line.fixed].iter().map(|&(_, id, _)| id).collect()
    };
    let place: BTreeMap<MessageId, usize> =
        live(b.1).into_iter().enumerate().map(|(n, id)| (id, n)).collect();
    let places: Vec<(usize, MessageId)> =
        live(a.1).into_iter().filter_map(|id| place.get(&id).map(|&n| (n, id))).collect();
    match places.windows(2).find(|pair| pair[0].0 > pair[1].0) {
        None => Ok(()),
        Some(pair) => Err(format!(
            "{} delivered {} before {} in {view}, {} the other way round, and no change of view fixed either",
            a.0, pair[0].1, pair[1].1, b.0
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use decury_common::order::OrderKind;

    use crate::sim::checks::story::Story;

    const PROMISE: &str = "one sequence";

    /// Two messages, each by another member of a view of three, and nothing delivered.
    fn told() -> Story {
        let mut story = Story::new(OrderKind::Total);
        story.view(1, &[0, 1, 2]);
        story.send(0, 1);
        story.send(1, 1);
        story
    }

    /// `host` delivers both, the one of `first` first.
    fn both(story: &mut Story, host: usize, first: usize) {
        for (from, position) in [(first, 1), (1 - first, 2)] {
            story.wait(Duration::from_millis(1));
            story.deliver_at(host, from, 1, position);
        }
    }

    #[test]
    fn the_same_sequence_is_fine() {
        let mut story = told();
        (0..3).for_each(|host| both(&mut story, host, 0));
        story.end();
        story.holds();
    }

    #[test]
    fn another_sequence_is_seen() {
        let mut story = told();
        both(&mut story, 0, 0);
        both(&mut story, 1, 1);
        both(&mut story, 2, 0);
        story.end();
        story.breaks(PROMISE);
    }

    #[test]
    fn another_sequence_of_one_who_went_elsewhere_is_seen_too() {
        let mut story = told();
        both(&mut story, 0, 0);
        both(&mut story, 1, 0);
        both(&mut story, 2, 1);
        story.wait(Duration::from_millis(1));
        story.view(2, &[0, 1]);
        story.view(3, &[2]);
        story.end();
        story.breaks(PROMISE);
    }

    #[test]
    fn another_sequence_of_one_who_crashed_is_seen_too() {
        let mut story = told();
        both(&mut story, 2, 1);
        story.kill(2);
        both(&mut story, 0, 0);
        both(&mut story, 1, 0);
        story.end();
        story.breaks(PROMISE);
    }

    #[test]
    fn what_a_change_has_fixed_may_differ_between_two_that_parted() {
        let mut story = told();
        both(&mut story, 0, 0);
        both(&mut story, 1, 0);
        story.wait(Duration::from_millis(1));
        story.view_with(2, (3, &[2]), &[1, 0], 1);
        story.view(2, &[0, 1]);
        story.end();
        story.holds();
    }

    #[test]
    fn what_a_change_has_fixed_may_not_differ_between_two_that_go_together() {
        let mut story = told();
        story.view_with(0, (2, &[0, 1, 2]), &[0, 1], 1);
        story.view_with(1, (2, &[0, 1, 2]), &[1, 0], 1);
        story.view_with(2, (2, &[0, 1, 2]), &[0, 1], 1);
        story.end();
        story.breaks(PROMISE);
    }

    #[test]
    fn what_was_delivered_before_the_install_may_not_differ_between_two_that_parted() {
        let mut story = told();
        both(&mut story, 0, 0);
        both(&mut story, 1, 0);
        both(&mut story, 2, 1);
        story.send(2, 1);
        story.wait(Duration::from_millis(1));
        story.view_with(2, (3, &[2]), &[2], 3);
        story.view(2, &[0, 1]);
        story.end();
        story.breaks(PROMISE);
    }

    #[test]
    fn a_gap_in_the_positions_is_seen() {
        let mut story = told();
        story.deliver_at(0, 0, 1, 1);
        story.deliver_at(0, 1, 1, 3);
        story.breaks(PROMISE);
    }

    #[test]
    fn positions_that_differ_are_seen() {
        let mut story = told();
        for (host, position) in [(0, 1), (1, 2), (2, 1)] {
            story.deliver_at(host, 0, 1, position);
            story.deliver_at(host, 1, 1, position + 1);
        }
        story.end();
        story.breaks(PROMISE);
    }
}
