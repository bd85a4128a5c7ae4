//! Routes: over whom a node's datagrams go, by who hears whom. Pure.
//!
//! A relay passes on what is for somebody who matters to it, and knows the links of those who matter to it. So a way counts
//! if all further nodes on it matter to each of its relays. Of these ways the shortest wins, and of several the first as
//! seen from the end, in the order of incarnations: nodes that know the same links agree, and each hop is nearer to the
//! end. (Links that may be over count only where there is no other way.) While they know different ones a datagram may go
//! astray; its hops are counted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::links::Sets;
use crate::base::id::Incarnation;
use crate::wire::mesh::Neighbour;

/// Ways from one relay to the end that are followed up: of some, others may know more nodes. Where all matter to each
/// other, the first is as good as any.
const WAYS_MAX: usize = 4;

/// Who hears whom.
pub(super) struct Graph<'a> {
    sets: &'a Sets,
    /// To whom each node matters.
    wanted_by: BTreeMap<Incarnation, BTreeSet<Incarnation>>,
}

impl<'a> Graph<'a> {
    pub(super) fn new(sets: &'a Sets) -> Graph<'a> {
        let mut wanted_by: BTreeMap<Incarnation, BTreeSet<Incarnation>> = BTreeMap::new();
        for (&origin, links) in sets {
            for peer in &links.peers {
                wanted_by.entry(peer.node).or_default().insert(origin);
            }
        }
        Graph { sets, wanted_by }
    }

    /// The first hop on the way between two nodes over some that `may_relay`, if there is a way: the end itself if it
    /// hears `from`.
    pub(super) fn first_hop(
        &self,
        from: Incarnation,
        to: Incarnation,
        may_relay: &dyn Fn(Incarnation) -> bool,
    ) -> Option<Incarnation> {
        let steadily = self.first_hop_by(Neighbour::is_heard_steadily, from, to, may_relay);
        steadily.or_else(|| self.first_hop_by(Neighbour::is_heard, from, to, may_relay))
    }

    /// Goes back from the end; with each way go those who know all its nodes.
    fn first_hop_by(
        &self,
        counts: fn(&Neighbour) -> bool,
        from: Incarnation,
        to: Incarnation,
        may_relay: &dyn Fn(Incarnation) -> bool,
    ) -> Option<Incarnation> {
        let mut ways: BTreeMap<Incarnation, Vec<BTreeSet<Incarnation>>> = BTreeMap::new();
        let mut reached = VecDeque::from([(to, self.wanted_by.get(&to)?.clone())]);
        while let Some((node, knowers)) = reached.pop_front() {
            let peers = self.sets.get(&node).into_iter().flat_map(|links| &links.peers);
            for before in peers.filter(|peer| counts(peer)).map(|peer| peer.node) {
                if before == from {
                    return Some(node);
                }
                let Some(wanted_by) = self.wanted_by.get(&before) else { continue };
                if !knowers.contains(&before) || !may_relay(before) {
                    continue;
                }
                let further: BTreeSet<Incarnation> = knowers.intersection(wanted_by).copied().collect();
                let known = ways.entry(before).or_default();
                if known.len() < WAYS_MAX && !known.iter().any(|known| known.is_superset(&further)) {
                    known.push(further.clone());
                    reached.push_back((before, further));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mesh::Links;

    /// One case a line: links (`1>2`: what 1 sends, 2 hears; `1~2`: perhaps no more; `3!4`: 4 does not matter to 3, while all others matter to
    /// each other), from where, and what comes of it (`4:2`: to 4 over 2).
    const CASES: &str = "
        1>2 2>1                 | 1 | 2:2
        1>2 2>1                 | 2 | 1:1
        2>1                     | 1 |
        1>2 2>3 3>4             | 1 | 2:2 3:2 4:2
        1>2 2>3 3>4             | 3 | 4:4
        1>2 2>3 3>1             | 1 | 2:2 3:2
        1>2 2>3 3>1             | 2 | 1:3 3:3
        1>2 1>3 2>4 3>4         | 1 | 2:2 3:3 4:2
        1>2 1>3 2>4 3>4 2!4     | 1 | 2:2 3:3 4:3
        1>2 2>3 2!3             | 1 | 2:2
        1>2 2>3 2>4 3>4 2!4     | 1 | 2:2 3:2
        1>5 1>2 5>3 2>3 3>4 4>6 5!4     | 1 | 2:2 3:2 4:2 5:5 6:2
        1>5 5>3 3>4 4>6 5!4     | 1 | 3:5 5:5
        1>2 2>3 2>4 3>5 4>5 1!3 2!3     | 1 | 2:2 4:2 5:2
        1>2 2>3 1~3             | 1 | 2:2 3:2
        1>2 2~3                 | 1 | 2:2 3:2
        1~2                     | 1 | 2:2
        1>3 1>2 3>4 2>5 5>4     | 1 | 2:2 3:3 4:3 5:2
        1>2 2>1 3>4 4>3         | 1 | 2:2
        1>1 1>2 2>2             | 1 | 2:2
        1>9 9>2                 | 1 | 2:9 9:9
        2>3                     | 1 |
    ";

    fn sets(links: &str) -> Sets {
        let pairs = |sign| {
            let pair = move |word: &str| word.split_once(sign).map(|(a, b)| (number(a), number(b)));
            links.split_whitespace().filter_map(pair).collect::<Vec<_>>()
        };
        let (heard, slow, ignored) = (pairs('>'), pairs('~'), pairs('!'));
        let nodes: std::collections::BTreeSet<_> =
            heard.iter().chain(&slow).flat_map(|&(a, b)| [a, b]).collect();
        let set = |&origin: &Incarnation| {
            let way = |node| match (node, origin) {
                link if heard.contains(&link) => 0,
                link if slow.contains(&link) => Neighbour::SLOW,
                _ => Neighbour::UNHEARD,
            };
            let peers = nodes.iter().filter(|&&node| !ignored.contains(&(origin, node)));
            let peers = peers.map(|&node| Neighbour { node, way: way(node) }).collect();
            (origin, Links { origin, number: 0, peers })
        };
        nodes.iter().map(set).collect()
    }

    fn number(text: &str) -> Incarnation {
        Incarnation(text.trim().parse().unwrap())
    }

    #[test]
    fn the_shortest_way_over_the_lowest_numbers_is_taken() {
        for case in CASES.lines().map(str::trim).filter(|case| !case.is_empty()) {
            let [links, from, expected] = case.split('|').collect::<Vec<_>>()[..] else { panic!("{case}") };
            let (sets, from) = (sets(links), number(from));
            let graph = Graph::new(&sets);
            let others = sets.keys().filter(|&&to| to != from);
            let hops = others
                .filter_map(|to| Some(format!("{}:{}", to.0, graph.first_hop(from, *to, &|_| true)?.0)));
            assert_eq!(hops.collect::<Vec<_>>().join(" "), expected.trim(), "{case}");
        }
    }

    /// What every node along the way decides for itself leads to the end.
    #[test]
    fn hop_by_hop_a_datagram_comes_nearer() {
        let ring: String = (0..10).map(|n| format!("{}>{} ", n + 1, (n + 1) % 10 + 1)).collect();
        for links in [ring.as_str(), "1>2 2>1 2>3 3>2 3>4 4>3", "1>2 1>3 2>4 3>4 4>5 5>1 4>6 6>2"] {
            let sets = sets(links);
            let graph = Graph::new(&sets);
            for (&from, &to) in sets.keys().flat_map(|from| sets.keys().map(move |to| (from, to))) {
                let mut at = from;
                let mut hops = 0;
                while at != to {
                    at = graph.first_hop(at, to, &|_| true).unwrap();
                    hops += 1;
                }
                assert!(hops < sets.len(), "{links}: {hops} hops from {from} to {to}");
            }
        }
    }
}
