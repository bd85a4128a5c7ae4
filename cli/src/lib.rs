//! What the command lines of the programs have in common: a configuration file beneath them.
//!
//! An option is defined once, for clap. What the [`file`](mod@file) says becomes the *default* of its option, so that
//! clap's own precedence holds: the command line, then the environment, then the file, then the option's own default;
//! and each value is checked by the option's own parser, alone, so that a mistake is told with its line. The same
//! precedence holds between options that cannot be used together (`rivals`).

mod apply;
pub mod file;
mod rivals;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgMatches, Parser};
use etcetera::BaseStrategy as _;

use file::{File, FileError};

/// The option that names the file. A program that wants one defines it as an `Option<PathBuf>`.
const CONFIG: &str = "config";

/// This process's command line, environment and configuration file; `name` is the file's where XDG keeps
/// configuration, below `decury`. Ends the process: with 0 after `--help` and `--version`, with 2 and a line on stderr if
/// something cannot be followed.
pub fn parse<P: Parser>(name: &str) -> P {
    parse_from(std::env::args_os().collect(), default_file(name)).unwrap_or_else(|error| end(&error))
}

/// The same, from these arguments, which begin with the program's name. The file at `default` need not exist, one that
/// is named must.
pub fn parse_from<P: Parser>(arguments: Vec<OsString>, default: Option<PathBuf>) -> Result<P, clap::Error> {
    let free = rivals::freed(P::command());
    let matches = free.clone().try_get_matches_from(&arguments)?;
    let file = read(&matches, default).map_err(refused)?;
    let losers = rivals::losers(&P::command(), &matches, file.as_ref())?;
    let mut command = rivals::without(free, &losers);
    if let Some(file) = file {
        command = apply::with_defaults(command, &file, &losers).map_err(refused)?;
    }
    P::from_arg_matches(&command.try_get_matches_from(&arguments)?)
}

/// Ends the process: with 0 after `--help` and `--version`, with 2 and one line on stderr if something is wrong.
pub fn end(error: &clap::Error) -> ! {
    if !error.use_stderr() {
        error.exit();
    }
    // Nobody may read it; the exit code tells too.
    _ = writeln!(io::stderr(), "{}", one_line(error));
    std::process::exit(error.exit_code())
}

/// What is wrong, and what may have been meant, without clap's usage and with a way to it.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let parts = text.lines().map(str::trim).filter(|part| !part.is_empty());
    let parts =
        parts.take_while(|part| !part.starts_with("Usage:") && !part.starts_with("For more information"));
    format!("{} (--help tells more)", parts.collect::<Vec<_>>().join("; ").replace(":;", ":"))
}

/// Where a program's configuration is unless told otherwise; none without a home directory.
pub fn default_file(name: &str) -> Option<PathBuf> {
    let strategy = etcetera::base_strategy::Xdg::new().ok()?;
    Some(strategy.config_dir().join("decury").join(name))
}

/// The file is the program's own: its subcommands have nothing to do with it.
fn read(matches: &ArgMatches, default: Option<PathBuf>) -> Result<Option<File>, FileError> {
    if matches.subcommand_name().is_some() {
        return Ok(None);
    }
    match (matches.get_one::<PathBuf>(CONFIG), default) {
        (Some(path), _) => File::read(path).map(Some),
        (None, Some(path)) => File::read_if_there(&path),
        (None, None) => Ok(None),
    }
}

fn refused(error: FileError) -> clap::Error {
    clap::Error::raw(ErrorKind::ValueValidation, format!("{error}\n"))
}
