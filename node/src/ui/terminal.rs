//! The terminal's own settings: what it can do, and that it is left as it was found.

use std::io::{self, IsTerminal as _, Write as _};

use rustix::stdio::{stdin, stdout};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// The terminal as it was found, and is left.
#[derive(Debug)]
pub struct Terminal {
    found: Termios,
}

impl Terminal {
    /// Takes the terminal for editing. What is typed while no line is edited is not echoed: it is drawn when the next
    /// one is.
    pub fn take() -> io::Result<Terminal> {
        let found = tcgetattr(stdin())?;
        let mut quiet = found.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin(), OptionalActions::Now, &quiet)?;
        Ok(Terminal { found })
    }
}

impl Drop for Terminal {
    /// At every end: also one by an error, or by a panic.
    fn drop(&mut self) {
        const NO_BRACKETED_PASTE: &[u8] = b"\x1b[?2004l";
        _ = io::stdout().write_all(NO_BRACKETED_PASTE);
        _ = io::stdout().flush();
        _ = tcsetattr(stdin(), OptionalActions::Now, &self.found);
    }
}

/// Whether a person sits at both ends.
pub fn is_interactive() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// Whether lines can be edited.
pub fn can_edit() -> bool {
    is_interactive() && !is_plain()
}

/// Whether what is shown may have colours.
pub fn has_colours() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stdout().is_terminal() && !unwanted && !is_plain()
}

/// A terminal that knows no escape sequences, or does not say what it knows. The editor does not know some more.
fn is_plain() -> bool {
    let kind = std::env::var("TERM").unwrap_or_default();
    ["", "dumb", "cons25", "emacs"].contains(&kind.as_str())
}
