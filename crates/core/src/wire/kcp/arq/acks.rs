//! What is to be acknowledged, and when.
//!
//! Of segments that arrived in order only the latest is acknowledged by number: `una` covers the others. (kcp-go
//! sends so; C peers take one round trip per datagram from it instead of one per segment.) An acknowledgement
//! waits a little to ride on a reply, unless the peer has use for it at once.

use super::super::segment::before;
use crate::wheel::Tick;

/// The longest that an acknowledgement waits, in milliseconds.
const DELAY_MAX: u16 = 10;
/// How many may wait.
const WAITING_MAX: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Acks {
    /// (sn, ts), in the order of arrival.
    list: Vec<(u32, u32)>,
    due: Tick,
    /// Full segments among them.
    full: u8,
}

impl Acks {
    /// Adds one. At most `cap` wait: a peer that repeats a segment for ever is answered, but not at any price.
    pub(super) fn add(&mut self, sn: u32, ts: u32, cap: usize, due: Tick) {
        if self.list.is_empty() {
            self.due = due;
        }
        if self.list.len() < cap {
            self.list.push((sn, ts));
        }
        self.due = self.due.min(due);
        if self.list.len() > WAITING_MAX {
            self.hurry();
        }
    }

    /// Notes that a full segment arrived: every second one is answered at once (RFC 9293, 3.8.6.3).
    pub(super) fn full_segment(&mut self) {
        self.full = self.full.saturating_add(1);
        if self.full >= 2 {
            self.hurry();
        }
    }

    /// Lets nothing wait.
    pub(super) fn hurry(&mut self) {
        self.due = Tick(0);
    }

    /// When they are to be sent.
    pub(super) fn due(&self) -> Tick {
        if self.list.is_empty() { Tick::NEVER } else { self.due }
    }

    /// Leaves out what `una` = `next` tells already.
    pub(super) fn filter(&mut self, next: u32) {
        let last = self.list.len().saturating_sub(1);
        let mut index = 0;
        self.list.retain(|(sn, _)| {
            index += 1;
            index > last || !before(*sn, next)
        });
    }

    /// Takes at most `count` of them, oldest first; what is left is due at once.
    pub(super) fn take(&mut self, count: usize) -> impl Iterator<Item = (u32, u32)> + use<> {
        let taken = if count < self.list.len() {
            self.hurry();
            self.list.drain(..count).collect()
        } else {
            self.full = 0;
            std::mem::take(&mut self.list)
        };
        taken.into_iter()
    }

    /// Does it hold no memory?
    #[cfg(test)]
    pub(super) fn is_bare(&self) -> bool {
        self.list.capacity() == 0
    }

    /// When an acknowledgement that is in no hurry is to be sent.
    pub(super) fn delayed(now: Tick, interval: u16) -> Tick {
        Tick(now.0.saturating_add(u64::from(interval.min(DELAY_MAX))))
    }
}
