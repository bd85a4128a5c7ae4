//! A host that runs a whole [`Session`], a disk that takes its time, and a patient person in front of it: who types again
//! what came to nothing, and starts the program again when the tracker did not take it in.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use decury_common::base::id::{GroupName, Identity, MemberId, UserName, ViewId};
use decury_common::base::rng::Rng;
use decury_common::base::time::Instant;
use decury_common::endpoint::ViewInfo;
use decury_common::machine::{Machine, StreamMachine, Wakeup};
use decury_common::order::OrderKind;
use decury_node::session::record::Place;
use decury_node::session::{self, Config, Ending, Event, Kept, Notice, Record, Request, Session, Task};

use super::checks::Violation;
use super::history::{Change, Delivery, Noticed, What};
use super::host::{Boot, Command, Desk, Disk, Gauge, HostId, Program, Starter};
use super::plan::Meeting;
use super::world::known;

/// How long a person waits before trying again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How long a session may take to end, whoever is dead.
const END_WITHIN: Duration = Duration::from_secs(5);
/// How long the disk takes to commit, at most, by the host's clock.
pub(crate) const COMMIT_WITHIN: Duration = Duration::from_millis(20);
/// Lines that wait for the session to take them.
const TYPED_MAX: usize = 1_000;

/// Starts sessions that know these trackers, and peers as they meet, and suspect after the given silence.
pub fn starter(trackers: Vec<SocketAddr>, meeting: Meeting, suspect_after: Duration) -> Starter {
    Rc::new(move |boot| {
        let peers = meeting.peer(boot.host).map(HostId::address).into_iter().collect();
        Box::new(SessionHost::new(boot, Known { trackers: trackers.clone(), peers, suspect_after }))
    })
}

/// What a session is told when it starts.
#[derive(Clone, Debug)]
struct Known {
    trackers: Vec<SocketAddr>,
    peers: Vec<SocketAddr>,
    suspect_after: Duration,
}

#[derive(Clone)]
struct SessionHost {
    boot: Boot,
    known: Known,
    rng: Rng,
    session: Session,
    /// What is committed, and in how many records of this session.
    disk: Disk,
    committed: u64,
    /// What is not, and when it will be.
    writing: Vec<Record>,
    commit_at: Option<Instant>,
    /// The session was refused; it is started again then.
    start_at: Option<Instant>,
    quitting: bool,
    /// When the session was told to end, and what the clock showed last.
    told_to_end: Option<Instant>,
    now: Instant,
    wishes: BTreeMap<GroupName, Wish>,
    /// Lines that the session has not taken yet.
    typed: VecDeque<Line>,
    /// Lines that it has taken and not answered, by number.
    unanswered: BTreeMap<u64, Line>,
    lines: u64,
}

/// What the person wants of a group, and what is known of it.
#[derive(Clone, Debug)]
struct Wish {
    order: OrderKind,
    wanted: bool,
    /// Who I am there, and my view.
    member: Option<(MemberId, ViewId)>,
    /// When to type the wish to join again.
    again_at: Option<Instant>,
    /// The session said that it left in haste.
    in_haste: bool,
}

#[derive(Clone, Debug)]
enum Line {
    Join(GroupName, OrderKind),
    Leave(GroupName),
    Switch(GroupName),
    Say(Bytes),
    Write(UserName, Bytes),
    List,
    Quit,
}

impl SessionHost {
    fn new(boot: Boot, known: Known) -> SessionHost {
        let mut rng = Rng::from_seed(boot.seed);
        let disk = boot.disk.clone().unwrap_or_else(|| Disk::new(boot.name, Identity(rng.bits())));
        SessionHost {
            session: start(&boot, &disk, &known),
            wishes: wishes(&disk),
            disk,
            committed: 0,
            writing: Vec::new(),
            commit_at: None,
            known,
            rng,
            start_at: None,
            quitting: false,
            told_to_end: None,
            now: boot.now,
            boot,
            typed: VecDeque::new(),
            unanswered: BTreeMap::new(),
            lines: 0,
        }
    }

