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
    /// For each slot of the round, how many earlier ones are of the same endpoint.
    nth: Box<[u16]>,
    /// The weights that the round is made for.
    weights: Box<[u16]>,
    /// How many slots of the round each endpoint has.
    turns: Box<[u16]>,
    /// The next slot of the endless sequence of rounds.
    turn: AtomicU64,
}

/// The most steps spent on working out one round: 4,096 endpoints of one weight step, or 256 endpoints of
/// weights up to 256 (256 × 256 slots × 256 endpoints = 2^24), about 30 ms.
const STEPS: u64 = 1 << 24;

/// What a share of an endpoint's turns is counted in.
const PARTS: u64 = 1 << 16;

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
        let round = round_of(&reduce(weights));
        let (nth, turns) = places_of(&round, weights.len());
        Self { round, nth, weights: weights.into(), turns, turn: AtomicU64::new(0) }
    }

    /// Takes the next turn of an endpoint that has a share now, and returns its index.
    ///
    /// `weight` is what each weighs at the moment, in 1/256; 0 = not usable. The turns of unusable endpoints are
    /// passed over without being given to their successors, so that the others keep the proportions of their
    /// weights; of one that weighs less than the round was made for, some turns are passed over, evenly spread.
    /// `None` when nobody is usable.
    pub fn pick(&self, weight: impl Fn(usize) -> u32) -> Option<usize> {
        if self.round.is_empty() {
            return None;
        }
        // Only the proportions count: whoever has most of what it was made for takes all of its turns, and so a
        // walk ends within one round.
        let most = (0..self.weights.len()).map(|index| self.portion(index, &weight)).max()?;
        if most == 0 {
            return None;
        }
        let takes = |turn: u64| {
            let index = self.slot(turn);
            let portion = u128::from(self.portion(index, &weight)) * u128::from(PARTS) / u128::from(most);
            has_turn(self.earlier(turn), portion as u64).then_some(index)
        };
        if let Some(index) = takes(self.turn.fetch_add(1, Ordering::Relaxed)) {
            return Some(index);
        }
        let mut found = None;
        let walk = |turn: u64| {
            found = (turn..turn + self.round.len() as u64).find_map(|turn| Some((turn, takes(turn)?)));
            found.map(|(turn, _)| turn + 1)
        };
        self.turn.fetch_update(Ordering::Relaxed, Ordering::Relaxed, walk).ok()?;
        found.map(|(_, index)| index)
    }

    /// What an endpoint weighs of what the round was made for, in 1/65,536; more than 1 is possible.
    fn portion(&self, index: usize, weight: &impl Fn(usize) -> u32) -> u64 {
        let made_for = self.weights.get(index).copied().map_or(0, u64::from);
        let share = (u64::from(weight(index)) * (PARTS / 256)).checked_div(made_for).unwrap_or(0);
        // However little it weighs, it has a turn at times.
        if weight(index) > 0 && made_for > 0 { share.max(1) } else { 0 }
    }

    /// How many turns the endpoint of this turn had before.
    fn earlier(&self, turn: u64) -> u64 {
        let length = (self.round.len() as u64).max(1);
        let (round, at) = (turn / length, (turn % length) as usize);
        let own = self.nth.get(at).copied().map_or(0, u64::from);
        let each = self.round.get(at).and_then(|index| self.turns.get(usize::from(*index)));
        round.wrapping_mul(each.copied().map_or(0, u64::from)).wrapping_add(own)
    }

    /// The endpoint that has this turn. Only called when the round is not empty.
    fn slot(&self, turn: u64) -> usize {
        let at = turn % (self.round.len() as u64).max(1);
        self.round.get(at as usize).copied().map_or(0, usize::from)
    }
}

/// Does an endpoint take a turn, when it takes `portion` of [`PARTS`] of them and had `earlier` ones? Evenly spread,
/// as a line is drawn on a screen.
fn has_turn(earlier: u64, portion: u64) -> bool {
    let at = earlier % PARTS;
    (at + 1) * portion / PARTS > at * portion / PARTS
}

/// For each slot how many earlier ones are of the same endpoint, and for each endpoint how many slots it has.
fn places_of(round: &[u16], endpoints: usize) -> (Box<[u16]>, Box<[u16]>) {
    let mut turns = vec![0_u16; endpoints];
    let mut place = |index: &u16| {
        let turns = turns.get_mut(usize::from(*index))?;
        *turns = turns.saturating_add(1);
        Some(*turns - 1)
    };
    let nth = round.iter().map(|index| place(index).unwrap_or(0)).collect();
    (nth, turns.into())
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
