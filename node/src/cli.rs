//! The command line and the environment, checked: what a start is asked for.

use std::io::{self, BufRead, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use clap::builder::FalseyValueParser;
use decury_common::base::duration::parse_duration;
use decury_common::base::id::{GroupName, UserName};
use decury_common::order::OrderKind;

use crate::session::Spec;

/// The shortest and the longest time to suspicion that make sense.
const SUSPECT_AFTER: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(3600);

/// The name of the configuration file, below `decury` where XDG keeps configuration.
pub const CONFIG_FILE: &str = "node.toml";

const AFTER_HELP: &str = "\
An option comes from the command line, else from the environment, else from the configuration file, which has the long \
names:
  name = \"ann\"
  join = [\"lobby\", \"ops:total\"]

What to type while it runs: !help tells. RUST_LOG=info shows a log on stderr, NO_COLOR=1 takes the colours away.
Configuration file: ~/.config/decury/node.toml (below $XDG_CONFIG_HOME if that is set)";

/// Talk in groups of at most ten: every message arrives, in order, whoever crashes.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "node",
    version,
    after_help = AFTER_HELP
)]
pub struct Args {
    /// Who you are: 1 to 50 letters, digits, '.', '_' or '-' (asked for on a terminal when missing)
    #[arg(long, env = "DECURY_NAME", value_name = "USER")]
    pub name: Option<UserName>,

    /// Where the tracker is; several are its replicas, as in 192.0.2.7:7400,tracker.example:7400
    #[arg(long, env = "DECURY_TRACKER", value_name = "ADDR", value_delimiter = ',',
        default_value = "127.0.0.1:7400", value_parser = host_and_port)]
    pub tracker: Vec<String>,

    /// Run a tracker inside this process, and use it in place of --tracker [at 127.0.0.1:7400 if no ADDR is named]
    #[arg(long, env = "DECURY_HOST", value_name = "ADDR", num_args = 0..=1, require_equals = true,
        default_missing_value = "127.0.0.1:7400", value_parser = address_and_port)]
    pub host: Option<SocketAddr>,

    /// Use no tracker: peers find each other, by --peer, !peer or --discover
    #[arg(long, env = "DECURY_NO_TRACKER", value_parser = FalseyValueParser::new(),
        conflicts_with_all = ["tracker", "host"])]
    pub no_tracker: bool,

    /// Where a peer may be, as in 192.0.2.7:40715 or ann.example:40715; several times, or with commas between; through one
    /// that answers all are found whom it knows
    #[arg(long, env = "DECURY_PEER", value_name = "ADDR", value_delimiter = ',', value_parser = host_and_port)]
    pub peer: Vec<String>,

    /// Find peers in the local network, and be found there (by IP multicast to 239.255.68.67:7468)
    #[arg(long, env = "DECURY_DISCOVER", value_parser = FalseyValueParser::new())]
    pub discover: bool,

    /// The UDP address to talk from; port 0 picks a free one, the last run's if possible
    #[arg(long, env = "DECURY_BIND", value_name = "ADDR", default_value = "0.0.0.0:0",
        value_parser = address)]
    pub bind: SocketAddr,

    /// Where others can reach this node, as in 192.0.2.7; the port is the bound one unless named [default: the addresses
    /// of its interfaces]
    #[arg(long, env = "DECURY_ADVERTISE", value_name = "ADDR", value_delimiter = ',', value_parser = address)]
    pub advertise: Vec<SocketAddr>,

    /// The directory for what this node keeps; one running node uses it; ':memory:' keeps nothing
    /// [default: ~/.local/state/decury/USER]
    #[arg(long, env = "DECURY_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// How much is kept of what was said in each group, and with each person in private; the oldest goes first: bytes,
    /// with K, M or G if need be
    #[arg(long, env = "DECURY_HISTORY", value_name = "SIZE", default_value = "64M", value_parser = size)]
    pub history: u64,

    /// A group to join at the start, with the order (fifo, causal, total or safe) to create it with, as in lobby or ops:total;
    /// several times, or with commas between; the last one is current
    #[arg(long, env = "DECURY_JOIN", value_name = "GROUP[:ORDER]", value_delimiter = ',')]
    pub join: Vec<Join>,

    /// How to show things: line is for people and pipes, json for programs, auto is line
    #[arg(long, env = "DECURY_UI", value_name = "auto|line|json", default_value = "auto")]
    pub ui: Ui,

    /// How long a member may be silent before it is suspected: a number with us, ms or s, as in 500ms
    #[arg(long, env = "DECURY_SUSPECT_AFTER", value_name = "DURATION", default_value = "2s",
        value_parser = suspect_after)]
    pub suspect_after: Duration,

    /// A lab's fault, on what arrives: from=NAME|ADDR, delay=, jitter=, loss=, dup=, cut, with commas between, as in
    /// from=ann,delay=500ms,loss=0.1; several add up (in the environment: with ';' between)
    #[arg(long, env = "DECURY_FAULT", value_name = "SPEC", value_delimiter = ';')]
    pub fault: Vec<Spec>,

    /// Do not end at the end of the input
    #[arg(long, env = "DECURY_STAY", value_parser = FalseyValueParser::new())]
    pub stay: bool,

    /// A file with options, in place of ~/.config/decury/node.toml
    #[arg(long, env = "DECURY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    #[command(flatten)]
    later: Later,
}

