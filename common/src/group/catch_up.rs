//! A member's way to what others said before a view: it asks one after the other of those who know.
//!
//! A newcomer asks the members that were there before, until one has told it the last messages of the group. A member
//! whose side has merged with others asks a member of each other side for all that it lacks; when that one does not
//! store all it knew of, the next.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::Group;
use super::history::Entry;
use super::weave::weave;
use crate::base::id::{Incarnation, MemberId, MessageId, ViewId};
use crate::base::limits::{HISTORY_MAX, STORE_BYTES, STORE_MESSAGES};
use crate::base::time::Instant;
use crate::membership::{Installed, Known, View, digest, note};
use crate::mesh::Mesh;
use crate::wire::membership::{Past, Recall, Said};

/// How often it is asked again.
const ASK_REPEAT: Duration = Duration::from_millis(100);
/// One who is not in the asker's view any more may still tell for so long, if it is in reach.
const GONE_AFTER: Duration = Duration::from_secs(1);

/// Who may tell what was said before a view.
#[derive(Clone, Debug)]
pub(super) struct Tellers {
    pub(super) view: ViewId,
    /// Asked by one who was in no view before.
    is_new: bool,
    /// The members of each other side, by rank: they have delivered the same messages. For a newcomer all are one side.
    others: Vec<VecDeque<Incarnation>>,
    /// Those of the asker's own side.
    mates: VecDeque<Incarnation>,
    /// What all of them knew between them.
    known: Known,
    /// All members of that view.
    members: BTreeSet<MemberId>,
}

impl Tellers {
    /// `None` if nobody comes from elsewhere: for a member, from another view; for a newcomer, from any.
    pub(super) fn new(installed: &Installed, former: Option<ViewId>, me: MemberId) -> Option<Tellers> {
        let members = || installed.view.members.iter().zip(&installed.origins).filter(|(m, _)| m.id != me);
        let origins: BTreeSet<ViewId> = members().filter_map(|(_, &origin)| origin).collect();
        let side = |is_of: &dyn Fn(ViewId) -> bool| {
            let here = members().filter(|(_, origin)| origin.is_some_and(is_of));
            here.map(|(member, _)| member.id.incarnation).collect()
        };
        let others: Vec<_> = match former {
            None if origins.is_empty() => Vec::new(),
            None => vec![side(&|_| true)],
            Some(mine) => {
                let others = origins.iter().filter(|&&view| view != mine);
                others.map(|&other| side(&|view| view == other)).collect()
            }
        };
        let mates = former.map(|mine| side(&|view| view == mine)).unwrap_or_default();
        let known = installed.known.iter().copied().collect();
        let (view, is_new) = (installed.view.id, former.is_none());
        let members = installed.view.members.iter().map(|member| member.id).collect();
        (!others.is_empty()).then_some(Tellers { view, is_new, others, mates, known, members })
    }
}

/// The asking.
#[derive(Clone, Debug)]
pub(super) struct CatchUp {
    view: ViewId,
    members: BTreeSet<MemberId>,
    is_new: bool,
    /// Who is left to ask of each side; the last is my own.
    sides: Vec<VecDeque<Incarnation>>,
    /// The other sides of which nobody has told all it had.
    silent: BTreeSet<usize>,
    /// The side whose first one is asked.
    asking: Option<usize>,
    /// What this member knew before.
    known: Known,
    /// What all knew between them at the install.
    wanted: Known,
    /// What those who have told all knew.
    claimed: Known,
    /// What each teller told; the last list is being told.
    told: Vec<Vec<Entry>>,
    messages: usize,
    bytes: usize,
    /// What the teller need not tell.
    digest: Known,
    /// What the teller knew.
    teller_knew: Known,
    part: u32,
    ask_at: Instant,
    /// Whether this part has been asked for.
    is_asked: bool,
    /// Since when the teller is not in the asker's view any more.
    gone_since: Option<Instant>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// In the order in which the others delivered them, each sender's in order.
    pub(super) entries: Vec<Entry>,
    /// What those who told all they had knew: what they did not tell is not to come.
    pub(super) claimed: Known,
    /// Something may be missing: it is not stored any more, or those who knew are out of reach.
    pub(super) has_gap: bool,
}

