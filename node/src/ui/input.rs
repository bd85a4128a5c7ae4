//! What people type, to commands: one parser for every front end.
//!
//! A line that begins with `!` or `/` is a command, any other is text for the current group. Text is made harmless
//! here, on its way in. A line that makes no sense becomes [`Command::Refuse`], so that its answer comes in turn.

use bytes::Bytes;
use decury_common::base::limits::MESSAGE_MAX;

use super::commands::{self, Refusal, too_long};
use super::lines::Line;
use crate::session::{Command, ErrorCode, sanitise};

/// The command that a line of input stands for; `None` if there is nothing on it.
pub fn parse(line: Line<'_>) -> Option<Command> {
    let line = match line {
        Line::Whole(line) => line.strip_suffix(b"\r").unwrap_or(line),
        Line::TooLong => return Some(refuse(too_long())),
    };
    let Ok(line) = std::str::from_utf8(line) else {
        return Some(refuse((ErrorCode::BadText, "the line is not UTF-8; nothing was sent".to_owned())));
    };
    if line.trim().is_empty() {
        return None;
    }
    let line = &sanitise(line);
    Some(match line.as_bytes() {
        [b'!', b'!', ..] | [b'/', b'/', ..] => say(&line[1..]),
        [b'!' | b'/', ..] => commands::parse(&line[1..]).unwrap_or_else(refuse),
        [b'>', b'>', ..] => addressed(&line[2..]).unwrap_or_else(refuse),
        _ => say(line),
    })
}

fn say(text: &str) -> Command {
    if text.len() > MESSAGE_MAX {
        return refuse(too_long());
    }
    Command::Say { text: Bytes::copy_from_slice(text.as_bytes()) }
}

/// A line that began with `>>`, without that.
fn addressed(line: &str) -> Result<Command, Refusal> {
    let wrong = |reason: &str| (ErrorCode::BadCommand, format!("{reason}; usage: >> USER: text"));
    let (user, text) = line.split_once(':').ok_or_else(|| wrong("a colon is missing"))?;
    let text = text.strip_prefix(char::is_whitespace).unwrap_or(text);
    match (user.trim(), text.trim()) {
        ("", _) => Err(wrong("to whom?")),
        (_, "") => Err(wrong("what is to be said?")),
        (user, _) => commands::private(user, text),
    }
}

fn refuse((code, text): Refusal) -> Command {
    Command::Refuse { code, text }
}

#[cfg(test)]
mod tests {
    use decury_common::order::OrderKind;

    use super::*;
    use crate::session::{FaultChange, Talk};

    fn parsed(line: &str) -> Command {
        parse(Line::Whole(line.as_bytes())).unwrap()
    }

    fn refused(line: &[u8]) -> (ErrorCode, String) {
        match parse(Line::Whole(line)) {
            Some(Command::Refuse { code, text }) => (code, text),
            other => panic!("not refused: {other:?}"),
        }
    }

    fn say(text: &str) -> Command {
        Command::Say { text: Bytes::copy_from_slice(text.as_bytes()) }
    }

    #[test]
    fn commands_are_understood_in_all_their_spellings() {
        let lobby = "lobby".parse().unwrap();
        let ann_is_cut = "from=ann,cut".parse().unwrap();
        let join = |order| Command::Join { group: lobby, order };
        for (line, command) in [
            ("!j lobby", join(None)),
            ("/j lobby", join(None)),
            ("!join lobby", join(None)),
            ("/join  lobby\tfifo ", join(Some(OrderKind::Fifo))),
            ("!j #lobby causal", join(Some(OrderKind::Causal))),
            ("!j lobby safe", join(Some(OrderKind::Safe))),
            ("!w lobby", Command::Switch { group: lobby }),
            ("!g", Command::Groups),
            ("/g ", Command::Groups),
            ("!lm", Command::Members { group: None }),
            ("!lm lobby", Command::Members { group: Some(lobby) }),
            ("!why", Command::Why { group: None }),
            ("/why #lobby", Command::Why { group: Some(lobby) }),
            ("!e", Command::Leave { group: None }),
            ("/leave lobby", Command::Leave { group: Some(lobby) }),
            ("!fault", Command::Fault { change: None }),
            ("/fault clear", Command::Fault { change: Some(FaultChange::Clear) }),
            ("!fault from=ann,cut", Command::Fault { change: Some(FaultChange::Add(ann_is_cut)) }),
            ("!peer 192.0.2.7:4000", Command::Peer { address: "192.0.2.7:4000".parse().unwrap() }),
            ("/peer [::1]:4000", Command::Peer { address: "[::1]:4000".parse().unwrap() }),
            ("!u", Command::People { pattern: None }),
            ("/list a*", Command::People { pattern: Some("a*".parse().unwrap()) }),
            ("!u /a b/", Command::People { pattern: Some("/a b/".parse().unwrap()) }),
            ("!q", Command::Quit),
            ("/quit\r", Command::Quit),
        ] {
            assert_eq!(parsed(line), command, "{line}");
        }
    }

