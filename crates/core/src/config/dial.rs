//! How an endpoint is dialled: keys that routes and upstreams share.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub(super) mod tls;
pub(super) mod ws;

use super::Congestion;
use super::kcp::Kcp;
use super::key::{Key, Reader};
use super::kind::{Choice, Kind as _, List, Nested, Span, Text, Whole};
use super::process::{HOUR, SHORTEST};
use super::write::Writer;

pub use tls::DialTls;
pub use ws::DialWs;

const TIMEOUT: Duration = Duration::from_secs(3);
const TRIES: u8 = 3;
/// The longest name of a congestion control, in bytes (TCP_CA_NAME_MAX without its NUL).
const CONGESTION_NAME_MAX: usize = 15;

/// How an endpoint is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// How long one attempt may take.
    pub connect_timeout: Duration,
    /// How many attempts there are in all.
    pub attempts: u8,
    /// Local addresses to dial from; empty = the kernel's choice.
    pub source: Vec<IpAddr>,
    /// The congestion control of the endpoint's socket; nothing to kcp.
    pub congestion: Congestion,
    /// What carries the endpoint's bytes.
    pub transport: Transport,
    /// TLS on top of it; with `Transport::Tcp` only.
    pub tls: Option<Arc<DialTls>>,
    /// WebSocket on top of that; with `Transport::Tcp` only.
    pub ws: Option<Arc<DialWs>>,
    /// What the endpoint is told of the client before its bytes.
    pub proxy_protocol: ProxyHeader,
}

/// What an endpoint is told of the client before its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyHeader {
    /// Nothing.
    #[default]
    Off,
    /// A PROXY protocol header of version 2, with TLVs.
    V2,
}

impl Dial {
    /// The KCP settings; `None` when the endpoint speaks something else.
    #[must_use]
    pub fn kcp(&self) -> Option<&Kcp> {
        match &self.transport {
            Transport::Tcp => None,
            Transport::Kcp(kcp) => Some(kcp),
        }
    }
}

/// What an endpoint speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A plain byte stream.
    Tcp,
    /// A byte stream over datagrams.
    Kcp(Arc<Kcp>),
}

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

/// What to write in place of `congestion` where KCP is spoken, which has a key of its own.
pub(super) const OTHER_CONGESTION: &str = "take it out; `kcp = { congestion = true }` slows down for loss";

/// What endpoints are told of the client.
pub(super) static PROXY_PROTOCOL: Key<Choice<ProxyHeader>> = Key {
    name: "proxy_protocol",
    kind: Choice {
        noun: "PROXY protocol",
        words: &[("off", ProxyHeader::Off), ("v2", ProxyHeader::V2)],
        later: &[],
    },
    default: || ProxyHeader::Off,
    doc: "what endpoints are told of the client before its bytes; \"v2\": a PROXY protocol header with its address, \
          session and identity (ws, wss: a binary message of its own)",
};

/// What endpoints speak, as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    Tcp,
    Tls,
    Kcp,
    Ws,
    Wss,
}

impl Speech {
    pub(super) fn of(dial: &Dial) -> Self {
        match (&dial.transport, &dial.tls, &dial.ws) {
            (Transport::Kcp(_), _, _) => Self::Kcp,
            (Transport::Tcp, None, None) => Self::Tcp,
            (Transport::Tcp, Some(_), None) => Self::Tls,
            (Transport::Tcp, None, Some(_)) => Self::Ws,
            (Transport::Tcp, Some(_), Some(_)) => Self::Wss,
        }
    }

    pub(super) fn has_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    pub(super) fn has_ws(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// What endpoints speak.
pub(super) const SPEECH: Choice<Speech> = Choice {
    noun: "endpoint protocol",
    words: &[
        ("tcp", Speech::Tcp),
        ("tls", Speech::Tls),
        ("kcp", Speech::Kcp),
        ("ws", Speech::Ws),
        ("wss", Speech::Wss),
    ],
    later: &[],
};

/// The keys that say how endpoints speak; a route and an upstream call and describe them differently.
pub(super) struct Speaking {
    pub(super) word: &'static Key<Choice<Speech>>,
    pub(super) kcp: &'static Key<Nested<Kcp>>,
    pub(super) tls: &'static Key<Nested<DialTls>>,
    pub(super) ws: &'static Key<Nested<DialWs>>,
}

/// Reads the keys.
pub(super) fn read(reader: &Reader<'_>, speaking: &Speaking) -> Dial {
    // Every table is read, so that every error in it is told.
    let (kcp, tls, ws) = (reader.get(speaking.kcp), reader.get(speaking.tls), reader.get(speaking.ws));
    let speech = reader.get(speaking.word);
    Dial {
        connect_timeout: reader.get(&CONNECT_TIMEOUT),
        attempts: reader.get(&ATTEMPTS),
        source: reader.get(&SOURCE),
        congestion: reader.get(&CONGESTION),
        transport: match speech {
            Speech::Tcp | Speech::Tls | Speech::Ws | Speech::Wss => Transport::Tcp,
            Speech::Kcp => Transport::Kcp(Arc::new(kcp)),
        },
        tls: speech.has_tls().then(|| Arc::new(tls)),
        ws: speech.has_ws().then(|| Arc::new(ws)),
        proxy_protocol: reader.get(&PROXY_PROTOCOL),
    }
}

/// Tells keys that the endpoints' protocol never looks at.
pub(super) fn agree(reader: &Reader<'_>, dial: &Dial, speaking: &Speaking) {
    if reader.is_broken(speaking.word) {
        return;
    }
    let (word, speech) = (speaking.word.name, Speech::of(dial));
    let why = format!("with {word} {}", SPEECH.show(&speech));
    let other = |protocol: &str| format!("take it out, or set `{word} = \"{protocol}\"`");
    if speech == Speech::Kcp {
        reader.refuse(&[CONGESTION.name], &why, OTHER_CONGESTION);
    } else {
        reader.refuse(&[speaking.kcp.name], &why, &other("kcp"));
    }
    if !speech.has_tls() {
        reader.refuse(&[speaking.tls.name], &why, &other(if speech.has_ws() { "wss" } else { "tls" }));
    }
    if !speech.has_ws() {
        reader.refuse(&[speaking.ws.name], &why, &other(if speech.has_tls() { "wss" } else { "ws" }));
    }
}

/// Writes the keys.
pub(super) fn write(writer: &mut Writer<'_>, dial: &Dial, speaking: &Speaking) {
    writer.put(speaking.word, &Speech::of(dial));
    if let Some(kcp) = dial.kcp() {
        writer.put_nested(speaking.kcp, kcp);
    }
    if let Some(tls) = &dial.tls {
        writer.put_nested(speaking.tls, tls);
    }
    if let Some(ws) = &dial.ws {
        writer.put_nested(speaking.ws, ws);
    }
    writer.put(&PROXY_PROTOCOL, &dial.proxy_protocol);
    writer.put(&CONNECT_TIMEOUT, &dial.connect_timeout);
    writer.put(&ATTEMPTS, &dial.attempts);
    writer.put(&SOURCE, &dial.source);
    if dial.transport == Transport::Tcp {
        writer.put(&CONGESTION, &dial.congestion);
    }
}
