//! The keys of an upstream.

use std::time::Duration;

use super::endpoint;
use crate::config::dial::{
    ATTEMPTS, CONGESTION, CONNECT_TIMEOUT, DialTls, DialWs, PROXY_PROTOCOL, SOURCE, SPEECH, Speaking, Speech,
    tls, ws,
};
use crate::config::health::rows as health;
use crate::config::kcp::{self, Kcp};
use crate::config::key::{Key, Maybe, Need, Reader, Section};
use crate::config::kind::{Choice, List, Nested, Span, Whole};
use crate::config::limit::rows::{BUCKET, MOST_SESSIONS, NO_LIMIT};
use crate::config::pool;
use crate::config::process::{HOUR, SHORTEST};
use crate::config::write::Writer;
use crate::config::{Balance, Eject, HashOn, OnDown, Pool, Queue, RateLimit, UpstreamEndpoint};

/// Caches are warm and pools are full by then.
const SLOW_START: Duration = Duration::from_secs(30);
const PANIC_THRESHOLD: u8 = 0;

pub(in crate::config) static SECTION: Section = Section {
    path: "[upstream.NAME]",
    doc: "A named set of endpoints.",
    rows: &[
        &PROTOCOL,
        &KCP,
        &TLS,
        &WS,
        &PROXY_PROTOCOL,
        &BALANCE,
        &HASH_ON,
        &CONNECT_TIMEOUT,
        &ATTEMPTS,
        &SOURCE,
        &CONGESTION,
        &ENDPOINTS,
        &MAX_SESSIONS,
        &SESSION_RATE,
        &QUEUE,
        &HEALTH,
        &EJECT,
        &PANIC,
        &SLOW,
        &ON_DOWN,
        &POOL,
    ],
    later: &["probe", "discover"],
};
pub(super) static PROTOCOL: Key<Choice<Speech>> =
    Key { name: "protocol", kind: SPEECH, default: || Speech::Tcp, doc: "what its endpoints speak" };
