//! What a review broke: each schedule once ended badly.

use bytes::Bytes;
use decury_common::base::id::{GroupId, Incarnation};
use decury_common::endpoint::{Event, JoinGroup};
use decury_common::machine::Machine;
use decury_common::order::OrderKind;

use crate::net::{Net, address, addresses, ms, texts};

#[test]
fn who_left_is_taken_in_again_later() {
    let mut net = Net::new();
    net.start(1, &[]);
    net.start(2, &[1]);
    net.start(3, &[1]);
    net.run_until(ms(1000), |net| (1..=3).all(|n| net.members(n).len() == 3));
    net.run_for(ms(60_000));
    net.leave(3);
    net.run_until(ms(4000), |net| matches!(net.events(3).last(), Some(Event::Left { .. })));
    net.run_for(ms(12_000));
    net.rejoin(3, &[1, 2]);
    net.run_until(ms(30_000), |net| (1..=3).all(|n| net.members(n).len() == 3));
}

/// The same, but the one who stays is alone and idle, the one who left is busy elsewhere.
#[test]
fn who_left_is_taken_in_again_by_one_alone() {
    let mut net = Net::new();
    net.start(1, &[]);
    net.start(2, &[1]);
    net.start(3, &[1]);
    net.run_until(ms(1000), |net| (1..=3).all(|n| net.members(n).len() == 3));
    let now = net.now;
    for (n, contacts) in [(2, vec![]), (3, vec![2])] {
        let join = JoinGroup {
            name: "other".parse().unwrap(),
            id: GroupId(8),
            order: OrderKind::Causal,
            contacts: contacts.iter().map(|&n| (Incarnation(n), addresses(n))).collect(),
        };
        net.node(n).join(now, join).unwrap();
    }
    net.run_for(ms(60_000));
    net.leave(2);
    net.leave(3);
    net.run_for(ms(15_000));
    net.rejoin(3, &[1]);
    net.run_until(ms(30_000), |net| net.members(3).len() == 2);
}

/// A member that joined one side of a partition through that side only.
#[test]
fn two_sides_merge_although_one_member_knows_its_own_side_only() {
    let mut net = Net::new();
    for n in 1..=4 {
        net.start(n, if n == 1 { &[] } else { &[1] });
    }
    net.run_until(ms(1000), |net| (1..=4).all(|n| net.members(n).len() == 4));
    net.dead = vec![(1, 3), (1, 4), (2, 3), (2, 4), (1, 5), (2, 5)];
    net.run_until(ms(5000), |net| net.members(1).len() == 2 && net.members(3).len() == 2);
    net.start(5, &[3]);
    net.run_until(ms(60_000), |net| net.members(5).len() == 3);
    net.dead.clear();
    net.run_until(ms(300_000), |net| (1..=5).all(|n| net.members(n).len() == 5));
}

/// A group through which forty visitors have passed still sees a leave.
#[test]
fn after_many_visitors_a_leave_is_still_clean() {
    let mut net = Net::new();
    net.start(1, &[]);
    net.start(2, &[1]);
    net.run_until(ms(1000), |net| (1..=2).all(|n| net.members(n).len() == 2));
    for n in 3..=60 {
        net.start(n, &[1]);
        net.run_until(ms(3000), |net| net.members(n).len() == 3);
        net.leave(n);
        net.run_until(ms(4000), |net| matches!(net.events(n).last(), Some(Event::Left { .. })));
        assert!(matches!(net.events(n).last(), Some(Event::Left { clean: true, .. })), "visitor {n}");
        net.nodes.remove(&address(n));
        net.run_until(ms(10_000), |net| (1..=2).all(|n| net.members(n).len() == 2));
    }
    net.start(61, &[1]);
    net.run_until(ms(3000), |net| net.members(61).len() == 3);
    net.dead = vec![(1, 61), (2, 61)];
    net.run_until(ms(10_000), |net| net.members(1).len() == 2 && net.members(61).len() == 1);
    net.dead.clear();
    net.run_until(ms(300_000), |net| net.members(61).len() == 3);
}

/// An application that takes no events for a while.
#[test]
fn a_slow_application_in_a_change_does_not_spin() {
    let mut net = Net::new();
    for n in 1..=3 {
        net.start(n, if n == 1 { &[] } else { &[1] });
    }
    net.run_until(ms(1000), |net| (1..=3).all(|n| net.members(n).len() == 3));
    net.lazy = vec![2];
    let lobby = "lobby".parse().unwrap();
    for _ in 0..3000 {
        let now = net.now;
        let _ = net.node(1).send(now, lobby, Bytes::from_static(b"x"));
        net.step();
    }
    net.run_for(ms(500));
    net.nodes.remove(&address(3));
    net.run_for(ms(1700));
    // Tries every moment at which 1 may crash during the change, then lets the application take half of its events.
    for _ in 0..400 {
        net.step();
        let mut branch = net.clone();
        branch.nodes.remove(&address(1));
        branch.run_for(ms(2));
        branch.lazy.clear();
        let (start, steps) = (branch.now, branch.steps);
        while branch.now < start + ms(100) {
            branch.step();
            let wake = branch.node(2).poll_timeout();
            assert!(branch.steps - steps < 5_000, "spins at {}: {wake:?}", branch.now);
        }
    }
}

