//! What goes wrong in a plan: with hosts, with links, at the worst moment.

use std::time::Duration;

use decury_common::base::rng::Rng;

use super::{Features, Plan, Step, scaled, some_while, to_usize};
use crate::sim::frames::Kind;
use crate::sim::host::HostId;
use crate::sim::network::{Effect, Fault, FrameAction, FrameFilter, Hosts, Ratio, Rule};
use crate::sim::world::{Mishap, Trap, Trigger};

impl Plan {
    /// Who is killed, stopped, slow.
    pub(super) fn draw_host_faults(&mut self, rng: &mut Rng, features: Features) {
        let some = |rng: &mut Rng, wanted: bool| if wanted { 1 + rng.below(4) } else { 0 };
        for _ in 0..some(rng, features.kills) {
            let (host, at) = (self.some_host(rng), self.some_time(rng));
            self.at(at, Step::Kill(host));
            if features.restarts && rng.chance(2, 3) {
                let back = at + Duration::from_millis(scaled(rng, 13));
                self.at(back, Step::Start(host));
                for group in 0..self.groups.len() {
                    self.at(back, Step::Join(host, group));
                }
            }
        }
        for _ in 0..some(rng, features.pauses) {
            let pause = Step::Pause(self.some_host(rng), some_while(rng));
            let at = self.some_time(rng);
            self.at(at, pause);
        }
        // Who reads nothing from a session does not see either what became of the lines typed.
        for _ in 0..some(rng, features.stalls && !self.sessions) {
            let stall = Step::Stall(self.some_host(rng), some_while(rng));
            let at = self.some_time(rng);
            self.at(at, stall);
        }
        if features.directory {
            let (at, length) = (self.some_time(rng), Duration::from_secs(1 + rng.below(20)));
            match self.tracker() {
                None => self.at(at, Step::Directory(length)),
                Some(tracker) => {
                    self.at(at, Step::Kill(tracker));
                    // It may start again at once, or as late as to be started by healing only.
                    let down = length / if rng.chance(1, 2) { 1_000 } else { 1 };
                    self.at(at + down, Step::Start(tracker));
                }
            }
        }
        if features.quits {
            let (host, at) = (self.some_host(rng), self.some_time(rng));
            self.at(at, Step::Quit(host));
        }
    }

    /// Which links are bad when.
    pub(super) fn draw_network_faults(&mut self, rng: &mut Rng, features: Features) {
        if features.weather {
            self.draw_weather(rng);
        }
        if features.picky {
            self.draw_picky_loss(rng);
        }
        if features.traps {
            self.draw_traps(rng);
        }
        let some = |rng: &mut Rng, wanted: bool| if wanted { 1 + rng.below(4) } else { 0 };
        for _ in 0..some(rng, features.partitions) {
            let mut sides = [Hosts::of(&[]); 3];
            let number = 2 + rng.below(2);
            for host in (0..self.hosts.len()).map(HostId).chain(self.tracker()) {
                let side = &mut sides[to_usize(rng.below(number))];
                *side = side.and(host);
            }
            let (at, length) = (self.some_time(rng), some_while(rng));
            self.at(at, Step::Rules(Rule::partition(&sides), length));
        }
        for _ in 0..some(rng, features.cuts) {
            let from = self.some_host(rng);
            let to = self.tracker().filter(|_| rng.chance(1, 3)).unwrap_or_else(|| self.some_host(rng));
            let mut rules = vec![Rule::on(from, to, Fault::Cut)];
            if rng.chance(1, 2) {
                rules.push(Rule::on(to, from, Fault::Cut));
            }
            let (at, length) = (self.some_time(rng), some_while(rng));
            self.at(at, Step::Rules(rules, length));
        }
    }

