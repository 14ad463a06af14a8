//! Moving bytes between two sockets through a pipe, without a copy to user space.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use crate::socket::Socket;

/// The room asked for in a pipe, in bytes: four full read buffers.
pub const PIPE_BYTES: usize = 256 * 1024;

/// A pipe and how many bytes are in it.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
    room: usize,
}

impl Pipe {
    /// Makes an empty pipe of [`PIPE_BYTES`], or of the kernel's default size when that is refused.
    pub fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let room = fcntl_setpipe_size(&write, PIPE_BYTES).unwrap_or(64 * 1024);
        Ok(Self { read, write, held: 0, room })
    }

    /// Bytes in the pipe.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Moves bytes from `source` into the pipe; `Ok(0)` is the end of the stream.
    ///
    /// `WouldBlock`: the source is drained, or the pipe has no slot left; when bytes are held it may be
    /// either, so drain the pipe and ask again.
    pub fn fill(&mut self, source: &Socket) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let moved = splice(source, None, &self.write, None, self.room, flags)?;
        self.held += moved;
        Ok(moved)
    }

    /// Moves held bytes into `target` and returns how many.
    ///
    /// Never called on an empty pipe. `WouldBlock`: the target has no room.
    pub fn drain(&mut self, target: &Socket) -> io::Result<usize> {
        // No SPLICE_F_MORE: it acts as a cork and holds small packets back for 200 ms.
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let moved = splice(&self.read, None, target, None, self.held, flags)?;
        self.held -= moved;
        Ok(moved)
    }
}
