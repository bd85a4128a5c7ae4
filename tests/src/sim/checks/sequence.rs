//! One sequence (`total`, `safe`): members that stay together deliver the identical sequence, with equal positions that
//! rise by one; and no two members deliver two messages in opposite orders.
//!
//! The one exception, in `total`: two members that left the view by different installs, or by a crash, may differ on a
//! pair of messages if a change of view, not the sender, fixed the priority of one of them for one of the two members.
//! Each delivery says what fixed its place, so only such pairs are excused. `safe` has no exception: only marked messages
//! are outside its promise.
//!
//! Positions: a view begins where the longest of the sequences ended that its members come from; what two members
//! deliver while the view lasts stands at equal positions, also if they part.

use std::collections::BTreeMap;

use decury_common::base::id::{GroupName, MemberId, MessageId, ViewId};
use decury_common::order::{OrderKind, Placed};

use super::lines::{Line, Lines, Place, ViewLines};
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
        let (Some(position), Some(_)) = (new.position, new.placed) else {
            return Err(format!("{member} delivered {} without a position, or by nobody's decision", new.id));
        };
        match before.last() {
            Some(last) if last.position != position.checked_sub(1) => {
                let last = last.position.unwrap_or_default();
                Err(format!("{member} delivered {} at position {position} right after {last}", new.id))
            }
            Some(last) if new.is_live() && !last.is_live() => {
                Err(format!("{member} delivered {} after {}, which ended the view", new.id, last.id))
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, roster: &Roster) -> Verdict {
        let mut bases = Bases::new();
        for view in self.lines.views() {
            let base = begins(view, &bases)?;
            bases.insert((view.group, view.id), (view, base));
            let all: Vec<(&MemberId, &Line)> = view.of.iter().collect();
            for (n, &(a, one)) in all.iter().enumerate() {
                for &(b, other) in &all[n + 1..] {
                    match view.are_together(roster, *a, *b) {
                        true => is_identical(view, (*a, one), (*b, other))?,
                        false => agrees(view, (*a, one), (*b, other))?,
                    }
                }
            }
        }
        Ok(())
    }
}

/// The position before the first of a view.
#[derive(Clone, Copy, Debug)]
struct Base {
    position: u64,
    /// It is this one, not perhaps a higher one.
    is_exact: bool,
}

/// Views, and where they begin.
type Bases<'a> = BTreeMap<(GroupName, ViewId), (&'a ViewLines, Base)>;

/// Where the sequence of a view begins: the same at all its members, and after all that they delivered before.
fn begins(view: &ViewLines, bases: &Bases<'_>) -> Result<Base, String> {
    let firsts = view.of.iter().filter_map(|(member, line)| Some((*member, line.places.first()?.position?)));
    let mut first: Option<(MemberId, u64)> = None;
    for (member, position) in firsts {
        match first {
            Some((other, same)) if same != position => {
                return Err(format!(
                    "{} begins at position {position} at {member}, at {same} at {other}",
                    view.id
                ));
            }
            _ => first = Some((member, position)),
        }
    }
    let end = |(member, line): (&MemberId, &Line)| {
        let &(former, base) = bases.get(&(view.group, line.former?))?;
        let delivered = former.of.get(member).map_or(0, |line| line.places.len() as u64);
        Some(Base { position: base.position + delivered, ..base })
    };
    let ends: Vec<Base> = view.of.iter().filter_map(end).collect();
    let position = ends.iter().map(|end| end.position).max().unwrap_or(0);
    let is_exact = view.members.iter().all(|(member, _)| view.of.contains_key(member))
        && ends.iter().all(|end| end.is_exact);
    // Whoever left with this view may have delivered more than those who are in it.
    let former = bases.iter().filter(|((group, _), _)| *group == view.group);
    let lengths = former.flat_map(|(_, (former, base))| {
        former.of.values().map(|line| base.position + line.places.len() as u64)
    });
    let most = lengths.max().unwrap_or(0);
    match first.map(|(_, first)| first.saturating_sub(1)) {
        None => Ok(Base { position, is_exact }),
        Some(begun) if begun == position || (begun > position && (!is_exact || begun <= most)) => {
            Ok(Base { position: begun, is_exact: true })
        }
        Some(begun) => Err(format!("{} begins after position {begun}, not after {position}", view.id)),
    }
}

