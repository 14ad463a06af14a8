//! `[[listener]]`: what clients connect to.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

mod agree;

use super::bind::Bind;
use super::dial::CONGESTION;
use super::kcp::{self, Kcp};
use super::key::{Key, Maybe, Need, Reader, Section};
use super::kind::{Choice, Flag, List, Nested, Size, Span, Text, named};
use super::process::{DAY, HOUR, NETWORK, SHORTEST};
use super::route::{Known, Word};
use super::tls::{self, Tls};
use super::write::Writer;
use super::ws::{self, WsKeys};
use super::{Hello, Idle, Keepalive, Listener, Protocol, Quotas};
use crate::name::{ListenerName, RouteName};

pub(super) const HELLO_WITHIN: Duration = Duration::from_secs(10);
pub(super) const HELLO_MAX: u32 = 4096;
pub(super) const OPEN_WITHIN: Duration = Duration::from_secs(10);
pub(super) const FAILURE_AT: Duration = Duration::from_millis(250);
pub(super) const SUCCESS: &str = "ok";
pub(super) const FAILURE: &str = "error";
pub(super) const IDLE_TCP: Duration = HOUR;
pub(super) const IDLE_WS: Duration = Duration::from_secs(60);
/// KCP tells no end: silence is all that is ever heard of a client that went away.
pub(super) const IDLE_KCP: Duration = Duration::from_secs(60);
pub(super) const HALF_CLOSED: Duration = Duration::from_secs(60);
/// A peer whose machine is gone is noticed within half a minute.
pub(super) const USER_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) static SECTION: Section = Section {
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
        &PROXY_PROTOCOL,
        &TLS,
        &WS,
        &KCP,
    ],
    later: &[
        "frames",
        "tokens",
        "session_rate",
        "sessions",
        "per_ip",
        "per_device",
        "message_rate",
        "byte_rate",
        "max_age",
        "allow",
        "deny",
        "keepalive",
        "user_timeout",
    ],
};
pub(super) static NAME: Need<Text<ListenerName>> =
    Need { name: "name", kind: named(), doc: "its name in logs and metrics; unique" };
