//! `portcullis ctl`: asks a running gateway, and tells it what an operator wants.

mod client;
mod find;
mod order;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use self::client::{Client, ClientError};
use self::find::{AdminAddress, FindError};
use self::order::Order;
use crate::schema::print;

/// Asks a running gateway, and tells it what you want of it
#[derive(Debug, Args)]
pub(crate) struct CtlCommand {
    /// Where its admin listener is: `address:port`, `http://address:port` or `unix:/path` [default: what the
    /// configuration says]
    #[arg(long, global = true, value_name = "ADDRESS")]
    admin: Option<AdminAddress>,
    /// The file of the token to show [default: what the configuration says]
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Prints JSON, as the admin API gives it
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    order: Order,
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
enum CtlError {
    /// It is not known where to ask.
    #[error(transparent)]
    Find(#[from] FindError),
    /// Nobody is there, or what is there does not answer as a gateway does.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The gateway does not do it.
    #[error("{}", told.join("\n  "))]
    Refused {
        /// The status of its answer.
        status: u16,
        /// Its words.
        told: Vec<String>,
    },
}

impl CtlError {
    /// The code to end with, by `sysexits.h`.
    fn exit(&self) -> u8 {
        match self {
            Self::Find(error) => error.exit(),
            Self::Client(_) => 69,
            Self::Refused { status: 401 | 403, .. } => 77,
            Self::Refused { .. } => 1,
        }
    }
}

impl CtlCommand {
    /// Does what was asked and prints the answer. `config` is the file that `--config` names.
    pub(crate) fn run(self, config: Option<&Path>) -> ExitCode {
        match self.answer(config) {
            Ok(text) => print(&text),
            Err(error) => {
                eprintln!("error: {error}");
                let mut cause = std::error::Error::source(&error);
                while let Some(error) = cause {
                    eprintln!("  {error}");
                    cause = error.source();
                }
                error.exit().into()
            }
        }
    }

    fn answer(self, config: Option<&Path>) -> Result<String, CtlError> {
        let (address, token) = find::find(config, self.admin, self.token_file)?;
        let client = Client { address, token };
        let answer = self.order.carry_out(&client)?;
        Ok(if self.json { format!("{answer:#}\n") } else { self.order.shown(&answer) })
    }
}
