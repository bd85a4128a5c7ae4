//! What a person gets to see of a violation: enough to understand it, and the command that shows it again.

use std::cell::RefCell;
use std::fmt::Write as _;

use super::host::Starter;
use super::plan::Plan;
use super::run::{Outcome, run_traced, starter};

/// Trace lines in a report.
const TAIL: usize = 60;

thread_local! {
    static PANICKED_AT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Makes panics silent: they are reported as violations, with their place.
pub fn catch_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|place| format!("at {place}")).unwrap_or_default();
        PANICKED_AT.with(|cell| *cell.borrow_mut() = place);
    }));
}

/// Where this thread panicked last, as far as [`catch_panics`] was called.
pub(crate) fn panic_place() -> String {
    PANICKED_AT.with(|cell| cell.borrow().clone())
}

/// Runs a plan that was seen to break a promise once more, with a trace, and tells about it.
pub fn report(plan: &Plan, seen: &Outcome) -> String {
    report_hosts(plan, seen, &starter(plan))
}

/// As [`report`], for hosts that are started in the given way.
pub(crate) fn report_hosts(plan: &Plan, seen: &Outcome, starter: &Starter) -> String {
    let (again, world) = run_traced(plan, starter, TAIL);
    let mut text = format!("VIOLATION\n{plan}\n\n");
    let (names, tail) = match &world.history.trace {
        Some(trace) => (trace.names().clone(), trace.tail().collect::<Vec<_>>().join("\n")),
        None => Default::default(),
    };
    let sentence = |outcome: &Outcome| match &outcome.violation {
        Some(violation) => names.translate(&format!("{violation}\n  at {}", violation.at)),
        None => "nothing".to_owned(),
    };
    // Writing into a string does not fail.
    let _ = writeln!(text, "the last of what happened:\n{tail}\n");
    let statuses = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.statuses()));
    let statuses = statuses.unwrap_or_else(|_| "asking for them panicked\n".to_owned());
    let _ = writeln!(text, "the hosts:\n{}", names.translate(&statuses));
    let _ = writeln!(text, "BROKEN: {}", sentence(seen));
    if again.fingerprint != seen.fingerprint || again.violation != seen.violation {
        let _ = writeln!(text, "NOT REPRODUCIBLE: the second run of this seed broke: {}", sentence(&again));
    }
    let command = "cargo run --release -p decury-tests --bin swarm --";
    let _ = write!(text, "replay: {command} --seed {} --runs 1 --trace", plan.seed);
    text
}
