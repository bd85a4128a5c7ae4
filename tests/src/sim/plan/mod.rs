//! What a seed stands for: who talks in which groups, and what goes wrong when.
//!
//! Swarm testing: each plan first draws which kinds of faults and of workload exist in it at all, so that each run is
//! about few of them, and all combinations come up. The steps are explicit, so that a failing plan can be printed, and
//! made smaller step by step.

mod faults;

use std::fmt;
use std::time::Duration;

use decury_common::base::id::GroupName;
use decury_common::base::limits::{MEMBERS_MAX, MESSAGE_MAX, SUSPECT_AFTER};
use decury_common::base::rng::Rng;
use decury_common::base::time::Instant;
use decury_common::order::OrderKind;

use super::host::{Clock, Habits, HostId};
use super::network::Rule;
use super::world::Trap;

/// A workload and its faults.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed that it was drawn from, which also decides everything else in the run.
    pub seed: u64,
    /// One per person's host.
    pub hosts: Vec<Habits>,
    /// Whether people run whole sessions.
    pub sessions: bool,
    /// How the sessions find each other.
    pub meeting: Meeting,
    /// The groups that people talk in.
    pub groups: Vec<(GroupName, OrderKind)>,
    /// How long a datagram travels when nothing is wrong: the least, the most.
    pub latency: (Duration, Duration),
    /// The silence after which endpoints suspect.
    pub suspect_after: Duration,
    /// What happens, by time.
    pub steps: Vec<(Instant, Step)>,
    /// How long the faults last.
    pub length: Duration,
}

/// How sessions find each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// A further host runs the tracker.
    Tracker,
    /// Likewise, until it is killed for good; besides, each host knows the address of one other: a connected graph.
    MortalTracker(Vec<HostId>),
    /// There is no tracker; each host knows one other.
    Peers(Vec<HostId>),
}

impl Meeting {
    /// Whom a host knows of from its start.
    pub fn peer(&self, host: HostId) -> Option<HostId> {
        match self {
            Meeting::Tracker => None,
            Meeting::MortalTracker(peers) | Meeting::Peers(peers) => peers.get(host.0).copied(),
        }
    }

