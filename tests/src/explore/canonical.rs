//! What of a node's state counts: its text without what cannot matter any more, and its times apart.
//!
//! A protocol that looks at differences of times only does the same whenever it is in a state, so states are told apart
//! by times as seen from now. Which times are told apart how is in `Rule`.

use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use decury_common::base::time::Instant;

/// How long ago is as good as any time before: longer than all that the membership looks back.
const LONG_AGO: Duration = Duration::from_secs(60);
const TIME: &str = "Instant(";
/// Times that are compared in one way only, "is it due": all that are past mean the same.
const DUE: &[&str] = &["wish_at", "ready_at", "remind_at", "repeat_at", "deadline", "Wakeup", "Out"];
/// When a contact was named counts with more than forty of them, and when somebody first wished to come in counts when
/// two have one name; `places` when there may be more than ten members.
const NEVER: &[&str] = &["Contact", "since", "places"];

/// What counts of one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// How long until then, if it is not past.
    Due,
    /// How long until then, or ago.
    Any,
}

/// What counts of a node.
#[derive(Clone, Debug, Default)]
pub struct Canonical {
    text: u64,
    times: Vec<(Rule, Instant)>,
}

impl Canonical {
    /// Of a node's whole text, in which a field for what may be drawn next is left out: `is_in` a view or not.
    pub fn new(text: &str, is_in: bool) -> Canonical {
        let mut hasher = DefaultHasher::new();
        let mut times = Vec::new();
        let (mut rest, mut read) = (text, 0);
        if let Some((before, after)) = text.split_once("rng: Rng(") {
            hasher.write(before.as_bytes());
            debug_assert!(!before.contains(TIME), "no time stands before the generator");
            let end = after.find(')').map_or(0, |end| end + 1);
            rest = &after[end..];
            read = text.len() - rest.len();
        }
        while let Some(place) = rest.find(TIME) {
            hasher.write(&rest.as_bytes()[..place]);
            let number = &rest[place + TIME.len()..];
            let end = number.find(')').unwrap_or(0);
            let at = Instant::from_micros(number[..end].parse().unwrap_or_default());
            times.extend(rule(&text[..read + place], is_in).map(|rule| (rule, at)));
            rest = &number[end..];
            read = text.len() - rest.len();
        }
        hasher.write(rest.as_bytes());
        Canonical { text: hasher.finish(), times }
    }

    /// Adds it to a state's digest at this time.
    pub fn hash(&self, now: Instant, hasher: &mut impl Hasher) {
        hasher.write_u64(self.text);
        for &(rule, at) in &self.times {
            let apart = match rule {
                Rule::Due => at.since(now),
                Rule::Any => (at + LONG_AGO).since(now),
            };
            hasher.write_u64(apart.as_micros() as u64);
        }
    }
}

/// What counts of the time that follows this text; `None`: nothing.
fn rule(before: &str, is_in: bool) -> Option<Rule> {
    let before = before.strip_suffix("Some(").unwrap_or(before);
    let word = |text: &str| {
        let start = text.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
        text[start..].to_owned()
    };
    let name = match before.strip_suffix(": ") {
        Some(before) => word(before),
        None => before.strip_suffix('(').map_or("places".to_owned(), word),
    };
    let name = match name.as_str() {
        "at" => before.rfind(" {").map_or(name, |at| word(&before[..at])),
        _ => name,
    };
    match name.as_str() {
        "joining_since" if is_in => None,
        name if NEVER.contains(&name) => None,
        name if DUE.contains(&name) => Some(Rule::Due),
        _ => Some(Rule::Any),
    }
}