    /// The disk takes what is to be kept, and commits it some time. (Nobody asks it anything.)
    /// Whether it has.
    fn keep(&mut self, desk: &mut Desk<'_>) -> bool {
        while let Some(task) = self.session.poll_task() {
            let Task::Keep(record) = task else { continue };
            if let Record::Written { to, id, text } = &record {
                desk.record(What::Said { to: *to, id: *id, payload: text.clone() });
            }
            self.writing.push(record);
        }
        if self.writing.is_empty() {
            return false;
        }
        let within = if self.rng.chance(1, 2) { Duration::ZERO } else { COMMIT_WITHIN };
        let commit_at = *self.commit_at.get_or_insert(desk.now + self.rng.between(Duration::ZERO, within));
        if commit_at > desk.now {
            return false;
        }
        self.commit_at = None;
        for record in std::mem::take(&mut self.writing) {
            self.committed += 1;
            if !self.disk.keep(desk.now.as_micros(), record.clone()) {
                let what = format!("{} keeps it a second time: {record:?}", desk.host);
                desk.history.violate(Violation { at: desk.world_now, promise: "kept once", what });
            }
        }
        self.session.handle_kept(desk.now, Kept::Stored(self.committed));
        true
    }

    fn type_line(&mut self, line: Line) {
        if self.typed.len() < TYPED_MAX {
            self.typed.push_back(line);
        }
    }

    /// The session takes what it wants to.
    fn submit(&mut self, desk: &mut Desk<'_>) -> bool {
        let before = self.lines;
        while self.session.wants_input()
            && let Some(line) = self.typed.pop_front()
        {
            self.lines += 1;
            let command = match line.clone() {
                Line::Join(group, order) => session::Command::Join { group, order: Some(order) },
                Line::Leave(group) => session::Command::Leave { group: Some(group) },
                Line::Switch(group) => session::Command::Switch { group },
                Line::Say(text) => session::Command::Say { text },
                Line::Write(to, text) => session::Command::Private { to, text },
                Line::List => session::Command::Groups,
                Line::Quit => session::Command::Quit,
            };
            if let Line::Leave(group) = line {
                self.record_leaving(group, desk);
            }
            match line {
                Line::Quit => self.end(desk),
                line => {
                    self.unanswered.insert(self.lines, line);
                }
            }
            self.session.submit(desk.now, Request { re: Some(self.lines), command });
            self.hear(desk);
        }
        self.lines > before
    }

    fn end(&mut self, desk: &mut Desk<'_>) {
        self.told_to_end = Some(desk.now);
        desk.record(What::Ending);
    }

    fn record_leaving(&mut self, group: GroupName, desk: &mut Desk<'_>) {
        if let Some((member, _)) = self.wishes.get(&group).and_then(|wish| wish.member) {
            desk.record(What::Leaving { group, member });
        }
    }

    /// Reads all that the session reports. Whether there was anything.
    fn hear(&mut self, desk: &mut Desk<'_>) -> bool {
        let mut some = false;
        while let Some(event) = self.session.poll_event(desk.now) {
            some = true;
            self.on_event(event, desk);
        }
        some
    }

