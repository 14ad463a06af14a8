//! At random, by weight.

use super::Candidate;

/// Names one candidate, each as likely as its weight says.
pub fn pick(candidates: &[Candidate], dice: u64) -> Option<usize> {
    pick_but(candidates, None, (dice >> 32) as u32)
}

/// As [`pick`], with half the dice and without the candidate `but`.
pub(super) fn pick_but(candidates: &[Candidate], but: Option<usize>, dice: u32) -> Option<usize> {
    let usable = || candidates.iter().enumerate().filter(|(index, _)| Some(*index) != but);
    let sum: u64 = usable().map(|(_, candidate)| u64::from(candidate.weight)).sum();
    // The place that the dice show on the line of all weights: below the sum, as the dice are below 2^32.
    let mut place = ((u128::from(dice) * u128::from(sum)) >> 32) as u64;
    let here = |(_, candidate): &(usize, &Candidate)| {
        let weight = u64::from(candidate.weight);
        let is_here = place < weight;
        place = place.saturating_sub(weight);
        is_here
    };
    usable().find(here).map(|(index, _)| index)
}
