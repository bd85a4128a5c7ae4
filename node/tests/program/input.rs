//! Lines that cannot be obeyed: each is answered, nothing is sent, and the next one is read.

use crate::run::Node;

#[test]
fn a_line_that_makes_no_sense_is_answered_by_its_number() {
    let (mut node, _) = Node::hosting("ann", &[]);
    for (line, (typed, code)) in (1..).zip([
        ("!jion lobby", "bad_command"),
        ("!j", "bad_command"),
        ("!j a/b", "bad_name"),
        ("!j lobby fast", "bad_command"),
        ("hello?", "no_current_group"),
        ("!lm", "no_current_group"),
        ("!w lobby", "no_such_group"),
        ("!e lobby", "no_such_group"),
        ("!p bob", "bad_command"),
        (">> b/b: hi", "bad_name"),
        ("!p ann hi", "bad_command"),
        (">> bob: hi", "no_such_user"),
        ("!why", "no_current_group"),
        ("!h 5", "no_current_group"),
    ]) {
        node.type_line(typed);
        let answer = node.answer(line);
        assert_eq!((&answer["event"], &answer["code"]), (&"error".into(), &code.into()), "{typed}");
        assert!(!answer["text"].as_str().unwrap().is_empty());
    }
    let ended = node.ended();
    assert_eq!((ended.code(), &ended.last()["sent"]), (Some(0), &0.into()));
}

#[test]
fn long_lines_and_bytes_that_are_no_text_are_refused_whole() {
    let (mut node, _) = Node::hosting("ann", &[]);
    let seventy_kib = [vec![b'x'; 70 * 1024], b"\n".to_vec()].concat();
    let ten_megabytes = [vec![b'x'; 10_000_000], b"\n".to_vec()].concat();
    for (line, (bytes, code)) in (1..).zip([
        (&seventy_kib[..], "too_long"),
        (b"\xff\xfe\n", "bad_text"),
        (&ten_megabytes, "too_long"),
        (b"!j \xc3\n", "bad_text"),
    ]) {
        node.type_bytes(bytes);
        assert_eq!(node.answer(line)["code"], code);
    }
    node.type_bytes(b"\n\r\n!help j\r\n");
    let help = node.answer(7);
    assert_eq!((&help["event"], &help["command"]), (&"help".into(), &"j".into()));
    assert_eq!(node.ended().code(), Some(0));
}

#[test]
fn a_last_line_without_its_end_counts() {
    let (mut node, _) = Node::hosting("ann", &[]);
    node.type_bytes(b"!g");
    node.close_input();
    assert_eq!(node.answer(1)["event"], "groups");
    assert_eq!(node.ended().code(), Some(0));
}
