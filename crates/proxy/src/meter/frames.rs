//! What is counted of frames only.

use super::{Cell, Count};
use crate::leg::FrameTally;

/// What one worker counts of the frames of one listener.
#[derive(Debug, Default)]
pub(crate) struct FrameCell {
    up: Count,
    down: Count,
    heartbeats: Count,
    limited: Count,
}

impl FrameCell {
    /// Counts what a session has done.
    pub(crate) fn count(&self, more: FrameTally) {
        self.up.add(more.up);
        self.down.add(more.down);
        self.heartbeats.add(more.heartbeats);
        self.limited.add(more.limited);
    }
}

/// What is counted of frames at one listener, summed at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounts {
    /// Frames of clients, whatever became of them.
    pub up: u64,
    /// Frames of endpoints.
    pub down: u64,
    /// Heartbeats that the gateway has answered itself.
    pub heartbeats: u64,
    /// Frames of clients that were refused for a limit.
    pub limited: u64,
}

impl FrameCounts {
    pub(super) fn sum(cells: &[Cell]) -> Self {
        let sum = |count: fn(&FrameCell) -> &Count| cells.iter().map(|cell| count(&cell.frames).read()).sum();
        Self {
            up: sum(|cell| &cell.up),
            down: sum(|cell| &cell.down),
            heartbeats: sum(|cell| &cell.heartbeats),
            limited: sum(|cell| &cell.limited),
        }
    }
}
