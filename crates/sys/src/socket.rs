//! TCP sockets, never blocking: listeners, connections and their options.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags, SocketType,
};

/// How a connection is watched and tuned; set on a listener it is inherited by what it accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// First keepalive probe after this silence, then every `keepalive_interval`, at most `keepalive_probes`.
    pub keepalive_idle: Duration,
    /// See `keepalive_idle`.
    pub keepalive_interval: Duration,
    /// See `keepalive_idle`.
    pub keepalive_probes: u32,
    /// How long sent bytes may stay unacknowledged.
    pub user_timeout: Duration,
    /// The congestion control, or `None` = the system's.
    pub congestion: Option<Box<str>>,
    /// The receive buffer in bytes, or `None` = as large as the kernel finds useful.
    pub receive_room: Option<usize>,
}

impl Default for Tuning {
    /// Keepalive 60/10/3, user timeout 30 s, the system's congestion control.
    fn default() -> Self {
        Self {
            keepalive_idle: Duration::from_secs(60),
            keepalive_interval: Duration::from_secs(10),
            keepalive_probes: 3,
            user_timeout: Duration::from_secs(30),
            congestion: None,
            receive_room: None,
        }
    }
}

/// A listening TCP socket.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    address: SocketAddr,
}

impl Listener {
    /// Binds and listens. An IPv6 wildcard takes IPv4 too. SO_REUSEPORT is not set: a second process on
    /// the same port is an error.
    pub fn bind(address: SocketAddr, tuning: &Tuning) -> io::Result<Self> {
        let socket = open(address)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
        }
        rustix::net::bind(&socket, &address)?;
        apply(&socket, tuning)?;
        rustix::net::listen(&socket, i32::from(u16::MAX))?;
        let address = local_address(&socket)?;
        Ok(Self { socket, address })
    }

    /// Where it listens; a port of 0 has become the real one.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes one queued connection. `WouldBlock`: none is queued.
    pub fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (socket, peer) = rustix::net::acceptfrom_with(&self.socket, flags)?;
        let peer =
            peer.and_then(|peer| SocketAddr::try_from(peer).ok()).ok_or(io::ErrorKind::ConnectionAborted)?;
        Ok((Socket { socket }, unmapped(peer)))
    }

    /// Lets nobody new in from here on: a SYN is dropped, and who sent it asks again. Who was answered before is
    /// still queued and can be accepted, so that what is empty after this stays empty and may be closed.
    ///
    /// # Errors
    /// Whatever SO_ATTACH_FILTER fails with (socket(7)).
    pub fn close_queue(&self) -> io::Result<()> {
        // At byte 13 of the TCP header are its flags, and 2 is SYN (RFC 9293 section 3.1). A filter says how many
        // bytes it lets through.
        let mut program = [
            instruction(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 13),
            instruction(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 1, 2),
            instruction(libc::BPF_RET | libc::BPF_K, 0, u32::MAX),
            instruction(libc::BPF_RET | libc::BPF_K, 0, 0),
        ];
        let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        let size =
            libc::socklen_t::try_from(size_of_val(&filter)).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the pointer and the size describe one live sock_fprog, whose pointer and length describe live
        // instructions; the kernel only reads and copies both. The descriptor is open because `self` owns it.
        let answer = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const filter).cast(),
                size,
            )
        };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Changes the tuning of connections accepted from here on.
    pub fn tune(&self, tuning: &Tuning) -> io::Result<()> {
        apply(&self.socket, tuning)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A TCP connection, or one being made.
#[derive(Debug)]
pub struct Socket {
    socket: OwnedFd,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Socket {
    /// Begins to connect; writable means decided, see [`Socket::take_error`].
    ///
    /// Keepalive and user timeout are not set yet: a session that is over in a moment does not need them,
    /// one that lasts calls [`Socket::keep_watch`]. With `source` it dials from that address, the port chosen at connect time so that ports are
    /// shared between destinations (IP_BIND_ADDRESS_NO_PORT).
    pub fn connect(to: SocketAddr, source: Option<IpAddr>, tuning: &Tuning) -> io::Result<Self> {
        let socket = open(to)?;
        hasten(&socket, tuning)?;
        if let Some(source) = source {
            set_int(&socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
            rustix::net::bind(&socket, &SocketAddr::new(source, 0))?;
        }
        match rustix::net::connect(&socket, &to) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(Self { socket }),
            Err(error) => Err(error.into()),
        }
    }

    /// Watches over a connection that is to last: keepalive and user timeout.
    pub fn keep_watch(&self, tuning: &Tuning) -> io::Result<()> {
        keep_watch(&self.socket, tuning)
    }

    /// Reads what is there, at most `buffer.len()` bytes; `Ok(0)` is the peer's end of stream.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (_, count) = rustix::net::recv(&self.socket, buffer, RecvFlags::empty())?;
        Ok(count)
    }

    /// Writes what there is room for and returns how much that was.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL)?)
    }

    /// Writes the parts in order, as far as there is room, and returns how much that was.
    pub fn send_parts(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut nothing = SendAncillaryBuffer::default();
        Ok(rustix::net::sendmsg(&self.socket, parts, &mut nothing, SendFlags::NOSIGNAL)?)
    }

    /// Ends our direction after what was written.
    pub fn shut_write(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.socket, Shutdown::Write)?)
    }

    /// Makes dropping it a reset: what is unsent is dropped and the peer sees a broken connection.
    pub fn reset_on_close(&self) {
        // A socket that cannot linger is broken already; dropping it is all that is left to do.
        let _already_broken = sockopt::set_socket_linger(&self.socket, Some(Duration::ZERO));
    }

    /// Takes the pending error: after a connect, `Ok` means connected.
    pub fn take_error(&self) -> io::Result<()> {
        Ok(sockopt::socket_error(&self.socket)??)
    }

    /// Bytes written that the peer has not acknowledged yet (SIOCOUTQ).
    pub fn unacknowledged(&self) -> io::Result<usize> {
        let mut count: libc::c_int = 0;
        // SAFETY: TIOCOUTQ (= SIOCOUTQ on sockets) writes one int through the pointer, which is valid
        // for the whole call; the descriptor is open because `self` owns it.
        let answer = unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(usize::try_from(count).unwrap_or(0)) }
    }

    /// The peer's address.
    pub fn peer(&self) -> io::Result<SocketAddr> {
        let peer = rustix::net::getpeername(&self.socket)?.ok_or(io::ErrorKind::NotConnected)?;
        SocketAddr::try_from(peer).map(unmapped).map_err(Into::into)
    }

    /// Our own address.
    pub fn local(&self) -> io::Result<SocketAddr> {
        local_address(&self.socket).map(unmapped)
    }

    /// Sets the congestion control of this connection.
    pub fn set_congestion(&self, name: &str) -> io::Result<()> {
        Ok(sockopt::set_tcp_congestion(&self.socket, name)?)
    }
}

