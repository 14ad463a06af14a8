//! The pace at which a draining node closes what does not end by itself: pure, with time as an argument.

use std::time::{Duration, Instant};

/// How often the node looks at what is left.
pub const TICK: Duration = Duration::from_millis(100);

/// What is to be done at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is left: the process may end.
    Done,
    /// Sessions still have time to end by themselves.
    Wait,
    /// This many are to be closed now.
    Close(u32),
    /// The time is over: what is left is cut.
    Cut,
}

/// The plan from the moment nothing is accepted any more.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    close_from: Instant,
    until: Instant,
}

impl Pace {
    /// Plans `timeout`: the first half for sessions that end by themselves, the second for closing the rest.
    #[must_use]
    pub fn new(now: Instant, timeout: Duration) -> Self {
        Self { close_from: now + timeout / 2, until: now + timeout }
    }

    /// Says what to do at `now`, with `live` sessions left. Called once per [`TICK`], the pace is even: the
    /// last close comes a tick before the end.
    #[must_use]
    pub fn handle_tick(&self, now: Instant, live: u32) -> Step {
        if live == 0 {
            return Step::Done;
        }
        if now >= self.until {
            return Step::Cut;
        }
        if now < self.close_from {
            return Step::Wait;
        }
        let ticks = (self.until.duration_since(now).as_millis() / TICK.as_millis()).saturating_sub(1).max(1);
        Step::Close(live.div_ceil(u32::try_from(ticks).unwrap_or(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a drain; closed sessions are gone at the next tick. Returns closes by tick, and what was cut.
    fn play(timeout: Duration, mut live: u32) -> (Vec<u32>, u32) {
        let start = Instant::now();
        let (pace, mut now, mut closes) = (Pace::new(start, timeout), start, Vec::new());
        loop {
            match pace.handle_tick(now, live) {
                Step::Done => return (closes, 0),
                Step::Cut => return (closes, live),
                Step::Wait => closes.push(0),
                Step::Close(count) => {
                    closes.push(count);
                    live -= count;
                }
            }
            now += TICK;
        }
    }

    #[test]
    fn b5_the_first_half_is_left_alone_and_the_second_closes_at_an_even_pace() {
        for live in [1, 7, 150, 1000, 100_000] {
            let (closes, cut) = play(Duration::from_secs(30), live);
            assert_eq!(cut, 0, "{live} sessions");
            assert!(closes.iter().take(150).all(|count| *count == 0), "{live} sessions: {closes:?}");
            let paced = &closes[150..];
            let most = paced.iter().max().copied().unwrap_or(0);
            assert!(most <= live.div_ceil(149), "{live} sessions: {paced:?}");
            assert_eq!(paced.iter().sum::<u32>(), live, "{live} sessions");
            assert!(closes.len() <= 299, "{live} sessions: over before the end");
        }
    }

    #[test]
    fn a_drain_ends_as_soon_as_nothing_is_left() {
        let now = Instant::now();
        assert_eq!(Pace::new(now, Duration::from_secs(30)).handle_tick(now, 0), Step::Done);
    }

    #[test]
    fn without_time_all_is_cut_at_once() {
        assert_eq!(play(Duration::ZERO, 5), (vec![], 5));
    }

    #[test]
    fn sessions_that_do_not_close_are_cut_at_the_end_and_not_later() {
        let now = Instant::now();
        let pace = Pace::new(now, Duration::from_secs(10));
        assert_eq!(pace.handle_tick(now + Duration::from_millis(9_999), 3), Step::Close(3));
        assert_eq!(pace.handle_tick(now + Duration::from_secs(10), 3), Step::Cut);
    }
}