    fn on_event(&mut self, event: Event, desk: &mut Desk<'_>) {
        match event {
            Event::Joined { re, group, view, .. } => {
                self.answered(re);
                self.on_view(group, view, None, desk);
            }
            Event::View { group, view, joined, left, cause } => {
                self.on_view(group, view, Some(Change { joined, left, cause }), desk);
            }
            Event::Left { re, group } => {
                self.answered(re);
                self.on_left(group, desk);
            }
            Event::Sent { re, group, id } => {
                if let Some(Line::Say(payload)) = self.answered(re) {
                    desk.record(What::Sent { group, id, payload });
                }
            }
            Event::Message { group, from, id, clock, position, uniform, placed, caught_up, text, .. } => {
                if let Some((member, view)) = self.wishes.get(&group).and_then(|wish| wish.member) {
                    let payload = Bytes::from(text.safe().into_owned());
                    let delivery = Delivery { view, from, id, position, uniform, placed, clock, payload };
                    desk.record(match caught_up {
                        true => What::Told { group, member, delivery },
                        false => What::Delivered { group, member, delivery },
                    });
                }
            }
            Event::Notice { re, notice } => {
                self.answered(re);
                self.on_notice(notice, desk);
            }
            Event::Error { id: Some(id), .. } => desk.record(What::Unconfirmed { id }),
            Event::Error { re: None, .. } => self.return_again(desk),
            Event::Error { re, .. } => {
                if let Some(Line::Join(group, _)) = self.answered(re)
                    && let Some(wish) = self.wishes.get_mut(&group)
                {
                    wish.again_at = Some(desk.now + TRY_AGAIN);
                }
            }
            Event::Groups { re, groups } => {
                self.answered(re);
                let groups = groups.into_iter().map(|group| (group.name, group.members)).collect();
                desk.record(What::Listed { groups });
            }
            Event::Current { re, .. }
            | Event::Members { re, .. }
            | Event::Users { re, .. }
            | Event::Held { re, .. }
            | Event::Figures { re, .. }
            | Event::Faults { re, .. }
            | Event::History { re, .. }
            | Event::Help { re, .. } => {
                self.answered(re);
            }
            Event::PrivateSent { re, id, .. } => {
                self.answered(re);
                desk.record(What::Promised { id });
            }
            Event::Private { from, id, text, .. } => {
                let payload = Bytes::from(text.safe().into_owned());
                desk.record(What::Heard { from, id, payload });
            }
            Event::Receipt { id, .. } => desk.record(What::Confirmed { id }),
            Event::Refused { .. } => desk.record(What::Ending),
            Event::Ready { .. } | Event::Bye { .. } => {}
        }
    }

    /// The return to some group may have come to nothing.
    fn return_again(&mut self, desk: &Desk<'_>) {
        let lost = self.wishes.values_mut().filter(|wish| wish.wanted && wish.member.is_none());
        lost.for_each(|wish| _ = wish.again_at.get_or_insert(desk.now + TRY_AGAIN));
    }

    fn on_notice(&mut self, notice: Notice, desk: &mut Desk<'_>) {
        match notice {
            Notice::LeftUnheard { group } => {
                if let Some(wish) = self.wishes.get_mut(&group) {
                    wish.in_haste = true;
                }
            }
            Notice::HistoryGap { group } => {
                if let Some((member, _)) = self.wishes.get(&group).and_then(|wish| wish.member) {
                    desk.record(What::Gap { group, member });
                }
            }
            Notice::PeerSuspected { group, user } => self.noticed(group, Noticed::Suspected(user), desk),
            Notice::PeerBack { group, user } => self.noticed(group, Noticed::Back(user), desk),
            Notice::Alone { group } => self.noticed(group, Noticed::Alone, desk),
            Notice::MergeRefused { group } => self.noticed(group, Noticed::MergeRefused, desk),
            Notice::WaitingFor { group, user } => self.noticed(group, Noticed::WaitingFor(user), desk),
            _ => {}
        }
    }

    fn noticed(&self, group: GroupName, notice: Noticed, desk: &mut Desk<'_>) {
        if let Some((member, _)) = self.wishes.get(&group).and_then(|wish| wish.member) {
            desk.record(What::Noticed { group, member, notice });
        }
    }

    fn answered(&mut self, re: Option<u64>) -> Option<Line> {
        re.and_then(|re| self.unanswered.remove(&re))
    }

