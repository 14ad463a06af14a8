//! How the program ends: one code per kind of reader (`sysexits.h`).

use std::process::ExitCode;

use crate::config_file::ConfigFileError;

/// Why the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All is well; every session had ended by itself.
    Done = 0,
    /// The demo has seen something fail, or was ended before it had seen everything.
    Failed = 1,
    /// The command line is wrong.
    Usage = 64,
    /// An address could not be bound.
    CannotBind = 69,
    /// A defect, or a system that gives no thread.
    Bug = 70,
    /// Some sessions were cut.
    SomeCut = 75,
    /// The configuration is wrong, or a folder or file it names cannot be had.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why the program cannot begin: every error at once.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The code to end with.
    pub(crate) exit: Exit,
    /// One text per error, each for a human.
    pub(crate) errors: Vec<String>,
}

impl Refused {
    /// Refuses for one error.
    pub(crate) fn one(exit: Exit, error: impl std::error::Error) -> Self {
        Self { exit, errors: vec![format!("error: {}", told(&error))] }
    }

    /// Tells the errors on stderr and returns the code to end with.
    pub(crate) fn tell(self) -> Exit {
        for error in self.errors {
            eprintln!("{error}");
        }
        self.exit
    }
}

impl From<ConfigFileError> for Refused {
    fn from(error: ConfigFileError) -> Self {
        let errors = match error {
            ConfigFileError::Wrong(errors) => errors.0.iter().map(ToString::to_string).collect(),
            ConfigFileError::Nowhere | ConfigFileError::Unreadable { .. } => vec![error.to_string()],
        };
        Self { exit: Exit::Config, errors }
    }
}

/// Returns an error with its causes in one line.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
