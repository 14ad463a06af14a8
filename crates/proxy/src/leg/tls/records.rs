//! How much payload goes in one record.

use std::time::Duration;

use portcullis_core::wheel::Tick;

/// A record is opened only when it is whole: at first small ones, so that a reader has something soon.
const SMALL: usize = 4 * 1024;
/// The largest there is (RFC 8446 section 5.1): the cheapest for each byte.
const LARGE: usize = 16 * 1024;
/// So much is sent in small ones: what most servers' first window holds, twice.
const WARM_AFTER: usize = 32 * 1024;
/// After so long a rest the path is cold again.
const REST: Duration = Duration::from_secs(1);

/// The pace of one direction.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Bytes since the last rest, counted up to `WARM_AFTER`.
    sent: usize,
    last: Tick,
}

impl Pace {
    /// How long the next record may be.
    pub(super) fn record(&mut self, now: Tick) -> usize {
        if now >= self.last.after(REST) {
            self.sent = 0;
        }
        self.last = now;
        if self.sent < WARM_AFTER { SMALL } else { LARGE }
    }

    /// Counts what went out.
    pub(super) fn sent(&mut self, count: usize) {
        self.sent = (self.sent + count).min(WARM_AFTER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_small_after_a_rest_and_large_in_bulk() {
        let mut pace = Pace::default();
        let mut sizes = |at: u64, total: usize| {
            let mut sizes = Vec::new();
            let mut left = total;
            while left > 0 {
                let size = pace.record(Tick(at)).min(left);
                pace.sent(size);
                left -= size;
                sizes.push(size);
            }
            sizes
        };
        assert_eq!(sizes(5_000, 64 * 1024), [[SMALL; 8].to_vec(), vec![LARGE; 2]].concat());
        assert_eq!(sizes(5_900, LARGE), [LARGE]);
        assert_eq!(sizes(6_900, LARGE), [SMALL; 4]);
    }
}