pub(super) static KCP: Key<Nested<Kcp>> = Key {
    name: "kcp",
    kind: Nested { section: &kcp::UPSTREAM, read: kcp::read_endpoint, write: kcp::write_endpoint },
    default: kcp::usual_endpoint,
    doc: "KCP settings, with protocol \"kcp\" only",
};
pub(super) static TLS: Key<Nested<DialTls>> = Key {
    name: "tls",
    kind: Nested { section: &tls::UPSTREAM, read: tls::read, write: tls::write },
    default: tls::unwritten,
    doc: "TLS settings of its endpoints, with protocol \"tls\" and \"wss\"",
};
pub(super) static WS: Key<Nested<DialWs>> = Key {
    name: "ws",
    kind: Nested { section: &ws::UPSTREAM, read: ws::read, write: ws::write },
    default: ws::unwritten,
    doc: "WebSocket settings of its endpoints, with protocol \"ws\" and \"wss\"",
};
pub(super) const SPEAKING: Speaking = Speaking { word: &PROTOCOL, kcp: &KCP, tls: &TLS, ws: &WS };
/// What the word alone says of a policy that has more to say.
pub(super) const HASH: Balance = Balance::Hash(HashOn::Key);
pub(super) static BALANCE: Key<Choice<Balance>> = Key {
    name: "balance",
    kind: Choice {
        noun: "balance policy",
        words: &[
            ("round-robin", Balance::RoundRobin),
            ("least-sessions", Balance::LeastSessions),
            ("least-response-time", Balance::LeastResponseTime),
            ("hash", HASH),
            ("random", Balance::Random),
        ],
        later: &[],
    },
    default: || Balance::RoundRobin,
    doc: "how the next endpoint is picked",
};
pub(super) static HASH_ON: Key<Choice<HashOn>> = Key {
    name: "hash_on",
    kind: Choice {
        noun: "thing to hash",
        words: &[("key", HashOn::Key), ("client", HashOn::Client)],
        later: &[],
    },
    default: || HashOn::Key,
    doc: "what a client is known by, with balance \"hash\": its key, or its address where it has none; or always its \
          address",
};
pub(super) static ENDPOINTS: Need<List<Nested<UpstreamEndpoint>>> = Need {
    name: "endpoints",
    kind: List { item: endpoint::ENDPOINT, min: 1, single: false },
    doc: "its endpoints",
};
pub(super) static MAX_SESSIONS: Maybe<Whole<u32>> = Maybe {
    name: "max_sessions",
    kind: Whole::from(1, MOST_SESSIONS),
    absent: "any number",
    doc: "the most sessions of each endpoint that does not say so itself",
};
pub(super) static SESSION_RATE: Maybe<Nested<RateLimit>> = Maybe {
    name: "session_rate",
    kind: BUCKET,
    absent: NO_LIMIT,
    doc: "new sessions over time, of each endpoint",
};
pub(super) static QUEUE: Key<Nested<Queue>> = Key {
    name: "queue",
    kind: Nested { section: &QUEUE_SECTION, read: read_queue, write: write_queue },
    default: Queue::default,
    doc: "sessions that wait while no endpoint has room",
};
static QUEUE_SECTION: Section = Section {
    path: "upstream.NAME.queue",
    doc: "Sessions that wait while no endpoint has room: first come, first served.",
    rows: &[&QUEUE_SIZE, &QUEUE_TIMEOUT],
    later: &[],
};
static QUEUE_SIZE: Key<Whole<u32>> = Key {
    name: "size",
    kind: Whole::from(0, 1_000_000),
    default: || Queue::default().size,
    doc: "the most that wait; 0 = none does",
};
static QUEUE_TIMEOUT: Key<Span> = Key {
    name: "timeout",
    kind: Span::from(SHORTEST, HOUR),
    default: || Queue::default().timeout,
    doc: "how long one waits; never longer than its `open_timeout`",
};
pub(super) static HEALTH: Maybe<Nested<health::HealthKeys>> = Maybe {
    name: "health",
    kind: health::HEALTH,
    absent: "endpoints are not asked; `{}` asks as is usual",
    doc: "how endpoints are asked whether they are fit",
};
pub(super) static EJECT: Key<Nested<Eject>> = Key {
    name: "eject",
    kind: health::EJECT,
    default: Eject::default,
    doc: "when traffic itself shows that an endpoint is unfit",
};
pub(super) static PANIC: Key<Whole<u8>> = Key {
    name: "panic_threshold",
    kind: Whole::from(0, 100),
    default: || PANIC_THRESHOLD,
    doc: "with fewer of 100 endpoints fit, all are used as if they were; 0 = only when none is",
};
pub(super) static SLOW: Key<Span> = Key {
    name: "slow_start",
    kind: Span::from(Duration::ZERO, HOUR),
    default: || SLOW_START,
    doc: "how long an endpoint that has come back gets less than its share; \"0s\" = not at all",
};
pub(super) static ON_DOWN: Key<Choice<OnDown>> = Key {
    name: "on_down",
    kind: Choice {
        noun: "rule for live sessions",
        words: &[("keep", OnDown::Keep), ("close", OnDown::Close)],
        later: &[],
    },
    default: || OnDown::Keep,
    doc: "what becomes of live sessions when health finds their endpoint down",
};
pub(super) static POOL: Key<Nested<Pool>> = Key {
    name: "pool",
    kind: Nested { section: &pool::SECTION, read: pool::read, write: pool::write },
    default: Pool::default,
    doc: "connections kept open for sessions to come, with protocol \"tcp\" and \"tls\"",
};

fn read_queue(reader: &Reader<'_>) -> Option<Queue> {
    let queue = Queue { size: reader.get(&QUEUE_SIZE), timeout: reader.get(&QUEUE_TIMEOUT) };
    if queue.size == 0 {
        reader.refuse(&[QUEUE_TIMEOUT.name], "with `size = 0`", "take it out, or let some wait");
    }
    Some(queue)
}

fn write_queue(writer: &mut Writer<'_>, queue: &Queue) {
    writer.put(&QUEUE_SIZE, &queue.size);
    if queue.size > 0 {
        writer.put(&QUEUE_TIMEOUT, &queue.timeout);
    }
}
