//! Calls by IP multicast, where the system has it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use decury_common::edge::LocalNetwork;
use mio::{Events, Poll, Token};

#[test]
fn a_call_is_heard_by_all_who_listen_on_this_machine_or_cannot_be_made() {
    let mut poll = Poll::new().unwrap();
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let open = |token| LocalNetwork::open(here, poll.registry(), Token(token));
    let (Ok(mut alice), Ok(mut bob)) = (open(1), open(2)) else { return };
    if alice.send(b"anybody there?").is_some() {
        return;
    }
    let mut events = Events::with_capacity(8);
    for _ in 0..100 {
        poll.poll(&mut events, Some(Duration::from_millis(100))).unwrap();
        let mut heard = false;
        // Other programs may call meanwhile.
        bob.receive(true, |from, bytes| heard |= from.ip() == here && bytes == b"anybody there?");
        if heard {
            return;
        }
    }
    panic!("nothing was heard within ten seconds");
}
