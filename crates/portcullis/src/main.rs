//! The program: reads the command line and hands over to the command.

mod certificates;
mod check;
mod cli;
mod config_file;
mod convert;
mod ctl;
mod demo;
mod exit;
mod files;
mod jwt;
mod man;
mod node;
mod run;
mod schema;
mod signals;
mod ticket;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
