//! `portcullis schema`: the config's JSON Schema, for editors.

use std::io::{self, Write};
use std::process::ExitCode;

use portcullis_core::config;

/// Prints the JSON Schema of the native form.
pub(crate) fn run() -> ExitCode {
    print(&config::schema())
}

/// Prints on stdout. A reader that left early, as `head` does, has what it wanted.
pub(crate) fn print(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: stdout: {error}");
            ExitCode::FAILURE
        }
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}
