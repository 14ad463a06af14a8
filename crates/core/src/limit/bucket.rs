//! Token buckets: one, and a bounded table of them by client network.
//!
//! Time is a [`Duration`] since any fixed moment of a monotonic clock. Refill is fractional: however close
//! together the questions come, every nanosecond earns its part of a token.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::RateLimit;

#[cfg(test)]
mod tests;

/// How fast a bucket fills and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens a second.
    pub(super) per_second: f64,
    /// The most tokens a bucket holds; it starts full.
    pub(super) burst: f64,
}

impl From<RateLimit> for Rate {
    fn from(limit: RateLimit) -> Self {
        Self { per_second: limit.rate.per_second(), burst: f64::from(limit.burst.max(1)) }
    }
}

impl Rate {
    /// `tokens` in each `period`, and at most `burst` at once. A period of zero counts as one nanosecond.
    #[must_use]
    pub fn new(tokens: u32, period: Duration, burst: u32) -> Self {
        let period = period.max(Duration::from_nanos(1));
        Self { per_second: f64::from(tokens) / period.as_secs_f64(), burst: f64::from(burst) }
    }

    /// `tokens` a minute, all of them at once if they were saved up.
    #[must_use]
    pub fn per_minute(tokens: u32) -> Self {
        Self::new(tokens, Duration::from_secs(60), tokens)
    }
}

/// One token bucket. Holds no rate of its own, so that a reload can change it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    tokens: f64,
    at: Duration,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn full(rate: Rate, now: Duration) -> Self {
        Self { tokens: rate.burst, at: now }
    }

    /// The tokens it has at `now`; a `now` before the last one earns nothing.
    #[must_use]
    pub fn level(&self, rate: Rate, now: Duration) -> f64 {
        let earned = now.saturating_sub(self.at).as_secs_f64() * rate.per_second;
        (self.tokens + earned).min(rate.burst)
    }

    /// Takes `count` tokens, or none and says how long until there are as many.
    ///
    /// # Errors
    /// The time to wait; [`Duration::MAX`] when there will never be as many.
    pub fn take(&mut self, rate: Rate, now: Duration, count: u32) -> Result<(), Duration> {
        let (count, level) = (f64::from(count), self.level(rate, now));
        self.tokens = level;
        self.at = self.at.max(now);
        if level + ROUNDING >= count {
            self.tokens = (level - count).max(0.0);
            return Ok(());
        }
        if count > rate.burst || rate.per_second == 0.0 {
            return Err(Duration::MAX);
        }
        Err(Duration::try_from_secs_f64((count - level) / rate.per_second).unwrap_or(Duration::MAX))
    }
}

impl Bucket {
    /// Takes `count` tokens whether they are there or not. The debt is at most one burst.
    pub fn charge(&mut self, rate: Rate, now: Duration, count: u32) {
        self.tokens = (self.level(rate, now) - f64::from(count)).max(-rate.burst);
        self.at = self.at.max(now);
    }
}

/// What a sum of fractions may lack of a whole token: a nanosecond's worth at a thousand tokens a second.
pub(super) const ROUNDING: f64 = 1e-6;

/// Buckets by key, bounded in memory: when there are too many, the one untouched for longest is forgotten.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: Rate,
    max: usize,
    /// Each key's bucket and when (in touches) it was last touched.
    cells: HashMap<K, (u64, Bucket)>,
    /// The same keys, oldest touch first.
    order: BTreeMap<u64, K>,
    touches: u64,
}

impl<K: Clone + Eq + Hash> Buckets<K> {
    /// An empty table of at most `max` buckets.
    #[must_use]
    pub fn new(rate: Rate, max: usize) -> Self {
        Self { rate, max: max.max(1), cells: HashMap::new(), order: BTreeMap::new(), touches: 0 }
    }

    /// The tokens that `key` has; a key that was never seen has a full bucket and is not remembered for it.
    #[must_use]
    pub fn level(&self, key: &K, now: Duration) -> f64 {
        self.cells.get(key).map_or(self.rate.burst, |(_, bucket)| bucket.level(self.rate, now))
    }

    /// Takes `count` tokens from the bucket of `key`.
    ///
    /// # Errors
    /// As [`Bucket::take`].
    pub fn take(&mut self, key: &K, now: Duration, count: u32) -> Result<(), Duration> {
        self.touch(key, now, |bucket, rate| bucket.take(rate, now, count))
    }

    /// Takes `count` tokens from the bucket of `key`, as [`Bucket::charge`] does.
    pub fn charge(&mut self, key: &K, now: Duration, count: u32) {
        self.touch(key, now, |bucket, rate| bucket.charge(rate, now, count));
    }

    fn touch<T>(&mut self, key: &K, now: Duration, change: impl FnOnce(&mut Bucket, Rate) -> T) -> T {
        let (touched, mut bucket) = match self.cells.get(key) {
            Some((touched, bucket)) => (Some(*touched), *bucket),
            None => (None, Bucket::full(self.rate, now)),
        };
        match touched {
            Some(touched) => {
                self.order.remove(&touched);
            }
            None if self.cells.len() >= self.max => self.forget_oldest(),
            None => {}
        }
        let taken = change(&mut bucket, self.rate);
        self.touches += 1;
        self.order.insert(self.touches, key.clone());
        self.cells.insert(key.clone(), (self.touches, bucket));
        taken
    }

    /// Fills every bucket at another rate from its last touch on.
    pub fn pace(&mut self, rate: Rate) {
        self.rate = rate;
    }

    /// How many keys are remembered; never more than the maximum.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Is nobody remembered?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_first() {
            self.cells.remove(&key);
        }
    }
}

/// The part of an address that one client is taken to own: /32, or /56 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientNet(IpAddr);

impl ClientNet {
    /// The network that `ip` counts for. An IPv4 address in IPv6 form counts as IPv4.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits())),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 72 << 72)),
        })
    }
}

/// Failed dials by client network: what a client may cause to fail before its hellos are refused.
///
/// Shared by all workers; asked once per hello and told once per failure.
#[derive(Debug)]
pub struct FailedDials(Mutex<Buckets<ClientNet>>);

impl FailedDials {
    /// The most networks remembered: about 10 MiB when full.
    pub const MAX: usize = 65_536;

    /// `per_minute` failures are free for each client network.
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        Self(Mutex::new(Buckets::new(Rate::per_minute(per_minute), Self::MAX)))
    }

    /// May this client cause another dial?
    #[must_use]
    pub fn allows(&self, client: IpAddr, now: Duration) -> bool {
        self.table().level(&ClientNet::of(client), now) + ROUNDING >= 1.0
    }

    /// Counts one failed dial against this client.
    pub fn failed(&self, client: IpAddr, now: Duration) {
        // Dials that were under way when it ran dry are held against it: a scan at once pays like one in turn.
        self.table().charge(&ClientNet::of(client), now, 1);
    }

    /// A panic elsewhere cannot leave a table half changed that matters: at worst one key is forgotten.
    fn table(&self) -> MutexGuard<'_, Buckets<ClientNet>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
