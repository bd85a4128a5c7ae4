//! Virtual time: the world jumps from one arrival or deadline to the next.

use std::collections::BTreeSet;
use std::time::Duration;

use decury_common::base::id::{GroupName, Incarnation};
use decury_common::base::rng::Rng;
use decury_common::base::time::Instant;
use decury_common::endpoint::{Known, MemberStatus, Stats};
use decury_common::machine::Wakeup;
use decury_common::order::OrderKind;

use super::checks::Violation;
use super::directory::Directory;
use super::history::{History, What};
use super::host::{Boot, Command, Desk, Disk, Habits, Host, HostId, Input, Program, Starter};
use super::network::{Network, Rule, RuleId};
use super::payload::payload;
use super::tcp::Effects;
use super::trace::Trace;
use super::wire::Wire;

pub use super::wire::Figures;

/// Turns that a host's own deadlines, and nothing else, may cause in one millisecond; more are called spinning.
const WAKEUPS_PER_MILLISECOND: u32 = 200;
/// How long after healing something may still arrive that a fault has delayed.
const LATE: Duration = Duration::from_secs(1);

/// Something that happens as soon as something else has happened a certain number of times: the moments that chance alone
/// hardly hits.
#[derive(Clone, Debug)]
pub struct Trap {
    /// What is counted.
    pub trigger: Trigger,
    /// When it has been counted so often
    pub count: u64,
    /// this happens.
    pub what: Mishap,
}

/// What springs a trap.
#[derive(Clone, Debug)]
pub enum Trigger {
    /// Frames; by a rule that watches.
    Frames(Rule),
    /// A host delivers a message of a group.
    Delivery(HostId),
}

/// What a trap does.
#[derive(Clone, Debug)]
pub enum Mishap {
    /// A host is killed.
    Kill(HostId),
    /// A host's process is stopped for a time.
    Pause(HostId, Duration),
    /// Rules hold for a time.
    Rules(Vec<Rule>, Duration),
}

/// A trap that is set.
#[derive(Clone, Debug)]
struct Set {
    counter: Counter,
    /// It springs at this count.
    at: u64,
    what: Mishap,
}

#[derive(Clone, Copy, Debug)]
enum Counter {
    Frames(RuleId),
    Deliveries(HostId),
}

/// One run: hosts, the network between them, and the time.
#[derive(Clone)]
pub struct World {
    now: Instant,
    hosts: Vec<Host>,
    wire: Wire,
    rng: Rng,
    payloads: u64,
    /// When rules end by themselves.
    ends: Vec<(Instant, RuleId)>,
    traps: Vec<Set>,
    /// Links on which something is wrong, as the checks were told.
    disturbed: BTreeSet<(HostId, HostId)>,
    /// Where groups are found.
    pub directory: Directory,
    /// What happened.
    pub history: History,
}

impl World {
    /// A world without hosts, in which chance is what `seed` says.
    pub fn new(seed: u64) -> World {
        let mut rng = Rng::from_seed(seed);
        World {
            now: Instant::ZERO,
            hosts: Vec::new(),
            wire: Wire::new(rng.fork()),
            payloads: 0,
            ends: Vec::new(),
            traps: Vec::new(),
            disturbed: BTreeSet::new(),
            directory: Directory::new(),
            history: History::default(),
            rng,
        }
    }

    /// Writes down what happens from now on: keeps the last `keep` lines, and prints all of them if `print`.
    pub fn trace(&mut self, keep: usize, print: bool) {
        self.history.trace = Some(Trace::new(keep, print));
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// What the run has cost so far.
    pub fn figures(&self) -> Figures {
        self.wire.figures
    }

    /// The first broken promise.
    pub fn violation(&self) -> Option<&Violation> {
        self.history.violation()
    }

    /// All hosts.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len()).map(HostId)
    }

    /// The protocol's counters at a host, of the program that runs there now.
    pub fn stats(&self, host: HostId) -> Stats {
        self.hosts[host.0].program.as_ref().map(|program| program.stats()).unwrap_or_default()
    }

