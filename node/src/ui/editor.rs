//! The thread in which a person edits lines, with a prompt, recall and completion.
//!
//! It draws on the [`Screen`], looks at the model and passes lines on; it knows nothing else.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use decury_common::base::id::GroupName;
use rustyline::completion::Completer;
use rustyline::config::{BellStyle, Builder, ColorMode};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::{History as _, MemHistory};
use rustyline::validate::Validator;
use rustyline::{
    Cmd, ConditionalEventHandler, Editor, Event, EventContext, EventHandler, Helper, KeyCode, KeyEvent,
    Modifiers, Movement, RepeatCount,
};
use signal_hook::consts::signal::SIGINT;

use super::complete::{Completion, complete};
use super::lines::Line;
use super::model::{Model, SharedModel};
use super::recall::{LINES_MAX, Recall};
use super::screen::{Caller, Screen};
use super::threads::Requests;
use crate::session::Command;

/// A start is settled within this time, or the first prompt comes without a group.
const START_WITHIN: Duration = Duration::from_secs(3);
/// An answer that the prompt depends on is waited for so long.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// An escape key and an escape sequence are told apart by a pause of so many milliseconds.
const ESCAPE_MS: u16 = 50;
/// Characters of a group's name in the prompt: a terminal may have forty columns.
const PROMPT_NAME: usize = 16;
/// Names that Tab offers at once.
const OFFERS: usize = 60;

/// An editor that has not begun.
pub struct LineEditor {
    editor: Editor<Drawing, MemHistory>,
    screen: Arc<Screen>,
    model: Arc<SharedModel>,
    recall: Recall,
}

impl LineEditor {
    /// An editor of this process's terminal, with the lines of `recall`. Fails if the terminal cannot be used.
    pub fn new(
        screen: Arc<Screen>,
        model: Arc<SharedModel>,
        (recall, lines): (Recall, Vec<String>),
        colours: bool,
    ) -> io::Result<LineEditor> {
        // The drawing is ours, with or without colours.
        let config = Builder::new().color_mode(ColorMode::Forced).bell_style(BellStyle::None);
        let config =
            config.keyseq_timeout(Some(ESCAPE_MS)).max_history_size(LINES_MAX).map_err(io::Error::other)?;
        let config = config.build();
        let mut history = MemHistory::with_config(&config);
        for line in lines {
            history.add_owned(line).map_err(io::Error::other)?;
        }
        let mut editor = Editor::with_history(config, history).map_err(io::Error::other)?;
        editor.set_helper(Some(Drawing { screen: screen.clone(), colours }));
        let tab = Tab { screen: screen.clone(), model: model.clone() };
        editor
            .bind_sequence(KeyEvent(KeyCode::Tab, Modifiers::NONE), EventHandler::Conditional(Box::new(tab)));
        editor.bind_sequence(KeyEvent::ctrl('C'), EventHandler::Conditional(Box::new(Interrupt)));
        Ok(LineEditor { editor, screen, model, recall })
    }

    /// What calls the editor when there is something to draw.
    pub fn caller(&mut self) -> io::Result<Caller> {
        let printer = self.editor.create_external_printer().map_err(io::Error::other)?;
        Ok(Box::new(printer))
    }

