//! One run of one plan: a safety phase under its faults, then everything is healed, and all must converge.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use decury_common::base::id::GroupName;
use decury_common::base::limits::MEMBERS_MAX;
use decury_common::base::time::Instant;

use super::checks::Violation;
use super::endpoint;
use super::history::Stay;
use super::host::{Command, Habits, HostId, Starter};
use super::plan::{Plan, Step};
use super::session;
use super::tracker;
use super::world::{Figures, World};

/// Within which time after healing everyone must be in one view: the longest back-off of the membership (30 s), the
/// suspicion time and some changes of view.
pub const CONVERGE_WITHIN: Duration = Duration::from_secs(90);
/// Within which time any two nodes hear each other again: a node that does not answer is probed every two seconds.
const FIND_WITHIN: Duration = Duration::from_secs(3);
/// Within which time a session that has lost its tracker is signed in again: it tries anew after at most five seconds.
const SIGN_IN_WITHIN: Duration = Duration::from_secs(6);
/// Within which time then a message must be everywhere.
pub const DELIVER_WITHIN: Duration = Duration::from_secs(20);
/// For how long then nobody says anything.
const IDLE_FOR: Duration = Duration::from_secs(3);
/// Datagrams that an idle node may send to each other node within the suspicion time: heartbeats are paced by it.
const IDLE_DATAGRAMS: u64 = 40;
/// For how long a full view is watched.
const FULL_FOR: Duration = Duration::from_secs(3);
/// How often bounded lengths are looked at.
const GAUGE_EVERY: Duration = Duration::from_millis(250);

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The first broken promise, if any. A panic counts as one.
    pub violation: Option<Violation>,
    /// What the run has cost.
    pub figures: Figures,
    /// Messages delivered.
    pub delivered: u64,
    /// A number on which any two runs of one plan agree.
    pub fingerprint: u64,
    /// The virtual time at its end.
    pub ended: Instant,
}

/// Runs a plan to its end.
pub fn run(plan: &Plan) -> Outcome {
    run_hosts(plan, &starter(plan))
}

/// What the people of a plan run.
pub(crate) fn starter(plan: &Plan) -> Starter {
    let trackers = plan.tracker().into_iter().map(HostId::address).collect();
    match plan.sessions {
        true => session::starter(trackers, plan.meeting.clone(), plan.suspect_after),
        false => endpoint::starter(plan.suspect_after),
    }
}

/// Runs a plan to its end on hosts that are started in the given way.
pub(crate) fn run_hosts(plan: &Plan, starter: &Starter) -> Outcome {
    conduct(plan, starter, World::new(plan.seed)).0
}

/// Runs a plan to its end, printing all that happens.
pub fn run_printed(plan: &Plan) -> Outcome {
    let mut world = World::new(plan.seed);
    world.trace(0, true);
    conduct(plan, &starter(plan), world).0
}

/// Runs a plan to its end and keeps the world as it is then, with the last `keep` lines of its trace.
pub(crate) fn run_traced(plan: &Plan, starter: &Starter, keep: usize) -> (Outcome, World) {
    let mut world = World::new(plan.seed);
    world.trace(keep, false);
    conduct(plan, starter, world)
}

fn conduct(plan: &Plan, starter: &Starter, mut world: World) -> (Outcome, World) {
    let panicked = catch_unwind(AssertUnwindSafe(|| Run::new(plan, starter, &mut world).all())).err();
    let panicked = panicked.map(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        text.or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
    });
    if let Some(text) = panicked {
        let what = format!("'{}' {}", text, super::report::panic_place());
        world.history.violate(Violation { at: world.now(), promise: "no panic", what });
    }
    let outcome = Outcome {
        violation: world.violation().cloned(),
        figures: world.figures(),
        delivered: world.history.delivered(),
        fingerprint: world.history.fingerprint(),
        ended: world.now(),
    };
    (outcome, world)
}

struct Run<'a> {
    plan: &'a Plan,
    world: &'a mut World,
    /// The host that runs the tracker, if there is one.
    tracker: Option<HostId>,
    directory_until: Option<Instant>,
}

