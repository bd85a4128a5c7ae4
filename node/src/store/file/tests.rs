//! The file: what is kept comes back, whatever happens to the program; what is damaged is told.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use decury_common::base::id::{GroupId, Identity, Incarnation, MemberId, MessageId};
use decury_common::base::rng::Rng;
use decury_common::order::OrderKind;

use super::database::{Database, StoreError};
use crate::session::record::{Letter, MET_MAX, Met, Past, Place, Recall, Record, Restored, Talk, Task};
use crate::store::memory::Memory;

const PLENTY: u64 = 64 << 20;

/// A directory of one test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("decury-store-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("node.db")
    }

    fn open(&self, history: u64) -> Database {
        Database::open(&self.file(), name("ann"), history, Identity(7)).unwrap()
    }

    fn error(&self) -> String {
        Database::open(&self.file(), name("ann"), PLENTY, Identity(8)).unwrap_err().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn id(node: u64, join: u32, count: u64) -> MessageId {
    MessageId { sender: MemberId { incarnation: Incarnation(node), join }, count }
}

fn said(group: &str, id: MessageId, text: &str) -> Record {
    let (from, text) = (name("bob"), text.to_owned().into());
    Record::Said { group: name(group), from, id, text, caught_up: false }
}

fn joined(group: &str, id: u64) -> Record {
    Record::Joined { group: name(group), id: GroupId(id), order: OrderKind::Total }
}

fn met(user: &str, address: &str) -> Record {
    Record::Met(Met { user: name(user), address: name(address) })
}

fn write(database: &mut Database, records: impl IntoIterator<Item = Record>) {
    let tasks: Vec<_> = (1..).zip(records).map(|(at, record)| (at, Task::Keep(record))).collect();
    database.write(tasks.iter()).unwrap();
}

fn recall(database: &mut Database, talk: Talk, last: usize) -> Vec<Past> {
    let task = (0, Task::Recall(Recall { talks: vec![talk], last }));
    let answer = database.write(std::iter::once(&task)).unwrap().pop().unwrap().unwrap();
    answer.map(|(_, messages)| messages).unwrap_or_default()
}

fn texts(messages: &[Past]) -> Vec<String> {
    messages.iter().map(|past| past.text.safe().into_owned()).collect()
}

#[test]
fn a_new_store_has_an_identity_which_stays() {
    let scratch = Scratch::new();
    assert_eq!(scratch.open(PLENTY).restored().unwrap(), Restored::nothing(Identity(7)));
    let again = Database::open(&scratch.file(), name("ann"), PLENTY, Identity(8)).unwrap();
    assert_eq!(again.restored().unwrap().identity, Identity(7));
}

#[test]
fn all_that_was_kept_comes_back() {
    let scratch = Scratch::new();
    let text = || "psst".to_owned().into();
    write(
        &mut scratch.open(PLENTY),
        [
            joined("b", 2),
            joined("a", 1),
            joined("gone", 3),
            Record::Current { group: Some(name("gone")) },
            joined("b", 2),
            said("a", id(u64::MAX, 1, 5), "one"),
            said("a", id(u64::MAX, 1, 6), "two"),
            said("a", id(9, 0, 1), "three"),
            said("gone", id(9, 1, 1), "four"),
            Record::Left { group: name("gone") },
            Record::Current { group: Some(name("a")) },
            Record::Written { to: name("bob"), id: id(7, 3, 1), text: text() },
            Record::Written { to: name("cid"), id: id(7, 4, 1), text: text() },
            Record::Settled { id: id(7, 3, 1) },
            Record::Heard { from: name("bob"), id: id(9, 2, 3), text: text() },
            met("bob", "192.0.2.1:7401"),
            met("cid", "[2001:db8::1]:7"),
            Record::Bound { port: 1 },
            met("bob", "192.0.2.2:40715"),
            Record::Bound { port: 65_535 },
        ],
    );
    let mut database = scratch.open(PLENTY);
    let place = |group, id| Place { group: name(group), id: GroupId(id), order: OrderKind::Total };
    let member = |node, join| MemberId { incarnation: Incarnation(node), join };
    let restored = database.restored().unwrap();
    let expected = Restored {
        identity: Identity(7),
        groups: vec![place("b", 2), place("a", 1)],
        current: Some(name("a")),
        met: vec![
            Met { user: name("bob"), address: name("192.0.2.2:40715") },
            Met { user: name("cid"), address: name("[2001:db8::1]:7") },
        ],
        port: Some(65_535),
        known: BTreeMap::from([
            (name("a"), BTreeMap::from([(member(u64::MAX, 1), 6), (member(9, 0), 1)])),
            (name("gone"), BTreeMap::from([(member(9, 1), 1)])),
        ]),
        outbox: vec![Letter { to: name("cid"), id: id(7, 4, 1), text: text() }],
        heard: BTreeMap::from([((name("bob"), member(9, 2)), 3)]),
    };
    assert_eq!(restored, expected);
    let group = |group| Talk::Group(name(group));
    assert_eq!(texts(&recall(&mut database, group("a"), 2)), ["two", "three"]);
    assert_eq!(texts(&recall(&mut database, group("gone"), 20)), ["four"]);
    assert_eq!(recall(&mut database, group("other"), 20), []);
    let private = recall(&mut database, Talk::Person(name("bob")), 20);
    let authors: Vec<_> = private.iter().map(|past| (past.from.as_str(), past.at)).collect();
    assert_eq!(authors, [("ann", 12), ("bob", 15)]);
}

#[test]
fn a_message_is_kept_once_also_when_its_group_s_name_has_got_to_another_one() {
    let scratch = Scratch::new();
    let mut database = scratch.open(PLENTY);
    write(&mut database, [joined("a", 1), said("a", id(1, 0, 1), "one"), said("a", id(1, 0, 1), "again")]);
    write(&mut database, [said("a", id(1, 0, 1), "again"), said("b", id(1, 0, 1), "elsewhere")]);
    assert_eq!(texts(&recall(&mut database, Talk::Group(name("a")), 9)), ["one"]);
    assert_eq!(texts(&recall(&mut database, Talk::Group(name("b")), 9)), ["elsewhere"]);
    write(&mut database, [said("a", id(2, 0, 1), "two"), joined("a", 5)]);
    let known = database.restored().unwrap().known;
    assert_eq!(known[&name("a")].len(), 2, "{known:?}");
    assert_eq!(texts(&recall(&mut database, Talk::Group(name("a")), 9)), ["one", "two"]);
}

#[test]
fn the_oldest_messages_of_a_group_go_when_there_are_too_many() {
    let scratch = Scratch::new();
    let mut database = scratch.open(10 * (64 + 100));
    let text = "x".repeat(100);
    write(&mut database, [joined("a", 1), said("b", id(9, 9, 9), "stays")]);
    for count in 1..=100 {
        write(&mut database, [said("a", id(1, 0, count), &text)]);
    }
    write(&mut database, (101..=200).map(|count| said("a", id(1, 0, count), &text)));
    let counts = |database: &mut Database| -> Vec<u64> {
        recall(database, Talk::Group(name("a")), 1000).iter().map(|past| past.id.count).collect()
    };
    assert_eq!(counts(&mut database), (191..=200).collect::<Vec<_>>());
    assert_eq!(texts(&recall(&mut database, Talk::Group(name("b")), 9)), ["stays"]);
    drop(database);
    let mut database = scratch.open(0);
    write(&mut database, [said("a", id(1, 0, 201), "last")]);
    assert_eq!(counts(&mut database), [0; 0]);
    let known = database.restored().unwrap().known;
    assert_eq!(known[&name("a")].values().collect::<Vec<_>>(), [&201]);
}

#[test]
fn it_keeps_what_a_store_in_memory_keeps() {
    let scratch = Scratch::new();
    let mut rng = Rng::from_seed(5);
    let mut memory = Memory::new(name("ann"), Identity(7));
    for round in 0..40 {
        let mut database = scratch.open(PLENTY);
        let records: Vec<Record> = (0..rng.below(20)).map(|_| any_record(&mut rng)).collect();
        for (at, record) in (1..).zip(&records) {
            memory.keep(at, record.clone());
        }
        write(&mut database, records);
        assert_eq!(database.restored().unwrap(), memory.restored(), "round {round}");
        for talk in [Talk::Group(name("a")), Talk::Group(name("b")), Talk::Person(name("bob"))] {
            let last = 1 + rng.below(50) as usize;
            let kept = memory.recall(&Recall { talks: vec![talk], last }).unwrap();
            let kept = kept.map(|(_, messages)| messages).unwrap_or_default();
            assert_eq!(recall(&mut database, talk, last), kept, "round {round}");
        }
    }
}

#[test]
fn the_last_people_met_are_remembered_and_only_addresses_are_read() {
    let scratch = Scratch::new();
    write(&mut scratch.open(PLENTY), (0..100).map(|n| met(&format!("n{n}"), "192.0.2.1:7401")));
    let people: Vec<_> = scratch.open(PLENTY).restored().unwrap().met.iter().map(|met| met.user).collect();
    assert_eq!(people, (100 - MET_MAX..100).rev().map(|n| name(&format!("n{n}"))).collect::<Vec<_>>());
    for sql in [
        "INSERT INTO met (name, address) VALUES ('x', 'nowhere')",
        "UPDATE met SET address = x'c0000201'",
        "INSERT INTO met (name, address) VALUES ('a b', '192.0.2.1:1')",
        "INSERT INTO facts VALUES ('port', 70000)",
        "INSERT INTO facts VALUES ('port', 'none')",
    ] {
        let scratch = Scratch::new();
        write(&mut scratch.open(PLENTY), [met("bob", "192.0.2.1:7401")]);
        rusqlite::Connection::open(scratch.file()).unwrap().execute(sql, []).unwrap();
        assert!(scratch.open(PLENTY).restored().is_err(), "{sql}");
    }
}

fn any_record(rng: &mut Rng) -> Record {
    let group = if rng.chance(1, 2) { "a" } else { "b" };
    let message = id(1 + rng.below(3), 0, 1 + rng.below(40));
    let letter = id(7, 9, 1 + rng.below(20));
    match rng.below(10) {
        8 => met(&format!("friend{}", rng.below(40)), &format!("192.0.2.1:{}", rng.below(9))),
        9 => Record::Bound { port: 1 + rng.below(3) as u16 },
        0 => joined(group, if group == "a" { 1 + rng.below(2) } else { 3 }),
        1 => Record::Left { group: name(group) },
        2 => Record::Current { group: rng.chance(1, 2).then(|| name(group)) },
        3 => Record::Written { to: name("cid"), id: id(8, 0, rng.bits() >> 1), text: "hello".into() },
        4 => Record::Settled { id: letter },
        5 => Record::Heard {
            from: name("bob"),
            id: id(1 + rng.below(2), 5, rng.bits() >> 1),
            text: "hi".into(),
        },
        _ => said(group, message, "text"),
    }
}

#[test]
fn a_damaged_file_is_told_and_left_as_it_is() {
    let scratch = Scratch::new();
    let text = "y".repeat(5_000);
    write(&mut scratch.open(PLENTY), (1..=200).map(|count| said("a", id(1, 0, count), &text)));
    let good = fs::read(scratch.file()).unwrap();
    let mut middle = good.clone();
    middle[good.len() / 2..good.len() / 2 + 20_000].fill(0xa5);
    let mut head = good.clone();
    head[..100].fill(0);
    for bad in [middle, head, good[..good.len() / 2].to_vec(), Vec::new(), vec![7; 10_000]] {
        fs::write(scratch.file(), &bad).unwrap();
        let error = scratch.error();
        assert!(error.contains("node.db is damaged (") && error.contains("move it away"), "{error}");
        assert!(fs::read(scratch.file()).unwrap() == bad, "it was changed");
    }
    fs::write(scratch.file(), &good).unwrap();
    assert_eq!(recall(&mut scratch.open(PLENTY), Talk::Group(name("a")), 1000).len(), 200);
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let scratch = Scratch::new();
    drop(scratch.open(PLENTY));
    let connection = rusqlite::Connection::open(scratch.file()).unwrap();
    connection.pragma_update(None, "user_version", 3).unwrap();
    drop(connection);
    assert!(scratch.error().contains("newer version"), "{}", scratch.error());
}

#[test]
fn a_start_that_was_killed_while_it_made_the_file_is_no_trouble() {
    let scratch = Scratch::new();
    fs::write(scratch.0.join("node.new"), b"half").unwrap();
    assert_eq!(scratch.open(PLENTY).restored().unwrap().identity, Identity(7));
}

#[test]
fn a_path_that_cannot_be_used_is_named() {
    let scratch = Scratch::new();
    let error = Database::open(&scratch.0.join("no/node.db"), name("ann"), PLENTY, Identity(7)).unwrap_err();
    assert!(matches!(error, StoreError::Unusable(..)));
    assert!(error.to_string().contains("no/node.db cannot be used"), "{error}");
}
