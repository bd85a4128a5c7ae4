//! The command line of `tracker`.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use decury_common::base::duration::parse_duration;

use crate::host::Options;
use crate::reports;

/// The meeting point of Decury's nodes: they find each other here, and then talk directly.
#[derive(Debug, Parser)]
#[command(name = "tracker", version, after_help = AFTER_HELP)]
pub struct Cli {
    /// Where to listen; port 0 picks a free one, 0.0.0.0:7400 is reached from everywhere
    #[arg(long, value_name = "ADDR", env = "DECURY_TRACKER_LISTEN", default_value = "127.0.0.1:7400", value_parser = address)]
    listen: SocketAddr,

    /// How often each node is to be heard
    #[arg(long, value_name = "DUR", env = "DECURY_TRACKER_HEARTBEAT", default_value = "5s", value_parser = parse_duration)]
    heartbeat: Duration,

    /// After how long a silence a node is taken for gone
    #[arg(long, value_name = "DUR", env = "DECURY_TRACKER_LEASE", default_value = "15s", value_parser = parse_duration)]
    lease: Duration,

    /// A file with options, in place of ~/.config/decury/tracker.toml
    #[arg(long, value_name = "FILE", env = "DECURY_TRACKER_CONFIG")]
    config: Option<PathBuf>,

    #[arg(long, hide = true)]
    data: Option<String>,
    #[arg(long, hide = true)]
    id: Option<String>,
    #[arg(long, hide = true)]
    cluster: Option<String>,
    #[arg(long, hide = true)]
    metrics: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What is done instead of serving.
#[derive(Debug, Subcommand)]
enum Command {
    /// List the runs that nodes have reported to a tracker, the oldest first
    Reports(Question),
    #[command(external_subcommand)]
    Other(Vec<String>),
}

/// What every question to a running tracker has.
#[derive(Debug, Args)]
struct Question {
    /// Which tracker to ask; of several, the first that answers
    #[arg(long, value_name = "ADDR", env = "DECURY_TRACKER", value_delimiter = ',', default_value = "127.0.0.1:7400", value_parser = Found::parse)]
    tracker: Vec<Found>,

    /// Print one JSON object a line, for programs
    #[arg(long)]
    json: bool,
}

/// The addresses that a name stands for.
#[derive(Clone, Debug)]
struct Found(Vec<SocketAddr>);

/// What the program is asked to do.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Be a tracker.
    Serve(Options),
    /// Ask one which runs were reported.
    Reports(reports::Options),
}

const AFTER_HELP: &str = "A duration is a number and a unit: us, ms or s, as in 500ms.\n\
    All is kept in memory: after a restart the nodes sign in again and report their groups.\n\
    RUST_LOG=info shows on stderr who comes and goes.\n\n\
    An option comes from the command line, else from the environment, else from the configuration file, which has the \
    long names:\n  \
    listen = \"0.0.0.0:7400\"\n\n\
    Configuration file: ~/.config/decury/tracker.toml (below $XDG_CONFIG_HOME if that is set)";

/// The name of the configuration file, below `decury` where XDG keeps configuration.
const CONFIG_FILE: &str = "tracker.toml";

/// Commands that this version has not got.
const COMMANDS_TO_COME: [&str; 3] = ["status", "backup", "cluster"];

impl Cli {
    /// Reads this process's arguments, environment and configuration file. Ends the process: with 0 after `--help` and
    /// `--version`, with 2 and a line on stderr if they cannot be followed.
    pub fn read() -> Wish {
        Cli::wish(decury_cli::parse(CONFIG_FILE)).unwrap_or_else(|error| decury_cli::end(&error))
    }

    fn wish(self) -> Result<Wish, clap::Error> {
        match self.command {
            None => self.options().map(Wish::Serve),
            Some(Command::Reports(Question { tracker, json })) => {
                let trackers = tracker.into_iter().flat_map(|Found(addresses)| addresses).collect();
                Ok(Wish::Reports(reports::Options { trackers, json }))
            }
            Some(Command::Other(words)) => Err(unknown(words.first().map_or("", String::as_str))),
        }
    }

