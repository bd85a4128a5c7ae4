//! One transaction of tasks.

use std::collections::BTreeMap;

use decury_common::base::id::{GroupId, GroupName, MessageId, UserName};
use decury_common::endpoint::Known;
use decury_common::order::OrderKind;
use rusqlite::{Error, OptionalExtension as _, Statement, Transaction, params};

use super::database::{message_id, number, parsed};
use crate::session::Text;
use crate::session::record::{MET_MAX, Met, Past, RECALL_MAX, Recall, Recalled, Record, Talk, Task};

/// A message counts for its text and so many bytes more.
const MESSAGE_COST: u64 = 64;
/// Bytes of text that one answer has at most.
const RECALL_BYTES: usize = 8 * 1024 * 1024;
/// Bits of a message's number that count within its talk.
const COUNT_BITS: u32 = 40;
/// Talks whose rows are remembered.
const LEDGER_MAX: usize = 256;

/// The rows of talks, as they stand in the file, with what this batch changes.
#[derive(Debug, Default)]
pub(super) struct Ledger(BTreeMap<Talk, Account>);

#[derive(Debug)]
struct Account {
    number: i64,
    last: i64,
    bytes: u64,
    known: Known,
    is_changed: bool,
}

impl Account {
    /// The number of the message with that count.
    fn message(&self, count: i64) -> i64 {
        (self.number << COUNT_BITS) + count
    }
}

