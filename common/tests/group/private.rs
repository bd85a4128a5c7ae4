//! Private messages: first in, first out, once, between nodes that are up.

use bytes::Bytes;
use decury_common::base::id::{Incarnation, UserName};
use decury_common::base::limits::{CONVERSATIONS_MAX, MESSAGE_MAX};
use decury_common::endpoint::{Correspondent, Event, SendError};

use crate::net::{Net, addresses, ms};

/// Two nodes that are in no group with each other, and do not know of each other.
fn strangers() -> Net {
    let mut net = Net::new();
    net.start(1, &[]);
    net.start(2, &[]);
    net.run_until(ms(1000), |net| (1..=2).all(|n| net.members(n).len() == 1));
    net
}

fn node(n: u64) -> Correspondent {
    Correspondent {
        name: format!("user{n}").parse().unwrap(),
        incarnation: Incarnation(n),
        addresses: addresses(n),
    }
}

fn send(net: &mut Net, from: u64, to: u64, text: &str) -> Result<(), SendError> {
    let now = net.now;
    net.node(from).send_private(now, &node(to), Bytes::from(text.to_owned())).map(|_| ())
}

fn heard(net: &Net, n: u64) -> Vec<String> {
    let text = |event: &Event| match event {
        Event::Private { payload, .. } => Some(String::from_utf8(payload.to_vec()).unwrap()),
        _ => None,
    };
    net.events(n).iter().filter_map(text).collect()
}

fn confirmed(net: &Net, n: u64) -> usize {
    net.events(n).iter().filter(|event| matches!(event, Event::Confirmed { .. })).count()
}

fn unconfirmed(net: &Net, n: u64) -> usize {
    let lost = |event: &Event| match event {
        Event::Unconfirmed { ids, .. } => ids.len(),
        _ => 0,
    };
    net.events(n).iter().map(lost).sum()
}

fn numbers(first: usize, last: usize) -> Vec<String> {
    (first..=last).map(|n| n.to_string()).collect()
}

#[test]
fn two_strangers_talk_both_ways_in_order_and_once() {
    let mut net = strangers();
    for n in 1..=200 {
        send(&mut net, 1, 2, &n.to_string()).unwrap();
        send(&mut net, 2, 1, &n.to_string()).unwrap();
    }
    net.run_until(ms(1000), |net| (1..=2).all(|n| confirmed(net, n) == 200));
    assert_eq!(heard(&net, 1), numbers(1, 200));
    assert_eq!(heard(&net, 2), numbers(1, 200));
    assert!(!net.node(1).has_unconfirmed());
    assert_eq!(net.node(1).find("user2".parse().unwrap()), Some(node(2)));
    assert_eq!(net.members(1), [1], "to talk in private is not to meet in a group");
}

#[test]
fn the_largest_message_arrives_and_more_than_the_window_is_refused_for_the_moment() {
    let mut net = strangers();
    let largest = "x".repeat(MESSAGE_MAX);
    let mut taken = 0;
    while send(&mut net, 1, 2, &largest).is_ok() {
        taken += 1;
    }
    assert_eq!(send(&mut net, 1, 2, &largest), Err(SendError::Busy));
    assert!(taken > 1);
    let writable = |event: &Event| matches!(event, Event::PrivateWritable { .. });
    net.run_until(ms(5000), |net| net.events(1).iter().any(writable));
    send(&mut net, 1, 2, "more").unwrap();
    net.run_until(ms(5000), |net| heard(net, 2).len() == taken + 1);
    assert!(heard(&net, 2)[..taken].iter().all(|text| *text == largest));
    assert_eq!(send(&mut net, 1, 1, "myself"), Err(SendError::NotAMember));
    assert_eq!(send(&mut net, 1, 2, ""), Err(SendError::Size));
}

#[test]
fn a_short_cut_delays_and_loses_nothing() {
    let mut net = strangers();
    send(&mut net, 1, 2, "1").unwrap();
    net.run_until(ms(1000), |net| confirmed(net, 1) == 1);
    net.dead = vec![(1, 2)];
    for n in 2..=20 {
        send(&mut net, 1, 2, &n.to_string()).unwrap();
    }
    net.run_for(ms(6000));
    assert_eq!((confirmed(&net, 1), unconfirmed(&net, 1)), (1, 0));
    assert_eq!(net.node(1).find("user2".parse().unwrap()), None, "it is out of reach");
    net.dead.clear();
    net.run_until(ms(5000), |net| confirmed(net, 1) == 20);
    assert_eq!(heard(&net, 2), numbers(1, 20));
}

#[test]
fn what_a_long_cut_left_unconfirmed_is_told_and_never_arrives_late() {
    let mut net = strangers();
    send(&mut net, 1, 2, "1").unwrap();
    net.run_until(ms(1000), |net| confirmed(net, 1) == 1);
    net.dead = vec![(1, 2)];
    send(&mut net, 1, 2, "2").unwrap();
    send(&mut net, 1, 2, "3").unwrap();
    net.run_until(ms(15_000), |net| unconfirmed(net, 1) == 2);
    net.dead.clear();
    net.run_for(ms(3000));
    send(&mut net, 1, 2, "4").unwrap();
    net.run_until(ms(5000), |net| confirmed(net, 1) == 2);
    assert_eq!(heard(&net, 2), ["1", "4"]);
}

