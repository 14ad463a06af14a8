//! The keys of a listener.

use std::time::Duration;

use ipnet::IpNet;

use super::{FAILURE_AT, HALF_CLOSED, HELLO_MAX, HELLO_WITHIN, OPEN_WITHIN, SUCCESS};
use crate::config::bind::Bind;
use crate::config::dial::CONGESTION;
use crate::config::frames::rows::FRAMES as FRAMED;
use crate::config::kcp::{self, Kcp};
use crate::config::key::{Key, Maybe, Need, Section};
use crate::config::kind::{Choice, Flag, List, Nested, Size, Span, Text, named};
use crate::config::limit::rows as limits;
use crate::config::process::{DAY, HOUR, NETWORK, SHORTEST};
use crate::config::tls::{self, Tls};
use crate::config::tokens::rows::TOKENS as KNOWN;
use crate::config::ws::{self, WsKeys};
use crate::config::{Frames, Hello, Idle, Protocol, Quotas, Tokens};
use crate::name::{ListenerName, RouteName};

pub(in crate::config) static SECTION: Section = Section {
    path: "[[listener]]",
    doc: "What clients connect to; one table for each listener, at least one.",
    rows: &[
        &NAME,
        &PROTOCOL,
        &BIND,
        &HELLO,
        &HELLO_TIMEOUT,
        &HELLO_MAX_BYTES,
        &OPEN_TIMEOUT,
        &SUCCESS_MESSAGE,
        &FAILURE_MESSAGE,
        &FAILURE_DELAY,
        &ROUTE,
        &IDLE_TIMEOUT,
        &IDLE,
        &HALF_CLOSE_TIMEOUT,
        &ZERO_COPY,
        &CONGESTION,
        &ALLOW,
        &DENY,
        &LIMITS,
        &PROXY_PROTOCOL,
        &TLS,
        &WS,
        &KCP,
        &FRAMES,
        &TOKENS,
    ],
    later: &["max_age", "keepalive", "user_timeout"],
};
pub(in crate::config) static NAME: Need<Text<ListenerName>> =
    Need { name: "name", kind: named(), doc: "its name in logs and metrics; unique" };
pub(super) static PROTOCOL: Need<Choice<Protocol>> = Need {
    name: "protocol",
    kind: Choice {
        noun: "protocol",
        words: &[
            ("tcp", Protocol::Tcp),
            ("tls", Protocol::Tls),
            ("kcp", Protocol::Kcp),
            ("ws", Protocol::Ws),
            ("wss", Protocol::Wss),
        ],
        later: &[],
    },
    doc: "what clients speak",
};
pub(in crate::config) static BIND: Need<List<Bind>> = Need {
    name: "bind",
    kind: List::some(Bind),
    doc: "where it listens; a bare port is every address, IPv4 and IPv6",
};
pub(super) static HELLO: Maybe<Choice<Hello>> = Maybe {
    name: "hello",
    kind: Choice {
        noun: "hello",
        words: &[
            ("length-prefixed", Hello::LengthPrefixed),
            ("header", Hello::Header),
            ("sni", Hello::Sni),
            ("frontd", Hello::Frontd),
            ("funny", Hello::Funny),
            ("none", Hello::None),
        ],
        later: &[],
    },
    absent: "\"length-prefixed\" with tcp, tls and kcp, \"header\" with ws and wss",
    doc: "how a client says where it belongs; \"sni\" (tls, tcp): by the name it asks TLS for, which with tcp is only \
          looked at and goes on to the endpoint; \"none\": not at all, the route names an upstream; \"frontd\", \
          \"funny\": as the clients of those gateways do",
};
pub(super) static HELLO_TIMEOUT: Key<Span> = Key {
    name: "hello_timeout",
    kind: Span::from(SHORTEST, HOUR),
    default: || HELLO_WITHIN,
    doc: "for the whole hello, upgrade included, from accept; not extended by progress",
};
pub(super) static HELLO_MAX_BYTES: Key<Size<u32>> = Key {
    name: "hello_max_bytes",
    kind: Size::bytes(1, 64 << 10),
    default: || HELLO_MAX,
    doc: "the longest key",
};
pub(super) static OPEN_TIMEOUT: Key<Span> = Key {
    name: "open_timeout",
    kind: Span::from(SHORTEST, HOUR),
    default: || OPEN_WITHIN,
    doc: "from hello to success, all attempts together",
};
/// Bytes that are sent as they are.
pub(in crate::config) const MESSAGE: Text<Box<[u8]>> = Text {
    label: "string, at most 4 KiB",
    example: SUCCESS,
    parse: |text| match text.len() {
        0..=4096 => Ok(text.as_bytes().into()),
        long => Err(format!("{long} bytes are too many")),
    },
    show: |bytes| String::from_utf8_lossy(bytes).into_owned(),
};
pub(super) static SUCCESS_MESSAGE: Maybe<Text<Box<[u8]>>> = Maybe {
    name: "success_message",
    kind: MESSAGE,
    absent: "\"ok\"; nothing with hello \"sni\", \"none\" and \"frontd\", \"200\" with \"funny\"",
    doc: "sent when the endpoint is open; \"\" = nothing",
};
pub(super) static FAILURE_MESSAGE: Maybe<Text<Box<[u8]>>> = Maybe {
    name: "failure_message",
    kind: MESSAGE,
    absent: "\"error\"; nothing with hello \"sni\" and \"none\", \"4102\" with \"frontd\", \"502\" with \"funny\"",
    doc: "sent on any failure, the same for every cause; \"\" = nothing",
};
pub(super) static FAILURE_DELAY: Key<Span> = Key {
    name: "failure_delay",
    kind: Span::from(Duration::ZERO, Duration::from_secs(10)),
    default: || FAILURE_AT,
    doc: "the one moment after the hello at which failures are told, so that their time says nothing",
};
pub(in crate::config) static ROUTE: Need<Text<RouteName>> =
    Need { name: "route", kind: named(), doc: "the route of its sessions" };
