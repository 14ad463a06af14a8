//! What is counted of warm connections: a block per upstream, shared by the workers. It is touched once a
//! connection, not once a byte.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};

use portcullis_core::name::UpstreamName;

/// Why a warm connection was closed without having been used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// It was older than `max_age`.
    Age,
    /// The endpoint ended it.
    Ended,
    /// The endpoint said something unasked.
    Spoke,
    /// There are more than are wanted, or its endpoint is to have none.
    Surplus,
}

impl Discard {
    /// Every cause, in declaration order.
    pub const ALL: [Self; 4] = [Self::Age, Self::Ended, Self::Spoke, Self::Surplus];

    /// The label in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Ended => "ended",
            Self::Spoke => "spoke",
            Self::Surplus => "surplus",
        }
    }
}

/// The counters of one upstream's warm connections; they outlive reloads.
#[derive(Debug)]
pub(crate) struct PoolMeter {
    pub(crate) name: UpstreamName,
    idle: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    made: AtomicU64,
    failed: AtomicU64,
    discarded: [AtomicU64; Discard::ALL.len()],
}

impl PoolMeter {
    pub(crate) fn new(name: UpstreamName) -> Self {
        let zero = AtomicU64::default;
        Self {
            name,
            idle: zero(),
            hits: zero(),
            misses: zero(),
            made: zero(),
            failed: zero(),
            discarded: array::from_fn(|_| zero()),
        }
    }

    /// One was made in advance.
    pub(crate) fn made(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    /// One that is idle from here on.
    pub(crate) fn rests(&self) {
        self.idle.fetch_add(1, Ordering::Relaxed);
    }

    /// One that was begun came to nothing.
    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// An idle one was taken.
    pub(crate) fn hit(&self) {
        self.idle.fetch_sub(1, Ordering::Relaxed);
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// One was wanted, and none was there.
    pub(crate) fn missed(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// An idle one was closed.
    pub(crate) fn discarded(&self, cause: Discard) {
        self.idle.fetch_sub(1, Ordering::Relaxed);
        self.discarded[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> PoolCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        PoolCounts {
            name: self.name.clone(),
            idle: read(&self.idle),
            hits: read(&self.hits),
            misses: read(&self.misses),
            made: read(&self.made),
            failed: read(&self.failed),
            discarded: array::from_fn(|index| read(&self.discarded[index])),
        }
    }
}

/// What was counted of one upstream's warm connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolCounts {
    /// Which upstream.
    pub name: UpstreamName,
    /// Idle ones at the moment.
    pub idle: u64,
    /// Connections that were wanted and there.
    pub hits: u64,
    /// Connections that were wanted and had to be made.
    pub misses: u64,
    /// Connections made in advance.
    pub made: u64,
    /// Attempts at it that came to nothing.
    pub failed: u64,
    /// Idle ones that were closed, in the order of [`Discard::ALL`].
    pub discarded: [u64; Discard::ALL.len()],
}
