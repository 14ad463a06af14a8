//! The keys of `health = { … }` and `eject = { … }`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Agent, Eject, Health, Probe};
use crate::config::dial::ws::{HOST_HEADER, TARGET};
use crate::config::dial::{SPEECH, Speech};
use crate::config::key::{Key, Maybe, Need, Reader, Section};
use crate::config::kind::{Choice, Flag, Kind as _, Nested, Span, Text, Whole};
use crate::config::process::{HOUR, SHORTEST};
use crate::config::write::Writer;
use crate::config::{Dial, FrameTypes, Frames, TypeBytes, Upstream};

/// Asked more often than this, a probe is load of its own.
const BUSIEST: Duration = Duration::from_millis(100);

/// How endpoints are asked, as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Tcp,
    Tls,
    Kcp,
    Frame,
    Http,
}

/// What the table says before it is known what the upstream speaks.
pub(in crate::config) struct HealthKeys {
    /// `None` = the one usual for the upstream.
    kind: Option<Word>,
    /// The probe that the table's keys make, if the kind has keys.
    health: Health,
    path: Box<str>,
    host: Option<Box<str>>,
    status: RangeInclusive<u16>,
    frames: Frames,
    expect_reply: bool,
}

pub(in crate::config) const HEALTH: Nested<HealthKeys> = Nested { section: &SECTION, read, write };

static SECTION: Section = Section {
    path: "upstream.NAME.health",
    doc: "How endpoints are asked whether they are fit.",
    rows: &[
        &KIND,
        &INTERVAL,
        &TIMEOUT,
        &RISE,
        &FALL,
        &AGENT,
        &TYPE_BYTES,
        &HEARTBEAT,
        &HEARTBEAT_REPLY,
        &EXPECT_REPLY,
        &PATH,
        &HOST,
        &STATUS,
    ],
    later: &[],
};
static KIND: Maybe<Choice<Word>> = Maybe {
    name: "kind",
    kind: Choice {
        noun: "kind of health probe",
        words: &[
            ("tcp", Word::Tcp),
            ("tls", Word::Tls),
            ("kcp", Word::Kcp),
            ("frame", Word::Frame),
            ("http", Word::Http),
        ],
        later: &[],
    },
    absent: "\"tcp\"; \"tls\" where endpoints speak tls or wss, \"kcp\" where they speak kcp",
    doc: "what is asked: a connection (tcp, kcp), a handshake (tls), a heartbeat after which the endpoint does not close \
          (frame), a request (http)",
};
static INTERVAL: Key<Span> = Key {
    name: "interval",
    kind: Span::from(BUSIEST, HOUR),
    default: || Health::default().interval,
    doc: "how often, give or take a tenth",
};
pub(in crate::config) static TIMEOUT: Maybe<Span> = Maybe {
    name: "timeout",
    kind: Span::from(SHORTEST, HOUR),
    absent: "`interval`",
    doc: "how long one probe may take",
};
static RISE: Key<Whole<u8>> = Key {
    name: "rise",
    kind: Whole::from(1, u8::MAX),
    default: || Health::default().rise,
    doc: "good probes in a row until an endpoint is up again",
};
static FALL: Key<Whole<u8>> = Key {
    name: "fall",
    kind: Whole::from(1, u8::MAX),
    default: || Health::default().fall,
    doc: "bad probes in a row until it is down",
};
static AGENT: Maybe<Nested<Agent>> = Maybe {
    name: "agent",
    kind: Nested { section: &AGENT_SECTION, read: read_agent, write: write_agent },
    absent: "nobody is asked",
    doc: "who says how much load an endpoint wants, by one line of words over TCP as HAProxy's agent-check",
};
static AGENT_SECTION: Section = Section {
    path: "upstream.NAME.health.agent",
    doc: "Who says how much load an endpoint wants: `75%`, `maxconn:30`, `drain`, `maint`, `ready`, `up`, `down`.",
    rows: &[&PORT, &ASKED],
    later: &[],
};
static PORT: Need<Whole<u16>> =
    Need { name: "port", kind: Whole::from(1, u16::MAX), doc: "its port on the endpoint's host" };
static ASKED: Key<Span> = Key {
    name: "interval",
    kind: Span::from(BUSIEST, HOUR),
    default: || Health::default().interval,
    doc: "how often it is asked",
};
static TYPE_BYTES: Key<Whole<u8>> = Key {
    name: "type_bytes",
    kind: Whole::from(1, 2),
    default: || 1,
    doc: "how wide a frame's type is (kind frame)",
};
static HEARTBEAT: Maybe<Whole<u16>> = Maybe {
    name: "heartbeat",
    kind: Whole::from(0, u16::MAX),
    absent: "1; 1000 with `type_bytes = 2`",
    doc: "the type of the heartbeat that is sent (kind frame)",
};
static HEARTBEAT_REPLY: Maybe<Whole<u16>> = Maybe {
    name: "heartbeat_reply",
    kind: Whole::from(0, u16::MAX),
    absent: "2; 1001 with `type_bytes = 2`",
    doc: "the type of the answer, with `expect_reply` (kind frame)",
};
static EXPECT_REPLY: Key<Flag> = Key {
    name: "expect_reply",
    kind: Flag,
    default: || false,
    doc: "must the heartbeat be answered? false = it is enough that the endpoint does not close within a second (kind frame)",
};
static PATH: Key<Text<Box<str>>> =
    Key { name: "path", kind: TARGET, default: || "/".into(), doc: "what is asked for (kind http)" };
