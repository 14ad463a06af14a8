//! The KCP rows: Portcullis, a gateway on kcp-go and one on C ikcp, under the same clients.
//!
//! The gateway runs on one core; its clients and the TCP endpoints share another. Clients are on the original C
//! core for all three (`bench/ikcp/load.c`), without GSO or GRO, as a client on the other side of a network card
//! would look; only FEC, which the C core has not, is asked for by kcp-go's own client.

mod exam;
pub(crate) mod report;
mod subject;
mod tools;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::process;
use crate::server::Server;
use crate::smoke::Progress;
use subject::{Running, Stable, Subject, on_core};
use tools::Tools;

/// Both windows of every session, in segments, and the bytes of a datagram, as in `bench/ikcp/load.c`.
const WINDOW: u32 = 1024;
const MTU: u32 = 1350;
const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;
/// Sessions that say something now and then, and sessions that say nothing.
const TALKERS: u32 = 1_000;
const IDLERS: u32 = 5_000;
/// Sessions before memory is looked at, so that what is paid once is not shared out.
const FIRST_IDLERS: u32 = 200;
/// What kcp-go's client moves.
const FEC_BYTES: u64 = 48 << 20;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    /// Client to endpoint, one session; the loss each way in per cent.
    Up(u8),
    /// Endpoint to client, one session; the loss each way in per cent.
    Down(u8),
    /// Client to endpoint with FEC 10/3.
    FecUp,
    /// Endpoint to client with FEC 10/3.
    FecDown,
    /// 1,000 sessions, 20 messages a second each, 64 B there and back.
    Messages,
    /// 5,000 sessions after one message.
    Idle,
}

impl Row {
    pub(crate) const ALL: [Self; 10] = [
        Self::Up(0),
        Self::Down(0),
        Self::Up(5),
        Self::Down(5),
        Self::Up(20),
        Self::Down(20),
        Self::FecUp,
        Self::FecDown,
        Self::Messages,
        Self::Idle,
    ];

    /// How often, in turns with the others.
    fn rounds(self) -> u64 {
        match self {
            Self::Up(0) | Self::Down(0) => 3,
            Self::Messages => 2,
            Self::Up(_) | Self::Down(_) | Self::FecUp | Self::FecDown | Self::Idle => 1,
        }
    }

    /// How long it warms up and is measured.
    fn times(self) -> [Duration; 2] {
        let [warm_up, measure] = match self {
            Self::Up(0) | Self::Down(0) => [150, 600],
            Self::Up(_) | Self::Down(_) => [200, 1_000],
            Self::Messages => [300, 1_500],
            Self::FecUp | Self::FecDown => [0, 0],
            Self::Idle => [300, 4_000],
        };
        [Duration::from_millis(warm_up), Duration::from_millis(measure)]
    }

    /// The words of `load` that say what is done, by how many sessions, and what is lost in per cent.
    fn load(self) -> (&'static str, u32, u8) {
        match self {
            Self::Up(loss) => ("up", 1, loss),
            Self::Down(loss) => ("down", 1, loss),
            Self::FecUp => ("UP", 1, 0),
            Self::FecDown => ("DOWN", 1, 0),
            Self::Messages => ("echo", TALKERS, 0),
            Self::Idle => ("idle", IDLERS, 0),
        }
    }

    fn has_fec(self) -> bool {
        matches!(self, Self::FecUp | Self::FecDown)
    }
}

/// What one measurement found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    /// Bytes, or messages there and back.
    pub(crate) units: u64,
    pub(crate) seconds: f64,
    /// CPU time of the gateway.
    pub(crate) cpu: Duration,
    /// Microseconds of a message there and back.
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    /// The part of its core that the load took: near 1, the gateway might do more than was asked of it.
    pub(crate) load: f64,
    /// Bytes of resident memory per idle session.
    pub(crate) memory: f64,
}

/// What the run found.
pub(crate) struct Found {
    /// All rounds of a row and a subject.
    pub(crate) rounds: BTreeMap<(Row, Subject), Vec<Done>>,
    /// Why something is not there, or failed.
    pub(crate) notes: Vec<String>,
}

/// Makes what needs a network; the rows themselves run without.
pub(crate) fn prepare(root: &Path) {
    // Whatever is missing is told where it is needed.
    tools::fetch_core(root).ok();
}

/// Measures the gateway `binary` and its peers; moves this process to the load's core for good.
pub(crate) fn run(root: &Path, binary: &Path) -> io::Result<Found> {
    process::raise_file_limit()?;
    eprintln!("building the KCP peers");
    let tools = Tools::build(root);
    let mut found = Found { rounds: BTreeMap::new(), notes: Vec::new() };
    if let Err(why) = &tools.ikcp {
        found.notes.push(format!(
            "no KCP rows but those with FEC, for the clients of the others are on the C core: {why}"
        ));
    }
    if let Err(why) = &tools.kcp_go {
        found.notes.push(format!("no rows of kcp-go, nor with FEC: {why}"));
    }
    if let Err(why) = subject::make_room() {
        found.notes.push(format!("no KCP rows: {why}"));
        return Ok(found);
    }
    let folder = std::env::temp_dir().join(format!("portcullis-bench-kcp-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let bench = Bench {
        server: Server::start()?,
        exam: exam::start()?,
        stable: Stable { gateway: binary, tools: &tools, folder },
    };
    let rounds = Row::ALL.iter().map(|row| row.rounds()).max().unwrap_or(0);
    let mut progress = Progress::new(Row::ALL.iter().map(|row| row.rounds() as usize).sum());
    for round in 0..rounds {
        for row in Row::ALL.into_iter().filter(|row| round < row.rounds()) {
            progress.tell(&format!("kcp {row:?}"));
            for subject in Subject::ALL.into_iter().filter(|subject| bench.can(row, *subject)) {
                match bench.measure(row, subject, round) {
                    Ok(done) => found.rounds.entry((row, subject)).or_default().push(done),
                    Err(error) => found.notes.push(format!("{row:?} of {}: {error}", subject.name())),
                }
            }
        }
    }
    progress.end();
    fs::remove_dir_all(&bench.stable.folder).ok();
    Ok(found)
}

struct Bench<'a> {
    server: Server,
    exam: SocketAddr,
    stable: Stable<'a>,
}

