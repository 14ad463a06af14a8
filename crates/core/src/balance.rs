//! Which endpoint a session gets: one file per policy.
//!
//! A policy sees one [`Candidate`] for each endpoint and names one of them; which of them may be used at all, and
//! the claim on the one that is named, are [`upstream`](crate::upstream)'s. Chance comes in with [`Draw`].

use std::time::Duration;

use crate::config::Balance;
use crate::endpoint::Endpoint;

pub mod hash;
pub mod least_response_time;
pub mod least_sessions;
pub mod random;
pub mod round_robin;
pub mod sip;

#[cfg(test)]
mod tests;

/// What a policy knows of one endpoint at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// Its share compared with the others', in 1/256 of a weight of one; at most 65,536. 0: it must not be picked.
    pub weight: u32,
    /// Sessions it has.
    pub sessions: u32,
    /// How long it takes to answer; `None` = nobody knows yet.
    pub response: Option<Duration>,
}

/// What is known of the session that asks, and what was drawn for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draw {
    /// Evenly distributed, drawn anew for each pick.
    pub dice: u64,
    /// Stands for the client: see [`sip::hash`].
    pub client: u64,
}

/// How the next endpoint is picked, with what the policy keeps. Share it between workers by reference.
#[derive(Debug)]
pub enum Policy {
    /// Everyone in turn, as often as its weight says.
    RoundRobin(round_robin::RoundRobin),
    /// The one with the fewest sessions for its weight.
    LeastSessions(least_sessions::LeastSessions),
    /// Of two at random, the one that answers sooner for the sessions it has.
    LeastResponseTime,
    /// The same client, the same endpoint.
    Hash(hash::Ring),
    /// At random, by weight.
    Random,
}

impl Policy {
    /// The policy that goes by a word of the configuration, for endpoints of these weights.
    #[must_use]
    pub fn new(balance: Balance, endpoints: &[(&Endpoint, u16)]) -> Self {
        let weights = || endpoints.iter().map(|(_, weight)| *weight).collect::<Vec<_>>();
        match balance {
            Balance::RoundRobin => Self::RoundRobin(round_robin::RoundRobin::new(&weights())),
            Balance::LeastSessions => Self::LeastSessions(least_sessions::LeastSessions::default()),
            Balance::LeastResponseTime => Self::LeastResponseTime,
            Balance::Hash(_) => Self::Hash(hash::Ring::new(endpoints)),
            Balance::Random => Self::Random,
        }
    }

    /// Names one of the candidates, by its index. `None`: none has a weight.
    pub fn pick(&self, candidates: &[Candidate], draw: &Draw) -> Option<usize> {
        match self {
            Self::RoundRobin(turns) => {
                turns.pick(|index| candidates.get(index).map_or(0, |candidate| candidate.weight))
            }
            Self::LeastSessions(turns) => turns.pick(candidates),
            Self::LeastResponseTime => least_response_time::pick(candidates, draw.dice),
            Self::Hash(ring) => ring.pick(candidates, draw.client),
            Self::Random => random::pick(candidates, draw.dice),
        }
    }

    /// Must what it picked still have the sessions it was picked for when it is claimed? Without that, two
    /// workers would give both their sessions to the same least one.
    #[must_use]
    pub fn is_exact_about_sessions(&self) -> bool {
        matches!(self, Self::LeastSessions(_))
    }
}
