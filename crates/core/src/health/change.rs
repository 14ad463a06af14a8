//! What an operator is told of an endpoint's fitness: its changes, one by one, and counts.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// A change that the operator is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Probes failed often enough.
    Down,
    /// Probes were good often enough.
    Up,
    /// Traffic failed often enough: it is left alone for so long.
    Ejected(Duration),
    /// It serves again after an ejection.
    Returned,
    /// Its agent has stopped it.
    Stopped,
    /// Its agent lets it go on.
    Resumed,
}

impl Change {
    /// What it was before, as the word for it.
    #[must_use]
    pub fn from(self) -> &'static str {
        match self {
            Self::Down | Self::Ejected(_) | Self::Stopped => "up",
            Self::Up => "down",
            Self::Returned => "ejected",
            Self::Resumed => "stopped",
        }
    }

    /// What it is from here on, as the word for it.
    #[must_use]
    pub fn to(self) -> &'static str {
        match self {
            Self::Up | Self::Returned | Self::Resumed => "up",
            Self::Down => "down",
            Self::Ejected(_) => "ejected",
            Self::Stopped => "stopped",
        }
    }
}

/// What is counted of one endpoint for its metrics.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) good: AtomicU64,
    pub(super) bad: AtomicU64,
    pub(super) ejections: AtomicU32,
}

/// What is counted of one endpoint for its metrics; each only ever grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Probes that were good.
    pub good: u64,
    /// Probes that were not.
    pub bad: u64,
    /// How often traffic has ejected it.
    pub ejections: u32,
}

impl Tally {
    pub(super) fn read(&self) -> Counted {
        let Self { good, bad, ejections } = self;
        Counted {
            good: good.load(Ordering::Relaxed),
            bad: bad.load(Ordering::Relaxed),
            ejections: ejections.load(Ordering::Relaxed),
        }
    }
}
