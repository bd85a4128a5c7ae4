//! A terminal that one thread writes to while a person edits a line on it in another.
//!
//! While a line is edited, what is to be shown waits here, and the editor is called: whenever it draws its prompt, it
//! takes what waits and draws it above. In between, it is written at once. So all of it appears, in its order, and
//! none of it within the typed line. (The editor's own printer would write past what waits in it when the line has just
//! ended, and lose that when it was the last line.)

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustyline::ExternalPrinter;

/// Bytes that wait at most: a person who searches in the history keeps what arrives from being drawn.
const WAITING_MAX: usize = 64 * 1024;
/// The editor's next drawing comes so soon, or it is busy with the person.
const STAND_STILL_WITHIN: Duration = Duration::from_millis(100);
/// What calls the editor. It prints this before it draws its prompt again: up a row, and down.
const CALL: &str = "\x1b[A\n";

/// The terminal.
#[derive(Debug)]
pub struct Screen {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    out: File,
    /// Whole lines that are to be drawn.
    waiting: String,
    /// The editor has been called, and has not come yet.
    called: bool,
}

/// Who writes to the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Whoever has something to show.
    Free,
    /// The editor, which has not drawn its prompt yet.
    Starting,
    /// The editor.
    Editing,
    /// The editor, until it draws its prompt once more; there it stays.
    Ending,
    /// Whoever has something to show, until the end.
    Ended,
}

/// Calls the editor. It may have to wait for it.
pub type Caller = Box<dyn ExternalPrinter + Send>;

/// Lines for the screen, as a stream.
pub struct ScreenWriter {
    screen: Arc<Screen>,
    caller: Caller,
    line: Vec<u8>,
}

