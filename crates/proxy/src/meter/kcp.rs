//! What is counted of KCP only.

use std::time::Duration;

use portcullis_core::wire::kcp::arq::Tally;
use portcullis_core::wire::kcp::roster::Dropped;

use super::{Cell, Count};

/// Upper bounds of the round-trip classes, in milliseconds; what is slower is in a class of its own.
pub const RTT_BOUNDS: [u64; 11] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000];

/// What one worker counts of the KCP conversations of one listener, with clients and with endpoints.
#[derive(Debug, Default)]
pub(crate) struct KcpCell {
    pub(crate) datagrams_in: Count,
    pub(crate) datagrams_out: Count,
    pub(crate) answers: Count,
    pub(crate) embryos: Count,
    pub(crate) recovered: Count,
    retransmits: Count,
    duplicates: Count,
    rtt: [Count; RTT_BOUNDS.len() + 1],
    rtt_millis: Count,
    dropped: [Count; Dropped::ALL.len()],
    /// Datagrams for which the session maximum or the kernel had no room.
    pub(crate) full: Count,
}

impl KcpCell {
    /// Counts what a conversation has done since `before`.
    pub(crate) fn count(&self, before: &Tally, now: &Tally) {
        self.retransmits.add(now.retransmits - before.retransmits);
        self.duplicates.add(now.duplicates - before.duplicates);
    }

    /// Counts a measured round trip.
    pub(crate) fn round_trip(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let class = RTT_BOUNDS.iter().position(|bound| millis <= *bound).unwrap_or(RTT_BOUNDS.len());
        self.rtt[class].add(1);
        self.rtt_millis.add(millis);
    }

    /// Counts a datagram that was dropped.
    pub(crate) fn dropped(&self, why: Dropped) {
        self.dropped[why as usize].add(1);
    }
}

/// What is counted of KCP at one listener, summed at one moment. Endpoints' conversations count as well.
#[derive(Clone, Debug, Default)]
pub struct KcpCounts {
    /// Datagrams that came.
    pub datagrams_in: u64,
    /// Datagrams that left.
    pub datagrams_out: u64,
    /// Answers to questions of nobody's session; nothing was kept for them.
    pub answers: u64,
    /// Sessions whose address has not proved that it hears us.
    pub embryos: u64,
    /// Datagrams that forward error correction brought back.
    pub recovered: u64,
    /// Segments sent again.
    pub retransmits: u64,
    /// Segments that came again.
    pub duplicates: u64,
    /// Measured round trips up to each of [`RTT_BOUNDS`], and slower ones; not cumulative.
    pub round_trips: [u64; RTT_BOUNDS.len() + 1],
    /// All measured round trips together, in milliseconds.
    pub round_trip_millis: u64,
    /// Datagrams that were dropped, by reason; reasons that did not happen are there too.
    pub dropped: Vec<(Dropped, u64)>,
    /// Datagrams dropped for want of room: the session maximum, or the kernel's buffers.
    pub full: u64,
}

impl KcpCounts {
    pub(super) fn sum(cells: &[Cell]) -> Self {
        let sum = |count: fn(&KcpCell) -> &Count| cells.iter().map(|cell| count(&cell.kcp).read()).sum();
        let classes = |class: usize| cells.iter().map(|cell| cell.kcp.rtt[class].read()).sum();
        let reasons = |why: Dropped| cells.iter().map(|cell| cell.kcp.dropped[why as usize].read()).sum();
        Self {
            datagrams_in: sum(|cell| &cell.datagrams_in),
            datagrams_out: sum(|cell| &cell.datagrams_out),
            answers: sum(|cell| &cell.answers),
            embryos: sum(|cell| &cell.embryos),
            recovered: sum(|cell| &cell.recovered),
            retransmits: sum(|cell| &cell.retransmits),
            duplicates: sum(|cell| &cell.duplicates),
            round_trips: std::array::from_fn(classes),
            round_trip_millis: sum(|cell| &cell.rtt_millis),
            dropped: Dropped::ALL.iter().map(|why| (*why, reasons(*why))).collect(),
            full: sum(|cell| &cell.full),
        }
    }
}
