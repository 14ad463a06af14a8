//! Upstreams in force: their endpoints, what is counted of them, and what operators say of them at run time.
//!
//! The settings are of one snapshot. What is counted or was said (leases, turns, standings, weights, who waits)
//! lives in `Arc`s, which the next snapshot takes over by the names of upstream and endpoint. How the next endpoint
//! is picked among those that may be used is [`balance`](crate::balance)'s; which may be used is in `choose`.

use std::sync::Arc;

use crate::balance::Policy;
use crate::config;
use crate::endpoint::Endpoint;
use crate::tls;
use crate::wire::kcp::crypt::Crypt;

mod choose;
mod line;
mod state;

#[cfg(test)]
mod tests;

pub use choose::{Ask, NoLease};
pub use line::{Line, Place, Waiter};
pub use state::{EndpointState, Lease, Standing};

/// An upstream in force.
#[derive(Debug)]
pub struct Upstream {
    /// As configured.
    pub settings: config::Upstream,
    /// The cipher towards its endpoints; `Some` exactly when they speak kcp.
    pub crypt: Option<Arc<Crypt>>,
    /// Whom it trusts; `Some` exactly when its endpoints speak tls or wss.
    pub tls: Option<Arc<tls::Client>>,
    /// In the order of the settings' endpoints.
    endpoints: Vec<Arc<EndpointState>>,
    policy: Arc<Policy>,
    line: Arc<Line>,
}

impl Upstream {
    /// Puts settings in force; endpoints that `before` has too keep their state.
    #[must_use]
    pub fn new(
        settings: &config::Upstream,
        crypt: Option<Arc<Crypt>>,
        tls: Option<Arc<tls::Client>>,
        before: Option<&Upstream>,
    ) -> Self {
        let line = before.map_or_else(Arc::default, |before| Arc::clone(&before.line));
        let known = |address: &Endpoint| before.and_then(|before| before.endpoint(address)).cloned();
        let fresh = |address: &Endpoint| {
            let (upstream, address) = (settings.name.clone(), address.clone());
            Arc::new(EndpointState::new(upstream, address, Arc::clone(&line)))
        };
        let endpoints = settings.endpoints.iter().map(|endpoint| &endpoint.address);
        let endpoints = endpoints.map(|address| known(address).unwrap_or_else(|| fresh(address))).collect();
        let policy = match before {
            Some(before) if is_balanced_alike(&before.settings, settings) => Arc::clone(&before.policy),
            _ => Arc::new(Policy::new(settings.balance, &shares(settings).collect::<Vec<_>>())),
        };
        Self { settings: settings.clone(), crypt, tls, endpoints, policy, line }
    }

    /// The same with other TLS settings: its counts and turns go on.
    pub(crate) fn with_tls(&self, tls: Option<Arc<tls::Client>>) -> Self {
        Self {
            settings: self.settings.clone(),
            crypt: self.crypt.clone(),
            tls,
            endpoints: self.endpoints.clone(),
            policy: Arc::clone(&self.policy),
            line: Arc::clone(&self.line),
        }
    }

    /// Must an [`Ask`] bring dice? Else they may be anything.
    #[must_use]
    pub fn wants_dice(&self) -> bool {
        matches!(*self.policy, Policy::LeastResponseTime | Policy::Random)
    }

    /// Its endpoints, in the order of `settings.endpoints`.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<EndpointState>> {
        self.endpoints.iter()
    }

    /// The endpoint of that address.
    #[must_use]
    pub fn endpoint(&self, address: &Endpoint) -> Option<&Arc<EndpointState>> {
        self.endpoints.iter().find(|known| known.address == *address)
    }

    /// The endpoints with what is configured of each.
    pub fn members(&self) -> impl Iterator<Item = (&config::UpstreamEndpoint, &Arc<EndpointState>)> {
        self.settings.endpoints.iter().zip(&self.endpoints)
    }

    /// Who waits for one of its endpoints to have room.
    #[must_use]
    pub fn line(&self) -> &Arc<Line> {
        &self.line
    }
}

fn shares(settings: &config::Upstream) -> impl Iterator<Item = (&Endpoint, u16)> {
    settings.endpoints.iter().map(|endpoint| (&endpoint.address, endpoint.weight))
}

/// Would the policies of both be made the same? Then the turns of one go on in the other.
fn is_balanced_alike(one: &config::Upstream, other: &config::Upstream) -> bool {
    one.balance == other.balance && shares(one).eq(shares(other))
}
