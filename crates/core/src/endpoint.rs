//! `host:port`, parsed strictly: anything but the grammar is a refusal, never a look-up.
//!
//! The grammar: a dotted quad, `[IPv6]`, or a name of letters, digits, `-` and `.`; then `:` and one to
//! five digits, 1 to 65535. What other parsers forgive (`127.1`, `0x7f000001`, a zone, a trailing dot,
//! `user@`) is where filters and diallers come to disagree, so none of it passes this door.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::str::FromStr;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// A place to connect to: a checked host and a port that is not zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// An address, or a name to look up.
    pub host: Host,
    /// 1 to 65535.
    pub port: NonZeroU16,
}

/// An address, or a name to look up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A literal address.
    Ip(IpAddr),
    /// A name.
    Name(HostName),
}

/// A DNS name of letters, digits, `-` and `.`, lower case, at most 253 bytes.
///
/// Its last label is never a number (`10`, `0x7f`): such a name is an address to some resolvers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Arc<str>);

/// Why a text is no [`Endpoint`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// There is no `:port` behind the host.
    #[error("{given:?} has no port; write `host:port`, an IPv6 address as `[::1]:7000`")]
    MissingPort {
        /// The whole text.
        given: Box<str>,
    },
    /// What stands behind the last colon is no port.
    #[error("{given:?} is no port; write 1 to 65535, digits only")]
    Port {
        /// What stood where the port belongs.
        given: Box<str>,
    },
    /// What stands before the port is no host.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// Why a text is no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// There is nothing before the port.
    #[error("the host is empty")]
    Empty,
    /// A name holds something else than letters, digits, `-` and `.`.
    #[error("host {given:?} may only have letters, digits, `-` and `.`, and no empty label")]
    Name {
        /// The text.
        given: Box<str>,
    },
    /// A name or a label of it is too long.
    #[error("a host name has at most 253 characters, and 63 between dots")]
    TooLong,
    /// The last label is a number, so that some would read an address and others a name.
    #[error(
        "host {given:?} is neither an IPv4 address (four decimal numbers) nor a name (its last part is a number)"
    )]
    Number {
        /// The text.
        given: Box<str>,
    },
    /// Brackets without an IPv6 address in them, or a bare IPv6 address.
    #[error("host {given:?} is no IPv6 address in brackets, like `[fd00::1]`")]
    Ipv6 {
        /// The text.
        given: Box<str>,
    },
}

impl HostName {
    /// The longest name, in bytes (RFC 1035 section 2.3.4, without the root's dot).
    pub const MAX: usize = 253;

    /// Reads a name; letters become lower case.
    ///
    /// # Errors
    /// Anything but labels of letters, digits and inner hyphens, each at most 63 long (RFC 1123 section
    /// 2.1), 253 in all; a name whose last label is a number; a trailing dot.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let name = Self::service(text)?;
        // Only the names of services have underscores (RFC 8552); a host's never do.
        if name.0.contains('_') {
            return Err(HostError::Name { given: text.into() });
        }
        if name.0.rsplit('.').next().is_some_and(is_number) {
            return Err(HostError::Number { given: text.into() });
        }
        Ok(name)
    }

    /// Reads a name that is only ever looked up as a service (SRV): labels may begin with `_`, and the last
    /// may be a number, since no address is read from it.
    ///
    /// # Errors
    /// As [`HostName::parse`], but for these two.
    pub fn service(text: &str) -> Result<Self, HostError> {
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if text.len() > Self::MAX {
            return Err(HostError::TooLong);
        }
        for label in text.split('.') {
            let label = label.strip_prefix('_').unwrap_or(label);
            let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            let hyphen_outside = label.starts_with('-') || label.ends_with('-');
            if label.is_empty() || hyphen_outside || !label.bytes().all(inner) {
                return Err(HostError::Name { given: text.into() });
            }
            if label.len() > 63 {
                return Err(HostError::TooLong);
            }
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// The name in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Is this name `suffix` with at least one label before it?
    #[must_use]
    pub fn is_under(&self, suffix: &HostName) -> bool {
        self.0.strip_suffix(suffix.as_str()).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
    }
}

/// Would a lenient parser read this label as (part of) an IPv4 address: `10`, `0x7f`?
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => label.bytes().all(|b| b.is_ascii_digit()),
    }
}

impl Host {
    /// Reads a dotted quad, `[IPv6]` or a name.
    ///
    /// # Errors
    /// Whatever is none of the three; see [`HostError`].
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Some(inner) = bracketed {
            // `Ipv6Addr` knows no zones, unlike `SocketAddrV6`.
            return match inner.parse::<Ipv6Addr>() {
                Ok(ip) => Ok(Self::Ip(IpAddr::V6(ip))),
                Err(_) => Err(HostError::Ipv6 { given: text.into() }),
            };
        }
        if text.contains(':') {
            return Err(HostError::Ipv6 { given: text.into() });
        }
        match text.parse::<Ipv4Addr>() {
            Ok(ip) => Ok(Self::Ip(IpAddr::V4(ip))),
            Err(_) => HostName::parse(text).map(Self::Name),
        }
    }
}

/// Reads a port: one to five digits, 1 to 65535, nothing else.
///
/// # Errors
/// Signs, spaces, zero, more than 65535, more than five digits.
pub fn parse_port(text: &str) -> Result<NonZeroU16, EndpointError> {
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let port = if digits { text.parse::<NonZeroU16>().ok() } else { None };
    port.ok_or_else(|| EndpointError::Port { given: text.into() })
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        // Without the bracket rule `[::1]` would be read as host `[:` and port `1]`.
        let Some((host, port)) = text.rsplit_once(':').filter(|_| !text.ends_with(']')) else {
            return Err(EndpointError::MissingPort { given: text.into() });
        };
        Ok(Self { port: parse_port(port)?, host: Host::parse(host)? })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