static HOST: Maybe<Text<Box<str>>> = Maybe {
    name: "host",
    kind: HOST_HEADER,
    absent: "the endpoint's address",
    doc: "the `Host` header (kind http)",
};
static STATUS: Key<Text<RangeInclusive<u16>>> = Key {
    name: "status",
    kind: Text {
        label: "status code, or a range of them",
        example: "200-399",
        parse: status,
        show: show_status,
    },
    default: || 200..=399,
    doc: "the status codes that are good (kind http)",
};

const OF_FRAME: [&str; 4] = ["type_bytes", "heartbeat", "heartbeat_reply", "expect_reply"];
const OF_HTTP: [&str; 3] = ["path", "host", "status"];

fn read(reader: &Reader<'_>) -> Option<HealthKeys> {
    let interval = reader.get(&INTERVAL);
    let health = Health {
        kind: Probe::Connect,
        interval,
        timeout: reader.find(&TIMEOUT).unwrap_or(interval),
        rise: reader.get(&RISE),
        fall: reader.get(&FALL),
        agent: reader.find(&AGENT),
    };
    Some(HealthKeys {
        kind: reader.find(&KIND),
        health,
        path: reader.get(&PATH),
        host: reader.find(&HOST),
        status: reader.get(&STATUS),
        frames: read_frames(reader),
        expect_reply: reader.get(&EXPECT_REPLY),
    })
}

fn read_frames(reader: &Reader<'_>) -> Frames {
    let type_bytes = if reader.get(&TYPE_BYTES) == 2 { TypeBytes::Two } else { TypeBytes::One };
    let usual = FrameTypes::usual(type_bytes);
    let types = FrameTypes {
        heartbeat: reader.find(&HEARTBEAT).unwrap_or(usual.heartbeat),
        heartbeat_reply: reader.find(&HEARTBEAT_REPLY).unwrap_or(usual.heartbeat_reply),
        ..usual
    };
    for (key, number) in [(&HEARTBEAT, types.heartbeat), (&HEARTBEAT_REPLY, types.heartbeat_reply)] {
        if type_bytes == TypeBytes::One && number > u8::MAX.into() {
            let message = format!("`{} = {number}` is no type of one byte", key.name);
            reader.error(key.name, message, "up to 255, or set `type_bytes = 2`");
        }
    }
    Frames { type_bytes, types, ..Frames::default() }
}

/// Makes the table what it says for an upstream that is dialled so; `reader` is in the table.
pub(in crate::config) fn settle(keys: HealthKeys, reader: &Reader<'_>, dial: &Dial) -> Health {
    let speech = Speech::of(dial);
    let word = keys.kind.unwrap_or(usual(speech));
    if !fitting(speech).contains(&word) {
        let (word, spoken) = (KIND.kind.show(&word), SPEECH.show(&speech));
        let known: Vec<String> = fitting(speech).iter().map(|word| KIND.kind.show(word)).collect();
        let message = format!("health kind {word} does not fit endpoints that speak {spoken}");
        reader.error(KIND.name, message, format!("with {spoken}: {}", known.join(", ")));
    }
    let why = format!("with health kind {}", KIND.kind.show(&word));
    if word != Word::Frame {
        reader.refuse(&OF_FRAME, &why, "take it out, or set `kind = \"frame\"`");
    }
    if word != Word::Http {
        reader.refuse(&OF_HTTP, &why, "take it out, or set `kind = \"http\"`");
    }
    if word == Word::Frame && !keys.expect_reply {
        let hint = "take it out, or set `expect_reply = true`";
        reader.refuse(&[HEARTBEAT_REPLY.name], "without `expect_reply`", hint);
    }
    let kind = match word {
        Word::Tcp | Word::Kcp => Probe::Connect,
        Word::Tls => Probe::Tls,
        Word::Frame => Probe::Frame { frames: Box::new(keys.frames), expect_reply: keys.expect_reply },
        Word::Http => Probe::Http { path: keys.path, host: keys.host, status: keys.status },
    };
    Health { kind, ..keys.health }
}

/// What the table says of an upstream.
pub(in crate::config) fn saying(health: &Health, upstream: &Upstream) -> HealthKeys {
    let connect = if upstream.dial.kcp().is_some() { Word::Kcp } else { Word::Tcp };
    let mut keys = HealthKeys {
        kind: None,
        health: health.clone(),
        path: (PATH.default)(),
        host: None,
        status: (STATUS.default)(),
        frames: Frames::default(),
        expect_reply: false,
    };
    let word = match &health.kind {
        Probe::Connect => connect,
        Probe::Tls => Word::Tls,
        Probe::Frame { frames, expect_reply } => {
            (keys.frames, keys.expect_reply) = ((**frames).clone(), *expect_reply);
            Word::Frame
        }
        Probe::Http { path, host, status } => {
            (keys.path, keys.host, keys.status) = (path.clone(), host.clone(), status.clone());
            Word::Http
        }
    };
    HealthKeys { kind: Some(word), ..keys }
}

