//! Files that are read for what they hold, and looked at again to see whether they changed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The largest file that is read, in bytes: every certificate of a large site, many times over.
const LARGEST: u64 = 16 << 20;

/// What each file was when it was last read.
#[derive(Debug, Default)]
pub(crate) struct Files {
    seen: RefCell<BTreeMap<PathBuf, Seen>>,
}

/// A file at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// `None` = it was not there, or no file: whoever reads a pipe waits for its other end.
    stamp: Option<Stamp>,
    /// Of what it held; `None` = it could not be read.
    content: Option<u64>,
}

/// What the file system says of a file, symbolic links followed. Another one means another look at the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// Of the inode, which nobody can set.
    changed: (i64, i64),
}

impl From<Metadata> for Stamp {
    fn from(metadata: Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Files {
    /// Reads a file whole, and keeps in mind what it was.
    ///
    /// # Errors
    /// The system's, and a file larger than 16 MiB.
    pub(crate) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        // The stamp comes first: whatever changes after it is seen at the next look.
        let stamp = stamp(path);
        let bytes = whole(path);
        let seen = Seen { stamp, content: bytes.as_deref().ok().map(fingerprint) };
        self.seen.borrow_mut().insert(path.into(), seen);
        bytes
    }

    /// Reads a file as [`Self::read`] does, unless it is something that might keep its reader waiting.
    ///
    /// # Errors
    /// As [`Self::read`], and whatever is no file.
    pub(crate) fn read_again(&self, path: &Path) -> io::Result<Vec<u8>> {
        if stamp(path).is_none() {
            fs::metadata(path)?;
            return Err(io::Error::other("is no file"));
        }
        self.read(path)
    }

    /// The files that hold something else than when they were last read. Those never read are not looked at.
    pub(crate) fn changed<'a>(&self, paths: impl Iterator<Item = &'a Path>) -> Vec<PathBuf> {
        let mut seen = self.seen.borrow_mut();
        let mut changed = Vec::new();
        for path in paths {
            let Some(before) = seen.get_mut(path) else { continue };
            let stamp = stamp(path);
            if stamp == before.stamp {
                continue;
            }
            let content = stamp.and_then(|_| whole(path).ok());
            let now = Seen { stamp, content: content.as_deref().map(fingerprint) };
            if now.content != before.content {
                changed.push(path.into());
            }
            *before = now;
        }
        changed
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    fs::metadata(path).ok().filter(Metadata::is_file).map(Stamp::from)
}

fn whole(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("is larger than {} MiB", LARGEST >> 20)));
    }
    Ok(bytes)
}

/// Tells contents apart that nobody chose to be alike.
fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests;