    /// Each host knows one of those before it; the first one knows itself, which is of no use.
    fn draw(rng: &mut Rng, hosts: usize) -> Meeting {
        let peers = (0..hosts as u64).map(|host| HostId(to_usize(rng.below(host)))).collect();
        match rng.below(6) {
            0 | 1 => Meeting::Peers(peers),
            2 => Meeting::MortalTracker(peers),
            _ => Meeting::Tracker,
        }
    }
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Step {
    /// A host starts, unless it runs.
    Start(HostId),
    /// A host is killed.
    Kill(HostId),
    /// A host's process is stopped for a time.
    Pause(HostId, Duration),
    /// A person reads nothing for a time.
    Stall(HostId, Duration),
    /// A person wants to be in the group with this number.
    Join(HostId, usize),
    /// A person leaves it.
    Leave(HostId, usize),
    /// A person ends the program.
    Quit(HostId),
    /// A person sends so many messages of so many bytes there, all at once.
    Send(HostId, usize, usize, usize),
    /// A person says so many things of so many bytes to another, in private, all at once.
    Say(HostId, HostId, usize, usize),
    /// Rules hold for a time.
    Rules(Vec<Rule>, Duration),
    /// A trap is set.
    Trap(Trap),
    /// The directory answers nobody for a time.
    Directory(Duration),
}

/// Which kinds of things exist in a plan.
#[derive(Clone, Copy, Debug)]
struct Features {
    kills: bool,
    restarts: bool,
    pauses: bool,
    stalls: bool,
    leaves: bool,
    partitions: bool,
    cuts: bool,
    weather: bool,
    directory: bool,
    bursts: bool,
    large: bool,
    skew: bool,
    gather: bool,
    nudges: bool,
    sessions: bool,
    quits: bool,
    picky: bool,
    traps: bool,
    hasty: bool,
}

impl Features {
    fn draw(rng: &mut Rng) -> Features {
        let mut one_in = |n| rng.chance(1, n);
        Features {
            kills: one_in(2),
            restarts: one_in(2),
            pauses: one_in(3),
            stalls: one_in(4),
            leaves: one_in(2),
            partitions: one_in(2),
            cuts: one_in(2),
            weather: !one_in(4),
            directory: one_in(4),
            bursts: one_in(3),
            large: one_in(3),
            skew: one_in(4),
            gather: one_in(4),
            nudges: one_in(4),
            sessions: one_in(4),
            quits: one_in(4),
            picky: one_in(3),
            traps: one_in(2),
            hasty: one_in(2),
        }
    }
}

impl Plan {
    /// The plan that a seed stands for.
    pub fn from_seed(seed: u64) -> Plan {
        let mut rng = Rng::from_seed(seed ^ 0x0070_6c61_6e00);
        let rng = &mut rng;
        let features = Features::draw(rng);
        let count = 2 + to_usize(rng.below(MEMBERS_MAX as u64 - 1)).min(to_usize(rng.below(12)));
        // Drawn apart, as all that came later is, so that other plans stay the same.
        let mut crowd = Rng::from_seed(seed ^ 0x0063_726f_7764_0000);
        let is_crowd = crowd.chance(1, 40);
        let count = if is_crowd { MEMBERS_MAX + 1 + to_usize(crowd.below(2)) } else { count };
        let length = Duration::from_secs(3 + rng.below(20));
        let hosts = (0..count).map(|_| habits(rng, features)).collect();
        let order = |rng: &mut Rng| match rng.below(6) {
            0 => OrderKind::Fifo,
            1 | 2 => OrderKind::Causal,
            3 | 4 => OrderKind::Total,
            _ => OrderKind::Safe,
        };
        let names = ["alpha", "beta", "gamma"].into_iter().filter_map(|name| name.parse().ok());
        let groups: Vec<_> =
            names.take(1 + to_usize(rng.below(4) / 2)).map(|name| (name, order(rng))).collect();
        let least = Duration::from_micros(50 + scaled(rng, 15));
        let latency = (least, least + Duration::from_micros(1 + scaled(rng, 15)));
        let steps = Vec::new();
        let suspect_after = match count {
            // Heartbeats are paced by it: only small groups can afford haste.
            ..=5 if features.hasty => Duration::from_millis(300),
            _ if features.hasty => SUSPECT_AFTER / 2,
            _ => SUSPECT_AFTER,
        };
        let meeting = Meeting::draw(&mut Rng::from_seed(seed ^ 0x6d65_6574_0000), count);
        let sessions = features.sessions;
        let mut plan = Plan { seed, hosts, sessions, meeting, groups, latency, suspect_after, steps, length };
        plan.draw_people(rng, features);
        plan.draw_talk(rng, features);
        plan.draw_host_faults(rng, features);
        plan.draw_network_faults(rng, features);
        plan.draw_private_talk(&mut Rng::from_seed(seed ^ 0x7072_6976_6174_6500));
        if plan.groups.iter().any(|(_, order)| *order == OrderKind::Safe) {
            plan.draw_ambushes(&mut Rng::from_seed(seed ^ 0x616d_6275_7368_0000));
        }
        if is_crowd {
            plan.draw_sides(&mut crowd);
        }
        plan.draw_flapping(&mut Rng::from_seed(seed ^ 0x666c_6170_0000_0000));
        // The same of links cut so that everybody is still in reach.
        plan.draw_detours(&mut Rng::from_seed(seed ^ 0x0064_6574_6f75_7273));
        plan.end_tracker(&mut Rng::from_seed(seed ^ 0x656e_6400));
        plan.steps.sort_by_key(|(at, _)| *at);
        plan
    }

    /// A plan in which nothing happens: to be filled by hand, with [`Plan::at`].
    pub fn quiet(seed: u64, hosts: usize, order: OrderKind) -> Plan {
        let group = "alpha".parse().map(|name| (name, order));
        Plan {
            seed,
            hosts: vec![Habits::default(); hosts],
            sessions: false,
            meeting: Meeting::Tracker,
            groups: group.into_iter().collect(),
            latency: (Duration::from_micros(200), Duration::from_millis(1)),
            suspect_after: SUSPECT_AFTER,
            steps: Vec::new(),
            length: Duration::from_secs(10),
        }
    }

    /// The host that runs the tracker, if there is one: the last.
    pub fn tracker(&self) -> Option<HostId> {
        let has_tracker = self.sessions && !matches!(self.meeting, Meeting::Peers(_));
        has_tracker.then_some(HostId(self.hosts.len()))
    }

    /// Whether the tracker, if there is one, is there at the end.
    pub fn keeps_tracker(&self) -> bool {
        self.meeting == Meeting::Tracker
    }

