//! Measures groups of real nodes over real sockets on this machine, and checks all that they deliver. What the
//! figures mean is in `docs/performance.md`.

mod checks;
mod conductor;
mod event;
mod figures;
mod library;
mod listener;
mod membership;
mod options;
mod process;
mod programs;
mod witness;
mod workload;

use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use figures::Figures;
use options::{Args, Measure};
use process::Programs;

/// Nothing could be measured: wrong usage, or something is missing.
const UNABLE: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    let failed = match &args.measure {
        Some(Measure::Membership(options)) => {
            Programs::find().and_then(|programs| membership::measure(&programs, options)).map(|()| 0)
        }
        None => measure(&args),
    };
    match failed {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("bench: {failed} runs failed");
            ExitCode::FAILURE
        }
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::from(UNABLE)
        }
    }
}

/// All runs; how many failed. The error is why there could be none.
fn measure(args: &Args) -> Result<u64, String> {
    let programs = if args.lib { None } else { Some(Programs::find()?) };
    let mut report = Report::open(args)?;
    let mut failed = 0;
    println!("{}", figures::HEAD);
    for run in args.runs() {
        let figures = match &programs {
            Some(programs) => programs::run(programs, &run),
            None => library::run(&run),
        };
        if let Err(why) = figures.and_then(|figures| report.add(&figures)) {
            failed += 1;
            println!("{} FAILED: {why}", figures::name(&run));
        }
    }
    Ok(failed)
}

/// Where figures go.
struct Report(Option<File>);

impl Report {
    fn open(args: &Args) -> Result<Report, String> {
        let file = args.json.as_ref().map(|path| {
            File::create(path).map_err(|error| format!("{} cannot be written: {error}", path.display()))
        });
        Ok(Report(file.transpose()?))
    }

    fn add(&mut self, figures: &Figures) -> Result<(), String> {
        println!("{figures}");
        let Some(file) = &mut self.0 else { return Ok(()) };
        let line = serde_json::to_string(figures).map_err(|error| error.to_string())?;
        writeln!(file, "{line}").map_err(|error| format!("the figures cannot be written: {error}"))
    }
}
