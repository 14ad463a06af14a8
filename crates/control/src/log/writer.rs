//! The one thread that writes: takes entries, formats them, and keeps count of what was lost.

use std::io::{self, Write as _};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use portcullis_core::config::{self, LogLevel};

use super::entry::Entry;
use super::suppress::{self, Suppress, Verdict};
use super::{File, Format, LogError, Losses, Shared, Work};

/// How often an idle writer looks for left-out lines nobody has told, and a busy one for losses.
const LOOK: Duration = Duration::from_secs(1);

/// Where lines go.
#[derive(Debug)]
pub(super) struct Outputs {
    format: Format,
    /// Lines below ERROR; `None` = stderr.
    info: Option<File>,
    /// Lines of ERROR; `None` = where the others go.
    error: Option<File>,
    /// Lines of the audit; `None` = where the others go.
    audit: Option<File>,
}

impl Outputs {
    /// Opens what `config` names.
    pub(super) fn open(config: &config::Log) -> Result<Self, LogError> {
        let now = SystemTime::now();
        let open = |path: &std::path::PathBuf| File::open(path, config.rotate, now);
        let info = config.info_file.as_ref().map(open).transpose()?;
        // One file named twice has one size and one rotation.
        let error_file = config.error_file.as_ref().filter(|path| config.info_file.as_ref() != Some(path));
        let error = error_file.map(open).transpose()?;
        let is_shared = |path: &&std::path::PathBuf| {
            [&config.info_file, &config.error_file].into_iter().any(|other| other.as_ref() == Some(*path))
        };
        let audit_file = config.audit_file.as_ref().filter(|path| !is_shared(path));
        let audit = audit_file.map(open).transpose()?;
        Ok(Self { format: config.format.into(), info, error, audit })
    }

    /// Returns how `entry` is written, and the file for it; `None` is stderr.
    fn of(&mut self, entry: &Entry) -> (Format, Option<&mut File>) {
        match (entry.level, &mut self.error, &mut self.audit) {
            (_, _, Some(audit)) if entry.audit => (Format::Json, Some(audit)),
            (LogLevel::Error, Some(error), _) => (self.format, Some(error)),
            _ => (self.format, self.info.as_mut()),
        }
    }
}

/// The writer's own state.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    outputs: Outputs,
    suppress: Suppress,
    line: String,
    /// What the log itself has told of its losses.
    told: Losses,
    look_at: Instant,
}

impl Writer {
    /// Makes a writer that has written nothing.
    pub(super) fn new(outputs: Outputs, shared: Arc<Shared>) -> Self {
        Self {
            shared,
            outputs,
            suppress: Suppress::default(),
            line: String::new(),
            told: Losses { dropped: 0, failed: 0 },
            look_at: Instant::now() + LOOK,
        }
    }

    /// Writes until told to finish and nothing waits, or until no handle is left.
    pub(super) fn run(mut self, queue: &Receiver<Work>) {
        loop {
            let work = queue.recv_timeout(self.look_at.saturating_duration_since(Instant::now()));
            match work {
                Ok(Work::Entry(entry)) => self.handle_entry(entry),
                Ok(Work::Look) | Err(RecvTimeoutError::Timeout) => self.handle_flags(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= self.look_at {
                self.look_at = Instant::now() + LOOK;
                self.tell_missing(Instant::now());
            }
            if self.shared.finish.load(Ordering::Acquire) {
                break;
            }
        }
        while let Ok(work) = queue.try_recv() {
            if let Work::Entry(entry) = work {
                self.handle_entry(entry);
            }
        }
        // What is left out in windows that are still open would never be told.
        self.tell_missing(Instant::now() + suppress::WINDOW);
    }

    /// Writes `entry` unless too many like it were written.
    fn handle_entry(&mut self, mut entry: Entry) {
        // A reopening asked for before this line was told takes effect before it is written.
        self.handle_flags();
        if entry.limited && entry.level >= LogLevel::Warn {
            match self.suppress.handle_line(entry.message, Instant::now()) {
                Verdict::Tell => {}
                Verdict::TellMissing(count) => entry = entry.with("suppressed", count),
                Verdict::Leave => return,
            }
        }
        self.write(&entry);
    }

    /// Does what was asked for outside the queue.
    fn handle_flags(&mut self) {
        let outputs = self.shared.outputs.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(outputs) = outputs {
            self.outputs = outputs;
        }
        if !self.shared.reopen.swap(false, Ordering::AcqRel) {
            return;
        }
        let now = SystemTime::now();
        for file in
            [&mut self.outputs.info, &mut self.outputs.error, &mut self.outputs.audit].into_iter().flatten()
        {
            if file.reopen(now).is_err() {
                self.shared.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Says what was left out in windows that are over at `now`, and what was lost since it was last said.
    fn tell_missing(&mut self, now: Instant) {
        while let Some((message, count)) = self.suppress.poll_missing(now) {
            self.write(
                &Entry::warn("repeated lines were suppressed")
                    .with("line", message)
                    .with("suppressed", count),
            );
        }
        let losses = Losses {
            dropped: self.shared.dropped.load(Ordering::Relaxed),
            failed: self.shared.failed.load(Ordering::Relaxed),
        };
        if losses == self.told {
            return;
        }
        let entry = Entry::warn("log lines were lost")
            .with("dropped", losses.dropped - self.told.dropped)
            .with("failed", losses.failed - self.told.failed);
        if self.write(&entry) {
            self.told = losses;
        } else {
            // Its own failure is part of the next telling only through the lines of others.
            self.shared.failed.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Writes one line. Returns false, and counts, when it is lost.
    fn write(&mut self, entry: &Entry) -> bool {
        self.line.clear();
        let (format, file) = self.outputs.of(entry);
        format.write(entry, &mut self.line);
        let line = self.line.as_bytes();
        let wrote = match file {
            Some(file) => {
                if file.rotate_for(line.len(), SystemTime::now()).is_err() {
                    self.shared.failed.fetch_add(1, Ordering::Relaxed);
                }
                file.append(line)
            }
            // Not by `eprint!`: it panics when stderr is closed.
            None => io::stderr().lock().write_all(line),
        };
        if wrote.is_err() {
            self.shared.failed.fetch_add(1, Ordering::Relaxed);
        }
        wrote.is_ok()
    }
}