    /// A tracker that is killed for good is not started after that.
    fn end_tracker(&mut self, rng: &mut Rng) {
        let Some(tracker) = self.tracker().filter(|_| !self.keeps_tracker()) else { return };
        let end = Instant::ZERO + self.some_time(rng);
        self.steps.retain(|(at, step)| *at < end || !matches!(step, Step::Start(host) if *host == tracker));
        self.steps.push((end, Step::Kill(tracker)));
    }

    /// After how long in reach of each other, over whomever, two must not suspect each other: the suspicion time, and what
    /// it takes to find out about links that have died, or healed a moment before. `None` if a heartbeat may take so long
    /// over all hosts that suspicion is no wonder.
    pub fn patience(&self) -> Option<Duration> {
        let gather = self.hosts.iter().map(|habits| habits.gather).max().unwrap_or_default();
        let hop = self.latency.1 + gather;
        let hops = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX);
        let is_near = hop.saturating_mul(2 * hops) <= self.suspect_after / 4;
        is_near.then(|| self.suspect_after * 3 / 2 + Duration::from_secs(3))
    }

    /// At this time after the start, this happens. (Steps must be in the order of time when the plan is run.)
    pub fn at(&mut self, at: Duration, step: Step) {
        self.steps.push((Instant::ZERO + at, step));
    }

    fn some_host(&self, rng: &mut Rng) -> HostId {
        HostId(to_usize(rng.below(self.hosts.len() as u64)))
    }

    fn some_time(&self, rng: &mut Rng) -> Duration {
        rng.between(Duration::ZERO, self.length)
    }

    /// Who starts and joins when, and who leaves.
    fn draw_people(&mut self, rng: &mut Rng, features: Features) {
        if let Some(tracker) = self.tracker() {
            // Mostly first, sometimes when people wait for it already.
            let start = Duration::from_millis(rng.below(5) / 4 * rng.below(4_000));
            self.at(start, Step::Start(tracker));
        }
        // Some plans start all at once, the others one by one.
        let spread = Duration::from_millis(rng.below(2) * rng.below(4_000));
        for host in (0..self.hosts.len()).map(HostId) {
            let start = rng.between(Duration::ZERO, spread);
            self.at(start, Step::Start(host));
            for group in 0..self.groups.len() {
                if group == 0 || rng.chance(2, 3) {
                    self.at(start + rng.between(Duration::ZERO, spread / 2), Step::Join(host, group));
                }
            }
        }
        if features.leaves {
            for _ in 0..=rng.below(self.hosts.len() as u64) {
                let (host, group) = (self.some_host(rng), to_usize(rng.below(self.groups.len() as u64)));
                let at = self.some_time(rng);
                self.at(at, Step::Leave(host, group));
                if rng.chance(1, 2) {
                    let again = at + rng.between(Duration::ZERO, Duration::from_secs(4));
                    self.at(again, Step::Join(host, group));
                }
            }
        }
    }

    /// Who says how much when.
    fn draw_talk(&mut self, rng: &mut Rng, features: Features) {
        let messages = 20 + rng.below(400);
        let quiet = self.some_host(rng);
        let mut left = messages;
        while left > 0 {
            let host = self.some_host(rng);
            if host == quiet && rng.chance(1, 2) {
                continue;
            }
            let group = to_usize(rng.below(self.groups.len() as u64));
            let burst = if features.bursts && rng.chance(1, 10) { 1 + rng.below(100).min(left) } else { 1 };
            let size = match rng.below(20) {
                0 if features.large && burst < 4 => to_usize(1 + rng.below(MESSAGE_MAX as u64)),
                0..=2 => to_usize(1 + rng.below(5_000)),
                _ => to_usize(1 + rng.below(300)),
            };
            let at = self.some_time(rng);
            self.at(at, Step::Send(host, group, to_usize(burst), size));
            left = left.saturating_sub(burst);
        }
    }

    /// Who says how much to whom in private.
    fn draw_private_talk(&mut self, rng: &mut Rng) {
        let times = if rng.chance(1, 3) { 1 + rng.below(60) } else { 0 };
        for _ in 0..times {
            let (host, to) = (self.some_host(rng), self.some_host(rng));
            let count = if rng.chance(1, 10) { 1 + rng.below(60) } else { 1 };
            let size = if rng.chance(1, 20) { 1 + rng.below(MESSAGE_MAX as u64) } else { 1 + rng.below(300) };
            let at = self.some_time(rng);
            self.at(at, Step::Say(host, to, to_usize(count), to_usize(size)));
        }
    }
}

