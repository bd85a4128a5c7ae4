//! A person at a terminal: what is typed stays whole whatever arrives, and the terminal is left as it was found.

use std::os::unix::fs::PermissionsExt as _;

use crate::harness::{Node, Tracker, World};
use crate::pseudo::Terminal;

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const UP: &str = "\x1b[A";

/// ann at a terminal and bob, who is a program, in the group `lobby`.
fn together(world: &World, tracker: &Tracker, variables: &[(&str, &str)]) -> (Terminal, Node) {
    let arguments = ["--tracker", &tracker.address, "--join", "lobby"];
    let bob = world.node("bob", &arguments);
    let ann = Terminal::start(world, "ann", &arguments, variables);
    bob.sees("lobby", &["ann", "bob"]);
    ann.until("her prompt", |above, line| {
        line.starts_with("lobby>") && above.iter().any(|row| row.contains("you are talking to #lobby"))
    });
    (ann, bob)
}

#[test]
fn a_half_typed_line_stays_whole_when_a_message_arrives() {
    let world = World::new();
    let tracker = world.tracker();
    let (mut ann, mut bob) = together(&world, &tracker, &[]);
    ann.press("half a li");
    ann.until_line("lobby> half a li");
    bob.types("hello ann");
    ann.until("his words above hers", |above, line| {
        above.last().is_some_and(|row| row == "#lobby bob: hello ann") && line == "lobby> half a li"
    });
    ann.press("ne\r");
    bob.hears("lobby", "ann", "half a line");
    ann.until("one line of hers", |above, line| {
        above.iter().filter(|row| row.contains("half a line")).count() == 1 && line == "lobby>"
    });
    ann.press(CTRL_D);
    assert_eq!(ann.ended(), 0);
}

#[test]
fn a_flood_arrives_complete_and_in_order_while_somebody_types() {
    let world = World::new();
    let tracker = world.tracker();
    let (mut ann, mut bob) = together(&world, &tracker, &[("NO_COLOR", "1")]);
    bob.counts(1..=3_000);
    for number in 1..=20 {
        ann.press("some");
        ann.press(&format!("thing {number}\r"));
        bob.hears("lobby", "ann", &format!("something {number}"));
    }
    ann.press("kept");
    ann.until("the last of his", |above, line| {
        above.iter().any(|row| row == "#lobby bob: bob 3000") && line == "lobby> kept"
    });
    let bytes = ann.bytes();
    let heard: Vec<&str> =
        bytes.split("#lobby bob: bob ").skip(1).map(|rest| rest.split('\r').next().unwrap()).collect();
    let expected: Vec<String> = (1..=3_000).map(|number| number.to_string()).collect();
    assert_eq!(heard, expected);
}

#[test]
fn tab_completes_commands_groups_and_people_and_up_recalls() {
    let world = World::new();
    let tracker = world.tracker();
    let (mut ann, mut bob) = together(&world, &tracker, &[]);
    for (keys, line) in [
        ("!jo\t", "lobby> !join"),
        ("!w lo\t", "lobby> !w lobby"),
        ("!p b\t", "lobby> !p bob"),
        ("/mem\t#l\t", "lobby> /members #lobby"),
    ] {
        ann.press(keys);
        ann.until_line(line);
        ann.press(CTRL_C);
        ann.until_line("lobby>");
    }
    ann.press("!j lobby \t");
    ann.until("what there is to choose from", |above, line| {
        above.last().is_some_and(|row| row == "fifo  causal  total  safe") && line == "lobby> !j lobby"
    });
    ann.press(CTRL_C);
    ann.press("!p b\tpsst\r");
    assert_eq!(bob.event("her words", |event| event["event"] == "private")["text"], "psst");
    ann.press("said\r");
    bob.hears("lobby", "ann", "said");
    ann.press(&format!("{UP}{UP}"));
    ann.until_line("lobby> !p bob psst");
    ann.press(&format!("{CTRL_C}\r{UP} again\r"));
    bob.hears("lobby", "ann", "said again");
    bob.types("!q");
    ann.until("his end", |above, _| above.iter().any(|row| row.contains("bob gone from #lobby")));
    ann.press("!q\r");
    assert_eq!(ann.ended(), 0);
    let kept = world.data("ann").join("input-history");
    assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let mut ann = Terminal::start(&world, "ann", &["--tracker", &tracker.address, "--join", "lobby"], &[]);
    ann.until_line("lobby>");
    ann.press(&format!("{UP}{UP}"));
    ann.until_line("lobby> said again");
}

