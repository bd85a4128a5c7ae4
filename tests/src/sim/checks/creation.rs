//! No creation, no duplication: what is delivered was sent to that group, with that content, by who it says, and is
//! delivered once.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use decury_common::base::id::{GroupName, Incarnation, MessageId, UserName};

use super::{Check, Verdict};
use crate::sim::history::{Record, Roster, What};

#[derive(Clone, Debug, Default)]
pub(super) struct Creation {
    names: BTreeMap<Incarnation, UserName>,
    sent: BTreeMap<MessageId, (GroupName, Bytes)>,
    delivered: BTreeSet<(Incarnation, MessageId)>,
}

impl Check for Creation {
    fn promise(&self) -> &'static str {
        "no creation, no duplication"
    }

    fn observe(&mut self, record: &Record, _before: &Roster) -> Verdict {
        match &record.what {
            What::Started { incarnation, name } => {
                self.names.insert(*incarnation, *name);
            }
            What::Sent { group, id, payload } => {
                let before = self.sent.insert(*id, (*group, payload.clone()));
                return before.map_or(Ok(()), |_| Err(format!("the id {id} was given to two messages")));
            }
            What::Delivered { group, member, delivery } | What::Told { group, member, delivery } => {
                let id = delivery.id;
                match self.sent.get(&id) {
                    None => return Err(format!("{member} delivered {id}, which nobody sent")),
                    Some((to, _)) if to != group => {
                        return Err(format!("{member} delivered {id} in {group}, it was sent to {to}"));
                    }
                    Some((_, payload)) if *payload != delivery.payload => {
                        return Err(format!("{member} delivered {id} with another content than was sent"));
                    }
                    Some(_) => {}
                }
                if self.names.get(&id.sender.incarnation) != Some(&delivery.from) {
                    return Err(format!("{member} delivered {id} as from {}", delivery.from));
                }
                if !self.delivered.insert((member.incarnation, id)) {
                    return Err(format!("{member} delivered {id} twice"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::checks::story::{Story, delivered};

    const PROMISE: &str = "no creation, no duplication";

    #[test]
    fn a_message_sent_once_and_delivered_once_is_fine() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.send(0, 1);
        story.deliver(0, 0, 1);
        story.deliver(1, 0, 1);
        story.holds();
    }

    #[test]
    fn a_message_that_nobody_sent_is_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.deliver(1, 0, 1);
        story.breaks(PROMISE);
    }

    #[test]
    fn a_second_delivery_is_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.send(0, 1);
        story.deliver(1, 0, 1);
        story.deliver(1, 0, 1);
        story.breaks(PROMISE);
    }

    #[test]
    fn another_content_or_another_sender_is_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.send(0, 1);
        let mut changed = delivered(1, 0, 1);
        changed.payload = bytes::Bytes::from_static(b"else");
        story.tell(1, changed.into_what(1));
        story.breaks(PROMISE);

        let mut story = Story::with_view(1, &[0, 1]);
        story.send(0, 1);
        let mut changed = delivered(1, 0, 1);
        changed.from = "n1".parse().unwrap();
        story.tell(1, changed.into_what(1));
        story.breaks(PROMISE);
    }

    #[test]
    fn an_id_given_twice_is_seen() {
        let mut story = Story::with_view(1, &[0, 1]);
        story.send(0, 1);
        story.send(0, 1);
        story.breaks(PROMISE);
    }
}
