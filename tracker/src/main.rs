//! The program `tracker`: listens, says where, and serves until it is told to end. Or asks another one something.

use std::io::{self, BufWriter, Write as _};
use std::process::ExitCode;

use decury_common::edge::token;
use decury_tracker::cli::{Cli, Wish};
use decury_tracker::host::{Options, StartError, Tracker};
use decury_tracker::reports::{self, ReportsError};
use mio::Interest;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;
use thiserror::Error;

/// Why the tracker ended unasked, or cannot be asked.
#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Reports(#[from] ReportsError),
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    #[error("cannot go on: {0}")]
    System(#[from] io::Error),
}

fn main() -> ExitCode {
    let wish = Cli::read();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let done = match wish {
        Wish::Serve(options) => run(options),
        Wish::Reports(options) => {
            reports::show(&options, &mut BufWriter::new(io::stdout().lock())).map_err(Failure::from)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody may read it; the exit code tells too.
            let _ = writeln!(io::stderr(), "tracker: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), Failure> {
    let mut tracker = Tracker::bind(options)?;
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    tracker.driver().registry().register(&mut signals, token::SIGNALS, Interest::READABLE)?;
    announce(&tracker).map_err(Failure::Output)?;
    tracker.run(|driver| driver.has_event(token::SIGNALS) && signals.pending().next().is_some())?;
    log::info!("told to end");
    Ok(())
}

/// Says where the tracker listens, and on a wildcard address also what others can use.
fn announce(tracker: &Tracker) -> io::Result<()> {
    let address = tracker.address();
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {address}")?;
    if address.ip().is_unspecified() {
        for reachable in tracker.reachable_at() {
            writeln!(out, "others can use {reachable}")?;
        }
    }
    out.flush()
}
