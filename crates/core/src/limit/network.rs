//! Sets of networks: is an address in one of them?
//!
//! Ranges in order, without overlap, searched by halves: 100,000 networks take 17 looks.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

#[cfg(test)]
mod tests;

/// A set of networks. An IPv4 address in IPv6 form counts as IPv4, and so does a network of such.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Networks {
    /// The set of what is in any of `networks`.
    #[must_use]
    pub fn new(networks: &[IpNet]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match canonical(*network) {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        Self { v4: merged(v4, |last| last.checked_add(1)), v6: merged(v6, |last| last.checked_add(1)) }
    }

    /// Is `ip` in one of them?
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => covers(&self.v4, ip.to_bits()),
            IpAddr::V6(ip) => covers(&self.v6, ip.to_bits()),
        }
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// A network of IPv4 addresses in IPv6 form (RFC 4291 section 2.5.5.2) as IPv4, without the bits of a host.
#[must_use]
pub fn canonical(network: IpNet) -> IpNet {
    let mapped = match network {
        IpNet::V6(net) if net.prefix_len() >= 96 => net.network().to_ipv4_mapped().map(|ip| (ip, net)),
        IpNet::V4(_) | IpNet::V6(_) => None,
    };
    let v4 = mapped.and_then(|(ip, net)| Ipv4Net::new(ip, net.prefix_len() - 96).ok());
    v4.map_or(network, IpNet::V4).trunc()
}

fn covers<T: Copy + Ord>(ranges: &[(T, T)], ip: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= ip);
    ranges[..after].last().is_some_and(|(_, last)| ip <= *last)
}

/// In order, with those that overlap or touch made one.
fn merged<T: Copy + Ord>(mut ranges: Vec<(T, T)>, next: impl Fn(T) -> Option<T>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if next(*end).is_none_or(|next| first <= next) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged.into()
}
