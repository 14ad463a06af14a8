//! The program: reads the command line and hands over to the command.

mod cli;
mod exit;
mod node;
mod run;
mod signals;
mod source;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main().into()
}
