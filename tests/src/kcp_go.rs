//! kcp-go as a peer: client and server of tests/peers, built once per run, ended with the test.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use crate::exam::Mode;
use crate::foreign::{self, Process};
use crate::skip;

/// Where Debian's Go packages are.
pub const GOPATH: &str = "/usr/share/gocode";

/// How both sides of a KCP session are set.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The cipher by its name in the configuration.
    pub crypt: &'static str,
    /// Data and parity shards; `(0, 0)` is no FEC.
    pub fec: (u8, u8),
    /// The preset by its name.
    pub preset: &'static str,
    /// Both windows, in segments.
    pub window: u16,
    /// The payload of a UDP datagram, in bytes.
    pub mtu: u16,
    /// Stream mode, against message mode.
    pub stream: bool,
}

/// The ciphers by their names in the configuration.
pub const CIPHERS: [&str; 8] = ["null", "none", "xor", "aes-128", "aes-192", "aes-256", "salsa20", "aes-gcm"];

/// The passphrase of every link.
pub const PASSPHRASE: &str = "it's a secrect";

impl Default for Link {
    fn default() -> Self {
        Self { crypt: "null", fec: (0, 0), preset: "fast2", window: 256, mtu: 1350, stream: true }
    }
}

impl Link {
    /// The line of a listener, route or upstream that is set alike.
    #[must_use]
    pub fn table(&self) -> String {
        let Self { crypt, fec: (data, parity), preset, window, mtu, stream } = self;
        let key = if ["null", "none"].contains(crypt) {
            String::new()
        } else {
            format!("key = \"{PASSPHRASE}\", ")
        };
        let fec = if *data == 0 { "[]".to_owned() } else { format!("[{data}, {parity}]") };
        format!(
            "kcp = {{ crypt = \"{crypt}\", {key}fec = {fec}, preset = \"{preset}\", window = {window}, mtu = {mtu}, stream = {stream} }}"
        )
    }

    fn set(&self, command: &mut Command) {
        let (data, parity) = self.fec;
        command.args(["-crypt", self.crypt, "-key", PASSPHRASE, "-preset", self.preset]);
        command.arg(format!("-fec={data}/{parity}")).arg(format!("-stream={}", self.stream));
        command.arg(format!("-window={}", self.window)).arg(format!("-mtu={}", self.mtu));
    }
}

/// What the sessions of a client do.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// So many bytes in one go, by SHA-256.
    Bulk(Mode, u64),
    /// So many messages of so many bytes, each answered before the next.
    Messages(usize, usize),
}

/// What a client is told.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// How its sessions are set.
    pub link: Link,
    /// Where it dials.
    pub to: SocketAddr,
    /// The key of its hello; none is said without one.
    pub hello: Option<&'a str>,
    /// How many at the same time.
    pub sessions: usize,
    /// What each of them does.
    pub work: Work,
    /// From one message to the next; zero does not wait.
    pub pace: Duration,
    /// How long a session may take; beyond, it has stalled.
    pub within: Duration,
}

impl Ask<'_> {
    /// One session without a hello, within half a minute.
    #[must_use]
    pub fn new(link: Link, to: SocketAddr, work: Work) -> Self {
        let (pace, within) = (Duration::ZERO, Duration::from_secs(30));
        Self { link, to, hello: None, sessions: 1, work, pace, within }
    }
}

/// What a client says at its end.
#[derive(Clone, Debug)]
pub struct Report {
    /// Did every session do its work, and did every byte arrive as it was sent?
    pub ok: bool,
    /// How many did not.
    pub failed: u64,
    /// What the first of them met.
    pub error: String,
    /// What the gateway answered its hello with, if not `ok`.
    pub refused: String,
    /// SHA-256 of what the first session sent and of what the other side received, or the other way round.
    pub digests: [String; 2],
    /// How long all took, in seconds.
    pub seconds: f64,
    /// The 50th and the 99th percentile of a message's round trip, in milliseconds.
    pub rtt: [f64; 2],
    /// Datagrams rebuilt from parity.
    pub recovered: u64,
}

/// The built program.
#[derive(Clone, Debug)]
pub struct KcpGo {
    program: PathBuf,
}

