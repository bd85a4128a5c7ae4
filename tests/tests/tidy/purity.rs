//! Engines take time, bytes and seeds as arguments, so that a simulated run replays exactly.

use crate::tree::File;
use crate::{tree, verdict};

/// What an engine must not name, and what it does instead.
const FORBIDDEN: [(&str, &str); 12] = [
    ("HashMap", "its order differs from run to run: BTreeMap"),
    ("HashSet", "its order differs from run to run: BTreeSet"),
    ("std::time::Instant", "the time is an argument: base::time::Instant"),
    ("SystemTime", "the time is an argument: base::time::Instant"),
    ("std::thread", "an engine runs where its driver calls it"),
    ("std::sync::mpsc", "an engine runs where its driver calls it"),
    ("std::fs", "files belong to the program around the engine"),
    ("std::env", "the environment belongs to the program around the engine"),
    ("std::process", "processes belong to the program around the engine"),
    ("UdpSocket", "an engine gives out Transmit"),
    ("TcpStream", "an engine gives out StreamAction"),
    ("TcpListener", "an engine gives out StreamAction"),
];

/// Modules of the standard library whose members hide behind a braced import (`use std::{fs, thread}`).
const FORBIDDEN_IN_BRACES: [(&str, &[&str]); 2] =
    [("use std::{", &["thread", "fs", "env", "process"]), ("use std::time::{", &["Instant", "SystemTime"])];

#[test]
fn engines_touch_no_clock_thread_socket_file_or_unordered_map() {
    let files = tree::rust_files();
    let complaints =
        files.iter().filter(|file| tree::is_engine(&file.path, &files)).flat_map(impurities).collect();
    verdict(
        complaints,
        "the simulator drives the engines in virtual time and replays a failure from its seed. That works only while \
         they are functions of their arguments. I/O stands behind the feature `edge`.",
    );
}

fn impurities(file: &File) -> Vec<String> {
    let code = file.code();
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        for (name, instead) in FORBIDDEN {
            if has_word(line, name) {
                found.push(format!("{}:{}: {name}: {instead}", file.path, number + 1));
            }
        }
    }
    for (import, names) in FORBIDDEN_IN_BRACES {
        for (at, _) in code.match_indices(import) {
            let braces = &code[at + import.len()..];
            let braces = &braces[..braces.find(';').unwrap_or(braces.len())];
            for name in names.iter().filter(|name| has_word(braces, name)) {
                let line = 1 + code[..at].matches('\n').count();
                found.push(format!("{}:{line}: {import}{name}", file.path));
            }
        }
    }
    found
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part))
}

#[test]
fn an_impure_line_is_found_however_it_is_imported() {
    let of = |text: &str| impurities(&File { path: "x.rs".to_owned(), text: text.to_owned() }).len();
    assert_eq!(of("use std::time::Instant;\nlet a = std::thread::spawn;"), 2);
    assert_eq!(of("use std::{fmt, thread};"), 1);
    assert_eq!(of("use std::time::{Duration, Instant};"), 1);
    assert_eq!(of("use crate::base::time::Instant; // std::time::Instant\nuse std::net::SocketAddr;"), 0);
    assert_eq!(of("use std::time::{Duration}; struct MyHashMapper;"), 0);
}
