//! Sessions by client network or by device: how many there are, and how fast they come. Bounded in memory.
//!
//! A key without a session is remembered only for its bucket, and of those only so many; the one that has been
//! without for longest is forgotten first. One with a session is never forgotten: they are as many as sessions at
//! most.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bucket::{Bucket, ClientNet, Rate};

#[cfg(test)]
mod tests;

/// The most keys without a session that are remembered: about 10 MiB when full.
pub const MAX: usize = 65_536;

/// Parts of the table with a lock of their own, so that workers seldom meet at one.
const PARTS: usize = 64;

/// What one key may use. `None` = no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Terms {
    /// Sessions at a time.
    pub sessions: Option<u32>,
    /// New sessions over time.
    pub rate: Option<Rate>,
}

/// Which of its terms a key has used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// It has as many sessions as it may.
    Sessions,
    /// Its sessions come too fast.
    Rate,
}

/// Sessions by client network.
pub type Clients = Keyed<ClientNet>;

/// The table. Shared by all workers; asked once per session and told once of its end.
#[derive(Debug)]
pub struct Keyed<K: Clone + Eq + Hash> {
    parts: Box<[Mutex<Part<K>>]>,
    hasher: RandomState,
}

/// A session's place in the table.
#[derive(Debug)]
#[must_use = "the session is counted only while this lives"]
pub struct Held<K: Clone + Eq + Hash> {
    table: Arc<Keyed<K>>,
    key: K,
}

#[derive(Debug)]
struct Part<K> {
    cells: HashMap<K, Cell>,
    /// Those without a session, the one that has been so for longest first.
    idle: BTreeMap<u64, K>,
    touches: u64,
    most_idle: usize,
}

#[derive(Debug)]
struct Cell {
    live: u32,
    bucket: Option<Bucket>,
    /// Its place among the idle; of no meaning while it has sessions.
    touched: u64,
}

impl<K: Clone + Eq + Hash> Default for Keyed<K> {
    fn default() -> Self {
        Self::new(MAX)
    }
}

impl<K: Clone + Eq + Hash> Keyed<K> {
    /// An empty table that remembers at most about `most_idle` keys without a session.
    #[must_use]
    pub fn new(most_idle: usize) -> Self {
        let most_idle = (most_idle / PARTS).max(1);
        let part = || Part { cells: HashMap::new(), idle: BTreeMap::new(), touches: 0, most_idle };
        Self { parts: (0..PARTS).map(|_| Mutex::new(part())).collect(), hasher: RandomState::new() }
    }

    /// Counts a session of `key`, if its terms leave room for one.
    ///
    /// # Errors
    /// What it has used up. A session that is refused for their number takes no token.
    pub fn enter(self: &Arc<Self>, key: K, terms: Terms, now: Duration) -> Result<Held<K>, Excess> {
        self.part(&key).enter(&key, terms, now)?;
        Ok(Held { table: Arc::clone(self), key })
    }

    /// How many sessions `key` has.
    #[must_use]
    pub fn live(&self, key: &K) -> u32 {
        self.part(key).cells.get(key).map_or(0, |cell| cell.live)
    }

    /// How many keys are remembered, those with sessions included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| lock(part).cells.len()).sum()
    }

    /// Is nobody remembered?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn part(&self, key: &K) -> MutexGuard<'_, Part<K>> {
        let place = self.hasher.hash_one(key) as usize % self.parts.len();
        lock(&self.parts[place])
    }
}

impl<K: Clone + Eq + Hash> Drop for Held<K> {
    fn drop(&mut self) {
        self.table.part(&self.key).leave(&self.key);
    }
}

impl<K: Clone + Eq + Hash> Part<K> {
    fn enter(&mut self, key: &K, terms: Terms, now: Duration) -> Result<(), Excess> {
        let known = self.cells.get(key);
        let (live, mut bucket) = known.map_or((0, None), |cell| (cell.live, cell.bucket));
        let idle = known.filter(|cell| cell.live == 0).map(|cell| cell.touched);
        if terms.sessions.is_some_and(|most| live >= most) {
            return Err(Excess::Sessions);
        }
        if let Some(rate) = terms.rate {
            let bucket = bucket.get_or_insert_with(|| Bucket::full(rate, now));
            // Its debt is on record already; asking in vain leaves it where it is in the order.
            bucket.take(rate, now, 1).map_err(|_| Excess::Rate)?;
        }
        if let Some(touched) = idle {
            self.idle.remove(&touched);
        }
        self.cells.insert(key.clone(), Cell { live: live.saturating_add(1), bucket, touched: 0 });
        Ok(())
    }

    fn leave(&mut self, key: &K) {
        let Some(cell) = self.cells.get_mut(key) else { return };
        cell.live = cell.live.saturating_sub(1);
        if cell.live > 0 {
            return;
        }
        if cell.bucket.is_none() {
            self.cells.remove(key);
            return;
        }
        self.touches += 1;
        cell.touched = self.touches;
        self.idle.insert(self.touches, key.clone());
        if self.idle.len() > self.most_idle
            && let Some((_, oldest)) = self.idle.pop_first()
        {
            self.cells.remove(&oldest);
        }
    }
}

/// A panic elsewhere cannot leave a part half changed that matters: at worst one key is forgotten.
fn lock<K>(part: &Mutex<Part<K>>) -> MutexGuard<'_, Part<K>> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}