/// Strangers do not push out those who matter.
#[test]
fn a_flood_of_strangers_does_not_make_a_node_forget_whom_it_looks_for() {
    let mut net = Net::new();
    net.start(1, &[2]);
    net.start(3, &[1]);
    net.run_until(ms(5000), |net| net.members(3).len() == 2);
    for stranger in 1000..1400u64 {
        let mut bytes = vec![1u8];
        bytes.extend(stranger.to_le_bytes());
        bytes.extend(1u64.to_le_bytes());
        let now = net.now;
        net.node(1).handle_datagram(now, address(99), &mut bytes);
    }
    net.start(2, &[]);
    net.run_until(ms(60_000), |net| [1, 2, 3].iter().all(|&n| net.members(n).len() == 3));
}

/// More strangers than a node remembers ask for a group that it is not in, all before it can answer.
#[test]
fn after_a_flood_of_strangers_one_that_asks_in_vain_is_still_told() {
    use decury_common::base::id::MemberId;
    use decury_common::wire::membership::{Join, Member};
    use decury_common::wire::{Frame, Header, Packer, Section, Unpacker};
    let asks = |net: &mut Net, stranger: u64, from: u64| {
        let incarnation = Incarnation(stranger);
        let id = MemberId { incarnation, join: 0 };
        let member = Member { id, name: "stranger".parse().unwrap(), addresses: addresses(from) };
        let mut packer = Packer::new(Header { from: incarnation, to: Some(Incarnation(1)), hops: 0 });
        packer.push_in(Section { group: GroupId(9), view: None }, &Frame::Join(Box::new(Join { member })));
        let now = net.now;
        net.node(1).handle_datagram(now, address(from), &mut packer.finish());
    };
    let mut net = Net::new();
    net.start(1, &[]);
    net.run_until(ms(1000), |net| net.members(1).len() == 1);
    for stranger in (1000..1400).rev() {
        asks(&mut net, stranger, 99);
    }
    net.step();
    net.run_for(ms(1000));
    asks(&mut net, 5000, 98);
    let is_refusal = |bytes: &[u8]| {
        let (_, mut frames) = Unpacker::new(bytes).unwrap();
        std::iter::from_fn(|| frames.next_frame().unwrap())
            .any(|(_, frame)| matches!(frame, Frame::Refuse(_)))
    };
    net.run_until(ms(1000), |net| {
        net.log.iter().any(|(_, _, to, bytes)| *to == address(98) && is_refusal(bytes))
    });
}

/// A leaver cut off from all others says that its last words may be lost.
#[test]
fn who_leaves_cut_off_is_not_told_that_all_is_well() {
    let mut net = Net::new();
    for n in 1..=3 {
        net.start(n, if n == 1 { &[] } else { &[1] });
    }
    net.run_until(ms(1000), |net| (1..=3).all(|n| net.members(n).len() == 3));
    net.dead = vec![(1, 3), (2, 3)];
    net.run_for(ms(500));
    let now = net.now;
    let lobby = "lobby".parse().unwrap();
    net.node(3).send(now, lobby, Bytes::from_static(b"bye")).unwrap();
    net.leave(3);
    net.run_until(ms(4000), |net| matches!(net.events(3).last(), Some(Event::Left { .. })));
    net.dead.clear();
    net.run_for(ms(5000));
    let heard = texts(net.events(1)).contains(&"bye".to_string());
    assert_eq!(net.events(3).last(), Some(&Event::Left { group: lobby, clean: heard }));
}

/// One datagram of a stranger.
#[test]
fn a_beacon_with_the_largest_number_is_harmless() {
    use decury_common::base::id::{MemberId, ViewId};
    use decury_common::wire::{Beacon, Frame, Header, Packer, Section};
    let mut net = Net::new();
    for n in 1..=3 {
        net.start(n, if n == 1 { &[] } else { &[1] });
    }
    net.run_until(ms(1000), |net| (1..=3).all(|n| net.members(n).len() == 3));
    let stranger = Incarnation(99);
    let member = MemberId { incarnation: stranger, join: 0 };
    let view = Some(ViewId { number: u64::MAX, coordinator: member });
    let mut packer = Packer::new(Header { from: stranger, to: Some(Incarnation(1)), hops: 0 });
    let beacon = Beacon { member, rank: 0, members: 1, promised: None, frozen: false, leaving: false };
    packer.push_in(Section { group: GroupId(7), view }, &Frame::Beacon(beacon));
    let now = net.now;
    net.node(1).handle_datagram(now, address(99), &mut packer.finish());
    net.leave(3);
    net.run_until(ms(10_000), |net| (1..=2).all(|n| net.members(n).len() == 2));
}

