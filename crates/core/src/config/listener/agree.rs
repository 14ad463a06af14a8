//! Where the keys of a listener do not go together, and what runs but may not be meant.

use super::{
    ALLOW, CONGESTION, FAILURE_MESSAGE, HELLO, IDLE_TIMEOUT, KCP, OPEN_TIMEOUT, PROTOCOL, PROXY_PROTOCOL,
    ROUTE, SUCCESS_MESSAGE, TLS, WS, has_tls, has_ws, is_silent,
};
use crate::config::dial::OTHER_CONGESTION;
use crate::config::error::suggest;
use crate::config::key::Reader;
use crate::config::route::{Known, Word};
use crate::config::ws::warn_of_everyone;
use crate::config::{Hello, Listener, Protocol, kcp};
use crate::name::RouteName;
use crate::unit::show_duration;

/// Finds the route a listener names, or tells that there is none.
pub(super) fn find_route<'a>(
    reader: &Reader<'_>,
    routes: &'a [Known],
    name: &RouteName,
) -> Option<&'a Known> {
    let found = routes.iter().find(|known| known.name == name.as_str());
    if found.is_none() {
        let names = routes.iter().map(|known| known.name.as_str());
        let hint = suggest(name.as_str(), names);
        reader.error(ROUTE.name, format!("there is no route `{name}`"), hint);
    }
    found
}

/// Tells where protocol, hello and resolver do not go together, and keys that the protocol never looks at.
pub(super) fn check(reader: &Reader<'_>, protocol: Protocol, hello: Hello, word: Option<Word>) {
    check_hello(reader, protocol, hello, word);
    let spoken = word_of(protocol);
    let why = format!("with protocol \"{spoken}\"");
    let other = |protocol: &str| format!("take it out, or set `protocol = \"{protocol}\"`");
    if !has_ws(protocol) {
        reader.refuse(&[WS.name], &why, &other(if has_tls(protocol) { "wss" } else { "ws" }));
    }
    if !has_tls(protocol) {
        reader.refuse(&[TLS.name], &why, &other(if has_ws(protocol) { "wss" } else { "tls" }));
    } else if !reader.has(TLS.name) {
        let hint = "add `tls = { certs = [{ cert = \"web.pem\", key = \"web.key\" }] }`";
        reader.error(PROTOCOL.name, format!("`tls` is missing, protocol \"{spoken}\" needs it"), hint);
    }
    if protocol == Protocol::Kcp {
        reader.refuse(&[CONGESTION.name], &why, OTHER_CONGESTION);
        let hint = "take it out; proxies speak the PROXY protocol over tcp, tls, ws and wss";
        reader.refuse(&[PROXY_PROTOCOL.name], &why, hint);
    } else {
        reader.refuse(&[KCP.name], &why, &other("kcp"));
    }
}

