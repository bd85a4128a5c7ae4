//! How long the group needs to agree on who is in it: real nodes on loopback, one change at a time.
//!
//! A change is timed from its cause (a signal, a line written to a node's pipe) to the stamp of the `view` event at the
//! last member that installs the view; all clocks are that of this machine.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use decury_common::base::duration::parse_duration;
use decury_common::base::limits::MEMBERS_MAX;
use serde::{Deserialize, Serialize};

use super::process::{self, Process, Programs, Scratch, Tracker};

/// What does not come within this time, beside what it must take, does not come.
const PATIENCE: Duration = Duration::from_secs(60);
const GROUP: &str = "lobby";

/// What to measure.
#[derive(Clone, Debug, Args)]
pub(crate) struct Membership {
    /// How many members the group has, 3 to 10
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(3..=MEMBERS_MAX as u64))]
    members: u64,
    /// How often each kind of change is measured
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: u64,
    /// The nodes' suspicion time
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    suspect_after: Duration,
    /// How long a member is cut off before it is healed, besides the suspicion time
    #[arg(long, default_value = "5s", value_parser = parse_duration)]
    apart: Duration,
    /// Also write the figures to this file, one JSON object a kind of change
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Leave,
    Join,
    Crash,
    Heal,
}

/// Milliseconds.
#[derive(Clone, Debug, Serialize)]
struct Figures {
    kind: Kind,
    members: u64,
    rounds: usize,
    suspect_after_ms: f64,
    median_ms: f64,
    max_ms: f64,
}

/// The latest view at one member.
#[derive(Clone, Debug, Default)]
struct Seen {
    members: BTreeSet<String>,
    id: String,
    /// Microseconds since 1970.
    at: u64,
}

#[derive(Deserialize)]
struct Line {
    event: String,
    at: u64,
    #[serde(default)]
    view: String,
    #[serde(default)]
    members: Vec<String>,
}

/// What a member sees now.
type News = (usize, Seen);

struct Node {
    name: String,
    process: Process,
    input: ChildStdin,
}

struct Company<'a> {
    options: &'a Membership,
    programs: &'a Programs,
    tracker: Tracker,
    scratch: Scratch,
    nodes: Vec<Node>,
    views: Vec<Seen>,
    teller: Sender<News>,
    news: Receiver<News>,
}

