//! A world for scripted scenarios: one group, and words in which a nasty schedule reads as prose.
//!
//! Every wait has a limit in virtual time; a scenario that does not come to its point, or that breaks a promise on the
//! way, panics with the tail of the trace and the state of every host.

use std::time::Duration;

use decury_common::base::id::{GroupName, MessageId, UserName, ViewId};
use decury_common::base::limits::{STORE_MESSAGES, SUSPECT_AFTER};
use decury_common::base::time::Instant;
use decury_common::endpoint::{Reached, ViewInfo};
use decury_common::order::OrderKind;

use super::endpoint;
use super::history::{Delivery, Noticed, Record, Stay, What};
use super::host::{Habits, HostId};
use super::network::{Effect, Fault, FrameFilter, Hosts, Rule, RuleId};
use super::plan::Meeting;
use super::run::{CONVERGE_WITHIN, DELIVER_WITHIN};
use super::session;
use super::tracker;
use super::world::World;

/// Trace lines that a failed scenario shows.
const TAIL: usize = 200;
/// After how long in reach of each other nobody must suspect anybody.
const IN_REACH: Duration = Duration::from_secs(6);
/// How long a scenario waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// One group on its hosts.
pub struct Stage {
    /// The world itself, for what there are no words for here.
    pub world: World,
    group: GroupName,
    order: OrderKind,
}

impl Stage {
    /// So many hosts that are up, none of them in the group yet.
    pub fn empty(hosts: usize, order: OrderKind) -> Stage {
        let mut world = World::new(hosts as u64);
        world.trace(TAIL, false);
        world.history.keep();
        world.history.expect_reach(IN_REACH);
        let mut stage = match "g".parse() {
            Ok(group) => Stage { world, group, order },
            Err(error) => unreachable!("{error}"),
        };
        for _ in 0..hosts {
            stage.add_host();
        }
        stage
    }

    /// Whole sessions without a tracker, which know each other as they meet; and besides, as the last host, a tracker if
    /// the meeting has one.
    pub fn of_sessions(hosts: usize, meeting: &Meeting, order: OrderKind) -> Stage {
        let mut stage = Stage::empty(0, order);
        let tracker = HostId(hosts);
        let has_tracker = !matches!(meeting, Meeting::Peers(_));
        let trackers = has_tracker.then(|| tracker.address()).into_iter().collect();
        let starter = session::starter(trackers, meeting.clone(), SUSPECT_AFTER);
        for _ in 0..hosts {
            stage.world.add_host(Habits::default(), starter.clone());
        }
        if has_tracker {
            stage.world.add_host(Habits::default(), tracker::starter());
            stage.world.start(tracker);
        }
        stage
    }

    /// A further host that is up.
    pub fn add_host(&mut self) -> HostId {
        self.add_host_storing(STORE_MESSAGES)
    }

    /// A further host that is up, and keeps so many messages for others.
    pub fn add_host_storing(&mut self, store: usize) -> HostId {
        let host = self.world.add_host(Habits::default(), endpoint::starter_storing(SUSPECT_AFTER, store));
        self.world.start(host);
        host
    }

    /// So many hosts in one view: who leads it, and has rank 0, is host 0, and so on.
    pub fn with(hosts: usize, order: OrderKind) -> Stage {
        let mut stage = Stage::empty(hosts, order);
        for host in (0..hosts).map(HostId) {
            stage.join(host);
            stage.until("the next host is in", |stage| stage.members(HostId(0)).len() == host.0 + 1);
        }
        let all: Vec<HostId> = stage.world.hosts().collect();
        stage.until_view(&all);
        assert_eq!(stage.members(HostId(0)), all, "ranks follow the order of joining");
        stage
    }

    /// A person joins.
    pub fn join(&mut self, host: HostId) {
        self.world.join(host, self.group, self.order);
    }

    /// A person leaves.
    pub fn leave(&mut self, host: HostId) {
        self.world.leave(host, self.group);
    }

    /// A person sends a short message.
    pub fn says(&mut self, host: HostId) -> Option<MessageId> {
        self.sends(host, 20)
    }

    /// A person sends a message of so many bytes. `None` if it was not taken (at once).
    pub fn sends(&mut self, host: HostId, size: usize) -> Option<MessageId> {
        let before = self.world.history.records().len();
        self.world.send(host, self.group, size);
        let new = &self.world.history.records()[before..];
        new.iter().find_map(|record| match record.what {
            What::Sent { id, .. } if record.host == host => Some(id),
            _ => None,
        })
    }

