//! Starts that fail, each with one clear line, and starts that do not.

use std::io::Write as _;
use std::net::{TcpListener, UdpSocket};

use crate::run::{Node, Scratch, program};

/// Exit code and stderr of a start without input.
fn outcome(arguments: &[&str]) -> (Option<i32>, String) {
    let child = program(arguments).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"", "{arguments:?}");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn assert_one_line(text: &str, words: &str) {
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains(words), "{text}");
}

#[test]
fn wrong_usage_ends_with_2_and_says_why() {
    for (arguments, words) in [
        (
            &["--nmae", "ann"][..],
            "--nmae' found; tip: a similar argument exists: '--name' (--help tells more)",
        ),
        (&["--name", "ann", "--ui", "loud"], "it is one of auto, line, json ("),
        (&["--name", "ann", "lobby"], "unexpected argument 'lobby'"),
        (&["--name", "a b"], "1 to 50 letters"),
        (&["--name", "ann", "--ui", "tui"], "not in this version"),
        (&["--name", "ann", "--web", "127.0.0.1:8000"], "not in this version"),
        (&["--name", "ann", "--tracker", "nowhere"], "HOST:PORT"),
        (&["--name", "ann", "--fault", "loss=2"], "a fraction from 0 to 1"),
    ] {
        let (code, stderr) = outcome(arguments);
        assert_eq!(code, Some(2), "{arguments:?}");
        assert_one_line(&stderr, words);
    }
}

#[test]
fn without_a_name_and_a_terminal_it_says_what_is_missing() {
    let (code, stderr) = outcome(&[]);
    assert_eq!(code, Some(2));
    assert_one_line(&stderr, "--name");
}

#[test]
fn help_and_version_are_on_stdout() {
    for (argument, words) in [("--help", "--suspect-after"), ("--version", "node ")] {
        let output = program(&[argument]).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8(output.stdout).unwrap().contains(words));
    }
}

#[test]
fn a_port_in_use_is_told_in_one_line() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let data = Scratch::new();
    let host = format!("--host={}", tcp.local_addr().unwrap());
    let (code, stderr) = outcome(&["--name", "ann", "--data", data.path(), &host]);
    assert_eq!(code, Some(1));
    assert_one_line(&stderr, "already");
    let bind = udp.local_addr().unwrap().to_string();
    let (code, stderr) = outcome(&["--name", "ann", "--data", data.path(), "--bind", &bind]);
    assert_eq!(code, Some(1));
    assert_one_line(&stderr, "in use");
}

#[test]
fn a_data_directory_belongs_to_one_running_node() {
    let data = Scratch::new();
    let (first, _) = Node::hosting("ann", &["--data", data.path()]);
    let (code, stderr) = outcome(&["--name", "bob", "--data", data.path()]);
    assert_eq!(code, Some(1));
    assert_one_line(&stderr, "another running node");
    assert_eq!(first.ended().code(), Some(0));
    let (second, _) = Node::hosting("bob", &["--data", data.path()]);
    assert_eq!(second.ended().code(), Some(0));
}

#[test]
fn a_data_directory_that_cannot_be_is_told_in_one_line() {
    let (code, stderr) = outcome(&["--name", "ann", "--data", "/dev/null/ann"]);
    assert_eq!(code, Some(1));
    assert_one_line(&stderr, "/dev/null/ann");
}

#[test]
fn a_name_that_is_taken_ends_the_start() {
    let (first, tracker) = Node::hosting("ann", &[]);
    let second = Node::start("ann", &["--tracker", &tracker]).ended_by_itself();
    assert_eq!(second.code(), Some(1));
    let names: Vec<_> = second.events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["error", "bye"]);
    assert_eq!(second.events[0]["code"], "name_taken");
    assert_one_line(&second.stderr, "already signed in as ann");
    assert_eq!(first.ended().code(), Some(0));
}

#[test]
fn it_is_ready_without_a_tracker_and_goes_on_when_one_comes() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut node = Node::start("ann", &["--tracker", &free.to_string()]);
    assert!(node.wait_for("ready")["tracker"].is_null());
    let (host, _) = Node::hosting_at(&free.to_string(), "bob", &[]);
    assert_eq!(node.wait_for("notice")["kind"], "tracker_back");
    node.type_line("!g");
    assert_eq!(node.answer(1)["event"], "groups");
    drop(host);
    assert_eq!(node.wait_for("notice")["kind"], "tracker_lost");
    assert_eq!(node.ended().code(), Some(0));
}

#[test]
fn a_tracker_that_is_none_is_told_from_one_that_does_not_answer() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let mut node = Node::start("ann", &["--tracker", &address]);
    let (mut connection, _) = other.accept().unwrap();
    connection.write_all(b"SSH-2.0-OpenSSH\r\n").unwrap();
    assert!(node.wait_for("ready")["tracker"].is_null());
    let notice = node.wait_for("notice");
    assert_eq!(notice["kind"], "stranger");
    assert!(notice["text"].as_str().unwrap().contains(&address), "{notice}");
    assert_eq!(node.ended().code(), Some(0));
}

#[test]
fn options_can_come_from_the_environment() {
    let data = Scratch::new();
    let environment = [
        ("NAME", "ann"),
        ("HOST", "127.0.0.1:0"),
        ("UI", "json"),
        ("DATA", data.path()),
        ("BIND", "127.0.0.1"),
    ];
    let mut command = program(&[]);
    for (name, value) in environment {
        command.env(format!("DECURY_{name}"), value);
    }
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.starts_with("{\"event\":\"ready\"") && stdout.contains("\"user\":\"ann\""), "{stdout}");
    let (code, stderr) = {
        let output = program(&[]).env("DECURY_NAME", "a b").output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(code, Some(2));
    assert!(stderr.contains("1 to 50 letters"), "{stderr}");
}