static PROTOCOL: Need<Choice<Protocol>> = Need {
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
pub(super) static BIND: Need<List<Bind>> = Need {
    name: "bind",
    kind: List::some(Bind),
    doc: "where it listens; a bare port is every address, IPv4 and IPv6",
};
static HELLO: Maybe<Choice<Hello>> = Maybe {
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
static HELLO_TIMEOUT: Key<Span> = Key {
    name: "hello_timeout",
    kind: Span::from(SHORTEST, HOUR),
    default: || HELLO_WITHIN,
    doc: "for the whole hello, upgrade included, from accept; not extended by progress",
};
static HELLO_MAX_BYTES: Key<Size<u32>> = Key {
    name: "hello_max_bytes",
    kind: Size::bytes(1, 64 << 10),
    default: || HELLO_MAX,
    doc: "the longest key",
};
static OPEN_TIMEOUT: Key<Span> = Key {
    name: "open_timeout",
    kind: Span::from(SHORTEST, HOUR),
    default: || OPEN_WITHIN,
    doc: "from hello to success, all attempts together",
};
/// Bytes that are sent as they are.
pub(super) const MESSAGE: Text<Box<[u8]>> = Text {
    label: "string, at most 4 KiB",
    example: SUCCESS,
    parse: |text| match text.len() {
        0..=4096 => Ok(text.as_bytes().into()),
        long => Err(format!("{long} bytes are too many")),
    },
    show: |bytes| String::from_utf8_lossy(bytes).into_owned(),
};
static SUCCESS_MESSAGE: Maybe<Text<Box<[u8]>>> = Maybe {
    name: "success_message",
    kind: MESSAGE,
    absent: "\"ok\"; nothing with hello \"sni\", \"none\" and \"frontd\", \"200\" with \"funny\"",
    doc: "sent when the endpoint is open; \"\" = nothing",
};
static FAILURE_MESSAGE: Maybe<Text<Box<[u8]>>> = Maybe {
    name: "failure_message",
    kind: MESSAGE,
    absent: "\"error\"; nothing with hello \"sni\" and \"none\", \"4102\" with \"frontd\", \"502\" with \"funny\"",
    doc: "sent on any failure, the same for every cause; \"\" = nothing",
};
static FAILURE_DELAY: Key<Span> = Key {
    name: "failure_delay",
    kind: Span::from(Duration::ZERO, Duration::from_secs(10)),
    default: || FAILURE_AT,
    doc: "the one moment after the hello at which failures are told, so that their time says nothing",
};
pub(super) static ROUTE: Need<Text<RouteName>> =
    Need { name: "route", kind: named(), doc: "the route of its sessions" };
static IDLE_TIMEOUT: Maybe<Span> = Maybe {
    name: "idle_timeout",
    kind: Span::from(SHORTEST, Duration::from_secs(365 * 24 * 3600)),
    absent: "\"1h\" with tcp and tls, \"1m\" with ws, wss and kcp",
    doc: "how long a session may be silent",
};
static IDLE: Key<Choice<Idle>> = Key {
    name: "idle",
    kind: Choice {
        noun: "idle rule",
        words: &[("client", Idle::Client), ("either", Idle::Either)],
        later: &[],
    },
    default: || Idle::Client,
    doc: "whose bytes count as life",
};
static HALF_CLOSE_TIMEOUT: Key<Span> = Key {
    name: "half_close_timeout",
    kind: Span::from(SHORTEST, DAY),
    default: || HALF_CLOSED,
    doc: "how long the second direction may be silent once the first has ended",
};
static ZERO_COPY: Key<Flag> = Key {
    name: "zero_copy",
    kind: Flag,
    default: || true,
    doc: "may bytes go on without a copy of their own? tcp: large flows bypass user space; kcp: payload goes on out of its datagram",
};
static PROXY_PROTOCOL: Key<List<Text<IpNet>>> = Key {
    name: "proxy_protocol",
    kind: List::or_one(NETWORK),
    default: Vec::new,
    doc: "peers that must say first, by a PROXY protocol header of version 1 or 2, whom they speak for; everyone else \
          is refused; [] = nobody sends one; not with kcp",
};
static TLS: Maybe<Nested<Tls>> = Maybe {
    name: "tls",
    kind: Nested { section: &tls::SECTION, read: tls::read, write: tls::write },
    absent: "must be given with tls and wss",
    doc: "TLS settings, with protocol \"tls\" and \"wss\"",
};
static WS: Key<Nested<WsKeys>> = Key {
    name: "ws",
    kind: Nested { section: &ws::SECTION, read: ws::read, write: ws::write },
    default: WsKeys::unwritten,
    doc: "WebSocket settings, with protocol \"ws\" and \"wss\"",
};
static KCP: Key<Nested<Kcp>> = Key {
    name: "kcp",
    kind: Nested { section: &kcp::LISTENER, read: kcp::read_listener, write: kcp::write_listener },
    default: kcp::usual_listener,
    doc: "KCP settings, with protocol \"kcp\" only",
};

/// Reads a listener; `routes` are the routes of the file, by name.
pub(super) fn read(reader: &Reader<'_>, routes: &[Known]) -> Option<Listener> {
    // Everything is read before anything is given up, so that every error is told.
    let (name, protocol) = (reader.need(&NAME), reader.need(&PROTOCOL));
    let (bind, route) = (reader.need(&BIND), reader.need(&ROUTE));
    let found_hello = reader.find(&HELLO);
    let (tls, ws, kcp) = (reader.find(&TLS), reader.get(&WS), reader.get(&KCP));
    let known = route.as_ref().and_then(|route| agree::find_route(reader, routes, route));
    let word = known.and_then(|known| known.word);
    let hello = found_hello.unwrap_or(protocol.map_or(Hello::LengthPrefixed, usual_hello));
    if let Some(protocol) = protocol {
        agree::check(reader, protocol, hello, word);
    }
    let credential = word.is_some_and(Word::is_credential);
    let protocol_known = protocol?;
    let wants_query = ws.wants_query();
    let listener = Listener {
        name: name?,
        protocol: protocol_known,
        bind: bind?,
        hello,
        hello_timeout: reader.get(&HELLO_TIMEOUT),
        hello_max_bytes: reader.get(&HELLO_MAX_BYTES),
        open_timeout: reader.get(&OPEN_TIMEOUT),
        success_message: message(reader, &SUCCESS_MESSAGE, usual_messages(hello).0),
        failure_message: message(reader, &FAILURE_MESSAGE, usual_messages(hello).1),
        failure_delay: reader.get(&FAILURE_DELAY),
        route: route?,
        idle_timeout: reader.find(&IDLE_TIMEOUT).unwrap_or(usual_idle(protocol_known)),
        idle: reader.get(&IDLE),
        half_close_timeout: reader.get(&HALF_CLOSE_TIMEOUT),
        zero_copy: reader.get(&ZERO_COPY),
        congestion: reader.get(&CONGESTION),
        ws: has_ws(protocol_known).then(|| ws.settle(!credential)),
        tls: if has_tls(protocol_known) { Some(Arc::new(tls?)) } else { None },
        proxy_protocol: reader.get(&PROXY_PROTOCOL),
        kcp: (protocol_known == Protocol::Kcp).then(|| Arc::new(kcp)),
        max_age: None,
        keepalive: Keepalive::default(),
        user_timeout: USER_TIMEOUT,
        limits: Quotas::default(),
        allow: Vec::new(),
        deny: Vec::new(),
        frames: None,
        tokens: None,
    };
    if credential {
        agree::advise_of_credentials(reader, &listener, wants_query);
    }
    agree::advise(reader, &listener, known);
    Some(listener)
}

/// Writes a listener; `word` is the resolver of its route.
pub(super) fn write(writer: &mut Writer<'_>, listener: &Listener, word: Option<Word>) {
    writer.put_needed(&NAME, &listener.name);
    writer.put_needed(&PROTOCOL, &listener.protocol);
    writer.put_needed(&BIND, &listener.bind);
    writer.put_maybe(&HELLO, &listener.hello, listener.hello == usual_hello(listener.protocol));
    writer.put(&HELLO_TIMEOUT, &listener.hello_timeout);
    writer.put(&HELLO_MAX_BYTES, &listener.hello_max_bytes);
    writer.put(&OPEN_TIMEOUT, &listener.open_timeout);
    let (success, failure) = usual_messages(listener.hello);
    let said = &listener.success_message;
    writer.put_maybe(&SUCCESS_MESSAGE, said, **said == *success.as_bytes());
    let said = &listener.failure_message;
    writer.put_maybe(&FAILURE_MESSAGE, said, **said == *failure.as_bytes());
    writer.put(&FAILURE_DELAY, &listener.failure_delay);
    writer.put_needed(&ROUTE, &listener.route);
    let idle = listener.idle_timeout;
    writer.put_maybe(&IDLE_TIMEOUT, &idle, idle == usual_idle(listener.protocol));
    writer.put(&IDLE, &listener.idle);
    writer.put(&HALF_CLOSE_TIMEOUT, &listener.half_close_timeout);
    writer.put(&ZERO_COPY, &listener.zero_copy);
    if listener.kcp.is_none() {
        writer.put(&CONGESTION, &listener.congestion);
        writer.put(&PROXY_PROTOCOL, &listener.proxy_protocol);
    }
    if let Some(tls) = &listener.tls {
        writer.put_nested_maybe(&TLS, tls);
    }
    if let Some(kcp) = &listener.kcp {
        writer.put_nested(&KCP, kcp);
    }
    if let Some(ws) = &listener.ws {
        let query = !word.is_some_and(Word::is_credential);
        writer.put_nested(&WS, &WsKeys::saying(ws, query));
    }
}

fn message(reader: &Reader<'_>, key: &Maybe<Text<Box<[u8]>>>, usual: &str) -> Box<[u8]> {
    reader.find(key).unwrap_or_else(|| usual.as_bytes().into())
}

/// What success and failure are told with. Foreign clients know codes; of those for failures they get one,
/// "cannot connect", whatever the cause.
fn usual_messages(hello: Hello) -> (&'static str, &'static str) {
    match hello {
        Hello::Sni | Hello::None => ("", ""),
        Hello::Frontd => ("", "4102"),
        Hello::Funny => ("200", "502"),
        Hello::LengthPrefixed | Hello::Header => (SUCCESS, FAILURE),
    }
}

/// Do only the endpoint's bytes reach its clients?
fn is_silent(hello: Hello) -> bool {
    match hello {
        Hello::Sni | Hello::None => true,
        Hello::LengthPrefixed | Hello::Frontd | Hello::Funny | Hello::Header => false,
    }
}

fn has_tls(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Tls | Protocol::Wss)
}

fn has_ws(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Ws | Protocol::Wss)
}

pub(super) fn usual_idle(protocol: Protocol) -> Duration {
    match protocol {
        Protocol::Tcp | Protocol::Tls => IDLE_TCP,
        Protocol::Ws | Protocol::Wss => IDLE_WS,
        Protocol::Kcp => IDLE_KCP,
    }
}

pub(super) fn usual_hello(protocol: Protocol) -> Hello {
    match protocol {
        Protocol::Tcp | Protocol::Tls | Protocol::Kcp => Hello::LengthPrefixed,
        Protocol::Ws | Protocol::Wss => Hello::Header,
    }
}
