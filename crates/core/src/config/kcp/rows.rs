//! The keys of `kcp = { … }`, and which of them each of its places has.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::kinds::{Ciphers, Shards};
use super::{Pace, read_open_rate, write_open_rate};
use crate::config::key::{Key, Maybe, Row, Section};
use crate::config::kind::{Choice, Flag, Nested, Span, Text, Whole};
use crate::config::limit::rows::COUNTED;
use crate::config::listener::MESSAGE;
use crate::config::process::FILE;
use crate::config::{RateLimit, SECRET};
use crate::unit::Rate;
use crate::wire::kcp::crypt::Cipher;

/// Room for one flight of a usual path: 256 × 1326 B / 80 ms = 4 MB/s. It grows only as it is used.
const USUAL_WINDOW: u16 = 256;
/// What kcptun sends: passes nearly every tunnel whole.
const USUAL_MTU: u16 = 1350;
/// More than a stadium behind one network opens, and what one host must not exceed.
const OPENS_A_SECOND: u32 = 1000;
const OPENS_AT_ONCE: u32 = 4000;
const LONGEST_PASSPHRASE: usize = 1024;
const LONGEST_RAW_KEY: usize = 64;

/// What kcptun calls `fast2`.
pub(super) const USUAL_PACE: Pace = pace(true, 20, 2, false);

/// The presets of kcptun, and what kcp-go and ikcp.c do when nothing is set.
pub(super) const PRESETS: &[(&str, Pace)] = &[
    ("normal", pace(false, 40, 2, false)),
    ("fast", pace(false, 30, 2, false)),
    ("fast2", USUAL_PACE),
    ("fast3", pace(true, 10, 2, false)),
    ("untuned", pace(false, 100, 0, true)),
];

const fn pace(nodelay: bool, interval: u64, resend: u8, congestion: bool) -> Pace {
    Pace { nodelay, interval: Duration::from_millis(interval), resend, congestion }
}

pub(in crate::config) static LISTENER: Section = Section {
    path: "listener.kcp",
    doc: "KCP settings of a listener. What the wire shows (`crypt`, the key) must be as its clients have it; the rest is ours alone.",
    rows: &[
        &PRESET,
        &NODELAY,
        &INTERVAL,
        &RESEND,
        &CONGESTION,
        &WINDOW,
        &SEND_WINDOW,
        &RECEIVE_WINDOW,
        &MTU,
        &STREAM,
        &CRYPT,
        &KEY,
        &KEY_FILE,
        &RAW_KEY,
        &FEC,
        &CLOSE_MESSAGE,
        &OPEN_RATE,
    ],
    later: &[],
};
static ENDPOINT_ROWS: [&dyn Row; 17] = [
    &PRESET,
    &NODELAY,
    &INTERVAL,
    &RESEND,
    &CONGESTION,
    &WINDOW,
    &SEND_WINDOW,
    &RECEIVE_WINDOW,
    &MTU,
    &STREAM,
    &CRYPT,
    &KEY,
    &KEY_FILE,
    &RAW_KEY,
    &FEC,
    &CLOSE_MESSAGE,
    &PROBE,
];
pub(in crate::config) static ROUTE: Section = Section {
    path: "route.NAME.kcp",
    doc: "KCP settings of a route's endpoints.",
    rows: &ENDPOINT_ROWS,
    later: &[],
};
pub(in crate::config) static UPSTREAM: Section = Section {
    path: "upstream.NAME.kcp",
    doc: "KCP settings of an upstream's endpoints.",
    rows: &ENDPOINT_ROWS,
    later: &[],
};

