//! Schedules about uniform delivery: who is known to hold what when a side goes on without others.

use decury_common::base::id::MessageId;
use decury_common::order::OrderKind;
use decury_tests::sim::HostId;
use decury_tests::sim::frames::Kind;
use decury_tests::sim::network::{Effect, FrameFilter, Hosts, Rule};
use decury_tests::sim::stage::Stage;
use decury_tests::sim::world::{Mishap, Trap, Trigger};

use crate::messages::data_of;
use crate::total::{ready_beyond, said, vanish_with_y};
use crate::{N, millis, seconds};

fn safe(hosts: usize) -> Stage {
    Stage::with(hosts, OrderKind::Safe)
}

/// These hosts have delivered exactly this, each unmarked or not.
fn have(stage: &Stage, hosts: &[HostId], wanted: &[(MessageId, bool)]) {
    for host in hosts {
        let marks = stage.marks(*host);
        if marks != wanted {
            stage.fail(&format!("{host} has {marks:?} in place of {wanted:?}"));
        }
    }
}

/// Two messages are pending when their senders are parted: each side has its own one first, the other one marked; and
/// nothing unmarked comes in opposite orders.
#[test]
fn two_sided_cut() {
    let mut stage = safe(4);
    let lost = stage.lose(Kind::Proposals, Hosts::ALL, Hosts::ALL);
    let [m0, m2] = [N[0], N[2]].map(|host| said(&mut stage, host));
    stage.pass(millis(50));
    stage.partition(&[&N[..2], &N[2..4]]);
    stage.discard(lost);
    stage.until_view(&N[..2]);
    stage.until_view(&N[2..4]);
    have(&stage, &N[..2], &[(m0, true), (m2, false)]);
    have(&stage, &N[2..4], &[(m2, true), (m0, false)]);
    stage.ends_well();
}

/// As two-sided-cut, but both are decided, and only the acknowledgements are missing: both sides have the same sequence,
/// and nothing is marked.
#[test]
fn two_sided_cut_after_the_decisions() {
    let mut stage = safe(4);
    let lost = stage.lose(Kind::Decided, Hosts::ALL, Hosts::ALL);
    let [m0, m2] = [N[0], N[2]].map(|host| said(&mut stage, host));
    stage.pass(millis(500));
    have(&stage, &N[..4], &[]);
    stage.partition(&[&N[..2], &N[2..4]]);
    stage.discard(lost);
    stage.until_view(&N[..2]);
    stage.until_view(&N[2..4]);
    let sequence = stage.marks(N[0]);
    assert!(
        [[m0, m2], [m2, m0]].iter().any(|either| sequence == either.map(|id| (id, true))),
        "{sequence:?}"
    );
    have(&stage, &N[..4], &sequence);
    stage.ends_well();
}

/// The decision of a sender comes to two members that have promised a change of view without it: they do not acknowledge
/// it, so that nobody delivers by their word what they are about to mark.
#[test]
fn ack_after_promise() {
    let mut stage = safe(5);
    let (side, others) = (&N[..2], &N[2..4]);
    let late = stage.hold(Kind::Decisions, others[0], [N[0], N[1]]);
    let message = said(&mut stage, others[0]);
    stage.pass(millis(50));
    stage.lose(Kind::Prepare, N[0], [N[2], N[3]]);
    stage.lose(Kind::Prepare, [N[2], N[3]], [N[0], N[1]]);
    let cut = stage.hold(Kind::Cut, N[0], N[1]);
    stage.kill(N[4]);
    stage.until_hit(cut, 1);
    let acknowledged = stage.watch(Kind::Decided, [N[0], N[1]], Hosts::ALL);
    stage.release(late);
    stage.pass(millis(100));
    if stage.world.hits(acknowledged) > 0 {
        stage.fail("acknowledged after a promise");
    }
    have(&stage, &N[..4], &[]);
    stage.partition(&[side, others]);
    stage.release(cut);
    stage.until_view(side);
    have(&stage, side, &[(message, false)]);
    stage.until_view(others);
    have(&stage, others, &[(message, true)]);
    stage.ends_well();
}

/// The sender is ready for Y, which another installs and vanishes with; the sender goes on to X with one who was not in
/// Y, and whose own message would come first: the decision of Y stands.
#[test]
fn safe_sender_ready() {
    let mut stage = safe(4);
    let (a, outsider, sender, dead) = (N[0], N[1], N[2], N[3]);
    stage.lose(Kind::Proposals, dead, Hosts::ALL);
    let [ours, theirs] = [sender, outsider].map(|host| said(&mut stage, host));
    stage.pass(millis(50));
    let promise = stage.lose(Kind::Promise, outsider, a);
    let prepare = stage.lose(Kind::Prepare, outsider, Hosts::ALL);
    stage.kill(dead);
    vanish_with_y(&mut stage, &[a, sender]);
    have(&stage, &[a], &[(ours, true), (theirs, false)]);
    stage.release_all([promise, prepare]);
    stage.until_view(&[outsider, sender]);
    have(&stage, &[outsider, sender], &[(ours, true), (theirs, true)]);
    stage.ends_well();
}

