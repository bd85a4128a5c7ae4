//! Starts the program, and waits for what it says, never longer than a deadline.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Whatever is waited for comes sooner, or never.
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory for one test's data, deleted with it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("decury-node-{}-{count}", std::process::id()));
        Scratch(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program, with no environment to mislead it.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_node"));
    for (variable, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("DECURY_") || name == "RUST_LOG")
    {
        command.env_remove(variable);
    }
    // Nor has it the configuration of whoever runs this.
    command.env("XDG_CONFIG_HOME", "/dev/null");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A program that has ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) events: Vec<Value>,
    pub(crate) stderr: String,
}

/// A running node in json mode.
pub(crate) struct Node {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
    events: Vec<Value>,
    stderr: JoinHandle<String>,
    _data: Scratch,
}

impl Node {
    /// Starts one that talks over loopback, by a name and with further arguments.
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Node {
        let data = Scratch::new();
        let mut all = vec!["--name", name, "--ui", "json", "--bind", "127.0.0.1"];
        all.extend(arguments);
        if !arguments.contains(&"--data") {
            all.extend(["--data", data.path()]);
        }
        let mut child = program(&all).spawn().unwrap();
        let stdin = child.stdin.take();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).expect("stdout has JSON only");
                _ = sender.send(event);
            }
        });
        let mut pipe = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            _ = pipe.read_to_string(&mut text);
            text
        });
        Node { child, stdin, lines, events: Vec::new(), stderr, _data: data }
    }

    /// One with a tracker inside, ready; and where that tracker is.
    pub(crate) fn hosting(name: &str, arguments: &[&str]) -> (Node, String) {
        Node::hosting_at("127.0.0.1:0", name, arguments)
    }

    /// The same, the tracker at that address.
    pub(crate) fn hosting_at(addr: &str, name: &str, arguments: &[&str]) -> (Node, String) {
        let host = format!("--host={addr}");
        let mut node = Node::start(name, &[&[host.as_str()], arguments].concat());
        let ready = node.wait_for("ready");
        let tracker = ready["tracker"].as_str().unwrap().to_owned();
        (node, tracker)
    }

    pub(crate) fn type_bytes(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        self.type_bytes(format!("{line}\n").as_bytes());
    }

    pub(crate) fn close_input(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success());
    }

    /// The next event of that name; those before it are kept for the end.
    pub(crate) fn wait_for(&mut self, name: &str) -> Value {
        self.wait_until(name, |event| event["event"] == name)
    }

    /// The next event that answers that line.
    pub(crate) fn answer(&mut self, line: u64) -> Value {
        self.wait_until("an answer", |event| event["re"] == line)
    }

    pub(crate) fn wait_until(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(event) = self.lines.recv_timeout(left) else {
                panic!("waited for {what} in vain, after {:#?}", self.events);
            };
            self.events.push(event.clone());
            if is_it(&event) {
                return event;
            }
        }
    }

    /// Waits for the end.
    pub(crate) fn ended(mut self) -> Ended {
        self.stdin = None;
        self.ended_by_itself()
    }

    /// Waits for the end without closing the input.
    pub(crate) fn ended_by_itself(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
                None => panic!("it does not end, after {:#?}", self.events),
            }
        };
        self.events.extend(self.lines.iter());
        let stderr = std::mem::replace(&mut self.stderr, std::thread::spawn(String::new)).join().unwrap();
        Ended { status, events: std::mem::take(&mut self.events), stderr }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Ended {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub(crate) fn last(&self) -> &Value {
        self.events.last().expect("some event")
    }
}
