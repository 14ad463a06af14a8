//! The gateway under test.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use portcullis_peers::Gateway;
use rustix::process::{Pid, Signal, kill_process};

use crate::{Metrics, within};

/// How long closing may take until descriptors and sessions are back to what they were: it takes a second at most,
/// and the machine may have other work. Less than what would end a session that was forgotten.
const CLEAN_WITHIN: Duration = Duration::from_secs(8);

/// The binary under test: `PORTCULLIS_BIN`, or the one beside the tests in the target folder.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is how the tests are told what to test")]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("PORTCULLIS_BIN") {
        return path.into();
    }
    let this = std::env::current_exe().unwrap();
    // target/debug/deps/story-1a2b → target/debug/portcullis
    this.parent().and_then(Path::parent).unwrap().join("portcullis")
}

/// A folder for one gate: its config, keys and logs. Removed when dropped.
#[derive(Debug)]
pub struct Site {
    folder: PathBuf,
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// Makes an empty folder.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("portcullis-test-{}-{number}", std::process::id()));
        // A process of this number that was killed may have left its own.
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file into the folder and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn write_config(&self, text: &str) {
        self.write("config.toml", text.replace("{folder}", &self.folder.display().to_string()));
    }

    /// Starts the gateway here.
    #[must_use]
    pub fn start(self, config: &str) -> Gate {
        self.start_by(Command::new(binary()), config)
    }

    /// Starts the gateway here by another command, which executes the binary.
    #[must_use]
    pub fn start_by(self, command: Command, config: &str) -> Gate {
        match self.try_start_by(command, config) {
            Ok(gate) => gate,
            Err(error) => panic!("the gateway does not start: {error}\n{config}"),
        }
    }

    fn try_start_by(self, command: Command, config: &str) -> io::Result<Gate> {
        self.write_config(config);
        let gateway = Gateway::start(command, &self.folder)?;
        let mut gate = Gate { gateway, site: self, sockets_at_start: 0 };
        gate.settle();
        Ok(gate)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // A failing test's logs have been printed; a folder that stays does no harm.
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// A running gateway. Dropping it kills it, and prints its log when the test failed.
#[derive(Debug)]
pub struct Gate {
    gateway: Gateway,
    site: Site,
    sockets_at_start: usize,
}

impl Gate {
    /// Starts it on a config; `{folder}` in the text is the gate's own folder.
    #[must_use]
    pub fn start(config: &str) -> Self {
        Site::new().start(config)
    }

    /// Starts it on a config that must be refused, and returns the exit status and what it said.
    ///
    /// # Errors
    /// When it starts after all, the gate.
    pub fn refused(config: &str) -> Result<String, Box<Self>> {
        match Site::new().try_start_by(Command::new(binary()), config) {
            Ok(gate) => Err(Box::new(gate)),
            Err(error) => Ok(error.to_string()),
        }
    }

    /// Counts its sockets once it has made all that it serves with: the same number four times in a row.
    fn settle(&mut self) {
        let (mut last, mut same) = (0, 0);
        let settled = within(Duration::from_secs(20), || {
            let sockets = self.sockets();
            same = if sockets == last { same + 1 } else { 0 };
            last = sockets;
            (same == 4).then_some(())
        });
        assert!(settled.is_some(), "the gateway's sockets come and go without a client");
        self.sockets_at_start = last;
    }

    /// Where a listener is reached.
    #[must_use]
    pub fn listener(&self, name: &str) -> SocketAddr {
        self.gateway.listener(name).unwrap_or_else(|| panic!("no listener {name}"))
    }

    /// Where the admin listener is.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.gateway.admin().expect("the config has an admin listener")
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.gateway.pid()
    }

    /// Its folder.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// What it wrote to stderr until now.
    #[must_use]
    pub fn log(&self) -> String {
        self.gateway.stderr()
    }

    /// The resident memory in bytes.
    #[must_use]
    pub fn rss(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
    }

    /// CPU time used so far, user and kernel.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        let (_, fields) = stat.rsplit_once(')').unwrap();
        // utime and stime are fields 14 and 15, and the name was the second.
        let ticks = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().unwrap())
            .sum::<u64>();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.pid())).unwrap()
    }

    /// How many descriptors are open, of any kind.
    #[must_use]
    pub fn fds(&self) -> usize {
        self.links().len()
    }

    /// How many sockets are open. Pipes are not among them: a worker keeps a few for the next large flow.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.links().iter().filter(|link| link.starts_with("socket:")).count()
    }

    fn links(&self) -> Vec<String> {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        // A descriptor may be closed between its listing and its reading.
        let links = folder.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links.map(|link| link.to_string_lossy().into_owned()).collect()
    }

    /// Asks the admin listener; returns the status and the body.
    pub fn ask(&self, path: &str) -> io::Result<(u16, String)> {
        let mut stream = TcpStream::connect(self.admin())?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        // HTTP/1.0: the body ends with the connection.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((status.ok_or(io::ErrorKind::InvalidData)?, body.to_owned()))
    }

    /// What `/metrics` says.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let (status, body) = self.ask("/metrics").unwrap();
        assert_eq!(status, 200, "{body}");
        Metrics::new(body)
    }

    /// Live sessions, those that are still opening included.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.metrics().sum("portcullis_sessions", &[]) as usize
    }

    /// Waits until as many sessions live.
    pub fn wait_for_sessions(&self, count: usize) {
        let seen = within(Duration::from_secs(30), || (self.sessions() == count).then_some(()));
        assert!(seen.is_some(), "{} sessions instead of {count}", self.sessions());
    }

    /// Writes a config and has it reloaded; `true` when it was taken, `false` when it was refused.
    pub fn reload(&self, config: &str) -> bool {
        let count = |metrics: &Metrics| metrics.sum("portcullis_reloads_total", &[]) as u64;
        let before = count(&self.metrics());
        self.site.write_config(config);
        self.signal(Signal::HUP);
        let after =
            within(Duration::from_secs(30), || Some(self.metrics()).filter(|now| count(now) != before));
        let after = after.expect("a reload is counted");
        assert_eq!(count(&after), before + 1, "one signal, one reload");
        after.sum("portcullis_last_reload_successful", &[]) > 0.5
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end; the exit code, or `None` when it has not ended within `time`.
    pub fn wait(&mut self, time: Duration) -> Option<i32> {
        self.gateway.wait(time).unwrap().map(|status| status.code().unwrap_or(-1))
    }

    /// Sends SIGTERM and waits for the end; returns the exit code.
    pub fn terminate(mut self) -> i32 {
        self.signal(Signal::TERM);
        self.wait(Duration::from_secs(60)).expect("the gateway ends")
    }

    /// Asserts that nothing is left of any session: no socket above those it started with, soon.
    pub fn assert_clean(&self) {
        let clean = within(CLEAN_WITHIN, || (self.sockets() <= self.sockets_at_start).then_some(()));
        if clean.is_none() {
            let count = |kind| self.links().iter().filter(|link| link.starts_with(kind)).count();
            panic!(
                "{} sockets, {} at the start; {} pipe ends",
                count("socket:"),
                self.sockets_at_start,
                count("pipe:")
            );
        }
        if self.gateway.admin().is_some() {
            self.wait_for_sessions(0);
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            // The end of the log is where the failure is.
            let from = log.char_indices().rev().nth(20_000).map_or(0, |(index, _)| index);
            eprintln!("--- the gateway's log\n{}", &log[from..]);
        }
    }
}
