use super::*;
use crate::base::rng::Rng;
use crate::wire::multicast::Head;

fn message(sender: Rank, index: u64, deps: &[(u8, u64)]) -> Arrived {
    let head = Head { count: 100 + index, deps: deps.iter().copied().collect(), proposal: 0, sent_at: None };
    Arrived { sender, index, head, payload: Bytes::from(format!("{sender}.{index}")) }
}

fn drain(order: &mut Order) -> Vec<(Rank, u64)> {
    std::iter::from_fn(|| order.poll_deliver()).map(|m| (m.sender, m.index)).collect()
}

fn causal(me: Rank, members: usize) -> Order {
    Order::new(OrderKind::Causal, me, members, 0)
}

#[test]
fn fifo_holds_nothing_back() {
    let mut order = Order::new(OrderKind::Fifo, 0, 2, 0);
    assert!(order.stamp().0.is_empty());
    order.accept(message(1, 1, &[(0, 9)]));
    let delivered = order.poll_deliver().unwrap();
    assert_eq!((delivered.sender, delivered.index, delivered.count), (1, 1, 101));
    assert!(delivered.clock.is_empty());
    assert!(order.held().is_empty());
    assert_eq!(order.refused(), 1);
}

#[test]
fn an_answer_waits_for_its_question_and_says_so() {
    let (mut asker, mut answerer, mut third) = (causal(0, 3), causal(1, 3), causal(2, 3));
    let mut question = message(0, 1, &[]);
    question.head.deps = asker.stamp().0;
    answerer.accept(question.clone());
    assert_eq!(drain(&mut answerer), [(0, 1)]);
    let mut answer = message(1, 1, &[]);
    answer.head.deps = answerer.stamp().0;
    assert_eq!(answer.head.deps[..], [(0, 1)]);
    assert!(answerer.stamp().0.is_empty(), "only what changed travels");

    third.accept(answer);
    third.accept(message(1, 2, &[]));
    assert_eq!(drain(&mut third), []);
    let held: Vec<HeldMessage> = third.held();
    assert_eq!(held[0], HeldMessage { sender: 1, index: 1, count: 101, waits_for: Awaited::Message(0, 1) });
    assert_eq!(held[1].waits_for, Awaited::Message(0, 1), "the second has the first one's dependencies");
    third.accept(question);
    let delivered: Vec<Ordered> = std::iter::from_fn(|| third.poll_deliver()).collect();
    assert_eq!(delivered[0].clock[..], [1, 0, 0]);
    assert_eq!(delivered[1].clock[..], [1, 1, 0]);
    assert_eq!(delivered[2].clock[..], [1, 2, 0]);
    assert!(third.held().is_empty());
}

#[test]
fn own_messages_do_not_wait_and_are_not_among_the_dependencies() {
    let mut order = causal(0, 2);
    assert!(order.stamp().0.is_empty());
    order.accept(message(0, 1, &[]));
    assert_eq!(drain(&mut order), [(0, 1)]);
    assert!(order.stamp().0.is_empty());
}

#[test]
fn lost_cause_is_discarded_alike_in_whatever_order_the_cut_is_accepted() {
    // 2.1 depends on 1.1, which is lost with its sender; 3.1 depends on 2.1; 3's and 0's others are free.
    let cut = [message(2, 1, &[(1, 1)]), message(3, 1, &[(2, 1)]), message(0, 1, &[]), message(0, 2, &[])];
    for rotation in 0..cut.len() {
        let mut order = causal(0, 4);
        let mut cut = cut.to_vec();
        cut.rotate_left(rotation);
        cut.sort_by_key(|m| m.sender == 0 && m.index == 2);
        cut.into_iter().for_each(|m| order.accept(m));
        assert_eq!(drain(&mut order), [(0, 1), (0, 2)]);
        assert_eq!(order.held().len(), 2);
    }
}

#[test]
fn hostile_dependencies_stall_their_own_sender_at_most() {
    let mut order = causal(0, 3);
    order.accept(message(1, 1, &[(200, 5), (1, 7), (0, 0), (3, 1)]));
    assert_eq!(drain(&mut order), [(1, 1)], "entries about nobody or oneself count for nothing");
    assert_eq!(order.refused(), 4);
    order.accept(message(1, 2, &[(2, u64::MAX)]));
    order.accept(message(2, 1, &[]));
    assert_eq!(drain(&mut order), [(2, 1)]);
    assert_eq!(order.held()[0].waits_for, Awaited::Message(2, u64::MAX));
}

/// A run of `members` members that send and receive at random; checks every delivery against the full past of its
/// message, kept beside the protocol.
fn random_run(seed: u64, members: usize, steps: usize) {
    let mut rng = Rng::from_seed(seed);
    let mut orders: Vec<Order> = (0..members).map(|me| causal(me, members)).collect();
    let mut delivered: Vec<Vec<Vec<u64>>> = vec![vec![]; members];
    let mut now = vec![vec![0u64; members]; members];
    let mut sent = vec![0u64; members];
    let mut past: Vec<Vec<Vec<u64>>> = vec![vec![]; members];
    let mut pipes: Vec<Vec<std::collections::VecDeque<Arrived>>> =
        vec![vec![Default::default(); members]; members];
    let mut left = steps;
    loop {
        let member = rng.below(members as u64) as usize;
        if left > 0 && rng.chance(1, 3) {
            left -= 1;
            sent[member] += 1;
            let mut arrived = message(member, sent[member], &[]);
            arrived.head.deps = orders[member].stamp().0;
            let mut before = now[member].clone();
            before[member] = sent[member];
            past[member].push(before);
            (0..members).for_each(|to| pipes[to][member].push_back(arrived.clone()));
        }
        let from = rng.below(members as u64) as usize;
        if let Some(arrived) = pipes[member][from].pop_front() {
            orders[member].accept(arrived);
        }
        while let Some(m) = orders[member].poll_deliver() {
            let full = &past[m.sender][m.index as usize - 1];
            assert_eq!(m.index, now[member][m.sender] + 1, "seed {seed}");
            assert_eq!(&m.clock[..], &full[..], "seed {seed}");
            for k in (0..members).filter(|&k| k != m.sender) {
                assert!(full[k] <= now[member][k], "seed {seed}: {m:?} before its cause");
            }
            now[member][m.sender] = m.index;
            delivered[member].push(full.clone());
        }
        if left == 0 && pipes.iter().flatten().all(|pipe| pipe.is_empty()) {
            break;
        }
    }
    assert!(orders.iter().all(|order| order.held().is_empty()), "seed {seed}");
    assert!(delivered.iter().all(|all| all.len() == steps), "seed {seed}");
}

#[test]
fn causal_order_holds_in_random_runs() {
    for seed in 0..60 {
        random_run(seed, 1 + seed as usize % 10, 200);
    }
}