#[test]
fn a_node_that_ends_says_so_and_its_successor_is_somebody_else() {
    let mut net = strangers();
    send(&mut net, 1, 2, "1").unwrap();
    net.run_until(ms(1000), |net| confirmed(net, 1) == 1);
    net.node(2).close_conversations();
    net.run_for(ms(5));
    net.nodes.remove(&crate::net::address(2));
    assert_eq!(net.node(1).find("user2".parse().unwrap()), None, "it has said that it ends");
    send(&mut net, 1, 2, "2").unwrap();
    net.run_until(ms(15_000), |net| unconfirmed(net, 1) == 1);
}

#[test]
fn a_conversation_that_is_over_leaves_nothing_behind() {
    let mut net = strangers();
    send(&mut net, 1, 2, "1").unwrap();
    net.run_until(ms(1000), |net| confirmed(net, 1) == 1);
    net.run_for(ms(45_000));
    assert!(net.node(1).find("user2".parse().unwrap()).is_some(), "they have met, and are still there");
    send(&mut net, 1, 2, "2").unwrap();
    net.run_until(ms(1000), |net| confirmed(net, 1) == 2);
    assert_eq!(heard(&net, 2), ["1", "2"]);
}

#[test]
fn a_listener_that_does_not_listen_slows_the_speaker_and_loses_nothing() {
    let mut net = strangers();
    net.lazy = vec![2];
    let mut said = 0;
    for _ in 0..400 {
        while send(&mut net, 1, 2, &(said + 1).to_string()).is_ok() {
            said += 1;
        }
        net.run_for(ms(5));
    }
    assert!(said < 10_000, "{said} messages were taken for one who does not listen");
    net.lazy.clear();
    net.run_until(ms(20_000), |net| heard(net, 2).len() == said);
    assert_eq!(heard(&net, 2), numbers(1, said));
}

#[test]
fn what_the_other_has_not_accepted_is_not_confirmed() {
    let mut net = strangers();
    net.accepts_private = false;
    for n in 1..=3 {
        send(&mut net, 1, 2, &n.to_string()).unwrap();
    }
    net.run_until(ms(1000), |net| heard(net, 2).len() == 3);
    net.run_for(ms(1000));
    assert_eq!(confirmed(&net, 1), 0);
    let ids: Vec<_> = net
        .events(2)
        .iter()
        .filter_map(|event| match event {
            Event::Private { id, .. } => Some(*id),
            _ => None,
        })
        .collect();
    let now = net.now;
    net.node(2).accept_private(now, ids[1]);
    net.run_until(ms(100), |net| confirmed(net, 1) == 2);
    net.run_for(ms(1000));
    assert_eq!(confirmed(&net, 1), 2);
}

/// A cut made the speaker give up what had come already; what it says next comes after that.
#[test]
fn what_a_former_conversation_has_left_comes_before_anything_of_the_next() {
    let mut net = strangers();
    net.lazy = vec![2];
    send(&mut net, 1, 2, "1").unwrap();
    send(&mut net, 1, 2, "2").unwrap();
    net.step();
    net.run_for(ms(1000));
    net.dead = vec![(1, 2)];
    net.run_until(ms(15_000), |net| unconfirmed(net, 1) == 2);
    net.dead.clear();
    net.run_for(ms(3000));
    send(&mut net, 1, 2, "3").unwrap();
    net.run_for(ms(1000));
    net.lazy.clear();
    net.run_until(ms(5000), |net| heard(net, 2).len() == 3);
    assert_eq!(heard(&net, 2), ["1", "2", "3"]);
}

fn writable(net: &Net, n: u64) -> Vec<UserName> {
    let room = |event: &Event| match event {
        Event::PrivateWritable { to } => Some(*to),
        _ => None,
    };
    net.events(n).iter().filter_map(room).collect()
}

#[test]
fn of_too_many_conversations_one_that_has_said_all_makes_room_and_else_room_is_told() {
    let mut net = strangers();
    let others = 10..10 + CONVERSATIONS_MAX as u64;
    for n in others.clone() {
        net.start(n, &[]);
        send(&mut net, 1, n, "1").unwrap();
    }
    assert_eq!(send(&mut net, 1, 2, "1"), Err(SendError::Busy), "none of them is confirmed");
    assert_eq!(writable(&net, 1), []);
    net.run_until(ms(2000), |net| confirmed(net, 1) == CONVERSATIONS_MAX && !writable(net, 1).is_empty());
    assert_eq!(writable(&net, 1), ["user2".parse().unwrap()]);
    send(&mut net, 1, 2, "1").unwrap();
    net.run_until(ms(2000), |net| heard(net, 2) == ["1"]);
    // The one that made room begins anew, at the cost of another.
    for n in others.clone() {
        send(&mut net, 1, n, "2").unwrap();
        net.run_until(ms(2000), |net| heard(net, n) == ["1", "2"]);
    }
    assert_eq!(unconfirmed(&net, 1), 0);
}

#[test]
fn a_node_that_has_ended_its_conversations_begins_and_takes_up_none() {
    let mut net = strangers();
    net.node(2).close_conversations();
    assert_eq!(send(&mut net, 2, 1, "1"), Err(SendError::NotAMember));
    send(&mut net, 1, 2, "1").unwrap();
    net.run_until(ms(1000), |net| unconfirmed(net, 1) == 1);
    assert_eq!((heard(&net, 2), confirmed(&net, 1)), (vec![], 0));
}
