//! Uniformity (`safe`): what a member delivers in a view before that ends for it, every member of the view that goes on
//! to a next one delivers in the view too, unmarked and in the same place, whatever becomes of the first: it may crash, or
//! be cut off, at once after delivering.
//!
//! Marked come only messages that a change of view has fixed, after all others, and none of a sender that takes part in
//! that change.

use decury_common::base::id::MemberId;
use decury_common::order::{OrderKind, Placed};

use super::lines::{Line, Lines, Place, ViewLines};
use super::{Check, Verdict};
use crate::sim::history::{Record, Roster};

const ALL: [OrderKind; 4] = [OrderKind::Fifo, OrderKind::Causal, OrderKind::Total, OrderKind::Safe];

#[derive(Clone, Debug, Default)]
pub(super) struct Uniformity {
    lines: Lines,
}

impl Check for Uniformity {
    fn promise(&self) -> &'static str {
        "uniformity"
    }

    fn observe(&mut self, record: &Record, _before: &Roster) -> Verdict {
        let Some((order, line)) = self.lines.observe(record, &ALL) else { return Ok(()) };
        let [.., last] = &line.places[..] else { return Ok(()) };
        if last.uniform.is_some() != (order == OrderKind::Safe) {
            return Err(format!("{} is delivered with {:?} as its mark, in {order}", last.id, last.uniform));
        }
        match line.places.iter().rev().nth(1) {
            Some(before) if before.is_marked() && !last.is_marked() => {
                Err(format!("{}, unmarked, is delivered after {}, which is marked", last.id, before.id))
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, roster: &Roster) -> Verdict {
        for view in self.lines.views().filter(|view| view.order == OrderKind::Safe) {
            for (member, line) in &view.of {
                marks(view, *member, line)?;
                for (other, others) in &view.of {
                    if other != member && (others.next.is_some() || view.has(roster, *other)) {
                        is_beginning(view, (*member, line), (*other, others))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether a member has marked only what it may.
fn marks(view: &ViewLines, member: MemberId, line: &Line) -> Verdict {
    let is_wrong = |place: &&Place| place.is_marked() && place.placed != Some(Placed::ByTheChange);
    if let Some(place) = line.places.iter().find(is_wrong) {
        return Err(format!("{member} marks {} in {}, though no change has fixed it", place.id, view.id));
    }
    let along = |sender: &MemberId| {
        let next = view.of.get(sender).and_then(|of| of.next);
        *sender == member || line.leavers.contains(sender) || (next.is_some() && next == line.next)
    };
    match line.places.iter().find(|place| place.is_marked() && along(&place.id.sender)) {
        Some(place) => Err(format!("{member} marks {} in {}, whose sender took part", place.id, view.id)),
        None => Ok(()),
    }
}

/// Whether all that one member has delivered live is what the other has delivered first.
fn is_beginning(view: &ViewLines, a: (MemberId, &Line), b: (MemberId, &Line)) -> Verdict {
    for (n, place) in a.1.live().enumerate() {
        let (one, two, id) = (a.0, b.0, place.id);
        match b.1.places.get(n) {
            Some(other) if other.id == id && !other.is_marked() => {}
            Some(other) if other.id == id => {
                return Err(format!("{one} delivered {id} in {}, which {two} has marked", view.id));
            }
            other => {
                let has = other.map_or("nothing".to_owned(), |other| other.id.to_string());
                let n = n + 1;
                return Err(format!(
                    "{one} delivered {id} as number {n} in {}, {two} has {has} there",
                    view.id
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use decury_common::order::OrderKind;

    use crate::sim::checks::story::Story;

    const PROMISE: &str = "uniformity";

    /// Two members of a view of four send, and are gone; one of them has delivered what the other said.
    fn told() -> Story {
        let mut story = Story::new(OrderKind::Safe);
        story.view(1, &[0, 1, 2, 3]);
        story.send(2, 1);
        story.send(3, 1);
        story.deliver_at(2, 3, 1, 1);
        story.kill(2);
        story.kill(3);
        story.wait(Duration::from_millis(1));
        story
    }

    #[test]
    fn what_one_has_delivered_that_is_gone_all_others_deliver_in_the_same_place() {
        let mut story = told();
        story.view_with(0, (2, &[0, 1]), &[3, 2], 1);
        story.view_with(1, (2, &[0, 1]), &[3, 2], 1);
        story.end();
        story.holds();
    }

    #[test]
    fn without_it_they_are_seen() {
        let mut story = told();
        story.view_with(0, (2, &[0]), &[], 1);
        story.end();
        story.breaks(PROMISE);
    }

    #[test]
    fn in_another_place_they_are_seen_even_if_the_order_of_no_two_messages_is_reversed() {
        let mut story = told();
        story.view_with(0, (2, &[0, 1]), &[2, 3], 1);
        story.view_with(1, (2, &[0, 1]), &[2, 3], 1);
        story.end();
        story.breaks(PROMISE);
    }

    #[test]
    fn with_it_marked_they_are_seen() {
        let mut story = told();
        story.mark(true);
        story.view_with(1, (2, &[1]), &[3], 1);
        story.end();
        story.breaks(PROMISE);
    }

    #[test]
    fn what_only_a_change_has_fixed_for_one_may_be_marked_by_another_that_parted() {
        let mut story = Story::new(OrderKind::Safe);
        story.view(1, &[0, 1, 2]);
        story.send(0, 1);
        story.wait(Duration::from_millis(1));
        story.view_with(0, (2, &[0, 1]), &[0], 1);
        story.view_with(1, (2, &[0, 1]), &[0], 1);
        story.mark(true);
        story.view_with(2, (3, &[2]), &[0], 1);
        story.end();
        story.holds();
    }

    #[test]
    fn a_mark_that_no_change_has_set_is_seen() {
        let mut story = told();
        story.mark(true);
        story.deliver_at(0, 3, 1, 1);
        story.deliver_at(1, 3, 1, 1);
        story.wait(Duration::from_millis(1));
        story.view(2, &[0, 1]);
        story.end();
        story.breaks(PROMISE);
    }

    #[test]
    fn a_marked_message_before_an_unmarked_one_is_seen() {
        let mut story = told();
        story.mark(true);
        story.deliver_at(0, 3, 1, 1);
        story.mark(false);
        story.deliver_at(0, 2, 1, 2);
        story.breaks(PROMISE);
    }

    #[test]
    fn a_marked_message_of_one_who_goes_along_is_seen() {
        let mut story = Story::new(OrderKind::Safe);
        story.view(1, &[0, 1]);
        story.send(0, 1);
        story.mark(true);
        story.view_with(0, (2, &[0, 1]), &[0], 1);
        story.view_with(1, (2, &[0, 1]), &[0], 1);
        story.end();
        story.breaks(PROMISE);
    }

    #[test]
    fn a_marked_message_of_a_leaver_who_took_part_in_the_change_is_seen() {
        for was_silent in [true, false] {
            let mut story = Story::new(OrderKind::Safe);
            story.view(1, &[0, 1]);
            story.send(1, 1);
            story.leave(1);
            story.mark(true);
            if !was_silent {
                story.keeps_quiet();
            }
            story.view_with(0, (2, &[0]), &[1], 1);
            story.left(1);
            story.end();
            if was_silent { story.holds() } else { story.breaks(PROMISE) }
        }
    }

    #[test]
    fn in_other_orders_nothing_is_called_uniform() {
        let mut story = Story::new(OrderKind::Total);
        story.view(1, &[0, 1]);
        story.send(0, 1);
        story.mark(false);
        story.deliver_at(0, 0, 1, 1);
        story.breaks(PROMISE);
    }
}