    #[test]
    fn everything_else_is_text() {
        for (line, text) in [
            ("hello", "hello"),
            (" !j lobby", " !j lobby"),
            ("!!j lobby", "!j lobby"),
            ("//etc/passwd", "/etc/passwd"),
            ("!!", "!"),
            ("a|b;c\"d'e\\n {\"x\":1}", "a|b;c\"d'e\\n {\"x\":1}"),
            ("> quoted", "> quoted"),
            ("grüße 👋\r", "grüße 👋"),
            ("a\tb\u{1b}[1m\u{202e}", "a\tb\u{fffd}[1m\u{fffd}"),
        ] {
            assert_eq!(parsed(line), say(text), "{line}");
        }
    }

    #[test]
    fn a_private_message_is_a_name_and_whatever_follows() {
        for (line, text) in [
            ("!p bob hello", "hello"),
            ("/p bob hello", "hello"),
            ("!msg  bob hello there ", "hello there "),
            ("/msg\tbob  two blanks", " two blanks"),
            ("!p bob !q", "!q"),
            ("!p bob //x >> cid: y", "//x >> cid: y"),
            (">> bob: hello", "hello"),
            (">>bob:hello", "hello"),
            (">>  bob :  a: b\r", " a: b"),
            (">> bob: !p cid \"{}\"", "!p cid \"{}\""),
            ("!p bob a\u{1b}[1m\u{202e}", "a\u{fffd}[1m\u{fffd}"),
        ] {
            let to = "bob".parse().unwrap();
            let text = Bytes::copy_from_slice(text.as_bytes());
            assert_eq!(parsed(line), Command::Private { to, text }, "{line}");
        }
    }

    #[test]
    fn a_private_message_without_a_name_or_a_text_is_refused_with_its_usage() {
        for (line, code, hint) in [
            ("!p", ErrorCode::BadCommand, "to whom?; usage: !p USER text"),
            ("!p bob", ErrorCode::BadCommand, "what is to be said?; usage: !p USER text"),
            ("/msg bob  ", ErrorCode::BadCommand, "what is to be said?"),
            ("!p b/b hello", ErrorCode::BadName, "b/b is nobody: a name has 1 to 50 letters"),
            ("!p bob: hello", ErrorCode::BadName, "bob: is nobody"),
            (">>", ErrorCode::BadCommand, "a colon is missing; usage: >> USER: text"),
            (">> bob", ErrorCode::BadCommand, "a colon is missing"),
            (">> : hello", ErrorCode::BadCommand, "to whom?"),
            (">> bob: ", ErrorCode::BadCommand, "what is to be said?; usage: >> USER: text"),
            (">> ann bob: hello", ErrorCode::BadName, "ann bob is nobody"),
        ] {
            let (got, text) = refused(line.as_bytes());
            assert_eq!(got, code, "{line}");
            assert!(text.contains(hint), "{line}: {text}");
        }
    }

    #[test]
    fn a_line_with_nothing_on_it_asks_for_nothing() {
        for line in ["", "\r", "  ", "\t"] {
            assert_eq!(parse(Line::Whole(line.as_bytes())), None);
        }
    }

    #[test]
    fn an_unknown_command_is_answered_with_a_suggestion() {
        for (line, hint) in [
            ("!jion lobby", "did you mean !join?"),
            ("/hlep", "did you mean !help?"),
            ("!mem", "did you mean !members?"),
            ("!qiut", "did you mean !quit?"),
            ("!x", "!help lists them"),
            ("!", "!help lists them"),
            ("/", "!help lists them"),
            ("! j lobby", "!help lists them"),
            ("/home/ann/notes", "!help lists them"),
        ] {
            let (code, text) = refused(line.as_bytes());
            assert_eq!(code, ErrorCode::BadCommand, "{line}");
            assert!(text.contains(hint), "{line}: {text}");
        }
    }

