//! Text: what may be sent arrives as it was typed, what may not be is refused whole, pipes get lines.

use crate::harness::{World, messages};

/// Bytes of the longest message.
const LONGEST: usize = 65_536;

#[test]
fn the_longest_messages_arrive_whole_and_a_byte_more_is_refused_whole() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, bob, mut cid] = world.lobby(&tracker, "causal", ["ann", "bob", "cid"]);
    let letters: String = ('a'..='z').cycle().take(LONGEST).collect();
    let emoji = "🦀".repeat(LONGEST / 4);
    for text in [&letters, &emoji] {
        assert_eq!(text.len(), LONGEST);
        ann.types(text);
        cid.types(text);
    }
    for text in [format!("{letters}."), format!("{}é", &letters[..LONGEST - 1])] {
        let line = ann.types(&text);
        assert_eq!(ann.answer(line)["code"], "too_long");
    }
    ann.types("short");
    for node in [&ann, &bob, &cid] {
        for from in ["ann", "cid"] {
            assert_eq!(node.hears("lobby", from, &letters)["seq"], 1);
            assert_eq!(node.hears("lobby", from, &emoji)["seq"], 2);
        }
        assert_eq!(node.hears("lobby", "ann", "short")["seq"], 3);
    }
}

#[test]
fn all_of_unicode_arrives_except_what_can_deceive() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, bob] = world.lobby(&tracker, "fifo", ["ann", "bob"]);
    let texts = [
        ("grüße, 日本語, Ελληνικά", "grüße, 日本語, Ελληνικά"),
        ("👩‍👩‍👧‍👦 👍🏽 🇪🇺", "👩‍👩‍👧‍👦 👍🏽 🇪🇺"),
        ("e\u{301} n\u{303} \u{1112}\u{1161}\u{11ab}", "e\u{301} n\u{303} \u{1112}\u{1161}\u{11ab}"),
        ("שלום עולם, مرحبا بالعالم", "שלום עולם, مرحبا بالعالم"),
        ("a\tb", "a\tb"),
        ("  spaces  stay  ", "  spaces  stay  "),
        (r#"{"event":"message"} | ; \n " '"#, r#"{"event":"message"} | ; \n " '"#),
        ("!!j lobby", "!j lobby"),
        ("//etc/passwd", "/etc/passwd"),
        ("\u{feff}\u{10ffff}\u{0378}", "\u{feff}\u{10ffff}\u{0378}"),
        ("exe.\u{202e}txt\u{202c} \u{2066}x\u{2069}", "exe.\u{fffd}txt\u{fffd} \u{fffd}x\u{fffd}"),
        ("\u{1b}[2J\u{7}\u{0}\u{7f}\u{9b}", "\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
        ("two\rlines\u{2028}or\u{85}four", "two\u{fffd}lines\u{fffd}or\u{fffd}four"),
    ];
    for (typed, _) in texts {
        ann.types(typed);
    }
    for node in [&ann, &bob] {
        let heard = node.messages("lobby", texts.len());
        for (message, (typed, shown)) in heard.iter().zip(texts) {
            assert_eq!(message["text"], shown, "{typed:?}");
        }
    }
}

#[test]
fn of_lines_that_make_no_sense_nothing_is_sent() {
    let world = World::new();
    let tracker = world.tracker();
    let [ann, mut bob] = world.lobby(&tracker, "causal", ["ann", "bob"]);
    let mut cid = world.node("cid", &["--tracker", &tracker.address, "--join", "attic"]);
    bob.types("first");
    for (line, code, hint) in [
        (&b"!jion attic"[..], "bad_command", "did you mean !join?"),
        (b"/", "bad_command", "!help"),
        (b"!w attic", "not_a_member", "!j attic"),
        (b"!w nowhere", "no_such_group", "!j nowhere"),
        (b"!j a/b", "bad_name", "1 to 50 letters"),
        (b"!j lobby sorted", "bad_command", "fifo, causal, total or safe"),
        (&[b'x'; 70 * 1024], "too_long", "65536"),
        (b"caf\xe9", "bad_text", "UTF-8"),
        (b"\xff\xfe\x00", "bad_text", "UTF-8"),
    ] {
        let line = bob.types_bytes(line);
        let error = bob.answer(line);
        assert_eq!((&error["event"], &error["code"]), (&"error".into(), &code.into()), "{error}");
        let text = error["text"].as_str().unwrap();
        assert!(text.contains(hint) && text.lines().count() == 1, "{error}");
    }
    bob.types("!e");
    let line = bob.types("to nobody");
    assert_eq!(bob.answer(line)["code"], "no_current_group");
    let line = bob.types("!j lobby");
    bob.answer(line);
    bob.types("last");
    ann.hears("lobby", "bob", "last");
    assert_eq!(ann.messages("lobby", 2).len(), 2);
    cid.types("!q");
    assert_eq!(messages(&cid.ended().said.lines, "attic").count(), 0);
}

#[test]
fn line_mode_over_pipes_has_messages_on_stdout_and_the_rest_on_stderr() {
    let world = World::new();
    let tracker = world.tracker();
    // Bound to the address that people use, who name none.
    let arguments = ["--bind", "0.0.0.0:0", "--tracker", &tracker.address];
    let mut ann = world.start("ann", &arguments);
    ann.types("!j lobby fifo");
    ann.until("her group", |said| said.errors.iter().find(|line| line.contains("#lobby (1 here)")).cloned());
    let mut bob = world.start("bob", &[&arguments[..], &["--join", "lobby"]].concat());
    bob.types("hello\u{1b}[1m");
    ann.until("his words", |said| (!said.lines.is_empty()).then_some(()));
    ann.types("!who");
    ann.counts(1..=2);
    ann.close_input();
    let ann = ann.ended();
    bob.until("her end", |said| said.errors.iter().find(|line| line.contains("ann gone")).cloned());
    bob.types("!q");
    let bob = bob.ended();
    for ended in [&ann, &bob] {
        assert_eq!(ended.code, Some(0));
        let expected = ["#lobby bob: hello\u{fffd}[1m", "#lobby ann: ann 1", "#lobby ann: ann 2"];
        assert_eq!(ended.said.lines, expected);
        assert!(!ended.said.errors.concat().contains('\x1b'), "{:?}", ended.said.errors);
    }
    assert!(ann.said.errors.iter().any(|line| line.starts_with("line 2: there is no command !who")));
    assert!(ann.said.errors.last().unwrap().starts_with("bye: 2 sent, 3 received"));
    assert!(bob.said.errors.last().unwrap().starts_with("bye: 1 sent, 3 received"));
}
