//! A bounded queue out of the data plane, with a doorbell that an event loop of any kind can watch.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use portcullis_sys::wake::Wake;

/// Hands values to the control plane; when that is too slow the newest are dropped and counted.
#[derive(Debug)]
pub struct Outlet<T> {
    queue: Mutex<VecDeque<T>>,
    capacity: usize,
    dropped: AtomicU64,
    bell: Wake,
}

impl<T> Outlet<T> {
    /// An empty outlet for at most `capacity` waiting values.
    pub fn new(capacity: usize) -> io::Result<Self> {
        let queue = Mutex::new(VecDeque::new());
        Ok(Self { queue, capacity, dropped: AtomicU64::new(0), bell: Wake::new()? })
    }

    /// Adds values and rings; returns those for which there was no room.
    pub(crate) fn put(&self, values: &mut Vec<T>) -> usize {
        if values.is_empty() {
            return 0;
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = queue.is_empty();
        let room = self.capacity.saturating_sub(queue.len()).min(values.len());
        let lost = values.len() - room;
        queue.extend(values.drain(..room));
        drop(queue);
        values.clear();
        self.dropped.fetch_add(lost as u64, Ordering::Relaxed);
        if silent {
            self.bell.ring();
        }
        lost
    }

    /// Takes all that wait, oldest first, and silences the bell.
    pub fn take(&self) -> VecDeque<T> {
        self.bell.hush();
        std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many were dropped for lack of room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl<T> AsFd for Outlet<T> {
    /// Readable while something waits.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