impl CatchUp {
    /// `known`: what this member knows, having delivered all that it had before that view.
    pub(super) fn new(now: Instant, tellers: Tellers, known: Known) -> CatchUp {
        let Tellers { view, is_new, others: mut sides, mates, known: wanted, members } = tellers;
        let silent = (0..sides.len()).collect();
        sides.push(mates);
        let mut catch_up = CatchUp {
            view,
            members,
            is_new,
            silent,
            sides,
            asking: None,
            known: if is_new { Known::new() } else { known },
            wanted,
            claimed: Known::new(),
            told: Vec::new(),
            messages: 0,
            bytes: 0,
            digest: Known::new(),
            teller_knew: Known::new(),
            part: 0,
            ask_at: now,
            is_asked: false,
            gone_since: None,
        };
        catch_up.begin(now);
        catch_up
    }

    /// A part of the past has come.
    pub(super) fn handle_past(&mut self, now: Instant, from: Incarnation, past: Past) {
        let is_awaited = past.view == self.view && past.part == self.part && self.is_asked;
        let Some(side) = self.asking.filter(|&side| is_awaited && self.sides[side].front() == Some(&from))
        else {
            return;
        };
        let Some(known) = past.known else { return self.next_teller(now) };
        note(&mut self.teller_knew, known, |member| self.members.contains(&member));
        let before = self.messages;
        past.said.into_iter().for_each(|said| self.take(said));
        if !past.more || (self.is_new && self.messages >= HISTORY_MAX) {
            self.silent.remove(&side);
            let knew = std::mem::take(&mut self.teller_knew);
            note(&mut self.claimed, knew, |member| self.members.contains(&member));
            self.next_teller(now);
        } else if self.messages == before {
            self.next_teller(now);
        } else {
            self.ask(now);
        }
    }

    /// Takes a message, if it is news and there is room.
    fn take(&mut self, said: Said) {
        let has_room = self.messages < 2 * STORE_MESSAGES && self.bytes < 2 * STORE_BYTES;
        let known = self.digest.get(&said.id.sender).copied().unwrap_or(0);
        if !has_room || said.id.count <= known {
            return;
        }
        self.digest.insert(said.id.sender, said.id.count);
        (self.messages, self.bytes) = (self.messages + 1, self.bytes + said.payload.len());
        if let Some(list) = self.told.last_mut() {
            list.push(Entry::from_wire(said));
        }
    }