fn write(writer: &mut Writer<'_>, keys: &HealthKeys) {
    let health = &keys.health;
    if let Some(word) = &keys.kind {
        writer.put_maybe(&KIND, word, false);
    }
    writer.put(&INTERVAL, &health.interval);
    writer.put_maybe(&TIMEOUT, &health.timeout, health.timeout == health.interval);
    writer.put(&RISE, &health.rise);
    writer.put(&FALL, &health.fall);
    if let Some(agent) = &health.agent {
        writer.put_nested_maybe(&AGENT, agent);
    }
    if keys.kind == Some(Word::Frame) {
        let (types, usual) = (keys.frames.types, FrameTypes::usual(keys.frames.type_bytes));
        writer.put(&TYPE_BYTES, &if keys.frames.type_bytes == TypeBytes::Two { 2 } else { 1 });
        writer.put_maybe(&HEARTBEAT, &types.heartbeat, types.heartbeat == usual.heartbeat);
        if keys.expect_reply {
            let reply = types.heartbeat_reply;
            writer.put_maybe(&HEARTBEAT_REPLY, &reply, reply == usual.heartbeat_reply);
        }
        writer.put(&EXPECT_REPLY, &keys.expect_reply);
    }
    if keys.kind == Some(Word::Http) {
        writer.put(&PATH, &keys.path);
        if let Some(host) = &keys.host {
            writer.put_maybe(&HOST, host, false);
        }
        writer.put(&STATUS, &keys.status);
    }
}

fn read_agent(reader: &Reader<'_>) -> Option<Agent> {
    let interval = reader.get(&ASKED);
    Some(Agent { port: reader.need(&PORT)?, interval })
}

fn write_agent(writer: &mut Writer<'_>, agent: &Agent) {
    writer.put_needed(&PORT, &agent.port);
    writer.put(&ASKED, &agent.interval);
}

fn usual(speech: Speech) -> Word {
    match speech {
        Speech::Tcp | Speech::Ws => Word::Tcp,
        Speech::Tls | Speech::Wss => Word::Tls,
        Speech::Kcp => Word::Kcp,
    }
}

/// What can be asked of endpoints that speak so. Frames are in the stream, which messages of ws cut.
fn fitting(speech: Speech) -> &'static [Word] {
    match speech {
        Speech::Tcp => &[Word::Tcp, Word::Frame, Word::Http],
        Speech::Tls => &[Word::Tcp, Word::Tls, Word::Frame, Word::Http],
        Speech::Kcp => &[Word::Kcp, Word::Frame],
        Speech::Ws => &[Word::Tcp, Word::Http],
        Speech::Wss => &[Word::Tcp, Word::Tls, Word::Http],
    }
}

fn status(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || format!("{text:?} are no status codes");
    let code = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        // RFC 9110 section 15: 100 to 599.
        text.parse::<u16>().ok().filter(|code| digits && (100..600).contains(code)).ok_or_else(wrong)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = code(first)?..=code(last)?;
    if range.is_empty() { Err(wrong()) } else { Ok(range) }
}

fn show_status(range: &RangeInclusive<u16>) -> String {
    let (first, last) = (range.start(), range.end());
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

pub(in crate::config) const EJECT: Nested<Eject> =
    Nested { section: &EJECT_SECTION, read: read_eject, write: write_eject };
static EJECT_SECTION: Section = Section {
    path: "upstream.NAME.eject",
    doc: "When traffic itself shows that an endpoint is unfit.",
    rows: &[&FAILURES, &TIME, &MOST],
    later: &[],
};
static FAILURES: Key<Whole<u8>> = Key {
    name: "failures",
    kind: Whole::from(0, u8::MAX),
    default: || Eject::default().failures,
    doc: "failed dials in a row until an endpoint is left alone; 0 = never",
};
static TIME: Key<Span> = Key {
    name: "time",
    kind: Span::from(BUSIEST, HOUR),
    default: || Eject::default().time,
    doc: "how long it is left alone the first time; the n-th time n times as long, at most ten times",
};
static MOST: Key<Whole<u8>> = Key {
    name: "most",
    kind: Whole::from(0, 100),
    default: || Eject::default().most,
    doc: "the most endpoints left alone at a time, in percent of all",
};

fn read_eject(reader: &Reader<'_>) -> Option<Eject> {
    let eject = Eject { failures: reader.get(&FAILURES), time: reader.get(&TIME), most: reader.get(&MOST) };
    if eject.failures == 0 {
        reader.refuse(&[TIME.name, MOST.name], "with `failures = 0`", "take it out, or count failures");
    }
    Some(eject)
}

fn write_eject(writer: &mut Writer<'_>, eject: &Eject) {
    writer.put(&FAILURES, &eject.failures);
    if eject.failures > 0 {
        writer.put(&TIME, &eject.time);
        writer.put(&MOST, &eject.most);
    }
}
