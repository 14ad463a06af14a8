//! The config file: where it is, what it says, and what is told when it cannot be used.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use portcullis_core::config::{Config, ConfigErrors, Warning};

/// Where the file is looked for when nobody says where it is; the first that exists is taken.
pub(crate) const PLACES: [&str; 2] = ["config/config.toml", "/etc/portcullis/portcullis.toml"];
/// Exit code of everything that is wrong with the config (EX_CONFIG of sysexits.h).
pub(crate) const EXIT: u8 = 78;
/// The largest file that is read, in bytes: whatever is larger is not a config but a mistake in the path.
const LARGEST: u64 = 16 << 20;

/// A config file that was read and understood.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What stands in it.
    pub(crate) text: String,
    /// What it means.
    pub(crate) config: Config,
}

/// Why there is no usable config. All of it belongs on stderr; the exit code is [`EXIT`].
#[derive(Debug)]
pub(crate) enum ConfigFileError {
    /// Nobody said where the file is, and it is in none of its places.
    Nowhere,
    /// The file cannot be read.
    Unreadable {
        /// Where it should be.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// The file can be read, but not used.
    Wrong(ConfigErrors),
}

impl fmt::Display for ConfigFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => {
                write!(
                    f,
                    "error: no config file: neither {} is there\n   = name it: `--config PATH`",
                    PLACES.join(" nor ")
                )
            }
            Self::Unreadable { path, why } => {
                let shown = path.display();
                write!(f, "error: {shown}: {why}\n   = is `--config` right, and may this user read it?")
            }
            Self::Wrong(errors) => errors.fmt(f),
        }
    }
}

impl std::error::Error for ConfigFileError {}

impl ConfigFile {
    /// Reads the file at `path`, or the first of [`PLACES`] that exists.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, ConfigFileError> {
        let known = PLACES.iter().map(Path::new).find(|place| place.exists());
        let path = path.or(known).ok_or(ConfigFileError::Nowhere)?.to_path_buf();
        let text = read_text(&path).map_err(|why| ConfigFileError::Unreadable { path: path.clone(), why })?;
        let config =
            Config::parse(&text, &path.display().to_string(), &variable).map_err(ConfigFileError::Wrong)?;
        Ok(Self { path, text, config })
    }
}

/// Looks a variable of the environment up, for `${NAME}` in the file.
pub(crate) fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the config's door is where the environment comes in")]
    std::env::var(name).ok()
}

/// Tells the warnings of a config on stderr, one a line.
pub(crate) fn warn(warnings: &[Warning]) {
    for warning in warnings {
        let at = warning.at.as_deref().map(|at| format!("{at}: ")).unwrap_or_default();
        eprintln!("warning: {at}{}", warning.text);
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("larger than {} MiB; not a config file", LARGEST >> 20));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        format!("line {} is not UTF-8", good.iter().filter(|byte| **byte == b'\n').count() + 1)
    })
}
