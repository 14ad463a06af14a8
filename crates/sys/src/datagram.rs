//! UDP sockets, never blocking: many datagrams with one system call, each with the address it was sent to.
//!
//! Linux's own means are used where they are there: GRO and GSO (a train of equal datagrams passes the
//! kernel as one), PKTINFO (which of our addresses), SO_REUSEPORT (a socket for each worker).

mod control;
mod inbox;
mod name;
mod outgoing;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

pub use self::inbox::{Inbox, Incoming, IterMut};
pub use self::outgoing::Outgoing;
use crate::socket::{local_address, set_int};

/// How many datagrams or trains pass with one system call at most.
pub const BATCH: usize = 64;

/// How many datagrams a train has at most (UDP_MAX_SEGMENTS of Linux before 6.9).
pub const TRAIN_DATAGRAMS: usize = 64;

/// How many bytes a train, or a datagram, has at most: 65,535 less the IPv4 and UDP headers.
pub const TRAIN_BYTES: usize = 65_507;

/// The kernel's buffer asked for on a socket that many peers share, in bytes each way.
const SHARED_ROOM: libc::c_int = 8 << 20;

/// The kernel's buffer asked for on a socket with one peer, in bytes each way.
const OWN_ROOM: libc::c_int = 2 << 20;

/// One of our own addresses: where a datagram came to, or where one is to come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Local {
    /// The address; IPv4 is never written as IPv6.
    pub address: IpAddr,
    /// The interface by its index when the address means nothing without it (IPv6 link-local), else 0: a reply may leave
    /// by another interface than the one its question came in by.
    pub interface: u32,
}

/// What the kernel lets a socket queue, in bytes as the kernel counts them (about twice the payload).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Received and not read yet.
    pub receive: usize,
    /// Sent and not on the wire yet.
    pub send: usize,
}

/// A UDP socket.
#[derive(Debug)]
pub struct Datagrams {
    socket: OwnedFd,
    address: SocketAddr,
    connected: bool,
    gso: AtomicBool,
    lost: AtomicU64,
}

impl Datagrams {
    /// Binds `count` sockets to one address; the kernel spreads the peers over them by a hash of both
    /// addresses, which stays the same while the group does.
    ///
    /// A port of 0 is chosen once for all. An IPv6 wildcard takes IPv4 too. The first socket binds
    /// without SO_REUSEPORT and gets it afterwards, so that whoever is there already, even a process of
    /// ours that would share, is an error (`AddrInUse`).
    ///
    /// # Errors
    /// The kernel's; `InvalidInput` for a `count` of 0.
    pub fn bind_group(address: SocketAddr, count: usize) -> io::Result<Vec<Self>> {
        if count == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let first = Self::bind(address, false)?;
        sockopt::set_socket_reuseport(&first.socket, true)?;
        let address = first.address;
        let mut group = Vec::with_capacity(count);
        group.push(first);
        for _ in 1..count {
            group.push(Self::bind(address, true)?);
        }
        Ok(group)
    }

    /// Opens a socket for one peer: only its datagrams come in, and its refusals are told.
    ///
    /// With `source` it sends from that address; the port is the kernel's choice. UDP does not share a
    /// port between destinations: an address has as many of these sockets as it has ephemeral ports.
    ///
    /// # Errors
    /// The kernel's.
    pub fn connect(to: SocketAddr, source: Option<IpAddr>) -> io::Result<Self> {
        let socket = open(to)?;
        let gso = tune(&socket, OWN_ROOM);
        if let Some(source) = source {
            rustix::net::bind(&socket, &SocketAddr::new(source, 0))?;
        }
        rustix::net::connect(&socket, &to)?;
        Self::new(socket, true, gso)
    }

    /// Our own address; a port of 0 has become the real one.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does a train leave as one? If not it is cut here, datagram by datagram, with the same outcome.
    #[must_use]
    pub fn supports_gso(&self) -> bool {
        self.gso.load(Ordering::Relaxed)
    }

    /// Does without GRO and GSO from here on, as on a kernel that has neither.
    ///
    /// # Errors
    /// The kernel's.
    pub fn forgo_trains(&self) -> io::Result<()> {
        self.gso.store(false, Ordering::Relaxed);
        set_int(&self.socket, libc::SOL_UDP, libc::UDP_GRO, 0)
    }

    /// How many datagrams and trains the kernel has refused to send and were skipped, since the start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// What the kernel lets this socket queue.
    ///
    /// # Errors
    /// The kernel's.
    pub fn room(&self) -> io::Result<Room> {
        let receive = sockopt::socket_recv_buffer_size(&self.socket)?;
        let send = sockopt::socket_send_buffer_size(&self.socket)?;
        Ok(Room { receive, send })
    }

    /// Takes the pending error: on a connected socket, what the network has said of the peer.
    ///
    /// # Errors
    /// The pending one, or the kernel's.
    pub fn take_error(&self) -> io::Result<()> {
        Ok(sockopt::socket_error(&self.socket)??)
    }

    fn bind(address: SocketAddr, shared: bool) -> io::Result<Self> {
        let socket = open(address)?;
        let gso = tune(&socket, SHARED_ROOM);
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
            set_int(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        } else {
            set_int(&socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        }
        if shared {
            sockopt::set_socket_reuseport(&socket, true)?;
        }
        rustix::net::bind(&socket, &address)?;
        Self::new(socket, false, gso)
    }

    fn new(socket: OwnedFd, connected: bool, gso: bool) -> io::Result<Self> {
        let address = local_address(&socket)?;
        Ok(Self { socket, address, connected, gso: AtomicBool::new(gso), lost: AtomicU64::new(0) })
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn open(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?)
}

/// Asks for room and for GRO, and returns whether trains are known here: UDP_GRO came (Linux 5.0) after UDP_SEGMENT (4.18).
fn tune(socket: &OwnedFd, room: libc::c_int) -> bool {
    for (forced, modest) in [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)]
    {
        // Without CAP_NET_ADMIN the system's limit stands, and `Datagrams::room` tells it.
        let _as_much_as_allowed = set_int(socket, libc::SOL_SOCKET, forced, room)
            .or_else(|_| set_int(socket, libc::SOL_SOCKET, modest, room));
    }
    set_int(socket, libc::SOL_UDP, libc::UDP_GRO, 1).is_ok()
}
