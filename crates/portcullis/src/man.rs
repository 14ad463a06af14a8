//! `portcullis man` and `portcullis completions`: what the command line says of itself, in the forms that pagers
//! and shells read.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::config_file::PLACES;
use crate::schema::print;

/// Which pages, and where to.
#[derive(Debug, Args)]
pub(crate) struct ManCommand {
    /// Writes the pages of all commands into this folder instead
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// For which shell.
#[derive(Debug, Args)]
pub(crate) struct CompletionsCommand {
    /// The shell
    shell: Shell,
}

/// A term and what is said of it.
type Row = (&'static str, &'static str);

const EXIT_STATUS: &[Row] = &[
    ("0", "Done; for run: every session had ended by itself."),
    ("1", "What was to be minted, opened, written, demonstrated or done by a gateway could not be."),
    ("64", "The command line is wrong."),
    (
        "69",
        "An address could not be bound: another process has it, or it is not this machine's. ctl: no gateway is reached.",
    ),
    ("70", "A defect of the gateway."),
    ("75", "Ended, but some sessions were cut at the end of the drain."),
    ("77", "ctl: the token is not known, or may not do that."),
    ("78", "The configuration is wrong, or a file or folder it names cannot be had."),
];
const FILES: &[Row] = &[
    (PLACES[0], "The configuration, when --config names none."),
    (PLACES[1], "The configuration, when that is not there either."),
    (
        "/var/lib/portcullis/admin.token",
        "The token of the admin listener, unless admin.token_file says otherwise.",
    ),
];
const ENVIRONMENT: &[Row] =
    &[("NAME", "Any variable: ${NAME} in a string of the configuration is replaced by its value.")];
const SIGNALS: &[Row] = &[
    (
        "SIGTERM, SIGINT",
        "Drain: take no more sessions, let those there are end, then end. A second one ends at once.",
    ),
    ("SIGHUP", "Read the configuration again. With any error in it nothing changes."),
    ("SIGUSR1", "Open the log files again, after they were moved away."),
];

impl ManCommand {
    /// Prints the page of the program, or writes all pages.
    ///
    /// # Errors
    /// The folder cannot be made or written to.
    pub(crate) fn run(self, program: Command) -> anyhow::Result<()> {
        let pages = pages(program)?;
        match self.out {
            Some(folder) => write(&folder, &pages),
            None => crate::jwt::say(pages.first().map_or("", |page| page.text.trim_end())),
        }
    }
}

impl CompletionsCommand {
    /// Prints the script that a shell completes `program` with.
    pub(crate) fn run(self, mut program: Command) -> ExitCode {
        let name = program.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, name, &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}

/// A manual page.
struct Page {
    file: String,
    text: String,
}

fn write(folder: &Path, pages: &[Page]) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for page in pages {
        let path = folder.join(&page.file);
        std::fs::write(&path, &page.text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The pages of a program and of all its commands, its own first.
fn pages(mut program: Command) -> io::Result<Vec<Page>> {
    program.build();
    let mut waiting = vec![program];
    let mut commands = Vec::new();
    while let Some(command) = waiting.pop() {
        waiting.extend(command.get_subcommands().cloned());
        commands.push(command);
    }
    commands.sort_by_key(|command| name_of(command).to_owned());
    let names: Vec<String> = commands.iter().map(|command| name_of(command).to_owned()).collect();
    commands.into_iter().map(|command| page(command, &names)).collect()
}

fn name_of(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: Command, names: &[String]) -> io::Result<Page> {
    let name = name_of(&command).to_owned();
    // What is said of the process is said where one looks for it: with the program and with what stays running.
    let serves = !name.contains('-') || name.ends_with("-run");
    let has_commands = command.has_subcommands();
    let source = concat!("portcullis ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command).source(source).manual("Portcullis");
    let file = man.get_filename();
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if has_commands {
        man.render_subcommands_section(&mut text)?;
    }
    let mut roff = Roff::new();
    section(&mut roff, "EXIT STATUS", EXIT_STATUS);
    if serves {
        section(&mut roff, "FILES", FILES);
        section(&mut roff, "ENVIRONMENT", ENVIRONMENT);
        section(&mut roff, "SIGNALS", SIGNALS);
    }
    let others: Vec<String> =
        names.iter().filter(|other| **other != name).map(|other| format!("{other}(1)")).collect();
    roff.control("SH", ["SEE ALSO"]).text([roman(others.join(", "))]);
    roff.to_writer(&mut text)?;
    Ok(Page { file, text: String::from_utf8_lossy(&text).into_owned() })
}

fn section(roff: &mut Roff, title: &str, rows: &[Row]) {
    roff.control("SH", [title]);
    for (term, text) in rows {
        roff.control("TP", []).text([bold(*term)]).text([roman(*text)]);
    }
}

#[cfg(test)]
mod tests;
