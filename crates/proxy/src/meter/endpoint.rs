//! What is counted of endpoints.

use std::time::Duration;

use portcullis_core::endpoint::Endpoint;
use portcullis_core::health::Counted;
use portcullis_core::name::UpstreamName;
use portcullis_core::snapshot::Snapshot;
use portcullis_core::wheel::Tick;

/// What is known and counted of one endpoint.
#[derive(Clone, Debug)]
pub struct EndpointCounts {
    /// Its upstream.
    pub upstream: UpstreamName,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Is it neither down, nor stopped by its agent, nor left alone?
    pub is_up: bool,
    /// Sessions that hold a lease on it.
    pub sessions: u32,
    /// Probes and ejections so far.
    pub counted: Counted,
    /// How long it takes to answer: a mean that rises at once and falls slowly. `None`: nothing was measured.
    pub response: Option<Duration>,
}

/// Of every endpoint of a snapshot, by upstream in order of name, as configured.
pub(crate) fn of_snapshot(snapshot: &Snapshot, now: Tick) -> Vec<EndpointCounts> {
    let mut counts = Vec::new();
    for upstream in snapshot.upstreams() {
        counts.extend(upstream.endpoints().map(|endpoint| EndpointCounts {
            upstream: upstream.settings.name.clone(),
            endpoint: endpoint.address.clone(),
            is_up: endpoint.fitness.is_up(now),
            sessions: endpoint.sessions(),
            counted: endpoint.fitness.counted(),
            response: endpoint.fitness.response(),
        }));
    }
    counts
}
