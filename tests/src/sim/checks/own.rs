//! Self delivery: a member that stays delivers its own messages, and so does one that leaves before it is told that it
//! has left cleanly. (In `total` and `safe` the others may have them all, and be gone before they are decided.)

use decury_common::order::OrderKind;

use super::{Check, Verdict};
use crate::sim::history::{Record, Roster, Stay, What};

#[derive(Clone, Debug, Default)]
pub(super) struct SelfDelivery;

impl Check for SelfDelivery {
    fn promise(&self) -> &'static str {
        "self delivery"
    }

    fn observe(&mut self, record: &Record, before: &Roster) -> Verdict {
        if let What::Left { member, clean: true, .. } = &record.what
            && let Some(seat) = before.seat(*member)
            && let (Stay::Leaving(_, Some(view)), (sent, delivered)) = (&seat.stay, seat.own)
            && !matches!(view.order, OrderKind::Total | OrderKind::Safe)
            && delivered < sent
        {
            return Err(format!("{member} left cleanly with {delivered} of its {sent} messages delivered"));
        }
        Ok(())
    }

    fn finish(&mut self, roster: &Roster) -> Verdict {
        self.complete(roster)
    }
}

impl SelfDelivery {
    /// Whether everyone who is there has delivered its own messages.
    pub(super) fn complete(&self, roster: &Roster) -> Verdict {
        for (member, seat) in roster.seats() {
            let (sent, delivered) = seat.own;
            if matches!(seat.stay, Stay::In(_)) && delivered < sent {
                return Err(format!(
                    "{member} delivered {delivered} of the {sent} messages that it sent itself"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::checks::story::Story;

    #[test]
    fn a_member_that_stays_delivers_what_it_sent() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.send(0, 1);
        story.deliver(0, 0, 1);
        story.deliver(1, 0, 1);
        story.end();
        story.holds();
    }

    #[test]
    fn a_member_that_never_delivers_what_it_sent_is_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.send(0, 1);
        story.end();
        story.breaks("self delivery");
    }

    #[test]
    fn a_member_that_leaves_cleanly_without_what_it_sent_is_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.send(0, 1);
        story.leave(0);
        story.left(0);
        story.breaks("self delivery");
    }

    #[test]
    fn a_member_that_was_killed_owes_nothing() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.send(0, 1);
        story.kill(0);
        story.end();
        story.holds();
    }
}
