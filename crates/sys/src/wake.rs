//! A doorbell between threads: an eventfd.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

/// Rings in another thread's poller.
#[derive(Debug)]
pub struct Wake {
    bell: OwnedFd,
}

impl Wake {
    /// Makes a silent doorbell.
    pub fn new() -> io::Result<Self> {
        Ok(Self { bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// Rings; many rings before an answer count as one.
    pub fn ring(&self) {
        // The only possible error is a full counter: then it is ringing already.
        let _full = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    /// Silences it.
    pub fn hush(&self) {
        // The only possible error is that it did not ring.
        let _silent = rustix::io::read(&self.bell, &mut [0u8; 8]);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
