//! `portcullis check`: is the config usable, and what does it mean?

use std::path::PathBuf;
use std::process::ExitCode;

use portcullis_core::config;
use portcullis_core::resolver::Resolver;

use crate::config_file::{self, ConfigFile, EXIT};
use crate::schema::print;

/// Reads the config and the key files it names, and tells every error; with `effective` prints every value
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
    let broken = key_errors(&file.config);
    for error in &broken {
        eprintln!("error: {shown}: {error}");
    }
    if !broken.is_empty() {
        return ExitCode::from(EXIT);
    }
    if !effective {
        return print(&format!("{shown} is good: {}\n", summary(&file.config)));
    }
    match config::effective(&file.text, &shown, &config_file::variable) {
        Ok(text) => print(&text),
        Err(errors) => {
            eprintln!("{errors}");
            ExitCode::from(EXIT)
        }
    }
}

/// What is wrong with the key files of the routes.
fn key_errors(config: &config::Config) -> Vec<String> {
    let read = |path: &std::path::Path| std::fs::read(path);
    let told = |error: portcullis_core::resolver::ResolverError| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{error}{cause}")
    };
    config.routes.iter().filter_map(|route| Resolver::build(route, &read, None).err().map(told)).collect()
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
