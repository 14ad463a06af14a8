//! How long an answer takes, and from that how long to wait for one (RFC 6298, with the bounds of ikcp.c).

use super::Settings;

/// A timeout never grows beyond this, in milliseconds (`IKCP_RTO_MAX`).
pub(super) const RTO_MAX: u32 = 60_000;
/// The least timeout, in milliseconds, with and without `nodelay` (`IKCP_RTO_NDL`, `IKCP_RTO_MIN`).
const RTO_MIN: [u32; 2] = [30, 100];
/// The timeout while nothing is known, in milliseconds (`IKCP_RTO_DEF`).
const RTO_FIRST: u32 = 200;

/// An estimate of the round trip. Kept in eighths and quarters of a millisecond, so that slow changes count.
#[derive(Debug, Default)]
pub(super) struct Rtt {
    /// The smoothed round trip, in 1/8 ms.
    smooth: u32,
    /// Its mean deviation, in 1/4 ms.
    deviation: u32,
    /// The latest sample, in milliseconds.
    latest: u32,
    /// How many samples there were.
    samples: u32,
}

impl Rtt {
    /// Takes a sample, in milliseconds; less than [`RTO_MAX`].
    pub(super) fn sample(&mut self, rtt: u32) {
        if self.samples == 0 {
            self.smooth = rtt * 8;
            self.deviation = rtt * 2;
        } else {
            let off = (self.smooth / 8).abs_diff(rtt);
            self.deviation = self.deviation - self.deviation / 4 + off;
            self.smooth = self.smooth - self.smooth / 8 + rtt;
        }
        self.latest = rtt;
        self.samples = self.samples.saturating_add(1);
    }

    /// The smoothed round trip, in milliseconds; `None` before the first sample.
    pub(super) fn smooth(&self) -> Option<u32> {
        (self.samples > 0).then_some(self.smooth / 8)
    }

    /// The latest sample, in milliseconds, and how many there were.
    pub(super) fn latest(&self) -> (Option<u32>, u32) {
        ((self.samples > 0).then_some(self.latest), self.samples)
    }

    /// How long to wait for an acknowledgement, in milliseconds.
    pub(super) fn rto(&self, settings: &Settings) -> u32 {
        let [quick, steady] = RTO_MIN;
        let least = if settings.nodelay { quick } else { steady };
        let wait = match self.smooth() {
            Some(smooth) => smooth + self.deviation.max(u32::from(settings.interval)),
            None => RTO_FIRST,
        };
        wait.clamp(least, RTO_MAX)
    }

    /// The first timeout of a segment: ikcp.c gives an eighth more to those who are in no hurry.
    pub(super) fn first_rto(&self, settings: &Settings) -> u32 {
        let rto = self.rto(settings);
        if settings.nodelay { rto } else { (rto + rto / 8).min(RTO_MAX) }
    }

    /// The timeout that follows one of `rto` that has passed.
    pub(super) fn backed_off(&self, rto: u32, settings: &Settings) -> u32 {
        let next = if settings.nodelay { rto + rto / 2 } else { rto + rto.max(self.rto(settings)) };
        next.min(RTO_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_is_the_round_trip_and_four_deviations_within_bounds() {
        let quick = Settings { nodelay: true, interval: 10, ..Settings::default() };
        let steady = Settings { nodelay: false, ..quick };
        let of = |samples: &[u32]| {
            let mut rtt = Rtt::default();
            samples.iter().for_each(|sample| rtt.sample(*sample));
            (rtt.smooth(), rtt.rto(&quick), rtt.rto(&steady), rtt.first_rto(&steady))
        };
        assert_eq!(of(&[]), (None, 200, 200, 225));
        assert_eq!(of(&[0]), (Some(0), 30, 100, 112));
        assert_eq!(of(&[100]), (Some(100), 300, 300, 337));
        assert_eq!(of(&[100, 100]), (Some(100), 250, 250, 281));
        assert_eq!(of(&[100; 40]), (Some(100), 110, 110, 123), "the interval is the least deviation");
        assert_eq!(of(&[59_999; 2]).1, RTO_MAX);
    }

    #[test]
    fn a_passed_timeout_grows_by_half_or_doubles_up_to_a_minute() {
        let quick = Settings { nodelay: true, ..Settings::default() };
        let steady = Settings { nodelay: false, ..quick };
        let rtt = Rtt::default();
        assert_eq!((rtt.backed_off(40, &quick), rtt.backed_off(400, &steady)), (60, 800));
        assert_eq!(rtt.backed_off(40, &steady), 240, "at least one timeout of the connection is added");
        assert_eq!((rtt.backed_off(59_000, &quick), rtt.backed_off(59_000, &steady)), (RTO_MAX, RTO_MAX));
    }
}
