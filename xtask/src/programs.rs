//! The programs, as their pages describe them.

use clap::{Arg, Command, CommandFactory as _};

/// A term and what it means.
pub(crate) type Entry = (String, String);

/// A program.
pub(crate) struct Program {
    /// Without what is hidden from people.
    pub(crate) command: Command,
    pub(crate) exit_status: Vec<Entry>,
    pub(crate) environment: Vec<Entry>,
    pub(crate) files: Vec<Entry>,
    pub(crate) examples: Vec<Entry>,
    pub(crate) see_also: &'static str,
}

/// All of them.
pub(crate) fn all() -> [Program; 2] {
    [node(), tracker()]
}

const WRONG_USAGE: (&str, &str) = (
    "2",
    "Wrong usage, of the command line, the environment or the configuration file; a line on stderr says what.",
);
const LOG: (&str, &str) = (
    "RUST_LOG",
    "What is logged on stderr: error, warn, info, debug or trace, or one of these for a module.",
);
const NO_COLOR: (&str, &str) = ("NO_COLOR", "Not empty: no colours.");

fn node() -> Program {
    let command = shown(&decury_node::cli::Args::command());
    Program {
        exit_status: entries(&[
            ("0", "It was asked to end: !q, the end of the input, SIGINT, SIGTERM. It has left its groups."),
            ("1", "It could not start or not go on; a line on stderr says why."),
            WRONG_USAGE,
        ]),
        environment: environment(
            &command,
            &[LOG, NO_COLOR, ("TERM", "If dumb or empty: no colours, and no editing of what is typed.")],
        ),
        files: entries(&[
            (
                "~/.config/decury/node.toml",
                "The configuration: long options with their values, as in name = \"ann\" or join = [\"lobby\", \
                 \"ops:total\"]; true for an option that needs no value. The command line and the environment win over \
                 it. (Below $XDG_CONFIG_HOME if that is set.)",
            ),
            (
                "~/.local/state/decury/USER/",
                "What the node of USER keeps, private to its owner. (Below $XDG_STATE_HOME if that is set.)",
            ),
            (
                "~/.local/state/decury/USER/input-history",
                "The last thousand lines that were typed at a terminal.",
            ),
        ]),
        examples: entries(&[
            (
                "node --name ann --host --join lobby",
                "Run a tracker inside the process, and talk in the group lobby.",
            ),
            ("node --name bob --join lobby", "Join it on the same machine."),
            (
                "node --name ann --host=0.0.0.0:7400 --join lobby",
                "Be there for other machines too; it says what they name with --tracker.",
            ),
            (
                "printf '!j lobby\\nhello\\n' | node --name bot --ui json",
                "A program that says hello and leaves.",
            ),
        ]),
        see_also: "tracker(1)",
        command,
    }
}

fn tracker() -> Program {
    let command = shown(&decury_tracker::cli::Cli::command());
    Program {
        exit_status: entries(&[
            ("0", "It was asked to end: SIGINT, SIGTERM."),
            ("1", "It could not start or not go on; a line on stderr says why."),
            WRONG_USAGE,
        ]),
        environment: environment(&command, &[LOG]),
        files: entries(&[(
            "~/.config/decury/tracker.toml",
            "The configuration: long options with their values, as in listen = \"0.0.0.0:7400\". The command line and \
             the environment win over it. (Below $XDG_CONFIG_HOME if that is set.)",
        )]),
        examples: entries(&[
            ("tracker", "For the nodes of this machine."),
            ("tracker --listen 0.0.0.0:7400", "For everybody; it says at which addresses others find it."),
        ]),
        see_also: "node(1)",
        command,
    }
}

/// The command without what is hidden, which pages and completions would show.
fn shown(command: &Command) -> Command {
    let mut shown = Command::new(command.get_name().to_owned())
        .args(command.get_arguments().filter(|option| !option.is_hide_set()).cloned())
        .subcommands(command.get_subcommands().filter(|command| !command.is_hide_set()).map(self::shown));
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        shown = shown.version(version.to_owned());
    }
    shown
}

/// The variables of the options, and further ones.
fn environment(command: &Command, further: &[(&str, &str)]) -> Vec<Entry> {
    let of_option = |option: &Arg| {
        let variable = option.get_env()?.to_str()?.to_owned();
        Some((variable, format!("The same as --{}.", option.get_long()?)))
    };
    command.get_arguments().filter_map(of_option).chain(entries(further)).collect()
}

fn entries(entries: &[(&str, &str)]) -> Vec<Entry> {
    entries.iter().map(|&(term, about)| (term.to_owned(), about.to_owned())).collect()
}
