//! A network as bad as this is promised to be borne: slow, and losing much.

use std::collections::BTreeSet;

use decury_tests::sim::frames::Kind;
use decury_tests::sim::network::{Fault, Hosts, Ratio, Rule};
use decury_tests::sim::stage::Stage;

use super::{ALL_ORDERS, N, millis, seconds};

/// A fifth of all datagrams is lost, each takes 100 ms, give or take 50, and one in fifty comes twice. Five members all
/// talk: nothing is missing, nothing comes twice, and nobody is suspected.
#[test]
fn twenty_percent_loss_a_tenth_of_a_second_away() {
    const EACH: usize = 100;
    for order in ALL_ORDERS {
        let mut stage = Stage::with(5, order);
        let prepare = stage.watch(Kind::Prepare, Hosts::ALL, Hosts::ALL);
        stage.world.network().set_latency(millis(50), millis(150));
        stage.world.add_rule(Rule::everywhere(Fault::Loss(Ratio(20, 100))));
        stage.world.add_rule(Rule::everywhere(Fault::Duplicate(Ratio(2, 100), millis(100))));
        let mut said = BTreeSet::new();
        for _ in 0..EACH {
            for host in &N[..5] {
                said.extend(stage.says(*host));
            }
            stage.pass(millis(200));
        }
        stage.pass(seconds(30));
        assert_eq!(said.len(), 5 * EACH);
        for host in &N[..5] {
            let delivered = stage.deliveries(*host);
            assert_eq!(delivered.len(), said.len(), "{order}: something is missing, or came twice");
            assert_eq!(delivered.into_iter().collect::<BTreeSet<_>>(), said, "{order}");
            assert!(stage.marks(*host).iter().all(|(_, uniform)| *uniform));
        }
        assert_eq!(
            (stage.suspicions(), stage.world.hits(prepare)),
            (0, 0),
            "{order}: somebody was suspected"
        );
        stage.ends_as_it_is();
    }
}
