//! Causal safety: nothing is delivered before what its sender had delivered or sent, in the same view, when it sent it.
//!
//! What a sender had delivered is taken from the records, not from the clock in the message; the clock is held
//! against it.

use std::collections::BTreeMap;

use decury_common::base::id::{MemberId, MessageId, UserName, ViewId};
use decury_common::endpoint::VectorClock;
use decury_common::order::OrderKind;

use super::{Check, Verdict};
use crate::sim::history::{Delivery, Record, Roster, What};

/// The number of each sender's last message delivered in a view. (Order within a sender, and that there are no gaps,
/// is another promise.)
type Delivered = BTreeMap<MemberId, u64>;

#[derive(Clone, Debug, Default)]
pub(super) struct Causal {
    current: BTreeMap<MemberId, Current>,
    /// What its sender had delivered when it sent this message, and in which view.
    past: BTreeMap<MessageId, (ViewId, Delivered)>,
    /// The clock with which each message was delivered first.
    clocks: BTreeMap<MessageId, VectorClock>,
}

#[derive(Clone, Debug)]
struct Current {
    view: ViewId,
    ordered: bool,
    delivered: Delivered,
    /// How many messages of each person were delivered in this view.
    counts: BTreeMap<UserName, u64>,
}

impl Check for Causal {
    fn promise(&self) -> &'static str {
        "causal order"
    }

    fn observe(&mut self, record: &Record, _before: &Roster) -> Verdict {
        match &record.what {
            What::View { member, view, .. } => {
                let ordered = view.order != OrderKind::Fifo;
                let (delivered, counts) = Default::default();
                self.current.insert(*member, Current { view: view.id, ordered, delivered, counts });
                Ok(())
            }
            What::Sent { id, .. } => {
                if let Some(current) = self.current.get(&id.sender)
                    && current.ordered
                {
                    self.past.insert(*id, (current.view, current.delivered.clone()));
                }
                Ok(())
            }
            What::Delivered { member, delivery, .. } => self.on_delivered(*member, delivery),
            _ => Ok(()),
        }
    }
}

impl Causal {
    fn on_delivered(&mut self, member: MemberId, delivery: &Delivery) -> Verdict {
        let Some(current) = self.current.get_mut(&member) else { return Ok(()) };
        let id = delivery.id;
        *current.counts.entry(delivery.from).or_default() += 1;
        current.delivered.insert(id.sender, id.count);
        if !current.ordered {
            return if delivery.clock.is_empty() {
                Ok(())
            } else {
                Err(format!("{id} has a clock, in fifo"))
            };
        }
        if let Some((view, past)) = self.past.get(&id)
            && *view == current.view
        {
            for (sender, count) in past.iter().filter(|(sender, _)| **sender != id.sender) {
                let have = current.delivered.get(sender).copied().unwrap_or(0);
                if have < *count {
                    return Err(format!(
                        "{member} delivered {id} before {}, which {} had delivered when it sent it",
                        MessageId { sender: *sender, count: *count },
                        id.sender,
                    ));
                }
            }
        }
        for (name, count) in delivery.clock.iter() {
            let have = current.counts.get(&name).copied().unwrap_or(0);
            if have < count || (name == delivery.from && have != count) {
                return Err(format!(
                    "{member} delivered {id}, whose clock says {count} of {name}, after {have} of them"
                ));
            }
        }
        let known = self.clocks.entry(id).or_insert_with(|| delivery.clock.clone());
        if *known != delivery.clock {
            let clock = &delivery.clock;
            return Err(format!("{member} delivered {id} with clock {clock:?}, others with {known:?}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::checks::story::{Story, delivered};
    use decury_common::order::OrderKind;

    const PROMISE: &str = "causal order";

    /// n0 sends 1, n1 delivers it and answers.
    fn told(order: OrderKind) -> Story {
        let mut story = Story::new(order);
        story.view(1, &[0, 1, 2]);
        story.send(0, 1);
        story.deliver(1, 0, 1);
        story.send(1, 1);
        story
    }

    #[test]
    fn an_answer_after_its_question_is_fine() {
        let mut story = told(OrderKind::Causal);
        story.deliver(2, 0, 1);
        story.deliver(2, 1, 1);
        story.holds();
    }

    #[test]
    fn an_answer_before_its_question_is_seen() {
        let mut story = told(OrderKind::Causal);
        story.deliver(2, 1, 1);
        story.breaks(PROMISE);
    }

    #[test]
    fn fifo_promises_nothing_of_the_kind() {
        let mut story = told(OrderKind::Fifo);
        story.deliver(2, 1, 1);
        story.holds();
    }

    #[test]
    fn a_question_that_died_with_its_view_is_not_asked_for_in_the_next() {
        let mut story = told(OrderKind::Causal);
        story.view(2, &[1, 2]);
        let mut late = delivered(2, 1, 1);
        late.clock = [("n1".parse().unwrap(), 1)].into_iter().collect();
        story.tell(2, late.into_what(2));
        assert!(story.broken().is_none_or(|violation| violation.promise != PROMISE));
    }

    #[test]
    fn a_clock_ahead_of_what_was_delivered_is_seen() {
        let mut story = told(OrderKind::Causal);
        story.deliver(2, 0, 1);
        let mut wrong = delivered(1, 1, 1);
        wrong.clock = [("n0".parse().unwrap(), 2), ("n1".parse().unwrap(), 1)].into_iter().collect();
        story.tell(2, wrong.into_what(2));
        story.breaks(PROMISE);
    }

    #[test]
    fn two_clocks_of_one_message_are_seen() {
        let mut story = told(OrderKind::Causal);
        story.deliver(1, 1, 1);
        story.deliver(2, 0, 1);
        let mut other = delivered(1, 1, 1);
        other.clock = [("n1".parse().unwrap(), 1)].into_iter().collect();
        story.tell(2, other.into_what(2));
        story.breaks(PROMISE);
    }
}