    /// How a host reaches the members of a group.
    pub fn members(&self, host: HostId, group: GroupName) -> Vec<MemberStatus> {
        self.hosts[host.0].program.as_ref().map(|program| program.members(group)).unwrap_or_default()
    }

    /// Whether its program runs (or is merely stopped).
    pub fn is_up(&self, host: HostId) -> bool {
        self.hosts[host.0].program.is_some()
    }

    /// A further host, not started yet. Its person's name is the host's, `n0`, `n1`, ...
    pub fn add_host(&mut self, habits: Habits, starter: Starter) -> HostId {
        let id = HostId(self.hosts.len());
        match id.to_string().parse() {
            Ok(name) => self.hosts.push(Host::new(id, name, habits, starter)),
            Err(error) => unreachable!("{id}: {error}"),
        }
        self.history.record(self.now, id, What::Clock(habits.clock));
        id
    }

    /// Starts a host's program, unless it runs. Each start is another incarnation.
    pub fn start(&mut self, id: HostId) {
        let (now, incarnation, seed) = (self.now, Incarnation(self.rng.bits()), self.rng.bits());
        let host = &mut self.hosts[id.0];
        if host.program.is_some() {
            return;
        }
        let name = host.name;
        let disk = host.disk.take();
        let boot = Boot { host: id, name, incarnation, seed, now: host.habits.clock.local(now), disk };
        let remembers = boot.disk.as_ref().map(|disk| What::Remembers { known: known(disk) });
        host.program = Some((host.starter)(boot));
        host.boots += 1;
        self.history.record(now, id, What::Started { incarnation, name });
        remembers.into_iter().for_each(|what| self.history.record(now, id, what));
        self.turn(id);
    }

    /// Kills a host's program (kill -9): all that it knew is gone. What its kernel has taken still leaves.
    pub fn kill(&mut self, id: HostId) {
        let host = &mut self.hosts[id.0];
        if let Some(program) = host.program.take() {
            host.disk = program.disk();
            host.inbox.clear();
            (host.paused_until, host.stalled_until, host.due) = (None, None, None);
            self.history.record(self.now, id, What::Killed);
            self.wire.host_down(self.now, id, &mut self.hosts, &mut self.history);
        }
    }

    /// The person at a host ends its program.
    pub fn quit(&mut self, host: HostId) {
        self.command(host, Command::Quit);
    }

    /// Stops a host's process for a time; what arrives meanwhile waits in its socket.
    pub fn pause(&mut self, id: HostId, duration: Duration) {
        let until = self.now + duration;
        let host = &mut self.hosts[id.0];
        if host.program.is_some() {
            host.paused_until = Some(until);
            host.due = Some(until);
            self.note(format_args!("{id} is stopped until {until}"));
            self.history.record(self.now, id, What::Stopped(until));
        }
    }

    /// Lets the person at a host read nothing for a time, while its protocol goes on.
    pub fn stall(&mut self, id: HostId, duration: Duration) {
        let until = self.now + duration;
        self.hosts[id.0].stalled_until = Some(until);
        self.note(format_args!("{id} reads nothing until {until}"));
        // What it is told it tells later: as good as stopped.
        self.history.record(self.now, id, What::Stopped(until));
    }

    /// The person at a host wants to be in a group.
    pub fn join(&mut self, host: HostId, group: GroupName, order: OrderKind) {
        self.command(host, Command::Join { group, order });
    }

    /// The person at a host leaves a group.
    pub fn leave(&mut self, host: HostId, group: GroupName) {
        self.command(host, Command::Leave { group });
    }

    /// The person at a host sends a message of `size` bytes, different from all others; nothing happens if it is not
    /// in the group.
    pub fn send(&mut self, host: HostId, group: GroupName, size: usize) {
        self.payloads += 1;
        self.command(host, Command::Send { group, payload: payload(self.payloads, size) });
    }