    #[test]
    fn a_wrong_argument_is_answered_with_what_was_expected() {
        for (line, code, hint) in [
            ("!j", ErrorCode::BadCommand, "usage: !j GROUP [fifo|causal|total|safe]"),
            ("!j lobby sorted", ErrorCode::BadCommand, "an order is fifo, causal, total or safe"),
            ("!j lobby fifo now", ErrorCode::BadCommand, "now is too much"),
            ("!j a/b", ErrorCode::BadName, "1 to 50 letters"),
            ("!j grüße", ErrorCode::BadName, "1 to 50 letters"),
            ("!w", ErrorCode::BadCommand, "usage: !w GROUP"),
            ("!g all", ErrorCode::BadCommand, "usage: !g"),
            ("!fault delay=5", ErrorCode::BadCommand, "as in 500ms"),
            ("!fault loss=10%", ErrorCode::BadCommand, "a fraction from 0 to 1"),
            ("!fault off", ErrorCode::BadCommand, "usage: !fault [SPEC|clear]"),
            ("!fault cut now", ErrorCode::BadCommand, "now is too much"),
            ("!u ann bob", ErrorCode::BadCommand, "bob is too much"),
            ("!q now", ErrorCode::BadCommand, "usage: !q"),
            ("!help nothing", ErrorCode::BadCommand, "there is no command !nothing"),
        ] {
            let (got, text) = refused(line.as_bytes());
            assert_eq!(got, code, "{line}");
            assert!(text.contains(hint), "{line}: {text}");
        }
        for long in ["!", "!fault "] {
            let (_, text) = refused(format!("{long}{}", "x".repeat(60_000)).as_bytes());
            assert!(text.len() < 250);
        }
    }

    #[test]
    fn a_history_may_name_a_group_or_a_person_and_how_much() {
        let lobby = || Talk::Group("lobby".parse().unwrap());
        let person = |name: &str| Talk::Person(name.parse().unwrap());
        for (line, talks, last) in [
            ("!h", vec![], 20),
            ("/history 5", vec![], 5),
            ("!h lobby", vec![lobby(), person("lobby")], 20),
            ("!h #lobby 1000", vec![lobby()], 1000),
            ("!h @bob 3", vec![person("bob")], 3),
            ("!h 20 7", vec![Talk::Group("20".parse().unwrap()), person("20")], 7),
        ] {
            assert_eq!(parsed(line), Command::History { talks, last }, "{line}");
        }
        for line in ["!h 0", "!h lobby 1001", "!h lobby x", "!h lobby 5 6"] {
            assert_eq!(refused(line.as_bytes()).0, ErrorCode::BadCommand, "{line}");
        }
        assert_eq!(refused(b"!h a/b").0, ErrorCode::BadName);
    }

    #[test]
    fn what_a_later_version_brings_is_refused_by_name() {
        for line in ["!info 1", "/find x", "!text \"a\""] {
            let (code, text) = refused(line.as_bytes());
            assert_eq!(code, ErrorCode::NotInThisVersion, "{line}");
            assert!(text.ends_with("is not in this version"), "{line}: {text}");
        }
    }

    #[test]
    fn help_lists_the_commands_or_shows_one_with_an_example() {
        let Command::Help { topic: None, text } = parsed("!help") else { panic!() };
        for usage in ["!j GROUP", "!w GROUP", "!p USER text", "!g ", "!lm ", "!e ", "!q ", "!!x"] {
            assert!(text.contains(usage), "{usage}");
        }
        for line in ["!help j", "!help !join", "/help /j"] {
            let Command::Help { topic: Some("j"), text } = parsed(line) else { panic!("{line}") };
            assert!(text.contains("example: !j lobby"));
        }
        let Command::Help { topic: Some("send"), text } = parsed("!help send") else { panic!() };
        assert!(text.contains("not in this version"));
    }

    #[test]
    fn a_message_of_the_largest_size_is_taken_and_one_byte_more_is_not() {
        let largest = "x".repeat(MESSAGE_MAX);
        assert_eq!(parsed(&largest), say(&largest));
        assert_eq!(parsed(&format!("/{}", "/".repeat(MESSAGE_MAX))), say(&"/".repeat(MESSAGE_MAX)));
        assert_eq!(parsed(&format!("//{largest}")), refuse(too_long()));
        assert_eq!(refused(format!("{largest}x").as_bytes()).0, ErrorCode::TooLong);
        assert_eq!(refused("\u{1}".repeat(MESSAGE_MAX / 2).as_bytes()).0, ErrorCode::TooLong);
        let name = "b".repeat(50);
        for before in [format!("!msg {name} "), format!(">> {name}: ")] {
            let Command::Private { text, .. } = parsed(&(before.clone() + &largest)) else { panic!() };
            assert_eq!(text, largest);
            assert_eq!(parsed(&format!("{before}{largest}x")), refuse(too_long()));
        }
        assert_eq!(parse(Line::TooLong), Some(refuse(too_long())));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        for line in [&b"\xff\xfe"[..], b"!j \xc3", b"ab\xed\xa0\x80"] {
            assert_eq!(refused(line).0, ErrorCode::BadText);
        }
    }
}
