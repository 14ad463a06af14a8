//! Smooth weighted round robin, exact over any number of workers.
//!
//! The order of one whole round is worked out once; a single counter then says whose turn it is. Two
//! workers can never take the same turn, so nine sessions on three equal endpoints are three each.

use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(test)]
mod tests;

/// Whose turn it is among the endpoints of one upstream. Share it between workers by reference.
#[derive(Debug)]
pub struct RoundRobin {
    /// One round: indices of endpoints, each as often as its (reduced) weight says.
    round: Box<[u16]>,
    /// How many endpoints there are.
    endpoints: usize,
    /// The next slot of the endless sequence of rounds.
    turn: AtomicU64,
}

/// The most steps spent on working out one round: 4,096 endpoints of one weight step, or 256 endpoints of
/// weights up to 256 (256 × 256 slots × 256 endpoints = 2^24), about 30 ms.
const STEPS: u64 = 1 << 24;

impl RoundRobin {
    /// The most endpoints that take part; further ones are never picked.
    pub const MAX_ENDPOINTS: usize = u16::MAX as usize;

    /// Makes the order for endpoints with these weights; an endpoint of weight 0 is never picked.
    ///
    /// Weights are divided by their greatest common divisor. Where a round would still take too long to work
    /// out (far more than 256 endpoints of very different weights), they are scaled down, none below 1.
    #[must_use]
    pub fn new(weights: &[u16]) -> Self {
        let weights = &weights[..weights.len().min(Self::MAX_ENDPOINTS)];
        Self { round: round_of(&reduce(weights)), endpoints: weights.len(), turn: AtomicU64::new(0) }
    }

    /// Takes the next turn of an endpoint that is `usable`, and returns its index.
    ///
    /// The turns of unusable endpoints are passed over without being given to their successors, so that the
    /// others keep the proportions of their weights. `None` when nobody is usable.
    pub fn pick(&self, usable: impl Fn(usize) -> bool) -> Option<usize> {
        if self.round.is_empty() {
            return None;
        }
        let first = self.slot(self.turn.fetch_add(1, Ordering::Relaxed));
        if usable(first) {
            return Some(first);
        }
        // Walking a round of many slots is only worth it when there is somebody to find.
        if !(0..self.endpoints).any(&usable) {
            return None;
        }
        let mut found = None;
        let walk = |turn: u64| {
            found = (turn..turn + self.round.len() as u64).find(|&turn| usable(self.slot(turn)));
            found.map(|turn| turn + 1)
        };
        self.turn.fetch_update(Ordering::Relaxed, Ordering::Relaxed, walk).ok()?;
        found.map(|turn| self.slot(turn))
    }

    /// The endpoint that has this turn. Only called when the round is not empty.
    fn slot(&self, turn: u64) -> usize {
        let at = turn % (self.round.len() as u64).max(1);
        self.round.get(at as usize).copied().map_or(0, usize::from)
    }
}

/// Divides weights by their greatest common divisor, and scales them down if a round would be too long.
fn reduce(weights: &[u16]) -> Vec<u64> {
    let divisor = weights.iter().fold(0, |a, &b| gcd(a, u64::from(b))).max(1);
    let mut weights: Vec<u64> = weights.iter().map(|&w| u64::from(w) / divisor).collect();
    let endpoints = weights.len() as u64;
    while weights.iter().sum::<u64>() * endpoints > STEPS && weights.iter().any(|&w| w > 1) {
        for weight in &mut weights {
            *weight = weight.div_ceil(2);
        }
    }
    weights
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Works out one round: each step every endpoint gains its weight, the one with most is picked (the first
/// of equals) and pays the sum of all weights.
fn round_of(weights: &[u64]) -> Box<[u16]> {
    // Equal weights take turns as they stand; working that out would be quadratic in the endpoints.
    if weights.iter().all(|&w| w == 1) {
        return (0..weights.len()).map(|index| index as u16).collect();
    }
    let total = weights.iter().sum::<u64>().cast_signed();
    let mut credit = vec![0_i64; weights.len()];
    let step = |_| {
        let mut best: Option<(u16, i64)> = None;
        for (index, (credit, weight)) in (0_u16..).zip(credit.iter_mut().zip(weights)) {
            *credit += weight.cast_signed();
            if *weight > 0 && best.is_none_or(|(_, most)| *credit > most) {
                best = Some((index, *credit));
            }
        }
        let (index, _) = best?;
        *credit.get_mut(usize::from(index))? -= total;
        Some(index)
    };
    (0..total).filter_map(step).collect()
}