impl Run<'_> {
    fn new<'a>(plan: &'a Plan, starter: &Starter, world: &'a mut World) -> Run<'a> {
        let (least, most) = plan.latency;
        world.network().set_latency(least, most);
        for habits in &plan.hosts {
            world.add_host(*habits, starter.clone());
        }
        if let Some(patience) = plan.patience() {
            world.history.expect_reach(patience);
        }
        let tracker = plan.tracker().map(|_| world.add_host(Habits::default(), tracker::starter()));
        Run { plan, world, tracker, directory_until: None }
    }

    fn all(&mut self) {
        self.suffer();
        self.world.heal();
        if let Some(tracker) = self.tracker.filter(|_| self.plan.keeps_tracker()) {
            self.world.start(tracker);
        }
        self.start_peers();
        // What was cut a moment ago is suspected within this time, healed or not; and all have found each other again,
        // and the tracker.
        let has_tracker = self.tracker.is_some() && self.plan.keeps_tracker();
        let found = if has_tracker { FIND_WITHIN.max(SIGN_IN_WITHIN) } else { FIND_WITHIN };
        self.world.run_for(self.plan.suspect_after + found);
        if self.start_peers() {
            self.world.run_for(self.plan.suspect_after + found);
        }
        self.make_room();
        self.converge();
        let views = self.world.history.views();
        // Nothing new is said meanwhile, by which a gap would be seen.
        self.settle();
        self.speak();
        self.idle();
        self.stayed(views);
        self.list();
        if self.world.violation().is_none() {
            self.world.history.finish(self.world.now());
        }
    }

    /// Who knows only one that is down, and no tracker, would be on its own for ever, and rightly so: all are started. (One
    /// may just be about to end, and be down a moment later.) Whether any was down.
    fn start_peers(&mut self) -> bool {
        let needs_peers = self.plan.sessions && !self.plan.keeps_tracker();
        let hosts = (0..self.plan.hosts.len()).map(HostId).filter(|_| needs_peers);
        let down: Vec<HostId> = hosts.filter(|host| !self.world.is_up(*host)).collect();
        down.iter().for_each(|host| self.world.start(*host));
        !down.is_empty()
    }

    /// The safety phase.
    fn suffer(&mut self) {
        for (at, step) in &self.plan.steps {
            self.advance((*at).min(Instant::ZERO + self.plan.length));
            if self.world.violation().is_some() {
                return;
            }
            self.step(step);
        }
        self.advance(Instant::ZERO + self.plan.length);
    }

    /// Lets time pass.
    fn advance(&mut self, until: Instant) {
        while self.world.now() < until && self.world.violation().is_none() {
            let next = until.min(self.world.now() + GAUGE_EVERY);
            self.world.run_to(self.directory_until.map_or(next, |end| end.min(next)));
            self.world.check_gauges();
            if self.directory_until.is_some_and(|end| end <= self.world.now()) {
                self.directory_until = None;
                self.world.directory.set_down(false);
            }
        }
    }

    fn step(&mut self, step: &Step) {
        let world = &mut *self.world;
        match step {
            Step::Start(host) => world.start(*host),
            Step::Kill(host) => world.kill(*host),
            Step::Pause(host, duration) => world.pause(*host, *duration),
            Step::Stall(host, duration) => world.stall(*host, *duration),
            Step::Join(host, group) => {
                let (group, order) = self.plan.groups[*group];
                world.join(*host, group, order);
            }
            Step::Quit(host) => world.quit(*host),
            Step::Leave(host, group) => world.leave(*host, self.plan.groups[*group].0),
            Step::Send(host, group, count, size) => {
                for _ in 0..*count {
                    world.send(*host, self.plan.groups[*group].0, *size);
                }
            }
            Step::Say(host, to, count, size) => {
                for _ in 0..*count {
                    world.say(*host, *to, *size);
                }
            }
            Step::Rules(rules, duration) => {
                for rule in rules {
                    world.add_rule_for(rule.clone(), *duration);
                }
            }
            Step::Trap(trap) => world.set_trap(trap.clone()),
            Step::Directory(duration) => {
                let end = world.now() + *duration;
                world.directory.set_down(true);
                self.directory_until = Some(self.directory_until.map_or(end, |until| until.max(end)));
            }
        }
    }

    fn groups(&self) -> Vec<GroupName> {
        self.plan.groups.iter().map(|(group, _)| *group).collect()
    }

    /// Where more wish to be in a group than fit, ten are in one view, the others who are in at all in one besides; then as
    /// many leave as are too many.
    fn make_room(&mut self) {
        for group in self.groups() {
            let wanted = self.world.hosts().filter(|host| self.world.wants(*host, group)).count();
            let surplus = wanted.saturating_sub(MEMBERS_MAX);
            if surplus == 0 {
                continue;
            }
            if !self.world.fill(group, CONVERGE_WITHIN) {
                return;
            }
            self.stays_full(group, wanted);
            let roster = self.world.history.roster();
            let full = roster.full_view(group).map(|view| view.members.clone()).unwrap_or_default();
            let hosts: Vec<HostId> =
                full.iter().filter_map(|(id, _)| roster.seat(*id)).map(|seat| seat.host).collect();
            hosts.into_iter().take(surplus).for_each(|host| self.world.leave(host, group));
        }
    }

    /// When everybody is in a view, neither the full one nor the one beside it changes.
    fn stays_full(&mut self, group: GroupName, wanted: usize) {
        let roster = self.world.history.roster();
        let inside = roster.wanted(group).filter(|(_, seat)| matches!(seat.stay, Stay::In(_))).count();
        let full = |world: &World| world.history.roster().full_view(group).map(|view| view.id);
        let before = full(self.world);
        self.world.run_for(FULL_FOR);
        if inside == wanted && full(self.world) != before && self.world.violation().is_none() {
            let what = format!("the full view of {group} has changed without a reason");
            self.world.history.violate(Violation { at: self.world.now(), promise: "stability", what });
        }
    }

    /// After healing, all who wish to be in a group are in one view of it.
    fn converge(&mut self) {
        for group in self.groups() {
            if !self.world.converge(group, CONVERGE_WITHIN) {
                return;
            }
        }
    }

    /// What was said under faults arrives everywhere.
    fn settle(&mut self) {
        if self.world.violation().is_none() {
            self.world.settle(DELIVER_WITHIN);
        }
    }

    /// What is said then arrives everywhere.
    fn speak(&mut self) {
        if self.world.violation().is_some() {
            return;
        }
        for group in self.groups() {
            let wanted: Vec<_> =
                self.world.history.roster().wanted(group).map(|(_, seat)| seat.host).collect();
            for host in wanted {
                self.world.send(host, group, 100);
                self.world.say(host, HostId((host.0 + 1) % self.plan.hosts.len()), 100);
            }
        }
        self.settle();
    }

    /// Without a tracker everybody lists the groups that there are, with all who are in them. (One that is there counts
    /// those who crashed a moment ago.)
    fn list(&mut self) {
        if self.world.violation().is_some() || self.plan.keeps_tracker() {
            return;
        }
        for host in self.world.hosts().collect::<Vec<_>>() {
            self.world.command(host, Command::List);
        }
        self.settle();
    }

    /// Without a reason, views do not change.
    fn stayed(&mut self, views: u64) {
        if self.world.violation().is_none() && self.world.history.views() != views {
            let what = "views changed again after all had converged".to_owned();
            self.world.history.violate(Violation { at: self.world.now(), promise: "stability", what });
        }
    }

    /// When nobody says anything, little is sent.
    fn idle(&mut self) {
        if self.world.violation().is_some() {
            return;
        }
        self.world.run_for(Duration::from_secs(1));
        let before = self.world.figures().sent;
        self.world.run_for(IDLE_FOR);
        let sent = self.world.figures().sent - before;
        let up: BTreeSet<_> = self.world.hosts().filter(|host| self.world.is_up(*host)).collect();
        let links = (up.len() * self.world.hosts().count()) as u64;
        let times = IDLE_FOR.as_millis().div_ceil(self.plan.suspect_after.as_millis().max(1));
        if u128::from(sent) > u128::from(links * IDLE_DATAGRAMS) * times {
            let what =
                format!("{} nodes with nothing to say sent {sent} datagrams in {IDLE_FOR:?}", up.len());
            self.world.history.violate(Violation { at: self.world.now(), promise: "idle traffic", what });
        }
    }
}

