//! The commands: what each is called, how it is used, what it means. Help is made from the same table.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::str::FromStr;

use bytes::Bytes;
use decury_common::base::id::{BadName, GroupName};
use decury_common::base::limits::MESSAGE_MAX;
use decury_common::order::OrderKind;

use crate::session::record::{RECALL_MAX, RECALL_USUAL};
use crate::session::{BadPattern, BadSpec, Command, ErrorCode, FaultChange, Talk};

/// A line that was not understood: the code, and a sentence for the person.
pub(super) type Refusal = (ErrorCode, String);

/// One command.
pub(super) struct Spec {
    /// Its names, the usual one first; each works with `!` and with `/`.
    pub(super) names: &'static [&'static str],
    usage: &'static str,
    about: &'static str,
    example: &'static str,
    /// From its arguments to the command; `None`: a later version has it.
    parse: Option<fn(Arguments<'_>) -> Result<Command, Refusal>>,
}

/// What stands behind a command's name.
pub(super) struct Arguments<'a> {
    spec: &'static Spec,
    words: std::str::SplitWhitespace<'a>,
    /// All that stands behind the name, as it was typed.
    text: &'a str,
}

/// All of them, in the order in which help lists them.
static COMMANDS: &[Spec] = &[
    Spec {
        names: &["j", "join"],
        usage: "!j GROUP [fifo|causal|total|safe]",
        about: "join a group, or create it with that order (causal if none is named); what you type goes there",
        example: "!j lobby",
        parse: Some(|mut arguments| {
            let group = arguments.group()?;
            let order = arguments.order()?;
            arguments.end(Command::Join { group, order })
        }),
    },
    Spec {
        names: &["w", "switch"],
        usage: "!w GROUP",
        about: "what you type from now on goes to GROUP",
        example: "!w lobby",
        parse: Some(|mut arguments| {
            let group = arguments.group()?;
            arguments.end(Command::Switch { group })
        }),
    },
    Spec {
        names: &["p", "msg"],
        usage: "!p USER text",
        about: "say something to USER alone (the same: >> USER: text)",
        example: "!p bob are you there?",
        parse: Some(|arguments| arguments.private()),
    },
    Spec {
        names: &["g", "groups"],
        usage: "!g",
        about: "list the groups: name, order, members, limit",
        example: "!g",
        parse: Some(|arguments| arguments.end(Command::Groups)),
    },
    Spec {
        names: &["lm", "members"],
        usage: "!lm [GROUP]",
        about: "list the members of a group (the current one if none is named) and how each is reached",
        example: "!lm lobby",
        parse: Some(|mut arguments| {
            let group = arguments.group_or_none()?;
            arguments.end(Command::Members { group })
        }),
    },
    Spec {
        names: &["u", "list"],
        usage: "!u [PATTERN]",
        about: "find people: all, or those whose names fit, with * and ? for anything, or /a regular expression/",
        example: "!u a*",
        parse: Some(|arguments| arguments.people()),
    },
    Spec {
        names: &["why"],
        usage: "!why [GROUP]",
        about: "what is held back in a group (the current one if none is named), and what it waits for",
        example: "!why",
        parse: Some(|mut arguments| {
            let group = arguments.group_or_none()?;
            arguments.end(Command::Why { group })
        }),
    },
    Spec {
        names: &["h", "history"],
        usage: "!h [GROUP|USER] [N]",
        about: "the last N messages (20) of a group (the current one if none is named), or with USER in private",
        example: "!h lobby 50",
        parse: Some(|mut arguments| {
            let (talks, last) = arguments.history()?;
            arguments.end(Command::History { talks, last })
        }),
    },
    Spec {
        names: &["e", "leave"],
        usage: "!e [GROUP]",
        about: "leave a group (the current one if none is named), and do not return to it at the next start",
        example: "!e lobby",
        parse: Some(|mut arguments| {
            let group = arguments.group_or_none()?;
            arguments.end(Command::Leave { group })
        }),
    },
    Spec {
        names: &["peer"],
        usage: "!peer ADDR",
        about: "look for a further peer at ADDR, an IP address with a port; through one, all are found whom it knows",
        example: "!peer 192.0.2.7:40715",
        parse: Some(|mut arguments| {
            let address = arguments.address()?;
            arguments.end(Command::Peer { address })
        }),
    },
    Spec {
        names: &["s", "stats"],
        usage: "!s",
        about: "figures: messages, throughput, latency, in all and for each group",
        example: "!s",
        parse: Some(|arguments| arguments.end(Command::Figures)),
    },
    Spec {
        names: &["fault"],
        usage: "!fault [SPEC|clear]",
        about: "the lab: delay, lose, double or cut what arrives; alone, show what is in force",
        example: "!fault from=ann,delay=500ms,jitter=100ms,loss=0.1",
        parse: Some(|mut arguments| {
            let change = arguments.words.next().map(|word| arguments.fault_change(word)).transpose()?;
            arguments.end(Command::Fault { change })
        }),
    },
    Spec {
        names: &["help"],
        usage: "!help [COMMAND]",
        about: "this list, or one command with an example",
        example: "!help j",
        parse: Some(|mut arguments| {
            let topic = arguments.words.next();
            let command = help(topic)?;
            arguments.end(command)
        }),
    },
    Spec {
        names: &["q", "quit"],
        usage: "!q",
        about: "leave all groups and end",
        example: "!q",
        parse: Some(|arguments| arguments.end(Command::Quit)),
    },
    later(&["find"], "!find WORDS", "search in what was said"),
    later(&["send"], "!send USER|GROUP PATH", "send a file"),
    later(&["info"], "!info ID", "how far a message has come with each member"),
    later(&["text"], "!text \"JSON string\"", "text with line breaks"),
    later(&["logout"], "!logout", "sign out and quit"),
    later(&["delete"], "!delete NAME", "delete the account"),
    later(&["invite"], "!invite USER", "invite somebody"),
    later(&["keep"], "!keep", "keep what was said"),
    later(&["notify"], "!notify off|mentions|all", "notifications"),
    later(&["re"], "!re ID text", "reply to a message"),
    later(&["export"], "!export FORMAT FILE", "write a log for other tools"),
    later(&["lab"], "!lab", "the lab"),
];

