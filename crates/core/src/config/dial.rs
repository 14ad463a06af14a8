//! How an endpoint is dialled: keys that routes and upstreams share.

use std::net::IpAddr;
use std::time::Duration;

use super::key::{Key, Reader};
use super::kind::{List, Span, Text, Whole};
use super::process::{HOUR, SHORTEST};
use super::write::Writer;
use super::{Congestion, Dial};

const TIMEOUT: Duration = Duration::from_secs(3);
const TRIES: u8 = 3;
/// The longest name of a congestion control, in bytes (TCP_CA_NAME_MAX without its NUL).
const CONGESTION_NAME_MAX: usize = 15;

pub(super) static CONNECT_TIMEOUT: Key<Span> = Key {
    name: "connect_timeout",
    kind: Span::from(SHORTEST, HOUR),
    default: || TIMEOUT,
    doc: "how long one attempt to connect may take",
};
pub(super) static ATTEMPTS: Key<Whole<u8>> = Key {
    name: "attempts",
    kind: Whole::from(1, 100),
    default: || TRIES,
    doc: "how many attempts there are in all, on different endpoints where there are several",
};
pub(super) static SOURCE: Key<List<Text<IpAddr>>> = Key {
    name: "source",
    kind: List::or_one(Text {
        label: "address of this machine",
        example: "10.0.0.2",
        parse: |text| match text.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() || ip.is_multicast() => {
                Err(format!("{ip} is no machine's address; leave the key out for the kernel's choice"))
            }
            Ok(ip) => Ok(ip),
            Err(_) => Err(format!("{text:?} is no address")),
        },
        show: IpAddr::to_string,
    }),
    default: Vec::new,
    doc: "local addresses to dial from; [] = the kernel's choice",
};
pub(super) static CONGESTION: Key<Text<Congestion>> = Key {
    name: "congestion",
    kind: Text {
        label: "\"auto\", \"system\", or the name of a congestion control",
        example: "auto",
        parse: |text| match text {
            "auto" => Ok(Congestion::Auto),
            "system" => Ok(Congestion::System),
            name => {
                let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
                let good = !name.is_empty() && name.len() <= CONGESTION_NAME_MAX && name.bytes().all(word);
                good.then(|| Congestion::Named(name.into())).ok_or_else(|| format!("{name:?} names none"))
            }
        },
        show: |congestion| match congestion {
            Congestion::Auto => "auto".into(),
            Congestion::System => "system".into(),
            Congestion::Named(name) => name.to_string(),
        },
    },
    default: || Congestion::Auto,
    doc: "congestion control; \"auto\" = reno or cubic where the peer is near, else the system's",
};

pub(super) fn read(reader: &Reader<'_>) -> Dial {
    Dial {
        connect_timeout: reader.get(&CONNECT_TIMEOUT),
        attempts: reader.get(&ATTEMPTS),
        source: reader.get(&SOURCE),
        congestion: reader.get(&CONGESTION),
    }
}

pub(super) fn write(writer: &mut Writer<'_>, dial: &Dial) {
    writer.put(&CONNECT_TIMEOUT, &dial.connect_timeout);
    writer.put(&ATTEMPTS, &dial.attempts);
    writer.put(&SOURCE, &dial.source);
    writer.put(&CONGESTION, &dial.congestion);
}