/// Whether two members that stayed together have delivered the identical sequence.
fn is_identical(view: &ViewLines, a: (MemberId, &Line), b: (MemberId, &Line)) -> Verdict {
    let places = |line: &Line| -> Vec<_> {
        line.places.iter().map(|place| (place.id, place.position, place.uniform)).collect()
    };
    match places(a.1) == places(b.1) {
        true => Ok(()),
        false => Err(format!(
            "{} and {} stayed together in {} and delivered different sequences",
            a.0, b.0, view.id
        )),
    }
}

/// Whether two members that parted agree on what is promised to them.
fn agrees(view: &ViewLines, a: (MemberId, &Line), b: (MemberId, &Line)) -> Verdict {
    let place: BTreeMap<MessageId, (usize, &Place)> =
        promised(view.order, b.1).enumerate().map(|(n, place)| (place.id, (n, place))).collect();
    let mut last: Option<(usize, MessageId)> = None;
    for one in promised(view.order, a.1) {
        let Some(&(n, other)) = place.get(&one.id) else { continue };
        if let Some((_, before)) = last.filter(|&(last, _)| last > n) {
            return Err(format!(
                "{} delivered {before} before {} in {}, {} the other way round, and neither is excused",
                a.0, one.id, view.id, b.0
            ));
        }
        if one.is_live() && other.is_live() && one.position != other.position {
            let (id, here, there) = (one.id, one.position, other.position);
            return Err(format!(
                "{id} stands at {here:?} at {}, at {there:?} at {}, in {}",
                a.0, b.0, view.id
            ));
        }
        last = Some((n, one.id));
    }
    Ok(())
}

/// What a member has delivered within the promise to those who did not go with it.
fn promised(order: OrderKind, line: &Line) -> impl Iterator<Item = &Place> {
    let is_promised = move |place: &&Place| match order {
        OrderKind::Safe => !place.is_marked(),
        _ => place.placed != Some(Placed::ByTheChange),
    };
    line.places.iter().filter(is_promised)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use decury_common::order::{OrderKind, Placed};

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
    fn what_its_sender_has_fixed_may_not_differ_even_if_it_came_with_the_install() {
        for stalls in [false, true] {
            let mut story = told();
            both(&mut story, 0, 0);
            both(&mut story, 1, 0);
            // A reader that stalled sees all at one instant.
            story.placed_at_install(if stalls { Placed::BySender } else { Placed::AtTheEnd });
            story.view_with(2, (3, &[2]), &[1, 0], 1);
            story.view(2, &[0, 1]);
            story.end();
            story.breaks(PROMISE);
        }
    }

    #[test]
    fn another_sequence_of_one_who_left_in_haste_is_seen_too() {
        let mut story = told();
        both(&mut story, 0, 0);
        both(&mut story, 1, 0);
        story.leave(2);
        both(&mut story, 2, 1);
        story.left(2);
        story.end();
        story.breaks(PROMISE);
    }

    #[test]
    fn what_follows_the_end_of_a_view_is_seen() {
        let mut story = told();
        story.deliver_placed(0, (0, 1), 1, Placed::AtTheEnd);
        story.deliver_at(0, 1, 1, 2);
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

    #[test]
    fn positions_that_differ_between_two_that_parted_are_seen() {
        let mut story = told();
        both(&mut story, 0, 0);
        story.deliver_at(2, 1, 1, 1);
        story.kill(2);
        both(&mut story, 1, 0);
        story.end();
        story.breaks(PROMISE);
    }

    #[test]
    fn a_newcomer_goes_on_from_one_who_left_with_the_view() {
        for (first, is_right) in [(1, true), (2, true), (3, true), (4, false)] {
            let mut story = told();
            (0..3).for_each(|host| both(&mut story, host, 0));
            story.view(2, &[3]);
            story.send(3, 1);
            story.deliver_at(3, 3, 1, first);
            story.end();
            let is_broken = story.broken().is_some_and(|violation| violation.promise == PROMISE);
            assert_eq!(is_broken, !is_right, "{first}");
        }
    }

    #[test]
    fn a_view_that_does_not_begin_where_the_longest_sequence_ended_is_seen() {
        for (first, is_right) in [(1, false), (2, false), (3, true), (4, false)] {
            let mut story = told();
            both(&mut story, 0, 0);
            both(&mut story, 1, 0);
            story.view(2, &[0, 1]);
            story.view(3, &[2]);
            story.view(4, &[0, 1, 2, 3]);
            story.send(3, 1);
            (0..4).for_each(|host| story.deliver_at(host, 3, 1, first));
            story.end();
            // What was not told is another promise.
            let is_broken = story.broken().is_some_and(|violation| violation.promise == PROMISE);
            assert_eq!(is_broken, !is_right, "{first}");
        }
    }
}