/// An IPv4 address that came in on a dual-stack socket, as IPv4.
fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn open(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(family, SocketType::STREAM, flags, None)?)
}

fn apply(socket: &OwnedFd, tuning: &Tuning) -> io::Result<()> {
    hasten(socket, tuning)?;
    keep_watch(socket, tuning)
}

fn hasten(socket: &OwnedFd, tuning: &Tuning) -> io::Result<()> {
    sockopt::set_tcp_nodelay(socket, true)?;
    if let Some(room) = tuning.receive_room {
        sockopt::set_socket_recv_buffer_size(socket, room)?;
    }
    match &tuning.congestion {
        Some(name) => Ok(sockopt::set_tcp_congestion(socket, name)?),
        None => Ok(()),
    }
}

fn keep_watch(socket: &OwnedFd, tuning: &Tuning) -> io::Result<()> {
    // Urgent data (RFC 6093) is passed on in its place in the stream: there is no other for it here.
    sockopt::set_socket_oobinline(socket, true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, tuning.keepalive_idle)?;
    sockopt::set_tcp_keepintvl(socket, tuning.keepalive_interval)?;
    sockopt::set_tcp_keepcnt(socket, tuning.keepalive_probes)?;
    let millis = u32::try_from(tuning.user_timeout.as_millis()).unwrap_or(u32::MAX);
    Ok(sockopt::set_tcp_user_timeout(socket, millis)?)
}

pub(crate) fn local_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    SocketAddr::try_from(rustix::net::getsockname(socket)?).map_err(Into::into)
}

/// One instruction of a socket's filter; `jump` is how many are skipped when a test holds.
fn instruction(code: u32, jump: u8, operand: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: jump, jf: 0, k: operand }
}

/// Sets an option whose value is an int.
pub(crate) fn set_int(
    socket: &OwnedFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let size =
        libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the pointer and the size describe one live c_int, which the kernel only reads; the
    // descriptor is open because `socket` owns it.
    let answer =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
