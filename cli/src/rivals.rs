//! Options that cannot be used together. Where one stands on the command line and the other in the environment or the
//! file, the more specific source wins, as it does for a single option; two in the same place are a mistake.

use std::collections::BTreeSet;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Id};

use crate::file::{File, Setting, Value};

/// What an option comes from.
#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    CommandLine,
    Environment,
    File(&'a File, &'a Setting),
}

/// The command without its rules on what cannot be used together: clap does not tell sources apart.
pub(crate) fn freed(command: Command) -> Command {
    command.mut_args(|option| option.conflicts_with(Resettable::<Id>::Reset))
}

/// The options that count for nothing, since a more specific source names one that they cannot be used with.
pub(crate) fn losers(
    command: &Command,
    matches: &ArgMatches,
    file: Option<&File>,
) -> Result<BTreeSet<Id>, clap::Error> {
    let named: Vec<(&Arg, Source<'_>)> =
        command.get_arguments().filter_map(|option| Some((option, source(option, matches, file)?))).collect();
    let (mut winners, mut losers): (Vec<&Arg>, BTreeSet<Id>) = (Vec::new(), BTreeSet::new());
    for rank in 0..3 {
        let (mut new, mut lost): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
        for &(option, source) in named.iter().filter(|(_, source)| source.rank() == rank) {
            match winners.iter().any(|winner| are_rivals(command, option, winner)) {
                true => lost.push(option.get_id().clone()),
                false => new.push((option, source)),
            }
        }
        for (place, &(option, source)) in new.iter().enumerate() {
            let rival = new[..place].iter().find(|(other, _)| are_rivals(command, option, other));
            if let Some(&(rival, of_rival)) = rival {
                return Err(source.clash(option, &of_rival.name(rival)));
            }
        }
        losers.extend(lost);
        winners.extend(new.into_iter().map(|(option, _)| option));
    }
    Ok(losers)
}

/// Without what the environment says of these.
pub(crate) fn without(mut command: Command, losers: &BTreeSet<Id>) -> Command {
    for loser in losers {
        command = command.mut_arg(loser, |option| option.env(Resettable::Reset));
    }
    command
}

/// What an option comes from; none if nobody names it, or it is switched off.
fn source<'a>(option: &Arg, matches: &ArgMatches, file: Option<&'a File>) -> Option<Source<'a>> {
    let id = option.get_id().as_str();
    match matches.value_source(id) {
        Some(ValueSource::CommandLine) => Some(Source::CommandLine),
        Some(ValueSource::EnvVariable) => {
            let is_on = !matches!(option.get_action(), ArgAction::SetTrue) || matches.get_flag(id);
            is_on.then_some(Source::Environment)
        }
        _ => {
            let file = file?;
            let setting = file.settings.iter().find(|setting| option.get_long() == Some(&setting.key))?;
            (!matches!(setting.value, Value::Switch(false))).then_some(Source::File(file, setting))
        }
    }
}

fn are_rivals(command: &Command, a: &Arg, b: &Arg) -> bool {
    let names = |a: &Arg, b: &Arg| command.get_arg_conflicts_with(a).iter().any(|c| c.get_id() == b.get_id());
    names(a, b) || names(b, a)
}

impl Source<'_> {
    /// The more specific, the lower.
    fn rank(self) -> u8 {
        match self {
            Source::CommandLine => 0,
            Source::Environment => 1,
            Source::File(..) => 2,
        }
    }

    /// What an option is called there.
    fn name(self, option: &Arg) -> String {
        let long = option.get_long().unwrap_or_default();
        match self {
            Source::CommandLine => format!("--{long}"),
            Source::Environment => {
                option.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
            }
            Source::File(..) => long.to_owned(),
        }
    }

    fn clash(self, option: &Arg, rival: &str) -> clap::Error {
        let why = format!("{} cannot be used with {rival}", self.name(option));
        match self {
            Source::File(file, setting) => crate::refused(file.refuse(setting, why)),
            _ => clap::Error::raw(ErrorKind::ArgumentConflict, format!("{why}\n")),
        }
    }
}
