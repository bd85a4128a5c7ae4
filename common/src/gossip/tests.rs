//! Nodes on a network that takes a millisecond, loses what it is told to, and knows no addresses but theirs.

use super::*;
use crate::base::limits::MEMBERS_MAX;
use crate::base::list::List;
use crate::wire::tracker::Peer;
use crate::wire::{Header, Unpacker};

struct Net {
    now: Instant,
    nodes: Vec<Option<Gossip>>,
    /// Who does not hear whom.
    cut: BTreeSet<(usize, usize)>,
    sent: usize,
}

fn address(node: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 1_000 + u16::try_from(node).unwrap()))
}

fn incarnation(node: usize) -> Incarnation {
    Incarnation(node as u64 + 1)
}

fn name(node: usize) -> UserName {
    format!("n{node}").parse().unwrap()
}

fn listing(group: &str, order: OrderKind, members: &[usize]) -> Listing {
    let members = members.iter().map(|&n| Peer { incarnation: incarnation(n), name: name(n) });
    let members: List<Peer, MEMBERS_MAX> = members.collect();
    Listing { version: 0, group: group.parse().unwrap(), order, members }
}

impl Net {
    fn of(nodes: usize) -> Net {
        let start = |node: usize| {
            Some(Gossip::new(
                incarnation(node),
                name(node),
                [address(node)].into_iter().collect(),
                node as u64,
            ))
        };
        Net { now: Instant::ZERO, nodes: (0..nodes).map(start).collect(), cut: BTreeSet::new(), sent: 0 }
    }

    /// A chain: each has been named the address of the one before.
    fn chain(nodes: usize) -> Net {
        let mut net = Net::of(nodes);
        for node in 1..nodes {
            net.at(node).add_address(Instant::ZERO, address(node - 1));
        }
        net
    }

    fn at(&mut self, node: usize) -> &mut Gossip {
        self.nodes[node].as_mut().unwrap()
    }