impl KcpGo {
    /// Builds the program, or files that `test` is skipped because Go or kcp-go is not on this machine.
    #[must_use]
    pub fn have(test: &str) -> Option<Self> {
        if !skip::have(test, &["go"]) {
            return None;
        }
        if !Path::new(GOPATH).join("src/github.com/xtaci/kcp-go").exists() {
            skip::skip(test, "needs golang-github-xtaci-kcp-dev");
            return None;
        }
        static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
        Some(Self { program: PROGRAM.get_or_init(build).clone() })
    }

    /// Runs a client to its end.
    #[must_use]
    pub fn ask(&self, ask: &Ask<'_>) -> Report {
        let output = self.client(ask).stderr(Stdio::inherit()).output().unwrap();
        Report::parse(&output.stdout)
    }

    /// Starts a client that goes on by itself.
    #[must_use]
    pub fn start(&self, ask: &Ask<'_>) -> Asking {
        Asking(Process(self.client(ask).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()))
    }

    fn client(&self, ask: &Ask<'_>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["client", "-to", &ask.to.to_string()]);
        ask.link.set(&mut command);
        command.arg(format!("-sessions={}", ask.sessions));
        command.arg(format!("-timeout={}ms", ask.within.as_millis()));
        command.arg(format!("-pace={}ms", ask.pace.as_millis()));
        if let Some(key) = ask.hello {
            command.args(["-hello", key]);
        }
        match ask.work {
            Work::Bulk(mode, bytes) => {
                command.args(["-mode", mode.name()]).arg(format!("-bytes={bytes}"));
            }
            Work::Messages(count, size) => {
                command.arg(format!("-messages={count}")).arg(format!("-size={size}"));
            }
        }
        command
    }

    /// Starts the service of [`crate::exam`] on a free port of loopback.
    #[must_use]
    pub fn serve(&self, link: &Link) -> Server {
        self.listen("server", link)
    }

    /// Starts a gateway on kcp-go: KCP in, a hello with an address, TCP out.
    #[must_use]
    pub fn gateway(&self, link: &Link) -> Server {
        self.listen("gateway", link)
    }

    fn listen(&self, role: &str, link: &Link) -> Server {
        let mut command = Command::new(&self.program);
        command.arg(role).stdin(Stdio::piped()).stdout(Stdio::piped());
        link.set(&mut command);
        let mut process = Process(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(process.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let first: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = first["address"].as_str().unwrap().parse().unwrap();
        Server { _process: process, address }
    }
}

/// Go keeps what it has compiled beside the program, so that only the first build of a target folder takes time.
fn build() -> PathBuf {
    let mut go = Command::new("go");
    go.arg("build").current_dir(foreign::sources()).env("GOCACHE", foreign::folder().join("go-cache"));
    go.envs([("GO111MODULE", "off"), ("CGO_ENABLED", "0"), ("GOPATH", GOPATH)]);
    foreign::build("kcp-go", go.arg("-o"))
}

impl Report {
    fn parse(stdout: &[u8]) -> Self {
        let text = String::from_utf8_lossy(stdout);
        let tree: serde_json::Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
        let text = |key: &str| tree[key].as_str().unwrap().to_owned();
        let real = |key: &str| tree[key].as_f64().unwrap();
        Self {
            ok: tree["ok"].as_bool().unwrap(),
            failed: tree["failed"].as_u64().unwrap(),
            error: text("error"),
            refused: text("refused"),
            digests: [text("sha_sent"), text("sha_received")],
            seconds: real("seconds"),
            rtt: [real("rtt_p50_ms"), real("rtt_p99_ms")],
            recovered: tree["fec_recovered"].as_u64().unwrap(),
        }
    }
}

/// A client at work; dropping it ends it.
#[derive(Debug)]
pub struct Asking(Process);

impl Asking {
    /// Waits for its end, which its deadline bounds.
    #[must_use]
    pub fn wait(mut self) -> Report {
        let mut text = Vec::new();
        self.0.0.stdout.take().unwrap().read_to_end(&mut text).unwrap();
        Report::parse(&text)
    }
}

/// A running server; dropping it ends it.
#[derive(Debug)]
pub struct Server {
    _process: Process,
    address: SocketAddr,
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
