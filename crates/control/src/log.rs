//! Log lines: one bounded queue, one thread that formats and writes them.
//!
//! Owns the files, their rotation and what happens when they cannot be written. Whoever tells an
//! [`Entry`] never waits: when the queue is full the line is dropped and counted, and the next line
//! that is written says how many are missing. Owns no policy of what deserves a line.

mod endpoint;
mod entry;
mod escape;
mod file;
mod line;
mod session;
mod suppress;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use portcullis_core::config::{self, LogLevel};

pub use self::entry::{Entry, Field};
use self::file::File;
pub use self::line::Format;
use self::writer::{Outputs, Writer};

/// How many lines may wait for the writer. At most about 2.5 KiB each (10 fields of 256 bytes).
const QUEUE: usize = 8192;

/// Why logging cannot begin (exit 78) or a changed `[log]` is refused.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The folder of a log file is missing and could not be made.
    #[error("log file {}: folder {} cannot be made; make it, or set another path in [log]", file.display(), folder.display())]
    Folder {
        /// The log file.
        file: PathBuf,
        /// Its folder.
        folder: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A log file could not be opened for appending.
    #[error("log file {}: cannot be opened for appending; check its owner and mode, or set another path in [log]", file.display())]
    Open {
        /// The log file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The writer's thread did not start.
    #[error("the log's thread cannot be started; check the limit of processes (`ulimit -u`)")]
    Thread(#[source] io::Error),
}

/// What was lost, for metrics. Monotonic since the process began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Losses {
    /// Lines dropped because the queue was full.
    pub dropped: u64,
    /// Lines, rotations and reopenings that the file system refused.
    pub failed: u64,
}

/// Takes log lines; cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    shared: Arc<Shared>,
    queue: SyncSender<Work>,
}

/// Keeps the writer's thread; ends it in order.
#[derive(Debug)]
#[must_use = "lines told just before the process ends are only written by `finish`"]
pub struct LogThread {
    log: Log,
    ended: Receiver<()>,
}

/// What the handles and the writer share besides the queue.
#[derive(Debug)]
struct Shared {
    level: AtomicU8,
    /// Has the audit a file of its own? Then its lines are written whatever the level is.
    audits: AtomicBool,
    dropped: AtomicU64,
    failed: AtomicU64,
    reopen: AtomicBool,
    finish: AtomicBool,
    /// Outputs opened by [`Log::configure`], not yet taken over by the writer.
    outputs: Mutex<Option<Outputs>>,
}

/// What passes the queue.
#[derive(Debug)]
enum Work {
    /// A line.
    Entry(Entry),
    /// Nothing but a reason to look at [`Shared`].
    Look,
}

impl Log {
    /// Opens the files of `config` and starts the writer.
    ///
    /// # Errors
    /// A folder that cannot be made, a file that cannot be opened, or no thread.
    pub fn start(config: &config::Log) -> Result<(Self, LogThread), LogError> {
        let outputs = Outputs::open(config)?;
        let (queue, work) = mpsc::sync_channel(QUEUE);
        let (end, ended) = mpsc::sync_channel(1);
        let shared = Arc::new(Shared {
            level: AtomicU8::new(rank(config.level)),
            audits: AtomicBool::new(config.audit_file.is_some()),
            dropped: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            reopen: AtomicBool::new(false),
            finish: AtomicBool::new(false),
            outputs: Mutex::new(None),
        });
        let log = Self { shared: Arc::clone(&shared), queue };
        let writer = Writer::new(outputs, shared);
        thread::Builder::new()
            .name("log".into())
            .spawn(move || {
                writer.run(&work);
                // Nobody waits any more when `finish` gave up: then there is nobody to tell.
                let _unheard = end.try_send(());
            })
            .map_err(LogError::Thread)?;
        Ok((log.clone(), LogThread { log, ended }))
    }

    /// Would a line of `level` be written?
    #[must_use]
    pub fn has(&self, level: LogLevel) -> bool {
        rank(level) >= self.shared.level.load(Ordering::Relaxed)
    }

    /// Tells `entry`. Never blocks: with a full queue the line is dropped and counted.
    pub fn tell(&self, entry: Entry) {
        let has_own_file = entry.audit && self.shared.audits.load(Ordering::Relaxed);
        if !has_own_file && !self.has(entry.level()) {
            return;
        }
        if self.queue.try_send(Work::Entry(entry)).is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the files anew by their names, as a rotating program outside expects after SIGUSR1.
    ///
    /// Happens before the next line is written. A file that cannot be opened is counted in
    /// [`Losses::failed`]; its lines go on into the old one.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        self.wake();
    }

    /// Changes level, format and files; lines told before still go to the old files.
    ///
    /// # Errors
    /// As [`Log::start`]; nothing is changed then.
    pub fn configure(&self, config: &config::Log) -> Result<(), LogError> {
        let outputs = Outputs::open(config)?;
        self.shared.level.store(rank(config.level), Ordering::Relaxed);
        self.shared.audits.store(config.audit_file.is_some(), Ordering::Relaxed);
        *self.shared.outputs.lock().unwrap_or_else(PoisonError::into_inner) = Some(outputs);
        self.wake();
        Ok(())
    }

    /// Returns what was lost so far.
    #[must_use]
    pub fn losses(&self) -> Losses {
        Losses {
            dropped: self.shared.dropped.load(Ordering::Relaxed),
            failed: self.shared.failed.load(Ordering::Relaxed),
        }
    }

    /// Makes an idle writer look at the shared flags; a busy one does so anyway.
    fn wake(&self) {
        match self.queue.try_send(Work::Look) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

impl LogThread {
    /// Writes what was told before, and ends the writer.
    ///
    /// Waits at most `patience`: a pipe nobody reads must not keep the process from ending. Returns
    /// false when it gave up.
    #[must_use]
    pub fn finish(self, patience: Duration) -> bool {
        self.log.shared.finish.store(true, Ordering::Release);
        self.log.wake();
        self.ended.recv_timeout(patience).is_ok()
    }
}

/// Makes the folder of `file` and its parents.
fn make_folder(file: &Path) -> Result<(), LogError> {
    let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(|source| LogError::Folder {
        file: file.to_owned(),
        folder: folder.to_owned(),
        source,
    })
}

/// Orders levels, least severe first.
fn rank(level: LogLevel) -> u8 {
    match level {
        LogLevel::Trace => 0,
        LogLevel::Debug => 1,
        LogLevel::Info => 2,
        LogLevel::Warn => 3,
        LogLevel::Error => 4,
    }
}
