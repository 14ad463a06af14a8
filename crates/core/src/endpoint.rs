//! `host:port`, parsed strictly: anything but the grammar is a refusal, never a look-up.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostName(Arc<str>);
