//! What the kernel lets this process have.

use std::io;

use rustix::process::{Resource, getrlimit, setrlimit};

/// How many files this process may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// The limit in force.
    pub soft: u64,
    /// As far as it may be raised.
    pub hard: u64,
}

/// Raises the limit of open files to the hard limit and returns what is in force then.
///
/// # Errors
/// The kernel's; the limit is then as it was.
pub fn raise_open_files() -> io::Result<OpenFiles> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit)?;
    }
    Ok(open_files())
}

/// Returns the limit of open files in force.
#[must_use]
pub fn open_files() -> OpenFiles {
    let limit = getrlimit(Resource::Nofile);
    OpenFiles { soft: limit.current.unwrap_or(u64::MAX), hard: limit.maximum.unwrap_or(u64::MAX) }
}

/// Lets the kernel write no core file of this process: it would hold keys and tokens.
///
/// # Errors
/// The kernel's.
pub fn forbid_core_files() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Core);
    limit.current = Some(0);
    Ok(setrlimit(Resource::Core, limit)?)
}
