//! Sessions that ended not long ago.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use super::Address;
use crate::wheel::Tick;

/// Which (address, conv) ended and until when that matters; the oldest is forgotten when there are too many.
///
/// Names are kept as hashes under a secret key, a third of their size: with 16,384 of them, one stranger in
/// 10¹⁵ is taken for somebody who ended, and nobody can choose to be.
#[derive(Debug)]
pub(super) struct Tombstones {
    max: usize,
    key: RandomState,
    until: HashMap<u64, Tick>,
    /// The same names, each once, oldest first.
    order: VecDeque<u64>,
}

impl Tombstones {
    pub(super) fn new(max: usize) -> Self {
        Self { max, key: RandomState::new(), until: HashMap::new(), order: VecDeque::new() }
    }

    pub(super) fn has(&self, now: Tick, address: Address, conv: u32) -> bool {
        !self.until.is_empty() && self.is_current(now, self.name(address, conv))
    }

    /// Remembers the name until `until`. Laid again, it keeps its place in the order of forgetting.
    pub(super) fn lay(&mut self, now: Tick, (address, conv): (Address, u32), until: Tick) {
        while self.order.front().is_some_and(|oldest| !self.is_current(now, *oldest)) {
            self.forget_oldest();
        }
        if self.max == 0 {
            return;
        }
        let name = self.name(address, conv);
        if !self.until.contains_key(&name) {
            if self.order.len() >= self.max {
                self.forget_oldest();
            }
            self.order.push_back(name);
        }
        self.until.insert(name, until);
    }

    fn name(&self, address: Address, conv: u32) -> u64 {
        self.key.hash_one((address, conv))
    }

    fn is_current(&self, now: Tick, name: u64) -> bool {
        self.until.get(&name).is_some_and(|until| now < *until)
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.order.pop_front() {
            self.until.remove(&oldest);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.until.len(), self.order.len());
        self.order.len()
    }
}
