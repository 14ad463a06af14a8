//! The warm connections to one endpoint.

use std::sync::Arc;

use portcullis_core::config::{ProxyHeader, Transport};
use portcullis_core::pool::Refill;
use portcullis_core::upstream::{EndpointState, Standing, Upstream};
use portcullis_core::wheel::Tick;

use crate::leg::{Leg, Received};
use crate::meter::PoolMeter;
use crate::ring::Lent;

/// Reads of an idle connection in one turn: what carries no payload, such as a ticket of TLS, takes few.
const LOOKS: usize = 4;

/// The warm connections to one endpoint.
#[derive(Debug)]
pub(super) struct Keep {
    /// Whose settings they have; `None` until it serves one.
    pub(super) serves: Option<(Arc<Upstream>, Arc<EndpointState>)>,
    /// So many are to be idle, if it takes sessions.
    wanted: u16,
    /// Those that are, the one made first at the front.
    pub(super) idle: Vec<u64>,
    /// Those that are on their way.
    pub(super) making: Vec<u64>,
    pub(super) refill: Refill,
    pub(super) meter: Arc<PoolMeter>,
}

impl Keep {
    /// One that makes at most `at_once` connections at a time.
    pub(super) fn new(at_once: u16, meter: Arc<PoolMeter>) -> Self {
        let refill = Refill::new(at_once);
        Self { serves: None, wanted: 0, idle: Vec::new(), making: Vec::new(), refill, meter }
    }

    /// Keeps `wanted` connections to an endpoint of that upstream from here on.
    pub(super) fn serve(&mut self, upstream: &Arc<Upstream>, endpoint: &Arc<EndpointState>, wanted: u16) {
        self.serves = Some((Arc::clone(upstream), Arc::clone(endpoint)));
        self.wanted = wanted;
    }

    /// How many are to be idle now: none at an endpoint that takes no sessions. One that was ejected is tried by
    /// sessions before it is filled again.
    pub(super) fn wanted(&self, now: Tick) -> u16 {
        let takes_sessions = |endpoint: &EndpointState| {
            let fitness = &endpoint.fitness;
            endpoint.standing() == Standing::Ready && fitness.is_fit(now) && !fitness.is_half_open(now)
        };
        let serves = self.serves.as_ref().is_some_and(|(_, endpoint)| takes_sessions(endpoint));
        if serves { self.wanted } else { 0 }
    }

    /// Does it serve just this upstream, of this snapshot?
    pub(super) fn is_of(&self, upstream: &Arc<Upstream>) -> bool {
        self.serves.as_ref().is_some_and(|(own, _)| Arc::ptr_eq(own, upstream))
    }

    /// Would `upstream` have made the same connections?
    pub(super) fn is_good_for(&self, upstream: &Upstream) -> bool {
        let Some((own, _)) = &self.serves else { return false };
        let trusts_alike = match (&own.tls, &upstream.tls) {
            (None, None) => true,
            (Some(before), Some(after)) => Arc::ptr_eq(before, after),
            (None, Some(_)) | (Some(_), None) => false,
        };
        trusts_alike && own.settings.dial == upstream.settings.dial
    }
}

/// Can connections be open before there is a client? Not where they begin with its name, and not where what is spoken
/// has a life of its own.
pub(super) fn may_pool(upstream: &Upstream) -> bool {
    let dial = &upstream.settings.dial;
    let is_plain = matches!(dial.transport, Transport::Tcp) && dial.ws.is_none();
    is_plain && dial.proxy_protocol == ProxyHeader::Off && upstream.settings.pool.min_idle > 0
}

/// What a look at an idle connection has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quiet {
    /// There is nothing to be read.
    Yes,
    /// The endpoint has said something.
    Spoke,
    /// The endpoint has ended it, or it is broken.
    Ended,
}

/// Looks whether there is anything to be read on an idle connection.
pub(super) fn quiet(leg: &mut Leg, buffer: &mut [u8], lent: &mut Lent) -> Quiet {
    for _ in 0..LOOKS {
        match leg.receive(buffer, lent) {
            Received::Last(0) => return Quiet::Yes,
            Received::Some(0) => {}
            Received::Some(_) | Received::Last(_) => return Quiet::Spoke,
            Received::Eof | Received::Broken | Received::Violation(_) => return Quiet::Ended,
        }
    }
    Quiet::Spoke
}
