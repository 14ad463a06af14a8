//! Sessions that wait for an endpoint to have room: one line for each upstream, first come, first served.
//!
//! Only the first in line asks for an endpoint, and who comes while others wait goes to its end, so nobody is
//! overtaken. Whoever gives a lease back or leaves the line calls the first, who then asks. A call that is lost is
//! made up for: the first also asks by itself from time to time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Those who wait.
#[derive(Debug, Default)]
pub struct Line {
    /// As many as are in `waiting`, for those who only ask whether there is anybody.
    count: AtomicU32,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    by_number: BTreeMap<u64, Waiter>,
}

/// How a waiting session is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// Its worker.
    pub worker: u16,
    /// Its token there.
    pub token: u64,
}

/// A session's place in a line; dropping it leaves the line.
#[derive(Debug)]
#[must_use = "the session stands in line only while its place lives"]
pub struct Place {
    line: Arc<Line>,
    number: u64,
}

impl Line {
    /// How many wait.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.count.load(Ordering::SeqCst)
    }

    /// Does nobody wait?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whose turn it is; to be called after a lease was given back or the line was left.
    #[must_use]
    pub fn first(&self) -> Option<Waiter> {
        if self.is_empty() {
            return None;
        }
        self.waiting().by_number.first_key_value().map(|(_, waiter)| *waiter)
    }

    /// Takes the last place; `None` when `most` wait already.
    #[must_use]
    pub fn join(self: &Arc<Self>, waiter: Waiter, most: u32) -> Option<Place> {
        let mut waiting = self.waiting();
        if waiting.by_number.len() >= most as usize {
            return None;
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.by_number.insert(number, waiter);
        self.count.fetch_add(1, Ordering::SeqCst);
        Some(Place { line: Arc::clone(self), number })
    }

    /// A panic elsewhere cannot leave it half changed.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The line it is in.
    #[must_use]
    pub fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// Is it its turn?
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.line.waiting().by_number.first_key_value().is_some_and(|(number, _)| *number == self.number)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.line.waiting();
        if waiting.by_number.remove(&self.number).is_some() {
            self.line.count.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
