//! The form of the seed: `[log] [tcpgate] [kcpgate] [wsgate] [common]`, read as it stands.
//!
//! Every section and key is optional: an absent gate is off, an absent value is the one that the seed's own
//! file shows. An absent log path is stderr, for the path shown there is one machine's own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;

use super::admin;
use super::bind::everywhere;
use super::error::Report;
use super::key::{Key, Maybe, Part, Reader, Row, Section, Shape};
use super::kind::{Flag, List, Seconds, Span, Text, Whole};
use super::listener::{self, FAILURE, usual_hello, usual_idle};
use super::native::{ADMIN, DNS, DRAIN, LIMITS, LISTENER, Ports, ROUTE, UPSTREAM};
use super::process::{self, FILE, HOUR};
use super::route::LEEWAY_SPAN;
use super::tree::Table;
use super::ws::WsKeys;
use super::{
    Config, Congestion, Dial, Flavour, Framing, Idle, Jwt, Keepalive, Listener, Protocol, Quotas, Resolver,
    Route, Transport, Workers, Ws, kcp,
};
use crate::allow::{Allow, Rule};

/// How the seed sends its message.
const SUCCESS: &str = "b2s=";
const DIAL_SECONDS: Duration = Duration::from_secs(5);
const HANDSHAKE_SECONDS: Duration = Duration::from_secs(10);
const DIALS: u8 = 3;

/// Sections that make a file the seed's.
pub(super) const MARKS: [&str; 4] = ["tcpgate", "kcpgate", "wsgate", "common"];

pub(super) static SECTION: Section = Section {
    path: "the file",
    doc: "The config in the form of the seed.",
    rows: &[&LOG, &TCPGATE, &KCPGATE, &WSGATE, &COMMON, &DNS, &ADMIN, &LIMITS, &DRAIN],
    later: &[],
};
pub(super) static LOG: Part = Part { name: "log", section: &LOG_SECTION, shape: Shape::Once };
static LOG_SECTION: Section =
    Section { path: "[log]", doc: "Where log lines go.", rows: &[&INFO_PATH, &ERROR_PATH], later: &[] };
static INFO_PATH: Maybe<Text<PathBuf>> =
    Maybe { name: "infofilePath", kind: FILE, absent: "stderr", doc: "file for lines below ERROR" };
static ERROR_PATH: Maybe<Text<PathBuf>> = Maybe {
    name: "errorfilePath",
    kind: FILE,
    absent: "where the others go",
    doc: "file for lines of ERROR",
};

pub(super) static TCPGATE: Part = Part { name: "tcpgate", section: &TCP_SECTION, shape: Shape::Once };
pub(super) static KCPGATE: Part = Part { name: "kcpgate", section: &KCP_SECTION, shape: Shape::Once };
pub(super) static WSGATE: Part = Part { name: "wsgate", section: &WS_SECTION, shape: Shape::Once };
static TCP_SECTION: Section = Section {
    path: "[tcpgate]",
    doc: "The tcp listener.",
    rows: &[&TCP_PORT, &ENABLED, &DIAL_TIMEOUT, &ZERO_COPY],
    later: &[],
};
static KCP_SECTION: Section = Section {
    path: "[kcpgate]",
    doc: "The kcp listener: no cipher, forward error correction 10/3.",
    rows: &[&KCP_PORT, &ENABLED, &DIAL_TIMEOUT, &ZERO_COPY],
    later: &[],
};
static WS_SECTION: Section = Section {
    path: "[wsgate]",
    doc: "The ws listener.",
    rows: &[&WS_PORT, &ENABLED, &DIAL_TIMEOUT, &ZERO_COPY],
    later: &[],
};
const PORT: Whole<u16> = Whole::from(0, u16::MAX);
const PORT_DOC: &str = "the port on every address, IPv4 and IPv6; 0 = any free one";
static TCP_PORT: Key<Whole<u16>> = Key { name: "port", kind: PORT, default: || 7082, doc: PORT_DOC };
static KCP_PORT: Key<Whole<u16>> = Key { name: "port", kind: PORT, default: || 8082, doc: PORT_DOC };
static WS_PORT: Key<Whole<u16>> = Key { name: "port", kind: PORT, default: || 9082, doc: PORT_DOC };
static ENABLED: Key<Flag> = Key {
    name: "enabled",
    kind: Flag,
    default: || true,
    doc: "is there such a listener? (an absent section: no)",
};
static DIAL_TIMEOUT: Key<Seconds> = Key {
    name: "dial_timeout",
    kind: Seconds(Span::from(process::SHORTEST, HOUR)),
    default: || DIAL_SECONDS,
    doc: "how long one attempt to connect may take",
};
static ZERO_COPY: Key<Flag> = Key {
    name: "zero_copy",
    kind: Flag,
    default: || false,
    doc: "may bytes go on without a copy of their own? Nothing changes for ws",
};

