//! The loop: when it sleeps, and what ends its sleep.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant as StdInstant};

use decury_common::base::time::Instant;
use decury_common::edge::Driver;
use decury_common::machine::{Machine, Wakeup};

use crate::support::{Echo, Post, loopback, turn, turns_until, udp_driver};

#[test]
fn an_idle_loop_sleeps() {
    let (mut driver, _) = udp_driver();
    let at = driver.listen(loopback()).unwrap();
    let mut echo = Echo::default();
    let _client = TcpStream::connect(at).unwrap();
    turns_until(&mut driver, |driver| {
        turn(driver, &mut echo);
        echo.opened == 1
    });

    let before = driver.turns();
    let until = driver.now() + Duration::from_secs(1);
    while driver.now() < until {
        driver.wait(Some(Wakeup { at: until, reason: "test" })).unwrap();
        driver.receive(&mut Post::default());
        turn(&mut driver, &mut echo);
    }
    assert!(driver.turns() - before < 10, "{} turns in an idle second", driver.turns() - before);
}

#[test]
fn a_machine_that_never_moves_its_deadline_does_not_burn_the_processor() {
    let (mut driver, _) = udp_driver();
    let mut stuck = Post { wakeup: Some(Wakeup { at: Instant::ZERO, reason: "stuck" }), ..Post::default() };
    let began = StdInstant::now();
    while began.elapsed() < Duration::from_secs(1) {
        driver.wait(stuck.poll_timeout()).unwrap();
        driver.receive(&mut stuck);
        driver.transmit(&mut stuck);
    }
    assert!(stuck.timeouts > 100, "it is served all the same: {}", stuck.timeouts);
    assert!(driver.turns() < 5_100, "{} turns in a second", driver.turns());
}

#[test]
fn a_wakeup_comes_when_it_is_due() {
    let (mut driver, _) = udp_driver();
    driver.wait(Some(Wakeup { at: Instant::ZERO, reason: "first" })).unwrap();
    let due = driver.now() + Duration::from_millis(30);
    turns_until(&mut driver, |driver| driver.now() >= due);
    let mut post = Post { wakeup: Some(Wakeup { at: due, reason: "test" }), ..Post::default() };
    driver.receive(&mut post);
    assert_eq!(post.timeouts, 1);
}

#[test]
fn a_wakeup_is_not_rounded_to_milliseconds() {
    let mut driver = Driver::new().unwrap();
    let shortest = (0..50).map(|_| {
        let before = driver.clock().now();
        let at = before + Duration::from_micros(300);
        while driver.wait(Some(Wakeup { at, reason: "test" })).unwrap() < at {}
        driver.now() - before
    });
    let shortest = shortest.min().unwrap();
    assert!(shortest < Duration::from_micros(900), "{shortest:?} at best");
}

#[test]
fn a_waker_ends_a_wait_without_deadline() {
    let mut driver = Driver::new().unwrap();
    let waker = driver.waker();
    let other = thread::spawn(move || waker.wake());
    driver.wait(None).unwrap();
    other.join().unwrap();
}
