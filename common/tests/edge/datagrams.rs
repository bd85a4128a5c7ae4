//! The UDP socket.

use decury_common::edge::{Driver, limits};
use decury_common::machine::Transmit;

use crate::support::{Post, datagram, turns_until, udp_driver};

#[test]
fn a_datagram_arrives_with_its_senders_address() {
    let (mut alice, alice_at) = udp_driver();
    let (mut bob, bob_at) = udp_driver();
    let mut to_bob = Post::sending([datagram(bob_at, b"hello")]);
    alice.transmit(&mut to_bob);

    let mut at_bob = Post::default();
    turns_until(&mut bob, |bob| {
        bob.receive(&mut at_bob);
        !at_bob.received.is_empty()
    });
    assert_eq!(at_bob.received, [(alice_at, b"hello".to_vec())]);
}

#[test]
fn a_segmented_transmit_arrives_as_its_datagrams_however_many_they_are() {
    let (mut alice, _) = udp_driver();
    let (mut bob, bob_at) = udp_driver();
    for count in [2, 10, 64, 100] {
        let bytes: Vec<u8> = (0..count * 1_200 - 500).map(|i| (i / 1_200) as u8).collect();
        let transmit = Transmit { to: bob_at, bytes, segment: Some(1_200) };
        let expected: Vec<Vec<u8>> = transmit.datagrams().map(<[u8]>::to_vec).collect();
        alice.transmit(&mut Post::sending([transmit]));

        let mut at_bob = Post::default();
        turns_until(&mut bob, |bob| {
            bob.receive(&mut at_bob);
            at_bob.received.len() == count
        });
        let arrived: Vec<Vec<u8>> = at_bob.received.into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(arrived, expected);
    }
    assert_eq!(alice.udp_stats().datagrams_lost, 0);
}

#[test]
#[cfg(target_os = "linux")]
fn datagrams_larger_than_the_links_mtu_arrive_all_the_same() {
    use std::process::Command;

    // A loopback interface of its own needs a namespace, which some systems refuse to ordinary users.
    let mut alone = Command::new("unshare");
    if !alone.args(["-rn", "true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: no network namespace here");
        return;
    }
    let test = "datagrams::a_segmented_transmit_arrives_as_its_datagrams_however_many_they_are";
    let script = format!("ip link set lo up mtu 1000 && exec \"$0\" --exact {test}");
    let mut alone = Command::new("unshare");
    alone.args(["-rn", "sh", "-c", script.as_str()]).arg(std::env::current_exe().unwrap());
    assert!(alone.status().unwrap().success());
}

#[test]
fn what_cannot_be_sent_is_lost_and_nothing_else_is() {
    let (mut alice, _) = udp_driver();
    let (mut bob, bob_at) = udp_driver();
    let nobody = udp_driver().1;
    let impossible = [
        datagram("127.0.0.1:0".parse().unwrap(), b"no port"),
        datagram("[::1]:9".parse().unwrap(), b"other family"),
        datagram("255.255.255.255:9".parse().unwrap(), b"broadcast"),
        Transmit { to: bob_at, bytes: vec![7; 70_000], segment: None },
    ];
    let mut post = Post::sending(impossible);
    post.outgoing.push_back(datagram(nobody, b"refused by its port"));
    post.outgoing.push_back(Transmit { to: bob_at, bytes: Vec::new(), segment: None });
    post.outgoing.push_back(Transmit { to: bob_at, bytes: b"onetwo".to_vec(), segment: Some(3) });
    alice.transmit(&mut post);

    let mut at_bob = Post::default();
    turns_until(&mut bob, |bob| {
        bob.receive(&mut at_bob);
        at_bob.received.len() == 2
    });
    assert_eq!(alice.udp_stats().datagrams_lost, 4);
    assert_eq!(alice.udp_stats().sends, 2, "offload still works");
}

#[test]
fn a_burst_is_read_in_bounded_portions_and_to_the_end() {
    let (mut alice, _) = udp_driver();
    let (mut bob, bob_at) = udp_driver();
    // Of many sizes, so that the kernel cannot join them.
    let burst = 4 * limits::UDP_BUFFERS_PER_TURN;
    for i in 0..burst {
        alice.transmit(&mut Post::sending([datagram(bob_at, &vec![0; 1 + i % 1_000])]));
    }
    let mut at_bob = Post::default();
    let mut largest = 0;
    turns_until(&mut bob, |bob| {
        let before = at_bob.received.len();
        bob.receive(&mut at_bob);
        largest = largest.max(at_bob.received.len() - before);
        at_bob.received.len() == burst
    });
    assert!(largest < burst, "one turn must not read all");
}

#[test]
fn a_port_in_use_is_an_error() {
    let (_alice, at) = udp_driver();
    let error = Driver::new().unwrap().bind_udp(at).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}
