//! Makes what is distributed beside the programs: `cargo xtask man|completions [--out DIR]`.

mod manual;
mod programs;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use programs::Program;

/// The shells that get completions.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Makes what is distributed beside the programs.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Man pages of node and tracker
    Man(Out),
    /// Completions for bash, zsh and fish
    Completions(Out),
}

#[derive(Debug, Args)]
struct Out {
    /// Where to put them [default: target/man, target/completions]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let (files, out, place) = match Xtask::parse().task {
        Task::Man(out) => (man(), out, "target/man"),
        Task::Completions(out) => (completions(), out, "target/completions"),
    };
    let out = out.out.unwrap_or_else(|| place.into());
    match files.and_then(|files| write(&out, &files)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {}: {error}", out.display());
            ExitCode::FAILURE
        }
    }
}

/// The pages, by their names.
fn man() -> io::Result<Vec<(String, Vec<u8>)>> {
    let pages = programs::all().iter().map(manual::pages).collect::<io::Result<Vec<_>>>();
    Ok(pages?.into_iter().flatten().collect())
}

/// The scripts, by the names under which shells look for them.
fn completions() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for program in programs::all() {
        for shell in SHELLS {
            files.push(completion(&program, shell));
        }
    }
    Ok(files)
}

fn completion(program: &Program, shell: Shell) -> (String, Vec<u8>) {
    let mut script = Vec::new();
    let name = program.command.get_name().to_owned();
    clap_complete::generate(shell, &mut program.command.clone(), &name, &mut script);
    let file = match shell {
        Shell::Zsh => format!("_{name}"),
        Shell::Fish => format!("{name}.fish"),
        _ => name,
    };
    (format!("{shell}/{file}"), script)
}

fn write(out: &Path, files: &[(String, Vec<u8>)]) -> io::Result<()> {
    for (name, contents) in files {
        let path = out.join(name);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(&path, contents)?;
        println!("{}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file has every option that people see, of the program in its name.
    fn assert_complete(files: &[(String, Vec<u8>)], spelled: impl Fn(&str, &str) -> String) {
        for program in programs::all() {
            let name = program.command.get_name();
            let of_it = |file: &&(String, Vec<u8>)| {
                let file = file.0.rsplit('/').next().unwrap();
                matches!(file.trim_start_matches('_').split('.').next(), Some(stem) if stem == name)
            };
            let mut found = 0;
            for (file, contents) in files.iter().filter(of_it) {
                let text = String::from_utf8(contents.clone()).unwrap();
                for option in program.command.get_arguments().filter_map(|option| option.get_long()) {
                    let spelled = spelled(file, option);
                    assert!(text.contains(&spelled), "{file} lacks {spelled}");
                }
                // An option of later versions.
                assert!(!text.contains("tracker-key") && !text.contains("tracker\\-key"), "{file}");
                found += 1;
            }
            assert!(found > 0, "nothing for {name}");
        }
    }

    #[test]
    fn every_shell_completes_every_option() {
        let files = completions().unwrap();
        assert!(files.len() >= 6);
        assert_complete(&files, |file, option| match file.starts_with("fish") {
            true => format!("-l {option}"),
            false => format!("--{option}"),
        });
    }

    #[test]
    fn the_pages_have_every_option_and_the_sections_that_people_look_for() {
        let files = man().unwrap();
        assert_complete(&files, |_, option| format!("\\-\\-{}", option.replace('-', "\\-")));
        for (name, page) in files.iter().filter(|(name, _)| ["node.1", "tracker.1"].contains(&name.as_str()))
        {
            let page = String::from_utf8(page.clone()).unwrap();
            for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS"].into_iter().chain([
                "\"EXIT STATUS\"",
                "ENVIRONMENT",
                "FILES",
                "EXAMPLES",
                "\"SEE ALSO\"",
            ]) {
                assert!(page.contains(&format!("\n.SH {section}\n")), "{name} lacks {section}");
            }
        }
    }

    #[test]
    fn every_option_says_what_it_does_which_value_it_takes_and_its_variable() {
        for program in programs::all() {
            for option in program.command.get_arguments() {
                assert!(option.get_help().is_some(), "{option} has no help");
                assert!(option.get_env().is_some(), "{option} has no variable");
                let takes = option.get_action().takes_values();
                assert!(!takes || option.get_value_names().is_some(), "{option} names no value");
            }
        }
    }
}
