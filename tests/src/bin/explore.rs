//! Explores every schedule of a few short scenarios of the membership.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use decury_tests::explore::scenario::{ALL, Scenario};
use decury_tests::explore::search::{self, Report};
use decury_tests::explore::state::{Budget, State};

/// Steps of a schedule that are shown.
const PATH_MAX: usize = 100;

/// Explores every schedule of small groups that change their view, and checks the promises on views in each state.
#[derive(Debug, Parser)]
struct Args {
    /// The scenarios; all when none is named.
    scenarios: Vec<Scenario>,
    /// How many crashes may happen, at any point.
    #[arg(long, default_value_t = 1)]
    crashes: u8,
    /// How many datagrams may be lost, any.
    #[arg(long, default_value_t = 1)]
    losses: u8,
    /// How many datagrams may overtake others of the same link.
    #[arg(long, default_value_t = 0)]
    overtakings: u8,
    /// How often timers may fire too early.
    #[arg(long, default_value_t = 0)]
    hurries: u8,
    /// Give up after so many states of one scenario.
    #[arg(long, default_value_t = 10_000_000)]
    states: u64,
    /// Tell states apart by everything, also by what cannot matter: what is explored comes to the same, after longer.
    #[arg(long)]
    exact: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let Args { crashes, losses, overtakings, hurries, .. } = args;
    let budget = Budget { crashes, losses, overtakings, hurries };
    let scenarios = if args.scenarios.is_empty() { ALL.to_vec() } else { args.scenarios };
    let mut is_good = true;
    for scenario in scenarios {
        let start = Instant::now();
        let tell = if args.exact { State::digest_of_all } else { State::digest };
        let report = search::explore_by(tell, scenario.begin(budget), args.states);
        let seconds = start.elapsed().as_secs_f64();
        let Report { states, transitions, settled, depth, longest, complete, .. } = report;
        let outcomes = report.outcomes.len();
        let how_far = if complete { "all of them" } else { "not all" };
        println!(
            "{scenario}: {states} states ({how_far}), {transitions} steps, {settled} ends of {outcomes} kinds, {depth} steps deep, at most {longest:?} to the end, {seconds:.1} s"
        );
        if let Some((what, path)) = report.violation {
            println!("VIOLATION: {what}");
            path.iter().take(PATH_MAX).for_each(|action| println!("  {action}"));
            is_good = false;
        }
        is_good &= complete;
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
