//! The part of a node that wants in: asks everybody it knows of, and founds the group when nobody answers.

use std::sync::Arc;
use std::time::Duration;

use super::{Context, Installed, Membership, Outcome, View, WISH_REPEAT};
use crate::base::id::{Incarnation, ViewId};
use crate::wire::Frame;
use crate::wire::membership::{Digest, Join};

impl Membership {
    pub(super) fn advance_joiner(&mut self, cx: &mut Context<'_>) {
        if self.may_found(cx) {
            self.found();
            return;
        }
        if cx.now >= self.wish_at {
            self.wish_at = cx.now + WISH_REPEAT;
            let asked: Vec<Incarnation> = self.roster.contacts().map(|(node, _)| node).collect();
            for node in asked.into_iter().filter(|&node| cx.mesh.reaches(cx.now, node)) {
                self.post(node, Frame::Join(Box::new(Join { member: self.me.clone() })));
                self.beacons.insert(node);
            }
        }
        self.check_by(self.wish_at, "membership: repeat a wish");
    }

    /// A node is in reach now: if it matters to the group, it is told where I stand, and asked at once if I want in.
    pub fn handle_met(&mut self, node: Incarnation) {
        if !self.knows(node) {
            return;
        }
        self.beacons.insert(node);
        if self.view.is_none() {
            self.post(node, Frame::Join(Box::new(Join { member: self.me.clone() })));
        }
    }

    /// Nobody to ask; or for some time nobody in reach who is in a view, and I am the first of those who wait; or
    /// that has lasted so long that the first does not seem to do it.
    fn may_found(&self, cx: &Context<'_>) -> bool {
        let mut contacts = self.roster.contacts().peekable();
        if contacts.peek().is_none() {
            return true;
        }
        let waited = cx.now.since(self.joining_since);
        let (brief, long) = (Duration::from_secs(1), self.suspect_after * 2 + Duration::from_secs(2));
        let in_reach = |node: Incarnation| cx.mesh.reaches(cx.now, node);
        let inhabited = |node: Incarnation| self.roster.node(node).is_some_and(|known| known.view.is_some());
        if self.roster.contacts().any(|(node, _)| in_reach(node) && inhabited(node)) {
            return false;
        }
        let first = contacts.all(|(node, _)| !in_reach(node) || node > self.me.id.incarnation);
        waited >= long || (waited >= brief && first)
    }

    /// A view of my own. Its number exceeds all I have seen, so that my views rise.
    fn found(&mut self) {
        self.seen += 1;
        let id = ViewId { number: self.seen, coordinator: self.me.id };
        self.promised = Some(id);
        self.change = None;
        let view = View { id, members: vec![self.me.clone()] };
        self.view = Some(Arc::new(view.clone()));
        self.beacon_all();
        self.outcomes.push(Outcome::Installed(Box::new(Installed {
            view,
            cut: None,
            position: 0,
            joined: vec![self.me.name],
            origins: vec![None],
            known: Digest::new(),
            left: Vec::new(),
            lost: Vec::new(),
            merged: false,
            out: false,
        })));
    }
}
