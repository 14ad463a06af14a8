//! How soon an endpoint answers: a mean that rises at once and falls slowly.
//!
//! Peak EWMA as in Finagle: an answer later than the mean is the new mean; an earlier one pulls it down the
//! more, the longer ago the last one was. One slow answer is thus felt by the very next choice, and ten quick
//! ones within a second do not make up for it.

use std::time::Duration;

use crate::wheel::Tick;

/// After this time an old mean counts for 1/e.
const DECAY: Duration = Duration::from_secs(10);

/// The mean of one endpoint's answers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Response {
    /// Seconds.
    mean: f64,
    at: Tick,
}

impl Response {
    /// The mean before there was any answer: its first one is the mean.
    pub(super) fn add(&mut self, after: Duration, now: Tick) {
        let after = after.as_secs_f64();
        if after >= self.mean {
            self.mean = after;
        } else {
            let weight = (-now.since(self.at).as_secs_f64() / DECAY.as_secs_f64()).exp();
            self.mean = self.mean * weight + after * (1.0 - weight);
        }
        self.at = self.at.max(now);
    }

    pub(super) fn mean(self) -> Duration {
        Duration::try_from_secs_f64(self.mean).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_rises_at_once_and_falls_with_time() {
        let ms = Duration::from_millis;
        let mut response = Response::default();
        response.add(ms(10), Tick(0));
        assert_eq!(response.mean(), ms(10));
        response.add(ms(200), Tick(1));
        assert_eq!(response.mean(), ms(200), "a slow answer is felt at once");
        response.add(ms(10), Tick(2));
        assert!(response.mean() > ms(199), "a quick one a moment later hardly changes it");
        response.add(ms(10), Tick(10_002));
        let after_one_decay = response.mean();
        assert!((ms(79)..ms(81)).contains(&after_one_decay), "10 + 190 / e: {after_one_decay:?}");
        response.add(ms(10), Tick(1_000_000));
        assert!(response.mean() < ms(11));
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_changes_nothing_but_peaks() {
        let ms = Duration::from_millis;
        let mut response = Response::default();
        response.add(ms(50), Tick(100));
        response.add(ms(5), Tick(100));
        response.add(ms(5), Tick(50));
        assert_eq!(response.mean(), ms(50));
    }
}
