//! What may be dialled when a key carries an address: one pure function and its rules.
//!
//! [`check`] is the only way from an address that a stranger chose (or that DNS answered) to an address
//! that is dialled. It does not parse keys and does not look names up; it is asked once per address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::ops::RangeInclusive;

use crate::endpoint::HostName;

mod rule;
#[cfg(test)]
mod tests;

pub use self::rule::{Rule, RuleError};

/// What a key may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// Nothing that comes as an address from a key.
    Nothing,
    /// Targets that match any of these rules.
    Rules(Vec<Rule>),
    /// A target may be no more private than its client (the seed's form without `allow`).
    NoMorePrivate,
}

/// The gateway's own addresses, which no key reaches whatever `allow` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Where it listens, the admin port included. A wildcard stands for every local address.
    pub listening: Vec<SocketAddr>,
    /// The addresses of this machine's interfaces.
    pub local: Vec<IpAddr>,
}

/// Why an address may not be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forbidden {
    /// 0.0.0.0/8, `::`, or port 0.
    Unspecified,
    /// 169.254.0.0/16 or fe80::/10.
    LinkLocal,
    /// The metadata service of a cloud.
    Metadata,
    /// 224.0.0.0/4 or ff00::/8.
    Multicast,
    /// 255.255.255.255.
    Broadcast,
    /// 64:ff9b:1::/48: which IPv4 address is meant depends on the network (RFC 8215).
    Translated,
    /// A listener of this gateway, or its admin port.
    Own,
    /// A loopback address that no rule names.
    Loopback,
    /// No rule has it.
    NotAllowed,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "unspecified address",
            Self::LinkLocal => "link-local address",
            Self::Metadata => "metadata service",
            Self::Multicast => "multicast address",
            Self::Broadcast => "broadcast address",
            Self::Translated => "address of a local translation prefix",
            Self::Own => "the gateway itself",
            Self::Loopback => "loopback address that no rule names",
            Self::NotAllowed => "no rule of `allow` has it",
        })
    }
}

/// Decides whether `client` may have `addr` dialled, and returns the address to dial.
///
/// `host` is the name that was asked for when `addr` is an answer to a look-up, and `None` for a literal.
/// The address returned is `addr` with IPv4 taken out of whatever IPv6 form carried it: what was checked is
/// what is dialled.
///
/// # Errors
/// See [`Forbidden`]; everything before `Loopback` there is refused whatever `allow` says.
pub fn check(
    allow: &Allow,
    own: &Own,
    client: IpAddr,
    host: Option<&HostName>,
    addr: SocketAddr,
) -> Result<SocketAddr, Forbidden> {
    let Some(port) = NonZeroU16::new(addr.port()) else { return Err(Forbidden::Unspecified) };
    let ip = plain(addr.ip())?;
    refuse_always(ip)?;
    let addr = SocketAddr::new(ip, addr.port());
    if own.has(addr) {
        return Err(Forbidden::Own);
    }
    let allowed = match allow {
        Allow::Nothing => false,
        Allow::Rules(rules) => rules.iter().any(|rule| rule.permits(host, ip, port)),
        // Only the mapped form says who a client is: a 6to4 or NAT64 source is a machine far away, and
        // must not pass for the private address that it carries.
        Allow::NoMorePrivate => Nearness::of(ip) <= Nearness::of(client.to_canonical()),
    };
    match allowed {
        true => Ok(addr),
        false if ip.is_loopback() => Err(Forbidden::Loopback),
        false => Err(Forbidden::NotAllowed),
    }
}

/// Could any answer for `host` pass [`check`]? A name for which this is false is never looked up.
///
/// `port` is `None` where the answer brings it (SRV).
#[must_use]
pub fn may_look_up(allow: &Allow, host: &HostName, port: Option<NonZeroU16>) -> bool {
    match allow {
        Allow::Nothing => false,
        Allow::Rules(rules) => rules.iter().any(|rule| rule.may_look_up(host, port)),
        Allow::NoMorePrivate => true,
    }
}

impl Own {
    /// Is `addr` (in its plain form) something this gateway listens on?
    fn has(&self, addr: SocketAddr) -> bool {
        let ip = addr.ip();
        let here = || ip.is_loopback() || self.local.iter().any(|local| local.to_canonical() == ip);
        self.listening.iter().any(|listening| {
            let own = listening.ip().to_canonical();
            listening.port() == addr.port() && (own == ip || (own.is_unspecified() && here()))
        })
    }
}

/// How close to this machine an address is; a client may not reach closer than it is itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Nearness {
    Public,
    Private,
    Loopback,
}

impl Nearness {
    fn of(ip: IpAddr) -> Self {
        let private = match ip {
            // 100.64.0.0/10 is shared behind carrier NAT (RFC 6598): not reachable from outside either.
            IpAddr::V4(v4) => v4.is_private() || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64),
            // fec0::/10 is deprecated (RFC 3879) but still means "this site".
            IpAddr::V6(v6) => v6.is_unique_local() || v6.segments()[0] & 0xffc0 == 0xfec0,
        };
        match private {
            _ if ip.is_loopback() => Self::Loopback,
            true => Self::Private,
            false => Self::Public,
        }
    }
}

/// Takes an IPv4 address out of the IPv6 forms that carry one; other addresses stay as they are.
fn plain(ip: IpAddr) -> Result<IpAddr, Forbidden> {
    let IpAddr::V6(v6) = ip else { return Ok(ip) };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 =
        |high: u16, low: u16| Ok(IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))));
    match [a, b, c, d, e, f] {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0] if g == 0 && h <= 1 => Ok(ip),
        // IPv4-compatible and IPv4-mapped (RFC 4291 section 2.5.5), IPv4-translated (RFC 2765 section 2.1).
        [0, 0, 0, 0, 0, 0 | 0xffff] | [0, 0, 0, 0, 0xffff, 0] => v4(g, h),
        // NAT64's well-known prefix (RFC 6052 section 2.1).
        [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
        [0x64, 0xff9b, 1, ..] => Err(Forbidden::Translated),
        // 6to4 (RFC 3056 section 2).
        [0x2002, ..] => v4(b, c),
        _ => Ok(ip),
    }
}

/// Addresses outside 169.254.0.0/16 where clouds serve credentials to whoever asks from the machine.
const METADATA: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)), // Alibaba
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),   // Azure
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),     // Oracle
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)), // AWS
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)), // AWS, pods
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)), // Google
];

fn refuse_always(ip: IpAddr) -> Result<(), Forbidden> {
    let (unspecified, link_local, broadcast) = match ip {
        IpAddr::V4(v4) => (v4.octets()[0] == 0, v4.is_link_local(), v4.is_broadcast()),
        IpAddr::V6(v6) => (v6.is_unspecified(), v6.is_unicast_link_local(), false),
    };
    match () {
        () if unspecified => Err(Forbidden::Unspecified),
        () if link_local => Err(Forbidden::LinkLocal),
        () if METADATA.contains(&ip) => Err(Forbidden::Metadata),
        () if ip.is_multicast() => Err(Forbidden::Multicast),
        () if broadcast => Err(Forbidden::Broadcast),
        () => Ok(()),
    }
}

/// Ports `first` to `last`, both included.
type Ports = RangeInclusive<NonZeroU16>;
