//! What a route says, once it is read: how keys become targets.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use super::Dial;
use crate::allow::Allow;
use crate::endpoint::Endpoint;
use crate::name::{RouteName, UpstreamName};

/// How keys become targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its name; unique.
    pub name: RouteName,
    /// How a key is read.
    pub resolver: Resolver,
    /// What may be dialled when the key carries an address.
    pub allow: Allow,
    /// Upstreams that the key may name, or (resolver `upstream`) that the route uses in order.
    pub upstreams: Vec<UpstreamName>,
    /// Limits of dialling an address from a key.
    pub dial: Dial,
}

/// How a key is read.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolver {
    /// `host:port`.
    Address,
    /// A JSON Web Token.
    Jwt(Jwt),
    /// A sealed ticket.
    Ticket(Ticket),
    /// An address that is encrypted as frontd and funny/gateway do.
    Frontd(Frontd),
    /// A name from the config's own table, or looked up in DNS.
    Name(NameTable),
    /// The key is ignored.
    Upstream,
}

/// Settings of the `jwt` resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// Files with keys: PEM, JWK(S), or raw bytes (HS256).
    pub key_files: Vec<PathBuf>,
    /// Accepted `aud`; empty = not asked.
    pub audience: Vec<Box<str>>,
    /// Accepted `iss`; empty = not asked.
    pub issuer: Vec<Box<str>>,
    /// Clock difference that is forgiven.
    pub leeway: Duration,
}

/// Settings of the `ticket` resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Files with ticket keys.
    pub key_files: Vec<PathBuf>,
    /// Clock difference that is forgiven.
    pub leeway: Duration,
}

/// Settings of the `frontd` resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontd {
    /// The file with the passphrase.
    pub key_file: PathBuf,
}

/// Settings of the `name` resolver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameTable {
    /// Known names.
    pub names: BTreeMap<Box<str>, NameTarget>,
    /// For names not in the table: `{prefix}{key}{suffix}:{port}` is looked up, `allow` applies.
    pub dns: Option<NameRule>,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameTarget {
    /// One endpoint.
    Endpoint(Endpoint),
    /// An upstream.
    Upstream(UpstreamName),
}

/// How an unknown name becomes a DNS name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRule {
    /// Put before the key.
    pub prefix: Box<str>,
    /// Put after the key.
    pub suffix: Box<str>,
    /// The port, or `None` = an SRV look-up gives it.
    pub port: Option<NonZeroU16>,
}