pub(super) static COMMON: Part = Part { name: "common", section: &COMMON_SECTION, shape: Shape::Once };
static COMMON_SECTION: Section = Section {
    path: "[common]",
    doc: "What all gates share. `allow` and `jwt_key_file` are additions to the seed's own keys.",
    rows: &[
        &DIAL_RETRY,
        &HEADER_IDENTIFY,
        &SUCCESS_RESP_MESSAGE,
        &CONNECT_TIMEOUT,
        &KCP_RECIPROCITY,
        &ALLOW,
        &JWT_KEY_FILE,
    ],
    later: &[],
};
static DIAL_RETRY: Key<Whole<u8>> = Key {
    name: "dial_retry",
    kind: Whole::from(1, 100),
    default: || DIALS,
    doc: "how many attempts there are in all",
};
static HEADER_IDENTIFY: Key<Text<Strategy>> = Key {
    name: "header_identify",
    kind: Text {
        label: "ipHost, host-ip, origin or jwt, in any case",
        example: "ipHost",
        parse: |text| match text.to_ascii_lowercase().as_str() {
            "iphost" | "host-ip" | "origin" => Ok(Strategy::Address),
            "jwt" => Ok(Strategy::Jwt),
            _ => Err("unknown strategy".into()),
        },
        show: |strategy| match strategy {
            Strategy::Address => "ipHost".into(),
            Strategy::Jwt => "jwt".into(),
        },
    },
    default: || Strategy::Address,
    doc: "what the key is: `host:port`, or a JWT",
};
static SUCCESS_RESP_MESSAGE: Key<Text<Box<[u8]>>> = Key {
    name: "success_resp_message",
    kind: Text {
        label: "base64",
        example: SUCCESS,
        parse: |text| {
            let decoded = base64::engine::general_purpose::STANDARD.decode(text);
            decoded.map(Vec::into_boxed_slice).map_err(|error| format!("not base64: {error}"))
        },
        show: |bytes| base64::engine::general_purpose::STANDARD.encode(bytes),
    },
    default: || listener::SUCCESS.as_bytes().into(),
    doc: "sent when the endpoint is open",
};
static CONNECT_TIMEOUT: Key<Seconds> = Key {
    name: "connect_timeout",
    kind: Seconds(Span::from(process::SHORTEST, HOUR)),
    default: || HANDSHAKE_SECONDS,
    doc: "for the whole hello, upgrade included",
};
static KCP_RECIPROCITY: Key<Flag> = Key {
    name: "kcp_reciprocity",
    kind: Flag,
    default: || true,
    doc: "are endpoints of the kcp gate dialled by kcp, as its clients speak it? false = by tcp",
};
static ALLOW: Maybe<List<Text<Rule>>> = Maybe {
    name: "allow",
    kind: List::or_one(Text {
        label: "network, address or name, `:`, and a port, a range of ports or `*`",
        example: "10.0.0.0/8:7000-7999",
        parse: |text| Rule::parse(text).map_err(|error| error.to_string()),
        show: Rule::to_string,
    }),
    absent: "what is no more private than the client",
    doc: "what may be dialled",
};
static JWT_KEY_FILE: Maybe<Text<PathBuf>> = Maybe {
    name: "jwt_key_file",
    kind: FILE,
    absent: "none; `header_identify = \"jwt\"` needs it",
    doc: "the key that JWTs are checked with: PEM, JWK(S), or raw bytes for HS256",
};

/// What the key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    Address,
    Jwt,
}

/// Is this the seed's form?
pub(super) fn is_seed(table: &Table) -> bool {
    MARKS.iter().any(|mark| table.find(mark).is_some())
}

