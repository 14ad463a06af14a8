//! `portcullis check`: is the config usable, and what does it mean?

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use portcullis_core::config;
use portcullis_core::resolver::Own;
use portcullis_core::snapshot::Snapshot;

use crate::certificates;
use crate::config_file::{self, ConfigFile, EXIT};
use crate::exit::told;
use crate::files::Files;
use crate::schema::print;

/// Reads the config, the keys and the certificates it names, and tells every error; with `effective` prints every value
/// in force as TOML instead of the word that all is well.
///
/// Exits with 0, or with 78 when `run` would not start with this config.
pub(crate) fn run(path: Option<PathBuf>, effective: bool) -> ExitCode {
    let file = match ConfigFile::read(path.as_deref()) {
        Ok(file) => file,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT);
        }
    };
    config_file::warn(&file.config.warnings);
    let shown = file.path.display().to_string();
    let files = Files::default();
    let config = Arc::new(file.config);
    let built = Snapshot::build(Arc::clone(&config), Own::default(), &|path| files.read(path), None);
    let snapshot = match built {
        Ok(snapshot) => snapshot,
        Err(errors) => {
            errors.iter().for_each(|error| eprintln!("error: {shown}: {}", told(error)));
            return ExitCode::from(EXIT);
        }
    };
    for certificate in certificates::expired(&snapshot) {
        let (listener, file) = (&certificate.listener, certificate.file.display());
        eprintln!("warning: listener `{listener}`: {file}: the certificate has expired");
    }
    if !effective {
        return print(&format!("{shown} is good: {}\n", summary(&config)));
    }
    match config::effective(&file.text, &shown, &config_file::variable) {
        Ok(text) => print(&text),
        Err(errors) => {
            eprintln!("{errors}");
            ExitCode::from(EXIT)
        }
    }
}

fn summary(config: &config::Config) -> String {
    let count = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    let parts = [
        count(config.listeners.len(), "listener"),
        count(config.routes.len(), "route"),
        count(config.upstreams.len(), "upstream"),
        count(config.warnings.len(), "warning"),
    ];
    parts.join(", ")
}
