//! What one member of a run sees, message by message and view by view, and how it is told to the one who conducts it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Instant;

use super::checks::{Heard, Message};
use super::options::Run;
use super::workload::Stamps;

/// What the threads of a run tell the one that conducts it.
#[derive(Debug)]
pub(crate) enum News {
    /// A member sees all members.
    Together,
    /// A sender has sent all it will: so many messages.
    Sent(usize, u64),
    /// The run has failed.
    Wrong(String),
    /// A member has ended.
    Ended(Box<Said>),
}

/// All that a member has said, once it has ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) me: usize,
    pub(crate) heard: Heard,
    pub(crate) bye: Bye,
}

/// A member's own figures.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bye {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) datagrams: u64,
    pub(crate) retransmitted: u64,
}

/// What all threads of a run see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) stamps: Stamps,
    /// By member.
    pub(crate) delivered: Vec<AtomicU64>,
    /// From now on members leave.
    pub(crate) over: AtomicBool,
}

/// A member's eyes.
#[derive(Debug)]
pub(crate) struct Witness<'a> {
    pub(crate) me: usize,
    pub(crate) run: &'a Run,
    pub(crate) shared: &'a Shared,
    pub(crate) news: Sender<News>,
    together: bool,
    heard: Heard,
}

impl Shared {
    pub(crate) fn new(run: &Run) -> Shared {
        let delivered = (0..run.members).map(|_| AtomicU64::new(0)).collect();
        Shared { stamps: Stamps::new(run), delivered, over: AtomicBool::new(false) }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

impl<'a> Witness<'a> {
    pub(crate) fn new(
        me: usize,
        run: &'a Run,
        shared: &'a Shared,
        news: &Sender<News>,
    ) -> Result<Witness<'a>, String> {
        let (heard, news) = (Heard::new(me, run)?, news.clone());
        Ok(Witness { me, run, shared, news, together: false, heard })
    }

    /// A message was read at that time. The error is what is wrong with it.
    pub(crate) fn message(&mut self, at: Instant, message: &Message) -> Result<(), String> {
        self.heard.hear(at, message, &self.shared.stamps)?;
        self.shared.delivered[self.me].store(self.heard.count(), Ordering::Release);
        Ok(())
    }

    /// There is a view of so many members. The error is what is wrong with that.
    pub(crate) fn view(&mut self, members: usize) -> Result<(), String> {
        if self.together && !self.shared.is_over() {
            return Err(format!("the group has changed while it was measured: {members} members"));
        }
        if members == self.run.members {
            self.together = true;
            self.tell(News::Together);
        }
        Ok(())
    }

    /// The member has ended, in good order or not.
    pub(crate) fn end(self, result: Result<Bye, String>) {
        let Witness { me, heard, news, .. } = self;
        _ = news.send(match result {
            Ok(bye) => News::Ended(Box::new(Said { me, heard, bye })),
            Err(why) => News::Wrong(format!("m{me}: {why}")),
        });
    }

    /// Nobody may be listening any more: then the run has failed already.
    pub(crate) fn tell(&self, news: News) {
        _ = self.news.send(news);
    }
}