/// Options of later versions: named here so that they are refused for what they are.
#[derive(Clone, Debug, clap::Args)]
struct Later {
    #[arg(long, hide = true, value_parser = not_in_this_version)]
    tracker_key: Option<Nothing>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "", value_parser = not_in_this_version)]
    web: Option<Nothing>,
}

/// The value of an option that is never accepted.
#[derive(Clone, Debug)]
enum Nothing {}

/// How to show things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ui {
    /// For people, and for pipes.
    Line,
    /// For programs.
    Json,
}

/// A group to join at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join {
    /// Which.
    pub group: GroupName,
    /// The order to create it with.
    pub order: Option<OrderKind>,
}

impl FromStr for Ui {
    type Err = String;

    fn from_str(text: &str) -> Result<Ui, String> {
        match text {
            "auto" | "line" => Ok(Ui::Line),
            "json" => Ok(Ui::Json),
            "tui" => Err("the full screen is not in this version".to_owned()),
            _ => Err("it is one of auto, line, json".to_owned()),
        }
    }
}

impl FromStr for Join {
    type Err = String;

    fn from_str(text: &str) -> Result<Join, String> {
        let (group, order) = match text.split_once(':') {
            Some((group, order)) => (group, Some(order.parse::<OrderKind>().map_err(|bad| bad.to_string())?)),
            None => (text, None),
        };
        let group = group.parse().map_err(|bad: decury_common::base::id::BadName| bad.to_string())?;
        Ok(Join { group, order })
    }
}

impl Args {
    /// The trackers' addresses, none with `--no-tracker`; asks the system's resolver. The error is a sentence.
    pub fn resolve_trackers(&self) -> Result<Vec<SocketAddr>, String> {
        if self.no_tracker { Ok(Vec::new()) } else { resolve("tracker", &self.tracker) }
    }

    /// The peers' addresses, likewise.
    pub fn resolve_peers(&self) -> Result<Vec<SocketAddr>, String> {
        resolve("peer", &self.peer)
    }
}

fn resolve(what: &str, names: &[String]) -> Result<Vec<SocketAddr>, String> {
    let mut all = Vec::new();
    for name in names {
        let found = name.to_socket_addrs();
        all.extend(found.map_err(|error| format!("the {what} {name} cannot be found: {error}"))?);
    }
    Ok(all)
}

/// Asks a person for a name until there is one; `None` at the end of the input.
pub fn ask_name(input: &mut impl BufRead, screen: &mut impl Write) -> io::Result<Option<UserName>> {
    loop {
        write!(screen, "your name: ")?;
        screen.flush()?;
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim().parse() {
            Ok(name) => return Ok(Some(name)),
            Err(bad) => writeln!(screen, "{bad}")?,
        }
    }
}

fn not_in_this_version(_: &str) -> Result<Nothing, String> {
    Err("this option is not in this version".to_owned())
}

/// An IP address with a port, or without one: then it is 0.
fn address(text: &str) -> Result<SocketAddr, String> {
    let with_port = text.parse().or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0)));
    with_port.map_err(|_| "it is an IP address, with :PORT if need be".to_owned())
}

/// An address with its port; a host's name stands for its first address.
fn address_and_port(text: &str) -> Result<SocketAddr, String> {
    let found = text.to_socket_addrs().ok().and_then(|mut addrs| addrs.next());
    found.ok_or_else(|| "it is HOST:PORT, as in 0.0.0.0:7400".to_owned())
}

fn host_and_port(text: &str) -> Result<String, String> {
    let port =
        text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(1..)) => Ok(text.to_owned()),
        _ => Err("it is HOST:PORT".to_owned()),
    }
}

/// Bytes, in powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || "it is a number of bytes, as in 500K, 64M or 2G".to_owned();
    let digits = text.trim_end_matches(['K', 'M', 'G']);
    let unit = match &text[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return Err(wrong()),
    };
    let number = digits.parse::<u32>().map_err(|_| wrong())?;
    Ok(u64::from(number) * unit)
}

