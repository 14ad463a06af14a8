//! `ws = { … }` of a route or an upstream.

use crate::config::key::{Key, Maybe, Reader, Row, Section};
use crate::config::kind::{Flag, Text};
use crate::config::write::Writer;

const ROOT: &str = "/";
/// What servers take of a request line at least (RFC 9112 section 3 recommends 8000 octets).
const PATH_MAX: usize = 4096;
/// A name of DNS (RFC 1035 section 2.3.4), a colon and a port.
const HOST_MAX: usize = 253 + 6;

/// How a WebSocket endpoint is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialWs {
    /// The path, query included.
    pub path: Box<str>,
    /// The `Host` header; `None` = the endpoint's address.
    pub host: Option<Box<str>>,
    /// Is it told the client's address, as `X-Forwarded-For` and its kin?
    pub forwarded: bool,
}

static ROWS: [&dyn Row; 3] = [&PATH, &HOST, &FORWARDED];
pub(in crate::config) static ROUTE: Section = Section {
    path: "route.NAME.ws",
    doc: "How a route meets its WebSocket endpoints.",
    rows: &ROWS,
    later: &[],
};
pub(in crate::config) static UPSTREAM: Section = Section {
    path: "upstream.NAME.ws",
    doc: "How an upstream's WebSocket endpoints are met.",
    rows: &ROWS,
    later: &[],
};
/// What is asked for by HTTP.
pub(in crate::config) const TARGET: Text<Box<str>> =
    Text { label: "path, with its query", example: "/game?v=1", parse: path, show: |path| path.to_string() };
/// A value of `Host`.
pub(in crate::config) const HOST_HEADER: Text<Box<str>> = Text {
    label: "host, or host:port",
    example: "game.internal",
    parse: host,
    show: |host| host.to_string(),
};
static PATH: Key<Text<Box<str>>> =
    Key { name: "path", kind: TARGET, default: || ROOT.into(), doc: "what is asked for" };
static HOST: Maybe<Text<Box<str>>> = Maybe {
    name: "host",
    kind: HOST_HEADER,
    absent: "the address that is dialled",
    doc: "the `Host` header",
};
static FORWARDED: Key<Flag> = Key {
    name: "forwarded",
    kind: Flag,
    default: || true,
    doc: "is the endpoint told the client's address, as `X-Forwarded-For` and its kin?",
};

/// Reads the table.
pub(in crate::config) fn read(reader: &Reader<'_>) -> Option<DialWs> {
    Some(DialWs { path: reader.get(&PATH), host: reader.find(&HOST), forwarded: reader.get(&FORWARDED) })
}

/// Writes the table.
pub(in crate::config) fn write(writer: &mut Writer<'_>, ws: &DialWs) {
    writer.put(&PATH, &ws.path);
    if let Some(host) = &ws.host {
        writer.put_maybe(&HOST, host, false);
    }
    writer.put(&FORWARDED, &ws.forwarded);
}

/// What an empty table says.
pub(in crate::config) fn unwritten() -> DialWs {
    DialWs { path: (PATH.default)(), host: None, forwarded: (FORWARDED.default)() }
}

/// The origin form of a request target (RFC 9112 section 3.2.1): no blank and no control character, which would
/// end the line or the header.
fn path(text: &str) -> Result<Box<str>, String> {
    let good = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if !text.starts_with('/') {
        return Err(format!("{text:?} does not begin with `/`"));
    }
    if !text.bytes().all(good) {
        return Err(format!("{text:?} has a blank, a `#`, a control character or other than ASCII in it"));
    }
    if text.len() > PATH_MAX {
        return Err(format!("{} bytes are more than {PATH_MAX}", text.len()));
    }
    Ok(text.into())
}

/// A value of `Host` (RFC 9110 section 7.2): what would end the header is not in it.
fn host(text: &str) -> Result<Box<str>, String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if text.is_empty() || text.len() > HOST_MAX || !text.bytes().all(good) {
        return Err(format!(
            "{text:?} is no host: letters, digits, `-`, `.`, `_`, and a port; at most {HOST_MAX}"
        ));
    }
    Ok(text.into())
}
