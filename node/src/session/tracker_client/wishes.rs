//! Questions on their way to the tracker: kept until answered or too old, asked again on a new connection.

use std::collections::VecDeque;
use std::time::Duration;

use decury_common::base::id::UserName;
use decury_common::base::time::Instant;
use decury_common::wire::tracker::{Answer, GroupEntry, Refusal, Request};

use super::api::{Ask, Event, Failure, Reply};

/// A question not answered for so long has failed. Longer than the longest pause between two attempts to connect, so
/// that what is asked while the tracker restarts is asked again, not lost.
pub(super) const ANSWERED_WITHIN: Duration = Duration::from_secs(6);
/// Questions that wait for an answer; further ones fail at once.
pub(super) const WISHES_MAX: usize = 128;
/// Answers that make one listing: what an ill-behaved tracker can make this node hold.
const PAGES_MAX: usize = 64;

/// One question.
#[derive(Clone, Debug)]
struct Wish {
    number: u32,
    ask: Ask,
    deadline: Instant,
    /// What goes out next for it; `None` while an answer is awaited.
    unsent: Option<Request>,
    pages: usize,
    groups: Vec<GroupEntry>,
    users: Vec<UserName>,
}

/// All questions, in the order in which they were asked: their deadlines rise.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    queue: VecDeque<Wish>,
}

impl Wishes {
    /// Takes a question in; gives it back when there are too many.
    pub(super) fn add(&mut self, now: Instant, number: u32, ask: Ask) -> Result<(), Ask> {
        if self.queue.len() >= WISHES_MAX {
            return Err(ask);
        }
        let (deadline, unsent) = (now + ANSWERED_WITHIN, Some(ask.request()));
        let (groups, users) = (Vec::new(), Vec::new());
        self.queue.push_back(Wish { number, ask, deadline, unsent, pages: 0, groups, users });
        Ok(())
    }

    /// Requests to send now, with their numbers.
    pub(super) fn take_unsent(&mut self) -> Vec<(u32, Request)> {
        self.queue.iter_mut().filter_map(|wish| Some((wish.number, wish.unsent.take()?))).collect()
    }

    /// The connection is gone: what it left unanswered is asked again, from the beginning.
    pub(super) fn unsend(&mut self) {
        for wish in &mut self.queue {
            wish.unsent = Some(wish.ask.request());
            wish.pages = 0;
            wish.groups.clear();
            wish.users.clear();
        }
    }

    /// An answer has come. `None`: it answers no question, or a listing has more to come.
    pub(super) fn handle_answer(&mut self, number: u32, result: Result<Answer, Refusal>) -> Option<Event> {
        let at = self.queue.iter().position(|wish| wish.number == number && wish.unsent.is_none())?;
        let result = match result {
            Ok(answer) => Ok(self.queue[at].turn(answer)?),
            Err(refusal) => Err(Failure::Refused(refusal)),
        };
        let wish = self.queue.remove(at)?;
        Some(Event::Answer { ask: wish.number, asked: wish.ask, result })
    }

    /// The next question that is too old, or any if no tracker will be asked any more.
    pub(super) fn expire(&mut self, now: Instant, ended: bool) -> Option<Event> {
        self.queue.front().filter(|wish| ended || wish.deadline <= now)?;
        let wish = self.queue.pop_front()?;
        Some(Event::Answer { ask: wish.number, asked: wish.ask, result: Err(Failure::Unavailable) })
    }

    /// When the next question will be too old.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.queue.front().map(|wish| wish.deadline)
    }
}

impl Wish {
    /// Turns an answer into the reply; `None` if it is part of a longer listing, whose next part is then unsent.
    fn turn(&mut self, answer: Answer) -> Option<Reply> {
        self.pages += 1;
        let last_page = self.pages >= PAGES_MAX;
        match answer {
            // Runs are for others to ask for.
            Answer::Welcome(_) | Answer::Done | Answer::Runs { .. } => Some(Reply::Done),
            Answer::Joined(joined) => Some(Reply::Joined(joined)),
            Answer::Found(contact) => Some(Reply::Found(contact)),
            Answer::Members { group, members } => {
                Some(Reply::Members { group, members: members.into_iter().collect() })
            }
            Answer::Groups { groups, more } => {
                self.groups.extend(groups);
                match self.groups.last() {
                    Some(last) if more && !last_page => {
                        self.unsent = Some(Request::Groups { after: Some(last.name) });
                        None
                    }
                    _ => Some(Reply::Groups(std::mem::take(&mut self.groups))),
                }
            }
            Answer::Users { users, more } => {
                self.users.extend(users);
                match self.users.last() {
                    Some(&last) if more && !last_page => {
                        self.unsent = Some(Request::Users { after: Some(last) });
                        None
                    }
                    _ => Some(Reply::Users(std::mem::take(&mut self.users))),
                }
            }
        }
    }
}
