//! Slow start and congestion avoidance, as ikcp.c has them: for those who set `nc = 0`.

/// How many segments the network is thought to carry.
#[derive(Debug)]
pub(super) struct Congestion {
    /// In segments; at least 1.
    window: u32,
    /// Where slow start ends, in segments.
    threshold: u32,
    /// The window in bytes, which grows by less than a segment.
    bytes: u32,
}

/// `IKCP_THRESH_MIN`, in segments.
const THRESHOLD_MIN: u32 = 2;

impl Default for Congestion {
    fn default() -> Self {
        Self { window: 1, threshold: THRESHOLD_MIN, bytes: 0 }
    }
}

impl Congestion {
    pub(super) fn window(&self) -> u32 {
        self.window
    }

    /// Grows, since a datagram moved the left edge of what is in flight; never beyond the peer's window.
    pub(super) fn advance(&mut self, peer_window: u32, mss: u32) {
        if self.window >= peer_window {
            return;
        }
        if self.window < self.threshold {
            self.window += 1;
            self.bytes = self.bytes.saturating_add(mss);
        } else {
            self.bytes = self.bytes.max(mss);
            self.bytes = self.bytes.saturating_add(mss.saturating_mul(mss) / self.bytes + mss / 16);
            if self.bytes >= (self.window + 1).saturating_mul(mss) {
                self.window = self.bytes.div_ceil(mss);
            }
        }
        if self.window > peer_window {
            self.window = peer_window;
            self.bytes = peer_window.saturating_mul(mss);
        }
    }

    /// Halves, since later segments overtook one.
    pub(super) fn overtaken(&mut self, in_flight: u32, resend: u8, mss: u32) {
        self.threshold = (in_flight / 2).max(THRESHOLD_MIN);
        self.window = self.threshold + u32::from(resend);
        self.bytes = self.window.saturating_mul(mss);
    }

    /// Starts over, since a timeout passed.
    pub(super) fn timed_out(&mut self, mss: u32) {
        self.threshold = (self.window / 2).max(THRESHOLD_MIN);
        self.window = 1;
        self.bytes = mss;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_opens_quickly_then_slowly_and_closes_on_loss() {
        let mut congestion = Congestion::default();
        congestion.advance(128, 1000);
        assert_eq!(congestion.window(), 2, "slow start");
        for _ in 0..100 {
            congestion.advance(128, 1000);
        }
        let grown = congestion.window();
        assert!((8..100).contains(&grown), "{grown} after slow growth");
        congestion.overtaken(40, 2, 1000);
        assert_eq!(congestion.window(), 22);
        congestion.timed_out(1000);
        assert_eq!(congestion.window(), 1);
        for _ in 0..10_000 {
            congestion.advance(24, 1000);
        }
        assert_eq!(congestion.window(), 24, "no more than the peer has room for");
        congestion.advance(0, 1000);
        assert_eq!(congestion.window(), 24);
    }
}
