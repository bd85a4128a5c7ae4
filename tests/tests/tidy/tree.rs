//! The project's files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::rust;

/// The crates, by directory.
pub(crate) const CRATES: [&str; 6] = ["common", "cli", "node", "tracker", "tests", "xtask"];

/// Crates that belong to the programs alone.
const WITHOUT_ENGINES: [&str; 2] = ["cli", "xtask"];

/// A text file of the project.
pub(crate) struct File {
    /// Relative to the project's root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// The text without comments and the contents of literals; lines stay where they are.
    pub(crate) fn code(&self) -> String {
        rust::code(&self.text)
    }
}

/// Every Rust file of every crate, sources and tests.
pub(crate) fn rust_files() -> Vec<File> {
    let mut paths = Vec::new();
    for name in CRATES {
        walk(&root().join(name), &mut paths);
    }
    read(paths, &["rs"])
}

/// Every text file that people of the project have written.
pub(crate) fn text_files() -> Vec<File> {
    let mut paths = Vec::new();
    walk(&root(), &mut paths);
    read(paths, &["rs", "md", "toml", "sh", "yml", "yaml", "html", "css", "js", "txt", ""])
}

/// Whether a file belongs to an engine: reached from its crate's `lib.rs` without passing a module that only exists
/// with the feature `edge`. Binaries, tests and whatever stands behind that feature are not.
pub(crate) fn is_engine(path: &str, files: &[File]) -> bool {
    let Some((krate, module)) = path.split_once("/src/") else { return false };
    if WITHOUT_ENGINES.contains(&krate) || module.starts_with("bin/") || module == "main.rs" {
        return false;
    }
    let mut at = format!("{krate}/src/");
    let mut parent = format!("{at}lib.rs");
    for part in module.trim_end_matches(".rs").split('/').filter(|part| !matches!(*part, "mod" | "lib")) {
        let declared = files.iter().find(|file| file.path == parent).map(File::code).unwrap_or_default();
        if is_behind_edge(&declared, part) {
            return false;
        }
        at.push_str(part);
        at.push('/');
        parent = format!("{at}mod.rs");
    }
    true
}

fn is_behind_edge(code: &str, module: &str) -> bool {
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let declaration = lines.iter().position(|line| {
        line.strip_suffix(';').is_some_and(|line| {
            line.split_whitespace().rev().collect::<Vec<_>>().starts_with(&[module, "mod"])
        })
    });
    // Literals are emptied, so that any `cfg(feature)` counts; the crates have no other feature.
    declaration.is_some_and(|line| line > 0 && lines[line - 1].starts_with("#[cfg(feature"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn walk(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_ours = !matches!(name.as_str(), "target" | ".git" | "corpus");
        if path.is_dir() && is_ours {
            walk(&path, paths);
        } else if path.is_file() && is_ours {
            paths.push(path);
        }
    }
}

fn read(mut paths: Vec<PathBuf>, extensions: &[&str]) -> Vec<File> {
    paths.sort();
    let wanted = |path: &PathBuf| {
        let extension = path.extension().unwrap_or_default();
        extensions.iter().any(|wanted| extension == *wanted)
    };
    let files: Vec<File> = paths
        .into_iter()
        .filter(wanted)
        .filter_map(|path| {
            let text = fs::read_to_string(&path).ok()?;
            let path = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
            Some(File { path, text })
        })
        .collect();
    assert!(files.len() > 10, "the source tree was not found");
    files
}

#[test]
fn what_stands_behind_the_feature_edge_is_no_engine() {
    let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
    let files = [
        file("a/src/lib.rs", "pub mod core;\n#[cfg(feature = \"edge\")]\npub mod wires;\nmod other;\n"),
        file("a/src/core/mod.rs", "mod deep;\n#[cfg(feature = \"edge\")]\nmod outside;\n"),
    ];
    for engine in ["a/src/lib.rs", "a/src/core/mod.rs", "a/src/core/deep.rs", "a/src/other.rs"] {
        assert!(is_engine(engine, &files), "{engine}");
    }
    let others =
        ["a/src/wires/x.rs", "a/src/wires.rs", "a/src/core/outside.rs", "a/src/main.rs", "a/tests/t.rs"];
    for other in others.into_iter().chain(["a/src/bin/swarm.rs"]) {
        assert!(!is_engine(other, &files), "{other}");
    }
}