fn habits(rng: &mut Rng, features: Features) -> Habits {
    let ppm = match features.skew {
        true => i32::try_from(rng.below(100_000)).unwrap_or(0) - 50_000,
        false => 0,
    };
    let gather = match features.gather && rng.chance(1, 2) {
        true => Duration::from_micros(scaled(rng, 15)),
        false => Duration::ZERO,
    };
    Habits { clock: Clock { ppm }, gather, nudges: features.nudges }
}

/// How long a fault lasts: mostly about the suspicion time, where it matters most.
fn some_while(rng: &mut Rng) -> Duration {
    let most = if rng.chance(1, 3) { 500 } else { 6_000 };
    Duration::from_millis(1 + rng.below(most))
}

/// A number below 2^`bits`, small ones as likely as large ones.
fn scaled(rng: &mut Rng, bits: u64) -> u64 {
    let bits = rng.below(bits);
    rng.below(1 << bits)
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<String> = self.groups.iter().map(|(name, order)| format!("{name} {order}")).collect();
        writeln!(
            f,
            "seed {}: {} {}, groups [{}], faults for {:?}, {:?} to {:?} a datagram, suspicion after {:?}",
            self.seed,
            self.hosts.len(),
            match (self.sessions, &self.meeting) {
                (false, _) => "hosts".to_owned(),
                (true, Meeting::Tracker) => "sessions and a tracker".to_owned(),
                (true, meeting) => format!("sessions, {meeting:?}"),
            },
            groups.join(", "),
            self.length,
            self.latency.0,
            self.latency.1,
            self.suspect_after,
        )?;
        for (index, habits) in self.hosts.iter().enumerate() {
            if *habits != Habits::default() {
                writeln!(f, "  {}: {habits:?}", HostId(index))?;
            }
        }
        let mut sent = 0;
        for (at, step) in &self.steps {
            match step {
                Step::Send(_, _, count, _) | Step::Say(_, _, count, _) => sent += count,
                step => writeln!(f, "  {at} {step:?}")?,
            }
        }
        write!(f, "  and {sent} messages")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::network::{Effect, Fault};
    use crate::sim::world::Trigger;

    #[test]
    fn a_seed_stands_for_one_plan() {
        assert_eq!(format!("{:?}", Plan::from_seed(5)), format!("{:?}", Plan::from_seed(5)));
        assert_ne!(format!("{:?}", Plan::from_seed(5)), format!("{:?}", Plan::from_seed(6)));
    }

    #[test]
    fn all_kinds_of_steps_and_sizes_of_groups_come_up() {
        let plans: Vec<Plan> = (0..300).map(Plan::from_seed).collect();
        let sizes: std::collections::BTreeSet<usize> = plans.iter().map(|plan| plan.hosts.len()).collect();
        assert_eq!(sizes.into_iter().collect::<Vec<_>>(), (2..=12).collect::<Vec<_>>());
        let has =
            |wanted: fn(&Step) -> bool| plans.iter().any(|plan| plan.steps.iter().any(|(_, s)| wanted(s)));
        assert!(has(|step| matches!(step, Step::Kill(_))));
        let meets = |how: fn(&Meeting) -> bool| plans.iter().any(|p| p.sessions && how(&p.meeting));
        assert!(meets(|meeting| matches!(meeting, Meeting::Peers(_))));
        assert!(meets(|meeting| matches!(meeting, Meeting::MortalTracker(_))));
        assert!(has(|step| matches!(step, Step::Pause(..))));
        assert!(has(|step| matches!(step, Step::Stall(..))));
        assert!(has(|step| matches!(step, Step::Leave(..))));
        assert!(has(|step| matches!(step, Step::Directory(_))));
        assert!(has(|step| matches!(step, Step::Trap(_))));
        assert!(has(|step| matches!(step, Step::Trap(Trap { trigger: Trigger::Delivery(_), .. }))));
        assert!(has(|step| matches!(step, Step::Quit(_))));
        assert!(has(|step| matches!(step, Step::Say(..))));
        assert!(has(|step| matches!(step, Step::Send(_, _, 20.., _))));
        assert!(has(|step| matches!(step, Step::Send(_, _, _, 60_000..))));
        assert!(has(
            |step| matches!(step, Step::Rules(rules, _) if matches!(rules[0].effect, Effect::Fault(Fault::Cut)))
        ));
    }
}