/// Measures all kinds of change. The error is why there are no figures.
pub(crate) fn measure(programs: &Programs, options: &Membership) -> Result<(), String> {
    let mut company = Company::assemble(programs, options)?;
    let mut report = String::new();
    println!("{:<6} {:>8} {:>7} {:>12} {:>12}", "change", "members", "rounds", "median ms", "max ms");
    for kind in [Kind::Leave, Kind::Crash, Kind::Heal] {
        let mut times: Vec<(Kind, Duration)> = Vec::new();
        for round in 0..options.rounds as usize {
            let member = round % company.nodes.len();
            match kind {
                Kind::Leave | Kind::Join => times.extend(company.leave_and_join(member)?),
                Kind::Crash => times.push((kind, company.crash(member)?)),
                Kind::Heal => times.push((kind, company.heal(member)?)),
            }
        }
        for kind in [Kind::Leave, Kind::Join, Kind::Crash, Kind::Heal] {
            let of_kind = times.iter().filter(|(of, _)| *of == kind).map(|(_, time)| *time);
            let Some(figures) = Figures::new(kind, options, of_kind.collect()) else { continue };
            println!("{figures}");
            report += &serde_json::to_string(&figures).map_err(|error| error.to_string())?;
            report.push('\n');
        }
    }
    let Some(path) = &options.json else { return Ok(()) };
    std::fs::write(path, report).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

impl<'a> Company<'a> {
    fn assemble(programs: &'a Programs, options: &'a Membership) -> Result<Company<'a>, String> {
        let (tracker, scratch) = (Tracker::start(programs)?, Scratch::new()?);
        let (teller, news) = channel();
        let views = vec![Seen::default(); options.members as usize];
        let mut company =
            Company { options, programs, tracker, scratch, nodes: Vec::new(), views, teller, news };
        for member in 0..options.members as usize {
            let node = company.start(member)?;
            company.nodes.push(node);
        }
        company.await_all("all members in one view", |company| company.all_together())?;
        Ok(company)
    }

    fn start(&self, member: usize) -> Result<Node, String> {
        let (name, suspect) = (format!("m{member}"), format!("{}us", self.options.suspect_after.as_micros()));
        let arguments = ["--join", GROUP, "--suspect-after", &suspect];
        let data = self.scratch.path();
        let (process, input, output) = process::start(self.programs, &self.tracker, &name, data, &arguments)?;
        let news = self.teller.clone();
        thread::spawn(move || listen(member, output, &news));
        Ok(Node { name, process, input })
    }

    fn all_together(&self) -> bool {
        self.are_together(|_| true)
    }

    /// Whether these members have one view, of exactly them.
    fn are_together(&self, who: impl Fn(usize) -> bool) -> bool {
        let chosen = || self.nodes.iter().enumerate().filter(|(member, _)| who(*member));
        let names: BTreeSet<String> = chosen().map(|(_, node)| node.name.clone()).collect();
        let mut views = chosen().map(|(member, _)| &self.views[member]);
        let Some(first) = views.next() else { return false };
        first.members == names && views.all(|view| view.id == first.id)
    }

    /// When the last of these has installed its view.
    fn installed(&self, who: impl Fn(usize) -> bool) -> u64 {
        let views = self.views.iter().enumerate().filter(|(member, _)| who(*member));
        views.map(|(_, view)| view.at).max().unwrap_or(0)
    }

    fn await_all(&mut self, what: &str, done: impl Fn(&Company<'_>) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE + self.options.suspect_after * 4;
        while !done(self) {
            match self.news.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok((member, seen)) => self.views[member] = seen,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(format!("waited in vain for {what}"));
                }
            }
        }
        Ok(())
    }

    fn type_line(&mut self, member: usize, line: &str) -> Result<u64, String> {
        let at = unix_micros();
        let node = &mut self.nodes[member];
        writeln!(node.input, "{line}").map_err(|error| format!("{} takes no input: {error}", node.name))?;
        Ok(at)
    }

    fn leave_and_join(&mut self, member: usize) -> Result<[(Kind, Duration); 2], String> {
        let others = |other: usize| other != member;
        let left = self.type_line(member, &format!("!e {GROUP}"))?;
        self.await_all("a view without the leaver", |company| company.are_together(others))?;
        let leave = since(left, self.installed(others));
        let joined = self.type_line(member, &format!("!j {GROUP}"))?;
        self.await_all("a view with the newcomer", |company| company.all_together())?;
        Ok([(Kind::Leave, leave), (Kind::Join, since(joined, self.installed(|_| true)))])
    }

    fn crash(&mut self, member: usize) -> Result<Duration, String> {
        let others = |other: usize| other != member;
        let killed = unix_micros();
        self.nodes[member].process.kill();
        self.await_all("a view without the dead", |company| company.are_together(others))?;
        let time = since(killed, self.installed(others));
        self.views[member] = Seen::default();
        self.nodes[member] = self.start(member)?;
        self.await_all("the return of the dead", |company| company.all_together())?;
        Ok(time)
    }

    fn heal(&mut self, member: usize) -> Result<Duration, String> {
        let others = |other: usize| other != member;
        self.type_line(member, "!fault cut")?;
        self.await_all("two sides", |company| {
            company.are_together(others) && company.are_together(|other| other == member)
        })?;
        thread::sleep(self.options.apart);
        let healed = self.type_line(member, "!fault clear")?;
        self.await_all("the merge", |company| company.all_together())?;
        Ok(since(healed, self.installed(|_| true)))
    }
}

impl Drop for Company<'_> {
    /// The threads that listen end when the nodes have.
    fn drop(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.process.kill());
    }
}

impl Figures {
    fn new(kind: Kind, options: &Membership, mut times: Vec<Duration>) -> Option<Figures> {
        times.sort_unstable();
        let millis = |time: &Duration| time.as_secs_f64() * 1_000.0;
        Some(Figures {
            kind,
            members: options.members,
            rounds: times.len(),
            suspect_after_ms: millis(&options.suspect_after),
            median_ms: millis(times.get(times.len() / 2)?),
            max_ms: millis(times.last()?),
        })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = format!("{:?}", self.kind).to_lowercase();
        let Figures { members, rounds, median_ms, max_ms, .. } = self;
        write!(f, "{kind:<6} {members:>8} {rounds:>7} {median_ms:>12.1} {max_ms:>12.1}")
    }
}

/// Passes on the views that a node prints, until it ends. Its being out of the group is an empty view.
fn listen(member: usize, output: ChildStdout, news: &Sender<News>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let Ok(line) = serde_json::from_str::<Line>(&line) else { continue };
        if matches!(line.event.as_str(), "joined" | "view" | "left") {
            let seen = Seen { members: line.members.into_iter().collect(), id: line.view, at: line.at };
            _ = news.send((member, seen));
        }
    }
}

fn since(cause: u64, installed: u64) -> Duration {
    Duration::from_micros(installed.saturating_sub(cause))
}

fn unix_micros() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
