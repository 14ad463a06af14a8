//! `[route.NAME]`: how keys become targets.

use std::path::PathBuf;
use std::time::Duration;

use super::dial::{
    self, ATTEMPTS, CONGESTION, CONNECT_TIMEOUT, DialTls, DialWs, PROXY_PROTOCOL, SOURCE, SPEECH, Speaking,
    Speech, tls, ws,
};
use super::kcp::{self, Kcp};
use super::key::{Key, Maybe, Reader, Section};
use super::kind::{Choice, List, Map, Nested, Span, Text, free_text, named};
use super::name::{self, Target};
use super::process::FILE;
use super::write::Writer;
use super::{Frontd, Jwt, NameRule, NameTable, Resolver, Route, Ticket};
use crate::allow::{Allow, Rule};
use crate::name::{RouteName, UpstreamName};

/// Clocks of servers that issue tokens are seldom further off.
pub(super) const LEEWAY_SPAN: Duration = Duration::from_secs(60);

/// Which resolver a route has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Address,
    Jwt,
    Ticket,
    Frontd,
    Name,
    Upstream,
}

impl Word {
    pub(super) fn of(resolver: &Resolver) -> Self {
        match resolver {
            Resolver::Address => Self::Address,
            Resolver::Jwt(_) => Self::Jwt,
            Resolver::Ticket(_) => Self::Ticket,
            Resolver::Frontd(_) => Self::Frontd,
            Resolver::Name(_) => Self::Name,
            Resolver::Upstream => Self::Upstream,
        }
    }

    /// Is a key good for whoever has it?
    pub(super) fn is_credential(self) -> bool {
        matches!(self, Self::Jwt | Self::Ticket | Self::Frontd)
    }

    pub(super) fn as_str(self) -> &'static str {
        WORDS.iter().find(|(_, word)| *word == self).map_or("", |(text, _)| text)
    }
}

/// What listeners must know of a route.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) name: String,
    /// `None` when it could not be read.
    pub(super) word: Option<Word>,
    /// Time of one attempt and their number, where the route itself says so.
    pub(super) dial: Option<(Duration, u8)>,
}

/// A line of `allow`.
#[derive(Clone, Debug, PartialEq)]
enum Line {
    Rule(Rule),
    NoMorePrivate,
}

const NO_MORE_PRIVATE: &str = "no-more-private";
const UNPROVEN: &str = "the addresses of resolver \"frontd\" prove nothing: whoever saw one may use it again for ever, and nothing \
    tells one that was changed; a ticket ends and cannot be changed (`resolver = \"ticket\"`)";
const WORDS: &[(&str, Word)] = &[
    ("address", Word::Address),
    ("jwt", Word::Jwt),
    ("ticket", Word::Ticket),
    ("frontd", Word::Frontd),
    ("name", Word::Name),
    ("upstream", Word::Upstream),
];

