//! `[[listener]]`: what clients connect to.

use std::sync::Arc;
use std::time::Duration;

mod agree;
mod rows;
mod shield;

use super::dial::CONGESTION;
use super::key::{Maybe, Reader};
use super::kind::Text;
use super::process::HOUR;
use super::route::{Known, Word};
use super::write::Writer;
use super::ws::WsKeys;
use super::{Frames, Hello, Keepalive, Listener, Protocol};
use rows::{
    ALLOW, DENY, FAILURE_DELAY, FAILURE_MESSAGE, HALF_CLOSE_TIMEOUT, HELLO, HELLO_MAX_BYTES, HELLO_TIMEOUT,
    IDLE, IDLE_TIMEOUT, KCP, LIMITS, OPEN_TIMEOUT, PROTOCOL, PROXY_PROTOCOL, ROUTE, SUCCESS_MESSAGE, TLS,
    TOKENS, WS, ZERO_COPY,
};

pub(super) use rows::{BIND, FRAMES, MESSAGE, NAME, SECTION};

pub(super) const HELLO_WITHIN: Duration = Duration::from_secs(10);
pub(super) const HELLO_MAX: u32 = 4096;
pub(super) const OPEN_WITHIN: Duration = Duration::from_secs(10);
pub(super) const FAILURE_AT: Duration = Duration::from_millis(250);
pub(super) const SUCCESS: &str = "ok";
pub(super) const FAILURE: &str = "error";
pub(super) const IDLE_TCP: Duration = HOUR;
pub(super) const IDLE_WS: Duration = Duration::from_secs(60);
pub(super) const IDLE_FRAMES: Duration = Duration::from_secs(60);
/// KCP tells no end: silence is all that is ever heard of a client that went away.
pub(super) const IDLE_KCP: Duration = Duration::from_secs(60);
pub(super) const HALF_CLOSED: Duration = Duration::from_secs(60);
/// A peer whose machine is gone is noticed within half a minute.
pub(super) const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Reads a listener; `routes` are the routes of the file, by name.
pub(super) fn read(reader: &Reader<'_>, routes: &[Known]) -> Option<Listener> {
    // Everything is read before anything is given up, so that every error is told.
    let (name, protocol) = (reader.need(&NAME), reader.need(&PROTOCOL));
    let (bind, route) = (reader.need(&BIND), reader.need(&ROUTE));
    let found_hello = reader.find(&HELLO);
    let (tls, ws, kcp) = (reader.find(&TLS), reader.get(&WS), reader.get(&KCP));
    let (frames, tokens) = (reader.find(&FRAMES).map(Arc::new), reader.find(&TOKENS));
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
        idle_timeout: reader.find(&IDLE_TIMEOUT).unwrap_or(usual_idle(protocol_known, frames.as_deref())),
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
        user_timeout: UNACKNOWLEDGED,
        limits: reader.get(&LIMITS),
        allow: reader.get(&ALLOW),
        deny: reader.get(&DENY),
        frames,
        tokens: tokens.map(Arc::new),
    };
    shield::check(reader, &listener);
    if credential {
        agree::advise_of_credentials(reader, &listener, wants_query);
    }
    agree::advise(reader, &listener, known);
    shield::advise(reader, &listener);
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
    writer.put_maybe(&IDLE_TIMEOUT, &idle, idle == usual_idle(listener.protocol, listener.frames.as_deref()));
    writer.put(&IDLE, &listener.idle);
    writer.put(&HALF_CLOSE_TIMEOUT, &listener.half_close_timeout);
    writer.put(&ZERO_COPY, &listener.zero_copy);
    writer.put(&ALLOW, &listener.allow);
    writer.put(&DENY, &listener.deny);
    writer.put_nested(&LIMITS, &listener.limits);
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
    if let Some(frames) = &listener.frames {
        writer.put_nested_maybe(&FRAMES, frames);
    }
    if let Some(tokens) = &listener.tokens {
        writer.put_nested_maybe(&TOKENS, tokens);
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

/// How long clients may be silent who say nothing of it; those who speak in frames have heartbeats.
pub(super) fn usual_idle(protocol: Protocol, frames: Option<&Frames>) -> Duration {
    match protocol {
        Protocol::Tcp | Protocol::Tls if frames.is_some() => IDLE_FRAMES,
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