impl World {
    /// All who wish to be in the group get into one view of it within this time, or termination is violated.
    pub fn converge(&mut self, group: GroupName, within: Duration) -> bool {
        let one_view = |world: &World| {
            let roster = world.history.roster();
            let leaving = roster.seats().any(|(_, seat)| matches!(seat.stay, Stay::Leaving(..)));
            let wanted = world.hosts().filter(|host| world.wants(*host, group)).count();
            // What was typed before, and waits, may be that somebody leaves.
            !leaving
                && world.is_flushed()
                && roster.common_view(group).map_or(0, |view| view.members.len()) == wanted
        };
        let converged = self.run_until_checked(within, one_view);
        if !converged && self.violation().is_none() {
            let what =
                format!("{within:?} after all faults were healed, those in {group} are not in one view");
            self.history.violate(Violation { at: self.now(), promise: "termination", what });
        }
        converged
    }

    /// Of the more than ten who wish to be in the group, ten get into one view within this time, the others who are in at
    /// all into one besides, and are told so; or termination is violated.
    fn fill(&mut self, group: GroupName, within: Duration) -> bool {
        let is_full = |world: &World| {
            world.history.roster().full_view(group).is_some() && world.history.are_told_apart(group)
        };
        let is_filled = self.run_until_checked(within, is_full);
        if !is_filled && self.violation().is_none() {
            let what = format!(
                "{within:?} after all faults were healed, {group} is not one full view and one beside it that was told"
            );
            self.history.violate(Violation { at: self.now(), promise: "termination", what });
        }
        is_filled
    }

    /// All that was sent by members who are still there arrives at all members within this time, or termination is
    /// violated.
    pub fn settle(&mut self, within: Duration) -> bool {
        let settled = self.run_until_checked(within, |world| {
            world.is_flushed() && world.history.all_delivered() && world.history.all_confirmed()
        });
        if !settled && self.violation().is_none() {
            let what = format!("{within:?} after it was sent, a message is still missing somewhere");
            self.history.violate(Violation { at: self.now(), promise: "termination", what });
        }
        settled
    }

    /// As [`World::run_until`], looking at it every 50 ms only, which is much faster.
    fn run_until_checked(&mut self, within: Duration, done: impl Fn(&World) -> bool) -> bool {
        let limit = self.now() + within;
        while self.violation().is_none() {
            if done(self) {
                return true;
            }
            if self.now() >= limit {
                return false;
            }
            self.run_to(limit.min(self.now() + Duration::from_millis(50)));
        }
        false
    }
}