    /// For a while at the end most links are cut, but for a ring that goes one way, or a chain, and a few others.
    pub(super) fn draw_detours(&mut self, rng: &mut Rng) {
        if !rng.chance(1, 5) {
            return;
        }
        let at = self.length;
        self.length += Duration::from_secs(4 + rng.below(8));
        let mut line: Vec<HostId> = (0..self.hosts.len()).map(HostId).collect();
        for left in (1..line.len()).rev() {
            line.swap(left, to_usize(rng.below(left as u64 + 1)));
        }
        let is_ring = rng.chance(1, 2);
        let mut open: Vec<(HostId, HostId)> = line.windows(2).map(|pair| (pair[0], pair[1])).collect();
        match is_ring {
            true => open.extend(line.last().copied().zip(line.first().copied())),
            false => open.extend(line.windows(2).map(|pair| (pair[1], pair[0]))),
        }
        let spared = rng.below(4);
        let pairs = line.iter().flat_map(|from| line.iter().map(move |to| (*from, *to)));
        let cut = pairs.filter(|link| link.0 != link.1 && !open.contains(link) && rng.below(8) >= spared);
        let cut: Vec<Rule> = cut.map(|(from, to)| Rule::on(from, to, Fault::Cut)).collect();
        self.at(at, Step::Rules(cut, self.length - at));
    }

    /// More people than one view has room for find each other in two sides first.
    pub(super) fn draw_sides(&mut self, rng: &mut Rng) {
        let (one, other): (Vec<HostId>, Vec<HostId>) =
            (0..self.hosts.len()).map(HostId).partition(|_| rng.chance(1, 2));
        let [one, other] = [one, other].map(|side| Hosts::of(&side));
        let cut = |from, to| Rule { from, to, effect: Fault::Cut.into() };
        let length = Duration::from_secs(3) + self.some_time(rng);
        self.at(Duration::ZERO, Step::Rules(vec![cut(one, other), cut(other, one)], length));
    }

    /// A link, or all links between two sides, dies and comes back again and again.
    pub(super) fn draw_flapping(&mut self, rng: &mut Rng) {
        if !rng.chance(1, 6) {
            return;
        }
        let (one, other) = (self.some_host(rng), self.some_host(rng));
        let rules = match rng.below(4) {
            0 => vec![Rule::on(one, other, Fault::Cut)],
            1 => vec![Rule::on(one, other, Fault::Cut), Rule::on(other, one, Fault::Cut)],
            _ => {
                let side = (0..self.hosts.len()).map(HostId).filter(|_| rng.chance(1, 2));
                let side = side.fold(Hosts::of(&[]), Hosts::and);
                Rule::partition(&[side])
            }
        };
        let (down, up) = (some_while(rng), some_while(rng));
        let mut at = self.some_time(rng);
        for _ in 0..2 + rng.below(18) {
            if at + down < self.length {
                self.at(at, Step::Rules(rules.clone(), down));
            }
            at += down + up;
        }
    }

    /// Loss, doubles, delays: everywhere and all the time, or on a host's links for a while.
    fn draw_weather(&mut self, rng: &mut Rng) {
        for _ in 0..=rng.below(3) {
            let millis = |rng: &mut Rng, bits| Duration::from_millis(1 + scaled(rng, bits));
            let ratio = Ratio(1 + u32::try_from(rng.below(20)).unwrap_or(0), 100);
            let fault = match rng.below(6) {
                0 | 1 => Fault::Loss(ratio),
                2 => Fault::Duplicate(ratio, millis(rng, 9)),
                3 => Fault::Reorder(ratio, millis(rng, 8)),
                4 => Fault::Late(ratio, millis(rng, 14)),
                _ => Fault::Delay(Duration::ZERO, millis(rng, 8)),
            };
            let (at, length) = match rng.chance(1, 2) {
                true => (Duration::ZERO, self.length),
                false => (self.some_time(rng), some_while(rng)),
            };
            let mut rule = Rule::everywhere(fault);
            if rng.chance(1, 3) {
                rule.from = Hosts::one(self.some_host(rng));
            }
            self.at(at, Step::Rules(vec![rule], length));
        }
    }

