//! A modest number of simulated runs as an ordinary test; `--bin swarm` runs many more.

use decury_tests::sim::plan::Plan;
use decury_tests::sim::report;
use decury_tests::sim::run;

fn must_hold(seed: u64) {
    let plan = Plan::from_seed(seed);
    let outcome = run::run(&plan);
    assert!(outcome.violation.is_none(), "{}", report::report(&plan, &outcome));
}

/// The seeds in a list with a comment behind each.
fn seeds(list: &str) -> impl Iterator<Item = u64> + '_ {
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_whitespace().next()?.parse().ok())
}

#[test]
fn the_first_seeds_break_no_promise() {
    (1..=60).for_each(must_hold);
}

#[test]
fn seeds_that_broke_a_promise_once_do_not_any_more() {
    let seeds: Vec<u64> = seeds(include_str!("../regressions.txt")).collect();
    assert!(!seeds.is_empty());
    seeds.into_iter().for_each(must_hold);
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [3, 17, 2024] {
        let plan = Plan::from_seed(seed);
        let (a, b) = (run::run(&plan), run::run(&plan));
        assert_eq!((a.fingerprint, a.figures), (b.fingerprint, b.figures));
        assert!(a.delivered > 0);
    }
}
