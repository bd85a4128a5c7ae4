//! Man pages: what clap knows of a program, and the sections that it does not.

use std::io;

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::programs::{Entry, Program};

/// The pages of a program and its subcommands, by their names.
pub(crate) fn pages(program: &Program) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut pages = vec![(format!("{}.1", program.command.get_name()), page(program)?)];
    for subcommand in program.command.get_subcommands() {
        let name = format!("{}-{}", program.command.get_name(), subcommand.get_name());
        let mut page = Vec::new();
        titled(subcommand.clone().name(name.clone())).render(&mut page)?;
        pages.push((format!("{name}.1"), page));
    }
    Ok(pages)
}

fn page(program: &Program) -> io::Result<Vec<u8>> {
    let man = titled(program.command.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if program.command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut roff = Roff::new();
    section(&mut roff, "EXIT STATUS", &program.exit_status);
    section(&mut roff, "ENVIRONMENT", &program.environment);
    section(&mut roff, "FILES", &program.files);
    section(&mut roff, "EXAMPLES", &program.examples);
    roff.control("SH", ["SEE ALSO"]).text([roman(program.see_also)]);
    roff.to_writer(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}

fn titled(command: clap::Command) -> Man {
    Man::new(command).manual("Decury").source(concat!("Decury ", env!("CARGO_PKG_VERSION")))
}

/// A list of terms, each with its paragraph.
fn section(roff: &mut Roff, name: &str, entries: &[Entry]) {
    roff.control("SH", [name]);
    for (term, about) in entries {
        roff.control("TP", []).text([bold(term)]).text([roman(about)]);
    }
}
