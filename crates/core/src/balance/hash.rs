//! The same client, the same endpoint: consistent hashing with bounded loads.
//!
//! Every endpoint has points on a ring, more of them the more it weighs; a client goes to the first point behind
//! its own place whose endpoint has not more than 5/4 of its share of the sessions (Mirrokni, Thorup and
//! Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016, c = 1.25). An endpoint that goes or comes moves
//! about its own share of the clients. Points and places depend on nothing but addresses, weights and the client:
//! nodes with the same configuration agree without a word.

use super::{Candidate, sip};
use crate::endpoint::Endpoint;

/// Points of an endpoint of mean weight: the shares of equals are then within about a tenth of each other.
const POINTS: usize = 128;
/// The most points of all: 2 MiB, and some ten milliseconds to make.
const MOST_POINTS: usize = 1 << 17;
/// So many sessions are no load, whatever the others have: where nearly nobody is, a client's second session
/// belongs where its first one is.
const NO_LOAD: u64 = 8;

/// Where the endpoints of an upstream are on the ring.
#[derive(Debug)]
pub struct Ring {
    /// A place and whose it is, in the order of places.
    points: Box<[(u64, u16)]>,
}

impl Ring {
    /// Makes the points of endpoints with these weights; those beyond the 65,535th have none.
    #[must_use]
    pub fn new(endpoints: &[(&Endpoint, u16)]) -> Self {
        let count = endpoints.len().max(1);
        let sum: usize = endpoints.iter().map(|(_, weight)| usize::from(*weight)).sum();
        let each = POINTS.min(MOST_POINTS / count).max(1);
        let mut points = Vec::new();
        for (index, (endpoint, weight)) in (0..u16::MAX).zip(endpoints) {
            let own = (usize::from(*weight) * count * each).checked_div(sum).unwrap_or(0).max(1);
            let mut name = endpoint.to_string().into_bytes();
            let length = name.len();
            for point in 0..own as u64 {
                name.truncate(length);
                name.extend_from_slice(&point.to_le_bytes());
                points.push((sip::hash(&name), index));
            }
        }
        points.sort_unstable();
        Self { points: points.into() }
    }

    /// Names the endpoint of a client's place.
    pub fn pick(&self, candidates: &[Candidate], client: u64) -> Option<usize> {
        let usable = || candidates.iter().filter(|candidate| candidate.weight > 0);
        let sessions: u64 = usable().map(|candidate| u64::from(candidate.sessions)).sum();
        let weights: u64 = usable().map(|candidate| u64::from(candidate.weight)).sum();
        let has_room = |candidate: &Candidate| {
            // ⌈5/4 × (all sessions, this one included) × weight ÷ all weights⌉
            let share = u128::from(sessions + 1) * 5 * u128::from(candidate.weight);
            let most = share.div_ceil(4 * u128::from(weights.max(1)));
            candidate.weight > 0 && u128::from(candidate.sessions) < most.max(u128::from(NO_LOAD))
        };
        let start = self.points.partition_point(|(place, _)| *place < client);
        let (before, from) = self.points.split_at(start);
        let found = from.iter().chain(before).map(|(_, index)| usize::from(*index));
        // All shares together are more than all sessions, so somebody has room if anybody may be used.
        found.into_iter().find(|index| candidates.get(*index).is_some_and(has_room))
    }
}