#[test]
fn the_prompt_names_the_group_that_the_next_line_goes_to() {
    let world = World::new();
    let tracker = world.tracker();
    let (mut ann, bob) = together(&world, &tracker, &[]);
    ann.press("!j a-group-with-a-long-name\r");
    ann.until_line("a-group-with-a-l..>");
    ann.press("!w lobby\r");
    ann.until_line("lobby>");
    ann.press("!e\r");
    ann.until_line(">");
    ann.press("nobody hears this\r");
    ann.until("that nobody does", |above, line| {
        above.iter().any(|row| row.contains("!j GROUP")) && line == ">"
    });
    assert_eq!(bob.sees("lobby", &["bob"])["cause"], "leave");
}

#[test]
fn ctrl_c_clears_a_line_and_leaves_at_an_empty_one() {
    let world = World::new();
    let tracker = world.tracker();
    let (mut ann, bob) = together(&world, &tracker, &[]);
    ann.press("not this");
    ann.until_line("lobby> not this");
    ann.press(CTRL_C);
    ann.until_line("lobby>");
    ann.press(CTRL_C);
    assert_eq!(bob.sees("lobby", &["bob"])["cause"], "leave");
    ann.until_row("bye: 0 sent, 0 received");
    assert_eq!(ann.ended(), 0);
}

#[test]
fn a_second_ctrl_c_does_not_wait_and_leaves_the_terminal_as_it_was_found() {
    let world = World::new();
    let tracker = world.tracker();
    let (mut ann, bob) = together(&world, &tracker, &[]);
    bob.signal("STOP");
    tracker.signal("STOP");
    ann.press("unheard\r");
    ann.until("the prompt", |above, line| {
        above.iter().any(|row| row == "lobby> unheard") && line == "lobby>"
    });
    ann.press(CTRL_C);
    // The prompt has gone when the key has been taken: the next one is a signal.
    ann.until("no prompt", |_, line| line.is_empty());
    ann.press(CTRL_C);
    assert_eq!(ann.ended(), 0);
    bob.signal("CONT");
    tracker.signal("CONT");
}

#[test]
fn a_signal_in_the_middle_of_a_line_leaves_the_terminal_as_it_was_found() {
    let world = World::new();
    let tracker = world.tracker();
    for signal in ["TERM", "INT"] {
        let (mut ann, mut bob) = together(&world, &tracker, &[]);
        ann.press("half");
        ann.until_line("lobby> half");
        ann.signal(signal);
        assert_eq!(ann.ended(), 0);
        ann.until_row("bye: 0 sent, 0 received");
        ann.until_line("");
        bob.types("!q");
        bob.ended();
    }
}

#[test]
fn in_forty_columns_a_line_that_wraps_stays_whole() {
    let world = World::new();
    let tracker = world.tracker();
    let (mut ann, mut bob) = together(&world, &tracker, &[]);
    ann.resize(40);
    ann.press("\r");
    ann.until("a new prompt", |above, line| {
        above.last().is_some_and(|row| row.ends_with("lobby>")) && line == "lobby>"
    });
    let long = "a line that is a good deal longer than forty columns are wide, and then some";
    ann.press(long);
    ann.until("all of the line", |_, line| line == format!("lobby> {long}"));
    bob.types("hello from far away, in a message that wraps as well");
    ann.until("his words above hers", |above, line| {
        above
            .last()
            .is_some_and(|row| row == "#lobby bob: hello from far away, in a message that wraps as well")
            && line == format!("lobby> {long}")
    });
    ann.press("\r");
    bob.hears("lobby", "ann", long);
    ann.press("half in forty, ");
    ann.resize(60);
    ann.press("half in sixty\r");
    bob.hears("lobby", "ann", "half in forty, half in sixty");
}