    /// The person at a host says something of `size` bytes to the one at another, in private; nothing happens if that one
    /// is not known to be in reach.
    pub fn say(&mut self, host: HostId, to: HostId, size: usize) {
        self.payloads += 1;
        let to = self.hosts[to.0].name;
        self.command(host, Command::Say { to, payload: payload(self.payloads, size) });
    }

    /// Gives a host a command, unless it is down or stopped.
    pub fn command(&mut self, id: HostId, command: Command) {
        let now = self.now;
        let host = &mut self.hosts[id.0];
        if host.paused_until.is_some_and(|until| now < until) {
            return;
        }
        if let Some(program) = &mut host.program {
            let (directory, history) = (&mut self.directory, &mut self.history);
            let local = host.habits.clock.local(now);
            program.command(command, &mut Desk { now: local, world_now: now, host: id, directory, history });
            self.turn(id);
        }
    }

    /// The network between the hosts.
    pub fn network(&mut self) -> &mut Network {
        &mut self.wire.network
    }

    /// Puts a rule in force.
    pub fn add_rule(&mut self, rule: Rule) -> RuleId {
        self.note(format_args!("RULE {rule:?}"));
        let id = self.wire.network.add(rule);
        self.record_links();
        id
    }

    /// The checks are told which links are good.
    fn record_links(&mut self) {
        let links = self.wire.network.disturbed(self.hosts.len());
        if links != self.disturbed {
            self.disturbed.clone_from(&links);
            self.history.record(self.now, HostId(0), What::Disturbed(links));
        }
    }

    /// Puts a rule in force for a time.
    pub fn add_rule_for(&mut self, rule: Rule, duration: Duration) -> RuleId {
        let id = self.add_rule(rule);
        self.ends.push((self.now + duration, id));
        id
    }

    /// Sets a trap.
    pub fn set_trap(&mut self, trap: Trap) {
        let counter = match trap.trigger {
            Trigger::Frames(rule) => Counter::Frames(self.add_rule(rule)),
            Trigger::Delivery(host) => Counter::Deliveries(host),
        };
        let at = self.count(counter) + trap.count;
        self.traps.push(Set { counter, at, what: trap.what });
    }

    fn count(&self, counter: Counter) -> u64 {
        match counter {
            Counter::Frames(rule) => self.hits(rule),
            Counter::Deliveries(host) => self.history.deliveries(host),
        }
    }

    fn spring_traps(&mut self) {
        while let Some(index) = self.traps.iter().position(|trap| self.count(trap.counter) >= trap.at) {
            let Set { counter, what, .. } = self.traps.swap_remove(index);
            self.note(format_args!("A TRAP: {what:?}"));
            if let Counter::Frames(rule) = counter {
                self.remove_rule(rule);
            }
            match what {
                Mishap::Kill(host) => self.kill(host),
                Mishap::Pause(host, duration) => self.pause(host, duration),
                Mishap::Rules(rules, duration) => {
                    rules.into_iter().for_each(|rule| {
                        self.add_rule_for(rule, duration);
                    });
                }
            }
        }
    }

    /// Takes a rule back. What it held is delivered now.
    pub fn remove_rule(&mut self, id: RuleId) {
        self.note(format_args!("rule {id:?} ends"));
        let held = self.wire.network.remove(id);
        self.record_links();
        self.wire.let_go(self.now, held);
    }

    /// Takes a rule back. What it held is lost.
    pub fn discard_rule(&mut self, id: RuleId) {
        self.note(format_args!("rule {id:?} ends, with what it held"));
        self.wire.network.remove(id);
        self.record_links();
    }

    /// Takes all rules back, loses what they have made very late, and wakes all hosts that are stopped.
    pub fn heal(&mut self) {
        self.note(format_args!("ALL IS HEALED"));
        self.wire.queue.cut_off(self.now + LATE);
        self.traps.clear();
        self.ends.clear();
        let held = self.wire.network.heal();
        self.record_links();
        self.wire.let_go(self.now, held);
        self.directory.set_down(false);
        for index in 0..self.hosts.len() {
            self.hosts[index].paused_until = None;
            self.hosts[index].stalled_until = None;
            self.turn(HostId(index));
        }
    }

