//! Ends: asked for in four ways, and forced by a reader that is gone.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::run::{Node, Scratch, program};

#[test]
fn every_way_to_ask_for_the_end_ends_with_0_and_a_last_word() {
    for way in ["!q", "end of input", "INT", "TERM"] {
        let (mut node, _) = Node::hosting("ann", &[]);
        match way {
            "!q" => node.type_line("!q"),
            "end of input" => node.close_input(),
            signal => node.signal(signal),
        }
        let ended = node.ended_by_itself();
        assert_eq!((ended.code(), &ended.last()["event"]), (Some(0), &"bye".into()), "{way}");
        assert_eq!(ended.stderr, "", "{way}");
    }
}

#[test]
fn it_stays_after_the_end_of_input_if_told_to() {
    let (mut node, tracker) = Node::hosting("ann", &["--stay"]);
    node.type_line("!g");
    node.close_input();
    node.answer(1);
    // It is there to be seen by somebody who comes later.
    let other = Node::start("ann", &["--tracker", &tracker]).ended_by_itself();
    assert_eq!(other.events[0]["code"], "name_taken");
    node.signal("INT");
    let ended = node.ended_by_itself();
    assert_eq!((ended.code(), &ended.last()["event"]), (Some(0), &"bye".into()));
}

#[test]
fn a_reader_that_is_gone_ends_the_node() {
    for ui in ["json", "line"] {
        let data = Scratch::new();
        let arguments = ["--name", "ann", "--host=127.0.0.1:0", "--bind", "127.0.0.1", "--data", data.path()];
        let mut child =
            program(&[&arguments[..], &["--ui", ui, "--join", "lobby"]].concat()).spawn().unwrap();
        drop(child.stdout.take());
        let mut stdin = child.stdin.take().unwrap();
        // It notices when it writes; a child that another test starts may hold the pipe open for a moment.
        let deadline = Instant::now() + Duration::from_secs(20);
        let code = loop {
            assert!(Instant::now() < deadline, "{ui}: it does not notice");
            _ = stdin.write_all(b"hello\n");
            if let Some(status) = child.try_wait().unwrap() {
                break status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(code, Some(1), "{ui}: {stderr}");
        assert_eq!(stderr.lines().filter(|line| line.starts_with("node: ")).count(), 1, "{stderr}");
        assert!(stderr.contains("output cannot be written"), "{stderr}");
    }
}

#[test]
fn a_reader_that_stalls_holds_the_input_up_and_loses_nothing() {
    const LINES: usize = 20_000;
    let data = Scratch::new();
    let arguments = ["--name", "ann", "--host=127.0.0.1:0", "--bind", "127.0.0.1", "--data", data.path()];
    let arguments = [&arguments[..], &["--ui", "json", "--join", "lobby"]].concat();
    let mut child = program(&arguments).env("RUST_LOG", "decury_node=debug").spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let writer = std::thread::spawn(move || {
        for number in 0..LINES {
            writeln!(stdin, "{number} {}", "x".repeat(1_000)).unwrap();
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let (stalled, stall) = channel();
    let errors = BufReader::new(child.stderr.take().unwrap()).lines();
    std::thread::spawn(move || {
        let told = errors.map_while(Result::ok).filter(|line| line.contains("no input is taken"));
        told.for_each(|_| _ = stalled.send(()));
    });
    stall.recv_timeout(Duration::from_secs(20)).expect("it takes input though nobody reads");
    let taken = written.load(Ordering::Relaxed);
    assert!(taken < LINES / 2, "{taken} lines were taken though nobody reads");
    let events = BufReader::new(child.stdout.take().unwrap()).lines();
    let events = events.map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    let texts = events.filter(|event| event["event"] == "message").map(|event| event["text"].to_string());
    let numbers: Vec<usize> =
        texts.map(|text| text[1..].split(' ').next().unwrap().parse().unwrap()).collect();
    assert!(numbers.into_iter().eq(0..LINES));
    writer.join().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn line_mode_keeps_stdout_for_messages() {
    let data = Scratch::new();
    let arguments = ["--name", "ann", "--host=127.0.0.1:0", "--bind", "127.0.0.1", "--data", data.path()];
    let mut child = program(&arguments).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("you are ann, at 127.0.0.1:"));
    stdin.write_all(b"hello?\n!q\n").unwrap();
    assert!(lines.next().unwrap().unwrap().starts_with("line 1: there is no current group"));
    assert_eq!(lines.next().unwrap().unwrap(), "bye: 0 sent, 0 received");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b""[..]));
}
