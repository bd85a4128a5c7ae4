//! A switch in user space, for `scripts/lab`: one tap device for each host, made here and moved into the host's network
//! namespace by the script. Frames pass between any two hosts as the lines on stdin say; each line is answered by `ok`,
//! or by `error: ` and a sentence. It ends with its input, and the devices with it.

mod fabric;
mod lines;

use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsRawFd as _;
use std::process::ExitCode;

use clap::Parser;
use decury_common::edge::Clock;
use fabric::Fabric;
use lines::Lines;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use tappers::{Interface, Tap};

/// Events of one turn.
const EVENTS: usize = 64;
/// The longest frame: a tap's MTU is 1500 unless somebody changes it.
const FRAME_MAX: usize = 1 << 16;
/// What is typed; ports have the numbers below.
const STDIN: Token = Token(usize::MAX);

/// Joins hosts by tap devices, one each, and lets frames pass as the lines on stdin say.
#[derive(Debug, Parser)]
#[command(name = "switch", after_help = fabric::HELP)]
struct Args {
    /// The hosts' names; a host's device is called tap-NAME
    #[arg(required = true, value_parser = host)]
    hosts: Vec<String>,
    /// What losses and delays are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// A device's name has at most 15 characters.
fn host(text: &str) -> Result<String, String> {
    let fits = (1..=11).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then(|| text.to_owned()).ok_or_else(|| "a host's name is 1 to 11 letters and digits".to_owned())
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("switch: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let taps = args.hosts.iter().map(|host| open(host)).collect::<Result<Vec<Tap>, String>>()?;
    let mut poll = Poll::new().map_err(|error| error.to_string())?;
    let watched = taps.iter().enumerate().map(|(port, tap)| (tap.as_raw_fd(), Token(port)));
    for (descriptor, token) in watched.chain([(io::stdin().as_raw_fd(), STDIN)]) {
        let watching = poll.registry().register(&mut SourceFd(&descriptor), token, Interest::READABLE);
        watching.map_err(|error| {
            format!("a device or stdin (a pipe or a terminal) cannot be watched: {error}")
        })?;
    }
    let (clock, mut fabric, mut lines) =
        (Clock::start(), Fabric::new(args.hosts.clone(), args.seed), Lines::default());
    let (mut events, mut buffer) = (Events::with_capacity(EVENTS), vec![0; FRAME_MAX]);
    loop {
        let timeout = fabric.poll_timeout().map(|at| at.since(clock.now()));
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.to_string()),
            _ => {}
        }
        for event in &events {
            match taps.get(event.token().0) {
                Some(tap) => receive(&clock, &mut fabric, event.token().0, tap, &mut buffer),
                None if !lines.read().map_err(|error| format!("stdin: {error}"))? => return Ok(()),
                None => lines.take().try_for_each(|line| answer(&mut fabric, &line))?,
            }
        }
        while let Some((port, frame)) = fabric.poll_frame(clock.now()) {
            // A host whose device is down, or whose queue is full, gets nothing.
            _ = taps[port].send(&frame);
        }
    }
}

fn open(host: &str) -> Result<Tap, String> {
    let name = format!("tap-{host}");
    let opened = Interface::new(&name).and_then(Tap::new_named).and_then(|mut tap| {
        tap.set_nonblocking(true)?;
        Ok(tap)
    });
    opened.map_err(|error| format!("the device {name} cannot be made: {error}"))
}

/// Everything that a host has sent.
fn receive(clock: &Clock, fabric: &mut Fabric, port: usize, tap: &Tap, buffer: &mut [u8]) {
    while let Ok(length) = tap.recv(buffer) {
        fabric.handle_frame(clock.now(), port, &buffer[..length]);
    }
}

fn answer(fabric: &mut Fabric, line: &str) -> Result<(), String> {
    let answer = fabric.obey(line).unwrap_or_else(|why| format!("error: {why}"));
    writeln!(io::stdout(), "{answer}").map_err(|error| format!("stdout: {error}"))
}
