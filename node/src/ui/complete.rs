//! What Tab makes of a line: the rest of a command, a group, a name.
//!
//! The commands' usage says what stands where, so that help and completion cannot differ.

use super::commands;
use super::model::Model;

/// What Tab does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Nothing fits, or nothing is missing.
    Nothing,
    /// This goes in at the cursor.
    Insert(String),
    /// All of these fit, and differ in what comes next.
    Choice(Vec<String>),
}

/// What Tab does behind `typed`, which is the line up to the cursor.
pub fn complete(typed: &str, model: &Model) -> Completion {
    let start = typed.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let (before, word) = typed.split_at(start);
    let command = before.strip_prefix(['!', '/']).filter(|rest| !rest.starts_with(['!', '/']));
    let private = typed.strip_prefix(">>").filter(|rest| !rest.contains(':'));
    match (command, private) {
        _ if before.is_empty() && word.starts_with(['!', '/']) => {
            let names = commands::names().map(|name| format!("{}{name}", &word[..1]));
            chosen(word, names.collect(), " ")
        }
        (Some(command), _) => argument(command, word, model),
        (None, Some(name)) => chosen(name.trim_start(), people(model), ": "),
        // A word of a message may be anything: a name is offered once it has begun.
        (None, None) if word.is_empty() => Completion::Nothing,
        (None, None) => chosen(word, people(model), if before.is_empty() { ": " } else { " " }),
    }
}

/// `before` is a command with what stands between it and `word`.
fn argument(before: &str, word: &str, model: &Model) -> Completion {
    let mut words = before.split_whitespace();
    let Some(name) = words.next() else { return Completion::Nothing };
    let mut all = Vec::new();
    let choices: Vec<&str> = commands::choices(name, words.count()).collect();
    for choice in &choices {
        match *choice {
            "GROUP" => all.extend(model.heard_of_groups().map(|group| group.to_string())),
            "USER" => all.extend(people(model)),
            "COMMAND" => all.extend(commands::names().map(str::to_owned)),
            // One of several words to choose from; a lone one only says what is meant.
            word if choices.len() > 1 && word.chars().all(|c| c.is_ascii_lowercase()) => {
                all.push(word.to_owned())
            }
            _ => {}
        }
    }
    // A group may be written as it is shown.
    let word = if choices.contains(&"GROUP") { word.trim_start_matches('#') } else { word };
    chosen(word, all, " ")
}

fn people(model: &Model) -> Vec<String> {
    model.heard_of_people().map(|name| name.to_string()).collect()
}

/// Of `all`, what begins with `typed`: what all of these have in common, and `end` behind the only one.
fn chosen(typed: &str, all: Vec<String>, end: &str) -> Completion {
    let fitting: Vec<String> = all.into_iter().filter(|one| one.starts_with(typed)).collect();
    let Some(first) = fitting.first() else { return Completion::Nothing };
    if fitting.len() == 1 {
        return Completion::Insert(format!("{}{end}", &first[typed.len()..]));
    }
    // Names and commands are ASCII: a common prefix in bytes is one in characters.
    let common = fitting.iter().map(|one| common_prefix(first, one)).min().unwrap_or_default();
    match first[typed.len()..common].to_owned() {
        more if more.is_empty() => Completion::Choice(fitting),
        more => Completion::Insert(more),
    }
}

fn common_prefix(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use decury_common::base::id::{Identity, Incarnation, MemberId, ViewId};
    use decury_common::endpoint::ViewInfo;
    use decury_common::order::OrderKind;

    use super::*;
    use crate::session::{Event, GroupSummary};

    fn model() -> Model {
        let id = MemberId { incarnation: Incarnation(1), join: 0 };
        let members = ["ann", "bob", "bert"].map(|name| (id, name.parse().unwrap())).to_vec();
        let view = ViewInfo { id: ViewId { number: 1, coordinator: id }, order: OrderKind::Fifo, members };
        let mut model = Model::default();
        let attic =
            GroupSummary { name: "attic".parse().unwrap(), order: OrderKind::Fifo, members: 1, limit: 10 };
        model.apply(&Event::Ready {
            user: "ann".parse().unwrap(),
            udp: "127.0.0.1:1".parse().unwrap(),
            tracker: None,
            identity: Identity(1),
        });
        model.apply(&Event::Joined { re: None, group: "lobby".parse().unwrap(), view, current: true });
        model.apply(&Event::Groups { re: None, groups: vec![attic] });
        model
    }

    #[test]
    fn tab_completes_what_the_usage_names() {
        let model = model();
        for (typed, inserted) in [
            ("!jo", "in "),
            ("/jo", "in "),
            ("!mem", "bers "),
            ("!j lo", "bby "),
            ("!j #at", "tic "),
            ("/join a", "ttic "),
            ("!j lobby to", "tal "),
            ("!p bo", "b "),
            ("!p b", ""),
            ("!msg be", "rt "),
            (">> bo", "b: "),
            (">>be", "rt: "),
            ("!help fau", "lt "),
            ("!fault cl", "ear "),
            ("bo", "b: "),
            ("ask bo", "b "),
            ("!p bob ask be", ""),
            ("!p an", ""),
            ("!nothing lo", ""),
            ("!!jo", ""),
            ("ask ", ""),
            ("", ""),
            ("!p grü", ""),
            (">> bob: be", "rt "),
        ] {
            let got = complete(typed, &model);
            match (&got, inserted) {
                (Completion::Insert(text), _) => assert_eq!(text, inserted, "{typed}"),
                (_, expected) => assert_eq!(expected, "", "{typed}: {got:?}"),
            }
        }
    }

    #[test]
    fn what_is_not_settled_is_offered() {
        let model = model();
        let offered = |typed: &str| match complete(typed, &model) {
            Completion::Choice(all) => all.join(" "),
            other => format!("{other:?}"),
        };
        assert_eq!(offered("!p b"), "bert bob");
        assert_eq!(offered("!lm "), "attic lobby");
        assert_eq!(offered("!j lobby "), "fifo causal total safe");
        assert!(offered("!").starts_with("!j !join !w !switch"), "{}", offered("!"));
        assert_eq!(offered("!m"), "!msg !members");
    }
}