/// Reads the file; the report says what is wrong with it.
pub(super) fn read(table: &Table, report: &Report<'_>) -> Config {
    let own: Vec<_> = table.0.iter().filter(|entry| !is_native(&entry.key)).cloned().collect();
    for entry in table.0.iter().filter(|entry| is_native(&entry.key)) {
        let message = format!("`{}` is of the native form, and this file is in the seed's", entry.key);
        report.error(
            &entry.key_at,
            message,
            "one form or the other; `portcullis convert` writes the native one",
        );
    }
    let own = Table(own);
    let root = Reader::open(&own, &(0..0), &SECTION, report);
    let (common, log) = (root.part(&COMMON), root.part(&LOG));
    let shared = Shared::read(&common);
    let gates = [
        gate(&root, &TCPGATE, &TCP_PORT, Protocol::Tcp),
        gate(&root, &KCPGATE, &KCP_PORT, Protocol::Kcp),
        gate(&root, &WSGATE, &WS_PORT, Protocol::Ws),
    ];
    let gates: Vec<Gate> = gates.into_iter().flatten().collect();
    if gates.is_empty() {
        let hint = "add `[tcpgate]`, `[kcpgate]` or `[wsgate]` with `enabled = true`";
        report.error(&(0..0), "no gate is enabled", hint);
    }
    if shared.strategy == Strategy::Jwt && gates.iter().any(|gate| gate.protocol == Protocol::Kcp) {
        report.warn(&root.at(KCPGATE.name), kcp::CLEAR_CREDENTIAL);
    }
    let admin = root.has(ADMIN.name).then(|| admin::read_admin(&root.part(&ADMIN)));
    unique_ports(&gates, admin.as_ref().and_then(|admin| admin.bind.tcp()).map(|bind| bind.port()), report);
    Config {
        flavour: Flavour::Seed,
        workers: Workers::Auto,
        log: super::log::to(log.find(&INFO_PATH), log.find(&ERROR_PATH)),
        dns: process::read_dns(&root.part(&DNS)),
        admin,
        limits: process::read_limits(&root.part(&LIMITS)),
        store: super::store::USUAL.into(),
        drain: process::read_drain(&root.part(&DRAIN)),
        private_networks: Vec::new(),
        routes: gates.iter().map(|gate| shared.route(gate)).collect(),
        listeners: gates.iter().map(|gate| shared.listener(gate)).collect(),
        upstreams: Vec::new(),
        warnings: Vec::new(),
    }
}

/// Tells ports that another gate, or the admin listener, has as well.
fn unique_ports(gates: &[Gate], admin: Option<u16>, report: &Report<'_>) {
    let of = |gate: &Gate| (gate.port, Ports::of(gate.protocol));
    let mut seen: Vec<(u16, Ports)> = admin.map(|port| (port, Ports::Tcp)).into_iter().collect();
    for gate in gates {
        if gate.port != 0 && seen.contains(&of(gate)) {
            let message = format!("port {} of `{}` is taken by another listener", gate.port, gate.name);
            report.error(&gate.port_at, message, "give each its own port");
        }
        seen.push(of(gate));
    }
}

fn is_native(key: &str) -> bool {
    [&LISTENER, &ROUTE, &UPSTREAM].iter().any(|part| part.name() == key)
}

/// An enabled gate.
struct Gate {
    name: &'static str,
    protocol: Protocol,
    port: u16,
    port_at: std::ops::Range<usize>,
    dial_timeout: Duration,
    zero_copy: bool,
}

/// Reads a gate; `None` when it is absent or off.
fn gate(root: &Reader<'_>, part: &Part, port: &Key<Whole<u16>>, protocol: Protocol) -> Option<Gate> {
    if !root.has(part.name) {
        return None;
    }
    let reader = root.part(part);
    if protocol == Protocol::Ws && reader.has(ZERO_COPY.name) {
        let text = "`zero_copy` changes nothing for ws: messages must be taken out of their frames";
        reader.report.warn(&reader.at(ZERO_COPY.name), text);
    }
    let gate = Gate {
        name: part.name,
        protocol,
        port: reader.get(port),
        port_at: reader.at(port.name),
        dial_timeout: reader.get(&DIAL_TIMEOUT),
        zero_copy: reader.get(&ZERO_COPY),
    };
    reader.get(&ENABLED).then_some(gate)
}

/// What all gates share.
struct Shared {
    attempts: u8,
    strategy: Strategy,
    success: Box<[u8]>,
    hello_timeout: Duration,
    allow: Allow,
    key_file: Option<PathBuf>,
    reciprocity: bool,
}

