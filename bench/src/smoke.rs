//! The smoke run: every load against every subject in turn, several short rounds, medians.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::load::{self, Bulk, Churn, Done, Load, PingPong, Target, Window};
use crate::net::Poller;
use crate::process;
use crate::server::Server;
use crate::subject::Subject;

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
}

impl Row {
    pub(crate) const ALL: [Self; 5] =
        [Self::Bulk1, Self::Bulk8, Self::PingPong, Self::Churn, Self::ChurnHello];

    fn target(self, subject: &Subject) -> Option<&Target> {
        match self {
            Self::Bulk1 | Self::Bulk8 => Some(&subject.source),
            Self::PingPong | Self::Churn => Some(&subject.echo),
            Self::ChurnHello => subject.hello.as_ref(),
        }
    }

    fn open(self, target: &Target, poller: &Poller) -> io::Result<Box<dyn Load>> {
        Ok(match self {
            Self::Bulk1 => Box::new(Bulk::open(target, 1, poller)?),
            Self::Bulk8 => Box::new(Bulk::open(target, 8, poller)?),
            Self::PingPong => Box::new(PingPong::open(target, 64, poller)?),
            Self::Churn | Self::ChurnHello => Box::new(Churn::open(target, 64, poller)?),
        })
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
    /// Why a subject is not there.
    pub(crate) notes: Vec<String>,
}

/// Measures; `binary` is the gateway's, if it could be built.
pub(crate) fn run(binary: Result<&Path, String>) -> io::Result<Found> {
    process::raise_file_limit()?;
    let server = Server::start()?;
    let mut notes = Vec::new();
    let mut subjects = vec![Subject::direct(server)];
    match Subject::haproxy(server)? {
        Some(haproxy) => subjects.push(haproxy),
        None => notes.push("haproxy is not installed: its columns are missing".into()),
    }
    let started = binary.and_then(|binary| {
        Subject::portcullis(server, binary).map_err(|error| format!("it does not start: {error}"))
    });
    match started {
        Ok(portcullis) => subjects.push(portcullis),
        Err(why) => notes.push(format!("portcullis is missing: {why}")),
    }

    let mut found = Found {
        subjects: subjects.iter().map(|subject| subject.name).collect(),
        rounds: BTreeMap::new(),
        idle: BTreeMap::new(),
        notes,
    };
    let mut progress = Progress::new(ROUNDS * Row::ALL.len());
    for _ in 0..ROUNDS {
        for row in Row::ALL {
            progress.tell(&format!("{row:?}"));
            for subject in &subjects {
                let Some(target) = row.target(subject) else { continue };
                let done = measure(row, target, subject.pid)?;
                found.rounds.entry((row, subject.name)).or_default().push(done);
            }
        }
    }
    for subject in &subjects {
        let Some(pid) = subject.pid else { continue };
        progress.tell(&format!("idle {}", subject.name));
        found.idle.insert(subject.name, idle(&subject.echo, pid)?);
    }
    progress.end();
    Ok(found)
}

fn measure(row: Row, target: &Target, pid: Option<u32>) -> io::Result<Done> {
    let poller = Poller::new()?;
    let mut load = row.open(target, &poller)?;
    let cpu = || pid.and_then(|pid| process::cpu(pid).ok()).unwrap_or_default();
    load::run(&mut *load, &poller, WINDOW, &cpu)
}

/// Returns how many bytes the process grew per session, each having had one message there and back.
fn idle(target: &Target, pid: u32) -> io::Result<f64> {
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
        let mut stream = load::open(target)?;
        stream.set_nonblocking(false)?;
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
