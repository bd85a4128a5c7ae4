//! The client of the tracker over real sockets.
#![allow(clippy::unwrap_used, reason = "a setup that fails is a test that fails")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use decury_common::base::id::{Identity, Incarnation};
use decury_common::edge::Driver;
use decury_common::machine::StreamMachine as _;
use decury_node::session::tracker_client::{Ask, Config, Event, Reply, TrackerClient, Trouble};
use decury_tracker::host::{Hosted, Options};

const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    driver: Driver,
    client: TrackerClient,
}

impl Node {
    fn new(trackers: &[SocketAddr]) -> Node {
        let driver = Driver::new().unwrap();
        let config = Config {
            trackers: trackers.to_vec(),
            name: "ann".parse().unwrap(),
            incarnation: Incarnation(1),
            identity: Identity(1),
            addresses: Default::default(),
            seed: 1,
        };
        Node { client: TrackerClient::new(config, driver.now()), driver }
    }

    fn next_event(&mut self) -> Event {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(event) = self.client.poll_event() {
                return event;
            }
            assert!(Instant::now() < deadline, "waited in vain");
            self.driver.transmit_streams(&mut self.client);
            self.driver.wait(self.client.poll_stream_timeout()).unwrap();
            self.driver.receive_streams(&mut self.client);
        }
    }
}

#[test]
fn a_node_waits_for_its_tracker_and_survives_its_restart() {
    let options = Options::at("127.0.0.1:0".parse().unwrap());
    let reserved = Hosted::start(options).unwrap().address();
    let options = Options::at(reserved);
    let mut node = Node::new(&[reserved]);
    let unreachable = Event::Unreachable { tracker: reserved, why: Trouble::NoConnection };
    assert_eq!(node.next_event(), unreachable);

    let hosted = Hosted::start(options).unwrap();
    assert!(matches!(node.next_event(), Event::SignedIn { tracker, .. } if tracker == reserved));

    drop(hosted);
    assert_eq!(node.next_event(), Event::Lost { tracker: reserved, why: Trouble::NoConnection });
    let asked = node.client.ask(node.driver.now(), Ask::Users);

    let _hosted = Hosted::start(options).unwrap();
    assert!(matches!(node.next_event(), Event::Back { .. }));
    let users = Reply::Users(vec!["ann".parse().unwrap()]);
    assert_eq!(node.next_event(), Event::Answer { ask: asked, asked: Ask::Users, result: Ok(users) });
}