    /// A line in the trace.
    pub fn note(&mut self, text: std::fmt::Arguments<'_>) {
        if let Some(trace) = &mut self.history.trace {
            trace.line(self.now, text);
        }
    }

    /// Lets everything happen up to and including `until`, or up to a broken promise.
    pub fn run_to(&mut self, until: Instant) {
        while self.violation().is_none() && self.step(until) {}
        self.now = self.now.max(until);
    }

    /// Lets everything happen for so long.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_to(self.now + duration);
    }

    /// Lets everything happen until `done`, for `within` at most. Whether it was done, without a broken promise.
    pub fn run_until(&mut self, within: Duration, mut done: impl FnMut(&World) -> bool) -> bool {
        let limit = self.now + within;
        loop {
            if self.violation().is_some() {
                return false;
            }
            if done(self) {
                return true;
            }
            if !self.step(limit) {
                self.now = self.now.max(limit);
                return self.violation().is_none() && done(self);
            }
        }
    }

    /// Lets the next thing happen, unless it lies after `limit`; whether there was one.
    pub fn step_to(&mut self, limit: Instant) -> bool {
        self.step(limit)
    }

    /// How many datagrams a rule has done something to.
    pub fn hits(&self, rule: RuleId) -> u64 {
        self.wire.network.hits(rule)
    }

    /// How many datagrams a rule holds back.
    pub fn held(&self, rule: RuleId) -> usize {
        self.wire.network.held(rule)
    }

    /// The next arrival or deadline, unless it lies after `limit`; whether there was one.
    fn step(&mut self, limit: Instant) -> bool {
        let turn = self.hosts.iter().filter_map(|host| Some((host.due?, host.id))).min();
        let arrival = self.wire.queue.next_at();
        let next = arrival.into_iter().chain(turn.map(|(due, _)| due)).min();
        if let Some((end, id)) = self.ends.iter().copied().min().filter(|end| end.0 <= limit)
            && next.is_none_or(|next| end <= next)
        {
            self.now = self.now.max(end);
            self.ends.retain(|other| other.1 != id);
            self.remove_rule(id);
            return true;
        }
        match (arrival, turn) {
            // An arrival comes first, so that all that arrives at one instant is read in one turn.
            (Some(at), turn) if at <= limit && turn.is_none_or(|(due, _)| at <= due) => {
                self.now = self.now.max(at);
                self.wire.arrive(self.now, &mut self.hosts, &mut self.history);
            }
            (_, Some((due, host))) if due <= limit => {
                self.now = self.now.max(due);
                self.turn(host);
                if !self.traps.is_empty() {
                    self.spring_traps();
                }
            }
            _ => return false,
        }
        true
    }

    /// A host reads what has arrived, does what is due, sends, and its person reads what it reports.
    fn turn(&mut self, id: HostId) {
        let now = self.now;
        let World { hosts, wire, directory, history, rng, .. } = self;
        let host = &mut hosts[id.0];
        if host.paused_until.is_some_and(|until| now < until) {
            return;
        }
        host.paused_until = None;
        host.due = None;
        let Some(mut program) = host.program.take() else { return };
        wire.figures.turns += 1;
        let local = host.habits.clock.local(now);
        let reads = !host.inbox.is_empty();
        for input in host.inbox.drain(..) {
            read(&mut *program, local, input);
        }
        let nudge = host.habits.nudges && rng.chance(1, 8);
        if reads {
            host.wakeups = (0, 0);
        }
        if let Some(due) = fire(&mut *program, local, nudge)
            && host.count_wakeup(now) > WAKEUPS_PER_MILLISECOND
        {
            let what = format!("{id} spins on its deadline '{}'", due.reason);
            history.violate(Violation { at: now, promise: "no spinning", what });
        }
        let mut effects = Effects::default();
        wire.drain(now, local, id, &mut *program, &mut effects, history);
        if host.stalled_until.is_none_or(|until| until <= now) {
            host.stalled_until = None;
            // As the programs' loops do: what is read may make room, or ask for something to be sent.
            while program.attend(&mut Desk { now: local, world_now: now, host: id, directory, history }) {
                wire.drain(now, local, id, &mut *program, &mut effects, history);
            }
        }
        let ended = program.has_ended();
        host.program = Some(program);
        host.plan_turn(now);
        wire.apply(now, hosts, effects, history);
        if ended {
            self.kill(id);
        }
    }

    /// Holds every host's bounded lengths against their limits.
    pub fn check_gauges(&mut self) {
        for host in &self.hosts {
            let Some(program) = &host.program else { continue };
            for gauge in program.gauges() {
                if gauge.value > gauge.limit {
                    let what =
                        format!("{} has {} {}, at most {}", host.id, gauge.value, gauge.name, gauge.limit);
                    self.history.violate(Violation { at: self.now, promise: "bounded state", what });
                }
            }
        }
    }

    /// Whether everything that people said has been handed over to their machines.
    pub fn is_flushed(&self) -> bool {
        self.hosts.iter().filter_map(|host| host.program.as_ref()).all(|program| program.is_flushed())
    }

    /// Whether the person at a host that is up wishes to be in the group.
    pub fn wants(&self, host: HostId, group: GroupName) -> bool {
        self.hosts[host.0].program.as_ref().is_some_and(|program| program.wants(group))
    }

    /// Every host's state, for a failure report.
    pub fn statuses(&self) -> String {
        let status = |host: &Host| match &host.program {
            None => format!("{}: down\n", host.id),
            Some(program) => {
                let stopped =
                    host.paused_until.map_or_else(String::new, |until| format!("stopped until {until}, "));
                format!("{}: {stopped}{}\n", host.id, program.status())
            }
        };
        self.hosts.iter().map(status).collect()
    }
}

