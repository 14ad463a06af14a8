//! Of two endpoints at random, the one that answers sooner for the sessions it has.
//!
//! The load of an endpoint is its response time (a peak EWMA, which rises at once and falls slowly) times the
//! sessions it would have, for its weight: the rule of Finagle's and Linkerd's P2C with peak EWMA. Two random
//! choices are nearly as good as looking at all, and do not send everybody to the same best one (Mitzenmacher,
//! "The Power of Two Choices in Randomized Load Balancing", 1996).

use std::time::Duration;

use super::{Candidate, random};

/// What an endpoint counts for that has sessions and never answered. One that has none is tried at once.
const UNANSWERED: Duration = Duration::from_secs(60);

/// Names the less loaded of two candidates that the dice show.
pub fn pick(candidates: &[Candidate], dice: u64) -> Option<usize> {
    let one = random::pick_but(candidates, None, (dice >> 32) as u32)?;
    let Some(other) = random::pick_but(candidates, Some(one), dice as u32) else { return Some(one) };
    let (a, b) = (candidates.get(one)?, candidates.get(other)?);
    // Divided by the weights, without dividing.
    let is_less = load(b) * u128::from(a.weight) < load(a) * u128::from(b.weight);
    Some(if is_less { other } else { one })
}

/// Nanoseconds × sessions: below 2^64 × 2^33, so that a weight of 2^17 still fits.
fn load(candidate: &Candidate) -> u128 {
    let response = match candidate.response {
        // At least one, or an endpoint that is as fast as the clock is fine would have no load at all.
        Some(response) => u64::try_from(response.as_nanos()).unwrap_or(u64::MAX).max(1),
        None if candidate.sessions == 0 => 1,
        None => UNANSWERED.as_nanos() as u64,
    };
    u128::from(response) * (u128::from(candidate.sessions) + 1)
}