pub(super) static SECTION: Section = Section {
    path: "[route.NAME]",
    doc: "How keys become targets.",
    rows: &[
        &RESOLVER,
        &ALLOW,
        &UPSTREAMS,
        &ENDPOINT,
        &KCP,
        &TLS,
        &WS,
        &PROXY_PROTOCOL,
        &CONNECT_TIMEOUT,
        &ATTEMPTS,
        &SOURCE,
        &CONGESTION,
        &KEY_FILE,
        &AUDIENCE,
        &ISSUER,
        &LEEWAY,
        &NAMES,
        &DNS,
    ],
    later: &["etcd", "zookeeper", "redis", "file", "http", "queue", "cache"],
};
static RESOLVER: Maybe<Choice<Word>> = Maybe {
    name: "resolver",
    kind: Choice { noun: "resolver", words: WORDS, later: &[] },
    absent: "\"upstream\" with `upstreams`, else \"address\"",
    doc: "how a key is read",
};
static ALLOW: Maybe<List<Text<Line>>> = Maybe {
    name: "allow",
    kind: List::or_one(Text {
        label: "network, address or name, `:`, and a port, a range of ports or `*`",
        example: "10.0.0.0/8:7000-7999",
        parse: |text| match text {
            NO_MORE_PRIVATE => Ok(Line::NoMorePrivate),
            rule => Rule::parse(rule).map(Line::Rule).map_err(|error| error.to_string()),
        },
        show: |line| match line {
            Line::Rule(rule) => rule.to_string(),
            Line::NoMorePrivate => NO_MORE_PRIVATE.into(),
        },
    }),
    absent: "nothing; required where keys carry addresses, unless `upstreams` is given",
    doc: "what may be dialled when a key carries an address; \"no-more-private\" = what is no more private than the client",
};
static UPSTREAMS: Key<List<Text<UpstreamName>>> = Key {
    name: "upstreams",
    kind: List::or_one(named()),
    default: Vec::new,
    doc: "upstreams that a token may name; with resolver \"upstream\" those that are used, in order",
};
static ENDPOINT: Key<Choice<Speech>> = Key {
    name: "endpoint",
    kind: SPEECH,
    default: || Speech::Tcp,
    doc: "what the endpoints speak whose address a key carries",
};
static KCP: Key<Nested<Kcp>> = Key {
    name: "kcp",
    kind: Nested { section: &kcp::ROUTE, read: kcp::read_endpoint, write: kcp::write_endpoint },
    default: kcp::usual_endpoint,
    doc: "KCP settings of these endpoints, with endpoint \"kcp\" only",
};
static TLS: Key<Nested<DialTls>> = Key {
    name: "tls",
    kind: Nested { section: &tls::ROUTE, read: tls::read, write: tls::write },
    default: tls::unwritten,
    doc: "TLS settings of these endpoints, with endpoint \"tls\" and \"wss\"",
};
static WS: Key<Nested<DialWs>> = Key {
    name: "ws",
    kind: Nested { section: &ws::ROUTE, read: ws::read, write: ws::write },
    default: ws::unwritten,
    doc: "WebSocket settings of these endpoints, with endpoint \"ws\" and \"wss\"",
};
const SPEAKING: Speaking = Speaking { word: &ENDPOINT, kcp: &KCP, tls: &TLS, ws: &WS };
static KEY_FILE: Key<List<Text<PathBuf>>> = Key {
    name: "key_file",
    kind: List::or_one(FILE),
    default: Vec::new,
    doc: "files with keys (resolver jwt: PEM, JWK(S), or raw bytes for HS256; ticket: ticket keys; frontd: one passphrase); required there",
};
static AUDIENCE: Key<List<Text<Box<str>>>> = Key {
    name: "audience",
    kind: List::or_one(free_text("string", "game")),
    default: Vec::new,
    doc: "accepted `aud` of a JWT; [] = not asked",
};
static ISSUER: Key<List<Text<Box<str>>>> = Key {
    name: "issuer",
    kind: List::or_one(free_text("string", "https://login.example")),
    default: Vec::new,
    doc: "accepted `iss` of a JWT; [] = not asked",
};
static LEEWAY: Key<Span> = Key {
    name: "leeway",
    kind: Span::from(Duration::ZERO, Duration::from_secs(3600)),
    default: || LEEWAY_SPAN,
    doc: "clock difference that is forgiven when a JWT or a ticket expires",
};
static NAMES: Key<Map<Target>> = Key {
    name: "names",
    kind: Map { key: "service names", item: Target },
    default: Vec::new,
    doc: "known names (resolver name)",
};
static DNS: Maybe<Nested<NameRule>> = Maybe {
    name: "dns",
    kind: Nested { section: &name::DNS, read: name::read_rule, write: name::write_rule },
    absent: "unknown names are refused",
    doc: "how other names are looked up in DNS (resolver name)",
};

/// Reads a route; `upstreams` are the names of the file's upstreams.
pub(super) fn read(name: RouteName, reader: &Reader<'_>, upstreams: &[&str]) -> (Known, Option<Route>) {
    let given = reader.find(&RESOLVER);
    let implied = if reader.has(UPSTREAMS.name) { Word::Upstream } else { Word::Address };
    let word = if reader.has(RESOLVER.name) { given } else { Some(implied) };
    let list = reader.get(&UPSTREAMS);
    for (index, upstream) in list.iter().enumerate() {
        check_upstream(reader, &reader.item_at(UPSTREAMS.name, index), upstream, upstreams);
        if list.iter().take(index).any(|earlier| earlier == upstream) {
            let at = reader.item_at(UPSTREAMS.name, index);
            reader.report.error(&at, format!("upstream `{upstream}` is there twice"), "name it once");
        }
    }
    let dial = dial::read(reader, &SPEAKING);
    let mut known = Known { name: name.to_string(), word, dial: None };
    let allow = allow(reader);
    let resolver = read_resolver(reader, word, upstreams);
    let Some(word) = word else { return (known, None) };
    if word != Word::Upstream {
        dial::agree(reader, &dial, &SPEAKING);
        known.dial = Some((dial.connect_timeout, dial.attempts));
    }
    if word == Word::Frontd {
        reader.report.warn(&reader.at(RESOLVER.name), UNPROVEN);
        if reader.get(&KEY_FILE).len() > 1 {
            let hint = "one file: nothing in an address tells which passphrase it is for";
            reader.error(KEY_FILE.name, "resolver \"frontd\" has one passphrase", hint);
        }
    }
    refuse_idle_keys(reader, word);
    require(reader, word, &resolver);
    let Some(resolver) = resolver else { return (known, None) };
    (known, Some(Route { name, resolver, allow, upstreams: list, dial }))
}

