//! Measures groups of real processes over real sockets on this machine, and checks all that they deliver. What the
//! figures mean is in `docs/performance.md`.

mod checks;
mod event;
mod figures;
mod listener;
mod options;
mod process;
mod programs;
mod workload;

use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use figures::Figures;
use options::Args;
use process::Programs;

/// Nothing could be measured: wrong usage, or something is missing.
const UNABLE: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    let prepared = Programs::find().and_then(|programs| Ok((programs, Report::open(&args)?)));
    let (programs, mut report) = match prepared {
        Ok(prepared) => prepared,
        Err(why) => {
            eprintln!("bench: {why}");
            return ExitCode::from(UNABLE);
        }
    };
    let mut failed = 0;
    println!("{}", figures::HEAD);
    for run in args.runs() {
        match programs::run(&programs, &run).and_then(|figures| report.add(&figures)) {
            Ok(()) => {}
            Err(why) => {
                failed += 1;
                println!("{} FAILED: {why}", figures::name(&run));
            }
        }
    }
    match failed {
        0 => ExitCode::SUCCESS,
        _ => {
            eprintln!("bench: {failed} runs failed");
            ExitCode::FAILURE
        }
    }
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