/// Y decides about a message of the dead without its decision, which one outside of Y knows: there it comes marked, and
/// where the decision is known it comes in its place.
#[test]
fn outsider_ahead() {
    let mut stage = safe(4);
    let (a, c, outsider, sender) = (N[0], N[1], N[2], N[3]);
    stage.lose(Kind::Decisions, sender, [a, c]);
    let m0 = said(&mut stage, sender);
    stage.pass(millis(10));
    let m1 = said(&mut stage, c);
    stage.pass(millis(50));
    have(&stage, &N[..4], &[]);
    let promise = stage.lose(Kind::Promise, outsider, a);
    stage.kill(sender);
    vanish_with_y(&mut stage, &[a, c]);
    have(&stage, &[a], &[(m1, true), (m0, false)]);
    stage.release(promise);
    stage.until_view(&[c, outsider]);
    have(&stage, &[c, outsider], &[(m0, true), (m1, true)]);
    stage.ends_well();
}

/// Where the order of Y may be reversed in total, through one who was not in Y and is gone again, there is no exception
/// here: what nobody knows to be decided is marked on all sides.
#[test]
fn adopted_through_outsider() {
    let mut stage = safe(5);
    let (a, c, d, outsider, sender) = (N[0], N[1], N[2], N[3], N[4]);
    let late = stage.hold(data_of(4, ..), Hosts::ALL, outsider);
    let m0 = said(&mut stage, sender);
    stage.pass(millis(10));
    let m1 = said(&mut stage, c);
    stage.until_delivered(outsider, m1);
    let proposals = stage.lose(Kind::Proposals, outsider, sender);
    stage.release(late);
    stage.until_hit(proposals, 1);
    let promise = stage.lose(Kind::Promise, outsider, a);
    stage.kill(sender);
    vanish_with_y(&mut stage, &[a, c, d]);
    have(&stage, &[a], &[(m1, true), (m0, false)]);
    stage.release(promise);
    let y = stage.view_id(a);
    let ready = [c, d].map(|host| stage.lose(ready_beyond(y), host, Hosts::ALL));
    stage.until("both are ready for X", |stage| ready.iter().all(|rule| stage.world.hits(*rule) > 0));
    stage.kill(outsider);
    let prepare = stage.watch(Kind::Prepare, Hosts::ALL, Hosts::ALL);
    stage.until_hit(prepare, 1);
    stage.release_all(ready);
    stage.until_view(&[c, d]);
    have(&stage, &[c, d], &[(m1, true), (m0, false)]);
    stage.ends_well();
}

/// Whoever delivers first crashes, or is cut off, at once: all others deliver the same, in the same place.
#[test]
fn who_delivers_first_is_gone_at_once() {
    for mishap in [Mishap::Kill(N[3]), Mishap::Rules(Rule::partition(&[Hosts::one(N[3])]), seconds(60))] {
        let mut stage = safe(4);
        // Of all acknowledgements only those to n3 arrive.
        let lost: Vec<_> = N[..3].iter().map(|host| stage.lose(Kind::Decided, Hosts::ALL, *host)).collect();
        let trigger = Trigger::Delivery(N[3]);
        stage.world.set_trap(Trap { trigger, count: 3, what: mishap });
        let said: Vec<MessageId> = N[..4].iter().map(|host| said(&mut stage, *host)).collect();
        stage.until("n3 has delivered", |stage| stage.deliveries(N[3]).len() >= 3);
        assert!(N[..3].iter().all(|host| stage.deliveries(*host).is_empty()));
        stage.release_all(lost);
        stage.until_view(&N[..3]);
        let first = stage.marks(N[3]);
        for host in &N[..3] {
            assert_eq!(stage.marks(*host)[..first.len()], first);
            assert!(said.iter().all(|message| stage.has_delivered(*host, *message)));
        }
        stage.ends_well();
    }
}

/// Not all is said at once what each holds: acknowledgements that are lost are asked for, and ride on other datagrams.
#[test]
fn lost_acknowledgements_are_asked_for() {
    let mut stage = safe(3);
    let lost = stage.lose(Kind::Decided, N[1], N[0]);
    let message = said(&mut stage, N[0]);
    stage.pass(millis(10));
    assert!(!stage.has_delivered(N[0], message) && stage.has_delivered(N[2], message));
    stage.release(lost);
    let began = stage.world.now();
    stage.until_delivered(N[0], message);
    assert!(stage.world.now().since(began) < millis(100));
    stage.ends_as_it_is();
}

/// Many messages at once cost few datagrams more than in total.
#[test]
fn many_messages_share_their_acknowledgements() {
    let datagrams = |order| {
        let mut stage = Stage::with(5, order);
        let all = Effect::watch(FrameFilter::new("all", |_, _| true));
        let sent = stage.world.add_rule(Rule::everywhere(all));
        for _ in 0..200 {
            for host in &N[..5] {
                stage.says(*host);
            }
            stage.pass(millis(1));
        }
        stage.pass(millis(100));
        stage.world.hits(sent)
    };
    let (total, safe) = (datagrams(OrderKind::Total), datagrams(OrderKind::Safe));
    assert!(safe * 10 < total * 12, "{total} datagrams in total, {safe} in safe");
}
