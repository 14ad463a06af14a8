//! Control messages: what the kernel tells of a datagram beside its bytes, and what it is asked for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

use super::Local;

/// Room for the control messages of one datagram: at most PKTINFO of IPv6 (40) and a segment size (24) on 64 bits.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(super) struct Control([u8; 128]);

/// What the kernel told.
#[derive(Clone, Copy, Default)]
pub(super) struct Told {
    /// Where the datagram was sent to.
    pub(super) to: Option<Local>,
    /// The length of each datagram of a train but the last.
    pub(super) segment: Option<u16>,
}

impl Control {
    /// Room with nothing in it.
    pub(super) const EMPTY: Self = Self([0; 128]);

    /// How many bytes there is room for.
    pub(super) const LEN: usize = 128;

    /// Writes the source and the segment size that are wanted; returns how many bytes were written.
    pub(super) fn write(&mut self, from: Option<Local>, segment: Option<u16>, ipv6: bool) -> usize {
        let mut used = 0;
        if let Some(local) = from {
            used += match local.address {
                IpAddr::V4(v4) if !ipv6 => self.push(used, libc::IPPROTO_IP, libc::IP_PKTINFO, source_v4(v4)),
                IpAddr::V4(v4) => {
                    let info = source_v6(v4.to_ipv6_mapped(), 0);
                    self.push(used, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
                }
                IpAddr::V6(v6) => {
                    let info = source_v6(v6, local.interface);
                    self.push(used, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
                }
            };
        }
        if let Some(segment) = segment {
            used += self.push(used, libc::SOL_UDP, libc::UDP_SEGMENT, segment);
        }
        used
    }

    /// Adds one message at `at`; returns the room it takes.
    fn push<T: Copy>(&mut self, at: usize, level: libc::c_int, kind: libc::c_int, value: T) -> usize {
        let size = size_of::<T>() as libc::c_uint;
        // SAFETY: both only compute.
        let (length, space) = unsafe { (libc::CMSG_LEN(size), libc::CMSG_SPACE(size) as usize) };
        let Some(room) = self.0.get_mut(at..at + space) else { return 0 };
        // SAFETY: all-zero is a valid header.
        let mut head: libc::cmsghdr = unsafe { std::mem::zeroed() };
        head.cmsg_len = length as _;
        head.cmsg_level = level;
        head.cmsg_type = kind;
        let place = room.as_mut_ptr().cast::<libc::cmsghdr>();
        // SAFETY: `room` has CMSG_SPACE bytes: the header, and the value where CMSG_DATA says.
        unsafe {
            place.write_unaligned(head);
            libc::CMSG_DATA(place).cast::<T>().write_unaligned(value);
        }
        space
    }
}

fn source_v4(address: Ipv4Addr) -> libc::in_pktinfo {
    let spec = libc::in_addr { s_addr: u32::from(address).to_be() };
    libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: spec, ipi_addr: libc::in_addr { s_addr: 0 } }
}

fn source_v6(address: Ipv6Addr, interface: u32) -> libc::in6_pktinfo {
    let address = libc::in6_addr { s6_addr: address.octets() };
    libc::in6_pktinfo { ipi6_addr: address, ipi6_ifindex: interface as _ }
}

/// Reads what the kernel told beside a datagram.
///
/// # Safety
/// `header` is as `recvmmsg` has left it, and its control buffer is alive.
pub(super) unsafe fn read(header: &libc::msghdr) -> Told {
    let mut told = Told::default();
    // SAFETY: as the caller promises; the macros stay within `msg_controllen`.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: null, or a header within the buffer.
    while let Some(head) = unsafe { next.as_ref() } {
        // SAFETY: the kernel has written a whole message of this level and type.
        unsafe { read_one(head, &mut told) };
        // SAFETY: as above.
        next = unsafe { libc::CMSG_NXTHDR(header, ptr::from_ref(head)) };
    }
    told
}

/// # Safety
/// `head` is followed by the data its level and type speak of.
unsafe fn read_one(head: &libc::cmsghdr, told: &mut Told) {
    // SAFETY: only computes.
    let data = unsafe { libc::CMSG_DATA(head) };
    match (head.cmsg_level, head.cmsg_type) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            // SAFETY: as the caller promises.
            let info = unsafe { data.cast::<libc::in_pktinfo>().read_unaligned() };
            // The specific destination, not the header's: for a broadcast it is an address to reply from.
            let address = Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)).into();
            told.to = Some(Local { address, interface: 0 });
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            // SAFETY: as the caller promises.
            let info = unsafe { data.cast::<libc::in6_pktinfo>().read_unaligned() };
            let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            let interface = if address.is_unicast_link_local() { info.ipi6_ifindex as u32 } else { 0 };
            told.to = Some(Local { address: address.to_canonical(), interface });
        }
        (libc::SOL_UDP, libc::UDP_GRO) => {
            // SAFETY: as the caller promises; the kernel writes an int.
            let size = unsafe { data.cast::<libc::c_int>().read_unaligned() };
            told.segment = u16::try_from(size).ok().filter(|size| *size > 0);
        }
        _ => {}
    }
}
