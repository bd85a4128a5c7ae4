//! The switch without its devices: frames in, frames out when their time has come; lines in, answers out.
//!
//! It learns which port a sender is behind and sends to all ports what it does not know, as any switch does. A link is
//! the way from one port to another; each has its faults, which are those of a node's lab.

use std::collections::BTreeMap;

use decury_common::base::rng::Rng;
use decury_common::base::time::Instant;
use decury_common::fault::Fate;
use decury_node::session::Spec;

/// Frames under way; what comes beyond is lost, as in a switch whose buffers are full.
const FRAMES_MAX: usize = 1 << 16;
/// Hardware addresses that are remembered.
const ADDRESSES_MAX: usize = 1 << 10;

/// What can be typed.
pub(crate) const HELP: &str = "cut A B | cut A->B | cut A (all its links); fault A B SPEC | fault A->B SPEC | \
     fault A SPEC | fault all SPEC, a SPEC as in delay=50ms,jitter=10ms,loss=0.1,dup=0.02; heal A B | heal A->B | heal A | heal; show";

type Address = [u8; 6];
/// The way from the first port to the second.
type Link = (usize, usize);

/// The switch.
pub(crate) struct Fabric {
    ports: Vec<String>,
    rng: Rng,
    learnt: BTreeMap<Address, usize>,
    faults: BTreeMap<Link, Spec>,
    /// By time of arrival, then by number.
    under_way: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    number: u64,
}

impl Fabric {
    /// A switch with these ports, all links whole.
    pub(crate) fn new(ports: Vec<String>, seed: u64) -> Fabric {
        let (learnt, faults, under_way) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Fabric { ports, rng: Rng::from_seed(seed), learnt, faults, under_way, number: 0 }
    }

    /// A frame has come from this port.
    pub(crate) fn handle_frame(&mut self, now: Instant, from: usize, frame: &[u8]) {
        let Some((to, sender)) = addresses(frame) else { return };
        if self.learnt.len() < ADDRESSES_MAX || self.learnt.contains_key(&sender) {
            self.learnt.insert(sender, from);
        }
        match self.learnt.get(&to) {
            Some(&port) => self.send(now, (from, port), frame),
            None => (0..self.ports.len()).for_each(|port| self.send(now, (from, port), frame)),
        }
    }

    fn send(&mut self, now: Instant, link: Link, frame: &[u8]) {
        if link.0 == link.1 {
            return;
        }
        let mut fate = Fate::default();
        let spec = self.faults.get(&link);
        for fault in spec.into_iter().flat_map(|spec| spec.faults().chain(spec.duplication())) {
            fault.apply(frame.len(), &mut self.rng, &mut fate);
        }
        for after in fate.arrivals() {
            if self.under_way.len() < FRAMES_MAX {
                self.number += 1;
                self.under_way.insert((now + after, self.number), (link.1, frame.to_vec()));
            }
        }
    }

    /// The next frame whose time has come, and its port.
    pub(crate) fn poll_frame(&mut self, now: Instant) -> Option<(usize, Vec<u8>)> {
        let next = self.under_way.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(next.remove())
    }

    /// When the next frame's time comes.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.under_way.first_key_value().map(|((at, _), _)| *at)
    }

    /// Obeys a line. The error is a sentence.
    pub(crate) fn obey(&mut self, line: &str) -> Result<String, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["cut", links @ ..] => self.set(links, "cut"),
            ["fault", links @ .., spec] => self.set(links, spec),
            ["heal"] => {
                self.faults.clear();
                Ok("ok".to_owned())
            }
            ["heal", links @ ..] => {
                let links = self.links(links)?;
                self.faults.retain(|link, _| !links.contains(link));
                Ok("ok".to_owned())
            }
            ["show"] => Ok(self.show()),
            _ => Err(format!("expected {HELP}")),
        }
    }

    fn set(&mut self, links: &[&str], spec: &str) -> Result<String, String> {
        let spec: Spec = spec.parse().map_err(|error| format!("{error}"))?;
        if spec.from().is_some() {
            return Err("the link says from whom: a fault here has no from=".to_owned());
        }
        self.faults.extend(self.links(links)?.into_iter().map(|link| (link, spec)));
        Ok("ok".to_owned())
    }

    /// The links that are meant: `A->B`, `A B` (both ways), `A` (all of its own, both ways) or `all`.
    fn links(&self, words: &[&str]) -> Result<Vec<Link>, String> {
        let all = || (0..self.ports.len()).flat_map(|from| (0..self.ports.len()).map(move |to| (from, to)));
        let links: Vec<Link> = match words {
            ["all"] => all().collect(),
            [way] if way.contains("->") => {
                let (from, to) = way.split_once("->").unwrap_or_default();
                vec![(self.port(from)?, self.port(to)?)]
            }
            [port] => {
                let port = self.port(port)?;
                all().filter(|&(from, to)| from == port || to == port).collect()
            }
            [a, b] => {
                let (a, b) = (self.port(a)?, self.port(b)?);
                vec![(a, b), (b, a)]
            }
            _ => return Err(format!("expected {HELP}")),
        };
        Ok(links.into_iter().filter(|(from, to)| from != to).collect())
    }

    fn port(&self, name: &str) -> Result<usize, String> {
        let port = self.ports.iter().position(|port| port == name);
        port.ok_or_else(|| format!("there is no host {name:?}: {} are here", self.ports.join(", ")))
    }

    fn show(&self) -> String {
        let link =
            |(&(from, to), spec): (&Link, &Spec)| format!("{}->{} {spec}", self.ports[from], self.ports[to]);
        let links: Vec<String> = self.faults.iter().map(link).collect();
        if links.is_empty() { "all links are whole".to_owned() } else { links.join("; ") }
    }
}