impl Screen {
    /// A screen on this terminal, on which nobody edits yet.
    pub fn new(out: File) -> Screen {
        let state = State { phase: Phase::Free, out, waiting: String::new(), called: false };
        Screen { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// A line is going to be edited. False if there will be no more: it must not be begun then.
    pub fn begin(&self) -> bool {
        let mut state = self.lock();
        let is_free = state.phase == Phase::Free;
        if is_free {
            state.phase = Phase::Starting;
        }
        is_free
    }

    /// The editor draws its prompt: what it draws above. At the end it never comes back from here, since the terminal
    /// is somebody else's then.
    pub fn draw(&self) -> String {
        let mut state = self.lock();
        match state.phase {
            Phase::Starting => state.phase = Phase::Editing,
            Phase::Ending => state.phase = Phase::Ended,
            _ => {}
        }
        self.changed.notify_all();
        while state.phase == Phase::Ended {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.called = false;
        std::mem::take(&mut state.waiting)
    }

    /// The editor draws what is to appear above its prompt the next time, without being called.
    pub fn add(&self, text: &str) {
        self.lock().waiting.push_str(text);
    }

    /// The line has been edited; the cursor stands at the beginning of a row.
    pub fn finish(&self) -> io::Result<()> {
        let mut state = self.lock();
        match state.phase {
            Phase::Starting | Phase::Editing => state.phase = Phase::Free,
            Phase::Ending => state.phase = Phase::Ended,
            Phase::Free | Phase::Ended => {}
        }
        state.called = false;
        self.changed.notify_all();
        state.write_waiting()
    }

    /// Nothing will be edited any more: the prompt goes, and what is shown from now on is written at once. `caller`
    /// calls the editor a last time.
    pub fn end(&self, mut caller: Caller) {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Starting | Phase::Editing) {
            state.phase = Phase::Ending;
            // A call may wait for an editor that is busy with the person; this must not.
            _ = thread::Builder::new().name("caller".to_owned()).spawn(move || caller.print(CALL.to_owned()));
            let drawing = |state: &mut State| state.phase == Phase::Ending;
            let waited = self.changed.wait_timeout_while(state, STAND_STILL_WITHIN, drawing);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            _ = state.out.write_all(b"\r\x1b[J");
        }
        state.phase = Phase::Ended;
        self.changed.notify_all();
        _ = state.write_waiting();
    }

    /// Shows whole lines.
    fn show(&self, caller: &mut Caller, text: &str) -> io::Result<()> {
        let mut state = self.lock();
        while state.is_edited() && state.waiting.len() > WAITING_MAX {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting.push_str(text);
        if !state.is_edited() {
            return state.write_waiting();
        }
        let must_call = !std::mem::replace(&mut state.called, true);
        drop(state);
        if must_call {
            // An editor that has gone has left what waits here, and whoever ended it writes that.
            _ = caller.print(CALL.to_owned());
        }
        Ok(())
    }

    /// After a panic of a thread the screen is still the others'.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_edited(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Editing | Phase::Ending)
    }

    fn write_waiting(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        self.out.write_all(waiting.as_bytes())
    }
}

impl ScreenWriter {
    /// Writes to this screen.
    pub fn new(screen: Arc<Screen>, caller: Caller) -> ScreenWriter {
        ScreenWriter { screen, caller, line: Vec::new() }
    }
}

impl Write for ScreenWriter {
    /// Keeps a line until all of it is there.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if let Some(end) = self.line.iter().rposition(|&byte| byte == b'\n') {
            let rest = self.line.split_off(end + 1);
            let lines = std::mem::replace(&mut self.line, rest);
            self.screen.show(&mut self.caller, &String::from_utf8_lossy(&lines))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::OwnedFd;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Says that it was called.
    struct Called(Sender<()>);

    impl ExternalPrinter for Called {
        fn print(&mut self, _: String) -> rustyline::Result<()> {
            _ = self.0.send(());
            Ok(())
        }
    }

    /// A screen, what reads from it, a writer, and how often the editor was called.
    fn setup() -> (Arc<Screen>, File, ScreenWriter, std::sync::mpsc::Receiver<()>) {
        let (read, write) = io::pipe().unwrap();
        let screen = Arc::new(Screen::new(File::from(OwnedFd::from(write))));
        let (sender, calls) = channel();
        let writer = ScreenWriter::new(screen.clone(), Box::new(Called(sender)));
        (screen, File::from(OwnedFd::from(read)), writer, calls)
    }

    fn written(mut screen: File) -> String {
        let mut text = String::new();
        screen.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn what_comes_before_during_and_after_a_line_appears_in_its_order() {
        let (screen, out, mut writer, calls) = setup();
        writer.write_all(b"one\ntw").unwrap();
        assert!(screen.begin());
        writer.write_all(b"o\n").unwrap();
        assert_eq!(screen.draw(), "two\n");
        writer.write_all(b"three\nfour\n").unwrap();
        writer.write_all(b"five\n").unwrap();
        assert_eq!(calls.iter().take(2).count(), 2);
        assert!(calls.try_recv().is_err(), "it was called once for each time that it drew");
        screen.finish().unwrap();
        writer.write_all(b"six\n").unwrap();
        drop((screen, writer));
        assert_eq!(written(out), "one\nthree\nfour\nfive\nsix\n");
    }

    #[test]
    fn at_the_end_the_editor_stands_still_and_the_rest_is_written() {
        let (screen, out, mut writer, _calls) = setup();
        assert!(screen.begin());
        assert_eq!(screen.draw(), "");
        writer.write_all(b"last\n").unwrap();
        let editor = screen.clone();
        thread::spawn(move || editor.draw());
        // The drawing above may come before the end, and take the line with it, or after, and stay.
        screen.end(Box::new(Called(channel().0)));
        assert!(!screen.begin());
        writer.write_all(b"bye\n").unwrap();
        let mut text = String::new();
        let mut bytes = [0; 64];
        while !text.ends_with("bye\n") {
            let length = (&out).read(&mut bytes).unwrap();
            text.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
        }
        assert!(["\r\x1b[Jbye\n", "\r\x1b[Jlast\nbye\n"].contains(&text.as_str()), "{text:?}");
    }
}
