//! A rule: on which links, and what it does to the datagrams there.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use decury_common::base::rng::Rng;
use decury_common::wire::{Frame, Section};

use super::Fate;
use crate::sim::frames::Kind;
use crate::sim::host::HostId;

/// `0` of `1` cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(pub u32, pub u32);

impl Ratio {
    pub(super) fn hits(self, rng: &mut Rng) -> bool {
        rng.chance(u64::from(self.0), u64::from(self.1))
    }
}

/// A set of hosts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hosts(u64);

impl Hosts {
    /// Every host.
    pub const ALL: Hosts = Hosts(u64::MAX);

    /// This one alone.
    pub fn one(host: HostId) -> Hosts {
        Hosts(1 << (host.0 % 64))
    }

    /// These.
    pub fn of(hosts: &[HostId]) -> Hosts {
        hosts.iter().fold(Hosts(0), |all, host| all.and(*host))
    }

    /// These and one more.
    #[must_use]
    pub fn and(self, host: HostId) -> Hosts {
        Hosts(self.0 | Hosts::one(host).0)
    }

    /// All others.
    #[must_use]
    pub fn others(self) -> Hosts {
        Hosts(!self.0)
    }

    /// Whether this one is among them.
    pub fn has(self, host: HostId) -> bool {
        self.0 & Hosts::one(host).0 != 0
    }
}

impl From<HostId> for Hosts {
    fn from(host: HostId) -> Hosts {
        Hosts::one(host)
    }
}

impl<const N: usize> From<[HostId; N]> for Hosts {
    fn from(hosts: [HostId; N]) -> Hosts {
        Hosts::of(&hosts)
    }
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |hosts: Hosts| (0..64).map(HostId).filter(move |host| hosts.has(*host));
        match self.0 {
            u64::MAX => f.write_str("all"),
            bits if bits.count_ones() > 32 => {
                write!(f, "all but {:?}", listed(self.others()).collect::<Vec<_>>())
            }
            _ => f.debug_list().entries(listed(*self)).finish(),
        }
    }
}

/// What is wrong, and on which links.
#[derive(Clone, Debug)]
pub struct Rule {
    /// For datagrams that these hosts send
    pub from: Hosts,
    /// to these.
    pub to: Hosts,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a link.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing passes.
    Cut,
    /// So many are lost.
    Loss(Ratio),
    /// So many come twice, the copy up to so much later.
    Duplicate(Ratio, Duration),
    /// So many come once more, very late: after half of this time at least, after all of it at most.
    Late(Ratio, Duration),
    /// Each takes longer, from the first to the second.
    Delay(Duration, Duration),
    /// So many are overtaken by those sent up to so much later.
    Reorder(Ratio, Duration),
    /// Longer ones than this are lost.
    Mtu(usize),
    /// Something happens to frames of some kind.
    Frames {
        /// To which.
        filter: FrameFilter,
        /// To how many of the datagrams with such frames.
        ratio: Ratio,
        /// What.
        action: FrameAction,
    },
}

/// What happens to frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameAction {
    /// They are lost.
    Drop,
    /// They are held back until the rule is removed.
    Hold,
    /// They pass, and are counted.
    Watch,
}

type Predicate = dyn Fn(Option<Section>, &Frame<'_>) -> bool;

/// Which frames.
#[derive(Clone)]
pub struct FrameFilter {
    what: String,
    wants: Rc<Predicate>,
}

impl FrameFilter {
    /// Those of one kind.
    pub fn kind(kind: Kind) -> FrameFilter {
        FrameFilter::new(format!("{kind:?}"), move |_, frame| Kind::of(frame) == kind)
    }

    /// Those of any of these kinds.
    pub fn kinds(kinds: &[Kind]) -> FrameFilter {
        let kinds = kinds.to_vec();
        FrameFilter::new(format!("{kinds:?}"), move |_, frame| kinds.contains(&Kind::of(frame)))
    }

    /// Those for which `wants` is true; `what` says in words which these are.
    pub fn new(
        what: impl Into<String>,
        wants: impl Fn(Option<Section>, &Frame<'_>) -> bool + 'static,
    ) -> FrameFilter {
        FrameFilter { what: what.into(), wants: Rc::new(wants) }
    }

    pub(super) fn wants(&self, section: Option<Section>, frame: &Frame<'_>) -> bool {
        (self.wants)(section, frame)
    }
}

impl From<Kind> for FrameFilter {
    fn from(kind: Kind) -> FrameFilter {
        FrameFilter::kind(kind)
    }
}

impl fmt::Debug for FrameFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Rule {
    /// On the link from one host to another, one way.
    pub fn on(from: HostId, to: HostId, fault: Fault) -> Rule {
        Rule { from: Hosts::one(from), to: Hosts::one(to), fault }
    }

    /// On all links.
    pub fn everywhere(fault: Fault) -> Rule {
        Rule { from: Hosts::ALL, to: Hosts::ALL, fault }
    }

    /// The rules by which nothing passes between any of these sides and all others.
    pub fn partition(sides: &[Hosts]) -> Vec<Rule> {
        let cut = |side: &Hosts| [(*side, side.others()), (side.others(), *side)];
        sides.iter().flat_map(cut).map(|(from, to)| Rule { from, to, fault: Fault::Cut }).collect()
    }
}

impl Fault {
    /// Loses these frames.
    pub fn drop(filter: FrameFilter) -> Fault {
        Fault::Frames { filter, ratio: Ratio(1, 1), action: FrameAction::Drop }
    }

    /// Holds these frames back.
    pub fn hold(filter: FrameFilter) -> Fault {
        Fault::Frames { filter, ratio: Ratio(1, 1), action: FrameAction::Hold }
    }

    /// Counts these frames.
    pub fn watch(filter: FrameFilter) -> Fault {
        Fault::Frames { filter, ratio: Ratio(1, 1), action: FrameAction::Watch }
    }

    /// Changes the fate of a datagram of `len` bytes; whether it did.
    pub(super) fn apply(&self, len: usize, rng: &mut Rng, fate: &mut Fate) -> bool {
        match *self {
            Fault::Cut => fate.lost = Some("cut"),
            Fault::Loss(ratio) if ratio.hits(rng) => fate.lost = Some("loss"),
            Fault::Duplicate(ratio, within) if ratio.hits(rng) => {
                fate.copies.push(fate.delay + rng.between(Duration::ZERO, within));
            }
            Fault::Late(ratio, by) if ratio.hits(rng) => fate.copies.push(rng.between(by / 2, by)),
            Fault::Delay(least, most) => fate.delay += rng.between(least, most),
            Fault::Reorder(ratio, by) if ratio.hits(rng) => fate.delay += rng.between(Duration::ZERO, by),
            Fault::Mtu(most) if len > most => fate.lost = Some("too long"),
            _ => return false,
        }
        true
    }
}
