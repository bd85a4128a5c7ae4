//! What does not belong into a finished file.

use crate::tree::File;
use crate::{tree, verdict};

/// Written in two parts, so that this file is no exception to its own rule.
const UNFINISHED: [(&str, &str); 4] = [("TO", "DO"), ("FIX", "ME"), ("X", "XX"), ("HA", "CK")];

/// Beginnings of paths that exist on one developer's machine only. (The home directory of whoever runs this is added.)
const ONE_MACHINE: [(&str, &str); 4] = [("/Us", "ers/"), ("/ro", "ot/"), ("/wo", "rk/"), ("C:\\", "Users")];

#[test]
fn nothing_is_left_undone_or_bound_to_one_machine() {
    let complaints = tree::text_files().iter().flat_map(unwanted).collect();
    verdict(
        complaints,
        "a clone builds anywhere and has no loose ends: finish it, or open an issue; name places relative to the \
         project or by what they are for.",
    );
}

fn unwanted(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        let words = UNFINISHED.iter().map(|(a, b)| format!("{a}{b}")).filter(|word| has_word(line, word));
        let paths = ONE_MACHINE.iter().map(|(a, b)| format!("{a}{b}")).chain(home());
        let paths = paths.filter(|path| has_path(line, path));
        for what in words.chain(paths) {
            found.push(format!("{}:{}: {what}", file.path, number + 1));
        }
    }
    found
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let is_part = |c: char| c.is_alphanumeric();
        !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part)
    })
}

fn home() -> Option<String> {
    let home = std::env::var("HOME").ok()?;
    (home.len() > 1).then(|| format!("{}/", home.trim_end_matches('/')))
}

/// An absolute path: it begins here, not in the middle of a longer one.
fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || ".~$}_-".contains(c)))
}

#[test]
fn unfinished_words_and_local_paths_are_found() {
    let of = |text: String| unwanted(&File { path: "x".to_owned(), text }).len();
    assert_eq!(of(format!("a {}{}: b\nin {}{}me", "TO", "DO", "/Us", "ers/")), 2);
    assert_eq!(of("tracker/wo".to_owned() + "rk/x and the method TO" + "DOs"), 0);
}
