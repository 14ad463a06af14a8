//! The configuration's file: where it is, what is in it, and the environment it may name.

use std::fs;
use std::path::{Path, PathBuf};

use portcullis_core::config::Config;

use crate::exit::{Exit, Refused};

/// Where the configuration is looked for when nobody says.
const PLACES: [&str; 2] = ["config/config.toml", "/etc/portcullis/portcullis.toml"];

/// A file that was read and understood.
#[derive(Debug)]
pub(crate) struct Source {
    /// What was in it.
    pub(crate) text: String,
    /// What it means.
    pub(crate) config: Config,
}

/// Returns the file to read: the one that was asked for, else the first that is there.
pub(crate) fn find(asked: Option<&Path>) -> Result<PathBuf, Refused> {
    if let Some(file) = asked {
        return Ok(file.to_owned());
    }
    let found = PLACES.iter().map(PathBuf::from).find(|file| file.exists());
    found.ok_or_else(|| {
        let places = PLACES.join(" nor ");
        let error = format!("error: there is neither {places}; make one of them, or use `--config PATH`");
        Refused { exit: Exit::Config, errors: vec![error] }
    })
}

/// Reads the text of `file`.
pub(crate) fn read_text(file: &Path) -> Result<String, Refused> {
    fs::read_to_string(file).map_err(|error| {
        let error = format!("error: {}: cannot be read: {error}", file.display());
        Refused { exit: Exit::Config, errors: vec![error] }
    })
}

/// Reads and understands `file`; tells every error at once.
pub(crate) fn read(file: &Path) -> Result<Source, Refused> {
    let text = read_text(file)?;
    let parsed = Config::parse(&text, &file.display().to_string(), &environment);
    let config = parsed.map_err(|errors| Refused {
        exit: Exit::Config,
        errors: errors.0.iter().map(ToString::to_string).collect(),
    })?;
    Ok(Source { text, config })
}

/// Answers for `${NAME}`.
#[expect(clippy::disallowed_methods, reason = "this is where the environment is read and passed on by name")]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