/// Of each member the last message that a disk knows.
pub(super) fn known(disk: &Disk) -> Known {
    disk.restored().known.into_values().flatten().collect()
}

/// A program reads something.
fn read(program: &mut dyn Program, now: Instant, input: Input) {
    match input {
        Input::Datagram(from, mut bytes) => {
            if let Some(machine) = program.machine() {
                machine.handle_datagram(now, from, &mut bytes);
            }
        }
        Input::Opened(stream, peer) => {
            if let Some(streams) = program.streams() {
                streams.handle_opened(now, stream, peer);
            }
        }
        Input::Bytes(stream, bytes) => {
            if let Some(streams) = program.streams() {
                streams.handle_bytes(now, stream, &bytes);
            }
        }
        Input::Closed(stream) => {
            if let Some(streams) = program.streams() {
                streams.handle_closed(now, stream);
            }
        }
    }
}

/// A program does what is due, which is returned; and what is not, if it is nudged.
fn fire(program: &mut dyn Program, now: Instant, nudge: bool) -> Option<Wakeup> {
    let is_due = |wakeup: &Wakeup| wakeup.at <= now;
    let mut due = None;
    if let Some(machine) = program.machine() {
        due = machine.poll_timeout().filter(is_due);
        if due.is_some() || nudge {
            machine.handle_timeout(now);
        }
    }
    if let Some(streams) = program.streams() {
        let streams_due = streams.poll_stream_timeout().filter(is_due);
        if streams_due.is_some() || nudge {
            streams.handle_stream_timeout(now);
        }
        due = due.or(streams_due);
    }
    due
}

impl Host {
    /// When the next turn is due without anything arriving.
    fn plan_turn(&mut self, now: Instant) {
        let Some(program) = &mut self.program else { return };
        let machine = program.machine().and_then(|machine| machine.poll_timeout());
        let streams = program.streams().and_then(|streams| streams.poll_stream_timeout());
        let user = if self.stalled_until.is_none() { program.wakeup() } else { None };
        let local = [machine, streams, user].into_iter().flatten().map(|wakeup| wakeup.at).min();
        let due = local.map(|at| self.habits.clock.world(at)).into_iter().chain(self.stalled_until).min();
        self.due = due.map(|due| due.max(now));
    }
}
