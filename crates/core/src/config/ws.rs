//! `ws = { … }` of a listener.

use std::time::Duration;

use ipnet::IpNet;

use super::key::{Key, Maybe, Reader, Section};
use super::kind::{Choice, Flag, List, Size, Span, Text};
use super::process::{HOUR, NETWORK, SHORTEST};
use super::write::Writer;
use super::{Framing, Ws};

const HEADER_NAME: &str = "server-identify";
const MAX_MESSAGE_BYTES: u32 = 1 << 20;
/// A third of the idle timeout, so that two answers may be lost.
const PING: Duration = Duration::from_secs(20);
/// Headers that the upgrade itself needs (RFC 6455 section 4.1).
const TAKEN: [&str; 5] = ["host", "upgrade", "connection", "origin", "content-length"];

/// The keys as written; what `query` means when absent depends on the route.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WsKeys {
    query: Option<bool>,
    rest: Ws,
}

impl WsKeys {
    /// Makes the settings; `query` is the default of that key.
    pub(super) fn settle(self, query: bool) -> Ws {
        Ws { query: self.query.unwrap_or(query), ..self.rest }
    }

    /// Is the key asked for in the query by the operator's own word?
    pub(super) fn wants_query(&self) -> bool {
        self.query == Some(true)
    }

    /// The keys that say `ws`, where `query` is the default of that key.
    pub(super) fn saying(ws: &Ws, query: bool) -> Self {
        Self { query: Some(ws.query).filter(|asked| *asked != query), rest: ws.clone() }
    }

    /// The keys of an empty table.
    pub(super) fn unwritten() -> Self {
        let rest = Ws {
            header: (HEADER.default)(),
            query: true,
            origins: (ORIGINS.default)(),
            paths: (PATHS.default)(),
            framing_up: (FRAMING_UP.default)(),
            framing_down: (FRAMING_DOWN.default)(),
            max_message: (MAX_MESSAGE.default)(),
            ping_interval: (PING_INTERVAL.default)(),
            trusted_proxies: (TRUSTED_PROXIES.default)(),
        };
        Self { query: None, rest }
    }
}

pub(super) static SECTION: Section = Section {
    path: "listener.ws",
    doc: "WebSocket settings of a listener.",
    rows: &[
        &HEADER,
        &QUERY,
        &ORIGINS,
        &PATHS,
        &FRAMING_UP,
        &FRAMING_DOWN,
        &MAX_MESSAGE,
        &PING_INTERVAL,
        &TRUSTED_PROXIES,
    ],
    later: &[],
};
static HEADER: Key<Text<Box<str>>> = Key {
    name: "header",
    kind: Text {
        label: "name of an HTTP header",
        example: HEADER_NAME,
        parse: header_name,
        show: |name| name.to_string(),
    },
    default: || HEADER_NAME.into(),
    doc: "the header, query parameter and sub-protocol that carries the key",
};
static QUERY: Maybe<Flag> = Maybe {
    name: "query",
    kind: Flag,
    absent: "true; false with resolver `jwt`, `ticket` or `frontd`: no credentials in URLs",
    doc: "may the key come in the query?",
};
static ORIGINS: Key<List<Text<Box<str>>>> = Key {
    name: "origins",
    kind: List::or_one(Text {
        label: "origin, scheme and host as a browser sends them",
        example: "https://play.example",
        parse: origin,
        show: |origin| origin.to_string(),
    }),
    default: Vec::new,
    doc: "accepted `Origin` values, and `none` for clients that send none; [] = any",
};
static PATHS: Key<List<Text<Box<str>>>> = Key {
    name: "paths",
    kind: List::or_one(Text {
        label: "path; `*` at its end matches any rest",
        example: "/game/*",
        parse: path,
        show: |path| path.to_string(),
    }),
    default: Vec::new,
    doc: "accepted paths; [] = any",
};
const FRAMINGS: Choice<Framing> = Choice {
    noun: "framing",
    words: &[("raw", Framing::Raw), ("length-prefixed", Framing::LengthPrefixed)],
    later: &[],
};
static FRAMING_UP: Key<Choice<Framing>> = Key {
    name: "framing_up",
    kind: FRAMINGS,
    default: || Framing::Raw,
    doc: "how client messages become the endpoint's bytes",
};
static FRAMING_DOWN: Key<Choice<Framing>> = Key {
    name: "framing_down",
    kind: FRAMINGS,
    default: || Framing::Raw,
    doc: "how the endpoint's bytes become client messages",
};
static MAX_MESSAGE: Key<Size<u32>> = Key {
    name: "max_message",
    kind: Size::from(1, 64 << 20),
    default: || MAX_MESSAGE_BYTES,
    doc: "the largest message that is ever put together",
};
static PING_INTERVAL: Key<Span> = Key {
    name: "ping_interval",
    kind: Span::from(SHORTEST, HOUR),
    default: || PING,
    doc: "how often a silent client is pinged",
};
static TRUSTED_PROXIES: Key<List<Text<IpNet>>> = Key {
    name: "trusted_proxies",
    kind: List::or_one(NETWORK),
    default: Vec::new,
    doc: "peers whose `X-Forwarded-For` names the real client",
};

