//! What may pass in one direction, or how many messages: buckets of the session, its device, its listener and the
//! process, each of which must have room.

use std::sync::Arc;
use std::time::Duration;

use super::bucket::Rate;
use super::scope::Scope;

#[cfg(test)]
mod tests;

/// Who waits for bytes looks again no sooner than this.
pub const PAUSE: Duration = Duration::from_millis(5);
/// What is not worth a look: less than so much time's bytes.
const WORTH: Duration = Duration::from_millis(10);
/// The least burst of a rate of bytes. With less, what is earned between two looks would overflow and be lost.
const LEAST_BURST: Duration = Duration::from_millis(20);

/// Several buckets at once. Empty: no limit.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    links: Vec<Link>,
}

#[derive(Clone, Debug)]
struct Link {
    rate: Rate,
    scope: Arc<dyn Scope>,
}

impl Rates {
    /// Is there no limit?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Adds a bucket of messages.
    pub fn push(&mut self, rate: Rate, scope: Arc<dyn Scope>) {
        self.links.push(Link { rate, scope });
    }

    /// Adds the buckets of `more`.
    pub fn append(&mut self, more: Self) {
        self.links.extend(more.links);
    }

    /// Adds a bucket of bytes. Its burst is at least what is earned in 20 ms: nobody looks at it more often.
    pub fn push_bytes(&mut self, mut rate: Rate, scope: Arc<dyn Scope>) {
        rate.burst = rate.burst.max(rate.per_second * LEAST_BURST.as_secs_f64()).max(1.0);
        self.push(rate, scope);
    }

    /// Takes `count` tokens from every bucket, or none from any and says how long until it is worth to ask again.
    ///
    /// # Errors
    /// The time to wait; [`Duration::MAX`] when there will never be as many.
    pub fn take(&self, now: Duration, count: u32) -> Result<(), Duration> {
        for (place, link) in self.links.iter().enumerate() {
            if let Err(wait) = link.scope.take(link.rate, now, count) {
                for taken in &self.links[..place] {
                    taken.scope.give_back(taken.rate, count);
                }
                return Err(wait);
            }
        }
        Ok(())
    }

    /// How many bytes may be read at `now`; `u64::MAX` without a limit. What is read is to be [`Rates::charge`]d.
    ///
    /// # Errors
    /// There are none worth a read: how long until there are.
    pub fn allowance(&self, now: Duration) -> Result<u64, Duration> {
        let (mut least, mut wait) = (f64::INFINITY, None);
        for Link { rate, scope } in &self.links {
            let level = scope.level(*rate, now);
            let worth = (rate.per_second * WORTH.as_secs_f64()).clamp(1.0, rate.burst);
            if level < worth {
                let until = Duration::try_from_secs_f64((worth - level) / rate.per_second);
                wait = wait.max(Some(until.unwrap_or(Duration::MAX).max(PAUSE)));
            }
            least = least.min(level);
        }
        match wait {
            Some(wait) => Err(wait),
            None if self.links.is_empty() => Ok(u64::MAX),
            None => Ok(least as u64),
        }
    }

    /// Takes `bytes` tokens from every bucket, whether they are there or not.
    pub fn charge(&self, now: Duration, bytes: u64) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.links.iter().for_each(|link| link.scope.charge(link.rate, now, bytes));
    }
}
