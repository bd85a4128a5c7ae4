//! What happens at the limits of connections and descriptors: each test in a process of its own, for its own limit.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use decury_common::edge::limits;
use decury_common::machine::Wakeup;

use crate::support::{Echo, ran_alone, tcp_driver, turn, turns_until};

#[test]
fn without_descriptors_accepting_pauses_and_then_goes_on() {
    if ran_alone("descriptors::without_descriptors_accepting_pauses_and_then_goes_on", "ulimit -n 64") {
        return;
    }
    let (mut driver, at) = tcp_driver();
    let mut echo = Echo::default();
    let _client = TcpStream::connect(at).unwrap();
    let mut held = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        held.push(file);
    }
    let until = driver.clock().now() + Duration::from_millis(500);
    while driver.clock().now() < until {
        driver.wait(Some(Wakeup { at: until, reason: "test" })).unwrap();
        turn(&mut driver, &mut echo);
    }
    assert_eq!(echo.opened, 0);
    assert!(driver.turns() < 20, "{} turns in half a second", driver.turns());
    drop(held);
    turns_until(&mut driver, |driver| {
        turn(driver, &mut echo);
        echo.opened == 1
    });
}

#[test]
fn connections_beyond_the_limit_are_closed_at_once() {
    if ran_alone("descriptors::connections_beyond_the_limit_are_closed_at_once", "ulimit -n 4096") {
        return;
    }
    let (mut driver, at) = tcp_driver();
    let mut echo = Echo::default();
    let mut clients = Vec::new();
    for _ in 0..limits::ACCEPTED_MAX + 3 {
        clients.push(TcpStream::connect(at).unwrap());
        if clients.len().is_multiple_of(limits::ACCEPTS_PER_TURN) {
            driver.stay_awake();
            driver.wait(None).unwrap();
            turn(&mut driver, &mut echo);
        }
    }
    let last = clients.last_mut().unwrap();
    last.set_nonblocking(true).unwrap();
    turns_until(&mut driver, |driver| {
        turn(driver, &mut echo);
        matches!(last.read(&mut [0; 1]), Ok(0))
    });
    assert_eq!(echo.opened, limits::ACCEPTED_MAX);
    // A seat that gets free is taken again.
    drop(clients);
    turns_until(&mut driver, |driver| {
        turn(driver, &mut echo);
        echo.closed == limits::ACCEPTED_MAX
    });
    let _next = TcpStream::connect(at).unwrap();
    turns_until(&mut driver, |driver| {
        turn(driver, &mut echo);
        echo.opened == limits::ACCEPTED_MAX + 1
    });
}
