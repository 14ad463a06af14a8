//! The families of frame mode.

use portcullis_proxy::{FrameCounts, ListenerCounts};

use super::page::Page;
use super::{HEARTBEATS, MESSAGES, MESSAGES_LIMITED, Metric};

/// Writes what was counted of frames; a listener without one either way has no samples.
pub(super) fn write(page: &mut Page, listeners: &[ListenerCounts]) {
    let used = || {
        let spoken = listeners.iter().filter(|one| one.frames != FrameCounts::default());
        spoken.map(|one| (one.name.as_str(), &one.frames))
    };
    page.family(MESSAGES);
    for (name, frames) in used() {
        page.sample(&[name, "up"], frames.up).sample(&[name, "down"], frames.down);
    }
    let plain: [(Metric, fn(&FrameCounts) -> u64); 2] =
        [(HEARTBEATS, |frames| frames.heartbeats), (MESSAGES_LIMITED, |frames| frames.limited)];
    for (metric, count) in plain {
        page.family(metric);
        for (name, frames) in used() {
            page.sample(&[name], count(frames));
        }
    }
}
