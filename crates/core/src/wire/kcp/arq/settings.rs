//! What an operator may set of a KCP session, and where its numbers begin.

use super::super::segment::HEADER;

/// The least MTU that leaves room for a byte of payload.
const MTU_MIN: u16 = HEADER as u16 + 1;
/// The longest payload of a segment in an Ethernet frame, in bytes.
const MSS_ETHERNET: usize = 1500 - 20 - 8 - HEADER;
/// The bounds of [`Settings::interval`], in milliseconds, as ikcp.c has them.
const INTERVAL: std::ops::RangeInclusive<u16> = 10..=5000;

/// How a session sends and how much it holds. [`Arq::new`](super::Arq::new) brings what is out of bounds into them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Timeouts start at 30 ms and grow by half, instead of 100 ms and doubling.
    pub nodelay: bool,
    /// The peer's and our own pace in milliseconds, 10 to 5000: a part of every retransmission timeout, and the
    /// longest that an acknowledgement waits for company (but never over 10 ms). There is no periodic flush.
    pub interval: u16,
    /// After how many datagrams that acknowledge something sent later a segment is sent again without waiting for
    /// its timeout; 0 never, more than 8 counts as 8.
    pub resend: u8,
    /// Slow start and congestion avoidance as ikcp.c has them (`nc = 0`).
    pub congestion: bool,
    /// How many segments may be in flight, and, with the MTU, how many bytes may wait. At least 1.
    pub send_window: u16,
    /// How many segments of [`Settings::mss`] may wait to be read. At least 1.
    pub receive_window: u16,
    /// The longest datagram in bytes, what cipher and forward error correction put in front already taken off.
    /// At least 25.
    pub mtu: u16,
    /// Small writes are packed together; else every write begins a segment of its own.
    pub stream: bool,
    /// How many times a segment is sent before the peer counts as gone. At least 1.
    pub dead_link: u8,
}

impl Default for Settings {
    /// kcptun's `fast2`, with windows of 256 segments and an MTU of 1350.
    fn default() -> Self {
        Self {
            nodelay: true,
            interval: 20,
            resend: 2,
            congestion: false,
            send_window: 256,
            receive_window: 256,
            mtu: 1350,
            stream: true,
            dead_link: 20,
        }
    }
}

impl Settings {
    /// The longest payload of a segment, in bytes.
    #[must_use]
    pub fn mss(&self) -> usize {
        usize::from(self.mtu.max(MTU_MIN)) - HEADER
    }

    /// How many bytes may wait to be sent or acknowledged.
    pub(super) fn send_limit(&self) -> usize {
        usize::from(self.send_window) * self.mss()
    }

    /// From how many bytes that wait to be read on the window is closed.
    pub(super) fn receive_limit(&self) -> usize {
        usize::from(self.receive_window) * self.mss()
    }

    /// How many bytes may have come before their turn: the peer's segments may be longer than ours, and its window
    /// counts segments.
    pub(super) fn early_limit(&self) -> usize {
        usize::from(self.receive_window) * self.mss().max(MSS_ETHERNET)
    }

    pub(super) fn bounded(&self) -> Self {
        Self {
            interval: self.interval.clamp(*INTERVAL.start(), *INTERVAL.end()),
            send_window: self.send_window.max(1),
            receive_window: self.receive_window.max(1),
            mtu: self.mtu.max(MTU_MIN),
            dead_link: self.dead_link.max(1),
            ..*self
        }
    }
}

/// Where the numbers of a session begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// The first segment's number, both ways. 0 between real peers; the tests of wrap-around set others.
    pub sn: u32,
    /// What is added to the time to give a segment's `ts`. Drawn by chance, it makes the `ts` in an ACK a proof
    /// that what was sent to an address was read there.
    pub clock: u32,
}
