//! The configuration file: its lines, read within bounds, not yet judged.
//!
//! TOML, one `key = value` for each option: a text, a number, `true` or `false`, or a list of these.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use thiserror::Error;
use toml::de::{DeTable, DeValue};

/// Bytes of a file. Far more than all options need.
const FILE_MAX: u64 = 64 * 1024;

/// Why a configuration file cannot be followed: one line to a person.
#[derive(Debug, Error)]
pub enum FileError {
    /// The system does not give it.
    #[error("the configuration file {} cannot be read: {}", .0.display(), .1)]
    Unreadable(PathBuf, io::Error),
    /// A directory, a pipe.
    #[error("{} is no file, and cannot be the configuration", .0.display())]
    NoFile(PathBuf),
    /// More than a configuration can have.
    #[error("{} is too large for a configuration: it has more than {FILE_MAX} bytes", .0.display())]
    TooLarge(PathBuf),
    /// Not text.
    #[error("{} is no configuration: it is not UTF-8", .0.display())]
    NoText(PathBuf),
    /// Something in a line is wrong.
    #[error("{}:{line}: {why}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What was expected, in one line.
        why: String,
    },
}

/// What a configuration file says.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    pub(crate) settings: Vec<Setting>,
}

/// One option, as the file sets it.
#[derive(Debug)]
pub(crate) struct Setting {
    line: usize,
    /// The option's long name.
    pub(crate) key: String,
    pub(crate) value: Value,
}

/// What an option is set to.
#[derive(Debug)]
pub(crate) enum Value {
    /// A text or a number, as it would stand on the command line.
    Text(String),
    /// For an option that needs no value: whether it is there.
    Switch(bool),
    /// For an option that may be there several times.
    List(Vec<String>),
}

impl File {
    /// Reads a file that should be there.
    pub fn read(path: &Path) -> Result<File, FileError> {
        let text = text(path)?;
        let lines = Lines(&text);
        let at = |span: Option<std::ops::Range<usize>>, why: &str| FileError::Line {
            path: path.to_owned(),
            line: lines.number(span.map_or(0, |span| span.start)),
            why: why.to_owned(),
        };
        let table = DeTable::parse(&text)
            .map_err(|error| at(error.span(), error.message().lines().next().unwrap_or("this is no TOML")))?;
        let mut settings = Vec::new();
        for (key, value) in table.into_inner() {
            let span = key.span();
            let line = lines.number(span.start);
            let value = setting(value.into_inner()).map_err(|why| at(Some(span), why))?;
            settings.push(Setting { line, key: key.into_inner().into_owned(), value });
        }
        settings.sort_by_key(|setting| setting.line);
        Ok(File { path: path.to_owned(), settings })
    }

    /// Reads a file that may be missing.
    pub fn read_if_there(path: &Path) -> Result<Option<File>, FileError> {
        match File::read(path) {
            Err(FileError::Unreadable(_, error)) if is_missing(&error) => Ok(None),
            other => other.map(Some),
        }
    }

    /// That a setting cannot be followed.
    pub(crate) fn refuse(&self, setting: &Setting, why: String) -> FileError {
        FileError::Line { path: self.path.clone(), line: setting.line, why }
    }
}

/// A part of the path that is no directory means the same as a missing one.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn text(path: &Path) -> Result<String, FileError> {
    let unreadable = |error| FileError::Unreadable(path.to_owned(), error);
    // Asked before it is opened, since that would wait at a pipe.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(FileError::NoFile(path.to_owned()));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(FileError::TooLarge(path.to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| FileError::NoText(path.to_owned()))
}

fn setting(value: DeValue<'_>) -> Result<Value, &'static str> {
    match value {
        DeValue::Boolean(on) => Ok(Value::Switch(on)),
        DeValue::Array(items) => {
            let items = items.into_iter().map(|item| scalar(item.into_inner()));
            items.collect::<Result<_, _>>().map(Value::List)
        }
        value => scalar(value).map(Value::Text),
    }
}

fn scalar(value: DeValue<'_>) -> Result<String, &'static str> {
    match value {
        DeValue::String(text) => Ok(text.into_owned()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Float(number) => Ok(number.to_string()),
        _ => Err(
            "a value is a text in quotes, a number, true or false, or a list of texts, as in [\"a\", \"b\"]",
        ),
    }
}

/// From places in a text to the numbers of their lines.
struct Lines<'a>(&'a str);

impl Lines<'_> {
    fn number(&self, at: usize) -> usize {
        1 + self.0.bytes().take(at).filter(|&byte| byte == b'\n').count()
    }
}