    /// A host is killed.
    pub fn kill(&mut self, host: HostId) {
        self.world.kill(host);
    }

    /// A host that was killed starts again and joins.
    pub fn restart(&mut self, host: HostId) {
        self.world.start(host);
        self.join(host);
    }

    /// Nothing passes from one host to the other any more; the way back is not touched.
    pub fn cut(&mut self, from: HostId, to: HostId) -> RuleId {
        self.world.add_rule(Rule::on(from, to, Fault::Cut))
    }

    /// What others have passed on is lost from now on: who does not hear somebody straight does not hear him at all.
    pub fn cut_detours(&mut self) -> RuleId {
        self.world.add_rule(Rule::everywhere(Effect::NoRelay))
    }

    /// Of all links between these hosts only these stay, each one way.
    pub fn cut_all_but(&mut self, hosts: &[HostId], open: &[(HostId, HostId)]) -> Vec<RuleId> {
        let pairs = hosts.iter().flat_map(|from| hosts.iter().map(move |to| (*from, *to)));
        let cut: Vec<_> = pairs.filter(|link| link.0 != link.1 && !open.contains(link)).collect();
        cut.into_iter().map(|(from, to)| self.cut(from, to)).collect()
    }

    /// Over whom a host reaches another.
    pub fn reached(&self, host: HostId, other: HostId) -> Option<Reached> {
        let members = self.world.members(host, self.group);
        let name = other.to_string();
        members.iter().find(|member| member.name.as_str() == name).map(|member| member.reached)
    }

    /// Nothing passes between these two any more.
    pub fn cut_both(&mut self, a: HostId, b: HostId) -> [RuleId; 2] {
        [self.cut(a, b), self.cut(b, a)]
    }

    /// Nothing passes between this host and all others any more.
    pub fn isolate(&mut self, host: HostId) -> Vec<RuleId> {
        self.partition(&[&[host]])
    }

    /// Nothing passes between any of these sides and the rest any more.
    pub fn partition(&mut self, sides: &[&[HostId]]) -> Vec<RuleId> {
        let sides: Vec<Hosts> = sides.iter().map(|side| Hosts::of(side)).collect();
        Rule::partition(&sides).into_iter().map(|rule| self.world.add_rule(rule)).collect()
    }

    fn rule(&mut self, from: impl Into<Hosts>, to: impl Into<Hosts>, effect: Effect) -> RuleId {
        self.world.add_rule(Rule { from: from.into(), to: to.into(), effect })
    }

    /// These frames are lost from now on.
    pub fn lose(
        &mut self,
        what: impl Into<FrameFilter>,
        from: impl Into<Hosts>,
        to: impl Into<Hosts>,
    ) -> RuleId {
        self.rule(from, to, Effect::drop(what.into()))
    }

    /// These frames are held back from now on.
    pub fn hold(
        &mut self,
        what: impl Into<FrameFilter>,
        from: impl Into<Hosts>,
        to: impl Into<Hosts>,
    ) -> RuleId {
        self.rule(from, to, Effect::hold(what.into()))
    }

    /// These frames are counted from now on.
    pub fn watch(
        &mut self,
        what: impl Into<FrameFilter>,
        from: impl Into<Hosts>,
        to: impl Into<Hosts>,
    ) -> RuleId {
        self.rule(from, to, Effect::watch(what.into()))
    }

    /// From now on nothing of any group passes here. Heartbeats do: nobody gets suspected.
    pub fn mute(&mut self, from: impl Into<Hosts>, to: impl Into<Hosts>) -> RuleId {
        let of_a_group = FrameFilter::new("all of any group", |section, _| section.is_some());
        self.rule(from, to, Effect::drop(of_a_group))
    }

    /// A rule ends; what it held is lost.
    pub fn discard(&mut self, rule: RuleId) {
        self.world.discard_rule(rule);
    }

    /// A rule ends; what it held is delivered.
    pub fn release(&mut self, rule: RuleId) {
        self.world.remove_rule(rule);
    }

    /// These rules end.
    pub fn release_all(&mut self, rules: impl IntoIterator<Item = RuleId>) {
        for rule in rules {
            self.release(rule);
        }
    }

