//! Routes and upstreams in force: immutable settings, with shared state that outlives a reload.
//!
//! A session pins one snapshot for its whole life. What must be counted across snapshots and workers
//! (leases, turns) lives in `Arc`s that the next snapshot takes over by key.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::config::{self, Config};
use crate::limit::entrance::{Entrance, Tally};
use crate::name::{ListenerName, RouteName, UpstreamName};
use crate::resolver::{Own, Resolver, ResolverError};
use crate::tls::{self, TlsError};
use crate::upstream::Upstream;
use crate::wire::kcp::crypt::Crypt;

mod renew;
mod secret;

pub use renew::Renewed;
pub use secret::SecretError;

/// Everything a worker needs to open a session.
#[derive(Debug)]
pub struct Snapshot {
    /// The configuration it was made from.
    pub config: Arc<Config>,
    /// The gateway's own addresses, which no key may reach.
    pub own: Own,
    /// What is counted of all sessions.
    tally: Tally,
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
    /// The cipher of its datagrams; `Some` exactly when it speaks kcp.
    pub crypt: Option<Arc<Crypt>>,
    /// Its certificates; `Some` exactly when it speaks tls or wss.
    pub tls: Option<Arc<tls::Server>>,
    /// Who may come in.
    pub entrance: Arc<Entrance>,
}

/// A route in force.
#[derive(Debug)]
pub struct Route {
    /// Its name.
    pub name: RouteName,
    /// How its keys are read.
    pub resolver: Arc<Resolver>,
    /// How an address from a key is dialled.
    pub dial: config::Dial,
    /// The cipher of `dial`; `Some` exactly when it dials by kcp.
    pub crypt: Option<Arc<Crypt>>,
    /// Whom it trusts; `Some` exactly when it dials by tls or wss.
    pub tls: Option<Arc<tls::Client>>,
    /// The upstream that serves resolver `upstream`: the first one named.
    pub default: Option<Arc<Upstream>>,
}

/// Why a configuration that parsed cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A route's keys cannot be read.
    #[error(transparent)]
    Resolver(ResolverError),
    /// A key of KCP cannot be had.
    #[error("{place}: `kcp`")]
    Secret {
        /// Whose key it is.
        place: Box<str>,
        /// What is the matter.
        #[source]
        source: SecretError,
    },
    /// The certificates of a listener cannot be used, or those who sign the ones of its clients.
    #[error("listener `{listener}`: `tls`")]
    Certificates {
        /// Which listener.
        listener: ListenerName,
        /// What is the matter.
        #[source]
        source: TlsError,
    },
    /// TLS endpoints cannot be met.
    #[error("{place}: `tls`")]
    Endpoints {
        /// Whose endpoints they are.
        place: Box<str>,
        /// What is the matter.
        #[source]
        source: TlsError,
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
        let tally = previous.map(|previous| previous.tally.clone()).unwrap_or_default();
        let mut builder = Builder { config: &config, read, previous, errors: Vec::new(), tally: &tally };
        let upstreams = builder.upstreams();
        let routes = builder.routes(&upstreams);
        let listeners = builder.listeners(&routes);
        let errors = builder.errors;
        let own = with_fixed(own, &config);
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self { config, own, tally, listeners, routes, upstreams })
    }

    /// The listener of that name.
    #[must_use]
    pub fn listener(&self, name: &ListenerName) -> Option<&Arc<ListenerPlan>> {
        self.listeners.get(name)
    }

    /// Every listener, by name.
    pub fn listeners(&self) -> impl Iterator<Item = &Arc<ListenerPlan>> {
        self.listeners.values()
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

/// A snapshot in the making.
struct Builder<'a> {
    config: &'a Config,
    read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    previous: Option<&'a Snapshot>,
    errors: Vec<SnapshotError>,
    tally: &'a Tally,
}

