//! Imports go downward only.

use crate::tree::File;
use crate::{tree, verdict};

/// A crate's modules, lowest first; those of one row do not know each other.
struct Layers {
    krate: &'static str,
    rows: &'static [&'static [&'static str]],
    /// Whether a module that stands in no row is a mistake. Otherwise it is above all.
    complete: bool,
}

const LAYERS: [Layers; 3] = [
    Layers {
        krate: "common",
        rows: &[
            &["base"],
            &["machine", "fault"],
            &["wire"],
            &["channel"],
            &["mesh"],
            &["gossip", "multicast"],
            &["order"],
            &["membership"],
            &["group"],
            &["endpoint"],
            &["edge"],
        ],
        complete: true,
    },
    Layers { krate: "node", rows: &[&["session"], &["ui"]], complete: false },
    Layers { krate: "tracker", rows: &[&["directory", "replica"], &["server"]], complete: false },
];

/// The orders as plain data: frames and views carry them, without knowing what they mean.
const PLAIN_DATA: [&str; 4] =
    ["order::OrderKind", "order::OrderReport", "order::OrderTable", "order::BadOrder"];

#[test]
fn imports_between_layers_go_downward() {
    let mut complaints = Vec::new();
    for file in tree::rust_files() {
        for layers in &LAYERS {
            complaints.extend(upward(layers, &file));
        }
    }
    verdict(
        complaints,
        "a layer knows the one below it by its interface and none above it, so that each can be read, tested and \
         replaced alone. What both sides need belongs below both; what a lower layer must cause above, it returns.",
    );
}

fn upward(layers: &Layers, file: &File) -> Vec<String> {
    let prefix = format!("{}/src/", layers.krate);
    let Some(path) = file.path.strip_prefix(&prefix).filter(|path| !is_root(path)) else { return Vec::new() };
    let module = path.trim_end_matches(".rs").split('/').next().unwrap_or_default();
    let Some(own) = layers.row(module) else {
        let text =
            format!("{}: module `{module}` has no place among the layers; give it one here", file.path);
        return if layers.complete { vec![text] } else { Vec::new() };
    };
    let mut found = Vec::new();
    for (line, target) in imports(&file.code(), depth(path)) {
        let name = target.split("::").next().unwrap_or_default();
        let is_data = PLAIN_DATA.contains(&target.as_str());
        let is_below = name == module || layers.row(name).is_some_and(|row| row < own);
        // A macro or an item of the crate's root is nobody's layer.
        let is_module = layers.row(name).is_some() || (layers.complete && is_lowercase(name));
        if is_module && !is_below && !is_data {
            found.push(format!("{}:{line}: `{module}` uses crate::{target}", file.path));
        }
    }
    found
}

impl Layers {
    fn row(&self, module: &str) -> Option<usize> {
        self.rows.iter().position(|row| row.contains(&module))
    }
}

fn is_root(path: &str) -> bool {
    matches!(path, "lib.rs" | "main.rs") || path.starts_with("bin/")
}

fn is_lowercase(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// How many `super::` lead from the file's own items to the crate's root.
fn depth(path: &str) -> usize {
    path.trim_end_matches(".rs").trim_end_matches("/mod").split('/').count()
}

/// What the code takes from the crate's root, as `module::Item` with the line. An import of braces counts once for
/// each name.
fn imports(code: &str, depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let root = "super::".repeat(depth);
    let inner = code.find("mod tests {").unwrap_or(code.len());
    for (at, _) in code.match_indices("crate::").filter(|(at, _)| is_start(code, *at)) {
        collect(code, at, &code[at + "crate::".len()..], &mut found);
    }
    for (at, _) in code.match_indices("super::").filter(|(at, _)| is_start(code, *at)) {
        let chain = if at > inner { format!("super::{root}") } else { root.clone() };
        if let Some(rest) = code[at..].strip_prefix(&chain) {
            collect(code, at, rest, &mut found);
        }
    }
    found
}

fn is_start(code: &str, at: usize) -> bool {
    !code[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '$'))
}

fn collect(code: &str, at: usize, rest: &str, found: &mut Vec<(usize, String)>) {
    let line = 1 + code[..at].matches('\n').count();
    found.extend(names(rest).into_iter().map(|name| (line, name)));
}

/// The paths of at most two parts that a `use` tree or a path begins with.
fn names(tree: &str) -> Vec<String> {
    if let Some(inner) = tree.strip_prefix('{') {
        let inner = &inner[..crate::rust::block(tree).saturating_sub(2)];
        return split(inner).into_iter().flat_map(names).collect();
    }
    let first = word(tree);
    let Some(rest) = tree[first.len()..].strip_prefix("::") else { return vec![first.to_owned()] };
    if let Some(inner) = rest.strip_prefix('{') {
        let inner = &inner[..crate::rust::block(rest).saturating_sub(2)];
        return split(inner).into_iter().map(|item| format!("{first}::{}", word(item))).collect();
    }
    vec![format!("{first}::{}", word(rest))]
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// The items of a braced list, those of inner braces left together.
fn split(list: &str) -> Vec<&str> {
    let (mut items, mut depth, mut from) = (Vec::new(), 0_i32, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(list[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    items.push(list[from..].trim());
    items.retain(|item| !item.is_empty());
    items
}

#[test]
fn an_upward_import_is_found_however_it_is_written() {
    let of = |path: &str, text: &str| {
        upward(&LAYERS[0], &File { path: path.to_owned(), text: text.to_owned() }).len()
    };
    assert_eq!(
        of("common/src/mesh/mod.rs", "use crate::wire::Frame; use crate::base::id; use super::wire;"),
        0
    );
    assert_eq!(of("common/src/mesh/mod.rs", "use crate::group::Group;"), 1);
    assert_eq!(of("common/src/mesh/mod.rs", "use super::group;"), 1);
    assert_eq!(of("common/src/mesh/links.rs", "use super::group;\nuse super::super::group;"), 1);
    assert_eq!(of("common/src/mesh/mod.rs", "mod tests {\n use super::group; use super::super::group; }"), 1);
    assert_eq!(of("common/src/mesh/mod.rs", "use crate::{base::id, group::{A, B}, endpoint};"), 3);
    assert_eq!(of("common/src/order/mod.rs", "let x = crate::membership::View;"), 1);
    assert_eq!(of("common/src/wire/x.rs", "use crate::order::{OrderKind, OrderReport};"), 0);
    assert_eq!(of("common/src/wire/x.rs", "use crate::order::{OrderKind, Causal};"), 1);
    assert_eq!(of("common/src/group/mod.rs", "use crate::edge::Driver;"), 1);
    assert_eq!(of("common/src/edge/udp.rs", "use crate::endpoint::Endpoint;"), 0);
    assert_eq!(of("common/src/novelty.rs", ""), 1);
}