    fn on_view(&mut self, group: GroupName, view: ViewInfo, change: Option<Change>, desk: &mut Desk<'_>) {
        let mine = view.members.iter().find(|(id, _)| id.incarnation == self.boot.incarnation);
        let (Some(&(member, _)), Some(wish)) = (mine, self.wishes.get_mut(&group)) else { return };
        wish.member = Some((member, view.id));
        wish.again_at = None;
        let first = change.is_none();
        if first {
            desk.record(What::Joining { group, member });
        }
        desk.record(What::View { group, member, view, change });
        // What was typed while it was on its way in is acted on now, whatever has been typed behind it.
        let mut lines = self.unanswered.values();
        let leaves = lines.any(|line| matches!(line, Line::Leave(of) if *of == group));
        if first && (leaves || !self.wishes.get(&group).is_some_and(|wish| wish.wanted)) {
            desk.record(What::Leaving { group, member });
        }
    }

    fn on_left(&mut self, group: GroupName, desk: &mut Desk<'_>) {
        let Some(wish) = self.wishes.get_mut(&group) else { return };
        let clean = !std::mem::replace(&mut wish.in_haste, false);
        if wish.wanted {
            wish.again_at = Some(desk.now + TRY_AGAIN);
        }
        if let Some((member, _)) = wish.member.take() {
            desk.record(What::Left { group, member, clean });
        }
    }

    /// Types again what came to nothing, and starts the session again if it was refused.
    fn try_again(&mut self, desk: &mut Desk<'_>) {
        if let Some(Ending::Refused(_)) = self.session.ended()
            && !self.quitting
        {
            let start_at = *self.start_at.get_or_insert(desk.now + TRY_AGAIN);
            if start_at <= desk.now {
                self.restart(desk);
            }
        }
        for (group, wish) in &mut self.wishes {
            if wish.again_at.take_if(|at| *at <= desk.now).is_some() && wish.wanted {
                self.typed.push_back(Line::Join(*group, wish.order));
            }
        }
    }

    fn restart(&mut self, desk: &mut Desk<'_>) {
        self.start_at = None;
        desk.record(What::Killed);
        self.boot.incarnation.0 = self.rng.bits();
        (self.boot.seed, self.boot.now) = (self.rng.bits(), desk.now);
        self.session = start(&self.boot, &self.disk, &self.known);
        (self.committed, self.commit_at) = (0, None);
        self.writing.clear();
        let Boot { incarnation, name, .. } = self.boot;
        desk.record(What::Started { incarnation, name });
        desk.record(What::Remembers { known: known(&self.disk) });
        self.unanswered.clear();
        self.typed.clear();
        for (group, wish) in wishes(&self.disk) {
            self.wishes.entry(group).or_insert(wish);
        }
        for wish in self.wishes.values_mut() {
            (wish.member, wish.again_at) = (None, Some(desk.now));
        }
    }
}

/// A person whose program returns to groups wishes to be there.
fn wishes(disk: &Disk) -> BTreeMap<GroupName, Wish> {
    let wish = |place: Place| {
        let Place { group, order, .. } = place;
        (group, Wish { order, wanted: true, member: None, again_at: None, in_haste: false })
    };
    disk.restored().groups.into_iter().map(wish).collect()
}

fn start(boot: &Boot, disk: &Disk, known: &Known) -> Session {
    let config = Config {
        name: boot.name,
        incarnation: boot.incarnation,
        addresses: std::iter::once(boot.host.address()).collect(),
        trackers: known.trackers.clone(),
        port: boot.host.address().port(),
        peers: known.peers.clone(),
        discover: false,
        suspect_after: known.suspect_after,
        seed: boot.seed,
        faults: Vec::new(),
        patient: true,
    };
    Session::new(config, disk.restored(), boot.now)
}

impl Program for SessionHost {
    fn machine(&mut self) -> Option<&mut dyn Machine> {
        Some(&mut self.session)
    }

