//! What the operator wrote, parsed once: past this door nobody asks again whether a value is sound.
//!
//! The types here are the *checked* form. Reading TOML into them is the business of the section files: each
//! has a table of its keys, with kind, bounds, default and meaning, and a `read` and a `write` that go through
//! it. The parser, `convert`, `check --effective`, the JSON Schema and the reference are all made from these
//! tables, so that they cannot drift apart.
//!
//! To add a key: a `static` and a row in its section file, a line each in its `read` and `write`, and a field
//! here. Words that are known but not served yet stand in `later`, so that they are refused by name; a key
//! that comes into being moves from there into the rows.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

mod admin;
mod bind;
mod dial;
mod error;
mod frames;
mod health;
mod kcp;
mod key;
mod kind;
mod limit;
mod listener;
mod log;
mod name;
mod native;
mod parse;
mod pool;
mod process;
mod reference;
mod resolver;
mod route;
mod seed;
mod store;
#[cfg(test)]
mod tests;
mod tls;
mod tokens;
mod tree;
mod upstream;
mod write;
mod ws;

pub use admin::{Admin, AdminBind};
pub use dial::{Dial, DialTls, DialWs, ProxyHeader, Transport};
pub use error::{ConfigError, ConfigErrors};
pub use frames::{Dispatch, FrameCodec, FrameTypes, Frames, Heartbeat, OnLimit, TypeBytes};
pub use health::{Agent, Eject, Health, Probe};
pub use kcp::{Kcp, KcpKey};
pub use limit::{Quota, Quotas, RateLimit};
pub use parse::{NotNative, effective};
pub use pool::Pool;
pub use reference::{reference, schema};
pub use resolver::{Frontd, Jwt, NameRule, NameTable, NameTarget, Resolver, Route, Ticket};
pub use tls::{CertFiles, ClientAuth, Tls, TlsVersion};
pub use tokens::{Tokens, Voucher};
pub use upstream::{Balance, HashOn, OnDown, Queue, Upstream, UpstreamEndpoint};

use crate::name::{ListenerName, RouteName};

/// Told wherever no `allow` says what keys may reach.
const OPEN_ALLOW: &str = "keys reach whatever is no more private than their client; \
    say what is meant: `allow = [\"10.0.0.0/8:7000-7999\"]`";

/// Stands wherever a secret would be shown: not even whoever wrote it is shown it.
const SECRET: &str = "***";

/// The whole configuration of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which of the two forms the file was written in.
    pub flavour: Flavour,
    /// How many worker threads relay.
    pub workers: Workers,
    /// Where logs go.
    pub log: Log,
    /// How names are looked up.
    pub dns: Dns,
    /// The admin listener; `None` = there is none.
    pub admin: Option<Admin>,
    /// Limits of the process.
    pub limits: Limits,
    /// The file of the embedded store: device tokens, bans, run-time states.
    pub store: PathBuf,
    /// How the process ends.
    pub drain: Drain,
    /// Networks counted as near, for `congestion = "auto"`.
    pub private_networks: Vec<ipnet::IpNet>,
    /// What clients connect to. Never empty.
    pub listeners: Vec<Listener>,
    /// How keys become targets.
    pub routes: Vec<Route>,
    /// Named sets of endpoints.
    pub upstreams: Vec<Upstream>,
    /// What runs, but deserves a word at start.
    pub warnings: Vec<Warning>,
}

/// The form a file was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// `[[listener]]`, `[route.x]`, `[upstream.x]`.
    Native,
    /// `[tcpgate] [kcpgate] [wsgate] [common]`: the form of the seed.
    Seed,
}

/// Something that runs but that the operator should look at; told once at start and by `check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// `file:line:col`, when it belongs to a place.
    pub at: Option<Box<str>>,
    /// What is the matter, with what to write instead.
    pub text: Box<str>,
}

/// How many worker threads relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One per core.
    Auto,
    /// As many as the operator says.
    Fixed(NonZeroU16),
}

/// Where logs go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How a line is written.
    pub format: LogFormat,
    /// The least severe level that is written.
    pub level: LogLevel,
    /// Lines below ERROR; `None` = stderr.
    pub info_file: Option<PathBuf>,
    /// Lines of ERROR; `None` = where the others go.
    pub error_file: Option<PathBuf>,
    /// Lines of the audit, as JSON; `None` = with the others.
    pub audit_file: Option<PathBuf>,
    /// When files are put aside.
    pub rotate: Rotate,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `time LEVEL message key=value …`
    Text,
    /// One JSON object a line.
    Json,
}

/// How severe a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Per read.
    Trace,
    /// Branches and session starts.
    Debug,
    /// Sessions and state changes.
    Info,
    /// Someone should look this week.
    Warn,
    /// The gateway cannot do its job.
    Error,
}

/// When a log file is put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotate {
    /// A file is put aside before it would grow past this many bytes.
    pub max_size: u64,
    /// A file is put aside when it is this old.
    pub max_age: Duration,
    /// How many old files stay.
    pub keep: u16,
}

/// How names are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Servers to ask; empty = the system's.
    pub servers: Vec<SocketAddr>,
    /// How long one look-up may take in all.
    pub timeout: Duration,
}

/// Limits of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most sessions at a time; `None` = derived from RLIMIT_NOFILE.
    pub sessions: Option<u32>,
    /// Failed dials a client address may cause per minute; `None` = no limit.
    pub failed_dials_per_minute: Option<u32>,
    /// What sessions may use, all together and each. The count of all is `sessions`.
    pub quotas: Quotas,
}