pub(super) static IDLE_TIMEOUT: Maybe<Span> = Maybe {
    name: "idle_timeout",
    kind: Span::from(SHORTEST, Duration::from_secs(365 * 24 * 3600)),
    absent: "\"1h\" with tcp and tls, \"1m\" with ws, wss, kcp and `frames`",
    doc: "how long a session may be silent",
};
pub(super) static IDLE: Key<Choice<Idle>> = Key {
    name: "idle",
    kind: Choice {
        noun: "idle rule",
        words: &[("client", Idle::Client), ("either", Idle::Either)],
        later: &[],
    },
    default: || Idle::Client,
    doc: "whose bytes count as life",
};
pub(super) static HALF_CLOSE_TIMEOUT: Key<Span> = Key {
    name: "half_close_timeout",
    kind: Span::from(SHORTEST, DAY),
    default: || HALF_CLOSED,
    doc: "how long the second direction may be silent once the first has ended",
};
pub(super) static ALLOW: Key<List<Text<IpNet>>> = Key {
    name: "allow",
    kind: List::or_one(NETWORK),
    default: Vec::new,
    doc: "networks whose clients are let in; [] = all",
};
pub(super) static DENY: Key<List<Text<IpNet>>> = Key {
    name: "deny",
    kind: List::or_one(NETWORK),
    default: Vec::new,
    doc: "networks whose clients are not let in, whatever `allow` says",
};
pub(super) static LIMITS: Key<Nested<Quotas>> = Key {
    name: "limits",
    kind: limits::OF_LISTENER,
    default: Quotas::default,
    doc: "what its sessions may use, all together and each",
};
pub(super) static ZERO_COPY: Key<Flag> = Key {
    name: "zero_copy",
    kind: Flag,
    default: || true,
    doc: "may bytes go on without a copy of their own? tcp: large flows bypass user space; kcp: payload goes on out of its datagram",
};
pub(super) static PROXY_PROTOCOL: Key<List<Text<IpNet>>> = Key {
    name: "proxy_protocol",
    kind: List::or_one(NETWORK),
    default: Vec::new,
    doc: "peers that must say first, by a PROXY protocol header of version 1 or 2, whom they speak for; everyone else \
          is refused; [] = nobody sends one; not with kcp",
};
pub(super) static TLS: Maybe<Nested<Tls>> = Maybe {
    name: "tls",
    kind: Nested { section: &tls::SECTION, read: tls::read, write: tls::write },
    absent: "must be given with tls and wss",
    doc: "TLS settings, with protocol \"tls\" and \"wss\"",
};
pub(super) static WS: Key<Nested<WsKeys>> = Key {
    name: "ws",
    kind: Nested { section: &ws::SECTION, read: ws::read, write: ws::write },
    default: WsKeys::unwritten,
    doc: "WebSocket settings, with protocol \"ws\" and \"wss\"",
};
pub(super) static KCP: Key<Nested<Kcp>> = Key {
    name: "kcp",
    kind: Nested { section: &kcp::LISTENER, read: kcp::read_listener, write: kcp::write_listener },
    default: kcp::usual_listener,
    doc: "KCP settings, with protocol \"kcp\" only",
};

pub(in crate::config) static FRAMES: Maybe<Nested<Frames>> = Maybe {
    name: "frames",
    kind: FRAMED,
    absent: "bytes as they come",
    doc: "frame mode: clients and endpoints speak in messages",
};
pub(super) static TOKENS: Maybe<Nested<Tokens>> = Maybe {
    name: "tokens",
    kind: KNOWN,
    absent: "devices are not asked who they are",
    doc: "device tokens, in frame mode only",
};
