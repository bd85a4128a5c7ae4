//! The store's file: a SQLite database in the write-ahead mode, durable at each commit.
//!
//! A batch of tasks is one transaction. What is damaged, foreign or of a newer version is refused; nothing is ever reset.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use decury_common::base::id::{GroupId, GroupName, Identity, Incarnation, MemberId, MessageId, UserName};
use decury_common::endpoint::Known;
use rusqlite::types::FromSql;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags, Row, params};
use thiserror::Error;

use super::batch::{Batch, Ledger};
use crate::session::record::{HEARD_MAX, Letter, MET_MAX, Met, Place, Recalled, Restored, Task, Trouble};

/// The format of the file that this version writes, and the only one it reads.
const FORMAT: i64 = 2;
/// Members of one group whose last message is remembered.
const KNOWN_MAX: usize = 1_024;

/// Why a store cannot be opened. Each is one sentence to a person.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It is damaged, or something else.
    #[error(
        "the store {0} is damaged ({1}); nothing was changed: put a copy back, or move it away to start without its \
         history and outbox"
    )]
    Damaged(PathBuf, String),
    /// It is of a newer version.
    #[error(
        "the store {0} is of a newer version of this program (its format is {1}, this one knows {FORMAT}): use that \
         version, or another --data"
    )]
    Newer(PathBuf, i64),
    /// The system refuses.
    #[error("the store {0} cannot be used: {1}")]
    Unusable(PathBuf, String),
}

/// The open file.
#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    me: UserName,
    /// Bytes that the messages of one talk may count for.
    history: u64,
    ledger: Ledger,
}

impl Database {
    /// Opens the file, or makes it with the identity `fresh` if there is none.
    pub(super) fn open(
        path: &Path,
        me: UserName,
        history: u64,
        fresh: Identity,
    ) -> Result<Database, StoreError> {
        let explain = |error| explain(path, &error);
        if !path.try_exists().map_err(|error| StoreError::Unusable(path.to_owned(), error.to_string()))? {
            create(path, fresh)?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(explain)?;
        lock(&connection).map_err(explain)?;
        check(path, &connection)?;
        configure(&connection).map_err(explain)?;
        tidy(&connection).map_err(explain)?;
        Ok(Database { connection, me, history, ledger: Ledger::default() })
    }

    /// All that was kept for a session to start with.
    pub(super) fn restored(&self) -> Result<Restored, Error> {
        let db = &self.connection;
        let identity: i64 =
            db.query_row("SELECT value FROM facts WHERE name = 'identity'", [], |row| row.get(0))?;
        let current = list(db, "SELECT value FROM facts WHERE name = 'current'", |row| parsed(row, 0))?;
        let groups = list(
            db,
            "SELECT name, group_id, group_order FROM talks WHERE kind = 0 AND joined > 0 ORDER BY joined",
            |row| Ok(Place { group: parsed(row, 0)?, id: GroupId(number(row, 1)?), order: parsed(row, 2)? }),
        )?;
        let port = list(db, "SELECT value FROM facts WHERE name = 'port'", |row| row.get(0))?;
        let met = list(
            db,
            &format!("SELECT name, address FROM met ORDER BY number DESC LIMIT {MET_MAX}"),
            |row| Ok(Met { user: parsed(row, 0)?, address: parsed(row, 1)? }),
        )?;
        let outbox = list(
            db,
            "SELECT incarnation, joined, count, recipient, text FROM outbox ORDER BY number",
            |row| {
                Ok(Letter {
                    id: message_id(row)?,
                    to: parsed(row, 3)?,
                    text: row.get::<_, Vec<u8>>(4)?.into(),
                })
            },
        )?;
        let heard = list(db, "SELECT incarnation, joined, count, name FROM heard", |row| {
            let MessageId { sender, count } = message_id(row)?;
            Ok(((parsed(row, 3)?, sender), count))
        })?;
        let mut known: BTreeMap<GroupName, Known> = BTreeMap::new();
        let members = list(
            db,
            "SELECT known.incarnation, known.joined, known.count, name FROM known JOIN talks ON number = talk",
            |row| Ok((parsed(row, 3)?, message_id(row)?)),
        )?;
        for (group, MessageId { sender, count }) in members {
            known.entry(group).or_default().insert(sender, count);
        }
        Ok(Restored {
            identity: Identity(identity.cast_unsigned()),
            groups,
            current: current.into_iter().next(),
            met,
            port: port.into_iter().next(),
            known,
            outbox,
            heard: heard.into_iter().collect(),
        })
    }

    /// Does these tasks in one transaction, durable when this returns; or none of them. The answers to what was asked,
    /// in order.
    pub(super) fn write<'a>(
        &mut self,
        tasks: impl Iterator<Item = &'a (u64, Task)>,
    ) -> Result<Vec<Recalled>, Error> {
        let transaction = self.connection.transaction()?;
        let done = Batch::new(&transaction, self.me, self.history, &mut self.ledger)
            .and_then(|batch| batch.run(tasks))
            .and_then(|answers| transaction.commit().map(|()| answers));
        if done.is_err() {
            self.ledger = Ledger::default();
        }
        done
    }
}

