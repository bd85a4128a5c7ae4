//! One running program: what it says is collected, what it reads is typed, and it is waited for with a deadline.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Whatever is waited for comes much sooner, or never.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How much of each program's output a failure shows.
const SHOWN: usize = 25;

/// A program of this workspace, with no environment to mislead it.
pub(crate) fn program(name: &str) -> Command {
    let this = std::env::current_exe().unwrap();
    // Cargo puts tests into target/PROFILE/deps, and programs into target/PROFILE.
    let path: PathBuf = this.parent().and_then(|deps| deps.parent()).unwrap().join(name);
    assert!(
        path.exists(),
        "{} is missing: the command that builds the programs and runs these tests is \
         `cargo test --release --workspace --locked`",
        path.display()
    );
    let mut command = Command::new(path);
    for (variable, _) in std::env::vars().filter(|(name, _)| name.starts_with("DECURY_")) {
        command.env_remove(variable);
    }
    command.env_remove("RUST_LOG");
    // Nor has it the configuration of whoever runs this.
    command.env("XDG_CONFIG_HOME", "/dev/null");
    command
}

/// Sends a signal, by its name without SIG.
pub(crate) fn signal(id: u32, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), id.to_string()]).status().unwrap();
    assert!(status.success(), "there is no process {id} to get SIG{name}");
}

/// Processor time that a process has used, in clock ticks: fields 14 and 15 of its status line.
pub(crate) fn ticks(id: u32) -> u64 {
    let line = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let (_, after_name) = line.rsplit_once(") ").unwrap();
    after_name.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}

/// What a program has said so far.
#[derive(Clone, Default)]
pub(crate) struct Said {
    /// The lines of its stdout: JSON where it is JSON, strings elsewhere.
    pub(crate) lines: Vec<Value>,
    /// The lines of its stderr.
    pub(crate) errors: Vec<String>,
    ended_streams: u32,
    /// The pipe from its stdout is closed at its next line.
    deaf: bool,
}

/// The record of one program, which outlives it.
pub(crate) struct Record {
    label: String,
    said: Mutex<Said>,
    news: Condvar,
    /// Lines are passed on while it is free.
    gate: Mutex<()>,
}

/// A running program. It is killed when it goes out of scope.
pub(crate) struct Process {
    child: Child,
    typing: Option<Sender<Vec<u8>>>,
    record: Arc<Record>,
}

impl Process {
    pub(crate) fn spawn(label: &str, command: &mut Command) -> Process {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let label = format!("{label} (process {})", child.id());
        let record =
            Arc::new(Record { label, said: Mutex::default(), news: Condvar::new(), gate: Mutex::default() });
        collect(child.stdout.take().unwrap(), &record, |said, line| {
            said.lines.push(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            !said.deaf
        });
        collect(child.stderr.take().unwrap(), &record, |said, line| {
            said.errors.push(line);
            true
        });
        let (typing, typed) = channel::<Vec<u8>>();
        let mut stdin = child.stdin.take().unwrap();
        // A program that reads slowly, or not at all, must not stop the test.
        thread::spawn(move || typed.iter().try_for_each(|bytes| stdin.write_all(&bytes)));
        Process { child, typing: Some(typing), record }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn record(&self) -> Arc<Record> {
        self.record.clone()
    }

    /// Types bytes; they are dropped if the program does not read any more.
    pub(crate) fn types(&self, bytes: Vec<u8>) {
        _ = self.typing.as_ref().expect("the input is open").send(bytes);
    }

    pub(crate) fn close_input(&mut self) {
        self.typing = None;
    }

    /// Looks at all that has been said, again whenever there is news, until `find` finds something.
    pub(crate) fn until<T>(&self, what: &str, mut find: impl FnMut(&Said) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut said = self.record.said();
        loop {
            if let Some(found) = find(&said) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || said.ended_streams == 2 {
                let why = if left.is_zero() { "in vain" } else { "until its end" };
                panic!("{}: waited {why} for {what}", self.record.label);
            }
            said = self.record.news.wait_timeout(said, left).unwrap().0;
        }
    }

    /// Waits for its end: the exit code (none if a signal ended it), and all that it said.
    pub(crate) fn ended(&mut self) -> (Option<i32>, Said) {
        let deadline = Instant::now() + PATIENCE;
        let running = |said: &mut Said| said.ended_streams < 2;
        let waited = self.record.news.wait_timeout_while(self.record.said(), PATIENCE, running);
        let said = waited.unwrap().0.clone();
        assert!(said.ended_streams == 2, "{} does not end", self.record.label);
        // Its streams are closed: what remains of its end is a matter of microseconds.
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), said);
            }
            thread::yield_now();
        }
        panic!("{} has closed its output and does not end", self.record.label);
    }

    /// What it says is not read while the result lives.
    pub(crate) fn unread(&self) -> MutexGuard<'_, ()> {
        self.record.gate.lock().unwrap()
    }

    /// Stops reading what it says.
    pub(crate) fn stop_listening(&self) {
        self.record.said().deaf = true;
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Record {
    /// Also after a panic of the test: then the report is made from it.
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last of what it said, for a failure's report.
    pub(crate) fn tail(&self) -> String {
        let said = self.said();
        let mut text = format!("--- {}: {} lines, the last of them:\n", self.label, said.lines.len());
        let short = |line: String| line.chars().take(300).collect::<String>();
        for line in said.lines.iter().rev().take(SHOWN).rev() {
            _ = writeln!(text, "{}", short(line.to_string()));
        }
        for line in said.errors.iter().rev().take(SHOWN).rev() {
            _ = writeln!(text, "stderr: {}", short(line.clone()));
        }
        text
    }
}

/// Collects a stream's lines on a thread of its own, while `add` wants more.
fn collect(
    stream: impl Read + Send + 'static,
    record: &Arc<Record>,
    add: impl Fn(&mut Said, String) -> bool + Send + 'static,
) {
    let record = record.clone();
    thread::spawn(move || {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let pass_on = |line| {
            drop(record.gate.lock());
            let wants_more = add(&mut record.said(), line);
            record.news.notify_all();
            wants_more
        };
        while lines.next().is_some_and(pass_on) {}
        drop(lines);
        record.said().ended_streams += 1;
        record.news.notify_all();
    });
}
