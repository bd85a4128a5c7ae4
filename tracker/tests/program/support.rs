//! A tracker process, and clients that speak its protocol over plain sockets.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use decury_common::base::id::{Identity, Incarnation};
use decury_common::base::list::List;
use decury_common::wire::stream::{self, FrameReader};
use decury_common::wire::tracker::{Answer, Asked, Joined, Refusal, Request, SignIn, Told};

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running tracker; killed when dropped.
pub(crate) struct Tracker {
    child: Child,
    pub(crate) address: SocketAddr,
    lines: Receiver<String>,
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracker"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("DECURY_TRACKER");
    for variable in ["CONFIG", "LISTEN", "HEARTBEAT", "LEASE"] {
        command.env_remove(format!("DECURY_TRACKER_{variable}"));
    }
    // Nor has it the configuration of whoever runs this.
    command.env("XDG_CONFIG_HOME", "/dev/null");
    command
}

/// Runs a tracker that is to end by itself.
pub(crate) fn output(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

impl Tracker {
    /// A tracker on a free port, with these arguments besides.
    pub(crate) fn start(arguments: &[&str]) -> Tracker {
        Tracker::spawn(command(&["--listen", "127.0.0.1:0"]).args(arguments))
    }

    /// Waits until it listens.
    pub(crate) fn spawn(command: &mut Command) -> Tracker {
        let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut tracker = Tracker { child, address: SocketAddr::from(([0; 4], 0)), lines };
        let line = tracker.line();
        tracker.address = line.strip_prefix("listening on ").unwrap().parse().unwrap();
        tracker
    }

    /// The next line of its standard output.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal and waits for the end; the exit code.
    pub(crate) fn end_by(mut self, signal: &str) -> Option<i32> {
        let id = self.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client; its connection is closed when dropped.
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    reader: FrameReader,
    unread: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(to: SocketAddr) -> Client {
        let mut socket = TcpStream::connect(to).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(&[stream::VERSION]).unwrap();
        Client { socket, reader: FrameReader::new(), unread: Vec::new() }
    }

    pub(crate) fn signed_in(to: SocketAddr, name: &str, node: u64) -> Client {
        let mut client = Client::connect(to);
        let welcome = client.ask(sign_in(name, node));
        assert!(matches!(welcome, Ok(Answer::Welcome(_))), "{welcome:?}");
        client
    }

    pub(crate) fn send(&mut self, body: Request) {
        self.socket.write_all(&asked(body)).unwrap();
    }

    /// The next frame; `None` when the connection has ended.
    pub(crate) fn told(&mut self) -> Option<Told> {
        loop {
            let mut bytes = &self.unread[..];
            let frame = self.reader.next_frame(&mut bytes).unwrap();
            self.unread = bytes.to_vec();
            if let Some(frame) = frame {
                return Some(stream::decode(&frame).unwrap());
            }
            let mut buffer = [0; 4096];
            match self.socket.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.unread.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("waited in vain: {error}"),
            }
        }
    }

    /// The answer to a request; notices before it are passed over.
    pub(crate) fn ask(&mut self, body: Request) -> Result<Answer, Refusal> {
        self.send(body);
        loop {
            match self.told() {
                Some(Told::Answer { result, .. }) => return result,
                Some(Told::Notice(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn join(&mut self, group: &str) -> Joined {
        match self.ask(Request::Join { group: group.parse().unwrap(), order: None }) {
            Ok(Answer::Joined(joined)) => joined,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn users(&mut self) -> Vec<String> {
        match self.ask(Request::Users { after: None }) {
            Ok(Answer::Users { users, .. }) => users.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn asked(body: Request) -> Vec<u8> {
    stream::encode(&Asked { request: 1, body })
}

pub(crate) fn sign_in(name: &str, node: u64) -> Request {
    let addresses = [SocketAddr::from(([127, 0, 0, 1], 9))].into_iter().collect();
    let (name, incarnation, identity) = (name.parse().unwrap(), Incarnation(node), Identity(node));
    Request::SignIn(SignIn { name, incarnation, identity, addresses, groups: List::new() })
}
