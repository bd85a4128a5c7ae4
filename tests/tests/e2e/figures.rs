//! Figures: asked for while a node runs, its last word, and what the tracker has been told when all are gone.

use serde_json::Value;

use crate::harness::World;
use crate::process::program;

/// The figures of an event, as they must be for somebody who has said and heard so much.
fn assert_counts(figures: &Value, sent: u64, received: u64) {
    let counts = [&figures["sent"], &figures["received"], &figures["total"]].map(Value::as_u64);
    assert_eq!(counts, [sent, received, sent + received].map(Some), "{figures}");
    assert!(figures["messages_per_s"].is_f64() && figures["retransmitted"].is_u64(), "{figures}");
    let latency = &figures["latency_us"];
    let [p50, p99, error] = ["p50", "p99", "clock_error_us"].map(|field| latency[field].as_u64());
    assert!(received == 0 || (p50.is_some() && p50 <= p99 && error.is_some()), "{figures}");
    assert!(
        received > 0 || *latency == serde_json::json!({"p50": null, "p99": null, "clock_error_us": null})
    );
}

#[test]
fn figures_tell_what_was_said_and_heard_and_the_tracker_keeps_them() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, mut bob] = world.lobby(&tracker, "total", ["ann", "bob"]);
    let line = ann.types("!s");
    assert_eq!(ann.answer(line)["event"], "stats");
    assert_counts(&ann.answer(line), 0, 0);
    ann.counts(1..=20);
    bob.counts(1..=10);
    for node in [&ann, &bob] {
        node.messages("lobby", 30);
    }
    let line = bob.types("!p ann psst");
    ann.event("the secret", |event| event["event"] == "private");
    bob.answer(line);
    for (node, sent, received) in [(&mut ann, 20, 31), (&mut bob, 11, 30)] {
        let line = node.types("!stats");
        let stats = node.answer(line);
        assert_counts(&stats, sent, received);
        let groups: Vec<&String> = stats["per_group"].as_object().unwrap().keys().collect();
        assert_eq!(groups, ["lobby"]);
        assert_counts(&stats["per_group"]["lobby"], if sent == 20 { 20 } else { 10 }, 30);
        assert_counts(&stats["private"], sent - if sent == 20 { 20 } else { 10 }, received - 30);
        node.types("!q");
        let ended = node.ended();
        let bye = ended.said.lines.last().unwrap();
        assert_eq!((ended.code, &bye["event"]), (Some(0), &"bye".into()));
        assert_counts(bye, sent, received);
        assert_eq!(bye["per_group"]["lobby"]["latency_us"], stats["per_group"]["lobby"]["latency_us"]);
        assert!(bye["datagrams"].as_u64() > Some(0), "{bye}");
    }
    let asked =
        program("tracker").args(["reports", "--json", "--tracker", &tracker.address]).output().unwrap();
    assert_eq!(asked.status.code(), Some(0));
    let text = String::from_utf8(asked.stdout).unwrap();
    let runs: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let whose: Vec<&Value> = runs.iter().map(|run| &run["user"]).collect();
    assert_eq!(whose, ["ann", "bob"]);
    assert_counts(&runs[0], 20, 31);
    assert_counts(&runs[1]["per_group"]["lobby"], 10, 30);
}

#[test]
fn line_mode_shows_a_table_and_a_last_line() {
    let world = World::new();
    let tracker = world.tracker();
    let mut ann = world.start("ann", &["--tracker", &tracker.address, "--join", "lobby:fifo"]);
    ann.counts(1..=3);
    ann.until("her words", |said| (said.lines.len() == 3).then_some(()));
    ann.types("!s");
    let table = ann.until("the table", |said| {
        let begin = said.errors.iter().position(|line| line == "in all")?;
        said.errors.get(begin..begin + 10).map(<[String]>::to_vec)
    });
    assert!(table.iter().all(|line| line.len() <= 40), "{table:?}");
    assert_eq!((&table[5][..], &table[1]), ("#lobby", &table[6]));
    assert!(table[1].starts_with("  sent ") && table[1].ends_with(" 3"), "{table:?}");
    ann.types("!q");
    let last = ann.ended().said.errors.pop().unwrap();
    assert!(last.starts_with("bye: 3 sent, 3 received") && !last.contains("latency"), "{last}");
}

#[test]
fn a_node_whose_tracker_is_gone_ends_as_fast_and_reports_to_nobody() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann] = world.lobby(&tracker, "fifo", ["ann"]);
    tracker.kill();
    ann.notice("tracker_lost");
    ann.types("!q");
    let ended = ann.ended();
    assert_eq!((ended.code, &ended.said.lines.last().unwrap()["event"]), (Some(0), &"bye".into()));
}
