//! What newcomers are told of what was said before they came.

use bytes::Bytes;
use decury_common::base::limits::{HISTORY_MAX, MESSAGE_MAX};
use decury_common::endpoint::Event;

use crate::net::{Net, address, ms, texts};

/// A group of these nodes in which the first has said the numbers from 1 to `said`.
fn group(members: u64, said: usize) -> Net {
    let mut net = Net::new();
    net.start(1, &[]);
    for n in 2..=members {
        net.start(n, &[1]);
    }
    net.run_until(ms(2000), |net| (1..=members).all(|n| net.members(n).len() == members as usize));
    for n in 1..=said {
        say(&mut net, 1, &n.to_string());
        if n % 50 == 0 {
            net.run_for(ms(20));
        }
    }
    net.run_until(ms(2000), |net| (1..=members).all(|n| texts(net.events(n)).len() == said));
    net
}

fn say(net: &mut Net, n: u64, text: &str) {
    let now = net.now;
    net.node(n).send(now, "lobby".parse().unwrap(), Bytes::from(text.to_owned())).unwrap();
}

fn caught_up(net: &Net, n: u64) -> Vec<String> {
    let past = net.events(n).iter().filter(|event| matches!(event, Event::Message { caught_up: true, .. }));
    texts(&past.cloned().collect::<Vec<_>>())
}

fn numbers(first: usize, last: usize) -> Vec<String> {
    (first..=last).map(|n| n.to_string()).collect()
}

#[test]
fn a_newcomer_is_told_the_last_hundred_right_after_its_first_view() {
    let mut net = group(2, 150);
    net.start(3, &[1]);
    net.run_until(ms(1000), |net| net.members(3).len() == 3);
    say(&mut net, 2, "live");
    net.run_until(ms(1000), |net| texts(net.events(3)).len() == HISTORY_MAX + 1);
    assert!(matches!(net.events(3)[0], Event::Joined { .. }));
    assert_eq!(caught_up(&net, 3), numbers(51, 150));
    assert_eq!(texts(net.events(3))[HISTORY_MAX], "live");
    let Event::Message { clock, position: None, .. } = &net.events(3)[1] else { panic!() };
    assert_eq!(
        clock.iter().next().map(|(_, count)| count),
        Some(51),
        "it says what its sender had delivered"
    );
}

#[test]
fn a_group_in_which_nothing_was_said_has_no_past() {
    let mut net = group(3, 0);
    net.start(4, &[1]);
    net.run_until(ms(1000), |net| net.members(4).len() == 4);
    say(&mut net, 4, "first");
    net.run_until(ms(1000), |net| texts(net.events(4)) == ["first"]);
    assert_eq!(caught_up(&net, 4), Vec::<String>::new());
}

#[test]
fn what_is_said_during_the_join_comes_once() {
    let mut net = group(3, 20);
    net.start(4, &[1]);
    for n in 21..=80 {
        say(&mut net, 1, &n.to_string());
        net.run_for(ms(1));
    }
    net.run_until(ms(2000), |net| texts(net.events(4)).len() == 80);
    assert_eq!(texts(net.events(4)), numbers(1, 80));
    assert!(caught_up(&net, 4).len() >= 20);
}

#[test]
fn a_hundred_messages_of_the_largest_size_are_told() {
    let mut net = group(2, 0);
    for n in 0..HISTORY_MAX {
        let text = format!("{n:05}{}", "x".repeat(MESSAGE_MAX - 5));
        say(&mut net, 1, &text);
        net.run_for(ms(100));
    }
    net.run_until(ms(20_000), |net| texts(net.events(2)).len() == HISTORY_MAX);
    net.start(3, &[2]);
    net.run_until(ms(20_000), |net| texts(net.events(3)).len() == HISTORY_MAX);
    assert_eq!(texts(net.events(3)), texts(net.events(2)));
}

#[test]
fn another_tells_when_the_one_asked_dies() {
    let mut net = group(3, 30);
    net.start(4, &[1]);
    net.dead = vec![(1, 4), (2, 4)];
    net.run_for(ms(1));
    net.dead.clear();
    net.run_until(ms(5000), |net| net.members(4).len() == 4);
    net.nodes.remove(&address(1));
    net.run_until(ms(8000), |net| net.members(4) == [2, 3, 4]);
    net.run_until(ms(1000), |net| caught_up(net, 4).len() == 30);
    assert_eq!(texts(net.events(4)), numbers(1, 30));
}

#[test]
fn one_who_comes_while_another_is_still_being_told_is_told_as_well() {
    let mut net = group(2, 30);
    net.start(3, &[1]);
    net.start(4, &[2]);
    net.run_until(ms(2000), |net| (3..=4).all(|n| caught_up(net, n).len() == 30));
    net.nodes.remove(&address(1));
    net.nodes.remove(&address(2));
    net.run_until(ms(8000), |net| net.members(3) == [3, 4]);
    net.start(5, &[3]);
    net.run_until(ms(2000), |net| caught_up(net, 5).len() == 30);
    assert_eq!(caught_up(&net, 5), numbers(1, 30), "what one was told it can tell");
}

#[test]
fn when_nobody_is_left_who_knows_the_gap_is_told_and_talk_goes_on() {
    let mut net = group(2, 30);
    net.start(3, &[1]);
    net.run_until(ms(1000), |net| net.members(3).len() == 3);
    net.nodes.remove(&address(1));
    net.nodes.remove(&address(2));
    let gap = |event: &Event| matches!(event, Event::HistoryGap { .. });
    assert_eq!(caught_up(&net, 3), Vec::<String>::new(), "it has not even asked");
    net.run_until(ms(8000), |net| net.events(3).iter().any(gap));
    net.run_until(ms(8000), |net| net.members(3) == [3]);
    say(&mut net, 3, "alone");
    net.run_until(ms(1000), |net| texts(net.events(3)).last().is_some_and(|text| text == "alone"));
}

#[test]
fn who_comes_back_is_told_what_it_missed_only() {
    let mut net = group(3, 10);
    net.leave(3);
    net.run_until(ms(2000), |net| matches!(net.events(3).last(), Some(Event::Left { clean: true, .. })));
    for n in 11..=15 {
        say(&mut net, 1, &n.to_string());
    }
    net.run_for(ms(50));
    net.rejoin(3, &[1]);
    net.run_until(ms(2000), |net| texts(net.events(3)).len() == 15);
    assert_eq!(texts(net.events(3)), numbers(1, 15));
    assert_eq!(caught_up(&net, 3), numbers(11, 15));
}