pub(super) static PRESET: Key<Choice<Pace>> = Key {
    name: "preset",
    kind: Choice { noun: "preset", words: PRESETS, later: &[] },
    default: || USUAL_PACE,
    doc: "stands for `nodelay`, `interval`, `resend`, `congestion`: \"normal\" false, 40ms, 2, false · \
          \"fast\" false, 30ms, 2, false · \"fast2\" true, 20ms, 2, false · \"fast3\" true, 10ms, 2, false · \
          \"untuned\" false, 100ms, 0, true",
};
const BY_PRESET: &str = "what `preset` says";
pub(super) static NODELAY: Maybe<Flag> = Maybe {
    name: "nodelay",
    kind: Flag,
    absent: BY_PRESET,
    doc: "is what was lost sent again sooner? Least timeout 30 ms in place of 100 ms, growing by half in place of twofold",
};
pub(super) static INTERVAL: Maybe<Span> = Maybe {
    name: "interval",
    kind: Span::from(Duration::from_millis(10), Duration::from_secs(5)),
    absent: BY_PRESET,
    doc: "a part of every timeout of what was sent, and how long an acknowledgement may wait for company (never over 10 ms); nothing ticks",
};
pub(super) static RESEND: Maybe<Whole<u8>> = Maybe {
    name: "resend",
    kind: Whole::from(0, 8),
    absent: BY_PRESET,
    doc: "how often a segment is overtaken before it is sent again at once; 0 = never",
};
pub(super) static CONGESTION: Maybe<Flag> = Maybe {
    name: "congestion",
    kind: Flag,
    absent: BY_PRESET,
    doc: "is loss taken for congestion, and less sent?",
};
const SEGMENTS: Whole<u16> = Whole::from(16, 32768);
pub(super) static WINDOW: Key<Whole<u16>> = Key {
    name: "window",
    kind: SEGMENTS,
    default: || USUAL_WINDOW,
    doc: "stands for `send_window` and `receive_window`",
};
pub(super) static SEND_WINDOW: Maybe<Whole<u16>> = Maybe {
    name: "send_window",
    kind: SEGMENTS,
    absent: "what `window` says",
    doc: "the most segments on their way to the peer",
};
pub(super) static RECEIVE_WINDOW: Maybe<Whole<u16>> = Maybe {
    name: "receive_window",
    kind: SEGMENTS,
    absent: "what `window` says",
    doc: "the most segments that are kept for a slow reader, or until a gap before them is filled",
};
pub(super) static MTU: Key<Whole<u16>> = Key {
    name: "mtu",
    kind: Whole::from(576, 1500),
    default: || USUAL_MTU,
    doc: "the most bytes of a UDP datagram's payload, all headers but those of IP and UDP included; peers take at most 1500",
};
pub(super) static STREAM: Key<Flag> = Key {
    name: "stream",
    kind: Flag,
    default: || true,
    doc: "may small writes share a segment? false = each write begins its own; peers of either kind are understood",
};
pub(super) static CRYPT: Key<Ciphers> = Key {
    name: "crypt",
    kind: Ciphers,
    default: || Cipher::Null,
    doc: "how datagrams are hidden; only \"aes-gcm\" also tells when they were changed; \"null\" = not at all, \"none\" = a checksum only",
};
pub(super) static KEY: Maybe<Text<Box<str>>> = Maybe {
    name: "key",
    kind: Text {
        label: "passphrase, 1 to 1024 bytes",
        example: "the passphrase that the peers have",
        parse: |text| match text.len() {
            0 => Err("it is empty".into()),
            1..=LONGEST_PASSPHRASE => Ok(text.into()),
            long => Err(format!("{long} bytes are too many")),
        },
        show: |_| SECRET.into(),
    },
    absent: "none; all but \"null\" and \"none\" need this or one of the next two",
    doc: "the passphrase, as kcptun's `--key`; better `${NAME}` or `key_file` than in the file itself",
};
pub(super) static KEY_FILE: Maybe<Text<PathBuf>> = Maybe {
    name: "key_file",
    kind: FILE,
    absent: "none",
    doc: "a file that holds the passphrase; one newline at its end is dropped",
};
pub(super) static RAW_KEY: Maybe<Text<Box<[u8]>>> = Maybe {
    name: "raw_key",
    kind: Text {
        label: "hex digits, two for each byte",
        example: "000102030405060708090a0b0c0d0e0f",
        parse: unhex,
        show: |_| SECRET.into(),
    },
    absent: "none",
    doc: "the key itself, as kcp-go's constructors take it: aes-128 16 bytes, aes-192 24, aes-256 32, salsa20 32, aes-gcm 16, 24 or 32, xor any",
};
pub(super) static FEC: Key<Shards> = Key {
    name: "fec",
    kind: Shards,
    default: || None,
    doc: "data and parity shards of what is sent, at most 255 together; false = off. What comes in is understood whatever it has, and a client is answered in the framing that it began with",
};
pub(super) static CLOSE_MESSAGE: Key<Text<Box<[u8]>>> = Key {
    name: "close_message",
    kind: MESSAGE,
    default: Box::default,
    doc: "the last bytes of the stream when its other side has ended, for KCP itself tells no end; \"\" = none",
};
pub(super) static PROBE: Key<Flag> = Key {
    name: "probe",
    kind: Flag,
    default: || true,
    doc: "is an endpoint open only when it has answered a window probe? false = at once, for servers that ignore it",
};
pub(super) static OPEN_RATE: Key<Nested<RateLimit>> = Key {
    name: "open_rate",
    kind: Nested { section: &OPEN_RATE_SECTION, read: read_open_rate, write: write_open_rate },
    default: || RateLimit { rate: (RATE.default)(), burst: (BURST.default)() },
    doc: "how fast one network (IPv4 /24, IPv6 /56) may open sessions",
};
static OPEN_RATE_SECTION: Section = Section {
    path: "listener.kcp.open_rate",
    doc: "How fast one network (IPv4 /24, IPv6 /56) may open sessions; a source address is easily forged.",
    rows: &[&RATE, &BURST],
    later: &[],
};
pub(super) static RATE: Key<Text<Rate>> = Key {
    name: "rate",
    kind: COUNTED,
    default: || Rate { count: OPENS, per: Duration::from_secs(1) },
    doc: "how many, over time",
};
const OPENS: NonZeroU32 = NonZeroU32::MIN.saturating_add(OPENS_A_SECOND - 1);
pub(super) static BURST: Key<Whole<u32>> = Key {
    name: "burst",
    kind: Whole::from(1, 1_000_000),
    default: || OPENS_AT_ONCE,
    doc: "how many at once after a rest",
};

fn unhex(text: &str) -> Result<Box<[u8]>, String> {
    if text.is_empty() || text.len() > 2 * LONGEST_RAW_KEY {
        return Err(format!("{} hex digits are not 2 to {}", text.len(), 2 * LONGEST_RAW_KEY));
    }
    // What is wrong is told without a digit of it: errors end up in logs.
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Option<Vec<u8>> = text.as_bytes().iter().map(digit).collect();
    let digits = digits.ok_or("not hex")?;
    if digits.len() % 2 != 0 {
        return Err("an odd number of hex digits".into());
    }
    Ok(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}