#[test]
fn options_can_come_from_a_configuration_file() {
    let scratch = Scratch::new();
    let configuration = std::path::Path::new(scratch.path()).join("decury");
    std::fs::create_dir_all(&configuration).unwrap();
    let file = configuration.join("node.toml");
    let data = configuration.join("data");
    let text = format!(
        "name = 'ann'\nhost = '127.0.0.1:0'\nui = 'json'\nbind = '127.0.0.1'\ndata = '{}'\njoin = ['lobby:total']\n",
        data.display()
    );
    std::fs::write(&file, &text).unwrap();
    for (user, arguments, variable) in
        [("ann", &[][..], None), ("bob", &[], Some("bob")), ("cid", &["--name", "cid"], Some("bob"))]
    {
        let mut command = program(arguments);
        command.env("XDG_CONFIG_HOME", scratch.path());
        variable.map(|name| command.env("DECURY_NAME", name));
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout.contains(&format!("\"user\":\"{user}\"")), "{stdout}");
        assert!(stdout.contains("\"order\":\"total\""), "{stdout}");
    }
    std::fs::write(&file, text + "\nsuspect-after = 'soon'\n").unwrap();
    let (code, stderr) = outcome(&["--config", file.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert_one_line(&stderr, "node.toml:8: invalid value 'soon'");
    std::fs::remove_file(&file).unwrap();
    let (code, stderr) = outcome(&["--config", file.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert_one_line(&stderr, "No such file");
}

#[test]
fn between_a_tracker_and_none_the_more_specific_source_decides() {
    const NOWHERE: &str = "127.0.0.1:1";
    const NONE: (Option<i32>, &str) = (Some(0), "no tracker, no peers yet");
    const SOME: (Option<i32>, &str) = (Some(0), "no tracker answers at 127.0.0.1:1");
    let scratch = Scratch::new();
    let wrong = |words: &'static str| (Some(2), words);
    let cases = [
        ("no-tracker = true", &[][..], &[][..], NONE),
        ("no-tracker = true", &[], &["--tracker", NOWHERE], SOME),
        ("no-tracker = true", &[("TRACKER", NOWHERE)], &[], SOME),
        ("tracker = '127.0.0.1:1'", &[("NO_TRACKER", "1")], &[], NONE),
        ("tracker = '127.0.0.1:1'", &[], &["--no-tracker"], NONE),
        ("host = true", &[("TRACKER", NOWHERE)], &["--no-tracker"], NONE),
        ("", &[("TRACKER", NOWHERE)], &["--no-tracker"], NONE),
        ("", &[("HOST", "127.0.0.1:0")], &["--no-tracker"], NONE),
        ("", &[("NO_TRACKER", "1")], &["--tracker", NOWHERE], SOME),
        ("", &[("NO_TRACKER", "0"), ("TRACKER", NOWHERE)], &[], SOME),
        (
            "",
            &[],
            &["--no-tracker", "--tracker", NOWHERE],
            wrong("--no-tracker cannot be used with --tracker"),
        ),
        ("", &[], &["--no-tracker", "--host"], wrong("--no-tracker cannot be used with --host")),
        (
            "",
            &[("NO_TRACKER", "1"), ("TRACKER", NOWHERE)],
            &[],
            wrong("DECURY_NO_TRACKER cannot be used with DECURY_TRACKER"),
        ),
        (
            "tracker = '127.0.0.1:1'\nno-tracker = true",
            &[],
            &[],
            wrong("node.toml:2: no-tracker cannot be used with tracker"),
        ),
    ];
    let starts = cases.iter().enumerate().map(|(case, (file, environment, arguments, _))| {
        let configuration = std::path::Path::new(scratch.path()).join(case.to_string());
        std::fs::create_dir_all(configuration.join("decury")).unwrap();
        std::fs::write(configuration.join("decury/node.toml"), file).unwrap();
        let mut command = program(&["--name", "ann", "--data", ":memory:", "--bind", "127.0.0.1"]);
        command.args(*arguments).env("XDG_CONFIG_HOME", configuration);
        command.envs(environment.iter().map(|(name, value)| (format!("DECURY_{name}"), value)));
        command.spawn().unwrap()
    });
    for (child, (file, environment, arguments, (code, words))) in
        starts.collect::<Vec<_>>().into_iter().zip(cases)
    {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), code, "{file} {environment:?} {arguments:?}: {stderr}");
        assert!(stderr.contains(words), "{file} {environment:?} {arguments:?}: {stderr}");
        assert!(code == Some(0) || stderr.lines().count() == 1, "{stderr}");
    }
}

#[test]
fn a_node_that_starts_again_has_the_port_it_had_unless_another_has_it() {
    let data = Scratch::new();
    let start = || {
        let mut node = Node::start("ann", &["--no-tracker", "--data", data.path()]);
        let udp: std::net::SocketAddr = node.wait_for("ready")["udp"].as_str().unwrap().parse().unwrap();
        assert_eq!(node.ended().code(), Some(0));
        udp
    };
    let first = start();
    assert_eq!(start(), first);
    let taken = UdpSocket::bind(first).unwrap();
    let other = start();
    assert_ne!(other, first);
    drop(taken);
    assert_eq!(start(), other);
}
