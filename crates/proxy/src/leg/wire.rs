//! The transport under a leg: what each does in its own way, behind the same few calls.

use std::io::{self, IoSlice};
use std::net::SocketAddr;

use portcullis_sys::epoll::{Event, Interest, Poller};
use portcullis_sys::socket::{Socket, Tuning};

use super::kcp::Kcp;
use super::tls::Tls;

/// The most pieces that one system call takes (IOV_MAX).
const PARTS: usize = 1024;

/// The transport.
#[derive(Debug)]
pub(super) enum Wire {
    Tcp(Socket),
    Tls(Box<Tls>),
    Kcp(Box<Kcp>),
}

impl Wire {
    /// Watches it under `token`.
    pub(super) fn watch(&self, poller: &Poller, token: u64) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => poller.add(socket, token, Interest::Edge),
            Self::Tls(tls) => poller.add(tls.socket(), token, Interest::Edge),
            Self::Kcp(kcp) => kcp.watch(poller, token),
        }
    }

    /// Watches it under another token; a conversation without a socket of its own stays where it is.
    pub(super) fn watch_as(&self, poller: &Poller, token: u64) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => poller.change(socket, token, Interest::Edge),
            Self::Tls(tls) => poller.change(tls.socket(), token, Interest::Edge),
            Self::Kcp(_) => Ok(()),
        }
    }

    /// Reads the wire bytes that are there, at most `buffer.len()` bytes; `Ok(0)` is the peer's end.
    pub(super) fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.recv(buffer),
            Self::Tls(tls) => tls.socket().recv(buffer),
            Self::Kcp(kcp) => kcp.recv(buffer),
        }
    }

    /// Writes the wire bytes that there is room for, in order, and returns how much that was.
    pub(super) fn send(&mut self, parts: [&[u8]; 3]) -> io::Result<usize> {
        match (self, parts) {
            (Self::Tcp(socket), parts) => send(socket, parts),
            (Self::Tls(tls), parts) => send(tls.socket(), parts),
            (Self::Kcp(kcp), parts) => kcp.send(parts),
        }
    }

    /// Writes many pieces as one, as far as there is room, and returns how much that was.
    pub(super) fn send_run(&mut self, run: &[&[u8]]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) if let [only] = run => socket.send(only),
            Self::Tcp(socket) => {
                let parts: Vec<_> = run.iter().take(PARTS).map(|part| IoSlice::new(part)).collect();
                socket.send_parts(&parts)
            }
            // Not what goes on its wire: a leg never asks it to.
            Self::Tls(_) => Ok(0),
            Self::Kcp(kcp) => {
                let mut sent = 0;
                for part in run {
                    sent += kcp.send([&[], &[], part])?;
                }
                Ok(sent)
            }
        }
    }

    /// Has it room for at least a byte, as far as that is known without trying?
    pub(super) fn has_room(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Tls(_) => true,
            Self::Kcp(kcp) => kcp.has_room(),
        }
    }

    /// How many bytes it takes, as far as that is known without trying.
    pub(super) fn room(&self) -> usize {
        match self {
            Self::Tcp(_) | Self::Tls(_) => usize::MAX,
            Self::Kcp(kcp) => kcp.room(),
        }
    }

    /// Can our direction end while the peer's goes on?
    pub(super) fn can_half_close(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Tls(_))
    }

    /// Ends our direction after what was written.
    pub(super) fn shut_write(&mut self) {
        match self {
            // It fails only on a connection that is gone, which the next read tells too.
            Self::Tcp(socket) => drop(socket.shut_write()),
            Self::Tls(tls) => drop(tls.socket().shut_write()),
            Self::Kcp(_) => {} // there is no word for it
        }
    }

    /// Bytes written that the peer has not acknowledged yet.
    pub(super) fn unacknowledged(&self) -> usize {
        match self {
            Self::Tcp(socket) => socket.unacknowledged().unwrap_or(0),
            Self::Tls(tls) => tls.socket().unacknowledged().unwrap_or(0),
            Self::Kcp(kcp) => kcp.unacknowledged(),
        }
    }

    /// Makes the close that follows a reset.
    pub(super) fn reset(&mut self) {
        match self {
            Self::Tcp(socket) => socket.reset_on_close(),
            Self::Tls(tls) => tls.socket().reset_on_close(),
            Self::Kcp(_) => {} // the same
        }
    }

    /// Has the kernel watch over a connection that is to last.
    pub(super) fn keep_watch(&self) {
        match self {
            // It fails only on a connection that is gone, which the next read tells too.
            Self::Tcp(socket) => drop(socket.keep_watch(&Tuning::default())),
            Self::Tls(tls) => drop(tls.socket().keep_watch(&Tuning::default())),
            Self::Kcp(_) => {} // that is the conversation's own business
        }
    }

    /// Our own address, where the connection has a socket of its own.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local().ok(),
            Self::Tls(tls) => tls.socket().local().ok(),
            Self::Kcp(_) => None,
        }
    }

    /// Sets the congestion control.
    pub(super) fn set_congestion(&self, name: &str) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_congestion(name),
            Self::Tls(tls) => tls.socket().set_congestion(name),
            Self::Kcp(_) => Ok(()),
        }
    }

    /// Takes note of what the poller saw; true: a break that the leg itself must see to.
    pub(super) fn note(&mut self, event: &Event) -> bool {
        match self {
            Self::Tcp(_) | Self::Tls(_) => true,
            Self::Kcp(kcp) => {
                kcp.note(event);
                false
            }
        }
    }

    /// Is a connection that is being made there? `Ok(false)`: not yet.
    pub(super) fn establish(&mut self, decided: bool) -> io::Result<bool> {
        match self {
            Self::Tcp(socket) if decided => socket.take_error().map(|()| true),
            Self::Tls(tls) if decided => tls.socket().take_error().map(|()| true),
            Self::Tcp(_) | Self::Tls(_) => Ok(true),
            Self::Kcp(kcp) => kcp.establish(),
        }
    }
}

fn send(socket: &Socket, parts: [&[u8]; 3]) -> io::Result<usize> {
    match parts {
        [&[], &[], only] => socket.send(only),
        parts => socket.send_parts(&parts.map(IoSlice::new)),
    }
}