    /// Whom to ask for what, if it is time, and whether that has been asked before; `current` is the asker's view.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        mesh: &Mesh,
        current: &View,
    ) -> Option<(Incarnation, Recall, bool)> {
        while let Some(side) = self.asking {
            let teller = *self.sides[side].front()?;
            match current.rank_of_node(teller) {
                Some(_) => self.gone_since = None,
                None => _ = self.gone_since.get_or_insert(now),
            }
            let may_answer = |since| !mesh.suspects(teller) && now.since(since) < GONE_AFTER;
            let is_gone = self.gone_since.is_some_and(|since| !may_answer(since));
            if is_gone || !mesh.knows(teller) {
                self.next_teller(now);
                continue;
            }
            if mesh.suspects(teller) && self.sides[side].iter().any(|&other| !mesh.suspects(other)) {
                self.sides[side].push_back(teller);
                self.next_teller(now);
                continue;
            }
            if self.ask_at > now {
                return None;
            }
            self.ask_at = now + ASK_REPEAT;
            let is_repeated = std::mem::replace(&mut self.is_asked, true);
            let (view, part, is_new, known) = (self.view, self.part, self.is_new, digest(&self.digest));
            return Some((teller, Recall { view, part, is_new, known }, is_repeated));
        }
        None
    }

    /// When to ask again.
    pub(super) fn ask_at(&self) -> Instant {
        self.ask_at
    }

    /// The view before which all that was said.
    pub(super) fn view(&self) -> ViewId {
        self.view
    }

    /// What came of it, once nobody is to be asked any more.
    pub(super) fn poll_told(&mut self) -> Option<Told> {
        if self.asking.is_some() {
            return None;
        }
        let has_gap = !self.silent.is_empty() || (!self.is_new && self.has_holes());
        let entries = weave(std::mem::take(&mut self.told));
        Some(Told { entries, claimed: std::mem::take(&mut self.claimed), has_gap })
    }

    /// The teller has told all, or will not: the next is asked. Of a newcomer from the beginning, since this one may
    /// have delivered in another order.
    fn next_teller(&mut self, now: Instant) {
        if let Some(side) = self.asking {
            self.sides[side].pop_front();
        }
        if self.is_new && !self.silent.is_empty() {
            self.told.clear();
            (self.messages, self.bytes) = (0, 0);
        }
        self.begin(now);
    }

    /// Turns to the next teller: of a side of which none has told all, then, while something is missing, any.
    fn begin(&mut self, now: Instant) {
        let is_left = |side: &usize| !self.sides[*side].is_empty();
        self.asking = self.silent.iter().copied().find(is_left).or_else(|| {
            let left = (0..self.sides.len()).find(is_left)?;
            (!self.is_new && self.has_holes()).then_some(left)
        });
        self.teller_knew.clear();
        self.digest = self.reach();
        self.told.push(Vec::new());
        self.ask(now);
    }

    fn ask(&mut self, now: Instant) {
        self.part += 1;
        (self.ask_at, self.is_asked, self.gone_since) = (now, false, None);
    }

    /// Of each member how far what is known, and what has been told, goes without a hole.
    fn reach(&self) -> Known {
        let mut reach = self.known.clone();
        let told: BTreeSet<MessageId> = self.told.iter().flatten().map(|entry| entry.id).collect();
        for id in told {
            let last = reach.get(&id.sender).copied().unwrap_or(0);
            if id.count == last + 1 {
                reach.insert(id.sender, id.count);
            }
        }
        reach
    }

    fn has_holes(&self) -> bool {
        let reach = self.reach();
        let lacks = |sender: MemberId, count: u64| reach.get(&sender).copied().unwrap_or(0) < count;
        self.wanted.iter().chain(&self.claimed).any(|(&sender, &count)| lacks(sender, count))
            || self.told.iter().flatten().any(|entry| lacks(entry.id.sender, entry.id.count))
    }
}

impl Group {
    /// Somebody asks what was said before a view. While I have not come to that view, I do not know yet.
    pub(super) fn handle_recall(&mut self, now: Instant, from: Incarnation, recall: &Recall) {
        let Some(view) = self.membership.view() else { return };
        let is_member = view.rank_of_node(from).is_some();
        let may_tell = match self.deliveries.history.may_tell(from, recall) {
            None => is_member && view.id >= recall.view && !self.deliveries.will_come_to(recall.view),
            Some(may_tell) => may_tell,
        };
        if may_tell {
            let history = &mut self.deliveries.history;
            self.membership.tell_past(from, || history.recall(now, recall));
        }
    }

    /// A part of what I asked for has come.
    pub(super) fn handle_past(&mut self, now: Instant, from: Incarnation, past: Past) {
        self.deliveries.handle_past(now, from, past);
        self.learn_counts();
    }

    /// Asks, if it is time.
    pub(super) fn advance_catch_up(&mut self, now: Instant, mesh: &Mesh) {
        let Some(view) = self.membership.view() else { return };
        if let Some((node, recall, is_repeated)) = self.deliveries.advance(now, mesh, view) {
            self.membership.ask_past(node, recall, is_repeated);
        }
        self.learn_counts();
    }

