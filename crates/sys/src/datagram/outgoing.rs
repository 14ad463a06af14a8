//! What goes out with one system call.

mod course;

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;

use self::course::Course;
use super::control::Control;
use super::name::{self, Name};
use super::{BATCH, Datagrams, Local};

/// A datagram, or a train of them, that is to go out.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'b> {
    /// Where to; `None` on a connected socket.
    pub to: Option<SocketAddr>,
    /// From which of our addresses; `None`: the kernel chooses.
    pub from: Option<Local>,
    /// What is in it.
    pub bytes: &'b [u8],
    /// `bytes` are datagrams of this length behind one another, the last one perhaps shorter; at most
    /// [`super::TRAIN_DATAGRAMS`] and [`super::TRAIN_BYTES`], or it is cut here. `None`: one datagram.
    pub segment: Option<u16>,
}

impl Datagrams {
    /// Sends in order as far as the kernel has room and returns how many of `outgoing` are done with.
    ///
    /// Fewer than all: wait until the socket is writable and go on behind those. A datagram that the
    /// kernel refuses is skipped as if the network had lost it, and counted in [`Datagrams::lost`]. A
    /// train that it refuses is cut into datagrams. On a connected socket only want of room (ENOBUFS,
    /// ENOMEM), a filter (EPERM) and a length or source that does not fit (EMSGSIZE, EINVAL) are skipped.
    ///
    /// # Errors
    /// On a connected socket what the network has said of the peer, `ConnectionRefused` above all. What it
    /// says during the call is told by the next call, be it a send, a receive or [`Datagrams::take_error`].
    pub fn send(&self, outgoing: &[Outgoing<'_>]) -> io::Result<usize> {
        let mut course = Course::new(outgoing, self.connected, self.supports_gso());
        let result = course.run(|course| self.hand_over(course));
        self.lost.fetch_add(course.lost, Ordering::Relaxed);
        if !course.gso {
            self.gso.store(false, Ordering::Relaxed);
        }
        result
    }

    /// One `sendmmsg` of what comes next; returns how much of it the kernel took.
    fn hand_over(&self, course: &Course<'_, '_>) -> io::Result<usize> {
        let ipv6 = self.address.is_ipv6();
        let mut slots = [const { MaybeUninit::<Slot>::uninit() }; BATCH];
        let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH];
        let mut count = 0;
        for ((piece, slot), header) in course.pieces().zip(&mut slots).zip(&mut headers) {
            let slot = slot.write(Slot::new(piece.bytes));
            header.write(slot.header(&piece, ipv6));
            count += 1;
        }
        // SAFETY: the first `count` headers are written; each points to a name, a control buffer and a
        // part in `slots`, and to bytes that `course` borrows, all alive; the kernel writes `msg_len` only.
        let answer =
            unsafe { libc::sendmmsg(self.socket.as_raw_fd(), headers.as_mut_ptr().cast(), count, 0) };
        usize::try_from(answer).map_err(|_| io::Error::last_os_error())
    }
}

/// One piece of bytes for the kernel: a datagram or a train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece<'b> {
    to: Option<SocketAddr>,
    from: Option<Local>,
    bytes: &'b [u8],
    segment: Option<u16>,
}

/// What a header points to.
struct Slot {
    name: Name,
    control: Control,
    part: libc::iovec,
}

impl Slot {
    fn new(bytes: &[u8]) -> Self {
        // The kernel only reads what it sends.
        let part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        Self { name: name::EMPTY, control: Control::EMPTY, part }
    }

    /// The header that points here.
    fn header(&mut self, piece: &Piece<'_>, ipv6: bool) -> libc::mmsghdr {
        // SAFETY: all-zero is a valid header.
        let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        let message = &mut header.msg_hdr;
        if let Some(to) = piece.to {
            message.msg_namelen = name::write(to, ipv6, &mut self.name);
            message.msg_name = (&raw mut self.name).cast();
        }
        let used = self.control.write(piece.from, piece.segment, ipv6);
        if used > 0 {
            message.msg_controllen = used as _;
            message.msg_control = (&raw mut self.control).cast();
        }
        message.msg_iov = &raw mut self.part;
        message.msg_iovlen = 1;
        header
    }
}