impl Shared {
    fn read(common: &Reader<'_>) -> Self {
        let strategy = common.get(&HEADER_IDENTIFY);
        let key_file = common.find(&JWT_KEY_FILE);
        if strategy == Strategy::Jwt && !common.has(JWT_KEY_FILE.name) {
            let hint = "add `jwt_key_file = \"/etc/portcullis/jwt.pem\"` to `[common]`: \
                        a PEM public key, JWK(S), or raw bytes for HS256";
            common.error(HEADER_IDENTIFY.name, "`jwt` needs the key that tokens are checked with", hint);
        }
        let allow = common.find(&ALLOW).filter(|rules| !rules.is_empty()).map(Allow::Rules);
        if allow.is_none() && !common.has(ALLOW.name) {
            common.report.warn(&common.place, super::OPEN_ALLOW);
        }
        if allow.is_none() && common.has(ALLOW.name) {
            let hint =
                "name what may be dialled, as in `allow = [\"10.0.0.0/8:7000-7999\"]`, or take the key out";
            common.error(ALLOW.name, "`allow` is empty: nothing could be dialled", hint);
        }
        Self {
            attempts: common.get(&DIAL_RETRY),
            strategy,
            success: common.get(&SUCCESS_RESP_MESSAGE),
            hello_timeout: common.get(&CONNECT_TIMEOUT),
            allow: allow.unwrap_or(Allow::NoMorePrivate),
            key_file,
            reciprocity: common.get(&KCP_RECIPROCITY),
        }
    }

    fn route(&self, gate: &Gate) -> Route {
        let resolver = match self.strategy {
            Strategy::Address => Resolver::Address,
            Strategy::Jwt => Resolver::Jwt(Jwt {
                key_files: self.key_file.iter().cloned().collect(),
                audience: Vec::new(),
                issuer: Vec::new(),
                leeway: LEEWAY_SPAN,
            }),
        };
        let by_kcp = gate.protocol == Protocol::Kcp && self.reciprocity;
        Route {
            name: gate.name.into(),
            resolver,
            allow: self.allow.clone(),
            upstreams: Vec::new(),
            dial: Dial {
                connect_timeout: gate.dial_timeout,
                attempts: self.attempts,
                source: Vec::new(),
                congestion: Congestion::Auto,
                transport: match by_kcp {
                    true => Transport::Kcp(Arc::new(kcp::seed_endpoint())),
                    false => Transport::Tcp,
                },
                tls: None,
                ws: None,
                proxy_protocol: super::ProxyHeader::Off,
            },
        }
    }

    fn listener(&self, gate: &Gate) -> Listener {
        let ws = Ws {
            framing_up: Framing::LengthPrefixed,
            ..WsKeys::unwritten().settle(self.strategy == Strategy::Address)
        };
        // Every attempt that `dial_retry` promises has its `dial_timeout`, however long that is in all.
        let open_timeout = listener::OPEN_WITHIN.max(gate.dial_timeout.saturating_mul(self.attempts.into()));
        Listener {
            name: gate.name.into(),
            protocol: gate.protocol,
            bind: vec![everywhere(gate.port)],
            hello: usual_hello(gate.protocol),
            hello_timeout: self.hello_timeout,
            hello_max_bytes: listener::HELLO_MAX,
            open_timeout: open_timeout.min(HOUR),
            success_message: self.success.clone(),
            failure_message: FAILURE.as_bytes().into(),
            failure_delay: listener::FAILURE_AT,
            route: gate.name.into(),
            idle_timeout: usual_idle(gate.protocol, None),
            idle: Idle::Client,
            half_close_timeout: listener::HALF_CLOSED,
            zero_copy: gate.zero_copy,
            congestion: Congestion::Auto,
            ws: (gate.protocol == Protocol::Ws).then_some(ws),
            kcp: (gate.protocol == Protocol::Kcp).then(|| Arc::new(kcp::seed_listener())),
            tls: None,
            proxy_protocol: Vec::new(),
            max_age: None,
            keepalive: Keepalive::default(),
            user_timeout: listener::UNACKNOWLEDGED,
            limits: Quotas::default(),
            allow: Vec::new(),
            deny: Vec::new(),
            frames: None,
            tokens: None,
        }
    }
}