    /// What was told of the members of the view they said before it.
    fn learn_counts(&mut self) {
        let (Some(view), known) = (self.membership.view(), self.deliveries.history.known()) else { return };
        let counts = view.members.iter().filter_map(|member| Some((member.id, *known.get(&member.id)?)));
        note(&mut self.before, counts, |_| true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::list::List;

    const TELLER: Incarnation = Incarnation(1);
    const MATE: Incarnation = Incarnation(2);
    const NOW: Instant = Instant::ZERO;

    fn speaker() -> MemberId {
        MemberId { incarnation: Incarnation(7), join: 0 }
    }

    fn view() -> ViewId {
        ViewId { number: 5, coordinator: speaker() }
    }

    /// One who knows the first message of the speaker asks one on another side, and may ask one on its own.
    fn asking() -> CatchUp {
        let (others, mates) = (vec![VecDeque::from([TELLER])], VecDeque::from([MATE]));
        let (known, members) = (Known::new(), BTreeSet::new());
        let tellers = Tellers { view: view(), is_new: false, others, mates, known, members };
        let mut catch_up = CatchUp::new(NOW, tellers, Known::from([(speaker(), 1)]));
        catch_up.is_asked = true;
        catch_up
    }

    fn past(part: u32, known: u64, counts: &[u64], more: bool) -> Past {
        let said = counts.iter().map(|&count| Said {
            id: MessageId { sender: speaker(), count },
            from: "ann".parse().unwrap(),
            clock: List::new(),
            payload: List::new(),
        });
        let known = [(speaker(), known)].into_iter().collect();
        Past { view: view(), part, known: Some(known), said: said.collect(), more }
    }

    fn told(catch_up: &mut CatchUp) -> Option<(Vec<u64>, bool)> {
        let told = catch_up.poll_told()?;
        Some((told.entries.iter().map(|entry| entry.id.count).collect(), told.has_gap))
    }

    #[test]
    fn only_what_was_asked_for_and_is_news_is_taken() {
        let mut catch_up = asking();
        catch_up.handle_past(NOW, MATE, past(1, 9, &[9], false));
        catch_up.handle_past(NOW, TELLER, past(7, 9, &[9], false));
        catch_up.handle_past(
            NOW,
            TELLER,
            Past { view: ViewId { number: 4, ..view() }, ..past(1, 9, &[9], false) },
        );
        assert_eq!(told(&mut catch_up), None);
        catch_up.handle_past(NOW, TELLER, past(1, 3, &[1, 2, 2, 3, 1], false));
        assert_eq!(told(&mut catch_up), Some((vec![2, 3], false)));
    }

    #[test]
    fn what_the_teller_does_not_store_is_asked_of_others_and_is_a_gap_if_nobody_does() {
        for (stored, gap) in [(&[2, 3][..], false), (&[], true)] {
            let mut catch_up = asking();
            catch_up.handle_past(NOW, TELLER, past(1, 4, &[4], false));
            assert_eq!(told(&mut catch_up), None, "the next is asked");
            assert_eq!(catch_up.digest, Known::from([(speaker(), 1)]), "for all that is missing");
            catch_up.is_asked = true;
            catch_up.handle_past(NOW, MATE, past(2, 4, stored, false));
            assert_eq!(told(&mut catch_up), Some(([stored, &[4]].concat(), gap)));
        }
    }

    #[test]
    fn a_teller_that_says_nothing_new_and_that_there_is_more_is_left() {
        let mut catch_up = asking();
        catch_up.handle_past(NOW, TELLER, past(1, 9, &[2], true));
        assert_eq!(told(&mut catch_up), None);
        catch_up.is_asked = true;
        catch_up.handle_past(NOW, TELLER, past(2, 9, &[2], true));
        assert_eq!(told(&mut catch_up), Some((vec![2], true)));
    }
}
