//! One log file: appended to, put aside by size and age, opened anew on demand.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use portcullis_core::config::Rotate;

use super::{LogError, make_folder};

/// How long a rotation that failed is not tried again.
const RETRY: Duration = Duration::from_secs(60);

/// A log file that is open.
///
/// Old files are `name.1` (the latest) to `name.{keep}`.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    open: fs::File,
    rotate: Rotate,
    size: u64,
    born: SystemTime,
    /// The last write ended inside a line that could not be taken back.
    torn: bool,
    rotate_after: SystemTime,
}

impl File {
    /// Opens `path` for appending; makes it and its folders.
    pub(super) fn open(path: &Path, rotate: Rotate, now: SystemTime) -> Result<Self, LogError> {
        make_folder(path)?;
        let open = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|source| LogError::Open { file: path.to_owned(), source })?;
        let about = open.metadata().ok();
        let size = about.as_ref().map_or(0, fs::Metadata::len);
        // A file system without birth times knows at least when it was last written to.
        let born =
            about.filter(|_| size > 0).and_then(|about| about.created().or_else(|_| about.modified()).ok());
        Ok(Self {
            path: path.to_owned(),
            open,
            rotate,
            size,
            born: born.unwrap_or(now),
            torn: false,
            rotate_after: SystemTime::UNIX_EPOCH,
        })
    }

    /// Opens the same path anew. On an error the old file stays open.
    pub(super) fn reopen(&mut self, now: SystemTime) -> Result<(), LogError> {
        *self = Self::open(&self.path, self.rotate, now)?;
        Ok(())
    }

    /// Puts the file aside if `line` would make it too large, or if it is too old.
    ///
    /// # Errors
    /// The file system's. The file stays open then, and the next try is a minute later.
    pub(super) fn rotate_for(&mut self, line: usize, now: SystemTime) -> Result<(), LogError> {
        let full = self.size > 0 && self.size.saturating_add(line as u64) > self.rotate.max_size;
        // A clock that went back makes no file old.
        let old = self.size > 0 && now.duration_since(self.born).unwrap_or_default() >= self.rotate.max_age;
        if !(full || old) || now < self.rotate_after {
            return Ok(());
        }
        self.rotate_after = now + RETRY;
        self.put_aside().map_err(|source| LogError::Open { file: self.path.clone(), source })?;
        self.reopen(now)
    }

    /// Appends `line`, all of it or, as far as the file system lets us, nothing.
    ///
    /// # Errors
    /// The file system's; the line is lost then.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.open.write_all(b"\n")?;
            self.size += 1;
            self.torn = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            match self.open.write(rest) {
                Ok(0) => return Err(self.tear(line.len() - rest.len(), io::ErrorKind::WriteZero.into())),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.tear(line.len() - rest.len(), error)),
            }
        }
        self.size += line.len() as u64;
        Ok(())
    }

    /// Takes back the first `written` bytes of a line, so that no reader meets half of one.
    fn tear(&mut self, written: usize, error: io::Error) -> io::Error {
        if written > 0 && self.open.set_len(self.size).is_err() {
            self.torn = true;
            self.size += written as u64;
        }
        error
    }

    /// Renames the file to `.1`, what was there to `.2`, and so on; the oldest goes.
    fn put_aside(&self) -> io::Result<()> {
        if self.rotate.keep == 0 {
            return fs::remove_file(&self.path);
        }
        // Up to the first gap: what lies behind it need not move.
        let taken = (1..=self.rotate.keep).take_while(|&nth| self.aside(nth).exists()).count();
        for nth in (1..=taken).rev().filter_map(|nth| u16::try_from(nth).ok()) {
            if nth < self.rotate.keep {
                fs::rename(self.aside(nth), self.aside(nth + 1))?;
            }
        }
        fs::rename(&self.path, self.aside(1))
    }

    /// The path of the `nth` old file.
    fn aside(&self, nth: u16) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{nth}"));
        name.into()
    }
}