/// What an error means to a person who talks.
pub(super) fn trouble(error: &Error) -> Trouble {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Trouble::Full,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Trouble::Damaged,
        _ => Trouble::Unusable,
    }
}

fn explain(path: &Path, error: &Error) -> StoreError {
    match trouble(error) {
        Trouble::Damaged => StoreError::Damaged(path.to_owned(), error.to_string()),
        Trouble::Full | Trouble::Unusable => StoreError::Unusable(path.to_owned(), error.to_string()),
    }
}

/// Makes the file aside and moves it into place when it is complete: an empty or partial file is never a fresh one.
fn create(path: &Path, identity: Identity) -> Result<(), StoreError> {
    let unusable = |error: std::io::Error| StoreError::Unusable(path.to_owned(), error.to_string());
    let aside = path.with_extension("new");
    for leftover in [aside.clone(), aside.with_extension("new-journal")] {
        match fs::remove_file(leftover) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unusable(error)),
            _ => {}
        }
    }
    fill(&aside, identity).map_err(|error| explain(path, &error))?;
    fs::rename(&aside, path).map_err(unusable)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(unusable)
}

fn fill(path: &Path, identity: Identity) -> Result<(), Error> {
    let connection = Connection::open(path)?;
    connection.execute_batch("BEGIN")?;
    connection.execute_batch(include_str!("schema.sql"))?;
    let identity = identity.0.cast_signed();
    connection.execute("INSERT INTO facts VALUES ('identity', ?)", params![identity])?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    connection.execute_batch("COMMIT")?;
    connection.close().map_err(|(_, error)| error)
}

/// One process has the file, so its index of the log stays in memory; a full disk then is an error, never a signal.
fn lock(connection: &Connection) -> Result<(), Error> {
    connection.query_row("PRAGMA locking_mode = EXCLUSIVE", [], |_| Ok(()))
}

fn configure(connection: &Connection) -> Result<(), Error> {
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")
}

fn check(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let explain = |error| explain(path, &error);
    let damaged = |why: &str| Err(StoreError::Damaged(path.to_owned(), why.to_owned()));
    let format = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(explain)?;
    match format {
        FORMAT => {}
        newer @ FORMAT.. => return Err(StoreError::Newer(path.to_owned(), newer)),
        _ => return damaged("it is empty, or of another program"),
    }
    let found: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(explain)?;
    if found == "ok" { Ok(()) } else { damaged(found.lines().last().unwrap_or_default()) }
}

/// Forgets the oldest of what is remembered without bound otherwise.
fn tidy(connection: &Connection) -> Result<(), Error> {
    connection.execute(
        "DELETE FROM heard WHERE (name, incarnation, joined) IN
         (SELECT name, incarnation, joined FROM heard ORDER BY at DESC LIMIT -1 OFFSET ?)",
        params![HEARD_MAX as i64],
    )?;
    connection.execute(
        "DELETE FROM known WHERE (talk, incarnation, joined) IN
         (SELECT talk, incarnation, joined FROM
          (SELECT *, row_number() OVER (PARTITION BY talk ORDER BY at DESC) AS place FROM known) WHERE place > ?)",
        params![KNOWN_MAX as i64],
    )?;
    Ok(())
}

fn list<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    connection.prepare(sql)?.query_map([], read)?.collect()
}

/// A column that holds a name; a file may hold anything.
pub(super) fn parsed<T: std::str::FromStr>(row: &Row<'_>, column: usize) -> Result<T, Error> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| Error::InvalidColumnType(column, text.clone(), rusqlite::types::Type::Text))
}

pub(super) fn number(row: &Row<'_>, column: usize) -> Result<u64, Error> {
    get::<i64>(row, column).map(i64::cast_unsigned)
}

fn get<T: FromSql>(row: &Row<'_>, column: usize) -> Result<T, Error> {
    row.get(column)
}

/// The identity in the first three columns.
pub(super) fn message_id(row: &Row<'_>) -> Result<MessageId, Error> {
    let sender = MemberId { incarnation: Incarnation(number(row, 0)?), join: get(row, 1)? };
    Ok(MessageId { sender, count: number(row, 2)? })
}
