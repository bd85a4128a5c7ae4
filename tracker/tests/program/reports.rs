//! `tracker reports`, against a tracker that runs and against what is none.

use std::io::Write as _;
use std::net::TcpListener;

use decury_common::base::limits::GROUPS_MAX;
use decury_common::wire::figures::{Figures, Tally};
use decury_common::wire::tracker::{Answer, Request};

use crate::support::{Client, Tracker, output};

fn figures(sent: u64) -> Figures {
    let all = Tally { sent, received: 2 * sent, spanned_us: 1_000_000, ..Tally::default() };
    let name = |n: usize| format!("{n}{}", "g".repeat(40)).parse().unwrap();
    let groups = (0..GROUPS_MAX).map(|n| (name(n), all)).collect();
    Figures { ran_us: 1_000_000, datagrams: 3, all, private: Tally::default(), groups }
}

#[test]
fn it_lists_what_was_reported_in_as_many_parts_as_it_takes() {
    let tracker = Tracker::start(&[]);
    let at = tracker.address.to_string();
    let empty = output(&["reports", "--tracker", &at]);
    assert_eq!((empty.status.code(), &empty.stdout[..]), (Some(0), &b"no run has been reported yet\n"[..]));
    for run in 1..=20 {
        let mut client = Client::signed_in(tracker.address, &format!("u{run}"), run);
        assert_eq!(client.ask(Request::Run(figures(run))), Ok(Answer::Done));
    }
    let listed = output(&["reports", "--json", "--tracker", &at]);
    let lines: Vec<serde_json::Value> = String::from_utf8(listed.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 20);
    for (run, line) in (1..).zip(&lines) {
        assert_eq!((&line["number"], &line["user"]), (&run.into(), &format!("u{run}").into()));
        assert_eq!((&line["sent"], &line["total"]), (&run.into(), &(3 * run).into()));
        assert_eq!(line["per_group"].as_object().unwrap().len(), GROUPS_MAX);
        assert!(line["at"].as_u64().unwrap() > 1_600_000_000_000_000, "{}", line["at"]);
    }
    let table = String::from_utf8(output(&["reports", "--tracker", &at]).stdout).unwrap();
    assert_eq!(table.lines().count(), 21);
    assert!(table.lines().nth(1).unwrap().starts_with("u1 "), "{table}");
}

#[test]
fn without_an_answer_it_says_so_in_one_line_and_fails() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let (silent_at, other_at) = (silent.local_addr().unwrap(), other.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    for (at, words) in [
        (nobody, "no tracker answers there"),
        (silent_at.to_string(), "no answer within 5 s"),
        (other_at.to_string(), "no tracker of this version"),
    ] {
        let asked = output(&["reports", "--tracker", &at]);
        let told = String::from_utf8(asked.stderr).unwrap();
        assert_eq!(
            (asked.status.code(), told.lines().count(), asked.stdout.len()),
            (Some(1), 1, 0),
            "{told}"
        );
        assert!(told.starts_with(&format!("tracker: {at}: ")) && told.contains(words), "{told}");
    }
}

#[test]
fn the_first_tracker_that_answers_is_enough() {
    let tracker = Tracker::start(&[]);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let asked = output(&["reports", "--json", "--tracker", &format!("{nobody},{}", tracker.address)]);
    assert_eq!((asked.status.code(), asked.stdout.len()), (Some(0), 0));
}
