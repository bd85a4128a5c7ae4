//! From what a file says to the defaults of a program's options.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Id};

use crate::CONFIG;
use crate::file::{File, FileError, Setting, Value};

/// The command, with what the file says as defaults of its options, the `losers` aside.
pub(crate) fn with_defaults(
    mut command: Command,
    file: &File,
    losers: &BTreeSet<Id>,
) -> Result<Command, FileError> {
    // The command line and the environment are in order: what an attempt finds wrong is the setting.
    let attempt = command.clone();
    for setting in &file.settings {
        let values = values(&attempt, setting).map_err(|why| file.refuse(setting, why))?;
        let id = find(&command, &setting.key).map(|option| option.get_id().clone());
        if let (Some(id), Some(values)) = (id.filter(|id| !losers.contains(id)), values) {
            command = command.mut_arg(id, |option| option.default_values(values));
        }
    }
    Ok(command)
}

/// The values that an option has when it is set like this, as its own parser takes them; none if it is switched off.
fn values(command: &Command, setting: &Setting) -> Result<Option<Vec<OsString>>, String> {
    let key = &setting.key;
    if [CONFIG, "help", "version"].contains(&key.as_str()) {
        return Err(format!("{key} stands on the command line, not in a file"));
    }
    let id = match find(command, key) {
        Some(option) => option.get_id().clone(),
        None => return Err(unknown(command, key)),
    };
    let given = match &setting.value {
        Value::Text(text) => vec![format!("--{key}={text}")],
        Value::Switch(_) => vec![format!("--{key}")],
        Value::List(texts) => texts.iter().map(|text| format!("--{key}={text}")).collect(),
    };
    let arguments = std::iter::once(command.get_name().to_owned()).chain(given);
    let matches = command.clone().try_get_matches_from(arguments).map_err(|error| in_a_line(&error))?;
    let values = matches.get_raw(id.as_str()).into_iter().flatten().map(OsString::from).collect();
    Ok((!matches!(setting.value, Value::Switch(false))).then_some(values))
}

fn find<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|option| option.get_long() == Some(key))
}

fn unknown(command: &Command, key: &str) -> String {
    let typed = format!("--{key}");
    let attempt = command.clone().try_get_matches_from([command.get_name(), typed.as_str()]);
    let near =
        attempt.err().filter(|error| error.kind() == ErrorKind::UnknownArgument).and_then(
            |error| match error.get(ContextKind::SuggestedArg) {
                Some(ContextValue::String(near)) => Some(near.trim_start_matches('-').to_owned()),
                _ => None,
            },
        );
    let hint = match near {
        Some(near) => format!("did you mean {near}?"),
        None => "the names are those of --help, without the dashes".to_owned(),
    };
    format!("there is no option {}; {hint}", harmless(key))
}

/// What clap says, without its headline and its advice.
fn in_a_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.split("\n\n").next().unwrap_or_default();
    harmless(text.strip_prefix("error: ").unwrap_or(text))
}

/// A file's words, fit for a line on a terminal.
fn harmless(text: &str) -> String {
    const SHOWN: usize = 300;
    let plain = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text.trim_end().chars().take(SHOWN).map(plain).collect()
}
