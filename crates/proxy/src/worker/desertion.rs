//! Closing the sessions of an endpoint that is down, at a pace: all at once, they would all come back at once.

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::outcome::Reason;
use portcullis_core::upstream::EndpointState;
use portcullis_core::wheel::Tick;

use super::Worker;

/// They are closed over this time, in even steps.
const WITHIN: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(100);

/// Sessions that are to leave an endpoint.
#[derive(Debug)]
pub(super) struct Desertion {
    endpoint: Arc<EndpointState>,
    /// Those that were there when it was found down; who has gone since is missed.
    tokens: Vec<u64>,
    /// So many in one step.
    each: usize,
    next: Tick,
}

impl Worker {
    /// Begins to close this worker's sessions of an endpoint; while that goes on, nothing more has to be begun.
    pub(super) fn desert(&mut self, endpoint: Arc<EndpointState>) {
        if self.deserting.iter().any(|known| Arc::ptr_eq(&known.endpoint, &endpoint)) {
            return;
        }
        let going_on: Vec<u64> = self.tenants.going_on().collect();
        let mut is_there =
            |token: &u64| self.tenants.find(*token).is_some_and(|tenant| tenant.session.is_at(&endpoint));
        let tokens: Vec<u64> = going_on.into_iter().filter(&mut is_there).collect();
        if !tokens.is_empty() {
            let steps = (WITHIN.as_millis() / STEP.as_millis()).max(1);
            let each = tokens.len().div_ceil(usize::try_from(steps).unwrap_or(1));
            self.deserting.push(Desertion { endpoint, tokens, each, next: self.io.now });
        }
    }

    /// When the next are to be closed.
    pub(super) fn next_desertion(&self) -> Tick {
        self.deserting.iter().map(|one| one.next).min().unwrap_or(Tick::NEVER)
    }

    /// Closes those whose turn it is. Whoever is left when the endpoint is up again may stay.
    pub(super) fn close_deserters(&mut self) {
        let now = self.io.now;
        self.deserting.retain(|one| !one.tokens.is_empty() && !one.endpoint.fitness.is_up(now));
        let mut leaving = Vec::new();
        for one in self.deserting.iter_mut().filter(|one| one.next <= now) {
            one.next = now.after(STEP);
            let kept = one.tokens.len().saturating_sub(one.each);
            leaving.extend(
                one.tokens.split_off(kept).into_iter().map(|token| (token, Arc::clone(&one.endpoint))),
            );
        }
        for (token, endpoint) in leaving {
            // It may have gone elsewhere since.
            if self.tenants.find(token).is_some_and(|tenant| tenant.session.is_at(&endpoint)) {
                self.end(token, Reason::EndpointDown);
            }
        }
    }
}
