//! As much of Rust's syntax as the rules need.

/// The text without comments and the contents of literals, so that what remains is code. Line breaks stay.
pub(crate) fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = skip_comment(rest).or_else(|| skip_literal(rest, &out));
        let length = skipped.unwrap_or(first.len_utf8());
        let (taken, later) = rest.split_at(length);
        match skipped {
            Some(_) => out.extend(taken.chars().filter(|&c| c == '\n')),
            None => out.push_str(taken),
        }
        rest = later;
    }
    out
}

/// How many bytes of comment `rest` begins with.
fn skip_comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    rest.starts_with("/*").then(|| rest.find("*/").map_or(rest.len(), |end| end + 2))
}

/// How many bytes of literal `rest` begins with, after `before`.
fn skip_literal(rest: &str, before: &str) -> Option<usize> {
    let in_word = before.ends_with(|c: char| c.is_alphanumeric() || c == '_') && !before.ends_with('b');
    if let Some(raw) = rest.strip_prefix('r').filter(|_| !in_word) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let body = raw[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let length = body.find(&end).map_or(body.len(), |at| at + end.len());
        return Some(1 + hashes + 1 + length);
    }
    if rest.starts_with('"') {
        return Some(quoted(rest, '"'));
    }
    let character = rest.strip_prefix('\'')?;
    // A lifetime has no second quote after one character.
    let is_literal = character.starts_with('\\') || character.chars().nth(1) == Some('\'');
    is_literal.then(|| quoted(rest, '\''))
}

/// The length of a literal that begins and ends with `quote`.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + c.len_utf8();
        }
    }
    rest.len()
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Counted from 1.
    pub(crate) line: usize,
    /// From its signature to its closing brace.
    pub(crate) lines: usize,
}

/// All functions with a body, in what [`code`] has left.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let before = code[..at].chars().next_back();
        let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.is_empty() || before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let signature = &code[at..];
        let Some(opening) = body(signature) else { continue };
        let end = opening + block(&signature[opening..]);
        found.push(Function {
            name,
            line: 1 + code[..at].matches('\n').count(),
            lines: 1 + signature[..end].matches('\n').count(),
        });
    }
    found
}

/// Where the body of a function begins; none if it is only declared. A `;` within brackets (`[u8; 4]`) ends nothing.
fn body(signature: &str) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, c) in signature.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ';' if depth == 0 => return None,
            '{' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

/// The length of a block that begins with its brace.
pub(crate) fn block(text: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = "a(\"x // {\"); // b {\n/* c\n{ */ let d = '{'; let e: &'static str = r#\"\"{\"#; '\\'' f\n";
    assert_eq!(code(text), "a(); \n\n let d = ; let e: &'static str = ;  f\n");
    assert_eq!(code("br\"{\" for\"{\" r\"{\""), "b for ");
}

#[test]
fn functions_are_found_and_measured() {
    let text = "fn one() {}\ntrait T { fn no(&self); }\nfn two(x: [u8; 2])\nwhere\n{\n  if x { }\n}\nlet f: fn (u8);";
    let function = |name: &str, line, lines| Function { name: name.to_owned(), line, lines };
    assert_eq!(functions(text), [function("one", 1, 1), function("two", 3, 5)]);
}
