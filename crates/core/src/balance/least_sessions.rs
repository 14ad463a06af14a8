//! The endpoint with the fewest sessions for its weight.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Candidate;

/// Where the search for the least one begins, so that equals take turns.
#[derive(Debug, Default)]
pub struct LeastSessions {
    next: AtomicUsize,
}

impl LeastSessions {
    /// Names the one that would have the fewest sessions for its weight, this one included.
    ///
    /// Of equals it is the first behind the last one named. Looks at each candidate once.
    pub fn pick(&self, candidates: &[Candidate]) -> Option<usize> {
        let start = self.next.load(Ordering::Relaxed).checked_rem(candidates.len())?;
        let (before, from) = candidates.split_at(start);
        let in_turn = (start..).zip(from).chain((0..).zip(before));
        let usable = in_turn.filter(|(_, candidate)| candidate.weight > 0);
        let (index, _) = usable.reduce(|best, next| if is_less(next.1, best.1) { next } else { best })?;
        self.next.store(index + 1, Ordering::Relaxed);
        Some(index)
    }
}

/// Would `a` have fewer sessions for its weight than `b`?
fn is_less(a: &Candidate, b: &Candidate) -> bool {
    let load = |of: &Candidate, other: &Candidate| (u64::from(of.sessions) + 1) * u64::from(other.weight);
    load(a, b) < load(b, a)
}