    /// Waits until a rule has done something to so many datagrams.
    pub fn until_hit(&mut self, rule: RuleId, times: u64) {
        self.until("a rule has taken effect", |stage| stage.world.hits(rule) >= times);
    }

    /// Time passes.
    pub fn pass(&mut self, duration: Duration) {
        self.world.run_for(duration);
        self.must_hold("while time passed");
    }

    /// Waits until `done`; `what` says for what.
    pub fn until(&mut self, what: &str, done: impl Fn(&Stage) -> bool) {
        let limit = self.world.now() + PATIENCE;
        while !done(self) {
            if self.world.violation().is_some() || !self.world.step_to(limit) {
                self.fail(&format!("waited in vain until {what}"));
            }
        }
    }

    /// Waits until these hosts, and no others, are in one view together.
    pub fn until_view(&mut self, hosts: &[HostId]) {
        let mut wanted = hosts.to_vec();
        wanted.sort_unstable();
        self.until(&format!("{wanted:?} are in one view"), |stage| stage.are_one_view(&wanted));
    }

    fn are_one_view(&self, wanted: &[HostId]) -> bool {
        let mut ids = wanted.iter().map(|host| self.view_id(*host));
        let Some(Some(first)) = ids.next() else { return false };
        let same = ids.all(|id| id == Some(first));
        let mut members = wanted.first().map(|host| self.members(*host)).unwrap_or_default();
        members.sort_unstable();
        same && members == wanted
    }

    /// Waits until this host has delivered this message.
    pub fn until_delivered(&mut self, host: HostId, message: MessageId) {
        self.until(&format!("{host} delivers {message}"), |stage| stage.has_delivered(host, message));
    }

    /// A host's current view.
    pub fn view(&self, host: HostId) -> Option<&ViewInfo> {
        let group = self.group;
        let seats = self.world.history.roster().seats().map(|(_, seat)| seat);
        let mut here = seats.filter(|seat| seat.host == host && seat.group == group);
        here.find_map(|seat| match &seat.stay {
            Stay::In(view) | Stay::Leaving(_, Some(view)) => Some(view),
            _ => None,
        })
    }

    /// The id of a host's current view.
    pub fn view_id(&self, host: HostId) -> Option<ViewId> {
        self.view(host).map(|view| view.id)
    }

    /// Who is in a host's current view, by rank.
    pub fn members(&self, host: HostId) -> Vec<HostId> {
        let number = |name: &UserName| name.as_str().strip_prefix('n').and_then(|number| number.parse().ok());
        let members = self.view(host).into_iter().flat_map(|view| &view.members);
        members.filter_map(|(_, name)| number(name).map(HostId)).collect()
    }

    /// How many views a host has installed.
    pub fn views(&self, host: HostId) -> usize {
        let records = self.world.history.records().iter();
        records.filter(|record| record.host == host && matches!(record.what, What::View { .. })).count()
    }

    /// How often a host was refused.
    pub fn refusals(&self, host: HostId) -> usize {
        let records = self.world.history.records().iter();
        records.filter(|record| record.host == host && matches!(record.what, What::Refused { .. })).count()
    }

    /// The views that a host has installed without some of these, after it was with all of them, and when.
    pub fn views_without(&self, host: HostId, others: &[HostId]) -> Vec<(Instant, ViewInfo)> {
        let names: Vec<String> = others.iter().map(ToString::to_string).collect();
        let has = |view: &ViewInfo, name: &String| view.members.iter().any(|(_, n)| n.as_str() == name);
        let records = self.world.history.records().iter().filter(|record| record.host == host);
        let views = records.filter_map(|record| match &record.what {
            What::View { view, .. } => Some((record.at, view)),
            _ => None,
        });
        let together = views.skip_while(|(_, view)| !names.iter().all(|name| has(view, name)));
        let apart = together.filter(|(_, view)| !names.iter().all(|name| has(view, name)));
        apart.map(|(at, view)| (at, view.clone())).collect()
    }

    /// Whether a host has delivered a message.
    pub fn has_delivered(&self, host: HostId, message: MessageId) -> bool {
        self.deliveries(host).contains(&message)
    }

    /// What a host has delivered and been told, in order.
    pub fn heard(&self, host: HostId) -> Vec<MessageId> {
        let records = self.world.history.records().iter().filter(|record| record.host == host);
        let heard = records.filter_map(|record| match &record.what {
            What::Delivered { delivery, .. } | What::Told { delivery, .. } => Some(delivery.id),
            _ => None,
        });
        heard.collect()
    }

