//! The addresses of this machine's interfaces.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

/// Returns every IPv4 and IPv6 address of every interface, sorted, each once.
///
/// # Errors
/// The kernel's.
pub fn addresses() -> io::Result<Vec<IpAddr>> {
    let mut list = ptr::null_mut();
    // SAFETY: `getifaddrs` writes one pointer to where it is told, a live local variable.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut addresses = Vec::new();
    let mut next = list;
    // SAFETY: `next` is null or a node of the list, which lives until `freeifaddrs` below.
    while let Some(node) = unsafe { next.as_ref() } {
        // SAFETY: `ifa_addr` is null or the node's own address, as `address` wants it.
        addresses.extend(unsafe { address(node.ifa_addr) });
        next = node.ifa_next;
    }
    // SAFETY: the list came from `getifaddrs`, and nothing above keeps a reference into it.
    unsafe { libc::freeifaddrs(list) };
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// Reads a socket address; `None` when it is of another family, or null.
///
/// # Safety
/// `raw` is null or points to an address whose length is that of its family.
unsafe fn address(raw: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: as the caller promises; the family stands first in every socket address.
    let family = unsafe { raw.as_ref() }?.sa_family;
    match i32::from(family) {
        libc::AF_INET => {
            // SAFETY: the family says that this much is there; it may not be aligned for a reference.
            let raw = unsafe { raw.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from(u32::from_be(raw.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let raw = unsafe { raw.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(raw.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_the_addresses_and_none_comes_twice() {
        let addresses = addresses().unwrap();
        assert!(addresses.contains(&IpAddr::from([127, 0, 0, 1])), "{addresses:?}");
        assert!(addresses.is_sorted_by(|one, two| one < two), "{addresses:?}");
    }
}