const fn later(names: &'static [&'static str], usage: &'static str, about: &'static str) -> Spec {
    Spec { names, usage, about, example: usage, parse: None }
}

/// The names of the commands of this version.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().filter(|spec| spec.parse.is_some()).flat_map(|spec| spec.names).copied()
}

/// What may stand in a place behind a command's name (the first is 0), as its usage names it: `GROUP`, `USER`, words
/// to choose from.
pub(super) fn choices(name: &str, place: usize) -> impl Iterator<Item = &'static str> {
    let spec = COMMANDS.iter().find(|spec| spec.parse.is_some() && spec.names.contains(&name));
    let word = spec.and_then(|spec| spec.usage.split_whitespace().nth(place + 1)).unwrap_or_default();
    word.trim_matches(['[', ']']).split('|')
}

/// A line that began with `!` or `/`, without that character.
pub(super) fn parse(line: &str) -> Result<Command, Refusal> {
    let mut words = line.split_whitespace();
    let name = if line.starts_with(char::is_whitespace) { "" } else { words.next().unwrap_or_default() };
    let spec = find(name)?;
    let parse = spec.parse.ok_or_else(|| not_yet(spec.usage, spec.about))?;
    parse(Arguments { spec, words, text: &line[name.len()..] })
}

/// The refusal of what a later version will do.
pub(super) fn not_yet(usage: &str, about: &str) -> Refusal {
    (ErrorCode::NotInThisVersion, format!("{usage} ({about}) is not in this version"))
}

/// A private message, from what was typed for its parts.
pub(super) fn private(user: &str, text: &str) -> Result<Command, Refusal> {
    let to = user
        .parse()
        .map_err(|bad: BadName| (ErrorCode::BadName, format!("{} is nobody: {bad}", shortened(user))))?;
    if text.len() > MESSAGE_MAX {
        return Err(too_long());
    }
    Ok(Command::Private { to, text: Bytes::copy_from_slice(text.as_bytes()) })
}

