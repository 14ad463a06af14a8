//! What concerns the process as a whole: `workers`, `[dns]`, `[limits]`, `[drain]`.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::key::{Key, Reader, Section};
use super::kind::{Auto, Choice, List, Span, Text, Whole};
use super::limit::rows::{self as limits, MESSAGE_RATE, MOST_SESSIONS, PER_IP, PER_SESSION, SESSION_RATE};
use super::write::Writer;
use super::{Dns, Drain, Limits, Workers};

/// The port of DNS servers (RFC 1035 section 4.2).
const DNS_PORT: u16 = 53;
const DNS_TIMEOUT: Duration = Duration::from_secs(2);
/// A client that fails more often than once in three seconds is looking for something.
const FAILED_DIALS: u32 = 20;
const DRAIN_DELAY: Duration = Duration::ZERO;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Shortest time that is worth waiting for anything on a network.
pub(super) const SHORTEST: Duration = Duration::from_millis(10);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) static WORKERS: Key<Auto<Whole<u16>>> = Key {
    name: "workers",
    kind: Auto(Whole::from(1, 1024)),
    default: || None,
    doc: "how many threads relay; \"auto\" = one per core",
};
pub(super) static PRIVATE_NETWORKS: Key<List<Text<IpNet>>> = Key {
    name: "private_networks",
    kind: List::of(NETWORK),
    default: Vec::new,
    doc: "networks counted as near, besides loopback, for `congestion = \"auto\"`",
};

/// A network, or one address.
pub(super) const NETWORK: Text<IpNet> = Text {
    label: "network, or one address",
    example: "10.0.0.0/8",
    parse: |text| {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| format!("{text:?} is no network"))
    },
    show: IpNet::to_string,
};

pub(super) static DNS: Section =
    Section { path: "[dns]", doc: "How names are looked up.", rows: &[&SERVERS, &TIMEOUT], later: &[] };
static SERVERS: Key<List<Text<SocketAddr>>> = Key {
    name: "servers",
    kind: List::of(Text {
        label: "server, `address` or `address:port`",
        example: "192.0.2.53",
        parse: |text| {
            let bare = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT));
            let addr = text.parse().or_else(|_| bare()).map_err(|_| format!("{text:?} is no address"))?;
            if addr.port() == 0 { Err("port 0 cannot be asked".into()) } else { Ok(addr) }
        },
        show: SocketAddr::to_string,
    }),
    default: Vec::new,
    doc: "servers to ask; [] = the system's",
};
static TIMEOUT: Key<Span> = Key {
    name: "timeout",
    kind: Span::from(SHORTEST, Duration::from_secs(60)),
    default: || DNS_TIMEOUT,
    doc: "how long one look-up may take in all",
};

pub(super) fn read_dns(reader: &Reader<'_>) -> Dns {
    Dns { servers: reader.get(&SERVERS), timeout: reader.get(&TIMEOUT) }
}

pub(super) fn write_dns(writer: &mut Writer<'_>, dns: &Dns) {
    writer.put(&SERVERS, &dns.servers);
    writer.put(&TIMEOUT, &dns.timeout);
}

/// A path that must not be empty.
pub(super) const FILE: Text<PathBuf> = Text {
    label: "path",
    example: "/etc/portcullis/key.pem",
    parse: |text| if text.is_empty() { Err("the path is empty".into()) } else { Ok(text.into()) },
    show: |path| path.display().to_string(),
};

pub(super) static LIMITS: Section = Section {
    path: "[limits]",
    doc: "Limits of the process.",
    rows: &[&SESSIONS, &FAILED_DIALS_PER_MINUTE, &SCOPE, &SESSION_RATE, &MESSAGE_RATE, &PER_IP, &PER_SESSION],
    later: &["per_device", "up_rate", "down_rate"],
};
/// Where a limit is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Node,
    Cluster,
}
static SCOPE: Key<Choice<Scope>> = Key {
    name: "scope",
    kind: Choice { noun: "scope", words: &[("node", Scope::Node), ("cluster", Scope::Cluster)], later: &[] },
    default: || Scope::Node,
    doc: "where limits are counted: by each node for itself, or (with a store that nodes share) for all of them",
};
static SESSIONS: Key<Auto<Whole<u32>>> = Key {
    name: "sessions",
    kind: Auto(Whole::from(1, MOST_SESSIONS)),
    default: || None,
    doc: "the most sessions at a time; \"auto\" = what the open file limit allows",
};
static FAILED_DIALS_PER_MINUTE: Key<Whole<u32>> = Key {
    name: "failed_dials_per_minute",
    kind: Whole::from(0, 1_000_000),
    default: || FAILED_DIALS,
    doc: "failed dials that one client address may cause per minute; 0 = any number",
};

pub(super) fn read_limits(reader: &Reader<'_>) -> Limits {
    if reader.get(&SCOPE) == Scope::Cluster {
        let hint = "`scope = \"node\"`; nodes count together only in a store that they share, and this one's is a file of its own";
        reader.error(SCOPE.name, "`scope = \"cluster\"` does not go with the embedded store", hint);
    }
    Limits {
        sessions: reader.get(&SESSIONS),
        failed_dials_per_minute: Some(reader.get(&FAILED_DIALS_PER_MINUTE)).filter(|limit| *limit > 0),
        quotas: limits::read_process(reader),
    }
}

pub(super) fn write_limits(writer: &mut Writer<'_>, limits: &Limits) {
    writer.put(&SESSIONS, &limits.sessions);
    writer.put(&FAILED_DIALS_PER_MINUTE, &limits.failed_dials_per_minute.unwrap_or(0));
    writer.put(&SCOPE, &Scope::Node);
    limits::write_process(writer, &limits.quotas);
}

pub(super) static DRAIN: Section = Section {
    path: "[drain]",
    doc: "How the process ends on SIGTERM.",
    rows: &[&DELAY, &DRAIN_FOR],
    later: &[],
};
static DELAY: Key<Span> = Key {
    name: "delay",
    kind: Span::from(Duration::ZERO, HOUR),
    default: || DRAIN_DELAY,
    doc: "how long clients are still accepted after readiness went off; a load balancer in front needs about 5s",
};
static DRAIN_FOR: Key<Span> = Key {
    name: "timeout",
    kind: Span::from(Duration::ZERO, DAY),
    default: || DRAIN_TIMEOUT,
    doc: "how long sessions have to end by themselves before they are closed",
};

pub(super) fn read_drain(reader: &Reader<'_>) -> Drain {
    Drain { delay: reader.get(&DELAY), timeout: reader.get(&DRAIN_FOR) }
}

pub(super) fn write_drain(writer: &mut Writer<'_>, drain: &Drain) {
    writer.put(&DELAY, &drain.delay);
    writer.put(&DRAIN_FOR, &drain.timeout);
}

/// Reads `workers`.
pub(super) fn read_workers(reader: &Reader<'_>) -> Workers {
    reader.get(&WORKERS).and_then(NonZeroU16::new).map_or(Workers::Auto, Workers::Fixed)
}

/// Writes `workers`.
pub(super) fn write_workers(writer: &mut Writer<'_>, workers: Workers) {
    let fixed = match workers {
        Workers::Auto => None,
        Workers::Fixed(count) => Some(count.get()),
    };
    writer.put(&WORKERS, &fixed);
}