    /// Edits lines and passes them on until there will be no more. The first prompt waits for a group if one is going
    /// to be joined.
    pub fn run(mut self, mut requests: Requests, joins: bool) {
        let is_settled = |model: &Model| model.me().is_some() && (!joins || model.current().is_some());
        let mut settled = self.model.wait(START_WITHIN, is_settled);
        while self.screen.begin() {
            let group = self.model.read(|model| model.current()).filter(|_| settled);
            let line = self.editor.readline(&prompt(group));
            if self.screen.finish().is_err() {
                return;
            }
            match line {
                Ok(text) => match self.pass_on(&text, &mut requests) {
                    Some(is_settled) => settled = is_settled,
                    None => return,
                },
                // At an empty prompt the key is what it is elsewhere.
                Err(ReadlineError::Interrupted) => {
                    _ = signal_hook::low_level::raise(SIGINT);
                    return;
                }
                Err(ReadlineError::Eof) => return,
                // Refused like any other line.
                Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    let refusal = requests.request(Line::Whole(b"\xff"));
                    if refusal.is_some_and(|refusal| !requests.send(refusal)) {
                        return;
                    }
                }
                Err(error) => {
                    log::error!("input ends: {error}");
                    return;
                }
            }
        }
    }

    /// Passes on what was typed, or pasted: then it may be several lines. Whether it is settled where the next line
    /// goes; nothing if no more lines are wanted.
    fn pass_on(&mut self, text: &str, requests: &mut Requests) -> Option<bool> {
        let mut asked = None;
        for line in text.split(['\n', '\r']) {
            if !line.trim().is_empty() {
                _ = self.editor.add_history_entry(line);
                self.recall.add(line);
            }
            let Some(request) = requests.request(Line::Whole(line.as_bytes())) else { continue };
            match request.command {
                Command::Join { .. } | Command::Switch { .. } | Command::Leave { .. } => asked = request.re,
                _ => {}
            }
            let is_last = request.command == Command::Quit;
            if !requests.send(request) || is_last {
                return None;
            }
        }
        let Some(line) = asked else { return Some(true) };
        Some(self.model.wait(ANSWER_WITHIN, |model| model.answered() >= line))
    }
}

impl Drop for LineEditor {
    /// Also after a panic: others go on with the screen.
    fn drop(&mut self) {
        _ = self.screen.finish();
    }
}

/// Where the line goes, if that is settled.
fn prompt(group: Option<GroupName>) -> String {
    let Some(group) = group else { return "> ".to_owned() };
    match group.as_str().get(..PROMPT_NAME) {
        Some(start) if group.as_str().len() > PROMPT_NAME => format!("{start}..> "),
        _ => format!("{group}> "),
    }
}

/// Draws what has arrived above the prompt.
struct Drawing {
    screen: Arc<Screen>,
    colours: bool,
}

impl Highlighter for Drawing {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        let above = self.screen.draw();
        match (above.is_empty(), self.colours) {
            (true, false) => Cow::Borrowed(prompt),
            (_, false) => Cow::Owned(above + prompt),
            (_, true) => Cow::Owned(format!("{above}\x1b[1m{prompt}\x1b[0m")),
        }
    }
}

impl Completer for Drawing {
    type Candidate = String;
}

impl Hinter for Drawing {
    type Hint = String;
}

impl Validator for Drawing {}
impl Helper for Drawing {}

/// Completes without waiting for the next key, so that arrivals go on being drawn.
struct Tab {
    screen: Arc<Screen>,
    model: Arc<SharedModel>,
}

impl ConditionalEventHandler for Tab {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        let typed = context.line().get(..context.pos()).unwrap_or_default();
        Some(match self.model.read(|model| complete(typed, model)) {
            Completion::Nothing => Cmd::Noop,
            Completion::Insert(text) => Cmd::Insert(1, text),
            Completion::Choice(all) => {
                let more = if all.len() > OFFERS { " ..." } else { "" };
                self.screen.add(&format!("{}{more}\n", all[..all.len().min(OFFERS)].join("  ")));
                Cmd::Repaint
            }
        })
    }
}

/// Ctrl-C clears what has been typed. (At an empty prompt it leaves.)
struct Interrupt;

impl ConditionalEventHandler for Interrupt {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        (!context.line().is_empty()).then_some(Cmd::Kill(Movement::WholeBuffer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_names_the_group_and_stays_short() {
        assert_eq!(prompt(None), "> ");
        assert_eq!(prompt(Some("lobby".parse().unwrap())), "lobby> ");
        assert_eq!(prompt(Some("sixteen-letters.".parse().unwrap())), "sixteen-letters.> ");
        assert_eq!(prompt(Some("x".repeat(50).parse().unwrap())), format!("{}..> ", "x".repeat(16)));
    }
}