/// Writes a route.
pub(super) fn write(writer: &mut Writer<'_>, route: &Route) {
    let word = Word::of(&route.resolver);
    writer.put_maybe(&RESOLVER, &word, false);
    let lines = match &route.allow {
        Allow::Nothing => Vec::new(),
        Allow::Rules(rules) => rules.iter().cloned().map(Line::Rule).collect(),
        Allow::NoMorePrivate => vec![Line::NoMorePrivate],
    };
    // What `names` says is allowed by itself.
    let listed = matches!(&route.resolver, Resolver::Name(table) if table.dns.is_none());
    if word != Word::Upstream && !listed {
        writer.put_maybe(&ALLOW, &lines, lines.is_empty());
    }
    if !matches!(word, Word::Address | Word::Frontd | Word::Name) {
        writer.put(&UPSTREAMS, &route.upstreams);
    }
    match &route.resolver {
        Resolver::Jwt(jwt) => {
            writer.put(&KEY_FILE, &jwt.key_files);
            writer.put(&AUDIENCE, &jwt.audience);
            writer.put(&ISSUER, &jwt.issuer);
            writer.put(&LEEWAY, &jwt.leeway);
        }
        Resolver::Ticket(ticket) => {
            writer.put(&KEY_FILE, &ticket.key_files);
            writer.put(&LEEWAY, &ticket.leeway);
        }
        Resolver::Frontd(frontd) => writer.put(&KEY_FILE, &vec![frontd.key_file.clone()]),
        Resolver::Name(table) => {
            let pairs = table.names.iter().map(|(name, target)| (name.clone(), target.clone()));
            writer.put(&NAMES, &pairs.collect());
            if let Some(rule) = &table.dns {
                writer.put_maybe(&DNS, rule, false);
            }
        }
        Resolver::Address | Resolver::Upstream => {}
    }
    if word != Word::Upstream {
        dial::write(writer, &route.dial, &SPEAKING);
    }
}

fn allow(reader: &Reader<'_>) -> Allow {
    let Some(lines) = reader.find(&ALLOW).filter(|lines| !lines.is_empty()) else { return Allow::Nothing };
    if lines.contains(&Line::NoMorePrivate) {
        if lines.len() > 1 {
            let hint = "alone, or only rules";
            reader.error(ALLOW.name, format!("`{NO_MORE_PRIVATE}` stands among rules"), hint);
        }
        reader.report.warn(&reader.at(ALLOW.name), super::OPEN_ALLOW);
        return Allow::NoMorePrivate;
    }
    Allow::Rules(
        lines
            .into_iter()
            .filter_map(|line| if let Line::Rule(rule) = line { Some(rule) } else { None })
            .collect(),
    )
}

fn read_resolver(reader: &Reader<'_>, word: Option<Word>, upstreams: &[&str]) -> Option<Resolver> {
    let (audience, issuer) = (reader.get(&AUDIENCE), reader.get(&ISSUER));
    let (key_files, leeway) = (reader.get(&KEY_FILE), reader.get(&LEEWAY));
    let (names, dns) = (reader.get(&NAMES), reader.find(&DNS));
    for (name, target) in &names {
        let at = reader.table.walk(&[NAMES.name.to_owned(), name.to_string()]).map(|node| node.at.clone());
        if let super::NameTarget::Upstream(upstream) = target {
            check_upstream(reader, &at.unwrap_or_else(|| reader.at(NAMES.name)), upstream, upstreams);
        }
    }
    Some(match word? {
        Word::Address => Resolver::Address,
        Word::Jwt => Resolver::Jwt(Jwt { key_files, audience, issuer, leeway }),
        Word::Ticket => Resolver::Ticket(Ticket { key_files, leeway }),
        Word::Frontd => Resolver::Frontd(Frontd { key_file: key_files.into_iter().next()? }),
        Word::Name => Resolver::Name(NameTable { names: names.into_iter().collect(), dns }),
        Word::Upstream => Resolver::Upstream,
    })
}