/// Parcels of nodes that are gone make room for new ones.
#[test]
fn after_many_crashes_somebody_can_still_join() {
    let mut net = Net::new();
    for n in 1..=10 {
        net.start(n, if n == 1 { &[] } else { &[1] });
        net.run_until(ms(3000), |net| net.members(n).len() == n as usize);
    }
    for n in 1..=9 {
        net.nodes.remove(&address(n));
        net.run_until(ms(10_000), |net| net.members(10).len() == 10 - n as usize);
    }
    net.run_for(ms(16_000));
    for n in 11..=70 {
        net.start(n, &[10]);
        let end = net.now + ms(60_000);
        while net.now < end && net.members(n).len() < 2 {
            net.step();
        }
        assert_eq!(net.members(n).len(), 2, "joiner {n}");
        net.nodes.remove(&address(n));
        net.run_until(ms(10_000), |net| net.members(10).len() == 1);
    }
}

/// The network repeats the datagrams of a leader that has left.
#[test]
fn datagrams_repeated_late_change_nothing() {
    let mut net = Net::new();
    for n in 1..=3 {
        net.start(n, if n == 1 { &[] } else { &[1] });
    }
    net.run_until(ms(1000), |net| (1..=3).all(|n| net.members(n).len() == 3));
    net.leave(1);
    net.log.clear();
    net.run_until(ms(1000), |net| net.members(2).len() == 2 && net.members(3).len() == 2);
    let copies: Vec<_> =
        net.log.iter().filter(|(_, from, to, _)| *from == address(1) && *to == address(2)).cloned().collect();
    net.run_for(ms(200));
    let events = net.events(2).len();
    for (_, from, to, bytes) in copies {
        net.wire.push((net.now, from, to, bytes));
    }
    net.run_for(ms(10_000));
    assert_eq!(net.events(2)[events..], [], "{}", net.now);
}

/// Somebody with the leader's name.
#[test]
fn a_joiner_with_the_leaders_name_gets_an_answer() {
    let mut net = Net::new();
    net.start(1, &[]);
    net.start(2, &[1]);
    net.run_until(ms(1000), |net| (1..=2).all(|n| net.members(n).len() == 2));
    net.start_as(3, 1, &[1, 2]);
    net.run_until(ms(60_000), |net| net.members(3).len() >= 2 || !net.events(3).is_empty());
}

/// A stranger's Nack.
#[test]
fn a_strangers_nack_ends_no_attempt() {
    use decury_common::base::id::{MemberId, ViewId};
    use decury_common::wire::membership::Nack;
    use decury_common::wire::{Frame, Header, Packer, Section};
    let mut net = Net::new();
    for n in 1..=3 {
        net.start(n, if n == 1 { &[] } else { &[1] });
    }
    net.run_until(ms(1000), |net| (1..=3).all(|n| net.members(n).len() == 3));
    net.nodes.remove(&address(3));
    let end = net.now + ms(20_000);
    while net.now < end && net.members(1).len() == 3 {
        let me = MemberId { incarnation: Incarnation(1), join: 0 };
        for number in 0..200 {
            let attempt = ViewId { number, coordinator: me };
            let mut packer = Packer::new(Header { from: Incarnation(99), to: Some(Incarnation(1)), hops: 0 });
            let nack = Nack { attempt, promised: attempt };
            packer.push_in(Section { group: GroupId(7), view: None }, &Frame::Nack(nack));
            let now = net.now;
            net.node(1).handle_datagram(now, address(99), &mut packer.finish());
        }
        net.step();
    }
    assert_eq!(net.members(1).len(), 2, "at {}", net.now);
}