pub(super) fn read(reader: &Reader<'_>) -> Option<WsKeys> {
    let trusted_proxies = reader.get(&TRUSTED_PROXIES);
    warn_of_everyone(reader, TRUSTED_PROXIES.name, &trusted_proxies);
    let rest = Ws {
        header: reader.get(&HEADER),
        query: true,
        origins: reader.get(&ORIGINS),
        paths: reader.get(&PATHS),
        framing_up: reader.get(&FRAMING_UP),
        framing_down: reader.get(&FRAMING_DOWN),
        max_message: reader.get(&MAX_MESSAGE),
        ping_interval: reader.get(&PING_INTERVAL),
        trusted_proxies,
    };
    Some(WsKeys { query: reader.find(&QUERY), rest })
}

pub(super) fn write(writer: &mut Writer<'_>, keys: &WsKeys) {
    let ws = &keys.rest;
    writer.put(&HEADER, &ws.header);
    if let Some(query) = keys.query {
        writer.put_maybe(&QUERY, &query, false);
    } else {
        writer.put_maybe(&QUERY, &ws.query, true);
    }
    writer.put(&ORIGINS, &ws.origins);
    writer.put(&PATHS, &ws.paths);
    writer.put(&FRAMING_UP, &ws.framing_up);
    writer.put(&FRAMING_DOWN, &ws.framing_down);
    writer.put(&MAX_MESSAGE, &ws.max_message);
    writer.put(&PING_INTERVAL, &ws.ping_interval);
    writer.put(&TRUSTED_PROXIES, &ws.trusted_proxies);
}

/// Tells a list of peers that leaves nobody out: any client may then say that it is another.
pub(super) fn warn_of_everyone(reader: &Reader<'_>, key: &str, peers: &[IpNet]) {
    if let Some(all) = peers.iter().find(|peer| peer.prefix_len() == 0) {
        let text = format!(
            "`{key}` trusts everyone ({all}): any client may say that it comes from another address; \
             name the proxies in front only"
        );
        reader.report.warn(&reader.at(key), text);
    }
}

/// A token of RFC 9110 section 5.6.2 that the upgrade does not need for itself; lower case.
fn header_name(text: &str) -> Result<Box<str>, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(token) {
        return Err(format!("{text:?} is no name of an HTTP header"));
    }
    let name = text.to_ascii_lowercase();
    if TAKEN.contains(&name.as_str()) || name.starts_with("sec-") {
        return Err(format!("`{name}` is needed by the upgrade itself"));
    }
    Ok(name.into())
}

/// `scheme://host[:port]` as RFC 6454 section 6.2 writes it, or `null`; `none` admits a request without one.
fn origin(text: &str) -> Result<Box<str>, String> {
    if text == "null" || text == "none" {
        return Ok(text.into());
    }
    let (scheme, host) = text.split_once("://").ok_or_else(|| format!("{text:?} has no scheme"))?;
    let scheme_good =
        !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let host_good = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    if !scheme_good || !host_good {
        return Err(format!("{text:?} is no origin: no path, no slash at its end"));
    }
    Ok(text.to_ascii_lowercase().into())
}

fn path(text: &str) -> Result<Box<str>, String> {
    let body = text.strip_suffix('*').unwrap_or(text);
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"*?#".contains(&byte);
    if !body.starts_with('/') || !body.bytes().all(plain) {
        return Err(format!("{text:?} does not begin with `/`, or has `*`, `?`, `#` or a blank in it"));
    }
    Ok(text.into())
}
