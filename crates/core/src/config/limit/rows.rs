//! The keys of limits: a bucket of whatever is counted, and one of bytes.

use super::{Quota, Quotas, RateLimit};
use crate::config::key::{Key, Maybe, Need, Reader, Section};
use crate::config::kind::{Kind, Nested, Text, Whole};
use crate::config::write::Writer;
use crate::unit::{Rate, UnitError};

/// `{ rate = "50/s", burst = 100 }`.
pub(in crate::config) const BUCKET: Nested<RateLimit> =
    Nested { section: &BUCKET_SECTION, read: |reader| read(reader, &RATE, &BURST), write: write_bucket };

static BUCKET_SECTION: Section = Section {
    path: "limits.session_rate",
    doc: "A token bucket, full at first: it fills at its rate, each use takes a token, and what finds none is limited. \
          The same for every rate of sessions and messages.",
    rows: &[&RATE, &BURST],
    later: &[],
};
/// A count over time.
pub(in crate::config) const COUNTED: Text<Rate> = Text {
    label: "rate",
    example: "1000/s",
    parse: |text| text.parse().map_err(|error: UnitError| error.to_string()),
    show: Rate::to_string,
};
static RATE: Need<Text<Rate>> = Need { name: "rate", kind: COUNTED, doc: "how many, over time" };
static BURST: Maybe<Whole<u32>> = Maybe {
    name: "burst",
    kind: Whole::from(1, u32::MAX),
    absent: "what one second brings, at least 1",
    doc: "how many at once after a rest",
};

/// The most sessions that anybody counts.
pub(in crate::config) const MOST_SESSIONS: u32 = 10_000_000;

static SESSIONS: Maybe<Whole<u32>> = Maybe {
    name: "sessions",
    kind: Whole::from(1, MOST_SESSIONS),
    absent: NO_LIMIT,
    doc: "the most sessions at a time",
};
pub(in crate::config) const NO_LIMIT: &str = "no limit";
pub(in crate::config) static SESSION_RATE: Maybe<Nested<RateLimit>> =
    Maybe { name: "session_rate", kind: BUCKET, absent: NO_LIMIT, doc: "new sessions over time" };
pub(in crate::config) static MESSAGE_RATE: Maybe<Nested<RateLimit>> = Maybe {
    name: "message_rate",
    kind: BUCKET,
    absent: NO_LIMIT,
    doc: "messages of clients over time, where they speak in frames",
};
pub(in crate::config) static PER_IP: Key<Nested<Quota>> = Key {
    name: "per_ip",
    kind: Nested { section: &OF_IP, read: read_per_ip, write: write_quota },
    default: Quota::default,
    doc: "what the sessions of one client address may use: /32, or /56 of IPv6",
};
static OF_IP: Section = Section {
    path: "limits.per_ip",
    doc: "What the sessions of one client address may use: /32, or /56 of IPv6.",
    rows: &[&SESSIONS, &SESSION_RATE],
    later: &[],
};
pub(in crate::config) static PER_SESSION: Key<Nested<Quota>> = Key {
    name: "per_session",
    kind: Nested { section: &OF_SESSION, read: |reader| Some(read_traffic(reader)), write: write_quota },
    default: Quota::default,
    doc: "what one session may use",
};
static OF_SESSION: Section = Section {
    path: "limits.per_session",
    doc: "What one session may use.",
    rows: &[&MESSAGE_RATE],
    later: &["up_rate", "down_rate"],
};

/// `limits = { … }` of a listener.
pub(in crate::config) const OF_LISTENER: Nested<Quotas> =
    Nested { section: &LISTENER_SECTION, read: read_listener, write: write_listener };
static LISTENER_SECTION: Section = Section {
    path: "listener.limits",
    doc: "What the sessions of a listener may use, all together and each. Those of `[limits]` hold as well.",
    rows: &[&SESSIONS, &SESSION_RATE, &MESSAGE_RATE, &PER_IP, &PER_SESSION],
    later: &["per_device", "up_rate", "down_rate"],
};
/// Reads what the process may use; how many sessions is said by another kind of key.
pub(in crate::config) fn read_process(reader: &Reader<'_>) -> Quotas {
    let whole = Quota { session_rate: reader.find(&SESSION_RATE), ..read_traffic(reader) };
    Quotas { whole, ..read_parties(reader) }
}

/// Writes what the process may use.
pub(in crate::config) fn write_process(writer: &mut Writer<'_>, quotas: &Quotas) {
    write_quota(writer, &Quota { sessions: None, ..quotas.whole });
    write_parties(writer, quotas);
}

fn read_listener(reader: &Reader<'_>) -> Option<Quotas> {
    Some(Quotas { whole: read_quota(reader), ..read_parties(reader) })
}

fn write_listener(writer: &mut Writer<'_>, quotas: &Quotas) {
    write_quota(writer, &quotas.whole);
    write_parties(writer, quotas);
}

fn read_parties(reader: &Reader<'_>) -> Quotas {
    Quotas {
        whole: Quota::default(),
        per_ip: reader.get(&PER_IP),
        per_device: Quota::default(),
        per_session: reader.get(&PER_SESSION),
    }
}

fn write_parties(writer: &mut Writer<'_>, quotas: &Quotas) {
    writer.put_nested(&PER_IP, &quotas.per_ip);
    writer.put_nested(&PER_SESSION, &quotas.per_session);
}

fn read_quota(reader: &Reader<'_>) -> Quota {
    Quota {
        sessions: reader.find(&SESSIONS),
        session_rate: reader.find(&SESSION_RATE),
        ..read_traffic(reader)
    }
}

fn read_per_ip(reader: &Reader<'_>) -> Option<Quota> {
    Some(Quota {
        sessions: reader.find(&SESSIONS),
        session_rate: reader.find(&SESSION_RATE),
        ..Quota::default()
    })
}

fn read_traffic(reader: &Reader<'_>) -> Quota {
    Quota { message_rate: reader.find(&MESSAGE_RATE), ..Quota::default() }
}

/// Writes what a quota has; whoever may not have something has none of it.
fn write_quota(writer: &mut Writer<'_>, quota: &Quota) {
    if let Some(sessions) = &quota.sessions {
        writer.put_maybe(&SESSIONS, sessions, false);
    }
    for (key, rate) in [(&SESSION_RATE, &quota.session_rate), (&MESSAGE_RATE, &quota.message_rate)] {
        if let Some(rate) = rate {
            writer.put_nested_maybe(key, rate);
        }
    }
}

fn write_bucket(writer: &mut Writer<'_>, limit: &RateLimit) {
    write(writer, limit, (&RATE, &BURST));
}

fn read<B: Kind<Out = u32>>(
    reader: &Reader<'_>,
    rate: &Need<Text<Rate>>,
    burst: &Maybe<B>,
) -> Option<RateLimit> {
    let burst = reader.find(burst);
    let rate = reader.need(rate)?;
    Some(RateLimit { rate, burst: burst.unwrap_or_else(|| usual_burst(rate)) })
}

fn write<B: Kind<Out = u32>>(
    writer: &mut Writer<'_>,
    limit: &RateLimit,
    (rate, burst): (&Need<Text<Rate>>, &Maybe<B>),
) {
    writer.put_needed(rate, &limit.rate);
    writer.put_maybe(burst, &limit.burst, limit.burst == usual_burst(limit.rate));
}

/// What one second brings, at least 1: whoever says only a rate means no rest of minutes saved up.
fn usual_burst(rate: Rate) -> u32 {
    let seconds = u32::try_from(rate.per.as_secs()).unwrap_or(u32::MAX).max(1);
    (rate.count.get() / seconds).max(1)
}
