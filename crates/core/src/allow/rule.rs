//! One line of `allow`: where, and which ports.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;

use ipnet::IpNet;

use super::{Ports, plain};
use crate::endpoint::{Endpoint, Host, HostError, HostName, parse_port};

/// One line of `allow`: `10.0.0.0/8:7000-7999`, `10.0.0.7:*`, `[fd00::/8]:7000`, `lobby.internal:7000`,
/// `*.game.internal:7000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    place: Place,
    ports: Ports,
    /// As the operator wrote it.
    text: Box<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Addresses of this network.
    Net(IpNet),
    /// This name, whatever it resolves to.
    Name(HostName),
    /// Every name below this one, whatever it resolves to.
    Under(HostName),
}

/// Why a text is no [`Rule`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// There is no `:ports` behind the place.
    #[error("rule `{given}` has no ports; write `10.0.0.0/8:7000`, `…:7000-7999` or `…:*`")]
    MissingPorts {
        /// The whole rule.
        given: Box<str>,
    },
    /// The ports are none.
    #[error("`{given}` are no ports; write `7000`, `7000-7999` or `*`")]
    Ports {
        /// What stood where the ports belong.
        given: Box<str>,
    },
    /// The network's prefix is no number, or too long.
    #[error("`{given}` is no network; write it like `10.0.0.0/8` or `[fd00::/8]`")]
    Net {
        /// What stood where the network belongs.
        given: Box<str>,
    },
    /// The network has bits behind its prefix: a slip, or a rule wider than it looks.
    #[error("`{given}` is an address inside a network; write the network `{meant}`, or the address alone")]
    HostBits {
        /// What stood where the network belongs.
        given: Box<str>,
        /// The network it is in.
        meant: IpNet,
    },
    /// An IPv4 network in its IPv6 form, which no target would ever match.
    #[error("`{given}` is IPv4 in an IPv6 form; targets are compared as IPv4, so write the IPv4 network")]
    Mapped {
        /// What stood where the network belongs.
        given: Box<str>,
    },
    /// The place is neither a network nor a name.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl Rule {
    /// Reads one line of `allow`; `Display` gives the same text back.
    ///
    /// IPv6 networks are written `[fd00::/8]:7000` or `[fd00::]/8:7000`.
    ///
    /// # Errors
    /// See [`RuleError`]: each says what to write instead.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let Some((place, ports)) = text.rsplit_once(':').filter(|_| !text.ends_with(']')) else {
            return Err(RuleError::MissingPorts { given: text.into() });
        };
        Ok(Self { ports: parse_ports(ports)?, place: Place::parse(place)?, text: text.into() })
    }

    /// The line that has exactly this endpoint.
    #[must_use]
    pub fn of(endpoint: &Endpoint) -> Self {
        let place = match &endpoint.host {
            Host::Ip(ip) => Place::Net(IpNet::from(plain(*ip).unwrap_or(*ip))),
            Host::Name(name) => Place::Name(name.clone()),
        };
        Self { place, ports: endpoint.port..=endpoint.port, text: endpoint.to_string().into() }
    }

    /// Does this line let the (plain) address be dialled, asked for by `host` or literally?
    ///
    /// A name's rule takes any answer but loopback, since the operator vouches for the name, not for who
    /// answers it. Loopback is reached only through a rule that says so: a network inside it, or `localhost`.
    pub(super) fn permits(&self, host: Option<&HostName>, ip: IpAddr, port: NonZeroU16) -> bool {
        let here = match (&self.place, host) {
            (Place::Net(net), _) => net.contains(&ip) && (!ip.is_loopback() || is_loopback(net)),
            (Place::Name(name), Some(host)) => {
                name == host && (!ip.is_loopback() || name.as_str() == "localhost")
            }
            (Place::Under(suffix), Some(host)) => host.is_under(suffix) && !ip.is_loopback(),
            (Place::Name(_) | Place::Under(_), None) => false,
        };
        here && self.ports.contains(&port)
    }

    /// Could this line permit an answer for `host`?
    pub(super) fn may_look_up(&self, host: &HostName, port: Option<NonZeroU16>) -> bool {
        let here = match &self.place {
            Place::Net(_) => true,
            Place::Name(name) => name == host,
            Place::Under(suffix) => host.is_under(suffix),
        };
        here && port.is_none_or(|port| self.ports.contains(&port))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Place {
    fn parse(text: &str) -> Result<Self, RuleError> {
        if let Some(suffix) = text.strip_prefix("*.") {
            return Ok(Self::Under(HostName::parse(suffix)?));
        }
        if !text.contains('/') {
            return match Host::parse(text)? {
                Host::Ip(ip) => Self::net(text, ip, None),
                Host::Name(name) => Ok(Self::Name(name)),
            };
        }
        let (addr, len) = split_net(text).ok_or_else(|| RuleError::Net { given: text.into() })?;
        Self::net(text, addr, Some(len))
    }

    fn net(text: &str, addr: IpAddr, len: Option<u8>) -> Result<Self, RuleError> {
        if addr.to_canonical() != addr {
            return Err(RuleError::Mapped { given: text.into() });
        }
        let full = if addr.is_ipv4() { 32 } else { 128 };
        let net = IpNet::new(addr, len.unwrap_or(full)).map_err(|_| RuleError::Net { given: text.into() })?;
        match net.addr() == net.network() {
            true => Ok(Self::Net(net)),
            false => Err(RuleError::HostBits { given: text.into(), meant: net.trunc() }),
        }
    }
}

/// Splits `10.0.0.0/8`, `[fd00::/8]` and `[fd00::]/8`.
fn split_net(text: &str) -> Option<(IpAddr, u8)> {
    let (addr, len) = match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => {
            let (addr, len) = inner.split_once('/')?;
            (IpAddr::V6(addr.parse().ok()?), len)
        }
        None => {
            let (addr, len) = text.split_once('/')?;
            let v6 = addr.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let addr = match v6 {
                Some(v6) => IpAddr::V6(v6.parse().ok()?),
                None => IpAddr::V4(addr.parse().ok()?),
            };
            (addr, len)
        }
    };
    let digits = (1..=3).contains(&len.len()) && len.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| len.parse().ok()).flatten().map(|len| (addr, len))
}

fn parse_ports(text: &str) -> Result<Ports, RuleError> {
    let wrong = || RuleError::Ports { given: text.into() };
    if text == "*" {
        return Ok(NonZeroU16::MIN..=NonZeroU16::MAX);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let first = parse_port(first).map_err(|_| wrong())?;
    let last = parse_port(last).map_err(|_| wrong())?;
    if first > last {
        return Err(wrong());
    }
    Ok(first..=last)
}

/// Is the whole network loopback? `0.0.0.0/0` has loopback in it, but does not name it.
fn is_loopback(net: &IpNet) -> bool {
    match net {
        IpNet::V4(net) => {
            net.prefix_len() >= 8 && net.network().octets()[0] == Ipv4Addr::LOCALHOST.octets()[0]
        }
        IpNet::V6(net) => net.prefix_len() == 128 && net.network() == Ipv6Addr::LOCALHOST,
    }
}