impl Bench<'_> {
    fn can(&self, row: Row, subject: Subject) -> bool {
        let Tools { ikcp, kcp_go } = self.stable.tools;
        let client = if row.has_fec() { kcp_go.is_ok() } else { ikcp.is_ok() };
        client
            && match subject {
                Subject::Portcullis => true,
                Subject::KcpGo => kcp_go.is_ok(),
                Subject::Ikcp => !row.has_fec(),
            }
    }

    fn measure(&self, row: Row, subject: Subject, seed: u64) -> io::Result<Done> {
        let endpoint = match row {
            Row::Up(_) => self.server.sink,
            Row::Down(_) => self.server.source,
            Row::FecUp | Row::FecDown => self.exam,
            Row::Messages | Row::Idle => self.server.echo,
        };
        let running = self.stable.start(subject, endpoint, row.has_fec())?;
        match row {
            Row::FecUp | Row::FecDown => self.fec(row, &running),
            Row::Idle => self.idle(row, &running),
            Row::Up(_) | Row::Down(_) | Row::Messages => self.load(row, &running, seed),
        }
    }

    fn load(&self, row: Row, running: &Running, seed: u64) -> io::Result<Done> {
        let (_, sessions, _) = row.load();
        let load = self.start_load(row, running, sessions, seed)?;
        let before = process::cpu(running.pid)?;
        let mut done = load.end()?;
        done.cpu = process::cpu(running.pid)?.saturating_sub(before);
        Ok(done)
    }

    fn idle(&self, row: Row, running: &Running) -> io::Result<Done> {
        let _first = self.start_load(row, running, FIRST_IDLERS, 0)?;
        let before = process::rss(running.pid)?;
        let mut done = self.load(row, running, 1)?;
        let grown = process::rss(running.pid)?.saturating_sub(before);
        done.memory = grown as f64 / f64::from(IDLERS);
        Ok(done)
    }

    /// Starts the clients, and returns when their measurement begins.
    fn start_load(&self, row: Row, running: &Running, sessions: u32, seed: u64) -> io::Result<Load> {
        let ikcp = self.stable.tools.have_ikcp()?;
        let (what, _, loss) = row.load();
        let [warm_up, measure] = row.times();
        let mut command = on_core(LOAD_CORE, &ikcp.load);
        command.arg(what).arg(running.port.to_string()).args([sessions, loss.into()].map(|n| n.to_string()));
        command.arg(seed.to_string()).args([warm_up, measure].map(|time| time.as_millis().to_string()));
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let stdout = process.stdout.take().ok_or_else(|| io::Error::other("no pipe"))?;
        let mut load = Load { process, said: BufReader::new(stdout) };
        let mut line = String::new();
        load.said.read_line(&mut line)?;
        if line != "open\n" {
            return Err(io::Error::other("its clients do not come up"));
        }
        Ok(load)
    }

    /// kcp-go's client from start to end: it has no warm-up, and needs none with as many bytes.
    fn fec(&self, row: Row, running: &Running) -> io::Result<Done> {
        let program = self.stable.tools.have_kcp_go()?;
        let mut client = on_core(LOAD_CORE, program);
        client.args(["client", "-timeout=20s", "-mode", row.load().0, &format!("-bytes={FEC_BYTES}")]);
        client.args(["-to", &format!("127.0.0.1:{}", running.port)]).env("GOMAXPROCS", "1");
        subject::set_kcp_go(&mut client, true);
        let before = process::cpu(running.pid)?;
        let said = tools::run(&mut client).map_err(io::Error::other)?;
        // What the gateway still does for the last bytes: an acknowledgement at most.
        thread::park_timeout(Duration::from_millis(20));
        let cpu = process::cpu(running.pid)?.saturating_sub(before);
        let report: serde_json::Value = serde_json::from_str(&said)?;
        if report["ok"] != true {
            return Err(io::Error::other(format!("kcp-go's client: {}", report["error"])));
        }
        let seconds = report["seconds"].as_f64().unwrap_or(f64::NAN);
        Ok(Done { units: FEC_BYTES, seconds, cpu, ..Done::default() })
    }
}

/// Clients at work; dropping them ends them.
struct Load {
    process: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Load {
    /// Waits for the end of the measurement.
    fn end(mut self) -> io::Result<Done> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        let report: serde_json::Value = serde_json::from_str(&line)?;
        let whole = |key: &str| report[key].as_u64().unwrap_or(0);
        let real = |key: &str| report[key].as_f64().unwrap_or(f64::NAN);
        Ok(Done {
            units: whole("units"),
            seconds: real("seconds"),
            p50: whole("p50_us"),
            p99: whole("p99_us"),
            load: real("busy"),
            ..Done::default()
        })
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Both fail only when it has ended and been waited for.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// The version of kcp-go's package.
pub(crate) fn kcp_go_version() -> String {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${Version}", "golang-github-xtaci-kcp-dev"]);
    tools::run(&mut query).unwrap_or_default()
}
