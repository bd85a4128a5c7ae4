//! What happened in a run: records, in the order of the world's time, and from them who is where.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use decury_common::base::id::{GroupName, Incarnation, MemberId, MessageId, UserName, ViewId};
use decury_common::base::limits::MEMBERS_MAX;
use decury_common::base::time::Instant;
use decury_common::endpoint::{Cause, Known, Latency, VectorClock, ViewInfo};
use decury_common::order::Placed;

use super::checks::{Checks, Violation};
use super::host::{Clock, HostId};
use super::trace::Trace;

/// Something that happened at a host, as its user could see it.
#[derive(Clone, Debug)]
pub struct Record {
    /// When, in the world's time.
    pub at: Instant,
    /// Where.
    pub host: HostId,
    /// What.
    pub what: What,
}

/// What a view says of itself, beside the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Who is new.
    pub joined: Vec<UserName>,
    /// Who is gone.
    pub left: Vec<UserName>,
    /// Why.
    pub cause: Cause,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// The host's clock, which it keeps for its whole life.
    Clock(Clock),
    /// The program was started.
    Started {
        /// The number drawn for it.
        incarnation: Incarnation,
        /// The person's name.
        name: UserName,
    },
    /// After its start: it has a disk, on which so much is known of former runs.
    Remembers {
        /// The last message of each member.
        known: Known,
    },
    /// It was killed, with all that it knew, but for what is on its disk.
    Killed,
    /// It asked to join a group.
    Joining {
        /// Which.
        group: GroupName,
        /// The member that it will be.
        member: MemberId,
    },
    /// It was not taken in.
    Refused {
        /// By which group.
        group: GroupName,
        /// The member that it would have been.
        member: MemberId,
    },
    /// A view of its own.
    View {
        /// Of which group.
        group: GroupName,
        /// Who sees it.
        member: MemberId,
        /// The view.
        view: ViewInfo,
        /// What is said to have changed since the one before; `None`: it is said to be the first.
        change: Option<Change>,
    },
    /// It sent a message.
    Sent {
        /// To which group.
        group: GroupName,
        /// The message.
        id: MessageId,
        /// What it says.
        payload: Bytes,
    },
    /// It delivered a message.
    Delivered {
        /// Of which group.
        group: GroupName,
        /// Who delivered it.
        member: MemberId,
        /// The message.
        delivery: Delivery,
    },
    /// A newcomer, or a side that merged, is told what was said before.
    Told {
        /// In which group.
        group: GroupName,
        /// Who is told.
        member: MemberId,
        /// The message.
        delivery: Delivery,
    },
    /// It is told that something of what was said before is missing.
    Gap {
        /// In which group.
        group: GroupName,
        /// Who is told so.
        member: MemberId,
    },
    /// It was told which groups there are, with how many members, when all had converged.
    Listed {
        /// By name.
        groups: Vec<(GroupName, usize)>,
    },
    /// It said something to one other in private.
    Said {
        /// To whom.
        to: UserName,
        /// The message.
        id: MessageId,
        /// What it says.
        payload: Bytes,
    },
    /// It was told that what it said in private will be said again, whatever happens, until it is settled.
    Promised {
        /// The message.
        id: MessageId,
    },
    /// It heard something in private.
    Heard {
        /// Whose it is, as it was told.
        from: UserName,
        /// The message.
        id: MessageId,
        /// What it says.
        payload: Bytes,
    },
    /// It was told that the other has this private message.
    Confirmed {
        /// The message.
        id: MessageId,
    },
    /// It was told that the other will not get this private message any more, if it has not got it.
    Unconfirmed {
        /// The message.
        id: MessageId,
    },
    /// It was told how long this message had been on its way, as it came.
    Measured {
        /// The message.
        id: MessageId,
        /// How long, by its own clock.
        latency: Latency,
    },
    /// It was told something about the others of its group.
    Noticed {
        /// In which group.
        group: GroupName,
        /// Who is told.
        member: MemberId,
        /// What.
        notice: Noticed,
    },
    /// Its process is stopped until then.
    Stopped(Instant),
    /// From now on something is wrong on these links, each one way, and on no others. (It is of no host.)
    Disturbed(BTreeSet<(HostId, HostId)>),
    /// It was told to end, or is not taken in by its tracker any more, and leaves its groups first.
    Ending,
    /// It asked to leave a group.
    Leaving {
        /// Which.
        group: GroupName,
        /// Who it was there.
        member: MemberId,
    },
    /// It is out of the group.
    Left {
        /// Which.
        group: GroupName,
        /// Who it was there.
        member: MemberId,
        /// Whether the others are known to have its last messages.
        clean: bool,
    },
}

