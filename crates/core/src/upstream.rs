//! Upstreams in force: their endpoints, what is counted of them, and what operators say of them at run time.
//!
//! The settings are of one snapshot. What is counted or was said (leases, turns, standings, weights) lives in
//! `Arc`s, which the next snapshot takes over by the names of upstream and endpoint. Which endpoint is next is
//! [`balance`](crate::balance)'s.

use std::sync::Arc;

use crate::balance::round_robin::RoundRobin;
use crate::config;
use crate::endpoint::Endpoint;
use crate::tls;
use crate::wire::kcp::crypt::Crypt;

mod state;

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
    turn: Arc<RoundRobin>,
}

impl Upstream {
    /// Puts settings in force; endpoints that `before` has too keep their state.
    pub(crate) fn new(
        settings: &config::Upstream,
        crypt: Option<Arc<Crypt>>,
        tls: Option<Arc<tls::Client>>,
        before: Option<&Upstream>,
    ) -> Self {
        let known = |address: &Endpoint| before.and_then(|before| before.endpoint(address)).cloned();
        let fresh = |address| Arc::new(EndpointState::new(settings.name.clone(), address));
        let endpoints = settings
            .endpoints
            .iter()
            .map(|endpoint| known(&endpoint.address).unwrap_or_else(|| fresh(endpoint.address.clone())));
        let weights: Vec<u16> = settings.endpoints.iter().map(|endpoint| endpoint.weight).collect();
        let turn = match before {
            Some(before) if before.settings.endpoints == settings.endpoints => Arc::clone(&before.turn),
            _ => Arc::new(RoundRobin::new(&weights)),
        };
        Self { settings: settings.clone(), crypt, tls, endpoints: endpoints.collect(), turn }
    }

    /// The same with other TLS settings: its counts and turns go on.
    pub(crate) fn with_tls(&self, tls: Option<Arc<tls::Client>>) -> Self {
        Self {
            settings: self.settings.clone(),
            crypt: self.crypt.clone(),
            tls,
            endpoints: self.endpoints.clone(),
            turn: Arc::clone(&self.turn),
        }
    }

    /// Picks the next endpoint and claims it, passing over those that `tried` names.
    ///
    /// When all were tried the turn goes on as if none were. `None`: it has no endpoint that may be used.
    pub fn lease(&self, tried: &[Endpoint]) -> Option<Lease> {
        let ready = |index: usize| self.endpoints[index].standing() == Standing::Ready;
        let fresh = |index: usize| ready(index) && !tried.contains(&self.endpoints[index].address);
        let index = self.turn.pick(fresh).or_else(|| self.turn.pick(ready))?;
        Some(Lease::claim(&self.endpoints[index]))
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
}