/// Tells keys that the resolver never looks at: whoever wrote them expects something of them.
fn refuse_idle_keys(reader: &Reader<'_>, word: Word) {
    let idle: &[&str] = match word {
        Word::Address => &["upstreams", "key_file", "audience", "issuer", "leeway", "names", "dns"],
        Word::Jwt => &["names", "dns"],
        Word::Ticket => &["audience", "issuer", "names", "dns"],
        Word::Frontd => &["upstreams", "audience", "issuer", "leeway", "names", "dns"],
        Word::Name => &["upstreams", "key_file", "audience", "issuer", "leeway"],
        Word::Upstream => &[
            "allow",
            "endpoint",
            "kcp",
            "tls",
            "ws",
            "proxy_protocol",
            "connect_timeout",
            "attempts",
            "source",
            "congestion",
            "key_file",
            "audience",
            "issuer",
            "leeway",
            "names",
            "dns",
        ],
    };
    let why = format!("with resolver \"{}\"", word.as_str());
    let hint = match word {
        Word::Upstream => "take it out; how endpoints are dialled is said in `[upstream.NAME]`",
        Word::Address | Word::Jwt | Word::Ticket | Word::Frontd | Word::Name => {
            "take it out, or choose another resolver"
        }
    };
    reader.refuse(idle, &why, hint);
    if word == Word::Name && !reader.has(DNS.name) {
        let hint = "take it out: what `names` says is allowed by itself";
        reader.refuse(&["allow"], "with resolver \"name\" and no `dns`", hint);
    }
}

/// Tells keys that the resolver cannot do without.
fn require(reader: &Reader<'_>, word: Word, resolver: &Option<Resolver>) {
    let missing = |key: &str, hint: &str| {
        let message = format!("`{key}` is missing, resolver \"{}\" needs it", word.as_str());
        reader.report.error(&reader.place, message, hint);
    };
    let empty = |key: &str| match reader.table.find(key).map(|node| &node.value) {
        None => true,
        Some(super::tree::Value::List(items)) => items.is_empty(),
        Some(_) => false,
    };
    match word {
        Word::Jwt if empty(KEY_FILE.name) => {
            missing(
                KEY_FILE.name,
                "`key_file = \"jwt.pem\"`: a PEM public key, JWK(S), or raw bytes for HS256",
            );
        }
        Word::Ticket if empty(KEY_FILE.name) => {
            missing(KEY_FILE.name, "`key_file = \"ticket.key\"`, made by `portcullis ticket keygen`");
        }
        Word::Frontd if empty(KEY_FILE.name) => {
            missing(
                KEY_FILE.name,
                "`key_file = \"frontd.key\"`: a file with the passphrase and nothing else",
            );
        }
        Word::Upstream if empty(UPSTREAMS.name) => missing(UPSTREAMS.name, "`upstreams = [\"lobby\"]`"),
        Word::Name if !reader.has(NAMES.name) && !reader.has(DNS.name) => {
            missing(
                NAMES.name,
                "`names = { lobby = \"10.0.1.5:7083\" }`, or `dns = { suffix = \".game.internal\", port = 7083 }`",
            );
        }
        Word::Address | Word::Jwt | Word::Ticket | Word::Frontd | Word::Name | Word::Upstream => {}
    }
    let looks_up = matches!(resolver, Some(Resolver::Name(table)) if table.dns.is_some());
    let carries = match word {
        Word::Address | Word::Frontd => true,
        Word::Jwt | Word::Ticket => empty(UPSTREAMS.name),
        Word::Name => looks_up,
        Word::Upstream => false,
    };
    if carries && empty(ALLOW.name) {
        let hint = match word {
            Word::Jwt | Word::Ticket => {
                "say what may be dialled: `allow = [\"10.0.0.0/8:7000-7999\"]`, or which `upstreams` a token may name"
            }
            Word::Address | Word::Frontd | Word::Name | Word::Upstream => {
                "say what may be dialled: `allow = [\"10.0.0.0/8:7000-7999\"]`"
            }
        };
        missing(ALLOW.name, hint);
    }
}

fn check_upstream(reader: &Reader<'_>, at: &std::ops::Range<usize>, name: &UpstreamName, known: &[&str]) {
    if !known.contains(&name.as_str()) {
        let hint = super::error::suggest(name.as_str(), known.iter().copied());
        reader.report.error(at, format!("there is no upstream `{name}`"), hint);
    }
}

#[cfg(test)]
mod tests;
