//! Socket addresses as the kernel writes them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for an address of either family; the family stands first in both.
pub(super) type Name = libc::sockaddr_in6;

/// How long an address may be.
pub(super) const NAME_LEN: libc::socklen_t = size_of::<Name>() as libc::socklen_t;

/// No address.
pub(super) const EMPTY: Name = Name {
    sin6_family: libc::AF_UNSPEC as libc::sa_family_t,
    sin6_port: 0,
    sin6_flowinfo: 0,
    sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
    sin6_scope_id: 0,
};

/// Writes an address for a socket of the IPv6 family, or of the IPv4 one; returns its length.
pub(super) fn write(address: SocketAddr, ipv6: bool, name: &mut Name) -> libc::socklen_t {
    match address {
        SocketAddr::V4(v4) if !ipv6 => {
            // SAFETY: all-zero is a valid `sockaddr_in`.
            let mut raw: libc::sockaddr_in = unsafe { std::mem::zeroed() };
            raw.sin_family = libc::AF_INET as libc::sa_family_t;
            raw.sin_port = v4.port().to_be();
            raw.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
            // SAFETY: `name` is larger than a `sockaddr_in` and at least as much aligned.
            unsafe { std::ptr::from_mut(name).cast::<libc::sockaddr_in>().write(raw) };
            size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V4(v4) => write_v6(v4.ip().to_ipv6_mapped(), v4.port(), 0, name),
        SocketAddr::V6(v6) => write_v6(*v6.ip(), v6.port(), v6.scope_id(), name),
    }
}

fn write_v6(ip: Ipv6Addr, port: u16, scope: u32, name: &mut Name) -> libc::socklen_t {
    name.sin6_family = libc::AF_INET6 as libc::sa_family_t;
    name.sin6_port = port.to_be();
    name.sin6_flowinfo = 0;
    name.sin6_addr.s6_addr = ip.octets();
    name.sin6_scope_id = scope;
    NAME_LEN
}

/// Reads an address that the kernel wrote; IPv4 on a socket of both is told as IPv4.
pub(super) fn read(name: &Name) -> Option<SocketAddr> {
    match i32::from(name.sin6_family) {
        libc::AF_INET => {
            // SAFETY: the family says what it is; `Name` is larger and at least as much aligned.
            let raw = unsafe { std::ptr::from_ref(name).cast::<libc::sockaddr_in>().read() };
            let ip = Ipv4Addr::from(u32::from_be(raw.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(raw.sin_port)).into())
        }
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            let port = u16::from_be(name.sin6_port);
            Some(match ip.to_ipv4_mapped() {
                Some(v4) => SocketAddrV4::new(v4, port).into(),
                None => SocketAddrV6::new(ip, port, 0, name.sin6_scope_id).into(),
            })
        }
        _ => None,
    }
}
