//! `[upstream.NAME]`: a named set of endpoints.

use std::time::Duration;

use super::dial::{
    self, ATTEMPTS, CONGESTION, CONNECT_TIMEOUT, DialTls, DialWs, PROXY_PROTOCOL, SOURCE, SPEECH, Speaking,
    Speech, tls, ws,
};
use super::kcp::{self, Kcp};
use super::key::{Key, Need, Reader, Section};
use super::kind::{Choice, List, Nested, Text, Whole};
use super::write::Writer;
use super::{Balance, Eject, OnDown, Pool, Queue, Upstream, UpstreamEndpoint};
use crate::endpoint::Endpoint;
use crate::name::UpstreamName;

const WEIGHT: u16 = 1;
/// Caches are warm and pools are full by then.
const SLOW_START: Duration = Duration::from_secs(30);

pub(super) static SECTION: Section = Section {
    path: "[upstream.NAME]",
    doc: "A named set of endpoints.",
    rows: &[
        &PROTOCOL,
        &KCP,
        &TLS,
        &WS,
        &PROXY_PROTOCOL,
        &BALANCE,
        &CONNECT_TIMEOUT,
        &ATTEMPTS,
        &SOURCE,
        &CONGESTION,
        &ENDPOINTS,
    ],
    later: &[
        "health",
        "pool",
        "on_down",
        "max_sessions",
        "queue",
        "slow_start",
        "panic_threshold",
        "eject",
        "probe",
        "discover",
    ],
};
static PROTOCOL: Key<Choice<Speech>> =
    Key { name: "protocol", kind: SPEECH, default: || Speech::Tcp, doc: "what its endpoints speak" };
static KCP: Key<Nested<Kcp>> = Key {
    name: "kcp",
    kind: Nested { section: &kcp::UPSTREAM, read: kcp::read_endpoint, write: kcp::write_endpoint },
    default: kcp::usual_endpoint,
    doc: "KCP settings, with protocol \"kcp\" only",
};
static TLS: Key<Nested<DialTls>> = Key {
    name: "tls",
    kind: Nested { section: &tls::UPSTREAM, read: tls::read, write: tls::write },
    default: tls::unwritten,
    doc: "TLS settings of its endpoints, with protocol \"tls\" and \"wss\"",
};
static WS: Key<Nested<DialWs>> = Key {
    name: "ws",
    kind: Nested { section: &ws::UPSTREAM, read: ws::read, write: ws::write },
    default: ws::unwritten,
    doc: "WebSocket settings of its endpoints, with protocol \"ws\" and \"wss\"",
};
const SPEAKING: Speaking = Speaking { word: &PROTOCOL, kcp: &KCP, tls: &TLS, ws: &WS };
static BALANCE: Key<Choice<Balance>> = Key {
    name: "balance",
    kind: Choice {
        noun: "balance policy",
        words: &[("round-robin", Balance::RoundRobin)],
        later: &["least-sessions", "least-response-time", "hash", "random"],
    },
    default: || Balance::RoundRobin,
    doc: "how the next endpoint is picked",
};
static ENDPOINTS: Need<List<Nested<UpstreamEndpoint>>> = Need {
    name: "endpoints",
    kind: List {
        item: Nested { section: &ENDPOINT, read: read_endpoint, write: write_endpoint },
        min: 1,
        single: false,
    },
    doc: "its endpoints",
};
static ENDPOINT: Section = Section {
    path: "upstream.NAME.endpoints",
    doc: "One endpoint.",
    rows: &[&ADDRESS, &SHARE],
    later: &["max_sessions", "server_name"],
};
static ADDRESS: Need<Text<Endpoint>> = Need { name: "address", kind: HOST_PORT, doc: "where it listens" };
static SHARE: Key<Whole<u16>> = Key {
    name: "weight",
    kind: Whole::from(1, 256),
    default: || WEIGHT,
    doc: "its share, compared with the others' weights",
};

/// `host:port`.
pub(super) const HOST_PORT: Text<Endpoint> = Text {
    label: "host:port",
    example: "10.0.1.5:7083",
    parse: |text| text.parse().map_err(|error: crate::endpoint::EndpointError| error.to_string()),
    show: Endpoint::to_string,
};

pub(super) fn read(name: UpstreamName, reader: &Reader<'_>) -> Option<Upstream> {
    let balance = reader.get(&BALANCE);
    let dial = dial::read(reader, &SPEAKING);
    dial::agree(reader, &dial, &SPEAKING);
    let endpoints = reader.need(&ENDPOINTS)?;
    for (index, endpoint) in endpoints.iter().enumerate() {
        let earlier = endpoints.iter().take(index).any(|other| other.address == endpoint.address);
        if earlier {
            let at = reader.item_at(ENDPOINTS.name, index);
            let hint = "name it once; `weight` gives it a larger share";
            reader.report.error(&at, format!("endpoint `{}` is there twice", endpoint.address), hint);
        }
    }
    Some(Upstream {
        name,
        balance,
        dial,
        endpoints,
        health: None,
        eject: Eject::default(),
        panic_threshold: 0,
        slow_start: SLOW_START,
        on_down: OnDown::Keep,
        session_rate: None,
        queue: Queue::default(),
        pool: Pool::default(),
    })
}

pub(super) fn write(writer: &mut Writer<'_>, upstream: &Upstream) {
    writer.put(&BALANCE, &upstream.balance);
    dial::write(writer, &upstream.dial, &SPEAKING);
    writer.put_needed(&ENDPOINTS, &upstream.endpoints);
}

fn read_endpoint(reader: &Reader<'_>) -> Option<UpstreamEndpoint> {
    let weight = reader.get(&SHARE);
    Some(UpstreamEndpoint { address: reader.need(&ADDRESS)?, weight, max_sessions: None, backup: false })
}

fn write_endpoint(writer: &mut Writer<'_>, endpoint: &UpstreamEndpoint) {
    writer.put_needed(&ADDRESS, &endpoint.address);
    writer.put(&SHARE, &endpoint.weight);
}