    fn friends(&self, node: usize) -> usize {
        self.nodes[node].as_ref().unwrap().friends().count()
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.turn();
            self.now += Duration::from_millis(1);
        }
    }

    fn turn(&mut self) {
        let now = self.now;
        let mut under_way: Vec<(usize, SocketAddr, Vec<u8>)> = Vec::new();
        for (from, node) in self.nodes.iter_mut().enumerate() {
            let Some(node) = node else { continue };
            node.handle_timeout(now, |_| true);
            while let Some((to, card)) = node.poll_search(now) {
                let mut packer = Packer::new(Header { from: incarnation(from), to: None, hops: 0 });
                assert!(packer.push(&Frame::Card(Box::new(card))));
                under_way.push((from, to, packer.finish()));
            }
            let friends: Vec<_> = node.friends().map(|(other, _)| other).collect();
            for other in friends {
                loop {
                    let mut packer =
                        Packer::new(Header { from: incarnation(from), to: Some(other), hops: 0 });
                    let more = node.write(now, other, &mut packer);
                    if !packer.is_empty() {
                        let to = address(usize::try_from(other.0).unwrap() - 1);
                        under_way.push((from, to, packer.finish()));
                    }
                    if !more {
                        break;
                    }
                }
            }
            assert!(node.poll_timeout().is_none_or(|wakeup| wakeup.at > now), "nothing is left undone");
        }
        self.sent += under_way.len();
        for (from, to, bytes) in under_way {
            let to = (0..self.nodes.len()).find(|&node| address(node) == to);
            let Some(to) = to.filter(|&to| !self.cut.contains(&(from, to))) else { continue };
            let Some(node) = &mut self.nodes[to] else { continue };
            let (_, mut frames) = Unpacker::new(&bytes).unwrap();
            while let Some((_, frame)) = frames.next_frame().unwrap() {
                match frame {
                    Frame::Card(card) => node.handle_card(now, incarnation(from), Some(address(from)), &card),
                    Frame::Listing(listing) => node.handle_listing(incarnation(from), *listing),
                    Frame::Acquaintance(of) => node.handle_acquaintance(now, incarnation(from), &of),
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn through_one_peer_of_a_chain_all_are_found() {
    let mut net = Net::chain(12);
    net.pass(SECOND);
    for node in 0..12 {
        assert_eq!(net.friends(node), 11, "of n{node}");
        assert!(net.at(node).take_news());
    }
}

#[test]
fn a_node_that_crashes_is_soon_known_to_nobody_and_one_that_ends_at_once() {
    let mut net = Net::chain(6);
    net.pass(SECOND);
    net.nodes[3] = None;
    net.pass(FRIEND_FOR + CARD_EVERY + SECOND);
    assert!([0, 1, 2, 4, 5].iter().all(|&node| net.friends(node) == 4), "nobody tells of it any more");
    let now = net.now;
    net.at(5).close(now);
    net.pass(Duration::from_millis(10));
    assert!([0, 1, 2, 4].iter().all(|&node| net.friends(node) == 3));
}

#[test]
fn two_sides_that_were_cut_apart_for_long_find_each_other_again() {
    let mut net = Net::chain(4);
    net.pass(SECOND);
    net.cut = [0, 1].into_iter().flat_map(|a| [2, 3].map(|b| [(a, b), (b, a)])).flatten().collect();
    net.pass(SECOND * 300);
    assert_eq!([0, 1, 2, 3].map(|node| net.friends(node)), [1, 1, 1, 1]);
    net.cut.clear();
    net.pass(SECOND * 3);
    assert_eq!([0, 1, 2, 3].map(|node| net.friends(node)), [3, 3, 3, 3]);
}

#[test]
fn a_restarted_node_is_found_at_its_address_and_its_former_self_forgotten() {
    let mut net = Net::chain(3);
    net.pass(SECOND);
    let me = Incarnation(99);
    net.nodes.push(Some(Gossip::new(me, name(0), [address(3)].into_iter().collect(), 5)));
    net.at(1).handle_card(
        Instant::ZERO + SECOND,
        me,
        Some(address(0)),
        &Card {
            name: name(0),
            addresses: [address(0)].into_iter().collect(),
            version: 1,
            groups: 0,
            has: 0,
            probe: true,
            going: false,
        },
    );
    let found: Vec<Incarnation> = net.at(1).friends().map(|(node, _)| node).collect();
    assert_eq!(found, [incarnation(2), me]);
}

#[test]
fn lists_of_groups_arrive_whole_however_much_is_lost_and_the_newest_counts() {
    let mut net = Net::chain(2);
    net.pass(SECOND);
    let many: Vec<Listing> =
        (0..40).map(|n| listing(&format!("group{n}"), OrderKind::Causal, &[0, 1, 2])).collect();
    let now = net.now;
    net.at(0).set_groups(now, many);
    net.cut.insert((0, 1));
    net.pass(SECOND);
    net.cut.clear();
    net.pass(SECOND * 4);
    let lobby: GroupName = "group7".parse().unwrap();
    assert_eq!(net.at(1).friends().next().unwrap().1.groups().len(), 40);
    assert_eq!(net.at(1).order_of(lobby), Some(OrderKind::Causal));
    let now = net.now;
    net.at(0).set_groups(now, vec![listing("group7", OrderKind::Fifo, &[0])]);
    net.at(0).set_groups(now, Vec::new());
    net.pass(SECOND);
    assert_eq!(net.at(1).order_of(lobby), None);
}

#[test]
fn of_two_groups_of_one_name_the_one_with_the_smaller_identity_has_it() {
    let mut net = Net::chain(3);
    let lobby: GroupName = "lobby".parse().unwrap();
    net.at(0).set_groups(Instant::ZERO, vec![listing("lobby", OrderKind::Causal, &[0])]);
    net.at(1).set_groups(Instant::ZERO, vec![listing("lobby", OrderKind::Fifo, &[1])]);
    net.pass(SECOND);
    assert!(GroupId::of(lobby, OrderKind::Fifo) < GroupId::of(lobby, OrderKind::Causal));
    assert_eq!(net.at(2).order_of(lobby), Some(OrderKind::Fifo));
}

#[test]
fn nodes_that_know_each_other_and_have_nothing_to_tell_hardly_speak() {
    let mut net = Net::chain(10);
    net.pass(SECOND * 2);
    let before = net.sent;
    net.pass(SECOND * 20);
    let each = (net.sent - before) / (10 * 9 * 20);
    assert!(each <= 1, "{each} datagrams a second from each to each");
}

#[test]
fn a_call_leads_to_a_card_and_calls_are_rare() {
    let mut net = Net::of(2);
    net.at(0).start_calling(Instant::ZERO);
    let mut calls = 0;
    for _ in 0..60_000 {
        let now = net.now;
        if let Some(call) = net.at(0).poll_call(now) {
            calls += 1;
            let from = "10.0.0.1:7468".parse().unwrap();
            assert!(net.at(1).handle_call(now, from, &call));
            assert!(!net.at(1).handle_call(now, from, b"dcry\x01nonsense"));
        }
        net.pass(Duration::from_millis(1));
    }
    assert_eq!((net.friends(0), net.friends(1)), (1, 1));
    assert!((5..=12).contains(&calls), "{calls} calls in a minute");
}

#[test]
fn strangers_cannot_make_it_look_for_anybody_nor_friends_for_more_than_a_few() {
    let mut net = Net::of(2);
    let stranger =
        Acquaintance { incarnation: Incarnation(77), addresses: [address(5)].into_iter().collect() };
    net.at(0).handle_acquaintance(Instant::ZERO, Incarnation(50), &stranger);
    assert_eq!(net.at(0).poll_search(Instant::ZERO).map(|search| search.0), None);
    net.at(1).add_address(Instant::ZERO, address(0));
    net.pass(SECOND);
    let now = net.now;
    for n in 0..1_000u64 {
        let addresses = ["0.0.0.0:1", "224.0.0.1:9", "255.255.255.255:9", "10.9.9.9:0", "10.9.9.9:9"]
            .map(|address| address.parse().unwrap());
        let of =
            Acquaintance { incarnation: Incarnation(1_000 + n), addresses: addresses.into_iter().collect() };
        net.at(0).handle_acquaintance(now, incarnation(1), &of);
    }
    let mut searches = Vec::new();
    while let Some((to, _)) = net.at(0).poll_search(now) {
        searches.push(to);
    }
    assert!(searches.len() <= 64 && searches.iter().all(|to| *to == "10.9.9.9:9".parse().unwrap()));
}

#[test]
fn who_was_met_in_a_former_run_is_looked_for_an_hour_at_growing_intervals() {
    let mut net = Net::of(3);
    for nowhere in ["0.0.0.0:1", "224.0.0.1:9", "10.9.9.9:0"] {
        net.at(0).remember_address(Instant::ZERO, nowhere.parse().unwrap());
    }
    assert!(!net.at(0).is_searching());
    let gone = net.nodes[2].take();
    net.at(0).remember_address(Instant::ZERO, address(2));
    net.pass(SECOND * 30);
    assert!((15..=22).contains(&net.sent), "{} cards in half a minute", net.sent);
    net.nodes[2] = gone;
    net.pass(SECOND * 2 + Duration::from_millis(10));
    assert_eq!((net.friends(0), net.friends(2)), (1, 1));
    let later = Instant::ZERO + Duration::from_secs(3_601);
    net.at(1).remember_address(Instant::ZERO, address(0));
    net.at(1).handle_timeout(later, |_| true);
    assert!(!net.at(1).is_searching());
}

#[test]
fn what_a_person_names_makes_room_among_what_is_remembered() {
    let mut net = Net::of(1);
    let there = |n: u16| SocketAddr::from(([10, 9, 9, 9], n));
    (1..=100).for_each(|n| net.at(0).remember_address(Instant::ZERO, there(n)));
    assert!((101..=164).all(|n| net.at(0).add_address(Instant::ZERO, there(n))));
    assert!(!net.at(0).add_address(Instant::ZERO, there(165)));
    assert!(net.at(0).add_address(Instant::ZERO, there(164)), "it is named already");
    let mut searches = BTreeSet::new();
    while let Some((to, _)) = net.at(0).poll_search(Instant::ZERO) {
        searches.insert(to.port());
    }
    assert_eq!(searches, (101..=164).collect());
}