    fn streams(&mut self) -> Option<&mut dyn StreamMachine> {
        Some(&mut self.session)
    }

    fn command(&mut self, command: Command, desk: &mut Desk<'_>) {
        match command {
            _ if self.quitting => {}
            Command::Join { group, order } => {
                let new = Wish { order, wanted: false, member: None, again_at: None, in_haste: false };
                let wish = self.wishes.entry(group).or_insert(new);
                if !std::mem::replace(&mut wish.wanted, true) {
                    self.type_line(Line::Join(group, order));
                }
            }
            Command::Leave { group } => {
                let Some(wish) = self.wishes.get_mut(&group) else { return };
                if std::mem::replace(&mut wish.wanted, false) {
                    self.type_line(Line::Leave(group));
                }
            }
            Command::Send { group, payload } => {
                if self.wishes.get(&group).is_some_and(|wish| wish.wanted && wish.member.is_some()) {
                    self.type_line(Line::Switch(group));
                    self.type_line(Line::Say(payload));
                }
            }
            Command::Say { to, payload } => self.type_line(Line::Write(to, payload)),
            Command::List => self.type_line(Line::List),
            Command::Quit => {
                self.quitting = true;
                self.wishes.values_mut().for_each(|wish| wish.wanted = false);
                if self.rng.chance(1, 2) {
                    self.type_line(Line::Quit);
                } else {
                    // Ctrl-C.
                    self.end(desk);
                    self.session.quit(desk.now);
                }
            }
        }
        self.submit(desk);
    }

    fn attend(&mut self, desk: &mut Desk<'_>) -> bool {
        self.now = desk.now;
        let some = self.hear(desk);
        self.try_again(desk);
        let submitted = self.submit(desk);
        let committed = self.keep(desk);
        let more = self.hear(desk);
        self.keep(desk) || committed || submitted || some || more
    }

    fn has_ended(&self) -> bool {
        let done = !self.session.has_events() && self.writing.is_empty();
        self.quitting && self.session.ended().is_some() && done
    }

    fn disk(&self) -> Option<Disk> {
        Some(self.disk.clone())
    }

    fn wakeup(&self) -> Option<Wakeup> {
        let again = self.wishes.values().filter_map(|wish| wish.again_at).min();
        let again = again.map(|at| Wakeup { at, reason: "the person types again" });
        let start = self.start_at.map(|at| Wakeup { at, reason: "the person starts again" });
        let commit = self.commit_at.map(|at| Wakeup { at, reason: "the disk commits" });
        [again, start, commit].into_iter().fold(None, Wakeup::earliest)
    }

    fn wants(&self, group: GroupName) -> bool {
        self.wishes.get(&group).is_some_and(|wish| wish.wanted)
    }

    fn is_flushed(&self) -> bool {
        self.typed.is_empty() && self.unanswered.is_empty()
    }

    fn status(&self) -> String {
        let wishes: Vec<String> =
            self.wishes.iter().map(|(group, wish)| format!("\n    {group}: {wish:?}")).collect();
        format!(
            "wants input: {}, ended: {:?}, typed {:?}, unanswered {:?}, {:?}{}",
            self.session.wants_input(),
            self.session.ended(),
            self.typed.iter().take(5).collect::<Vec<_>>(),
            self.unanswered.iter().take(5).collect::<Vec<_>>(),
            self.session.stats(),
            wishes.concat(),
        )
    }

    fn gauges(&self) -> Vec<Gauge> {
        let ending = self.told_to_end.map_or(Duration::ZERO, |at| self.now.since(at));
        let millis = |time: Duration| usize::try_from(time.as_millis()).unwrap_or(usize::MAX);
        vec![Gauge {
            name: "milliseconds since it was told to end",
            value: millis(ending),
            limit: millis(END_WITHIN),
        }]
    }

    fn boxed_clone(&self) -> Box<dyn Program> {
        Box::new(self.clone())
    }
}
