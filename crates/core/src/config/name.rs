//! The `names` and `dns` keys of a route with resolver `name`.

use std::num::NonZeroU16;

use serde_json::{Value as Json, json};

use super::key::{Key, Maybe, Need, Reader, Section};
use super::kind::{Kind, Nested, Place, Text, Whole, named};
use super::tree::{Node, Value};
use super::upstream::HOST_PORT;
use super::write::Writer;
use super::{NameRule, NameTarget};
use crate::endpoint::HostName;
use crate::name::UpstreamName;

/// `"host:port"`, or `{ upstream = "lobby" }`.
pub(super) struct Target;

static BY_UPSTREAM: Section = Section {
    path: "route.NAME.names.KEY",
    doc: "An upstream in place of an endpoint.",
    rows: &[&UPSTREAM],
    later: &[],
};
static UPSTREAM: Need<Text<UpstreamName>> =
    Need { name: "upstream", kind: named(), doc: "the upstream that the name stands for" };
const NESTED: Nested<UpstreamName> = Nested {
    section: &BY_UPSTREAM,
    read: |reader| reader.need(&UPSTREAM),
    write: |writer, name| writer.put_needed(&UPSTREAM, name),
};

impl Kind for Target {
    type Out = NameTarget;

    fn read(&self, node: &Node, place: &Place<'_>) -> Option<NameTarget> {
        if let Value::Table(_) = node.value {
            return NESTED.read(node, place).map(NameTarget::Upstream);
        }
        HOST_PORT.read(node, place).map(NameTarget::Endpoint)
    }

    fn show(&self, value: &NameTarget) -> String {
        match value {
            NameTarget::Endpoint(endpoint) => HOST_PORT.show(endpoint),
            NameTarget::Upstream(name) => NESTED.show(name),
        }
    }

    fn label(&self) -> String {
        format!("{} or {{ upstream = NAME }}", HOST_PORT.label())
    }

    fn schema(&self) -> Json {
        json!({ "oneOf": [HOST_PORT.schema(), NESTED.schema()] })
    }

    fn section(&self) -> Option<&'static Section> {
        NESTED.section()
    }
}

pub(super) static DNS: Section = Section {
    path: "route.NAME.dns",
    doc: "How a name that is not in `names` is looked up: `{prefix}KEY{suffix}`; `allow` applies to the answers.",
    rows: &[&PREFIX, &SUFFIX, &PORT],
    later: &[],
};
static PREFIX: Key<Text<Box<str>>> =
    Key { name: "prefix", kind: AFFIX, default: || "".into(), doc: "put before the name" };
static SUFFIX: Key<Text<Box<str>>> =
    Key { name: "suffix", kind: AFFIX, default: || "".into(), doc: "put after the name" };
static PORT: Maybe<Whole<u16>> = Maybe {
    name: "port",
    kind: Whole::from(1, u16::MAX),
    absent: "an SRV look-up gives it",
    doc: "the port that is dialled",
};
/// The underscore is there for SRV: `_game._tcp.`.
const AFFIX: Text<Box<str>> = Text {
    label: "part of a DNS name",
    example: ".game.internal",
    parse: |text| {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if text.len() > 200 || !text.bytes().all(good) {
            return Err(format!("{text:?} is no part of a DNS name"));
        }
        Ok(text.to_ascii_lowercase().into())
    },
    show: |text| text.to_string(),
};

pub(super) fn read_rule(reader: &Reader<'_>) -> Option<NameRule> {
    let rule = NameRule {
        prefix: reader.get(&PREFIX),
        suffix: reader.get(&SUFFIX),
        port: reader.find(&PORT).and_then(NonZeroU16::new),
    };
    let example = format!("{}lobby{}", rule.prefix, rule.suffix);
    let good = if rule.port.is_some() { HostName::parse(&example) } else { HostName::service(&example) };
    if let Err(why) = good {
        let at = if reader.has(PREFIX.name) { PREFIX.name } else { SUFFIX.name };
        let hint = "`prefix` usually ends and `suffix` begins with a dot; names with `_` are for SRV, without `port`";
        reader.error(at, format!("`{example}` could not be looked up: {why}"), hint);
    }
    Some(rule)
}

pub(super) fn write_rule(writer: &mut Writer<'_>, rule: &NameRule) {
    writer.put(&PREFIX, &rule.prefix);
    writer.put(&SUFFIX, &rule.suffix);
    if let Some(port) = rule.port {
        writer.put_maybe(&PORT, &port.get(), false);
    }
}
