//! `endpoints = [{ … }]` of an upstream.

use crate::config::UpstreamEndpoint;
use crate::config::key::{Key, Maybe, Need, Reader, Section};
use crate::config::kind::{Flag, Nested, Text, Whole};
use crate::config::limit::rows::MOST_SESSIONS;
use crate::config::write::Writer;
use crate::endpoint::Endpoint;

const WEIGHT: u16 = 1;

pub(super) const ENDPOINT: Nested<UpstreamEndpoint> = Nested { section: &SECTION, read, write };

static SECTION: Section = Section {
    path: "upstream.NAME.endpoints",
    doc: "One endpoint.",
    rows: &[&ADDRESS, &SHARE, &MAX_SESSIONS, &BACKUP],
    later: &["server_name"],
};
static ADDRESS: Need<Text<Endpoint>> = Need { name: "address", kind: HOST_PORT, doc: "where it listens" };
static SHARE: Key<Whole<u16>> = Key {
    name: "weight",
    kind: Whole::from(1, 256),
    default: || WEIGHT,
    doc: "its share, compared with the others' weights",
};
static MAX_SESSIONS: Maybe<Whole<u32>> = Maybe {
    name: "max_sessions",
    kind: Whole::from(1, MOST_SESSIONS),
    absent: "the upstream's `max_sessions`",
    doc: "the most sessions it is given; the next go to others, or wait",
};
static BACKUP: Key<Flag> =
    Key { name: "backup", kind: Flag, default: || false, doc: "is it only used when no other is fit?" };

/// `host:port`.
pub(in crate::config) const HOST_PORT: Text<Endpoint> = Text {
    label: "host:port",
    example: "10.0.1.5:7083",
    parse: |text| text.parse().map_err(|error: crate::endpoint::EndpointError| error.to_string()),
    show: Endpoint::to_string,
};

fn read(reader: &Reader<'_>) -> Option<UpstreamEndpoint> {
    let (weight, backup) = (reader.get(&SHARE), reader.get(&BACKUP));
    let max_sessions = reader.find(&MAX_SESSIONS);
    Some(UpstreamEndpoint { address: reader.need(&ADDRESS)?, weight, max_sessions, backup })
}

fn write(writer: &mut Writer<'_>, endpoint: &UpstreamEndpoint) {
    writer.put_needed(&ADDRESS, &endpoint.address);
    writer.put(&SHARE, &endpoint.weight);
    if let Some(most) = &endpoint.max_sessions {
        writer.put_maybe(&MAX_SESSIONS, most, false);
    }
    writer.put(&BACKUP, &endpoint.backup);
}
