//! `pool = { … }` of an upstream: connections kept open for sessions to come.

use std::time::Duration;

use super::key::{Key, Reader, Section};
use super::kind::{Span, Whole};
use super::process::DAY;
use super::write::Writer;

/// Connections kept open, for each endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// So many are made in advance; 0 = none.
    pub min_idle: u16,
    /// The most that are kept.
    pub max_idle: u16,
    /// How long one is kept.
    pub max_age: Duration,
}

impl Default for Pool {
    fn default() -> Self {
        Self { min_idle: 0, max_idle: 32, max_age: Duration::from_secs(300) }
    }
}

/// The most connections that are kept for an endpoint: what they would cost it is more than they save.
const MOST: u16 = 10_000;

pub(super) static SECTION: Section = Section {
    path: "upstream.NAME.pool",
    doc: "Connections kept open for sessions to come, for each endpoint.",
    rows: &[&MIN_IDLE, &MAX_IDLE, &MAX_AGE],
    later: &[],
};
pub(super) static MIN_IDLE: Key<Whole<u16>> = Key {
    name: "min_idle",
    kind: Whole::from(0, MOST),
    default: || Pool::default().min_idle,
    doc: "so many are made in advance; 0 = none",
};
static MAX_IDLE: Key<Whole<u16>> = Key {
    name: "max_idle",
    kind: Whole::from(0, MOST),
    default: || Pool::default().max_idle,
    doc: "the most that are kept",
};
static MAX_AGE: Key<Span> = Key {
    name: "max_age",
    kind: Span::from(Duration::from_secs(1), DAY),
    default: || Pool::default().max_age,
    doc: "how long one is kept",
};

/// Reads the table.
pub(super) fn read(reader: &Reader<'_>) -> Option<Pool> {
    let pool = Pool {
        min_idle: reader.get(&MIN_IDLE),
        max_idle: reader.get(&MAX_IDLE),
        max_age: reader.get(&MAX_AGE),
    };
    if pool.min_idle > pool.max_idle {
        let at = if reader.has(MIN_IDLE.name) { MIN_IDLE.name } else { MAX_IDLE.name };
        let message = format!("`min_idle` ({}) is more than `max_idle` ({})", pool.min_idle, pool.max_idle);
        reader.error(at, message, "what is made in advance must be kept: raise `max_idle`");
    }
    Some(pool)
}

/// Writes the table.
pub(super) fn write(writer: &mut Writer<'_>, pool: &Pool) {
    writer.put(&MIN_IDLE, &pool.min_idle);
    writer.put(&MAX_IDLE, &pool.max_idle);
    writer.put(&MAX_AGE, &pool.max_age);
}
