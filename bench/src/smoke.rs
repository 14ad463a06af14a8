//! The smoke run: every load against every subject in turn, several short rounds, medians.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Read, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::load::{self, Bulk, Churn, Done, Load, PingPong, SealedChurn, Window};
use crate::net::Poller;
use crate::process;
use crate::sealed::Shown;
use crate::server::Server;
use crate::subject::{Folder, Subject};

/// Medians of five are calm enough on a machine whose single runs scatter by a tenth.
const ROUNDS: usize = 5;
const WINDOW: Window = Window { warm_up: Duration::from_millis(150), measure: Duration::from_millis(600) };
/// Sessions whose memory is looked at.
const IDLE: usize = 2_000;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    /// Endpoint to client, one connection.
    Bulk1,
    /// Endpoint to client, eight connections.
    Bulk8,
    /// 64 B there and back, 64 connections.
    PingPong,
    /// Connect, 64 B there and back, close; 64 at a time.
    Churn,
    /// The same behind a length-prefixed hello.
    ChurnHello,
    /// As `Bulk1`, the client on TLS.
    SealedBulk,
    /// As `Churn`, the client on TLS: a whole handshake each.
    SealedChurn,
}

impl Row {
    pub(crate) const ALL: [Self; 7] = [
        Self::Bulk1,
        Self::Bulk8,
        Self::PingPong,
        Self::Churn,
        Self::ChurnHello,
        Self::SealedBulk,
        Self::SealedChurn,
    ];

    /// Opens its load; `None` where the subject has no such listener.
    fn open(self, subject: &Subject, poller: &Poller) -> io::Result<Option<Box<dyn Load>>> {
        let (echo, source) = (&subject.echo, &subject.source);
        Ok(Some(match (self, &subject.hello, &subject.sealed) {
            (Self::Bulk1, _, _) => Box::new(Bulk::open(source, 1, poller)?),
            (Self::Bulk8, _, _) => Box::new(Bulk::open(source, 8, poller)?),
            (Self::PingPong, _, _) => Box::new(PingPong::open(echo, 64, poller)?),
            (Self::Churn, _, _) => Box::new(Churn::open(echo, 64, poller)?),
            (Self::ChurnHello, Some(hello), _) => Box::new(Churn::open(hello, 64, poller)?),
            (Self::SealedBulk, _, Some([_, source])) => Box::new(Bulk::open_sealed(source, 1, poller)?),
            (Self::SealedChurn, _, Some([echo, _])) => Box::new(SealedChurn::open(echo, 16, poller)?),
            (Self::ChurnHello | Self::SealedBulk | Self::SealedChurn, _, _) => return Ok(None),
        }))
    }
}

/// What the run found.
pub(crate) struct Found {
    /// The subjects' names, in the table's order.
    pub(crate) subjects: Vec<&'static str>,
    /// All rounds of a row and a subject.
    pub(crate) rounds: BTreeMap<(Row, &'static str), Vec<Done>>,
    /// Bytes of resident memory per idle session.
    pub(crate) idle: BTreeMap<&'static str, f64>,
    /// The same, the client on TLS.
    pub(crate) sealed_idle: BTreeMap<&'static str, f64>,
    /// Why a subject is not there.
    pub(crate) notes: Vec<String>,
}

/// Measures; `binary` is the gateway's, if it could be built.
pub(crate) fn run(binary: Result<&Path, String>) -> io::Result<Found> {
    process::raise_file_limit()?;
    let server = Server::start()?;
    let folder = Folder::make("certificates")?;
    let shown = Shown::make(&folder.0)?;
    let mut notes = Vec::new();
    let mut subjects = vec![Subject::direct(server)];
    match Subject::haproxy(server, &shown)? {
        Some(haproxy) => subjects.push(haproxy),
        None => notes.push("haproxy is not installed: its columns are missing".into()),
    }
    let started = binary.and_then(|binary| {
        Subject::portcullis(server, &shown, binary).map_err(|error| format!("it does not start: {error}"))
    });
    match started {
        Ok(portcullis) => subjects.push(portcullis),
        Err(why) => notes.push(format!("portcullis is missing: {why}")),
    }

    let mut found = Found {
        subjects: subjects.iter().map(|subject| subject.name).collect(),
        rounds: BTreeMap::new(),
        idle: BTreeMap::new(),
        sealed_idle: BTreeMap::new(),
        notes,
    };
    let mut progress = Progress::new(ROUNDS * Row::ALL.len());
    for _ in 0..ROUNDS {
        for row in Row::ALL {
            progress.tell(&format!("{row:?}"));
            for subject in &subjects {
                if let Some(done) = measure(row, subject)? {
                    found.rounds.entry((row, subject.name)).or_default().push(done);
                }
            }
        }
    }
    for subject in &subjects {
        let Some(pid) = subject.pid else { continue };
        progress.tell(&format!("idle {}", subject.name));
        found.idle.insert(subject.name, idle(|| load::open(&subject.echo), pid)?);
        if let Some([echo, _]) = &subject.sealed {
            found.sealed_idle.insert(subject.name, idle(|| echo.open(), pid)?);
        }
    }
    progress.end();
    Ok(found)
}

fn measure(row: Row, subject: &Subject) -> io::Result<Option<Done>> {
    let poller = Poller::new()?;
    let Some(mut load) = row.open(subject, &poller)? else { return Ok(None) };
    let cpu = || subject.pid.and_then(|pid| process::cpu(pid).ok()).unwrap_or_default();
    load::run(&mut *load, &poller, WINDOW, &cpu).map(Some)
}

/// Returns how many bytes the process grew per session, each having had one message there and back.
fn idle<S: Read + Write>(open: impl Fn() -> io::Result<S>, pid: u32) -> io::Result<f64> {
    let settled = |wait: Duration| {
        // The sessions of the load before are over when memory has stopped moving.
        let (mut last, until) = (process::rss(pid)?, Instant::now() + wait);
        while Instant::now() < until {
            thread::park_timeout(Duration::from_millis(100));
            let now = process::rss(pid)?;
            if now == last {
                break;
            }
            last = now;
        }
        Ok::<u64, io::Error>(last)
    };
    let before = settled(Duration::from_secs(2))?;
    let mut held = Vec::new();
    for _ in 0..IDLE {
        let mut stream = open()?;
        stream.write_all(&[b'x'; load::MESSAGE])?;
        stream.read_exact(&mut [0; load::MESSAGE])?;
        held.push(stream);
    }
    let after = settled(Duration::from_secs(2))?;
    Ok(after.saturating_sub(before) as f64 / IDLE as f64)
}

/// One line that says how far the run is: over itself on a terminal, line by line elsewhere.
pub(crate) struct Progress {
    began: Instant,
    step: usize,
    steps: usize,
}

impl Progress {
    pub(crate) fn new(steps: usize) -> Self {
        Self { began: Instant::now(), step: 0, steps }
    }

    pub(crate) fn tell(&mut self, what: &str) {
        self.step = (self.step + 1).min(self.steps);
        let seconds = self.began.elapsed().as_secs();
        let line = format!("{:>3} s  {:>2}/{}  {what}", seconds, self.step, self.steps);
        if io::stderr().is_terminal() {
            eprint!("\r\x1b[K{line}");
            // Progress that cannot be shown is no reason to stop.
            io::stderr().flush().ok();
        } else {
            eprintln!("{line}");
        }
    }

    pub(crate) fn end(&self) {
        if io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
        eprintln!("measured in {} s", self.began.elapsed().as_secs());
    }
}
