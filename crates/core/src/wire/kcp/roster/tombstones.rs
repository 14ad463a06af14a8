//! Sessions that ended not long ago.

use std::collections::{HashMap, VecDeque};

use super::Address;
use crate::wheel::Tick;

type Name = (Address, u32);

/// Which (address, conv) ended and until when that matters; the oldest is forgotten when there are too many.
#[derive(Debug)]
pub(super) struct Tombstones {
    max: usize,
    until: HashMap<Name, Tick>,
    /// The same names, each once, oldest first.
    order: VecDeque<Name>,
}

impl Tombstones {
    pub(super) fn new(max: usize) -> Self {
        Self { max, until: HashMap::new(), order: VecDeque::new() }
    }

    pub(super) fn has(&self, now: Tick, name: &Name) -> bool {
        self.until.get(name).is_some_and(|until| now < *until)
    }

    /// Remembers `name` until `until`. Laid again, it keeps its place in the order of forgetting.
    pub(super) fn lay(&mut self, now: Tick, name: Name, until: Tick) {
        while self.order.front().is_some_and(|oldest| !self.has(now, oldest)) {
            self.forget_oldest();
        }
        if self.max == 0 {
            return;
        }
        if !self.until.contains_key(&name) {
            if self.order.len() >= self.max {
                self.forget_oldest();
            }
            self.order.push_back(name);
        }
        self.until.insert(name, until);
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
