//! A rule: on which links, and what it does to the datagrams there.

use std::fmt;
use std::rc::Rc;

use decury_common::fault::{Fault, Ratio};
use decury_common::wire::{Frame, Section};

use crate::sim::frames::Kind;
use crate::sim::host::HostId;

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
    /// this happens.
    pub effect: Effect,
}

/// What a rule does.
#[derive(Clone, Debug)]
pub enum Effect {
    /// What a bad network does.
    Fault(Fault),
    /// All that the rule concerns shares one line, which carries so many bytes a millisecond; what finds more than so
    /// many bytes waiting is lost.
    Narrow {
        /// Bytes a millisecond.
        carries: u64,
        /// Bytes that may wait.
        queue: u64,
    },
    /// What a relay has passed on is lost.
    NoRelay,
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
    pub fn on(from: HostId, to: HostId, effect: impl Into<Effect>) -> Rule {
        Rule { from: Hosts::one(from), to: Hosts::one(to), effect: effect.into() }
    }

    /// On all links.
    pub fn everywhere(effect: impl Into<Effect>) -> Rule {
        Rule { from: Hosts::ALL, to: Hosts::ALL, effect: effect.into() }
    }

    /// The rules by which nothing passes between any of these sides and all others.
    pub fn partition(sides: &[Hosts]) -> Vec<Rule> {
        let cut = |side: &Hosts| [(*side, side.others()), (side.others(), *side)];
        sides.iter().flat_map(cut).map(|(from, to)| Rule { from, to, effect: Fault::Cut.into() }).collect()
    }
}

impl Effect {
    /// Whether a link with this is as good as any, as far as hearing each other goes.
    pub(super) fn is_harmless(&self) -> bool {
        match self {
            Effect::Fault(fault) => matches!(fault, Fault::Duplicate(..) | Fault::Late(..)),
            Effect::Frames { action, .. } => *action == FrameAction::Watch,
            Effect::Narrow { .. } | Effect::NoRelay => false,
        }
    }
}

impl From<Fault> for Effect {
    fn from(fault: Fault) -> Effect {
        Effect::Fault(fault)
    }
}

impl Effect {
    /// Loses these frames.
    pub fn drop(filter: FrameFilter) -> Effect {
        Effect::Frames { filter, ratio: Ratio(1, 1), action: FrameAction::Drop }
    }

    /// Holds these frames back.
    pub fn hold(filter: FrameFilter) -> Effect {
        Effect::Frames { filter, ratio: Ratio(1, 1), action: FrameAction::Hold }
    }

    /// Counts these frames.
    pub fn watch(filter: FrameFilter) -> Effect {
        Effect::Frames { filter, ratio: Ratio(1, 1), action: FrameAction::Watch }
    }
}