/// What a member is told about the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noticed {
    /// This one has fallen silent.
    Suspected(UserName),
    /// This one is back.
    Back(UserName),
    /// Nobody else can be reached.
    Alone,
    /// The group waits for this one.
    WaitingFor(UserName),
    /// Its view does not merge with another one, which is full.
    MergeRefused,
}

/// A message as it was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The view in which.
    pub view: ViewId,
    /// Its sender's name.
    pub from: UserName,
    /// Its id.
    pub id: MessageId,
    /// `total` and `safe`: its place in the group's sequence.
    pub position: Option<u64>,
    /// `safe`: false marks it.
    pub uniform: Option<bool>,
    /// `total` and `safe`: what fixed its place.
    pub placed: Option<Placed>,
    /// Its clock.
    pub clock: VectorClock,
    /// What it says.
    pub payload: Bytes,
}

/// How far a member's stay in its group is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stay {
    /// It has asked and is not in yet.
    Joining,
    /// It is in this view.
    In(ViewInfo),
    /// It has asked to leave, at this instant, being in this view, if in any.
    Leaving(Instant, Option<ViewInfo>),
    /// It left, was refused, or was killed.
    Over,
}

/// A member, as far as the records tell.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Where.
    pub host: HostId,
    /// Of which group.
    pub group: GroupName,
    /// How far its stay is.
    pub stay: Stay,
    /// Messages it has sent, and those of them that it has delivered.
    pub own: (u64, u64),
}

/// Who is where.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    seats: BTreeMap<MemberId, Seat>,
}

impl Roster {
    /// Every member there ever was.
    pub fn seats(&self) -> impl Iterator<Item = (MemberId, &Seat)> {
        self.seats.iter().map(|(member, seat)| (*member, seat))
    }

    /// One member.
    pub fn seat(&self, member: MemberId) -> Option<&Seat> {
        self.seats.get(&member)
    }

    /// The members of a group that live and wish to be in it.
    pub fn wanted(&self, group: GroupName) -> impl Iterator<Item = (MemberId, &Seat)> {
        self.seats()
            .filter(move |(_, seat)| seat.group == group && matches!(seat.stay, Stay::Joining | Stay::In(_)))
    }

    /// The view that all members who wish to be in the group share, if there is one and nobody else is in it.
    pub fn common_view(&self, group: GroupName) -> Option<&ViewInfo> {
        let mut common: Option<&ViewInfo> = None;
        let mut count = 0;
        for (_, seat) in self.wanted(group) {
            let Stay::In(view) = &seat.stay else { return None };
            if common.is_some_and(|common| common.id != view.id) {
                return None;
            }
            common = Some(view);
            count += 1;
        }
        common.filter(|view| view.members.len() == count)
    }

    /// The full view of a group that has more people than fit: if ten share it, and all others who are in a view share one
    /// besides.
    pub fn full_view(&self, group: GroupName) -> Option<&ViewInfo> {
        let mut views: BTreeMap<ViewId, (&ViewInfo, usize)> = BTreeMap::new();
        for (_, seat) in self.wanted(group) {
            if let Stay::In(view) = &seat.stay {
                views.entry(view.id).or_insert((view, 0)).1 += 1;
            }
        }
        let are_shared = views.len() <= 2 && views.values().all(|(view, count)| view.members.len() == *count);
        let full = views.values().find(|(_, count)| *count == MEMBERS_MAX);
        full.filter(|_| are_shared).map(|(view, _)| *view)
    }

    fn note(&mut self, record: &Record) {
        match &record.what {
            What::Killed => {
                for seat in self.seats.values_mut().filter(|seat| seat.host == record.host) {
                    seat.stay = Stay::Over;
                }
            }
            What::Joining { group, member } => {
                let seat = Seat { host: record.host, group: *group, stay: Stay::Joining, own: (0, 0) };
                self.seats.insert(*member, seat);
            }
            What::View { member, view, .. } => self.change(*member, |stay| match stay {
                Stay::Leaving(_, current) => *current = Some(view.clone()),
                stay => *stay = Stay::In(view.clone()),
            }),
            What::Leaving { member, .. } => self.change(*member, |stay| match stay {
                Stay::Joining => *stay = Stay::Leaving(record.at, None),
                Stay::In(view) => *stay = Stay::Leaving(record.at, Some(view.clone())),
                Stay::Leaving(..) | Stay::Over => {}
            }),
            What::Refused { member, .. } | What::Left { member, .. } => {
                self.change(*member, |stay| *stay = Stay::Over);
            }
            What::Sent { id, .. } => {
                if let Some(seat) = self.seats.get_mut(&id.sender) {
                    seat.own.0 += 1;
                }
            }
            What::Delivered { member, delivery, .. } => {
                if delivery.id.sender == *member
                    && let Some(seat) = self.seats.get_mut(member)
                {
                    seat.own.1 += 1;
                }
            }
            What::Clock(_)
            | What::Started { .. }
            | What::Measured { .. }
            | What::Noticed { .. }
            | What::Ending
            | What::Remembers { .. }
            | What::Stopped(_)
            | What::Disturbed(_)
            | What::Told { .. }
            | What::Gap { .. }
            | What::Said { .. }
            | What::Listed { .. }
            | What::Promised { .. }
            | What::Heard { .. }
            | What::Confirmed { .. }
            | What::Unconfirmed { .. } => {}
        }
    }

