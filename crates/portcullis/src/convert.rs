//! `portcullis convert`: the seed's config in the native form.

use std::path::PathBuf;
use std::process::ExitCode;

use portcullis_core::config::Flavour;

use crate::config_file::{ConfigFile, EXIT};
use crate::schema::print;

/// Prints the config as a native file that behaves the same; a native file as it is.
///
/// Exits with 0, or with 78 when the config is not usable or cannot be said natively.
pub(crate) fn run(path: Option<PathBuf>) -> ExitCode {
    let file = match ConfigFile::read(path.as_deref()) {
        Ok(file) => file,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT);
        }
    };
    let shown = file.path.display();
    if file.config.flavour == Flavour::Native {
        eprintln!("{shown} is in the native form already");
        return print(&file.text);
    }
    match file.config.to_native() {
        Ok(native) => {
            let notes: String =
                file.config.warnings.iter().map(|warning| format!("# Note: {}.\n", warning.text)).collect();
            print(&format!("# Made from {shown} by `portcullis convert`.\n{notes}\n{native}"))
        }
        Err(error) => {
            eprintln!("error: {shown}: {error}");
            ExitCode::from(EXIT)
        }
    }
}