impl Builder<'_> {
    fn upstreams(&mut self) -> BTreeMap<UpstreamName, Arc<Upstream>> {
        let mut upstreams = BTreeMap::new();
        for upstream in &self.config.upstreams {
            let place = || format!("upstream `{}`", upstream.name);
            let crypt = self.crypt(upstream.dial.kcp(), place);
            let tls = self.client(&upstream.dial, place);
            let before = self.previous.and_then(|previous| previous.upstream(&upstream.name));
            let built = Upstream::new(upstream, crypt, tls, before.map(AsRef::as_ref));
            upstreams.insert(upstream.name.clone(), Arc::new(built));
        }
        upstreams
    }

    fn routes(
        &mut self,
        upstreams: &BTreeMap<UpstreamName, Arc<Upstream>>,
    ) -> BTreeMap<RouteName, Arc<Route>> {
        let mut routes = BTreeMap::new();
        for route in &self.config.routes {
            let before = self.previous.and_then(|previous| previous.routes.get(&route.name));
            let place = || format!("route `{}`", route.name);
            let crypt = self.crypt(route.dial.kcp(), place);
            let tls = self.client(&route.dial, place);
            let name = route.name.clone();
            match Resolver::build(route, self.read, before.map(|route| &*route.resolver)) {
                Ok(resolver) => {
                    let default = route.upstreams.first().and_then(|name| upstreams.get(name)).cloned();
                    let built = Route {
                        name: name.clone(),
                        resolver: Arc::new(resolver),
                        dial: route.dial.clone(),
                        crypt,
                        tls,
                        default,
                    };
                    routes.insert(name, Arc::new(built));
                }
                Err(error) => self.errors.push(SnapshotError::Resolver(error)),
            }
        }
        routes
    }

    fn listeners(
        &mut self,
        routes: &BTreeMap<RouteName, Arc<Route>>,
    ) -> BTreeMap<ListenerName, Arc<ListenerPlan>> {
        let mut listeners = BTreeMap::new();
        for listener in &self.config.listeners {
            let crypt = self.crypt(listener.kcp.as_deref(), || format!("listener `{}`", listener.name));
            let tls = self.server(listener);
            if let Some(route) = routes.get(&listener.route) {
                let before = self.previous.and_then(|previous| previous.listener(&listener.name));
                let counted = before.map(|before| before.entrance.tally()).unwrap_or_default();
                let process = (self.config.limits.quotas, self.tally.clone());
                let entrance = Arc::new(Entrance::new(listener, counted, process));
                let (settings, route) = (listener.clone(), Arc::clone(route));
                let plan = ListenerPlan { settings, route, crypt, tls, entrance };
                listeners.insert(listener.name.clone(), Arc::new(plan));
            } else if !self.config.routes.iter().any(|route| route.name == listener.route) {
                let (listener, route) = (listener.name.clone(), listener.route.clone());
                self.errors.push(SnapshotError::NoRoute { listener, route });
            }
        }
        listeners
    }

    /// The certificates of a listener; its tickets stay good.
    fn server(&mut self, listener: &config::Listener) -> Option<Arc<tls::Server>> {
        let before = self.previous.and_then(|previous| previous.listener(&listener.name));
        let before = before.and_then(|before| before.tls.as_deref());
        let server = tls::Server::build(listener.tls.as_deref()?, self.read, before);
        let told = |source| {
            self.errors.push(SnapshotError::Certificates { listener: listener.name.clone(), source });
        };
        server.map(Arc::new).map_err(told).ok()
    }

    /// How TLS endpoints are met; `place` says whose they are.
    fn client(&mut self, dial: &config::Dial, place: impl Fn() -> String) -> Option<Arc<tls::Client>> {
        let client = tls::Client::build(dial.tls.as_deref()?, self.read);
        let told = |source| self.errors.push(SnapshotError::Endpoints { place: place().into(), source });
        client.map(Arc::new).map_err(told).ok()
    }

    /// The cipher that settings ask for; `place` says whose they are.
    fn crypt(&mut self, kcp: Option<&config::Kcp>, place: impl Fn() -> String) -> Option<Arc<Crypt>> {
        let crypt = secret::crypt(kcp?, self.read);
        let told = |source| self.errors.push(SnapshotError::Secret { place: place().into(), source });
        crypt.map(Arc::new).map_err(told).ok()
    }
}

/// Adds where listeners of a fixed port will be, so that no key leads to one whoever binds it.
fn with_fixed(mut own: Own, config: &Config) -> Own {
    for bind in config.listeners.iter().flat_map(|listener| &listener.bind) {
        if bind.port() != 0 && !own.listening.contains(bind) {
            own.listening.push(*bind);
        }
    }
    own
}
