//! Where a limit is counted: in this process, or by all nodes together.
//!
//! A bucket that many threads take from is one number, the moment at which it will be full again (the generic cell
//! rate algorithm, ITU-T I.371). Taking tokens moves that moment on; time that passes brings it nearer. Refill is as
//! fractional as with [`Bucket`](super::bucket::Bucket), and nobody waits for a lock.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::bucket::{ROUNDING, Rate};

#[cfg(test)]
mod tests;

/// One limit's count: how many there are, and a bucket of how many more may come.
///
/// `now` is a [`Duration`] since any fixed moment of a monotonic clock, the same for all who ask.
pub trait Scope: Debug + Send + Sync {
    /// Counts one more, unless there are `most`; true: it is counted and must [`Scope::leave`].
    fn enter(&self, most: u32) -> bool;

    /// Takes back one [`Scope::enter`].
    fn leave(&self);

    /// How many there are.
    fn live(&self) -> u32;

    /// The tokens there are at `now`; below zero is a debt.
    fn level(&self, rate: Rate, now: Duration) -> f64;

    /// Takes `count` tokens, or none and says how long until there are as many.
    ///
    /// # Errors
    /// The time to wait; [`Duration::MAX`] when there will never be as many.
    fn take(&self, rate: Rate, now: Duration, count: u32) -> Result<(), Duration>;

    /// Takes `count` tokens whether they are there or not.
    fn charge(&self, rate: Rate, now: Duration, count: u32);

    /// Gives back `count` tokens that were taken.
    fn give_back(&self, rate: Rate, count: u32);
}

/// A limit counted in this process.
#[derive(Debug, Default)]
pub struct Node {
    live: AtomicU32,
    /// When the bucket is full again, in nanoseconds of the clock.
    full_at: AtomicU64,
}

impl Scope for Node {
    fn enter(&self, most: u32) -> bool {
        let more = |live: u32| (live < most).then_some(live.saturating_add(1));
        self.live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn leave(&self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }

    fn live(&self) -> u32 {
        self.live.load(Ordering::Relaxed)
    }

    fn level(&self, rate: Rate, now: Duration) -> f64 {
        let missing = self.full_at.load(Ordering::Relaxed).saturating_sub(nanos(now));
        rate.burst - missing as f64 / NANOS * rate.per_second
    }

    fn take(&self, rate: Rate, now: Duration, count: u32) -> Result<(), Duration> {
        if rate.per_second == 0.0 || f64::from(count) > rate.burst {
            return Err(Duration::MAX);
        }
        let (now, room) = (nanos(now), time_for(rate, rate.burst + ROUNDING));
        let pay = |full_at: u64| {
            let paid = full_at.max(now).saturating_add(time_for(rate, f64::from(count)));
            (paid - now <= room).then_some(paid)
        };
        let taken = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
        let short = |full_at: u64| {
            let paid = full_at.max(now).saturating_add(time_for(rate, f64::from(count)));
            Duration::from_nanos((paid - now).saturating_sub(room).max(1))
        };
        taken.map(|_| ()).map_err(short)
    }

    fn charge(&self, rate: Rate, now: Duration, count: u32) {
        if rate.per_second == 0.0 {
            return;
        }
        let pay =
            |full_at: u64| Some(full_at.max(nanos(now)).saturating_add(time_for(rate, f64::from(count))));
        let _always = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
    }

    fn give_back(&self, rate: Rate, count: u32) {
        if rate.per_second == 0.0 {
            return;
        }
        let back = |full_at: u64| Some(full_at.saturating_sub(time_for(rate, f64::from(count))));
        let _always = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, back);
    }
}

const NANOS: f64 = 1e9;

fn nanos(now: Duration) -> u64 {
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// In how many nanoseconds so many tokens are earned.
fn time_for(rate: Rate, tokens: f64) -> u64 {
    (tokens / rate.per_second * NANOS).round() as u64
}
