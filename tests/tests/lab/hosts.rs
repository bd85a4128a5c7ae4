//! A lab of one test: the switch, and what runs at each host.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Node, World};
use crate::process::{Process, program};

/// Port of the tracker, on its host.
const TRACKER: &str = "10.77.0.1:7400";

/// Hosts of their own, and the network between them.
pub(crate) struct Lab {
    pub(crate) world: World,
    switch: Process,
    hosts: Vec<Host>,
    said: usize,
}

struct Host {
    name: String,
    address: String,
    pid: String,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/lab")
}

/// Why this machine permits no lab, if it does not.
pub(crate) fn refused() -> Option<String> {
    let checked = Command::new(script()).arg("--check").output().expect("scripts/lab runs");
    (!checked.status.success()).then(|| String::from_utf8_lossy(&checked.stderr).trim().to_owned())
}

impl Lab {
    /// That many hosts of people, and one for the tracker.
    pub(crate) fn new(people: usize) -> Lab {
        let world = World::new();
        let switch = program("switch");
        let directory = Path::new(switch.get_program()).parent().unwrap();
        let mut lab = Command::new(script());
        lab.args(["--no-tmux", "--hosts", &people.to_string(), "--programs"]).arg(directory);
        let switch = world.spawn("the lab", &mut lab);
        let lines = switch.until("its hosts", |said| {
            said.lines.iter().any(|line| line == "ready").then(|| said.lines.clone())
        });
        let hosts = lines.iter().filter_map(Value::as_str).filter_map(Host::parse).collect();
        Lab { world, switch, hosts, said: lines.len() }
    }

    /// Types a command to the switch, which must obey.
    pub(crate) fn says(&mut self, command: &str) {
        self.switch.types(format!("{command}\n").into_bytes());
        let said = self.said;
        let answer = self.switch.until("the switch's answer", |all| all.lines.get(said).cloned());
        assert_eq!(answer, "ok", "{command}");
        self.said += 1;
    }

    /// Starts a tracker on its host.
    pub(crate) fn tracker(&self) -> Process {
        let mut tracker = self.at("tracker", program("tracker"));
        let tracker = self.world.spawn("tracker", tracker.args(["--listen", TRACKER, "--data", ":memory:"]));
        tracker.until("its address", |said| (!said.lines.is_empty()).then_some(()));
        tracker
    }

    /// The first of these hosts' people, in one group, all of whom know it.
    pub(crate) fn lobby<const N: usize>(
        &self,
        order: &str,
        names: [&str; N],
        arguments: &[&str],
    ) -> [Node; N] {
        let join = format!("lobby:{order}");
        let all = [&["--tracker", TRACKER, "--bind", "0.0.0.0:0", "--join", &join], arguments].concat();
        let nodes = names.map(|name| self.node(name, &all));
        for node in &nodes {
            node.sees("lobby", &names);
        }
        nodes
    }

    /// A node at its host, in json mode.
    pub(crate) fn node(&self, name: &str, arguments: &[&str]) -> Node {
        let all = [&["--ui", "json"], arguments].concat();
        self.world.start_as(self.at(name, program("node")), name, name, &all)
    }

    /// Where the node of a host is, once it has this port.
    pub(crate) fn address(&self, name: &str, port: u16) -> String {
        format!("{}:{port}", self.host(name).address)
    }

    /// The device of a host goes down, and loses its address.
    pub(crate) fn unplug(&self, name: &str) {
        self.ip(name, "link set eth0 down");
        self.ip(name, "address flush dev eth0");
    }

    /// It is up again, with the same address.
    pub(crate) fn plug(&self, name: &str) {
        self.ip(name, &format!("address add {}/24 dev eth0", self.host(name).address));
        self.ip(name, "link set eth0 up");
    }

    fn ip(&self, name: &str, arguments: &str) {
        let mut ip = self.at(name, Command::new("ip"));
        assert!(ip.args(arguments.split(' ')).status().unwrap().success(), "ip {arguments} at {name}");
    }

    fn host(&self, name: &str) -> &Host {
        self.hosts.iter().find(|host| host.name == name).expect("a host of the lab")
    }

    /// The same command, run at a host.
    fn at(&self, name: &str, command: Command) -> Command {
        let mut at = Command::new("nsenter");
        at.args(["--user", "--preserve-credentials", "--net", "--target", &self.host(name).pid]);
        at.arg("--").arg(command.get_program()).args(command.get_args());
        for (variable, value) in command.get_envs() {
            match value {
                Some(value) => at.env(variable, value),
                None => at.env_remove(variable),
            };
        }
        at
    }
}

impl Host {
    fn parse(line: &str) -> Option<Host> {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, address, pid] = words.strip_prefix(&["host"])? else { return None };
        Some(Host { name: (*name).to_owned(), address: (*address).to_owned(), pid: (*pid).to_owned() })
    }
}
