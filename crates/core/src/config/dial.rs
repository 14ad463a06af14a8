//! How an endpoint is dialled: keys that routes and upstreams share.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Congestion;
use super::kcp::Kcp;
use super::key::{Key, Reader};
use super::kind::{Choice, List, Nested, Span, Text, Whole};
use super::process::{HOUR, SHORTEST};
use super::tls::CertFiles;
use super::write::Writer;

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

/// How a TLS endpoint is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialTls {
    /// Who signs its certificate: a file of PEM; `None` = whom this system trusts.
    pub ca_file: Option<PathBuf>,
    /// The name its certificate must be for, and that it is asked for; `None` = the host that is dialled.
    pub server_name: Option<Box<str>>,
    /// Is its certificate verified?
    pub verify: bool,
    /// What is shown to an endpoint that asks for a certificate.
    pub cert: Option<CertFiles>,
}

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

/// What endpoints speak, as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    Tcp,
    Kcp,
}

/// What endpoints speak.
pub(super) const SPEECH: Choice<Speech> = Choice {
    noun: "endpoint protocol",
    words: &[("tcp", Speech::Tcp), ("kcp", Speech::Kcp)],
    later: &["tls", "ws", "wss"],
};

/// The two keys that say how endpoints speak; a route and an upstream call and describe them differently.
pub(super) struct Speaking {
    pub(super) word: &'static Key<Choice<Speech>>,
    pub(super) kcp: &'static Key<Nested<Kcp>>,
}

/// Reads the keys.
pub(super) fn read(reader: &Reader<'_>, speaking: &Speaking) -> Dial {
    let kcp = reader.get(speaking.kcp);
    Dial {
        connect_timeout: reader.get(&CONNECT_TIMEOUT),
        attempts: reader.get(&ATTEMPTS),
        source: reader.get(&SOURCE),
        congestion: reader.get(&CONGESTION),
        transport: match reader.get(speaking.word) {
            Speech::Tcp => Transport::Tcp,
            Speech::Kcp => Transport::Kcp(Arc::new(kcp)),
        },
        tls: None,
        ws: None,
        proxy_protocol: ProxyHeader::Off,
    }
}

/// Tells keys that the endpoints' protocol never looks at.
pub(super) fn agree(reader: &Reader<'_>, dial: &Dial, speaking: &Speaking) {
    if reader.is_broken(speaking.word) {
        return;
    }
    let word = speaking.word.name;
    match dial.transport {
        Transport::Tcp => {
            let hint = format!("take it out, or set `{word} = \"kcp\"`");
            reader.refuse(&[speaking.kcp.name], &format!("with {word} \"tcp\""), &hint);
        }
        Transport::Kcp(_) => {
            reader.refuse(&[CONGESTION.name], &format!("with {word} \"kcp\""), OTHER_CONGESTION);
        }
    }
}

/// Writes the keys.
pub(super) fn write(writer: &mut Writer<'_>, dial: &Dial, speaking: &Speaking) {
    match &dial.transport {
        Transport::Tcp => writer.put(speaking.word, &Speech::Tcp),
        Transport::Kcp(kcp) => {
            writer.put(speaking.word, &Speech::Kcp);
            writer.put_nested(speaking.kcp, kcp);
        }
    }
    writer.put(&CONNECT_TIMEOUT, &dial.connect_timeout);
    writer.put(&ATTEMPTS, &dial.attempts);
    writer.put(&SOURCE, &dial.source);
    if dial.transport == Transport::Tcp {
        writer.put(&CONGESTION, &dial.congestion);
    }
}
