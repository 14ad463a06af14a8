//! `X-Forwarded-For`: the client's address, as far as it was written by somebody who is trusted.
//!
//! Each proxy appends the address it was connected from. So the list is read from its end: as long as an address is
//! a trusted proxy's, what stands before it was written by that proxy. Whatever a client wrote itself stands further
//! left and is never reached.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str;

use ipnet::IpNet;

/// Returns the client that `values` tell of, the values of every such header field in order, joined by commas.
///
/// An untrusted `peer` is the client itself. Otherwise it is the rightmost address that is in none of `trusted`, or
/// the leftmost one if all are; an entry that is no address ends the list there. An entry without a port has port 0.
#[must_use]
pub fn client(values: &[u8], peer: SocketAddr, trusted: &[IpNet]) -> SocketAddr {
    let is_trusted = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
    let mut client = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let mut entries = values.rsplit(|byte| *byte == b',');
    while is_trusted(client.ip())
        && let Some(before) = entries.next().and_then(entry)
    {
        client = before;
    }
    client
}

/// Reads one entry: an address, or an address and a port, an IPv6 one then in brackets.
fn entry(bytes: &[u8]) -> Option<SocketAddr> {
    let text = str::from_utf8(bytes.trim_ascii()).ok()?;
    let (ip, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (ip, behind) = rest.split_once(']')?;
            (
                ip.parse::<Ipv6Addr>().ok()?.into(),
                behind.strip_prefix(':').or(behind.is_empty().then_some("0"))?,
            )
        }
        None => match text.parse::<IpAddr>() {
            Ok(ip) => (ip, "0"),
            Err(_) => {
                let (ip, port) = text.split_once(':')?;
                (ip.parse::<std::net::Ipv4Addr>().ok()?.into(), port)
            }
        },
    };
    let port = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok())??;
    Some(SocketAddr::new(ip.to_canonical(), port))
}

#[cfg(test)]
mod tests;
