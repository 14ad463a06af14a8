//! Routes and upstreams in force: immutable settings, with shared state that outlives a reload.
//!
//! A session pins one snapshot for its whole life. What must be counted across snapshots and workers
//! (leases, turns) lives in `Arc`s that the next snapshot takes over by key.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::balance::round_robin::RoundRobin;
use crate::config::{self, Config};
use crate::endpoint::Endpoint;
use crate::name::{ListenerName, RouteName, UpstreamName};
use crate::resolver::{Own, Resolver, ResolverError};

/// Everything a worker needs to open a session.
#[derive(Debug)]
pub struct Snapshot {
    /// The configuration it was made from.
    pub config: Arc<Config>,
    /// The gateway's own addresses, which no key may reach.
    pub own: Own,
    listeners: BTreeMap<ListenerName, Arc<ListenerPlan>>,
    routes: BTreeMap<RouteName, Arc<Route>>,
    upstreams: BTreeMap<UpstreamName, Arc<Upstream>>,
}

/// A listener's settings with the route of its sessions.
#[derive(Debug)]
pub struct ListenerPlan {
    /// As configured.
    pub settings: config::Listener,
    /// Where its sessions go.
    pub route: Arc<Route>,
}

/// A route in force.
#[derive(Debug)]
pub struct Route {
    /// Its name.
    pub name: RouteName,
    /// How its keys are read.
    pub resolver: Resolver,
    /// How an address from a key is dialled.
    pub dial: config::Dial,
    /// The upstream that serves resolver `upstream`: the first one named.
    pub default: Option<Arc<Upstream>>,
}

/// An upstream in force.
#[derive(Debug)]
pub struct Upstream {
    /// As configured.
    pub settings: config::Upstream,
    endpoints: Vec<Arc<EndpointState>>,
    turn: Arc<RoundRobin>,
}

/// One endpoint, counted across snapshots.
#[derive(Debug)]
pub struct EndpointState {
    /// Where it listens.
    pub address: Endpoint,
    sessions: AtomicU32,
}

impl EndpointState {
    /// Sessions that hold a lease on it.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        self.sessions.load(Ordering::Relaxed)
    }
}

/// A session's claim on an endpoint: counted while it lives.
#[derive(Debug)]
#[must_use = "the session is counted only while its lease lives"]
pub struct Lease {
    endpoint: Arc<EndpointState>,
}

impl Lease {
    /// The endpoint claimed.
    #[must_use]
    pub fn endpoint(&self) -> &EndpointState {
        &self.endpoint
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why a configuration that parsed cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A route's keys cannot be read.
    #[error("route `{route}`")]
    Resolver {
        /// Which route.
        route: RouteName,
        /// What is the matter.
        #[source]
        source: ResolverError,
    },
    /// A listener names a route that is not there.
    #[error("listener `{listener}` names route `{route}`, which is not there")]
    NoRoute {
        /// Which listener.
        listener: ListenerName,
        /// What it names.
        route: RouteName,
    },
}

impl Snapshot {
    /// Puts a configuration in force, taking over the counts of `previous`.
    ///
    /// `read` reads key files. `own` is where the gateway itself listens.
    ///
    /// # Errors
    /// All that is wrong, at once; `previous` is then as it was.
    pub fn build(
        config: Arc<Config>,
        own: Own,
        read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
        previous: Option<&Snapshot>,
    ) -> Result<Self, Vec<SnapshotError>> {
        let mut errors = Vec::new();
        let upstreams: BTreeMap<_, _> = config
            .upstreams
            .iter()
            .map(|upstream| (upstream.name.clone(), Arc::new(Upstream::new(upstream, previous))))
            .collect();
        let mut routes = BTreeMap::new();
        for route in &config.routes {
            let before = previous.and_then(|previous| previous.routes.get(&route.name));
            match Resolver::build(route, read, before.map(|route| &route.resolver)) {
                Ok(resolver) => {
                    let default = route.upstreams.first().and_then(|name| upstreams.get(name)).cloned();
                    let route =
                        Route { name: route.name.clone(), resolver, dial: route.dial.clone(), default };
                    routes.insert(route.name.clone(), Arc::new(route));
                }
                Err(source) => errors.push(SnapshotError::Resolver { route: route.name.clone(), source }),
            }
        }
        let mut listeners = BTreeMap::new();
        for listener in &config.listeners {
            if let Some(route) = routes.get(&listener.route) {
                let plan = ListenerPlan { settings: listener.clone(), route: Arc::clone(route) };
                listeners.insert(listener.name.clone(), Arc::new(plan));
            } else if !config.routes.iter().any(|route| route.name == listener.route) {
                let (listener, route) = (listener.name.clone(), listener.route.clone());
                errors.push(SnapshotError::NoRoute { listener, route });
            }
        }
        if errors.is_empty() { Ok(Self { config, own, listeners, routes, upstreams }) } else { Err(errors) }
    }

    /// The listener of that name.
    #[must_use]
    pub fn listener(&self, name: &ListenerName) -> Option<&Arc<ListenerPlan>> {
        self.listeners.get(name)
    }

    /// The upstream of that name.
    #[must_use]
    pub fn upstream(&self, name: &UpstreamName) -> Option<&Arc<Upstream>> {
        self.upstreams.get(name)
    }

    /// Every upstream, by name.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams.values()
    }
}

impl Upstream {
    fn new(settings: &config::Upstream, previous: Option<&Snapshot>) -> Self {
        let before = previous.and_then(|previous| previous.upstreams.get(&settings.name));
        let known = |address: &Endpoint| {
            before.and_then(|before| before.endpoints.iter().find(|known| known.address == *address)).cloned()
        };
        let fresh = |address: &Endpoint| {
            Arc::new(EndpointState { address: address.clone(), sessions: AtomicU32::new(0) })
        };
        let endpoints = settings
            .endpoints
            .iter()
            .map(|endpoint| known(&endpoint.address).unwrap_or_else(|| fresh(&endpoint.address)));
        let weights: Vec<u16> = settings.endpoints.iter().map(|endpoint| endpoint.weight).collect();
        let turn = match before {
            Some(before) if before.settings.endpoints == settings.endpoints => Arc::clone(&before.turn),
            _ => Arc::new(RoundRobin::new(&weights)),
        };
        Self { settings: settings.clone(), endpoints: endpoints.collect(), turn }
    }

    /// Picks the next endpoint and claims it, passing over those that `tried` names.
    ///
    /// When all were tried the turn goes on as if none were. `None`: it has no endpoint.
    pub fn lease(&self, tried: &[Endpoint]) -> Option<Lease> {
        let fresh = |index: usize| !tried.contains(&self.endpoints[index].address);
        let index = self.turn.pick(fresh).or_else(|| self.turn.pick(|_| true))?;
        let endpoint = Arc::clone(&self.endpoints[index]);
        endpoint.sessions.fetch_add(1, Ordering::Relaxed);
        Some(Lease { endpoint })
    }

    /// Its endpoints with their counts.
    pub fn endpoints(&self) -> impl Iterator<Item = &EndpointState> {
        self.endpoints.iter().map(AsRef::as_ref)
    }
}