/// A transaction under way.
pub(super) struct Batch<'a> {
    transaction: &'a Transaction<'a>,
    insert: Statement<'a>,
    me: UserName,
    history: u64,
    ledger: &'a mut Ledger,
    /// The time of the last task.
    at: i64,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        transaction: &'a Transaction<'a>,
        me: UserName,
        history: u64,
        ledger: &'a mut Ledger,
    ) -> Result<Batch<'a>, Error> {
        let insert = transaction.prepare("INSERT OR IGNORE INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?;
        if ledger.0.len() > LEDGER_MAX {
            ledger.0.clear();
        }
        Ok(Batch { transaction, insert, me, history, ledger, at: 0 })
    }

    /// Does all that, and gives the answers to what was asked.
    pub(super) fn run<'t>(
        mut self,
        tasks: impl Iterator<Item = &'t (u64, Task)>,
    ) -> Result<Vec<Recalled>, Error> {
        let mut answers = Vec::new();
        for (at, task) in tasks {
            self.at = i64::try_from(*at).unwrap_or(i64::MAX);
            match task {
                Task::Keep(record) => self.keep(record)?,
                Task::Recall(recall) => answers.push(Ok(self.recall(recall)?)),
            }
        }
        self.settle()?;
        Ok(answers)
    }

    fn keep(&mut self, record: &Record) -> Result<(), Error> {
        match record {
            Record::Joined { group, id, order } => self.joined(*group, *id, *order),
            Record::Left { group } => {
                let sql = "UPDATE talks SET joined = 0 WHERE kind = 0 AND name = ?";
                self.transaction.execute(sql, params![group.as_str()]).map(drop)
            }
            Record::Current { group: None } => {
                self.transaction.execute("DELETE FROM facts WHERE name = 'current'", []).map(drop)
            }
            Record::Current { group: Some(group) } => {
                let sql = "INSERT OR REPLACE INTO facts VALUES ('current', ?)";
                self.transaction.execute(sql, params![group.as_str()]).map(drop)
            }
            Record::Met(met) => self.met(met),
            Record::Bound { port } => {
                let sql = "INSERT OR REPLACE INTO facts VALUES ('port', ?)";
                self.transaction.execute(sql, params![port]).map(drop)
            }
            Record::Said { group, from, id, text, caught_up } => {
                self.say(Talk::Group(*group), *from, *id, text, *caught_up)
            }
            Record::Written { to, id, text } => {
                let (incarnation, joined, count) = columns(*id);
                let sql = "INSERT OR IGNORE INTO outbox (incarnation, joined, count, recipient, text) \
                           VALUES (?, ?, ?, ?, ?)";
                let row = params![incarnation, joined, count, to.as_str(), &text[..]];
                self.transaction.execute(sql, row)?;
                self.say(Talk::Person(*to), self.me, *id, text, false)
            }
            Record::Settled { id } => {
                let sql = "DELETE FROM outbox WHERE incarnation = ? AND joined = ? AND count = ?";
                self.transaction.execute(sql, columns(*id)).map(drop)
            }
            Record::Heard { from, id, text } => {
                let (incarnation, joined, count) = columns(*id);
                let sql = "INSERT OR REPLACE INTO heard VALUES (?, ?, ?, ?, ?)";
                self.transaction.execute(sql, params![from.as_str(), incarnation, joined, count, self.at])?;
                self.say(Talk::Person(*from), *from, *id, text, false)
            }
        }
    }

    /// A group keeps its place among those joined. If its name has got to another group, what was known stays: a member
    /// is never one of two groups, and who was there may come back.
    fn joined(&mut self, group: GroupName, id: GroupId, order: OrderKind) -> Result<(), Error> {
        let number = self.account(Talk::Group(group))?.number;
        let id = id.0.cast_signed();
        let sql = "UPDATE talks SET group_id = ?, group_order = ?, joined = CASE joined
                   WHEN 0 THEN (SELECT max(joined) + 1 FROM talks) ELSE joined END WHERE number = ?";
        self.transaction.execute(sql, params![id, order.as_str(), number]).map(drop)
    }

    fn met(&mut self, met: &Met) -> Result<(), Error> {
        let sql = "INSERT OR REPLACE INTO met (name, address) VALUES (?, ?)";
        self.transaction.execute(sql, params![met.user.as_str(), met.address.to_string()])?;
        let sql = "DELETE FROM met WHERE number NOT IN (SELECT number FROM met ORDER BY number DESC LIMIT ?)";
        self.transaction.execute(sql, params![MET_MAX as i64]).map(drop)
    }

    fn say(
        &mut self,
        talk: Talk,
        from: UserName,
        id: MessageId,
        text: &[u8],
        caught_up: bool,
    ) -> Result<(), Error> {
        let at = self.at;
        let account = self.account(talk)?;
        let place = account.message(account.last + 1);
        account.is_changed = true;
        if matches!(talk, Talk::Group(_)) {
            let last = account.known.entry(id.sender).or_default();
            *last = id.count.max(*last);
        }
        let (incarnation, joined, count) = columns(id);
        let row = params![place, incarnation, joined, count, from.as_str(), at, caught_up, text];
        if self.insert.execute(row)? > 0 {
            let account = self.account(talk)?;
            account.last += 1;
            account.bytes += MESSAGE_COST + text.len() as u64;
        }
        Ok(())
    }

    fn account(&mut self, talk: Talk) -> Result<&mut Account, Error> {
        use std::collections::btree_map::Entry;
        match self.ledger.0.entry(talk) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => {
                let (kind, name) = key(&talk);
                let sql = "INSERT OR IGNORE INTO talks (kind, name) VALUES (?, ?)";
                self.transaction.execute(sql, params![kind, name])?;
                let sql = "SELECT number, last, bytes FROM talks WHERE kind = ? AND name = ?";
                let account = self.transaction.query_row(sql, params![kind, name], |row| {
                    let (number, last, bytes) = (row.get(0)?, row.get(1)?, number(row, 2)?);
                    Ok(Account { number, last, bytes, known: Known::new(), is_changed: false })
                })?;
                Ok(new.insert(account))
            }
        }
    }

    /// Brings the rows of the talks up to date, and drops the oldest messages of those that have too many.
    fn settle(&mut self) -> Result<(), Error> {
        let mut update = self.transaction.prepare("UPDATE talks SET last = ?, bytes = ? WHERE number = ?")?;
        let mut know = self.transaction.prepare(
            "INSERT INTO known VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE \
             SET count = max(count, excluded.count), at = excluded.at",
        )?;
        for account in self.ledger.0.values_mut().filter(|account| account.is_changed) {
            if account.bytes > self.history {
                trim(self.transaction, account, self.history)?;
            }
            update.execute(params![account.last, account.bytes.cast_signed(), account.number])?;
            for (sender, count) in std::mem::take(&mut account.known) {
                let (incarnation, joined, count) = columns(MessageId { sender, count });
                know.execute(params![account.number, incarnation, joined, count, self.at])?;
            }
            account.is_changed = false;
        }
        Ok(())
    }

    fn recall(&self, recall: &Recall) -> Result<Option<(Talk, Vec<Past>)>, Error> {
        for talk in &recall.talks {
            let messages = self.last(talk, recall.last.min(RECALL_MAX))?;
            if !messages.is_empty() {
                return Ok(Some((*talk, messages)));
            }
        }
        Ok(None)
    }

    /// The last messages of a talk, oldest first.
    fn last(&self, talk: &Talk, count: usize) -> Result<Vec<Past>, Error> {
        let (kind, name) = key(talk);
        let sql = "SELECT number FROM talks WHERE kind = ? AND name = ?";
        let number = self.transaction.query_row(sql, params![kind, name], |row| row.get::<_, i64>(0));
        let Some(number) = number.optional()? else { return Ok(Vec::new()) };
        let mut select = self.transaction.prepare(
            "SELECT incarnation, joined, count, sender, at, caught_up, text FROM messages \
             WHERE number >= ?1 << ?2 AND number < (?1 + 1) << ?2 ORDER BY number DESC LIMIT ?3",
        )?;
        let mut rows = select.query(params![number, COUNT_BITS, count as i64])?;
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let text: Vec<u8> = row.get(6)?;
            bytes += text.len();
            if bytes > RECALL_BYTES {
                break;
            }
            messages.push(Past {
                id: message_id(row)?,
                from: parsed(row, 3)?,
                at: self::number(row, 4)?,
                caught_up: row.get(5)?,
                text: Text::new(text.into()),
            });
        }
        messages.reverse();
        Ok(messages)
    }
}

/// Drops the oldest messages of a talk until the rest fits. Only those are looked at.
fn trim(transaction: &Transaction<'_>, account: &mut Account, history: u64) -> Result<(), Error> {
    let first = account.message(0);
    let sql = "SELECT number, length(text) FROM messages WHERE number BETWEEN ? AND ? ORDER BY number";
    let mut oldest = transaction.prepare(sql)?;
    let mut rows = oldest.query(params![first, account.message(account.last)])?;
    let mut upto = first;
    while account.bytes > history
        && let Some(row) = rows.next()?
    {
        upto = row.get(0)?;
        account.bytes = account.bytes.saturating_sub(MESSAGE_COST + number(row, 1)?);
    }
    drop(rows);
    transaction.execute("DELETE FROM messages WHERE number BETWEEN ? AND ?", params![first, upto]).map(drop)
}

fn key(talk: &Talk) -> (i64, &str) {
    match talk {
        Talk::Group(group) => (0, group.as_str()),
        Talk::Person(person) => (1, person.as_str()),
    }
}

fn columns(id: MessageId) -> (i64, u32, i64) {
    (id.sender.incarnation.0.cast_signed(), id.sender.join, id.count.cast_signed())
}
