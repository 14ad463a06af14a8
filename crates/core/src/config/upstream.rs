//! `[upstream.NAME]`: a named set of endpoints.

use std::sync::Arc;
use std::time::Duration;

mod agree;
mod endpoint;
mod rows;

use super::health::rows as health;
use super::key::Reader;
use super::write::Writer;
use super::{Dial, Eject, Health, Pool, RateLimit, dial};
use crate::endpoint::Endpoint;
use crate::name::UpstreamName;
use rows::{
    BALANCE, EJECT, ENDPOINTS, HASH, HASH_ON, HEALTH, MAX_SESSIONS, ON_DOWN, PANIC, POOL, QUEUE,
    SESSION_RATE, SLOW, SPEAKING,
};

pub(super) use endpoint::HOST_PORT;
pub(super) use rows::SECTION;

/// A named set of endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name; unique.
    pub name: UpstreamName,
    /// How the next endpoint is picked.
    pub balance: Balance,
    /// How endpoints are dialled.
    pub dial: Dial,
    /// The endpoints; never empty.
    pub endpoints: Vec<UpstreamEndpoint>,
    /// How endpoints are asked whether they are fit; `None` = they are not.
    pub health: Option<Arc<Health>>,
    /// When traffic itself shows that one is unfit.
    pub eject: Eject,
    /// With fewer of 100 endpoints fit, all are used as if they were; 0 = only when none is.
    pub panic_threshold: u8,
    /// How long an endpoint that has come back gets less than its share.
    pub slow_start: Duration,
    /// What becomes of live sessions when their endpoint is down.
    pub on_down: OnDown,
    /// New sessions for each endpoint over time.
    pub session_rate: Option<RateLimit>,
    /// Sessions that wait for an endpoint to have room.
    pub queue: Queue,
    /// Connections kept open.
    pub pool: Pool,
}

/// What becomes of live sessions when their endpoint is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDown {
    /// They go on as long as their connection does.
    Keep,
    /// They are closed.
    Close,
}

/// Sessions that wait for an endpoint to have room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The most that wait; 0 = none does.
    pub size: u32,
    /// How long one waits; never longer than its `open_timeout`.
    pub timeout: Duration,
}

impl Default for Queue {
    fn default() -> Self {
        Self { size: 1024, timeout: Duration::from_secs(5) }
    }
}

/// How the next endpoint is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Smooth weighted round robin, exact across workers.
    RoundRobin,
    /// The one with the fewest sessions for its weight.
    LeastSessions,
    /// Of two at random, the one that answers sooner for the sessions it has.
    LeastResponseTime,
    /// By what the client is: the same client, the same endpoint.
    Hash(HashOn),
    /// At random, by weight.
    Random,
}

/// What a client is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashOn {
    /// Its key; its address where it has none.
    Key,
    /// Its address.
    Client,
}

/// One endpoint of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamEndpoint {
    /// Where it listens.
    pub address: Endpoint,
    /// Its share; 1 to 256.
    pub weight: u16,
    /// The most sessions it is given; `None` = any number.
    pub max_sessions: Option<u32>,
    /// Is it only used when no other is fit?
    pub backup: bool,
}

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