/// The refusal of a text beyond the bound.
pub(super) fn too_long() -> Refusal {
    (ErrorCode::TooLong, format!("a message has at most {MESSAGE_MAX} bytes; nothing was sent"))
}

impl Arguments<'_> {
    fn wrong(&self, reason: &str) -> Refusal {
        (ErrorCode::BadCommand, format!("{reason}; usage: {}", self.spec.usage))
    }

    fn group(&mut self) -> Result<GroupName, Refusal> {
        self.group_or_none()?.ok_or_else(|| self.wrong("which group?"))
    }

    /// A pattern is all that stands behind the name: an expression may have blanks.
    fn people(self) -> Result<Command, Refusal> {
        let pattern = match self.text.trim() {
            "" => None,
            text => {
                let words: Vec<&str> = text.split_whitespace().collect();
                if let [_, rest, ..] = words[..]
                    && !text.starts_with('/')
                {
                    return Err(self.wrong(&format!("{} is too much", shortened(rest))));
                }
                Some(text.parse().map_err(|bad: BadPattern| self.wrong(&bad.to_string()))?)
            }
        };
        Ok(Command::People { pattern })
    }

    fn address(&mut self) -> Result<SocketAddr, Refusal> {
        let word = self.words.next().ok_or_else(|| self.wrong("at which address?"))?;
        let address = word.parse().ok().filter(|address: &SocketAddr| address.port() != 0);
        let wrong = || self.wrong(&format!("{} is no IP address with a port", shortened(word)));
        address.filter(|address| !address.ip().is_unspecified()).ok_or_else(wrong)
    }

    /// A `#` before the name is how groups are shown, and is taken as such.
    fn group_or_none(&mut self) -> Result<Option<GroupName>, Refusal> {
        let Some(word) = self.words.next() else {
            return Ok(None);
        };
        let name = word.strip_prefix('#').unwrap_or(word);
        let group = GroupName::from_str(name);
        group.map(Some).map_err(|bad| (ErrorCode::BadName, format!("{} is no group: {bad}", shortened(word))))
    }

    /// Whose history, and how much of it. A name is a group's if there is such a group, else a person's; `#` before it
    /// makes it a group's, `@` a person's. A number alone is no name.
    fn history(&mut self) -> Result<(Vec<Talk>, usize), Refusal> {
        let first = self.words.next();
        let second = self.words.next();
        let (name, number) = match (first, second) {
            (Some(word), None) if word.bytes().all(|b| b.is_ascii_digit()) => (None, Some(word)),
            both => both,
        };
        let wrong = || self.wrong(&format!("N is a number from 1 to {RECALL_MAX}"));
        let last =
            number.map(|word| word.parse().ok().filter(|n| (1..=RECALL_MAX).contains(n)).ok_or_else(wrong));
        let bad =
            |word: &str| (ErrorCode::BadName, format!("{} is neither a group nor a person", shortened(word)));
        let talks = match name {
            None => Vec::new(),
            Some(word) => talks(word).ok_or_else(|| bad(word))?,
        };
        Ok((talks, last.unwrap_or(Ok(RECALL_USUAL))?))
    }

    /// A name, and for it all that stands behind the blank after it.
    fn private(self) -> Result<Command, Refusal> {
        let text = self.text.trim_start();
        let (user, text) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match (user, text.trim()) {
            ("", _) => Err(self.wrong("to whom?")),
            (_, "") => Err(self.wrong("what is to be said?")),
            _ => private(user, text),
        }
    }

    fn order(&mut self) -> Result<Option<OrderKind>, Refusal> {
        match self.words.next().map(OrderKind::from_str) {
            None => Ok(None),
            Some(Ok(order)) => Ok(Some(order)),
            Some(Err(_)) => Err(self.wrong("an order is fifo, causal, total or safe")),
        }
    }

    fn fault_change(&self, word: &str) -> Result<FaultChange, Refusal> {
        match word {
            "clear" => Ok(FaultChange::Clear),
            spec => spec.parse().map(FaultChange::Add).map_err(|bad: BadSpec| self.wrong(&bad.to_string())),
        }
    }

    fn end(mut self, command: Command) -> Result<Command, Refusal> {
        match self.words.next() {
            None => Ok(command),
            Some(word) => Err(self.wrong(&format!("{} is too much", shortened(word)))),
        }
    }
}

