//! One person's program: talk in groups, from a terminal, a pipe or another program.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use decury_node::cli::{Args, CONFIG_FILE, ask_name};
use decury_node::runtime;

/// Wrong usage.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let args = decury_cli::parse::<Args>(CONFIG_FILE);
    env_logger::init();
    let name = match args.name {
        Some(name) => Some(name),
        None if io::stdin().is_terminal() => {
            ask_name(&mut io::stdin().lock(), &mut io::stderr()).ok().flatten()
        }
        None => None,
    };
    let Some(name) = name else {
        return failed("who are you? --name USER says it", USAGE);
    };
    match runtime::run(&args, name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error.to_string(), 1),
    }
}

/// One line to the person. Nobody may be listening, which changes nothing.
fn failed(why: &str, code: u8) -> ExitCode {
    use io::Write as _;
    _ = io::stderr().write_all(format!("node: {why}\n").as_bytes());
    ExitCode::from(code)
}