/// How the process ends on SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long it goes on accepting after readiness went off.
    pub delay: Duration,
    /// How long sessions have to end; the last half of it closes the rest at an even pace.
    pub timeout: Duration,
}

/// What clients connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name; unique.
    pub name: ListenerName,
    /// What clients speak.
    pub protocol: Protocol,
    /// Where it listens; never empty. A bare port is `[::]:port`, dual stack.
    pub bind: Vec<SocketAddr>,
    /// How a client says where it belongs.
    pub hello: Hello,
    /// The whole hello, from accept, never extended by progress.
    pub hello_timeout: Duration,
    /// The longest key, in bytes.
    pub hello_max_bytes: u32,
    /// From hello to success, all attempts together.
    pub open_timeout: Duration,
    /// Sent when the endpoint is open; empty = nothing.
    pub success_message: Box<[u8]>,
    /// Sent on any failure; empty = nothing.
    pub failure_message: Box<[u8]>,
    /// The one moment at which failures are told, counted from the hello.
    pub failure_delay: Duration,
    /// The route of its sessions.
    pub route: RouteName,
    /// How long a session may be silent.
    pub idle_timeout: Duration,
    /// Whose bytes count as life.
    pub idle: Idle,
    /// How long the second direction may be silent once the first has ended.
    pub half_close_timeout: Duration,
    /// How long a session may last; it ends up to a tenth earlier, so that not all end at once.
    pub max_age: Option<Duration>,
    /// May large flows bypass user space?
    pub zero_copy: bool,
    /// When the kernel asks a silent TCP peer whether it is there.
    pub keepalive: Keepalive,
    /// How long sent bytes may be unacknowledged until a TCP connection is broken.
    pub user_timeout: Duration,
    /// The congestion control of its sockets; nothing to kcp.
    pub congestion: Congestion,
    /// WebSocket settings; `Some` exactly when the protocol is `ws` or `wss`.
    pub ws: Option<Ws>,
    /// TLS settings; `Some` exactly when the protocol is `tls` or `wss`.
    pub tls: Option<Arc<Tls>>,
    /// Peers that must send a PROXY protocol header first, and everyone else is refused; empty = nobody sends one.
    pub proxy_protocol: Vec<ipnet::IpNet>,
    /// KCP settings; `Some` exactly when the protocol is `kcp`.
    pub kcp: Option<Arc<Kcp>>,
    /// What its sessions may use, all together and each.
    pub limits: Quotas,
    /// Networks whose clients are let in; empty = all.
    pub allow: Vec<ipnet::IpNet>,
    /// Networks whose clients are not, whatever `allow` says.
    pub deny: Vec<ipnet::IpNet>,
    /// Frame mode; `None` = bytes as they come.
    pub frames: Option<Arc<Frames>>,
    /// Device tokens; `None` = devices are not asked who they are. Only in frame mode.
    pub tokens: Option<Arc<Tokens>>,
}

/// When the kernel asks a silent peer whether it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// After so much silence.
    pub idle: Duration,
    /// Again after so much more.
    pub interval: Duration,
    /// So often in vain, the connection is broken.
    pub count: u8,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), interval: Duration::from_secs(10), count: 3 }
    }
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A plain byte stream.
    Tcp,
    /// A byte stream over TLS.
    Tls,
    /// RFC 6455 over TCP.
    Ws,
    /// RFC 6455 over TLS.
    Wss,
    /// A byte stream over datagrams, as kcp-go and ikcp.c speak it.
    Kcp,
}

/// How a client says where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hello {
    /// u32 little-endian length, then the key.
    LengthPrefixed,
    /// frontd's: a line of base64, or 0x00, a length byte and the blob.
    Frontd,
    /// funny/gateway's: a line of base64.
    Funny,
    /// In the HTTP upgrade (ws, wss).
    Header,
    /// The name that the client asks TLS for (RFC 6066 section 3): with tls after the handshake, with tcp peeked at
    /// without ending TLS here.
    Sni,
    /// Not at all: the route names an upstream.
    None,
}

/// Whose bytes keep a session alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// The client's only.
    Client,
    /// Either side's.
    Either,
}

/// The congestion control of sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Congestion {
    /// reno or cubic where the peer is near, else the system's.
    Auto,
    /// The system's.
    System,
    /// The one named.
    Named(Box<str>),
}

/// WebSocket settings of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ws {
    /// The header (and query parameter, and sub-protocol) that carries the key.
    pub header: Box<str>,
    /// May the key come in the query? Default: not for `jwt` and `ticket`.
    pub query: bool,
    /// Accepted `Origin` values; empty = any.
    pub origins: Vec<Box<str>>,
    /// Accepted paths; empty = any. A trailing `*` matches any rest.
    pub paths: Vec<Box<str>>,
    /// How client messages become the endpoint's bytes.
    pub framing_up: Framing,
    /// How the endpoint's bytes become client messages.
    pub framing_down: Framing,
    /// The largest message that is ever assembled, in bytes.
    pub max_message: u32,
    /// How often a silent client is pinged.
    pub ping_interval: Duration,
    /// Peers whose `X-Forwarded-For` names the real client.
    pub trusted_proxies: Vec<ipnet::IpNet>,
}

/// How messages and byte streams meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Payload only; borders are lost (up) or arbitrary (down).
    Raw,
    /// u32 little-endian length before each message.
    LengthPrefixed,
}
