//! The programs: found (and built, when Cargo runs this), started, asked what they cost, and never left behind.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::options::Run;

/// The kernel counts processor time in hundredths of a second, wherever it shows it to programs.
const TICK: Duration = Duration::from_millis(10);
/// How often a process that is about to end is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// Where the programs are.
#[derive(Debug)]
pub(crate) struct Programs {
    directory: PathBuf,
}

impl Programs {
    /// Those beside this one. Under `cargo run` they are built first, so that they are of the same sources. The error
    /// is a sentence.
    pub(crate) fn find() -> Result<Programs, String> {
        let this = env::current_exe().map_err(|error| format!("where am I? {error}"))?;
        let directory = this.parent().unwrap_or(Path::new(".")).to_path_buf();
        let profile = match directory.file_name().and_then(|name| name.to_str()) {
            Some("debug") => "dev",
            _ => "release",
        };
        let build = ["build", "--profile", profile, "-p", "decury-node", "-p", "decury-tracker", "--bins"];
        if let (Some(cargo), Some(here)) = (env::var_os("CARGO"), env::var_os("CARGO_MANIFEST_DIR")) {
            let status = Command::new(cargo).args(build).current_dir(here).status();
            if !status.is_ok_and(|status| status.success()) {
                return Err(format!("`cargo {}` failed", build.join(" ")));
            }
        }
        match ["node", "tracker"].into_iter().find(|name| !directory.join(name).is_file()) {
            None => Ok(Programs { directory }),
            Some(name) => {
                let (directory, build) = (directory.display(), build.join(" "));
                Err(format!("there is no `{name}` in {directory}; `cargo {build}` builds it"))
            }
        }
    }

    /// A program's command, with no environment and no configuration to mislead it. What it complains of is seen by whoever runs this.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.directory.join(name));
        command.env("XDG_CONFIG_HOME", "/dev/null");
        for (variable, _) in env::vars_os() {
            if variable.to_str().is_some_and(|name| name.starts_with("DECURY_") || name == "RUST_LOG") {
                command.env_remove(variable);
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }
}

/// A tracker of this run alone.
#[derive(Debug)]
pub(crate) struct Tracker {
    _process: Process,
    address: String,
}

impl Tracker {
    /// Starts one on a free port.
    pub(crate) fn start(programs: &Programs) -> Result<Tracker, String> {
        let mut command = programs.command("tracker");
        let (process, _stdin, stdout) = Process::start(command.args(["--listen", "127.0.0.1:0"]))?;
        let mut line = String::new();
        _ = BufReader::new(stdout).read_line(&mut line);
        match line.trim_end().strip_prefix("listening on ") {
            Some(address) => Ok(Tracker { _process: process, address: address.to_owned() }),
            None => Err(format!("the tracker says {line:?} in place of its address")),
        }
    }
}

/// Starts a node of this name.
pub(crate) fn start(
    programs: &Programs,
    tracker: &Tracker,
    name: &str,
    data: &Path,
    arguments: &[&str],
) -> Result<(Process, ChildStdin, ChildStdout), String> {
    let mut command = programs.command("node");
    command.args(["--name", name, "--ui", "json", "--tracker", &tracker.address, "--bind", "127.0.0.1:0"]);
    Process::start(command.args(arguments).arg("--data").arg(data.join(name)))
}

/// Starts a member's node, which joins the run's group at once.
pub(crate) fn start_node(
    programs: &Programs,
    tracker: &Tracker,
    run: &Run,
    member: usize,
    data: &Path,
) -> Result<(Process, ChildStdin, ChildStdout), String> {
    start(programs, tracker, &format!("m{member}"), data, &["--join", &format!("bench:{}", run.order)])
}

/// A running program. It is killed when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    fn start(command: &mut Command) -> Result<(Process, ChildStdin, ChildStdout), String> {
        let started = command.spawn();
        let child =
            started.map_err(|error| format!("{:?} does not start: {error}", command.get_program()))?;
        let mut process = Process { child };
        match (process.child.stdin.take(), process.child.stdout.take()) {
            (Some(stdin), Some(stdout)) => Ok((process, stdin, stdout)),
            _ => Err("a program was started without pipes".to_owned()),
        }
    }

    /// Processor time used so far, by all its threads.
    pub(crate) fn cpu(&self) -> Duration {
        cpu(&self.child.id().to_string())
    }

    /// The most memory that was ever resident, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        peak_kib(&self.child.id().to_string())
    }

    /// Waits until it ends by itself; it must not complain.
    pub(crate) fn end(&mut self, within: Duration) -> Result<(), String> {
        let deadline = Instant::now() + within;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("ended with {status}")),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK),
                Ok(None) => return Err("does not end".to_owned()),
                Err(error) => return Err(format!("cannot be waited for: {error}")),
            }
        }
    }

    /// As `kill -9` does; harmless after its end.
    pub(crate) fn kill(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Processor time that this process has used so far.
pub(crate) fn own_cpu() -> Duration {
    cpu("self")
}

/// The most memory of this process that was ever resident, in KiB, since it was last forgotten.
pub(crate) fn own_peak_kib() -> u64 {
    peak_kib("self")
}

/// What is resident now counts as the most that ever was. Where the system does not offer it, former runs count.
pub(crate) fn forget_own_peak() {
    _ = fs::write("/proc/self/clear_refs", "5");
}

fn cpu(process: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name before it may contain anything: fields are counted from its closing bracket on.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u32>().ok());
    TICK * ticks.sum()
}

fn peak_kib(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// A directory for the data of one run, removed with it.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Result<Scratch, String> {
        let path = env::temp_dir().join(format!("decury-bench-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("{} cannot be made: {error}", path.display()))?;
        Ok(Scratch(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}
