//! Faults on purpose: `--fault`, `!fault`, `!why`, as the README shows them.

use serde_json::Value;

use crate::harness::{Node, Tracker, World};

/// A node that joins `lobby` and is patient enough for slow links.
fn start(world: &World, tracker: &Tracker, name: &str, arguments: &[&str]) -> Node {
    let all = ["--tracker", &tracker.address, "--join", "lobby", "--suspect-after", "30s"];
    world.start(name, &[&all, arguments].concat())
}

/// The README's demonstration, with a delay of two seconds in place of five.
#[test]
fn an_answer_that_overtakes_its_question_waits_for_it_and_says_so() {
    let world = World::new();
    let tracker = world.tracker();
    let mut cid = start(&world, &tracker, "cid", &["--ui", "line", "--fault", "from=ann,delay=2s"]);
    let told = |node: &Node, words: &str| {
        node.until(words, |said| said.errors.iter().any(|line| line == words).then_some(()));
    };
    told(&cid, "you are talking to #lobby (1 here) - !help");
    let mut bob = start(&world, &tracker, "bob", &["--ui", "json"]);
    bob.sees("lobby", &["cid", "bob"]);
    let mut ann = start(&world, &tracker, "ann", &["--ui", "json"]);
    ann.sees("lobby", &["cid", "bob", "ann"]);
    told(&cid, "  from ann: 2s later");
    told(&cid, "ann now in #lobby (3 here)");

    ann.types("is anybody here?");
    bob.hears("lobby", "ann", "is anybody here?");
    bob.types("yes, me");
    // Whether the answer has reached cid can be seen only by asking.
    let held = "1 message from bob is held: it needs ann's message 1";
    for asked in 1.. {
        cid.types("!why");
        let is_answer = |line: &&String| *line == held || *line == "nothing is held in #lobby";
        let answer =
            cid.until("an answer", |said| said.errors.iter().filter(is_answer).nth(asked - 1).cloned());
        if answer == held {
            break;
        }
    }
    let lines = cid.until("both messages", |said| (said.lines.len() == 2).then(|| said.lines.clone()));
    assert_eq!(lines, ["#lobby ann: is anybody here?", "#lobby bob: yes, me"]);
    cid.types("!why");
    let last = |said: &crate::process::Said| said.errors.last().cloned();
    cid.until("nothing held", |said| last(said).filter(|line| line == "nothing is held in #lobby"));
    [&ann, &bob].into_iter().for_each(Node::has_suspected_nobody);
    let silent = |line: &&String| line.contains("silent");
    assert_eq!(cid.until("its lines", |said| Some(said.errors.iter().find(silent).cloned())), None);
}

#[test]
fn at_a_loss_of_a_tenth_all_arrives_in_one_sequence_and_nobody_is_suspected() {
    const EACH: u64 = 100;
    let names = ["ann", "bob", "cid", "dan", "eve"];
    let world = World::new();
    let tracker = world.tracker();
    let arguments = ["--ui", "json", "--tracker", &tracker.address, "--join", "lobby:total"];
    let arguments = [&arguments[..], &["--suspect-after", "5s", "--fault", "loss=0.1"]].concat();
    let mut nodes = names.map(|name| world.start(name, &arguments));
    for node in &nodes {
        node.sees("lobby", &names);
    }
    let before = nodes.each_ref().map(|node| node.views("lobby"));
    nodes.iter_mut().for_each(|node| node.counts(1..=EACH));
    let all = nodes.each_ref().map(|node| node.messages("lobby", names.len() * EACH as usize));
    let sequence = |messages: &[Value]| -> Vec<(Value, Value)> {
        messages.iter().map(|message| (message["position"].clone(), message["id"].clone())).collect()
    };
    let first = sequence(&all[0]);
    assert!(all.iter().all(|messages| sequence(messages) == first), "not one sequence");
    let positions: Vec<u64> = first.iter().filter_map(|(position, _)| position.as_u64()).collect();
    assert_eq!(positions, (1..=EACH * names.len() as u64).collect::<Vec<_>>());
    nodes.iter().for_each(Node::has_suspected_nobody);
    assert_eq!(nodes.each_ref().map(|node| node.views("lobby")), before);
}

