//! The keys of `frames = { … }`.

use std::time::Duration;

use super::numbers::{self, Numbers};
use super::{Dispatch, FrameCodec, Frames, Heartbeat, OnLimit, TypeBytes};
use crate::config::RateLimit;
use crate::config::key::{Key, Maybe, Reader, Section};
use crate::config::kind::{Choice, Flag, Nested, Span, Whole};
use crate::config::limit::rows::{BUCKET, NO_LIMIT};
use crate::config::process::{DAY, SHORTEST};
use crate::config::write::Writer;

const DELAY_MAX: Duration = Duration::from_secs(1);

pub(in crate::config) const FRAMES: Nested<Frames> = Nested { section: &SECTION, read, write };

static SECTION: Section = Section {
    path: "listener.frames",
    doc: "Clients and endpoints speak in frames: version, type, length, payload.",
    rows: &[
        &TYPE_BYTES,
        &DISPATCH,
        &CODEC,
        &MESSAGE_RATE,
        &ON_LIMIT,
        &MAX_DELAY,
        &HEARTBEAT,
        &HEARTBEAT_INTERVAL,
        &HEARTBEAT_MISSES,
        &FORWARD_HEARTBEATS,
        &FORWARD_TOKEN,
        &TYPES,
    ],
    later: &["pipeline", "reply_timeout"],
};
static TYPE_BYTES: Key<Whole<u8>> = Key {
    name: "type_bytes",
    kind: Whole::from(1, 2),
    default: || 1,
    doc: "how wide a frame's type is: 1 = u8, 2 = u16, big endian",
};
static DISPATCH: Key<Choice<Word>> = Key {
    name: "dispatch",
    kind: Choice { noun: "dispatch", words: &[("session", Word::Session)], later: &["request"] },
    default: || Word::Session,
    doc: "which endpoint a frame goes to: the session's",
};
/// `dispatch`, without what else it needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Session,
}
static CODEC: Key<Choice<FrameCodec>> = Key {
    name: "codec",
    kind: Choice {
        noun: "codec",
        words: &[("json", FrameCodec::Json), ("protobuf", FrameCodec::Protobuf), ("xml", FrameCodec::Xml)],
        later: &[],
    },
    default: || FrameCodec::Json,
    doc: "how the gateway's own messages are written",
};
static MESSAGE_RATE: Maybe<Nested<RateLimit>> =
    Maybe { name: "message_rate", kind: BUCKET, absent: NO_LIMIT, doc: "messages of one session over time" };
static ON_LIMIT: Key<Choice<Beyond>> = Key {
    name: "on_limit",
    kind: Choice {
        noun: "rule for messages beyond a limit",
        words: &[("reply", Beyond::Reply), ("delay", Beyond::Delay), ("close", Beyond::Close)],
        later: &[],
    },
    default: || Beyond::Reply,
    doc: "what happens to a message beyond a limit: it is answered with an error; it waits, and is answered so if that \
          would be too long; the session ends",
};
/// `on_limit`, without what else it needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beyond {
    Reply,
    Delay,
    Close,
}
static MAX_DELAY: Key<Span> = Key {
    name: "max_delay",
    kind: Span::from(SHORTEST, Duration::from_secs(60)),
    default: || DELAY_MAX,
    doc: "the longest wait, with on_limit \"delay\"",
};
static HEARTBEAT: Key<Choice<Heartbeat>> = Key {
    name: "heartbeat",
    kind: Choice {
        noun: "heartbeat rule",
        words: &[("optional", Heartbeat::Optional), ("required", Heartbeat::Required)],
        later: &[],
    },
    default: || Heartbeat::Optional,
    doc: "may a client be without heartbeats? \"optional\": until it has sent the first",
};
pub(in crate::config) static HEARTBEAT_INTERVAL: Key<Span> = Key {
    name: "heartbeat_interval",
    kind: Span::from(Duration::from_millis(100), DAY),
    default: || Frames::default().heartbeat_interval,
    doc: "how often a client sends one",
};
static HEARTBEAT_MISSES: Key<Whole<u8>> = Key {
    name: "heartbeat_misses",
    kind: Whole::from(1, u8::MAX),
    default: || Frames::default().heartbeat_misses,
    doc: "silent for so many intervals, a client that has heartbeats is gone; any frame is life",
};
pub(in crate::config) static FORWARD_HEARTBEATS: Key<Flag> = Key {
    name: "forward_heartbeats",
    kind: Flag,
    default: || false,
    doc: "does the endpoint see heartbeats, and answer them?",
};
static FORWARD_TOKEN: Key<Flag> = Key {
    name: "forward_token",
    kind: Flag,
    default: || false,
    doc: "does the endpoint see the tokens of version 2?",
};
static TYPES: Key<Nested<Numbers>> = Key {
    name: "types",
    kind: numbers::NUMBERS,
    default: Numbers::default,
    doc: "the numbers of the gateway's own messages",
};

fn read(reader: &Reader<'_>) -> Option<Frames> {
    let type_bytes = if reader.get(&TYPE_BYTES) == 2 { TypeBytes::Two } else { TypeBytes::One };
    let max = reader.get(&MAX_DELAY);
    let on_limit = match reader.get(&ON_LIMIT) {
        Beyond::Reply => OnLimit::Reply,
        Beyond::Delay => OnLimit::Delay { max },
        Beyond::Close => OnLimit::Close,
    };
    if !matches!(on_limit, OnLimit::Delay { .. }) {
        let hint = "take it out, or set `on_limit = \"delay\"`";
        reader.refuse(&[MAX_DELAY.name], "where messages do not wait", hint);
    }
    Some(Frames {
        type_bytes,
        dispatch: match reader.get(&DISPATCH) {
            Word::Session => Dispatch::Session,
        },
        codec: reader.get(&CODEC),
        message_rate: reader.find(&MESSAGE_RATE),
        on_limit,
        heartbeat: reader.get(&HEARTBEAT),
        heartbeat_interval: reader.get(&HEARTBEAT_INTERVAL),
        heartbeat_misses: reader.get(&HEARTBEAT_MISSES),
        forward_heartbeats: reader.get(&FORWARD_HEARTBEATS),
        forward_token: reader.get(&FORWARD_TOKEN),
        types: numbers::settle(&reader.get(&TYPES), type_bytes, &reader.inside(TYPES.name)),
    })
}

fn write(writer: &mut Writer<'_>, frames: &Frames) {
    writer.put(&TYPE_BYTES, &if frames.type_bytes == TypeBytes::Two { 2 } else { 1 });
    writer.put(&DISPATCH, &Word::Session);
    writer.put(&CODEC, &frames.codec);
    if let Some(rate) = &frames.message_rate {
        writer.put_nested_maybe(&MESSAGE_RATE, rate);
    }
    match &frames.on_limit {
        OnLimit::Reply => writer.put(&ON_LIMIT, &Beyond::Reply),
        OnLimit::Close => writer.put(&ON_LIMIT, &Beyond::Close),
        OnLimit::Delay { max } => {
            writer.put(&ON_LIMIT, &Beyond::Delay);
            writer.put(&MAX_DELAY, max);
        }
    }
    writer.put(&HEARTBEAT, &frames.heartbeat);
    writer.put(&HEARTBEAT_INTERVAL, &frames.heartbeat_interval);
    writer.put(&HEARTBEAT_MISSES, &frames.heartbeat_misses);
    writer.put(&FORWARD_HEARTBEATS, &frames.forward_heartbeats);
    writer.put(&FORWARD_TOKEN, &frames.forward_token);
    writer.put_nested(&TYPES, &Numbers::saying(frames.types, frames.type_bytes));
}
