//! Files and functions that a reader can hold in mind.

use crate::{rust, tree, verdict};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn no_file_is_longer_than_600_lines() {
    let long = tree::rust_files().into_iter().filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > FILE_LINES_MAX).then(|| format!("{}: {lines} lines", file.path))
    });
    verdict(
        long.collect(),
        "one job a file. State machines of this kind begin well cut, then one file both routes and holds state and \
         grows without limit. Make the mechanism that grew a type of its own, with its fields and tests.",
    );
}

#[test]
fn no_function_is_longer_than_70_lines() {
    let mut long = Vec::new();
    for file in tree::rust_files() {
        for function in rust::functions(&file.code()) {
            if function.lines > FUNCTION_LINES_MAX {
                let (path, line, name) = (&file.path, function.line, function.name);
                long.push(format!("{path}:{line}: fn {name} has {} lines", function.lines));
            }
        }
    }
    verdict(long, "a function fits a screen: keep the branches in the parent and move the work into leaves.");
}