    /// How often a host was told that something is missing.
    pub fn gaps(&self, host: HostId) -> usize {
        let records = self.world.history.records().iter();
        records.filter(|record| record.host == host && matches!(record.what, What::Gap { .. })).count()
    }

    /// What a host has delivered, in order.
    pub fn deliveries(&self, host: HostId) -> Vec<MessageId> {
        self.delivered(host).map(|delivery| delivery.id).collect()
    }

    /// The same, each with its place in the group's sequence, in `total` and `safe`.
    pub fn positions(&self, host: HostId) -> Vec<(MessageId, Option<u64>)> {
        self.delivered(host).map(|delivery| (delivery.id, delivery.position)).collect()
    }

    /// What a host has delivered, each with whether it came unmarked, in `safe`.
    pub fn marks(&self, host: HostId) -> Vec<(MessageId, bool)> {
        self.delivered(host).map(|delivery| (delivery.id, delivery.uniform != Some(false))).collect()
    }

    /// How often anybody was told that somebody else has fallen silent.
    pub fn suspicions(&self) -> usize {
        let records = self.world.history.records().iter();
        records
            .filter(|record| matches!(record.what, What::Noticed { notice: Noticed::Suspected(_), .. }))
            .count()
    }

    fn delivered(&self, host: HostId) -> impl Iterator<Item = &Delivery> {
        let records = self.world.history.records().iter().filter(move |record| record.host == host);
        records.filter_map(|record| match &record.what {
            What::Delivered { delivery, .. } => Some(delivery),
            _ => None,
        })
    }

    /// When a host delivered what it had said itself.
    pub fn own_deliveries(&self, host: HostId) -> Vec<Instant> {
        let own = |record: &&Record| match &record.what {
            What::Delivered { member, delivery, .. } => record.host == host && delivery.id.sender == *member,
            _ => false,
        };
        self.world.history.records().iter().filter(own).map(|record| record.at).collect()
    }

    /// What a host was told about the others, in order.
    pub fn noticed(&self, host: HostId) -> Vec<Noticed> {
        let records = self.world.history.records().iter().filter(|record| record.host == host);
        let notices = records.filter_map(|record| match record.what {
            What::Noticed { notice, .. } => Some(notice),
            _ => None,
        });
        notices.collect()
    }

    /// How a host's stay ended: `Some(true)` if it left cleanly.
    pub fn left(&self, host: HostId) -> Option<bool> {
        let records = self.world.history.records().iter().filter(|record| record.host == host);
        records
            .rev()
            .find_map(|record| if let What::Left { clean, .. } = record.what { Some(clean) } else { None })
    }

    /// Whether a host was refused.
    pub fn was_refused(&self, host: HostId) -> bool {
        let mut records = self.world.history.records().iter().filter(|record| record.host == host);
        records.any(|record| matches!(record.what, What::Refused { .. }))
    }

    /// The end: everything heals, all who wish to be in the group come into one view, and all has arrived.
    pub fn ends_well(mut self) {
        self.world.heal();
        self.world.converge(self.group, CONVERGE_WITHIN);
        let everyone: Vec<HostId> = self.world.hosts().collect();
        for host in everyone {
            self.says(host);
        }
        self.ends_as_it_is();
    }

    /// The end: nothing heals, yet nothing is missing within any view, and no promise is broken.
    pub fn ends_as_it_is(mut self) {
        if self.world.violation().is_none() {
            self.world.settle(DELIVER_WITHIN);
        }
        if self.world.violation().is_none() {
            self.world.history.finish(self.world.now());
        }
        self.must_hold("at the end");
    }

    fn must_hold(&self, when: &str) {
        if self.world.violation().is_some() {
            self.fail(when);
        }
    }

    /// Ends the scenario with all there is to know.
    pub fn fail(&self, what: &str) -> ! {
        let (tail, names) = match &self.world.history.trace {
            Some(trace) => (trace.tail().collect::<Vec<_>>().join("\n"), trace.names().clone()),
            None => Default::default(),
        };
        let broken = self.world.violation().map_or_else(|| "no promise".to_owned(), ToString::to_string);
        let text = format!("{}\n{what}; broken: {broken}", self.world.statuses());
        panic!("{tail}\n\n{}", names.translate(&text));
    }
}