#[test]
fn faults_change_while_a_node_runs_and_a_wrong_one_changes_nothing() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, mut bob] = world.lobby(&tracker, "causal", ["ann", "bob"]);
    let line = bob.types("!fault from=ann,loss=2");
    let refused = bob.answer(line);
    assert_eq!((&refused["event"], &refused["code"]), (&"error".into(), &"bad_command".into()));
    assert!(refused["text"].as_str().unwrap().contains("a fraction from 0 to 1"), "{refused}");
    let line = bob.types("/fault");
    assert_eq!(bob.answer(line)["rules"], serde_json::json!([]));
    let line = bob.types("!fault from=ann,cut");
    let answer = bob.answer(line);
    assert_eq!((&answer["event"], &answer["rules"]), (&"fault".into(), &serde_json::json!(["from=ann,cut"])));
    ann.types("unheard");
    assert_eq!(bob.notice("alone")["group"], "lobby");
    bob.types("!fault clear");
    for node in [&ann, &bob] {
        node.event("a merge", |event| event["event"] == "view" && event["cause"] == "merge");
    }
    ann.types("heard");
    bob.hears("lobby", "ann", "heard");
}

/// Both sides of a cut talk; once it is healed everybody gets what the other side said, in its order, once.
#[test]
fn sides_that_were_cut_tell_each_other_what_they_said_once_the_cut_is_healed() {
    for order in ["causal", "total"] {
        let world = World::new();
        let tracker = world.tracker();
        let mut nodes = world.lobby(&tracker, order, ["ann", "bob", "cid"]);
        for (node, from) in [(0, "cid"), (1, "cid"), (2, "ann"), (2, "bob")] {
            let line = nodes[node].types(&format!("!fault from={from},cut"));
            assert_eq!(nodes[node].answer(line)["event"], "fault");
        }
        let [ann, bob, cid] = &mut nodes;
        ann.sees("lobby", &["ann", "bob"]);
        bob.sees("lobby", &["ann", "bob"]);
        cid.sees("lobby", &["cid"]);
        for n in 1..=3 {
            ann.types(&format!("ann {n}"));
            bob.hears("lobby", "ann", &format!("ann {n}"));
            bob.types(&format!("bob {n}"));
            ann.hears("lobby", "bob", &format!("bob {n}"));
            cid.types(&format!("cid {n}"));
        }
        cid.messages("lobby", 3);
        nodes.iter_mut().for_each(|node| _ = node.types("!fault clear"));
        nodes.iter().for_each(|node| _ = node.sees("lobby", &["ann", "bob", "cid"]));
        for (node, told) in [(0, "cid"), (1, "cid"), (2, "ann bob")] {
            let messages = nodes[node].messages("lobby", 9);
            let (past, live): (Vec<&Value>, _) = messages.iter().partition(|m| m["caught_up"] == true);
            let texts = |messages: &[&Value]| -> Vec<String> {
                messages.iter().map(|message| message["text"].as_str().unwrap().to_owned()).collect()
            };
            let names = told.split(' ').collect::<Vec<_>>();
            let said: Vec<String> =
                (1..=3).flat_map(|n| names.iter().map(move |name| format!("{name} {n}"))).collect();
            assert_eq!(texts(&past), said, "{}", nodes[node].name);
            assert_eq!(live.len(), 9 - said.len());
            assert!(past.iter().all(|message| message["position"].is_null()), "{past:?}");
        }
        nodes[2].types("all of us");
        for node in &nodes {
            let live = node.hears("lobby", "cid", "all of us");
            assert_eq!((&live["caught_up"], &live["seq"]), (&false.into(), &4.into()));
        }
    }
}

/// More than the others store is said while one is cut off: what is left is told in order, and that some is not.
#[test]
fn what_nobody_stores_any_more_is_told_as_a_gap() {
    let world = World::new();
    let tracker = world.tracker();
    let [mut ann, mut bob] = world.lobby(&tracker, "fifo", ["ann", "bob"]);
    for (node, from) in [(&mut ann, "bob"), (&mut bob, "ann")] {
        let line = node.types(&format!("!fault from={from},cut"));
        assert_eq!(node.answer(line)["event"], "fault");
    }
    ann.sees("lobby", &["ann"]);
    bob.sees("lobby", &["bob"]);
    // Twice 8 MiB are kept for a while after somebody has come.
    let filler = "x".repeat(60_000);
    (1..=300).for_each(|n| _ = ann.types(&format!("{n} {filler}")));
    ann.messages("lobby", 300);
    [&mut ann, &mut bob].into_iter().for_each(|node| _ = node.types("!fault clear"));
    assert_eq!(bob.notice("history_gap")["group"], "lobby");
    ann.types("the end");
    bob.hears("lobby", "ann", "the end");
    let told: Vec<u64> = bob
        .messages("lobby", 2)
        .iter()
        .filter_map(|message| message["text"].as_str()?.split_once(' ')?.0.parse().ok())
        .collect();
    assert!(told.first().is_some_and(|&first| first > 1) && told.last() == Some(&300), "{told:?}");
    assert!(told.windows(2).all(|pair| pair[1] == pair[0] + 1), "{told:?}");
}
