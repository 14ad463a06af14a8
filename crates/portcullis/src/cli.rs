//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::ctl::CtlCommand;
use crate::demo::{self, Demo};
use crate::exit::{Exit, Refused};
use crate::jwt::JwtCommand;
use crate::man::{CompletionsCommand, ManCommand};
use crate::ticket::TicketCommand;
use crate::{check, convert, run, schema};

/// A transparent gateway for stateful, long-lived services.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, about, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// The configuration [default: config/config.toml, then /etc/portcullis/portcullis.toml]
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until told to end
    Run(Run),
    /// Shows every kind of client reach every kind of endpoint, on this machine alone
    Demo(Demo),
    /// Reads the configuration and tells every mistake
    Check {
        /// Prints every value in force, each with where it comes from
        #[arg(long)]
        effective: bool,
    },
    /// Prints a configuration of `[tcpgate]` form in the native form
    Convert,
    /// Prints the JSON Schema of the native form
    Schema,
    /// Mints and verifies JSON Web Tokens
    Jwt(JwtCommand),
    /// Makes keys of tickets, seals and opens tickets
    Ticket(TicketCommand),
    /// Asks a running gateway, and tells it what you want of it
    Ctl(CtlCommand),
    /// Prints the manual page, for `man -l -`
    Man(ManCommand),
    /// Prints what a shell completes this command line with
    Completions(CompletionsCommand),
}

/// What `run` may be told.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Writes where the listeners are as JSON once they serve: `{"listeners":{NAME:[ADDRESS]},"admin":ADDRESS}`
    #[arg(long, value_name = "PATH")]
    pub(crate) addresses_file: Option<PathBuf>,
}

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell when the terminal is gone.
            let _closed = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done }.into();
        }
    };
    match cli.command {
        Command::Run(args) => run::run(cli.config.as_deref(), &args).unwrap_or_else(Refused::tell).into(),
        Command::Demo(args) => demo::run(&args).unwrap_or_else(Refused::tell).into(),
        Command::Check { effective } => check::run(cli.config, effective),
        Command::Convert => convert::run(cli.config),
        Command::Schema => schema::run(),
        Command::Jwt(command) => finish(command.run()),
        Command::Ticket(command) => finish(command.run()),
        Command::Ctl(command) => command.run(cli.config.as_deref()),
        Command::Man(command) => finish(command.run(Cli::command())),
        Command::Completions(command) => command.run(Cli::command()),
    }
}

/// Ends a command that answers with one text or one refusal.
fn finish(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
