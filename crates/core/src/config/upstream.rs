//! `[upstream.NAME]`: a named set of endpoints.

use std::sync::Arc;
use std::time::Duration;

mod agree;
mod endpoint;

use super::dial::{
    self, ATTEMPTS, CONGESTION, CONNECT_TIMEOUT, DialTls, DialWs, PROXY_PROTOCOL, SOURCE, SPEECH, Speaking,
    Speech, tls, ws,
};
use super::health::rows as health;
use super::kcp::{self, Kcp};
use super::key::{Key, Maybe, Need, Reader, Section};
use super::kind::{Choice, List, Nested, Span, Whole};
use super::limit::rows::{BUCKET, MOST_SESSIONS, NO_LIMIT};
use super::pool;
use super::process::{HOUR, SHORTEST};
use super::write::Writer;
use super::{Balance, Eject, HashOn, OnDown, Pool, Queue, RateLimit, Upstream, UpstreamEndpoint};
use crate::name::UpstreamName;

pub(super) use endpoint::HOST_PORT;

/// Caches are warm and pools are full by then.
const SLOW_START: Duration = Duration::from_secs(30);
const PANIC_THRESHOLD: u8 = 0;

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
/// What the word alone says of a policy that has more to say.
const HASH: Balance = Balance::Hash(HashOn::Key);
static BALANCE: Key<Choice<Balance>> = Key {
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
static HASH_ON: Key<Choice<HashOn>> = Key {
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
static ENDPOINTS: Need<List<Nested<UpstreamEndpoint>>> = Need {
    name: "endpoints",
    kind: List { item: endpoint::ENDPOINT, min: 1, single: false },
    doc: "its endpoints",
};
static MAX_SESSIONS: Maybe<Whole<u32>> = Maybe {
    name: "max_sessions",
    kind: Whole::from(1, MOST_SESSIONS),
    absent: "any number",
    doc: "the most sessions of each endpoint that does not say so itself",
};
static SESSION_RATE: Maybe<Nested<RateLimit>> = Maybe {
    name: "session_rate",
    kind: BUCKET,
    absent: NO_LIMIT,
    doc: "new sessions over time, of each endpoint",
};
static QUEUE: Key<Nested<Queue>> = Key {
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
static HEALTH: Maybe<Nested<health::HealthKeys>> = Maybe {
    name: "health",
    kind: health::HEALTH,
    absent: "endpoints are not asked; `{}` asks as is usual",
    doc: "how endpoints are asked whether they are fit",
};
static EJECT: Key<Nested<Eject>> = Key {
    name: "eject",
    kind: health::EJECT,
    default: Eject::default,
    doc: "when traffic itself shows that an endpoint is unfit",
};
static PANIC: Key<Whole<u8>> = Key {
    name: "panic_threshold",
    kind: Whole::from(0, 100),
    default: || PANIC_THRESHOLD,
    doc: "with fewer of 100 endpoints fit, all are used as if they were; 0 = only when none is",
};
static SLOW: Key<Span> = Key {
    name: "slow_start",
    kind: Span::from(Duration::ZERO, HOUR),
    default: || SLOW_START,
    doc: "how long an endpoint that has come back gets less than its share; \"0s\" = not at all",
};
static ON_DOWN: Key<Choice<OnDown>> = Key {
    name: "on_down",
    kind: Choice {
        noun: "rule for live sessions",
        words: &[("keep", OnDown::Keep), ("close", OnDown::Close)],
        later: &[],
    },
    default: || OnDown::Keep,
    doc: "what becomes of live sessions when health finds their endpoint down",
};
static POOL: Key<Nested<Pool>> = Key {
    name: "pool",
    kind: Nested { section: &pool::SECTION, read: pool::read, write: pool::write },
    default: Pool::default,
    doc: "connections kept open for sessions to come, with protocol \"tcp\" and \"tls\"",
};

/// Reads an upstream.
pub(super) fn read(name: UpstreamName, reader: &Reader<'_>) -> Option<Upstream> {
    // Everything is read before anything is given up, so that every error is told.
    let hash_on = reader.get(&HASH_ON);
    let balance = match reader.get(&BALANCE) {
        Balance::Hash(_) => Balance::Hash(hash_on),
        plain @ (Balance::RoundRobin
        | Balance::LeastSessions
        | Balance::LeastResponseTime
        | Balance::Random) => plain,
    };
    let dial = dial::read(reader, &SPEAKING);
    dial::agree(reader, &dial, &SPEAKING);
    let health = reader.find(&HEALTH);
    let each = reader.find(&MAX_SESSIONS);
    let rest = Upstream {
        name,
        balance,
        endpoints: Vec::new(),
        health: health.map(|keys| Arc::new(health::settle(keys, &reader.inside(HEALTH.name), &dial))),
        dial,
        eject: reader.get(&EJECT),
        panic_threshold: reader.get(&PANIC),
        slow_start: reader.get(&SLOW),
        on_down: reader.get(&ON_DOWN),
        session_rate: reader.find(&SESSION_RATE),
        queue: reader.get(&QUEUE),
        pool: reader.get(&POOL),
    };
    let endpoints = reader.need(&ENDPOINTS);
    let fill = |endpoint: UpstreamEndpoint| UpstreamEndpoint {
        max_sessions: endpoint.max_sessions.or(each),
        ..endpoint
    };
    let endpoints = endpoints.unwrap_or_default().into_iter().map(fill).collect();
    let upstream = Upstream { endpoints, ..rest };
    agree::check(reader, &upstream);
    agree::advise(reader, &upstream);
    Some(upstream).filter(|upstream| !upstream.endpoints.is_empty())
}

/// Writes an upstream.
pub(super) fn write(writer: &mut Writer<'_>, upstream: &Upstream) {
    if let Balance::Hash(on) = &upstream.balance {
        writer.put(&BALANCE, &HASH);
        writer.put(&HASH_ON, on);
    } else {
        writer.put(&BALANCE, &upstream.balance);
    }
    dial::write(writer, &upstream.dial, &SPEAKING);
    // What all endpoints have is said once.
    let each = upstream.endpoints.first().and_then(|first| first.max_sessions);
    let each = each.filter(|_| upstream.endpoints.iter().all(|endpoint| endpoint.max_sessions == each));
    let mut endpoints = upstream.endpoints.clone();
    if let Some(each) = each {
        endpoints.iter_mut().for_each(|endpoint| endpoint.max_sessions = None);
        writer.put_spread(&MAX_SESSIONS, &each, (false, ENDPOINTS.name));
    }
    writer.put_needed(&ENDPOINTS, &endpoints);
    if let Some(rate) = &upstream.session_rate {
        writer.put_nested_maybe(&SESSION_RATE, rate);
    }
    writer.put_nested(&QUEUE, &upstream.queue);
    if let Some(health) = &upstream.health {
        writer.put_nested_maybe(&HEALTH, &health::saying(health, upstream));
    }
    writer.put_nested(&EJECT, &upstream.eject);
    writer.put(&PANIC, &upstream.panic_threshold);
    writer.put(&SLOW, &upstream.slow_start);
    writer.put(&ON_DOWN, &upstream.on_down);
    if agree::is_poolable(&upstream.dial) {
        writer.put_nested(&POOL, &upstream.pool);
    }
}

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
