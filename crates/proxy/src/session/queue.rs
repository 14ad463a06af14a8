//! Taking a lease, waiting for one when every endpoint is full, and giving it back.

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::balance::sip;
use portcullis_core::config::{Balance, HashOn};
use portcullis_core::opening::{DialError, Input};
use portcullis_core::upstream::{Ask, Lease, NoLease, Place, Upstream, Waiter};
use portcullis_core::wheel::Tick;

use super::dial::Plan;
use super::{Phase, Session, Step};
use crate::io::Io;
use crate::{pool, probe};

/// How often a session looks for room though nobody calls it: an operator or a probe may have made some.
const LOOK: Duration = Duration::from_millis(250);

/// What stands for the client where its place decides: its key, or else its address.
pub(super) fn place_of(upstream: &Upstream, key: Option<&str>, client: std::net::IpAddr) -> u64 {
    match (upstream.settings.balance, key) {
        (Balance::Hash(HashOn::Key), Some(key)) => sip::hash(key.as_bytes()),
        (Balance::Hash(_), _) => sip::hash_of_address(client),
        _ => 0,
    }
}

impl Session {
    /// Takes the lease of an attempt. Err: there is none for now, and this comes of it.
    pub(super) fn take_lease(&mut self, io: &mut Io) -> Result<Lease, Step> {
        if let Some(lease) = self.lease.take() {
            return Ok(lease); // it was its turn
        }
        let Some(upstream) = self.aimed_at() else { return Err(self.dial_failed(DialError::NoEndpoint, io)) };
        if !upstream.line().is_empty() {
            return Err(self.stand_in_line(&upstream, Tick::NEVER, io)); // nobody overtakes
        }
        match self.seek(&upstream, io) {
            Ok(lease) => Ok(lease),
            Err(NoLease::NoEndpoint) => Err(self.dial_failed(DialError::NoEndpoint, io)),
            Err(NoLease::Full { again }) => Err(self.stand_in_line(&upstream, again, io)),
        }
    }

    /// Goes on with a connection that was made in advance, if its endpoint has one.
    pub(super) fn take_warm(&mut self, io: &mut Io) -> Option<Step> {
        let upstream = self.aimed_at()?;
        let (leg, address) = pool::take(io, &upstream, self.lease.as_ref()?.endpoint(), self.token | 1)?;
        let Phase::Opening(gate) = &mut self.phase else { return None };
        gate.dialled = Some(io.clock.elapsed());
        self.endpoint = Some(leg);
        self.endpoint_address = Some(address);
        Some(self.feed(Input::EndpointOpen, io))
    }

    fn seek(&self, upstream: &Upstream, io: &mut Io) -> Result<Lease, NoLease> {
        let Phase::Opening(gate) = &self.phase else { return Err(NoLease::NoEndpoint) };
        let Plan::Upstream { tried, client, .. } = &gate.plan else { return Err(NoLease::NoEndpoint) };
        // Without dice everybody throws the same, and the first endpoints are picked more often.
        let mut throw = || u64::from(io.dice.throw().unwrap_or(0));
        let dice = if upstream.wants_dice() { throw() << 32 | throw() } else { 0 };
        upstream.lease(&Ask { now: io.now, dice, client: *client, tried })
    }

    fn aimed_at(&self) -> Option<Arc<Upstream>> {
        let Phase::Opening(gate) = &self.phase else { return None };
        match &gate.plan {
            Plan::Upstream { upstream, .. } => Some(Arc::clone(upstream)),
            Plan::Nothing | Plan::Addresses { .. } => None,
        }
    }

    fn stand_in_line(&mut self, upstream: &Upstream, again: Tick, io: &mut Io) -> Step {
        let queue = upstream.settings.queue;
        let waiter = Waiter { worker: io.worker, token: self.token };
        let Some(place) = upstream.line().join(waiter, queue.size) else {
            return self.dial_failed(DialError::QueueFull, io);
        };
        let is_first = place.is_first();
        if let Phase::Opening(gate) = &mut self.phase {
            gate.place = Some(place);
        }
        let step = self.wait_in_line(upstream, again, io);
        // Somebody may have left before there was anybody to be called.
        if is_first { self.look(io) } else { step }
    }

    fn wait_in_line(&mut self, upstream: &Upstream, again: Tick, io: &mut Io) -> Step {
        let again = again.min(io.next_tick().after(LOOK));
        self.feed(Input::NoRoom { again, timeout: upstream.settings.queue.timeout }, io)
    }

    /// Sees whether it is its turn and an endpoint has room.
    pub(super) fn look(&mut self, io: &mut Io) -> Step {
        let Some(upstream) = self.aimed_at() else { return Step::Wait };
        let place = if let Phase::Opening(gate) = &self.phase { gate.place.as_ref() } else { None };
        let is_first = place.is_some_and(Place::is_first);
        let sought = if is_first { self.seek(&upstream, io) } else { Err(NoLease::NoEndpoint) };
        match sought {
            Ok(lease) => {
                self.lease = Some(lease);
                self.leave_line(io);
                self.feed(Input::Room, io)
            }
            Err(NoLease::Full { again }) => self.wait_in_line(&upstream, again, io),
            // It stays in line: an endpoint may come back within its time.
            Err(NoLease::NoEndpoint) => self.wait_in_line(&upstream, Tick::NEVER, io),
        }
    }

    /// Gives its lease back, or its place in a line: whoever is the first in line is called.
    pub(super) fn give_back(&mut self, io: &Io) {
        if let Some(lease) = self.lease.take() {
            let endpoint = Arc::clone(lease.endpoint());
            drop(lease);
            io.call_first(endpoint.line());
        }
        self.leave_line(io);
    }

    fn leave_line(&mut self, io: &Io) {
        if let Phase::Opening(gate) = &mut self.phase
            && let Some(place) = gate.place.take()
        {
            let line = Arc::clone(place.line());
            drop(place);
            io.call_first(&line);
        }
    }

    /// Tells its endpoint's fitness that the attempt succeeded, or that the endpoint let it fail.
    pub(super) fn judge_endpoint(&self, failed: Option<DialError>, io: &mut Io) {
        let (Phase::Opening(gate), Some(lease)) = (&self.phase, &self.lease) else { return };
        let Plan::Upstream { upstream, .. } = &gate.plan else { return };
        let (endpoint, eject) = (lease.endpoint(), &upstream.settings.eject);
        let all = upstream.endpoints().map(|endpoint| &endpoint.fitness);
        let (change, why) = match failed {
            None => {
                let now = io.clock.elapsed();
                let after = now.saturating_sub(gate.dialled.unwrap_or(now));
                (endpoint.fitness.connected(after, io.now), "a session was opened")
            }
            Some(DialError::Refused) => (endpoint.fitness.failed(io.now, eject, all), "it refuses sessions"),
            Some(DialError::Timeout) => (endpoint.fitness.failed(io.now, eject, all), "it does not answer"),
            Some(DialError::Unreachable) => {
                (endpoint.fitness.failed(io.now, eject, all), "there is no way to it")
            }
            Some(DialError::Untrusted) => {
                (endpoint.fitness.failed(io.now, eject, all), "its certificate is not accepted")
            }
            // Not the endpoint's fault.
            Some(DialError::NoEndpoint | DialError::QueueFull | DialError::Overload | DialError::NoPort) => {
                (None, "")
            }
        };
        if let Some(change) = change {
            probe::tell(io, &upstream.settings.name, &endpoint.address, (change, why));
        }
    }
}
