//! Counters: one padded block per worker and listener, written by that worker only, summed by a scrape.

mod endpoint;
mod frames;
mod kcp;
mod pool;

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};

use portcullis_core::name::ListenerName;
use portcullis_core::outcome::{Path, Reason};

pub use endpoint::EndpointCounts;
pub(crate) use endpoint::of_snapshot as endpoint_counts;
pub(crate) use frames::FrameCell;
pub use frames::FrameCounts;
pub(crate) use kcp::KcpCell;
pub use kcp::{KcpCounts, RTT_BOUNDS};
pub(crate) use pool::PoolMeter;
pub use pool::{Discard, PoolCounts};

/// A count that one thread writes and any may read.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Adds without a locked instruction: only the owning worker writes.
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// Takes away what was added before.
    pub(crate) fn less(&self, fewer: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(fewer), Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one worker counts of one listener. 128 bytes apart, so that no two workers share a line.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Cell {
    pub(crate) sessions: Count,
    pub(crate) hellos: Count,
    pub(crate) accepted: Count,
    pub(crate) opened: Count,
    pub(crate) up_bytes: Count,
    pub(crate) down_bytes: Count,
    path_bytes: [Count; Path::ALL.len()],
    refused: [Count; Reason::ALL.len()],
    closed: [Count; Reason::ALL.len()],
    pub(crate) frames: FrameCell,
    pub(crate) kcp: KcpCell,
}

impl Default for Cell {
    fn default() -> Self {
        let by_reason = || array::from_fn(|_| Count::default());
        Self {
            sessions: Count::default(),
            hellos: Count::default(),
            accepted: Count::default(),
            opened: Count::default(),
            up_bytes: Count::default(),
            down_bytes: Count::default(),
            path_bytes: Path::ALL.map(|_| Count::default()),
            refused: by_reason(),
            closed: by_reason(),
            frames: FrameCell::default(),
            kcp: KcpCell::default(),
        }
    }
}

impl Cell {
    /// Counts payload bytes by how they were moved.
    pub(crate) fn moved(&self, path: Path, bytes: u64) {
        self.path_bytes[path as usize].add(bytes);
    }

    /// Counts the end of a session that was open.
    pub(crate) fn closed(&self, reason: Reason) {
        self.closed[reason as usize].add(1);
    }

    /// Counts the end of a session that never was.
    pub(crate) fn refused(&self, reason: Reason) {
        self.refused[reason as usize].add(1);
    }
}

/// The counters of one listener; they outlive reloads.
#[derive(Debug)]
pub(crate) struct Meter {
    name: ListenerName,
    cells: Box<[Cell]>,
}

impl Meter {
    pub(crate) fn new(name: ListenerName, workers: usize) -> Self {
        Self { name, cells: (0..workers).map(|_| Cell::default()).collect() }
    }

    pub(crate) fn name(&self) -> &ListenerName {
        &self.name
    }

    pub(crate) fn cell(&self, worker: usize) -> &Cell {
        &self.cells[worker]
    }

    /// Sums over the workers.
    pub(crate) fn counts(&self) -> ListenerCounts {
        let sum = |count: fn(&Cell) -> &Count| self.cells.iter().map(|cell| count(cell).read()).sum();
        let by_reason = |counts: fn(&Cell) -> &[Count; Reason::ALL.len()]| {
            let total = |reason: Reason| {
                self.cells.iter().map(|cell| counts(cell)[reason as usize].read()).sum::<u64>()
            };
            let all = Reason::ALL.iter().map(|reason| (*reason, total(*reason)));
            all.filter(|(_, count)| *count > 0).collect()
        };
        ListenerCounts {
            name: self.name.clone(),
            sessions: sum(|cell| &cell.sessions),
            hellos: sum(|cell| &cell.hellos),
            accepted: sum(|cell| &cell.accepted),
            opened: sum(|cell| &cell.opened),
            up_bytes: sum(|cell| &cell.up_bytes),
            down_bytes: sum(|cell| &cell.down_bytes),
            path_bytes: Path::ALL
                .map(|path| self.cells.iter().map(|cell| cell.path_bytes[path as usize].read()).sum()),
            refused: by_reason(|cell| &cell.refused),
            closed: by_reason(|cell| &cell.closed),
            frames: FrameCounts::sum(&self.cells),
            kcp: KcpCounts::sum(&self.cells),
        }
    }
}

/// The counters of one listener, summed at one moment.
#[derive(Clone, Debug)]
pub struct ListenerCounts {
    /// Which listener.
    pub name: ListenerName,
    /// Live sessions, those that are still opening included.
    pub sessions: u64,
    /// Hellos in progress.
    pub hellos: u64,
    /// Connections taken.
    pub accepted: u64,
    /// Sessions that were opened.
    pub opened: u64,
    /// Payload bytes from clients.
    pub up_bytes: u64,
    /// Payload bytes from endpoints.
    pub down_bytes: u64,
    /// Of both, how many were moved how, in the order of [`Path::ALL`].
    pub path_bytes: [u64; Path::ALL.len()],
    /// Sessions that never opened, by reason; reasons that did not happen are left out.
    pub refused: Vec<(Reason, u64)>,
    /// Sessions that were open, by reason of their end; reasons that did not happen are left out.
    pub closed: Vec<(Reason, u64)>,
    /// What is counted of frames; all zero where nobody speaks in them.
    pub frames: FrameCounts,
    /// What is counted of KCP; all zero where nobody speaks it.
    pub kcp: KcpCounts,
}

/// Everything the data plane counts, summed at one moment.
#[derive(Clone, Debug)]
pub struct Counts {
    /// By listener, in order of name; listeners removed by a reload stay.
    pub listeners: Vec<ListenerCounts>,
    /// By upstream that has or had a pool, in order of name.
    pub pools: Vec<PoolCounts>,
    /// By upstream in order of name, and there in the configuration's order; those removed by a reload are gone.
    pub endpoints: Vec<EndpointCounts>,
    /// Live sessions of the process.
    pub sessions: u32,
    /// The most there may be.
    pub session_maximum: u32,
    /// How often accepting paused for lack of files or of sessions.
    pub accept_pauses: u64,
    /// Steps of sessions that ended in a panic.
    pub bugs: u64,
    /// Questions dropped because the control plane was too slow.
    pub questions_dropped: u64,
    /// Records dropped because the control plane was too slow.
    pub endings_dropped: u64,
}