fn suspect_after(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).map_err(|bad| bad.to_string())?;
    if SUSPECT_AFTER.contains(&duration) {
        return Ok(duration);
    }
    Err("it is from 10ms to 3600s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Args, String> {
        let all = std::iter::once(&"node").chain(arguments);
        Args::try_parse_from(all).map_err(|error| error.to_string())
    }

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
    }

    #[test]
    fn nothing_needs_to_be_said() {
        let args = parse(&[]).unwrap();
        assert_eq!(args.tracker, ["127.0.0.1:7400"]);
        assert_eq!(args.resolve_trackers().unwrap(), ["127.0.0.1:7400".parse().unwrap()]);
        assert_eq!((args.host, args.ui, args.stay), (None, Ui::Line, false));
        assert_eq!(args.suspect_after, Duration::from_secs(2));
    }

    #[test]
    fn everything_can_be_said() {
        let args = parse(&[
            "--name",
            "ann",
            "--tracker",
            "10.0.0.1:1,10.0.0.2:2",
            "--host=0.0.0.0:7",
            "--bind",
            "127.0.0.1",
            "--advertise",
            "192.0.2.1",
            "--join",
            "a",
            "--join",
            "b:fifo",
            "--ui",
            "json",
            "--suspect-after",
            "1.5s",
            "--history",
            "3M",
            "--stay",
            "--fault",
            "from=ann,delay=5s",
            "--fault",
            "loss=0.1;cut",
        ])
        .unwrap();
        assert_eq!(args.name.unwrap().as_str(), "ann");
        assert_eq!(args.tracker, ["10.0.0.1:1", "10.0.0.2:2"]);
        assert_eq!(args.host, Some("0.0.0.0:7".parse().unwrap()));
        assert_eq!(args.bind, "127.0.0.1:0".parse().unwrap());
        assert_eq!(args.advertise, ["192.0.2.1:0".parse().unwrap()]);
        let joins: Vec<_> = args.join.iter().map(|join| (join.group.as_str(), join.order)).collect();
        assert_eq!(joins, [("a", None), ("b", Some(OrderKind::Fifo))]);
        assert_eq!((args.ui, args.stay, args.history), (Ui::Json, true, 3 << 20));
        assert_eq!(args.suspect_after, Duration::from_millis(1500));
        let faults: Vec<String> = args.fault.iter().map(Spec::to_string).collect();
        assert_eq!(faults, ["from=ann,delay=5s", "loss=0.1", "cut"]);
        let args = parse(&["--no-tracker", "--peer", "192.0.2.7:4000,[::1]:5", "--discover"]).unwrap();
        assert_eq!(args.resolve_trackers(), Ok(Vec::new()));
        assert_eq!(args.resolve_peers().unwrap(), ["192.0.2.7:4000", "[::1]:5"].map(|a| a.parse().unwrap()));
        assert!(args.discover);
        assert_eq!(parse(&["--host"]).unwrap().host, Some("127.0.0.1:7400".parse().unwrap()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (arguments, words) in [
            (&["--nmae", "ann"][..], "--name"),
            (&["--name", "a b"], "1 to 50 letters"),
            (&["--tracker", "localhost"], "HOST:PORT"),
            (&["--tracker", "x:0"], "HOST:PORT"),
            (&["--bind", "here"], "IP address"),
            (&["--host=here"], "HOST:PORT"),
            (&["--join", "a b"], "1 to 50 letters"),
            (&["--join", "a:sorted"], "fifo, causal"),
            (&["--ui", "tui"], "not in this version"),
            (&["--ui", "web"], "auto, line, json"),
            (&["--history", "64 MB"], "64M"),
            (&["--history", "1KM"], "64M"),
            (&["--suspect-after", "2"], "500ms"),
            (&["--suspect-after=-2s"], "500ms"),
            (&["--suspect-after", "1us"], "10ms to 3600s"),
            (&["--web", "127.0.0.1:1"], "not in this version"),
            (&["--no-tracker", "--tracker", "x:1"], "cannot be used with"),
            (&["--no-tracker", "--host"], "cannot be used with"),
            (&["--peer", "192.0.2.7"], "HOST:PORT"),
            (&["--fault", "loss=2"], "loss= takes a fraction from 0 to 1"),
            (&["--fault", "late"], "made of from=NAME|ADDR, delay="),
            (&["--fault", "from=ann,delay=5"], "500ms"),
            (&["--tracker-key", "k"], "not in this version"),
        ] {
            let error = parse(arguments).unwrap_err();
            assert!(error.contains(words), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn a_person_is_asked_until_the_name_is_good() {
        let mut screen = Vec::new();
        let name = ask_name(&mut &b"a b\n\n ann \nrest"[..], &mut screen).unwrap();
        assert_eq!(name.unwrap().as_str(), "ann");
        assert_eq!(String::from_utf8(screen).unwrap().matches("your name: ").count(), 3);
        assert_eq!(ask_name(&mut &b"a b\n"[..], &mut Vec::new()).unwrap(), None);
    }
}
