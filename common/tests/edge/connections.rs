//! TCP connections.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use decury_common::base::rng::Rng;
use decury_common::edge::{Driver, limits};
use decury_common::machine::{StreamAction, StreamId};

use crate::support::{Echo, Post, loopback, tcp_driver, turn, turns_until};

#[test]
fn bytes_cut_anywhere_come_back_whole() {
    let (mut driver, at) = tcp_driver();
    let client = thread::spawn(move || {
        let mut stream = TcpStream::connect(at).unwrap();
        let sent: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
        let mut writer = stream.try_clone().unwrap();
        let bytes = sent.clone();
        let writing = thread::spawn(move || {
            let mut rng = Rng::from_seed(1);
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(1 + rng.below(5_000) as usize));
                writer.write_all(now).unwrap();
                rest = later;
            }
        });
        let mut back = vec![0; sent.len()];
        stream.read_exact(&mut back).unwrap();
        writing.join().unwrap();
        assert!(back == sent);
    });
    let mut echo = Echo::default();
    turns_until(&mut driver, |driver| {
        turn(driver, &mut echo);
        echo.closed == 1
    });
    client.join().unwrap();
}

#[test]
fn a_slow_reader_is_closed_at_the_bound_and_disturbs_nobody() {
    let (mut driver, at) = tcp_driver();
    let mut echo = Echo::default();
    let slow = TcpStream::connect(at).unwrap();
    turns_until(&mut driver, |driver| {
        turn(driver, &mut echo);
        echo.opened == 1
    });
    let mut other = TcpStream::connect(at).unwrap();
    other.set_nonblocking(true).unwrap();
    other.write_all(b"still here?").unwrap();

    let id = StreamId(1);
    let mut written = 0;
    turns_until(&mut driver, |driver| {
        if echo.closed == 0 {
            written += 64 * 1024;
            echo.actions.push_back(StreamAction::Write { stream: id, bytes: vec![0; 64 * 1024] });
            driver.stay_awake();
        }
        turn(driver, &mut echo);
        echo.closed == 1
    });
    assert!(written > limits::UNWRITTEN_MAX);
    let mut answer = [0; 11];
    turns_until(&mut driver, |driver| {
        turn(driver, &mut echo);
        other.read_exact(&mut answer).is_ok()
    });
    assert_eq!(&answer, b"still here?");
    drop(slow);
}

#[test]
fn a_refused_connection_is_reported_as_closed() {
    let nobody = TcpListener::bind(loopback()).unwrap().local_addr().unwrap();
    let mut driver = Driver::new().unwrap();
    let mut echo = Echo::default();
    echo.actions.push_back(StreamAction::Open { stream: StreamId(2), to: nobody });
    echo.actions.push_back(StreamAction::Write { stream: StreamId(2), bytes: b"never".to_vec() });
    turns_until(&mut driver, |driver| {
        turn(driver, &mut echo);
        echo.closed == 1
    });
    assert_eq!(echo.opened, 0);
    assert!(driver.streams_idle());
}

#[test]
fn what_is_written_before_the_connection_is_open_arrives() {
    let listener = TcpListener::bind(loopback()).unwrap();
    let to = listener.local_addr().unwrap();
    let mut driver = Driver::new().unwrap();
    let mut echo = Echo::default();
    echo.actions.push_back(StreamAction::Open { stream: StreamId(2), to });
    echo.actions.push_back(StreamAction::Write { stream: StreamId(2), bytes: b"early".to_vec() });
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).unwrap();
        bytes
    });
    turns_until(&mut driver, |driver| {
        turn(driver, &mut echo);
        echo.opened == 1 && echo.closed == 1
    });
    assert_eq!(&server.join().unwrap(), b"early");
}

#[test]
fn closing_writes_the_rest_first_even_with_bytes_unread() {
    let (mut driver, at) = tcp_driver();
    let client = thread::spawn(move || {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(b"first").unwrap();
        let mut all = Vec::new();
        let mut part = [0; 4_096];
        loop {
            match stream.read(&mut part).unwrap() {
                0 => return all,
                count => all.extend_from_slice(&part[..count]),
            }
            // The other side has closed already; this must not destroy what is on its way here.
            let _ = stream.write_all(b"more");
        }
    });
    let farewell: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
    let mut echo = Echo { farewell: Some(farewell.clone()), ..Echo::default() };
    turns_until(&mut driver, |driver| {
        turn(driver, &mut echo);
        client.is_finished()
    });
    assert!(client.join().unwrap() == farewell);
    assert_eq!(echo.closed, 0, "nothing is reported of a connection that the machine has closed");
}

#[test]
fn random_bytes_and_abrupt_ends_are_harmless() {
    let (mut driver, at) = tcp_driver();
    let udp = driver.bind_udp(loopback()).unwrap();
    let noise = thread::spawn(move || {
        let mut rng = Rng::from_seed(2);
        let socket = std::net::UdpSocket::bind(loopback()).unwrap();
        for round in 0..200 {
            let bytes: Vec<u8> = (0..rng.below(3_000)).map(|_| rng.bits() as u8).collect();
            socket.send_to(&bytes, udp).unwrap();
            let mut stream = TcpStream::connect(at).unwrap();
            let _ = stream.write_all(&bytes);
            if round % 3 == 0 {
                let _ = stream.shutdown(Shutdown::Both);
            }
            // Otherwise dropped with the echo unread: a reset.
        }
    });
    let (mut echo, mut post) = (Echo::default(), Post::default());
    turns_until(&mut driver, |driver| {
        driver.receive(&mut post);
        turn(driver, &mut echo);
        noise.is_finished() && echo.opened == 200 && echo.closed == 200
    });
    noise.join().unwrap();
    assert!(driver.streams_idle());
    assert!(!post.received.is_empty());
}

#[test]
fn a_restart_on_the_same_port_is_not_refused() {
    let (mut driver, at) = tcp_driver();
    let mut echo = Echo::default();
    let mut client = TcpStream::connect(at).unwrap();
    turns_until(&mut driver, |driver| {
        turn(driver, &mut echo);
        echo.opened == 1
    });
    // The server closes first: its side of the connection stays in the kernel for a minute.
    drop(driver);
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    drop(client);
    Driver::new().unwrap().listen(at).unwrap();
}

#[test]
fn one_turn_serves_every_connection_a_little() {
    let (mut driver, at) = tcp_driver();
    let mut echo = Echo { silent: true, ..Echo::default() };
    let mut clients: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(at).unwrap()).collect();
    for client in &mut clients {
        client.write_all(&[0; 120_000]).unwrap();
    }
    let share = limits::STREAM_READS_PER_TURN * limits::STREAM_READ_BYTES;
    turns_until(&mut driver, |driver| {
        let before = echo.received.clone();
        turn(driver, &mut echo);
        for (id, count) in &echo.received {
            assert!(count - before.get(id).unwrap_or(&0) <= share);
        }
        echo.received.values().sum::<usize>() == 360_000
    });
}
