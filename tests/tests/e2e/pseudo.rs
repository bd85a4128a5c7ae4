//! A node at a pseudo terminal: keys go in, and the screen that a person would see is waited for.

use std::fmt::Write as _;
use std::io::{Read as _, Write};
use std::num::NonZeroU16;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, SlavePty, native_pty_system};
use vt100::Parser;

use crate::harness::World;
use crate::process::{self, PATIENCE, program};

const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

/// What a terminal shows, and every byte that it was sent.
struct Shown {
    parser: Parser,
    bytes: Vec<u8>,
}

/// A person's terminal, with a node on it.
pub(crate) struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    /// Open, so that its modes can be seen when the node has ended.
    _slave: Box<dyn SlavePty + Send>,
    keys: Box<dyn Write + Send>,
    shown: Arc<(Mutex<Shown>, Condvar)>,
    modes: String,
}

impl Terminal {
    /// A person's node with these arguments and variables, on a terminal of 24 rows and 80 columns.
    pub(crate) fn start(
        world: &World,
        name: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Terminal {
        Terminal::spawn(world, name, &[&["--name", name], arguments].concat(), variables)
    }

    /// One whose person has not said who they are.
    pub(crate) fn unnamed(world: &World, arguments: &[&str]) -> Terminal {
        Terminal::spawn(world, "somebody", arguments, &[])
    }

    fn spawn(world: &World, data: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Terminal {
        let pair = native_pty_system().openpty(size(COLUMNS)).unwrap();
        let template = program("node");
        let mut command = CommandBuilder::new(template.get_program());
        for (variable, value) in template.get_envs() {
            match value {
                Some(value) => command.env(variable, value),
                None => command.env_remove(variable),
            }
        }
        command.env_remove("NO_COLOR");
        command.env("TERM", "xterm-256color");
        variables.iter().for_each(|(variable, value)| command.env(variable, value));
        command.args(["--bind", "127.0.0.1:0", "--suspect-after", "1s", "--data"]);
        command.arg(world.data(data));
        command.args(arguments);
        let modes = modes(&*pair.master);
        let child = pair.slave.spawn_command(command).unwrap();
        let parser = Parser::new(nonzero(ROWS), nonzero(COLUMNS), 0);
        let shown = Arc::new((Mutex::new(Shown { parser, bytes: Vec::new() }), Condvar::new()));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let record = shown.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                let mut shown = record.0.lock().unwrap();
                shown.parser.process(&buffer[..length]);
                shown.bytes.extend_from_slice(&buffer[..length]);
                record.1.notify_all();
            }
        });
        let keys = pair.master.take_writer().unwrap();
        Terminal { child, master: pair.master, _slave: pair.slave, keys, shown, modes }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        process::signal(self.child.process_id().unwrap(), name);
    }

    pub(crate) fn resize(&self, columns: u16) {
        self.lock().parser.screen_mut().set_size(nonzero(ROWS), nonzero(columns));
        self.master.resize(size(columns)).unwrap();
    }

    /// Waits until the line that the cursor is in, and what stands above it, are as wished.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&[String], &str) -> bool) {
        self.wait_for(what, |parser| {
            let (above, line) = rows(parser);
            is_so(&above, &line)
        });
    }

    fn wait_for(&self, what: &str, is_so: impl Fn(&Parser) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut shown = self.lock();
        while !is_so(&shown.parser) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain for {what}; the screen:\n{}", picture(&shown.parser));
            shown = self.shown.1.wait_timeout(shown, left).unwrap().0;
        }
    }

    /// Waits until the cursor's line is this.
    pub(crate) fn until_line(&self, expected: &str) {
        self.until(&format!("the line {expected:?}"), |_, line| line == expected);
    }

    /// Waits until this stands in a row of its own.
    pub(crate) fn until_row(&self, expected: &str) {
        self.until(&format!("the row {expected:?}"), |above, _| above.iter().any(|row| row == expected));
    }

    /// Looks at every byte that the terminal was sent.
    pub(crate) fn bytes(&self) -> String {
        String::from_utf8_lossy(&self.lock().bytes).into_owned()
    }

    /// Waits for the node's end, and that the terminal is left as it was found; the exit code.
    pub(crate) fn ended(&mut self) -> u32 {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(
                    Instant::now() < deadline,
                    "no end; the screen:\n{}",
                    picture(&self.lock().parser)
                ),
            }
            let news = self.shown.1.wait_timeout(self.lock(), Duration::from_millis(10)).unwrap();
            drop(news);
        };
        assert_eq!(modes(&*self.master), self.modes, "the terminal's modes");
        self.wait_for("an end of marks around what is pasted", |parser| !parser.screen().bracketed_paste());
        status.exit_code()
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn modes(terminal: &dyn MasterPty) -> String {
    format!("{:?}", terminal.get_termios().unwrap())
}

fn size(columns: u16) -> PtySize {
    PtySize { rows: ROWS, cols: columns, pixel_width: 0, pixel_height: 0 }
}

fn nonzero(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

/// The rows above the cursor's, and that one, without blanks at their ends; a row that wraps is joined with the next.
fn rows(parser: &Parser) -> (Vec<String>, String) {
    let screen = parser.screen();
    let (cursor, _) = screen.cursor_position();
    let (_, columns) = screen.size();
    let mut lines: Vec<String> = Vec::new();
    let mut continues = false;
    let mut cursor_line = 0;
    for (number, row) in (0..).zip(screen.rows(0, columns.get())) {
        // An editor wraps its own line, which the terminal does not know.
        let is_full = row.chars().count() == usize::from(columns.get());
        match lines.last_mut().filter(|_| continues) {
            Some(line) => line.push_str(&row),
            None => lines.push(row),
        }
        continues = is_full || screen.row_wrapped(number);
        if number == cursor {
            cursor_line = lines.len() - 1;
        }
    }
    let mut lines: Vec<String> = lines.into_iter().map(|line| line.trim_end().to_owned()).collect();
    lines.truncate(cursor_line + 1);
    let line = lines.pop().unwrap_or_default();
    (lines, line)
}

fn picture(parser: &Parser) -> String {
    let mut text = String::new();
    let (_, columns) = parser.screen().size();
    for row in parser.screen().rows(0, columns.get()) {
        _ = writeln!(text, "|{row}");
    }
    text
}