    fn options(self) -> Result<Options, clap::Error> {
        self.check_known()?;
        let Cli { listen, heartbeat, lease, .. } = self;
        if heartbeat < Duration::from_millis(10) {
            return Err(refused("--heartbeat must be at least 10ms"));
        }
        if lease < 2 * heartbeat {
            return Err(refused("--lease must be at least twice as long as --heartbeat"));
        }
        Ok(Options { listen, heartbeat, lease })
    }

    /// Refuses what is announced and not there yet by its name.
    fn check_known(&self) -> Result<(), clap::Error> {
        if self.data.as_deref().is_some_and(|data| data != ":memory:") {
            return Err(refused("this version keeps everything in memory: --data takes `:memory:` only"));
        }
        let flags = [("--id", &self.id), ("--cluster", &self.cluster), ("--metrics", &self.metrics)];
        if let Some((flag, _)) = flags.into_iter().find(|(_, value)| value.is_some()) {
            return Err(refused(&format!("{flag} is not in this version yet")));
        }
        Ok(())
    }
}

fn unknown(command: &str) -> clap::Error {
    refused(&match COMMANDS_TO_COME.contains(&command) {
        true => format!("the command `{command}` is not in this version yet"),
        false => format!("there is no command `{command}`; see --help"),
    })
}

impl Found {
    fn parse(text: &str) -> Result<Found, String> {
        let found: Vec<SocketAddr> = text.to_socket_addrs().into_iter().flatten().collect();
        if found.is_empty() { Err(NO_ADDRESS.to_owned()) } else { Ok(Found(found)) }
    }
}

const NO_ADDRESS: &str = "an address is HOST:PORT, as in 127.0.0.1:7400 or [::]:7400";

fn refused(why: &str) -> clap::Error {
    clap::Error::raw(ErrorKind::ValueValidation, format!("{why}\n"))
}

/// An address with its port; a host's name stands for its first address.
fn address(text: &str) -> Result<SocketAddr, String> {
    let found = text.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    found.ok_or_else(|| NO_ADDRESS.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(arguments: &[&str]) -> Result<Wish, String> {
        let arguments = std::iter::once("tracker").chain(arguments.iter().copied());
        Cli::try_parse_from(arguments).and_then(Cli::wish).map_err(|error| {
            assert_eq!(error.exit_code(), 2);
            error.to_string()
        })
    }

    #[test]
    fn the_defaults_are_those_of_the_manual() {
        let Ok(Wish::Serve(options)) = wish(&[]) else { panic!() };
        assert_eq!(options.listen, "127.0.0.1:7400".parse().unwrap());
        assert_eq!((options.heartbeat, options.lease), (crate::host::HEARTBEAT, crate::host::LEASE));
    }

    #[test]
    fn what_cannot_be_followed_is_refused_by_its_name() {
        for (arguments, told) in [
            (&["--frobnicate"][..], "--frobnicate"),
            (&["--listen", "nonsense"], "HOST:PORT"),
            (&["--lease", "15"], "a number and a unit"),
            (&["--lease", "5s"], "twice as long"),
            (&["--heartbeat", "1us"], "10ms"),
            (&["--data", "/tmp"], "in memory"),
            (&["--cluster", "1=localhost:1"], "--cluster is not in this version"),
            (&["status", "--json"], "`status` is not in this version"),
            (&["dance"], "no command `dance`"),
            (&["reports", "--tracker", "nonsense"], "HOST:PORT"),
            (&["reports", "ann"], "unexpected argument 'ann'"),
        ] {
            let error = wish(arguments).unwrap_err();
            assert!(error.contains(told), "{arguments:?}: {error}");
        }
        assert!(wish(&["--data", ":memory:"]).is_ok());
    }

    #[test]
    fn a_question_goes_to_the_trackers_that_are_named() {
        for (arguments, trackers, as_json) in [
            (&["reports"][..], &["127.0.0.1:7400"][..], false),
            (&["reports", "--json", "--tracker", "10.0.0.1:1,[::1]:2"], &["10.0.0.1:1", "[::1]:2"], true),
        ] {
            let Ok(Wish::Reports(reports::Options { trackers: asked, json })) = wish(arguments) else {
                panic!()
            };
            assert_eq!(asked.iter().map(SocketAddr::to_string).collect::<Vec<_>>(), trackers);
            assert_eq!(json, as_json);
        }
    }
}
