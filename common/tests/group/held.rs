//! Why a message is not delivered yet, as a node that holds it can say.

use bytes::Bytes;

use crate::net::{Net, ms, texts};

fn together(members: u64) -> Net {
    let mut net = Net::new();
    net.start(1, &[]);
    for n in 2..=members {
        net.start(n, &[1]);
        net.run_until(ms(1000), |net| (1..=n).all(|m| net.members(m).len() == n as usize));
    }
    net
}

fn say(net: &mut Net, n: u64, text: &'static str) -> String {
    let now = net.now;
    let id = net.node(n).send(now, "lobby".parse().unwrap(), Bytes::from_static(text.as_bytes())).unwrap();
    id.to_string()
}

/// What a node holds: the messages, and what each waits for.
fn held(net: &Net, n: u64) -> Vec<(String, String)> {
    let held = net.nodes[&crate::net::address(n)].held("lobby".parse().unwrap());
    held.into_iter().map(|held| (held.id.to_string(), held.waits_for.to_string())).collect()
}

fn until_held(net: &mut Net, n: u64) -> Vec<(String, String)> {
    net.run_until(ms(20), |net| !held(net, n).is_empty());
    held(net, n)
}

/// The first node asks, the second answers; between the first and these others nothing passes. The answer's id.
fn question_and_answer(net: &mut Net, cut_off: &[u64]) -> String {
    net.run_for(ms(200));
    net.dead = cut_off.iter().map(|&n| (1, n)).collect();
    let before = texts(net.events(2)).len();
    say(net, 1, "question");
    net.run_until(ms(20), |net| texts(net.events(2)).len() > before);
    say(net, 2, "answer")
}

#[test]
fn an_answer_waits_for_its_question_which_is_named_by_its_senders_own_count() {
    let mut net = together(3);
    for text in ["one", "two", "three"] {
        say(&mut net, 1, text);
    }
    net.run_until(ms(100), |net| texts(net.events(3)).len() == 3);
    let answer = question_and_answer(&mut net, &[3]);
    assert_eq!(until_held(&mut net, 3), [(answer, "user1-4".to_owned())]);
    assert_eq!(held(&net, 2), []);
    // The answerer has the question, and repairs.
    net.run_until(ms(1000), |net| texts(net.events(3)).len() == 5);
    assert_eq!(held(&net, 3), []);
}

#[test]
fn the_count_is_known_over_views_and_by_what_a_newcomer_is_told() {
    let mut net = together(3);
    say(&mut net, 1, "one");
    net.run_until(ms(100), |net| texts(net.events(3)).len() == 1);
    net.start(4, &[1]);
    net.run_until(ms(1000), |net| (1..=4).all(|n| net.members(n).len() == 4));
    net.run_until(ms(100), |net| texts(net.events(4)).len() == 1);
    let answer = question_and_answer(&mut net, &[3, 4]);
    for n in [3, 4] {
        assert_eq!(until_held(&mut net, n), [(answer.clone(), "user1-2".to_owned())]);
    }
}

#[test]
fn of_one_who_has_said_nothing_the_number_in_the_view_is_told_by_those_who_came_later() {
    let mut net = together(4);
    let answer = question_and_answer(&mut net, &[3, 4]);
    for n in [3, 4] {
        assert_eq!(until_held(&mut net, n), [(answer.clone(), "user1's message 1 in this view".to_owned())]);
    }
    let mut net = together(3);
    net.start(4, &[1]);
    net.run_until(ms(1000), |net| (1..=4).all(|n| net.members(n).len() == 4));
    net.run_for(ms(200));
    net.dead = vec![(4, 1)];
    say(&mut net, 4, "question");
    net.run_until(ms(20), |net| texts(net.events(2)).len() == 1);
    let answer = say(&mut net, 2, "answer");
    assert_eq!(until_held(&mut net, 1), [(answer, "user4-1".to_owned())]);
}

#[test]
fn what_follows_a_lost_message_of_the_same_sender_waits_for_that() {
    let mut net = together(3);
    say(&mut net, 1, "one");
    net.run_for(ms(200));
    net.dead = vec![(1, 3)];
    say(&mut net, 1, "two");
    net.step();
    net.step();
    net.dead.clear();
    let third = say(&mut net, 1, "three");
    assert_eq!(until_held(&mut net, 3), [(third, "user1-2".to_owned())]);
}

#[test]
fn what_comes_while_the_view_changes_waits_for_that() {
    let mut net = together(3);
    net.run_for(ms(200));
    // The second member hears nothing of the change, and goes on.
    net.dead = vec![(1, 2), (2, 4)];
    net.start(4, &[1]);
    net.run_for(ms(50));
    let id = say(&mut net, 2, "hello");
    assert_eq!(until_held(&mut net, 3), [(id, "the change of view".to_owned())]);
}

#[test]
fn what_comes_before_a_newcomer_knows_the_past_waits_for_that() {
    let mut net = together(2);
    say(&mut net, 1, "before");
    net.run_for(ms(200));
    net.start(3, &[1]);
    net.run_until(ms(1000), |net| (1..=3).all(|n| net.members(n).len() == 3));
    let id = say(&mut net, 3, "hello");
    assert_eq!(held(&net, 3), [(id, "what was said before".to_owned())]);
    net.run_until(ms(100), |net| texts(net.events(3)).len() == 2);
    assert_eq!(held(&net, 3), []);
}
