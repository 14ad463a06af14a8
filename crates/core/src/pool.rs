//! Warm connections: how many there are to be, how fast they are made, when one is too old.
//!
//! Pure: moments and chance are arguments. Nothing here knows a socket.

use std::time::Duration;

use crate::wheel::Tick;

/// The most connections to one endpoint that the process makes in advance at a time.
pub const AT_ONCE: u16 = 32;
/// The rest after the first failure; it doubles with each further one.
const FIRST_REST: Duration = Duration::from_millis(100);
/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(10);
/// An endpoint that loses a connection so soon after it was made has failed; one that has kept to itself for so
/// long after a rest is well again.
const SETTLED: Duration = Duration::from_secs(1);

/// One worker's part of what is said of the whole process; the parts add up to `whole`.
#[must_use]
pub fn share(whole: u16, workers: u16, worker: u16) -> u16 {
    let workers = workers.max(1);
    whole / workers + u16::from(worker < whole % workers)
}

/// The moment at which a connection made `now` is too old: drawn from the last eighth of `max_age`, so that those
/// made together do not go together.
#[must_use]
pub fn expiry(now: Tick, max_age: Duration, dice: u32) -> Tick {
    now.after(max_age - max_age / 8 + (max_age / 8).mul_f64(part(dice)))
}

/// How fast one worker makes connections to one endpoint in advance.
///
/// It begins with one at a time, allows one more with each that is made, and returns to one with a failure, after a
/// rest that grows as they go on.
#[derive(Clone, Copy, Debug)]
pub struct Refill {
    making: u16,
    at_once: u16,
    at_most: u16,
    failures: u32,
    rest_until: Tick,
}

impl Refill {
    /// Makes at most `at_most` at a time, and at least one.
    #[must_use]
    pub fn new(at_most: u16) -> Self {
        Self { making: 0, at_once: 1, at_most: at_most.max(1), failures: 0, rest_until: Tick(0) }
    }

    /// How many may be begun now, when `idle` are there and there are to be `wanted`.
    #[must_use]
    pub fn may_begin(&self, now: Tick, idle: usize, wanted: u16) -> u16 {
        if now < self.rest_until {
            return 0;
        }
        let there = u16::try_from(idle).unwrap_or(u16::MAX).saturating_add(self.making);
        wanted.saturating_sub(there).min(self.at_once.saturating_sub(self.making))
    }

    /// The moment at which [`Refill::may_begin`] may say more than now, if nothing else happens.
    #[must_use]
    pub fn poll_timeout(&self, now: Tick) -> Tick {
        if now < self.rest_until { self.rest_until } else { Tick::NEVER }
    }

    /// One was begun.
    pub fn begun(&mut self) {
        self.making = self.making.saturating_add(1);
    }

    /// One that was begun is made.
    pub fn made(&mut self, now: Tick) {
        self.making = self.making.saturating_sub(1);
        if now >= self.rest_until.after(SETTLED) || self.failures == 0 {
            self.failures = 0;
            self.at_once = self.at_once.saturating_add(1).min(self.at_most);
        }
    }

    /// One that was begun came to nothing.
    pub fn failed(&mut self, now: Tick, dice: u32) {
        self.making = self.making.saturating_sub(1);
        self.rest(now, dice);
    }

    /// One that was begun is no longer wanted.
    pub fn given_up(&mut self) {
        self.making = self.making.saturating_sub(1);
    }

    /// The endpoint has ended one that was idle since `made`, or spoke on it. Whoever does so at once would have
    /// us make one after the other.
    pub fn lost(&mut self, now: Tick, made: Tick, dice: u32) {
        if now < made.after(SETTLED) {
            self.rest(now, dice);
        }
    }

    /// Those that fail together are one failure.
    fn rest(&mut self, now: Tick, dice: u32) {
        self.at_once = 1;
        if now < self.rest_until {
            return;
        }
        let rest = FIRST_REST.saturating_mul(1 << self.failures.min(16)).min(LONGEST_REST);
        self.failures = self.failures.saturating_add(1);
        self.rest_until = now.after(rest + (rest / 4).mul_f64(part(dice)));
    }
}

/// A throw as a part of one.
fn part(dice: u32) -> f64 {
    f64::from(dice) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests;
