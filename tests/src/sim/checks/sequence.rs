//! One sequence (`total`, `safe`): members that stay together deliver the identical sequence, with equal positions that
//! rise by one; and no two members deliver two messages in opposite orders.
//!
//! The one exception, in `total`: two members that left the view by different installs, or by a crash, may differ on a
//! pair of messages if a change of view, not the sender, fixed the priority of one of them for one of the two members.
//! What a change has fixed is delivered with its install; so a member's deliveries at the very instant of its next view
//! are set apart, and only pairs with such a message are excused, and only between members that did not go together.
//! `safe` has no exception: only marked messages are outside its promise.

use std::collections::BTreeMap;

use decury_common::base::id::{MemberId, MessageId};
use decury_common::order::OrderKind;

use super::lines::{Line, Lines, ViewLines};
use super::{Check, Verdict};
use crate::sim::history::{Record, Roster, What};

#[derive(Clone, Debug, Default)]
pub(super) struct Sequence {
    lines: Lines,
}

impl Check for Sequence {
    fn promise(&self) -> &'static str {
        "one sequence"
    }

    fn observe(&mut self, record: &Record, _before: &Roster) -> Verdict {
        let line = self.lines.observe(record, &[OrderKind::Total, OrderKind::Safe]);
        let (Some((_, line)), What::Delivered { member, .. }) = (line, &record.what) else { return Ok(()) };
        let [before @ .., new] = &line.places[..] else { return Ok(()) };
        let Some(position) = new.position else {
            return Err(format!("{member} delivered {} without a position", new.id));
        };
        match before.last().and_then(|last| last.position) {
            Some(last) if position != last + 1 => {
                Err(format!("{member} delivered {} at position {position} right after {last}", new.id))
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, roster: &Roster) -> Verdict {
        for view in self.lines.views() {
            let all: Vec<(&MemberId, &Line)> = view.of.iter().collect();
            for (n, &(a, one)) in all.iter().enumerate() {
                for &(b, other) in &all[n + 1..] {
                    let together = view.are_together(roster, *a, *b);
                    compare(view, (*a, one), (*b, other), together)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether two members' sequences in a view are as promised.
fn compare(view: &ViewLines, a: (MemberId, &Line), b: (MemberId, &Line), together: bool) -> Verdict {
    if together {
        let places = |line: &Line| -> Vec<_> {
            line.places.iter().map(|place| (place.id, place.position, place.uniform)).collect()
        };
        return match places(a.1) == places(b.1) {
            true => Ok(()),
            false => Err(format!(
                "{} and {} stayed together in {} and delivered different sequences",
                a.0, b.0, view.id
            )),
        };
    }
    let place: BTreeMap<MessageId, usize> =
        promised(view.order, b.1).enumerate().map(|(n, id)| (id, n)).collect();
    let places: Vec<(usize, MessageId)> =
        promised(view.order, a.1).filter_map(|id| place.get(&id).map(|&n| (n, id))).collect();
    match places.windows(2).find(|pair| pair[0].0 > pair[1].0) {
        None => Ok(()),
        Some(pair) => Err(format!(
            "{} delivered {} before {} in {}, {} the other way round, and neither is excused",
            a.0, pair[0].1, pair[1].1, view.id, b.0
        )),
    }
}

/// What a member has delivered within the promise to those who did not go with it.
fn promised(order: OrderKind, line: &Line) -> impl Iterator<Item = MessageId> {
    let places = if order == OrderKind::Safe { &line.places } else { line.live() };
    places.iter().filter(|place| !place.is_marked()).map(|place| place.id)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use decury_common::order::OrderKind;

    use crate::sim::checks::story::Story;

    const PROMISE: &str = "one sequence";

    /// Two messages, each by another member of a view of three, and nothing delivered.
    fn told() -> Story {
        told_in(OrderKind::Total)
    }

    fn told_in(order: OrderKind) -> Story {
        let mut story = Story::new(order);
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
    fn in_safe_what_a_change_has_fixed_may_not_differ_either() {
        let mut story = told_in(OrderKind::Safe);
        story.view_with(0, (2, &[0, 1]), &[0, 1], 1);
        story.view_with(1, (2, &[0, 1]), &[0, 1], 1);
        story.view_with(2, (3, &[2]), &[1, 0], 1);
        story.end();
        story.breaks(PROMISE);
    }

    #[test]
    fn in_safe_what_is_marked_may_differ_between_two_that_parted() {
        let mut story = told_in(OrderKind::Safe);
        story.view_with(0, (2, &[0, 1]), &[0, 1], 1);
        story.view_with(1, (2, &[0, 1]), &[0, 1], 1);
        story.mark(true);
        story.view_with(2, (3, &[2]), &[1, 0], 1);
        story.end();
        story.holds();
    }

    #[test]
    fn in_safe_what_is_marked_may_not_differ_between_two_that_go_together() {
        for senders in [[0, 1], [1, 0]] {
            let mut story = told_in(OrderKind::Safe);
            story.kill(0);
            story.mark(true);
            story.view_with(1, (2, &[1, 2]), &[0, 1], 1);
            story.mark(senders == [1, 0]);
            story.view_with(2, (2, &[1, 2]), &senders, 1);
            story.end();
            story.breaks(PROMISE);
        }
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
