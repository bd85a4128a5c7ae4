//! Starting and ending.

use std::fs::File;
use std::process::Output;

use crate::support::{Client, Tracker, command, output};

fn error_line(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(stderr.lines().count(), 1, "one line says why: {stderr}");
    stderr
}

#[test]
fn it_says_where_it_listens_and_ends_with_0_when_told_to() {
    for signal in ["-TERM", "-INT"] {
        let tracker = Tracker::start(&[]);
        assert_ne!(tracker.address.port(), 0);
        let mut ann = Client::signed_in(tracker.address, "ann", 1);
        assert_eq!(tracker.end_by(signal), Some(0));
        assert_eq!(ann.told(), None, "its clients see the end");
    }
}

#[test]
fn a_port_in_use_is_one_line_and_exit_code_1() {
    let tracker = Tracker::start(&[]);
    let output = output(&["--listen", &tracker.address.to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let line = error_line(&output);
    assert!(line.contains(&format!("cannot listen on {}", tracker.address)), "{line}");
}

#[test]
fn an_address_of_another_machine_is_one_line_and_exit_code_1() {
    let output = output(&["--listen", "192.0.2.1:7400"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(error_line(&output).contains("cannot listen on 192.0.2.1:7400"));
}

#[test]
fn wrong_usage_is_told_and_exit_code_2() {
    for arguments in [
        &["--frobnicate"][..],
        &["--listen", "7400"],
        &["--listen", "127.0.0.1:99999"],
        &["--lease", "soon"],
        &["--data", "/tmp/x"],
        &["status"],
    ] {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
        assert!(error_line(&output).starts_with("error: "), "{arguments:?}");
    }
}

#[test]
fn help_and_version_are_complete_and_exit_code_0() {
    let help = output(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let text = String::from_utf8(help.stdout).unwrap();
    for flag in ["--listen", "--heartbeat", "--lease", "DECURY_TRACKER_LISTEN", "127.0.0.1:7400"] {
        assert!(text.contains(flag), "{flag} is missing in {text}");
    }
    assert!(output(&["--version"]).stdout.starts_with(b"tracker "));
}

#[test]
fn the_environment_gives_what_the_command_line_does_not() {
    let tracker = Tracker::spawn(command(&[]).env("DECURY_TRACKER_LISTEN", "127.0.0.1:0"));
    assert_ne!(tracker.address.port(), 7400);
    let refused = command(&[]).env("DECURY_TRACKER_LEASE", "long").output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn its_configuration_file_gives_what_neither_gives() {
    let directory = std::env::temp_dir().join(format!("decury-tracker-config-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("decury")).unwrap();
    let file = directory.join("decury/tracker.toml");
    std::fs::write(&file, "listen = '127.0.0.1:0'\nlease = '20s'\n").unwrap();
    let tracker = Tracker::spawn(command(&[]).env("XDG_CONFIG_HOME", &directory));
    assert_ne!(tracker.address.port(), 7400);
    std::fs::write(&file, "listen = '127.0.0.1:0'\nlease = '6s'\n").unwrap();
    let refused = command(&["--config", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(error_line(&refused).contains("twice as long"));
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn on_a_wildcard_address_it_names_the_addresses_that_others_can_use() {
    let tracker = Tracker::spawn(&mut command(&["--listen", "0.0.0.0:0"]));
    let line = tracker.line();
    let usable = line.strip_prefix("others can use ").unwrap();
    let mut ann = Client::signed_in(usable.parse().unwrap(), "ann", 1);
    assert_eq!(ann.users(), ["ann"]);
}

#[test]
fn an_output_that_cannot_be_written_is_one_line_and_exit_code_1() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = command(&["--listen", "127.0.0.1:0"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error_line(&output).contains("cannot write to standard output"));
}

#[test]
fn a_restart_on_the_same_port_is_not_refused() {
    let tracker = Tracker::start(&[]);
    let address = tracker.address;
    let _clients: Vec<Client> = (0..10).map(|n| Client::signed_in(address, &format!("user{n}"), n)).collect();
    assert_eq!(tracker.end_by("-KILL"), None);
    let again = Tracker::spawn(&mut command(&["--listen", &address.to_string()]));
    assert_eq!(Client::signed_in(again.address, "ann", 1).users(), ["ann"]);
}