/// Whom a frame is for, and whom it is from.
fn addresses(frame: &[u8]) -> Option<(Address, Address)> {
    let (to, rest) = frame.split_first_chunk()?;
    Some((*to, *rest.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const EVERYBODY: u8 = 0xff;

    fn fabric() -> Fabric {
        Fabric::new(["ann", "bob", "cid"].map(str::to_owned).to_vec(), 1)
    }

    fn frame(to: u8, from: u8) -> Vec<u8> {
        [[to; 6], [from; 6]].concat()
    }

    /// Where the frames go that come out by then.
    fn ports(fabric: &mut Fabric, now: Instant) -> Vec<usize> {
        std::iter::from_fn(|| fabric.poll_frame(now)).map(|(port, _)| port).collect()
    }

    /// Where a frame to everybody from each port goes.
    fn reached(fabric: &mut Fabric) -> Vec<Vec<usize>> {
        let from = |port: u8| {
            fabric.handle_frame(Instant::ZERO, port.into(), &frame(EVERYBODY, port));
            ports(fabric, Instant::ZERO)
        };
        (0..3).map(from).collect()
    }

    #[test]
    fn what_is_known_goes_to_its_port_and_the_rest_to_all() {
        let mut fabric = fabric();
        fabric.handle_frame(Instant::ZERO, 0, &frame(1, 0));
        assert_eq!(ports(&mut fabric, Instant::ZERO), [1, 2]);
        fabric.handle_frame(Instant::ZERO, 1, &frame(0, 1));
        assert_eq!(ports(&mut fabric, Instant::ZERO), [0]);
        fabric.handle_frame(Instant::ZERO, 0, &frame(1, 0));
        assert_eq!(ports(&mut fabric, Instant::ZERO), [1]);
        fabric.handle_frame(Instant::ZERO, 0, b"too short");
        assert_eq!(fabric.poll_timeout(), None);
    }

    #[test]
    fn links_are_cut_both_ways_one_way_or_all_of_a_host_and_heal() {
        let mut fabric = fabric();
        assert_eq!(reached(&mut fabric), [[1, 2], [0, 2], [0, 1]]);
        assert_eq!(fabric.obey("cut ann bob").unwrap(), "ok");
        assert_eq!(reached(&mut fabric), [vec![2], vec![2], vec![0, 1]]);
        fabric.obey("heal bob->ann").unwrap();
        assert_eq!(reached(&mut fabric), [vec![2], vec![0, 2], vec![0, 1]]);
        assert_eq!(fabric.obey("show").unwrap(), "ann->bob cut");
        fabric.obey("heal").unwrap();
        fabric.obey("cut cid").unwrap();
        assert_eq!(reached(&mut fabric), [vec![1], vec![0], vec![]]);
        fabric.obey("heal cid").unwrap();
        assert_eq!(fabric.obey("show").unwrap(), "all links are whole");
    }

    #[test]
    fn faults_delay_double_and_lose_frames_of_their_links_alone() {
        let mut fabric = fabric();
        fabric.obey("fault ann->bob delay=50ms,dup=1").unwrap();
        fabric.obey("fault ann cid loss=1").unwrap();
        fabric.handle_frame(Instant::ZERO, 0, &frame(EVERYBODY, 0));
        assert!(ports(&mut fabric, Instant::ZERO + 49 * MS).is_empty());
        assert_eq!(fabric.poll_timeout(), Some(Instant::ZERO + 50 * MS));
        assert_eq!(ports(&mut fabric, Instant::ZERO + 60 * MS), [1, 1]);
    }

    #[test]
    fn a_wrong_line_is_answered_by_what_was_expected_and_changes_nothing() {
        let mut fabric = fabric();
        for (line, why) in [
            ("", "expected cut A B"),
            ("cut", "expected cut A B"),
            ("cut ann bob cid", "expected cut A B"),
            ("cut eve", "there is no host \"eve\": ann, bob, cid are here"),
            ("fault ann bob loss=2", "a fraction from 0 to 1"),
            ("fault ann bob from=cid,cut", "has no from="),
            ("heal ann->", "there is no host \"\""),
        ] {
            let answer = fabric.obey(line).unwrap_err();
            assert!(answer.contains(why), "{line:?}: {answer}");
        }
        assert_eq!(fabric.obey("show").unwrap(), "all links are whole");
    }
}