/// Whoever knows the ids of a member can ask it for a change of view.
#[test]
fn a_strangers_cut_that_lacks_what_the_view_has_is_harmless() {
    use decury_common::base::id::{MemberId, ViewId};
    use decury_common::order::OrderTable;
    use decury_common::wire::membership::{
        Cut, Holder, Install, Member, Message, Parcel, Prepare, PriorCut, Ready,
    };
    use decury_common::wire::{Frame, Header, Packer, Section};
    let stranger = Incarnation(99);
    let tell = |net: &mut Net, frame: &Frame<'_>| {
        let mut packer = Packer::new(Header { from: stranger, to: Some(Incarnation(2)), hops: 0 });
        packer.push_in(Section { group: GroupId(7), view: None }, frame);
        let now = net.now;
        net.node(2).handle_datagram(now, address(99), &mut packer.finish());
    };
    let post = |net: &mut Net, number: u64, message: &Message| {
        let bytes = &message.encode();
        let parcel = Parcel { kind: message.kind(), number, fragment: 0, fragments: 1, bytes };
        tell(net, &Frame::Parcel(parcel));
    };
    for (order, decided) in [
        (OrderKind::Total, OrderTable::Total(Default::default())),
        (OrderKind::Total, OrderTable::None),
        (OrderKind::Safe, OrderTable::Total(Default::default())),
        (OrderKind::Causal, OrderTable::None),
    ] {
        let mut net = Net::new();
        net.order = order;
        for n in 1..=3 {
            net.start(n, if n == 1 { &[] } else { &[1] });
        }
        net.run_until(ms(1000), |net| (1..=3).all(|n| net.members(n).len() == 3));
        let (now, lobby) = (net.now, "lobby".parse().unwrap());
        net.node(2).send(now, lobby, Bytes::from_static(b"mine")).unwrap();
        let view = net.node(2).view(lobby).unwrap().id;
        let id = |incarnation| MemberId { incarnation, join: 0 };
        let attempt = ViewId { number: view.number + 10, coordinator: id(stranger) };
        let member = |node: u64| Member {
            id: id(Incarnation(node)),
            name: format!("user{node}").parse().unwrap(),
            addresses: addresses(node),
        };
        let participants = [2, 99].map(member).into_iter().collect();
        let members = [2, 99].map(|node| id(Incarnation(node))).into_iter().collect();
        let holders = [Holder { rank: 1, holdings: Default::default() }].into_iter().collect();
        let prior = PriorCut { view, upto: Default::default(), holders, order: decided };
        let priors = [prior].into_iter().collect();
        let (origins, known) = (Default::default(), Default::default());
        post(&mut net, 1, &Message::Prepare(Prepare { attempt, order, participants, members }));
        post(&mut net, 2, &Message::Cut(Cut { attempt, position: 0, priors, origins, known }));
        tell(&mut net, &Frame::Ready(Ready { attempt, missing: 0 }));
        tell(&mut net, &Frame::Install(Install { attempt }));
        net.run_until(ms(10_000), |net| (1..=3).all(|n| net.members(n) == net.members(1)));
        assert_eq!(net.members(2).len(), 3, "{order}");
        net.run_until(ms(10_000), |net| (1..=3).all(|n| texts(net.events(n)) == ["mine"]));
    }
}

/// A datagram that is to be passed on.
fn for_another(from: u64, to: u64) -> Vec<u8> {
    use decury_common::wire::mesh::Ping;
    use decury_common::wire::{Frame, Header, Packer};
    let mut packer = Packer::new(Header { from: Incarnation(from), to: Some(Incarnation(to)), hops: 0 });
    packer.push(&Frame::Ping(Ping { number: 1, way: 1, slow: false }));
    packer.finish()
}

#[test]
fn where_somebody_is_cannot_be_forged_by_a_datagram_for_another() {
    let mut net = Net::new();
    for n in 1..=3 {
        net.start(n, if n == 1 { &[] } else { &[1] });
    }
    net.run_until(ms(1000), |net| (1..=3).all(|n| net.members(n).len() == 3));
    let now = net.now;
    net.node(1).handle_datagram(now, address(99), &mut for_another(2, 3));
    assert_eq!(net.node(1).nodes_at(address(99)).count(), 0);
}

/// A node that is to pass on more than it can send in one go.
#[test]
fn what_others_send_over_a_node_does_not_hold_up_its_own_heartbeats() {
    use decury_common::wire::{Frame, Unpacker};
    let mut net = Net::new();
    for n in 1..=3 {
        net.start(n, if n == 1 { &[] } else { &[1] });
    }
    net.run_until(ms(1000), |net| (1..=3).all(|n| net.members(n).len() == 3));
    let later = net.now + ms(500);
    let node = net.node(1);
    node.handle_timeout(later);
    for _ in 0..100 {
        node.handle_datagram(later, address(2), &mut for_another(2, 3));
    }
    let mut is_heartbeat = || {
        let transmit = node.poll_transmit(later).unwrap();
        let Ok((header, mut frames)) = Unpacker::new(&transmit.bytes) else { return false };
        header.from == Incarnation(1)
            && std::iter::from_fn(|| frames.next_frame().unwrap())
                .any(|(_, frame)| matches!(frame, Frame::Hello(_)))
    };
    assert_eq!((0..8).filter(|_| is_heartbeat()).count(), 2);
}
