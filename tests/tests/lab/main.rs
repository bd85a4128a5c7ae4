//! The programs on hosts of their own: network namespaces, joined by a switch that cuts and spoils links (`scripts/lab`).
//! Where a machine does not permit that, one line says why, and each of these tests is reported as ignored.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of this is tests, the helpers too")]

#[path = "../e2e/harness.rs"]
#[allow(dead_code, reason = "these tests need less of it than those on one host")]
mod harness;
#[path = "../e2e/process.rs"]
#[allow(dead_code, reason = "these tests need less of it than those on one host")]
mod process;

mod hosts;
mod partition;
mod unaided;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let refused = hosts::refused();
    if let Some(why) = &refused {
        eprintln!("skipped: {why}");
    }
    let trial = |&(name, test): &(&str, fn())| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
        .with_ignored_flag(refused.is_some())
    };
    libtest_mimic::run(
        &Arguments::from_args(),
        [partition::ALL, unaided::ALL].concat().iter().map(trial).collect(),
    )
    .exit();
}