fn check_hello(reader: &Reader<'_>, protocol: Protocol, hello: Hello, word: Option<Word>) {
    let spoken = word_of(protocol);
    match (protocol, hello) {
        (Protocol::Tcp | Protocol::Tls | Protocol::Kcp, Hello::Header) => {
            let message = format!("{spoken} has no header for the hello");
            let hint = format!(
                "\"length-prefixed\" or \"none\" with {spoken}; a header comes with protocol \"{}\"",
                if has_tls(protocol) { "wss" } else { "ws" }
            );
            reader.error(HELLO.name, message, hint);
        }
        (Protocol::Ws | Protocol::Wss, Hello::LengthPrefixed | Hello::Frontd | Hello::Funny) => {
            let hint = format!("\"header\" or \"none\" with {spoken}");
            reader.error(HELLO.name, format!("{spoken} takes its hello from the upgrade"), hint);
        }
        (Protocol::Kcp | Protocol::Ws | Protocol::Wss, Hello::Sni) => {
            let hint = "\"sni\" comes with protocol \"tls\", or with \"tcp\", where it is only looked at";
            reader.error(HELLO.name, format!("{spoken} does not route by the name asked of TLS"), hint);
        }
        (
            Protocol::Tcp | Protocol::Tls | Protocol::Kcp,
            Hello::LengthPrefixed | Hello::Frontd | Hello::Funny | Hello::None,
        )
        | (Protocol::Tcp | Protocol::Tls, Hello::Sni)
        | (Protocol::Ws | Protocol::Wss, Hello::Header | Hello::None) => {}
    }
    let quoted = if hello == Hello::Sni { "\"sni\"" } else { "\"none\"" };
    if hello == Hello::None
        && let Some(word) = word.filter(|word| *word != Word::Upstream)
    {
        let message =
            format!("hello \"none\" gives no key, and the route's resolver `{}` needs one", word.as_str());
        reader.error(HELLO.name, message, "a route with `resolver = \"upstream\"`, or another hello");
    }
    if let (Hello::Frontd | Hello::Funny, Some(other)) = (hello, word.filter(|word| *word != Word::Frontd)) {
        let message =
            format!("this hello is an encrypted address, and resolver `{}` opens none", other.as_str());
        reader.error(HELLO.name, message, "a route with `resolver = \"frontd\"`, or another hello");
    }
    if hello == Hello::Sni && word == Some(Word::Address) {
        let message =
            "hello \"sni\" gives a name without a port, and the route's resolver `address` needs one";
        let hint = "a route with `resolver = \"name\"`, whose `names` or `dns` have the port";
        reader.error(HELLO.name, message, hint);
    }
    for key in [&SUCCESS_MESSAGE, &FAILURE_MESSAGE].into_iter().filter(|_| is_silent(hello)) {
        if reader.has(key.name) && reader.find(key).is_some_and(|message| !message.is_empty()) {
            let message = format!("`{}` is never sent with hello {quoted}", key.name);
            reader.error(key.name, message, "take it out: only the endpoint's bytes reach such a client");
        }
    }
}

/// Tells where credentials, which the keys of the route are, would be seen by others.
pub(super) fn advise_of_credentials(reader: &Reader<'_>, listener: &Listener, wants_query: bool) {
    if wants_query {
        let text = "`query = true` puts credentials into URLs, which logs and proxies keep";
        reader.report.warn(&reader.at(WS.name), text);
    }
    if listener.hello == Hello::Sni {
        let text = "the keys of this route are credentials, and hello \"sni\" takes the name that a client asks \
                    TLS for, which passes in clear; `resolver = \"name\"` takes names";
        reader.report.warn(&reader.at(HELLO.name), text);
    }
    if listener.kcp.as_deref().is_some_and(kcp::is_clear) {
        let at = if reader.has(KCP.name) { KCP.name } else { PROTOCOL.name };
        reader.report.warn(&reader.at(at), kcp::CLEAR_CREDENTIAL);
    }
}

/// Tells what runs but may not be meant.
pub(super) fn advise(reader: &Reader<'_>, listener: &Listener, route: Option<&Known>) {
    if let Some((each, attempts)) = route.and_then(|route| route.dial) {
        let all = each.saturating_mul(u32::from(attempts));
        if all > listener.open_timeout {
            let text = format!(
                "`open_timeout` ({}) ends before {attempts} attempts of {} do; `open_timeout = \"{}\"` lets them",
                show_duration(listener.open_timeout),
                show_duration(each),
                show_duration(all)
            );
            reader.report.warn(&reader.at(OPEN_TIMEOUT.name), text);
        }
    }
    if let Some(ws) = listener.ws.as_ref().filter(|ws| ws.ping_interval >= listener.idle_timeout) {
        let text = format!(
            "`ping_interval` ({}) is not below `idle_timeout` ({}): silent clients are cut before they are asked",
            show_duration(ws.ping_interval),
            show_duration(listener.idle_timeout)
        );
        reader.report.warn(&reader.at(IDLE_TIMEOUT.name), text);
    }
    let denied = |network: &ipnet::IpNet| listener.deny.iter().any(|deny| deny.contains(network));
    if !listener.allow.is_empty() && listener.allow.iter().all(denied) {
        let text = "nobody is let in: `deny` has every network of `allow`";
        reader.report.warn(&reader.at(ALLOW.name), text);
    }
    warn_of_everyone(reader, PROXY_PROTOCOL.name, &listener.proxy_protocol);
}

fn word_of(protocol: Protocol) -> &'static str {
    PROTOCOL.kind.words.iter().find(|(_, known)| *known == protocol).map_or("", |(word, _)| word)
}
