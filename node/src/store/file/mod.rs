//! A store as the loop sees it: a thread that writes to a file, or memory.

mod batch;
mod database;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use decury_common::base::id::{Identity, UserName};
use decury_common::edge::Waker;

pub use database::StoreError;

use crate::bell::Bell;
use crate::session::record::{Kept, Restored, Task};
use crate::store::memory::Memory;
use database::Database;
use worker::{Worker, size};

/// Tasks that wait to be done, and bytes in them; beyond, none is taken.
const TASKS_MAX: usize = 16_384;
const TASKS_BYTES: usize = 16 * 1024 * 1024;

/// Does what a session wants kept or found.
#[derive(Debug)]
pub enum Store {
    /// In a file.
    File(FileStore),
    /// In memory: nothing survives the program.
    Memory {
        /// What is kept.
        memory: Box<Memory>,
        /// Answers to be taken.
        kept: VecDeque<Kept>,
        /// Records so far.
        records: u64,
    },
}

/// A store in a file, done by a thread.
#[derive(Debug)]
pub struct FileStore {
    tasks: Sender<(u64, Task)>,
    queued: Arc<AtomicUsize>,
    kept: Receiver<Kept>,
    bell: Arc<Bell>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Store {
    /// Opens a file, or makes it with the identity `fresh`; what a session is to be started with. The messages of one
    /// group or person may count for `history` bytes. `waker` wakes the loop when there are answers.
    pub fn open(
        path: &Path,
        me: UserName,
        history: u64,
        fresh: Identity,
        waker: Waker,
    ) -> Result<(Store, Restored), StoreError> {
        let database = Database::open(path, me, history, fresh)?;
        let unusable = |error: String| StoreError::Unusable(path.to_owned(), error);
        let restored =
            database.restored().map_err(|error| StoreError::Damaged(path.to_owned(), error.to_string()))?;
        let (tasks, receiver) = bounded(TASKS_MAX);
        let (sender, kept) = unbounded();
        let (alive, ended) = bounded(0);
        let (queued, bell) = (Arc::new(AtomicUsize::new(0)), Bell::new(waker));
        let worker = Worker {
            database,
            tasks: receiver,
            queued: queued.clone(),
            kept: sender,
            bell: bell.clone(),
            waiting: Vec::new(),
            records: 0,
            failed: None,
        };
        let work = move || {
            worker.run();
            drop(alive);
        };
        let spawned = thread::Builder::new().name("store".to_owned()).spawn(work);
        spawned.map_err(|error| unusable(error.to_string()))?;
        Ok((Store::File(FileStore { tasks, queued, kept, bell, ended }), restored))
    }

    /// A store in memory.
    pub fn in_memory(me: UserName, identity: Identity) -> (Store, Restored) {
        let memory = Box::new(Memory::new(me, identity));
        let restored = memory.restored();
        (Store::Memory { memory, kept: VecDeque::new(), records: 0 }, restored)
    }

    /// Whether a task would be taken at once. If not, the loop is woken when one will be.
    pub fn has_room(&self) -> bool {
        let Store::File(file) = self else { return true };
        let has_room = || !file.tasks.is_full() && file.queued.load(Ordering::Relaxed) < TASKS_BYTES;
        if has_room() {
            return true;
        }
        file.bell.arm();
        has_room()
    }

    /// Takes a task that came at `at` (microseconds since 1970).
    pub fn put(&mut self, at: u64, task: Task) {
        match self {
            Store::File(file) => {
                file.queued.fetch_add(size(&task), Ordering::Relaxed);
                if file.tasks.send((at, task)).is_err() {
                    log::error!("the store's thread has ended");
                }
            }
            Store::Memory { memory, kept, records } => match task {
                Task::Keep(record) => {
                    memory.keep(at, record);
                    *records += 1;
                    kept.push_back(Kept::Stored(*records));
                }
                Task::Recall(recall) => kept.push_back(Kept::Recalled(memory.recall(&recall))),
            },
        }
    }

    /// The next answer.
    pub fn poll(&mut self) -> Option<Kept> {
        match self {
            Store::File(file) => file.kept.try_recv().ok(),
            Store::Memory { kept, .. } => kept.pop_front(),
        }
    }

    /// Whether the loop may sleep as far as this goes; answers wake it then.
    pub fn may_sleep(&self) -> bool {
        match self {
            Store::File(file) => {
                file.bell.arm();
                file.kept.is_empty()
            }
            Store::Memory { kept, .. } => kept.is_empty(),
        }
    }

    /// Waits until all is done, but no longer than `within`; whether it was.
    pub fn close(self, within: Duration) -> bool {
        let Store::File(FileStore { tasks, ended, .. }) = self else { return true };
        drop(tasks);
        ended.recv_timeout(within) == Err(RecvTimeoutError::Disconnected)
    }
}
