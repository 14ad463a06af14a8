//! The transport under a leg: what each does in its own way, behind the same few calls.

use std::io::{self, IoSlice};

use portcullis_sys::epoll::{Interest, Poller};
use portcullis_sys::socket::{Socket, Tuning};

/// The transport.
#[derive(Debug)]
pub(super) enum Wire {
    Tcp(Socket),
}

impl Wire {
    /// Watches it under `token`.
    pub(super) fn watch(&self, poller: &Poller, token: u64) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => poller.add(socket, token, Interest::Edge),
        }
    }

    /// Reads what is there, at most `buffer.len()` bytes; `Ok(0)` is the peer's end.
    pub(super) fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.recv(buffer),
        }
    }

    /// Writes what there is room for, in order, and returns how much that was.
    pub(super) fn send(&mut self, parts: [&[u8]; 3]) -> io::Result<usize> {
        match (self, parts) {
            (Self::Tcp(socket), [&[], &[], only]) => socket.send(only),
            (Self::Tcp(socket), parts) => socket.send_parts(&parts.map(IoSlice::new)),
        }
    }

    /// Ends our direction after what was written.
    pub(super) fn shut_write(&mut self) {
        match self {
            // It fails only on a connection that is gone, which the next read tells too.
            Self::Tcp(socket) => drop(socket.shut_write()),
        }
    }

    /// Bytes written that the peer has not acknowledged yet.
    pub(super) fn unacknowledged(&self) -> usize {
        match self {
            Self::Tcp(socket) => socket.unacknowledged().unwrap_or(0),
        }
    }

    /// Makes the close that follows a reset.
    pub(super) fn reset(&mut self) {
        match self {
            Self::Tcp(socket) => socket.reset_on_close(),
        }
    }

    /// Has the kernel watch over a connection that is to last.
    pub(super) fn keep_watch(&self) {
        match self {
            // It fails only on a connection that is gone, which the next read tells too.
            Self::Tcp(socket) => drop(socket.keep_watch(&Tuning::default())),
        }
    }

    /// Sets the congestion control.
    pub(super) fn set_congestion(&self, name: &str) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_congestion(name),
        }
    }

    /// Takes the pending error of a connection that is being made.
    pub(super) fn take_error(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.take_error(),
        }
    }
}
