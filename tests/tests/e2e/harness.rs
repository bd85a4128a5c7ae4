//! A world of one test: a tracker, and nodes that find each other through it.

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{self, Process, Record, Said, program};

/// One test's programs and their files. A test that fails shows what each of them said.
pub(crate) struct World {
    directory: PathBuf,
    records: RefCell<Vec<Arc<Record>>>,
}

/// A running tracker.
pub(crate) struct Tracker {
    process: Process,
    pub(crate) address: String,
}

/// A running node.
pub(crate) struct Node {
    pub(crate) name: String,
    process: Process,
    typed: u64,
}

/// What a node leaves behind.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) said: Said,
}

impl World {
    pub(crate) fn new() -> World {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("decury-e2e-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        World { directory, records: RefCell::default() }
    }

    /// Where a person's data is.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A tracker on a free port.
    pub(crate) fn tracker(&self) -> Tracker {
        self.tracker_at("127.0.0.1:0")
    }

    pub(crate) fn tracker_at(&self, address: &str) -> Tracker {
        let process = self.spawn("tracker", program("tracker").args(["--listen", address]));
        let address = process.until("its address", |said| {
            said.lines.first().and_then(Value::as_str)?.strip_prefix("listening on ").map(str::to_owned)
        });
        Tracker { process, address }
    }

    /// A node in json mode that is ready, with these arguments besides.
    pub(crate) fn node(&self, name: &str, arguments: &[&str]) -> Node {
        let node = self.start(name, &[&["--ui", "json"], arguments].concat());
        node.event("ready", |event| event["event"] == "ready");
        node
    }

    /// A node that has been started: it talks over loopback unless told otherwise, and a second one of that name has
    /// the same data.
    pub(crate) fn start(&self, name: &str, arguments: &[&str]) -> Node {
        self.start_in(name, name, arguments)
    }

    /// One whose data is that of somebody else's name.
    pub(crate) fn start_in(&self, data: &str, name: &str, arguments: &[&str]) -> Node {
        self.start_as(program("node"), data, name, arguments)
    }

    /// One that ignores a signal from its start on.
    pub(crate) fn start_deaf_to(&self, signal: &str, name: &str, arguments: &[&str]) -> Node {
        let node = program("node");
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' \"$0\"; exec \"$@\"", signal]).arg(node.get_program());
        node.get_envs().for_each(|(variable, _)| _ = shell.env_remove(variable));
        self.start_as(shell, name, name, arguments)
    }

    /// One that this command starts, given the node's arguments.
    pub(crate) fn start_as(&self, mut command: Command, data: &str, name: &str, arguments: &[&str]) -> Node {
        let directory = if data == ":memory:" { PathBuf::from(data) } else { self.data(data) };
        command.args(["--name", name, "--data"]).arg(directory);
        for (option, value) in [("--bind", "127.0.0.1:0"), ("--suspect-after", "1s")] {
            if !arguments.contains(&option) {
                command.args([option, value]);
            }
        }
        let process = self.spawn(name, command.args(arguments));
        Node { name: name.to_owned(), process, typed: 0 }
    }

    /// Nodes in json mode that are together in the group `lobby`, and know it.
    pub(crate) fn lobby<const N: usize>(
        &self,
        tracker: &Tracker,
        order: &str,
        names: [&str; N],
    ) -> [Node; N] {
        let join = format!("lobby:{order}");
        let nodes = names
            .map(|name| self.start(name, &["--ui", "json", "--tracker", &tracker.address, "--join", &join]));
        for node in &nodes {
            node.sees("lobby", &names);
        }
        nodes
    }

    pub(crate) fn spawn(&self, label: &str, command: &mut Command) -> Process {
        let process = Process::spawn(label, command);
        self.records.borrow_mut().push(process.record());
        process
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.records.borrow().iter().for_each(|record| eprint!("{}", record.tail()));
        }
        _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Tracker {
    pub(crate) fn signal(&self, name: &str) {
        process::signal(self.process.id(), name);
    }

    pub(crate) fn kill(mut self) {
        self.process.kill();
    }

    /// Processor time that it has used, in clock ticks.
    pub(crate) fn ticks(&self) -> u64 {
        process::ticks(self.process.id())
    }
}

impl Node {
    /// Types a line; its number, which answers to it carry.
    pub(crate) fn types(&mut self, line: &str) -> u64 {
        self.types_bytes(line.as_bytes())
    }

    pub(crate) fn types_bytes(&mut self, line: &[u8]) -> u64 {
        self.process.types([line, b"\n"].concat());
        self.typed += 1;
        self.typed
    }

    /// Types that many lines: `NAME 1`, `NAME 2` and so on, from the number `first`.
    pub(crate) fn counts(&mut self, numbers: std::ops::RangeInclusive<u64>) {
        self.typed += numbers.end() + 1 - numbers.start();
        let lines: String = numbers.map(|number| format!("{} {number}\n", self.name)).collect();
        self.process.types(lines.into_bytes());
    }

    pub(crate) fn close_input(&mut self) {
        self.process.close_input();
    }

    pub(crate) fn signal(&self, name: &str) {
        process::signal(self.process.id(), name);
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Processor time that it has used, in clock ticks.
    pub(crate) fn ticks(&self) -> u64 {
        process::ticks(self.process.id())
    }

    /// Nobody reads what it says while the result lives.
    pub(crate) fn unread(&self) -> MutexGuard<'_, ()> {
        self.process.unread()
    }

    /// Closes the pipe from its stdout at its next line.
    pub(crate) fn stop_listening(&self) {
        self.process.stop_listening();
    }

    /// As `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Waits for its end, which somebody else has caused.
    pub(crate) fn ended(&mut self) -> Ended {
        let (code, said) = self.process.ended();
        Ended { code, said }
    }

    /// Looks at all that it has said until `find` finds something there.
    pub(crate) fn until<T>(&self, what: &str, find: impl FnMut(&Said) -> Option<T>) -> T {
        self.process.until(what, find)
    }

    /// The first event that is meant.
    pub(crate) fn event(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        self.until(what, |said| said.lines.iter().find(|event| is_it(event)).cloned())
    }

    /// The first event that carries the number of that line.
    pub(crate) fn answer(&self, line: u64) -> Value {
        self.event(&format!("the answer to line {line}"), |event| event["re"] == line)
    }

    pub(crate) fn notice(&self, kind: &str) -> Value {
        self.event(&format!("the notice {kind}"), |event| event["event"] == "notice" && event["kind"] == kind)
    }

    /// Waits until its latest view of the group has exactly these members; that view.
    pub(crate) fn sees(&self, group: &str, names: &[&str]) -> Value {
        let what = format!("a view of {group} with {names:?}");
        self.until(&what, |said| {
            let view = views(&said.lines, group).last()?;
            (sorted(&view["members"]) == sorted(&names.into())).then(|| view.clone())
        })
    }

    /// Asks it how it reaches a member until it is so.
    pub(crate) fn reaches(&mut self, member: &str, how: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let line = self.types("!lm");
            let answer = self.answer(line);
            let mut members = answer["members"].as_array().unwrap().iter();
            if members.any(|status| status["name"] == member && status["reached"] == how) {
                return;
            }
            assert!(Instant::now() < deadline, "{} does not reach {member} '{how}': {answer}", self.name);
            // So that asking does not keep the machine from what is asked for.
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// How many views of a group it has said.
    pub(crate) fn views(&self, group: &str) -> usize {
        self.until("its views", |said| Some(views(&said.lines, group).count()))
    }

    pub(crate) fn has_suspected_nobody(&self) {
        let suspects = |event: &&Value| event["kind"] == "peer_suspected";
        let suspicion = self.until("its events", |said| Some(said.lines.iter().find(suspects).cloned()));
        assert_eq!(suspicion, None, "{} suspected somebody", self.name);
    }

    /// Waits for that many messages in a group; all of them, in the order in which they were delivered.
    pub(crate) fn messages(&self, group: &str, count: usize) -> Vec<Value> {
        let what = format!("{count} messages in {group}");
        self.until(&what, |said| {
            let messages: Vec<&Value> = messages(&said.lines, group).collect();
            (messages.len() >= count).then(|| messages.into_iter().cloned().collect())
        })
    }

    /// Waits for a text from somebody; the message.
    pub(crate) fn hears(&self, group: &str, from: &str, text: &str) -> Value {
        self.event(&format!("{text:?} from {from} in {group}"), |event| {
            event["event"] == "message"
                && event["group"] == group
                && event["from"] == from
                && event["text"] == text
        })
    }
}

/// The messages among events.
pub(crate) fn messages<'a>(events: &'a [Value], group: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["event"] == "message" && event["group"] == group)
}

/// The views among events, the first one too.
pub(crate) fn views<'a>(events: &'a [Value], group: &'a str) -> impl Iterator<Item = &'a Value> {
    let is_view = |event: &Value| event["event"] == "joined" || event["event"] == "view";
    events.iter().filter(move |event| is_view(event) && event["group"] == group)
}

fn sorted(names: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = names.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    names.sort_unstable();
    names
}