    /// Frames of one kind are lost much more often than others, on some links for a while.
    fn draw_picky_loss(&mut self, rng: &mut Rng) {
        for _ in 0..=rng.below(4) {
            let filter = FrameFilter::kind(some_kind(rng));
            let ratio = Ratio(3 + u32::try_from(rng.below(8)).unwrap_or(0), 10);
            let effect = Effect::Frames { filter, ratio, action: FrameAction::Drop };
            let mut rule = Rule::everywhere(effect);
            if rng.chance(1, 2) {
                rule.from = Hosts::one(self.some_host(rng));
            }
            if rng.chance(1, 2) {
                rule.to = Hosts::one(self.some_host(rng));
            }
            let (at, length) = (self.some_time(rng), some_while(rng));
            self.at(at, Step::Rules(vec![rule], length));
        }
    }

    /// Hosts die, stop, or are cut off right after certain frames have been sent.
    fn draw_traps(&mut self, rng: &mut Rng) {
        for _ in 0..=rng.below(5) {
            let host = self.some_host(rng);
            let mut rule = Rule::everywhere(Effect::watch(FrameFilter::kind(some_kind(rng))));
            match rng.below(3) {
                0 => rule.from = Hosts::one(host),
                1 => rule.to = Hosts::one(host),
                _ => {}
            }
            let what = match rng.below(4) {
                0 => Mishap::Kill(host),
                1 => Mishap::Pause(host, some_while(rng)),
                2 => Mishap::Rules(Rule::partition(&[Hosts::one(host)]), some_while(rng)),
                _ => Mishap::Rules(vec![Rule::on(host, self.some_host(rng), Fault::Cut)], some_while(rng)),
            };
            let at = self.some_time(rng);
            let trigger = Trigger::Frames(rule);
            self.at(at, Step::Trap(Trap { trigger, count: 1 + rng.below(6), what }));
            if rng.chance(1, 2) {
                let back = at + some_while(rng);
                self.at(back, Step::Start(host));
                self.at(back, Step::Join(host, 0));
            }
        }
    }
}

impl Plan {
    /// Hosts die, stop, or are cut off right after they have delivered something; and what agrees on an order is lost.
    pub(super) fn draw_ambushes(&mut self, rng: &mut Rng) {
        for _ in 0..1 + rng.below(4) {
            let host = self.some_host(rng);
            let what = match rng.below(6) {
                0 | 1 => Mishap::Kill(host),
                2 => Mishap::Pause(host, some_while(rng)),
                3 => Mishap::Rules(vec![Rule::on(host, self.some_host(rng), Fault::Cut)], some_while(rng)),
                _ => Mishap::Rules(Rule::partition(&[Hosts::one(host)]), some_while(rng)),
            };
            let (trigger, count) = (Trigger::Delivery(host), 1 + rng.below(4));
            let at = self.some_time(rng);
            self.at(at, Step::Trap(Trap { trigger, count, what }));
            if rng.chance(1, 3) {
                let back = at + some_while(rng);
                self.at(back, Step::Start(host));
                self.at(back, Step::Join(host, 0));
            }
            if rng.chance(1, 2) {
                let kind = [Kind::Proposals, Kind::Decisions, Kind::Decided][to_usize(rng.below(3))];
                let ratio = Ratio(3 + u32::try_from(rng.below(8)).unwrap_or(0), 10);
                let filter = FrameFilter::kind(kind);
                let mut rule = Rule::everywhere(Effect::Frames { filter, ratio, action: FrameAction::Drop });
                match rng.below(3) {
                    0 => rule.from = Hosts::one(self.some_host(rng)),
                    1 => rule.to = Hosts::one(self.some_host(rng)),
                    _ => {}
                }
                let length = some_while(rng);
                self.at(at, Step::Rules(vec![rule], length));
            }
        }
    }
}

/// A kind of frame on which much depends.
fn some_kind(rng: &mut Rng) -> Kind {
    const KINDS: [Kind; 12] = [
        Kind::Prepare,
        Kind::Promise,
        Kind::Cut,
        Kind::Ready,
        Kind::Install,
        Kind::Nack,
        Kind::Join,
        Kind::Beacon,
        Kind::Data,
        Kind::Acks,
        Kind::Request,
        Kind::ParcelAck,
    ];
    KINDS[to_usize(rng.below(KINDS.len() as u64)) % KINDS.len()]
}
