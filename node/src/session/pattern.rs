//! Which names are meant by what somebody types: wildcards, or a regular expression.

use std::fmt;
use std::str::FromStr;

use decury_common::base::id::UserName;
use regex::bytes::{Regex, RegexBuilder};
use thiserror::Error;

/// Bytes that a compiled pattern may take. Matching takes time in proportion to the name, whatever the pattern is.
const COMPILED_MAX: usize = 256 * 1024;

/// A pattern for names.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadPattern {
    /// The regular expression cannot be followed.
    #[error("that is no regular expression that this program knows")]
    Expression,
    /// It is longer than any needs to be.
    #[error("the pattern is too long")]
    TooLong,
}

impl Pattern {
    /// Whether it means this name.
    pub fn matches(&self, name: UserName) -> bool {
        self.regex.is_match(name.as_str().as_bytes())
    }
}

impl FromStr for Pattern {
    type Err = BadPattern;

    /// `/expression/`, or a name in which `*` stands for anything and `?` for one character.
    fn from_str(text: &str) -> Result<Pattern, BadPattern> {
        let expression = match text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            Some(expression) => expression.to_owned(),
            None => {
                let part = |c: char| match c {
                    '*' => ".*".to_owned(),
                    '?' => ".".to_owned(),
                    c => regex::escape(c.encode_utf8(&mut [0; 4])),
                };
                format!("^(?:{})$", text.chars().map(part).collect::<String>())
            }
        };
        let built = RegexBuilder::new(&expression).unicode(false).size_limit(COMPILED_MAX).build();
        let regex = built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => BadPattern::TooLong,
            _ => BadPattern::Expression,
        })?;
        Ok(Pattern { text: text.to_owned(), regex })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_mean_whole_names_and_expressions_any_part() {
        for (pattern, name, is_meant) in [
            ("ann", "ann", true),
            ("ann", "anna", false),
            ("a*", "anna", true),
            ("*n*", "anna", true),
            ("a?n", "ann", true),
            ("a?n", "an", false),
            ("a.n", "ann", false),
            ("a.*", "a.x", true),
            ("/nn/", "anna", true),
            ("/^n/", "anna", false),
            ("/^(ann|bob)$/", "bob", true),
            ("*", "x", true),
        ] {
            let parsed: Pattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(name.parse().unwrap()), is_meant, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_expression_or_would_take_too_much_is_refused() {
        assert_eq!("/(/".parse::<Pattern>(), Err(BadPattern::Expression));
        assert_eq!("/((a{999}){999}){999}/".parse::<Pattern>(), Err(BadPattern::TooLong));
        assert!("(".parse::<Pattern>().is_ok(), "a name in which no name can match");
    }
}