#[test]
fn what_is_pasted_is_sent_line_by_line_when_it_is_entered() {
    let world = World::new();
    let tracker = world.tracker();
    let (mut ann, bob) = together(&world, &tracker, &[]);
    ann.press("\x1b[200~one\ntwo\r\nthree\x1b[201~");
    ann.until_line("three");
    ann.press("\r");
    for text in ["one", "two", "three"] {
        bob.hears("lobby", "ann", text);
    }
    ann.press("typed\rahead\r");
    bob.hears("lobby", "ann", "typed");
    bob.hears("lobby", "ann", "ahead");
}

#[test]
fn colours_are_for_terminals_that_have_them_and_people_who_want_them() {
    let world = World::new();
    let tracker = world.tracker();
    for (variables, coloured, edited) in [
        (&[][..], true, true),
        (&[("NO_COLOR", "1")], false, true),
        (&[("NO_COLOR", "")], true, true),
        (&[("TERM", "dumb")], false, false),
    ] {
        let arguments = ["--tracker", &tracker.address, "--join", "lobby"];
        let mut bob = world.node("bob", &arguments);
        let mut ann = Terminal::start(&world, "ann", &arguments, variables);
        bob.sees("lobby", &["ann", "bob"]);
        bob.types("is it \u{1b}[31mred?");
        // (The character in the escape's place is one that this terminal does not draw.)
        ann.until_row("#lobby bob: is it [31mred?");
        ann.press("yes\r");
        bob.hears("lobby", "ann", "yes");
        ann.until("her word", |above, _| above.iter().any(|row| row == "yes" || row == "lobby> yes"));
        let bytes = ann.bytes();
        assert_eq!(bytes.contains("mbob\x1b[0m: is"), coloured, "{variables:?}: {bytes:?}");
        assert!(bytes.contains("is it \u{fffd}[31mred?"), "{bytes:?}");
        assert_eq!(bytes.contains("\x1b[?2004h"), edited, "{variables:?}: {bytes:?}");
        assert!(edited || !bytes.contains('\x1b'), "{bytes:?}");
        ann.press("!q\r");
        assert_eq!(ann.ended(), 0);
        bob.types("!q");
        bob.ended();
    }
}

#[test]
fn whoever_has_no_name_is_asked_for_one() {
    let world = World::new();
    let tracker = world.tracker();
    let mut ann = Terminal::unnamed(&world, &["--tracker", &tracker.address, "--join", "lobby"]);
    ann.until_line("your name:");
    ann.press("a b\r");
    ann.until("the question again", |above, line| {
        above.iter().any(|row| row.contains("1 to 50 letters")) && line == "your name:"
    });
    ann.press("ann\r");
    ann.until_line("lobby>");
    ann.press(CTRL_D);
    assert_eq!(ann.ended(), 0);
}

#[test]
fn whoever_stays_at_the_end_of_input_hears_on_and_leaves_by_a_signal() {
    let world = World::new();
    let tracker = world.tracker();
    let arguments = ["--tracker", &tracker.address, "--join", "lobby"];
    let mut bob = world.node("bob", &arguments);
    let mut ann = Terminal::start(&world, "ann", &[&arguments[..], &["--stay"]].concat(), &[]);
    ann.until_line("lobby>");
    ann.press(CTRL_D);
    ann.until("no prompt", |above, line| above.iter().any(|row| row == "lobby>") && line.is_empty());
    bob.types("still there?");
    ann.until_row("#lobby bob: still there?");
    ann.press(CTRL_C);
    assert_eq!(ann.ended(), 0);
}

#[test]
fn a_start_that_is_refused_leaves_the_terminal_as_it_was_found() {
    let world = World::new();
    let tracker = world.tracker();
    let _ann = world.node("ann", &["--tracker", &tracker.address]);
    let mut second = Terminal::unnamed(&world, &["--name", "ann", "--tracker", &tracker.address]);
    assert_eq!(second.ended(), 1);
    second.until("why", |above, _| above.iter().any(|row| row.contains("already signed in as ann")));
}
