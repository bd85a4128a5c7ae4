//! The thread that writes: what has come while the last batch was written is the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::database::{Database, trouble};
use crate::bell::Bell;
use crate::session::record::{Kept, Record, Task};

/// Tasks in one transaction.
const BATCH: usize = 4_096;
/// How often it is tried again to write what could not be written.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// Messages, and bytes, that wait while nothing can be written; the oldest messages of groups go first.
const WAITING_MAX: usize = 16_384;
const WAITING_BYTES: usize = 16 * 1024 * 1024;

/// The thread's own state.
pub(super) struct Worker {
    pub(super) database: Database,
    pub(super) tasks: Receiver<(u64, Task)>,
    /// Bytes that wait in `tasks`.
    pub(super) queued: Arc<AtomicUsize>,
    pub(super) kept: Sender<Kept>,
    pub(super) bell: Arc<Bell>,
    /// What is not written.
    pub(super) waiting: Vec<(u64, Task)>,
    /// Records taken in so far.
    pub(super) records: u64,
    pub(super) failed: Option<Failed>,
}

/// Nothing can be written.
pub(super) struct Failed {
    retry_at: Instant,
    /// Messages given up meanwhile.
    lost: u64,
}

impl Worker {
    /// Works until there will be no more to do.
    pub(super) fn run(mut self) {
        while self.gather() {
            let is_due = self.failed.as_ref().is_none_or(|failed| failed.retry_at <= Instant::now());
            if is_due {
                self.write();
            } else {
                self.hold();
            }
            self.bell.ring();
        }
        if !self.waiting.is_empty() {
            self.write();
        }
    }

    /// Takes in what has come, or waits for it; false at the end.
    fn gather(&mut self) -> bool {
        let first = match &self.failed {
            None => self.tasks.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(failed) => self.tasks.recv_deadline(failed.retry_at),
        };
        match first {
            Ok(task) => self.take(task),
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        for _ in 1..BATCH {
            let Ok(task) = self.tasks.try_recv() else { break };
            self.take(task);
        }
        true
    }

    fn take(&mut self, task: (u64, Task)) {
        self.queued.fetch_sub(size(&task.1), Ordering::Relaxed);
        self.records += u64::from(matches!(task.1, Task::Keep(_)));
        self.waiting.push(task);
    }

    /// Writes all that waits. What is asked is answered when all before it is safe.
    fn write(&mut self) {
        match self.database.write(self.waiting.iter()) {
            Ok(answers) => {
                self.waiting.clear();
                self.tell(Kept::Stored(self.records));
                answers.into_iter().for_each(|answer| self.tell(Kept::Recalled(answer)));
                if let Some(Failed { lost, .. }) = self.failed.take() {
                    log::info!("the store can be written again");
                    self.tell(Kept::Working { lost });
                }
            }
            Err(error) => {
                let trouble = trouble(&error);
                let lost = match self.failed.take() {
                    Some(failed) => failed.lost,
                    None => {
                        log::error!("the store cannot be written: {error}");
                        self.tell(Kept::Trouble(trouble));
                        0
                    }
                };
                self.failed = Some(Failed { retry_at: Instant::now() + RETRY_EVERY, lost });
                self.hold();
            }
        }
    }

    /// Nothing can be written: nobody waits for that. Questions are answered by what is there, and of too much the
    /// oldest goes.
    fn hold(&mut self) {
        self.tell(Kept::Stored(self.records));
        let asked: Vec<_> = self.waiting.extract_if(.., |task| matches!(task.1, Task::Recall(_))).collect();
        for task in asked {
            let answer = match self.database.write(std::iter::once(&task)) {
                Ok(mut answers) => answers.pop().unwrap_or(Ok(None)),
                Err(error) => Err(trouble(&error)),
            };
            self.tell(Kept::Recalled(answer));
        }
        let bytes: usize = self.waiting.iter().map(|task| size(&task.1)).sum();
        if self.waiting.len() > WAITING_MAX || bytes > WAITING_BYTES {
            let (before, half) = (self.waiting.len(), self.waiting.len() / 2);
            let mut place = 0;
            self.waiting.retain(|task| {
                place += 1;
                place > half || !matches!(task.1, Task::Keep(Record::Said { .. }))
            });
            if let Some(failed) = &mut self.failed {
                failed.lost += (before - self.waiting.len()) as u64;
            }
        }
    }

    /// The session's thread may be gone already, which is as well.
    fn tell(&self, kept: Kept) {
        _ = self.kept.send(kept);
    }
}

/// What a task counts for in memory.
pub(super) fn size(task: &Task) -> usize {
    let text = match task {
        Task::Keep(Record::Said { text, .. } | Record::Written { text, .. } | Record::Heard { text, .. }) => {
            text.len()
        }
        Task::Keep(_) | Task::Recall(_) => 0,
    };
    text + size_of::<Task>()
}
