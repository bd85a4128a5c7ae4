//! The front end of a start: which one, what it writes to, where its lines come from.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, IsTerminal as _, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;

use decury_common::edge::Driver;

use crate::cli::{Args, Ui};
use crate::local_time;
use crate::ui::editor::LineEditor;
use crate::ui::json::JsonMode;
use crate::ui::line::{LineMode, Settings};
use crate::ui::model::SharedModel;
use crate::ui::recall::Recall;
use crate::ui::screen::{Caller, Screen, ScreenWriter};
use crate::ui::terminal::{self, Terminal};
use crate::ui::threads::{Input, Output};

/// Bytes of output gathered before they are written, unless nothing more waits.
const OUTPUT_BYTES: usize = 64 * 1024;
/// The file, in the data directory, with the lines that were typed.
const RECALL: &str = "input-history";

/// A front end that runs.
pub(crate) struct Front {
    pub(crate) output: Output,
    pub(crate) input: Input,
    /// If lines are edited.
    pub(crate) desk: Option<Desk>,
}

/// The terminal at which a person edits lines. It is left as it was found when this goes.
pub(crate) struct Desk {
    screen: Arc<Screen>,
    caller: Option<Caller>,
    _terminal: Terminal,
}

/// Starts the front end that is asked for; `seeks_peers`: some are looked for; `joins`: a group will be current soon.
pub(crate) fn start(
    driver: &Driver,
    args: &Args,
    trackers: Vec<SocketAddr>,
    data: Option<&Path>,
    seeks_peers: bool,
    joins: bool,
) -> io::Result<Front> {
    let (interactive, colours) = (terminal::is_interactive(), terminal::has_colours());
    let time = local_time::shown;
    let settings = Settings { interactive, colours, trackers, seeks_peers, time };
    let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    if args.ui == Ui::Line && terminal::can_edit() {
        return edited(driver, settings, stdout, data, joins);
    }
    let messages = BufWriter::with_capacity(OUTPUT_BYTES, stdout);
    let output = match args.ui {
        Ui::Json => Output::spawn(driver.waker(), JsonMode::new(messages)),
        Ui::Line => {
            let model = Arc::new(SharedModel::default());
            Output::spawn(driver.waker(), LineMode::new(messages, io::stderr(), settings, model))
        }
    }?;
    let input = Input::spawn(driver.waker(), || BufReader::new(io::stdin()))?;
    Ok(Front { output, input, desk: None })
}

fn edited(
    driver: &Driver,
    settings: Settings,
    stdout: File,
    data: Option<&Path>,
    joins: bool,
) -> io::Result<Front> {
    let terminal = Terminal::take()?;
    let screen = Arc::new(Screen::new(stdout));
    let model = Arc::new(SharedModel::default());
    let past = data.map_or_else(Recall::nowhere, |data| Recall::open(data.join(RECALL)));
    let mut editor = LineEditor::new(screen.clone(), model.clone(), past, settings.colours)?;
    let caller = Some(editor.caller()?);
    let messages = ScreenWriter::new(screen.clone(), editor.caller()?);
    let messages = BufWriter::with_capacity(OUTPUT_BYTES, messages);
    let told: Box<dyn Write + Send> = match io::stderr().is_terminal() {
        true => Box::new(ScreenWriter::new(screen.clone(), editor.caller()?)),
        false => Box::new(io::stderr()),
    };
    let desk = Desk { screen, caller, _terminal: terminal };
    let output = Output::spawn(driver.waker(), LineMode::new(messages, told, settings, model))?;
    let input = Input::spawn_with(driver.waker(), move |requests| editor.run(requests, joins))?;
    Ok(Front { output, input, desk: Some(desk) })
}

impl Desk {
    /// No more lines are edited: what is still shown is written at once.
    pub(crate) fn clear(&mut self) {
        if let Some(caller) = self.caller.take() {
            self.screen.end(caller);
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.clear();
    }
}