    fn change(&mut self, member: MemberId, change: impl FnOnce(&mut Stay)) {
        if let Some(seat) = self.seats.get_mut(&member) {
            change(&mut seat.stay);
        }
    }
}

/// Takes records in, keeps the roster, and holds every record against the checks.
#[derive(Clone, Debug, Default)]
pub struct History {
    roster: Roster,
    checks: Checks,
    violation: Option<Violation>,
    /// Deliveries so far, private and told ones included.
    delivered: u64,
    /// Messages of groups that each host has delivered, told ones not included.
    deliveries: BTreeMap<HostId, u64>,
    /// Views installed so far, at all members together.
    views: u64,
    /// Everything that happened, if it is to be kept.
    kept: Option<Vec<Record>>,
    /// A number that any two runs of one seed must agree on.
    fingerprint: u64,
    pub(crate) trace: Option<Trace>,
}

impl History {
    /// Something has happened.
    pub fn record(&mut self, at: Instant, host: HostId, what: What) {
        let record = Record { at, host, what };
        if let Some(trace) = &mut self.trace {
            trace.record(&record);
        }
        self.mix(at.as_micros());
        self.views += u64::from(matches!(record.what, What::View { .. }));
        if let What::Delivered { delivery: Delivery { id, .. }, .. }
        | What::Told { delivery: Delivery { id, .. }, .. }
        | What::Heard { id, .. } = &record.what
        {
            self.delivered += 1;
            self.mix(id.sender.incarnation.0);
            self.mix(id.count);
        }
        if let What::Delivered { .. } = &record.what {
            *self.deliveries.entry(host).or_default() += 1;
        }
        // The checks see who was where before this happened.
        if let Err(violation) = self.checks.observe(&record, &self.roster) {
            self.violate(violation);
        }
        self.roster.note(&record);
        if let Some(kept) = &mut self.kept {
            kept.push(record);
        }
    }

    /// From now on nobody must be suspected who has been in reach, directly or over others, for so long.
    pub(crate) fn expect_reach(&mut self, patience: Duration) {
        self.checks.expect_reach(patience);
    }

    /// Keeps all records from now on.
    pub fn keep(&mut self) {
        self.kept.get_or_insert_default();
    }

    /// All records since [`History::keep`].
    pub fn records(&self) -> &[Record] {
        self.kept.as_deref().unwrap_or_default()
    }

    /// A promise was broken. The first one counts.
    pub fn violate(&mut self, violation: Violation) {
        if let Some(trace) = &mut self.trace {
            trace.line(violation.at, format_args!("*** {violation}"));
        }
        self.violation.get_or_insert(violation);
    }

    /// The run is over, and all has converged: what must be true then.
    pub(crate) fn finish(&mut self, at: Instant) {
        if let Err(violation) = self.checks.finish(at, &self.roster) {
            self.violate(violation);
        }
    }

    /// The first broken promise.
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Who is where.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Whether every member that stays has delivered what it sent, and those in one view have delivered the same there.
    pub fn all_delivered(&self) -> bool {
        self.checks.all_delivered(&self.roster)
    }

    /// Whether all who are in a view of this group beside a full one have been told so.
    pub fn are_told_apart(&self, group: GroupName) -> bool {
        self.checks.are_told_apart(group, &self.roster)
    }

    /// Whether every private message has been confirmed, or given up.
    pub fn all_confirmed(&self) -> bool {
        self.checks.all_confirmed()
    }

    /// How many deliveries there were.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// How many messages of groups a host has delivered, told ones not included.
    pub fn deliveries(&self, host: HostId) -> u64 {
        self.deliveries.get(&host).copied().unwrap_or_default()
    }

    /// How many views were installed, at all members together.
    pub fn views(&self) -> u64 {
        self.views
    }

    /// A number on which any two runs of one seed agree.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    fn mix(&mut self, value: u64) {
        self.fingerprint = (self.fingerprint ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
}