/// What a word may name, what is meant first before the rest.
fn talks(word: &str) -> Option<Vec<Talk>> {
    let (group, person) = match (word.strip_prefix('#'), word.strip_prefix('@')) {
        (Some(group), _) => (group.parse().ok(), None),
        (None, Some(person)) => (None, person.parse().ok()),
        (None, None) => (word.parse().ok(), word.parse().ok()),
    };
    let talks: Vec<Talk> = group.map(Talk::Group).into_iter().chain(person.map(Talk::Person)).collect();
    (!talks.is_empty()).then_some(talks)
}

/// Help about one command, or the list of them.
fn help(topic: Option<&str>) -> Result<Command, Refusal> {
    let Some(topic) = topic else {
        return Ok(Command::Help { topic: None, text: overview() });
    };
    let spec = find(topic.trim_start_matches(['!', '/']))?;
    let mut text = format!("{}: {}", spec.usage, spec.about);
    match spec.parse {
        Some(_) => _ = write!(text, "\nexample: {}\nalso: {}", spec.example, spellings(spec)),
        None => text.push_str("\n(not in this version)"),
    }
    Ok(Command::Help { topic: Some(spec.names[0]), text })
}

fn overview() -> String {
    let mut text = String::from("type a line to send it to the current group; commands:\n");
    for spec in COMMANDS.iter().filter(|spec| spec.parse.is_some()) {
        _ = writeln!(text, "  {:<24} {}", spec.usage, spec.about);
    }
    text + "!!x sends a text that begins with !, //x one that begins with /; !help COMMAND shows an example"
}

fn spellings(spec: &Spec) -> String {
    let all: Vec<String> = spec.names.iter().map(|name| format!("!{name}, /{name}")).collect();
    all.join(", ")
}

fn find(name: &str) -> Result<&'static Spec, Refusal> {
    if let Some(spec) = COMMANDS.iter().find(|spec| spec.names.contains(&name)) {
        return Ok(spec);
    }
    let hint = match suggestion(name) {
        Some(known) => format!("did you mean !{known}?"),
        None => "!help lists them".to_owned(),
    };
    Err((
        ErrorCode::BadCommand,
        format!("there is no command !{}; {hint} (nothing was sent)", shortened(name)),
    ))
}

/// A command of this version that was probably meant.
fn suggestion(typed: &str) -> Option<&'static str> {
    let here = COMMANDS.iter().filter(|spec| spec.parse.is_some());
    let names = here.flat_map(|spec| spec.names).copied();
    let length = typed.chars().count();
    if length == 0 || length > 12 {
        return None;
    }
    let completed = names.clone().find(|name| length > 1 && name.starts_with(typed));
    // Of equally near ones that with the same first letter.
    let rank = |name: &'static str| (distance(typed, name), name.get(..1) != typed.get(..1), name);
    let near = || names.map(rank).min().filter(|near| near.0 <= length / 2);
    completed.or_else(|| near().map(|near| near.2))
}

/// Levenshtein's distance: how many characters must be put in, taken out or changed.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.chars().enumerate() {
            let changed = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.chars().count()]
}

/// A word of the person's, short enough to repeat to them.
fn shortened(word: &str) -> String {
    const SHOWN: usize = 24;
    match word.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &word[..end]),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshteins() {
        for (a, b, steps) in [("", "", 0), ("join", "join", 0), ("jion", "join", 2), ("q", "quit", 3)] {
            assert_eq!(distance(a, b), steps);
        }
    }

    #[test]
    fn no_two_commands_share_a_name() {
        let mut names: Vec<_> = COMMANDS.iter().flat_map(|spec| spec.names).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn every_example_of_this_version_parses() {
        for spec in COMMANDS.iter().filter(|spec| spec.parse.is_some()) {
            assert!(parse(&spec.example[1..]).is_ok(), "{}", spec.example);
        }
    }
}
