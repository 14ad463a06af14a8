//! Certificates and keys taken anew, while everything else stays as it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::{ListenerPlan, Route, Snapshot, SnapshotError};
use crate::config::Dial;
use crate::name::UpstreamName;
use crate::tls::{self, Read};
use crate::upstream::Upstream;

/// What came of taking files anew.
#[derive(Debug)]
pub struct Renewed {
    /// With what was taken; `None` = there was nothing to take.
    pub snapshot: Option<Snapshot>,
    /// How many listeners, routes and upstreams took what their files hold.
    pub taken: u32,
    /// Which ones keep what they had, and why.
    pub kept: Vec<SnapshotError>,
}

impl Snapshot {
    /// Every file that TLS is made from, at listeners and towards endpoints; some more than once.
    pub fn tls_files(&self) -> impl Iterator<Item = &Path> {
        let listeners = self.config.listeners.iter().filter_map(|listener| listener.tls.as_deref());
        let routes = self.config.routes.iter().map(|route| &route.dial);
        let dials = routes.chain(self.config.upstreams.iter().map(|upstream| &upstream.dial));
        let dials = dials.filter_map(|dial| dial.tls.as_deref());
        listeners.flat_map(|tls| tls.files()).chain(dials.flat_map(|tls| tls.files()))
    }

    /// Takes anew whatever `changed` is true of; `read` reads it. Who cannot keeps what it has.
    #[must_use]
    pub fn renew_tls(&self, changed: &dyn Fn(&Path) -> bool, read: Read<'_>) -> Renewed {
        let mut renewal = Renewal { changed, read, taken: 0, kept: Vec::new() };
        let upstreams = self.upstreams.iter().map(|(name, upstream)| {
            let place = || format!("upstream `{name}`");
            let tls = renewal.client(&upstream.settings.dial, upstream.tls.as_ref(), place);
            (name.clone(), Arc::new(upstream.with_tls(tls)))
        });
        let upstreams: BTreeMap<UpstreamName, Arc<Upstream>> = upstreams.collect();
        let routes = self.routes.iter().map(|(name, route)| {
            let tls = renewal.client(&route.dial, route.tls.as_ref(), || format!("route `{name}`"));
            let default = route.default.as_ref().and_then(|upstream| upstreams.get(&upstream.settings.name));
            (name.clone(), Arc::new(route.with(tls, default.cloned())))
        });
        let routes: BTreeMap<_, _> = routes.collect();
        let listeners = self.listeners.iter().map(|(name, plan)| {
            let tls = renewal.server(plan);
            let route = routes.get(&plan.route.name).unwrap_or(&plan.route);
            (name.clone(), Arc::new(plan.with(tls, Arc::clone(route))))
        });
        let listeners = listeners.collect();
        let Renewal { taken, kept, .. } = renewal;
        let (config, own, tally) = (Arc::clone(&self.config), self.own.clone(), self.tally.clone());
        let snapshot = (taken > 0).then_some(Self { config, own, tally, listeners, routes, upstreams });
        Renewed { snapshot, taken, kept }
    }
}

/// A renewal under way.
struct Renewal<'a> {
    changed: &'a dyn Fn(&Path) -> bool,
    read: Read<'a>,
    taken: u32,
    kept: Vec<SnapshotError>,
}

impl Renewal<'_> {
    fn server(&mut self, plan: &ListenerPlan) -> Option<Arc<tls::Server>> {
        let (settings, before) = (plan.settings.tls.as_deref()?, plan.tls.as_ref()?);
        if !settings.files().any(self.changed) {
            return Some(Arc::clone(before));
        }
        let told = |source| SnapshotError::Certificates { listener: plan.settings.name.clone(), source };
        let built = tls::Server::build(settings, self.read, Some(before)).map_err(told);
        Some(self.take(built, before))
    }

    fn client(
        &mut self,
        dial: &Dial,
        before: Option<&Arc<tls::Client>>,
        place: impl Fn() -> String,
    ) -> Option<Arc<tls::Client>> {
        let (settings, before) = (dial.tls.as_deref()?, before?);
        if !settings.files().any(self.changed) {
            return Some(Arc::clone(before));
        }
        let told = |source| SnapshotError::Endpoints { place: place().into(), source };
        let built = tls::Client::build(settings, self.read).map_err(told);
        Some(self.take(built, before))
    }

    fn take<T>(&mut self, built: Result<T, SnapshotError>, before: &Arc<T>) -> Arc<T> {
        match built {
            Ok(built) => {
                self.taken += 1;
                Arc::new(built)
            }
            Err(error) => {
                self.kept.push(error);
                Arc::clone(before)
            }
        }
    }
}

impl Route {
    fn with(&self, tls: Option<Arc<tls::Client>>, default: Option<Arc<Upstream>>) -> Self {
        Self {
            name: self.name.clone(),
            resolver: Arc::clone(&self.resolver),
            dial: self.dial.clone(),
            crypt: self.crypt.clone(),
            tls,
            default,
        }
    }
}

impl ListenerPlan {
    fn with(&self, tls: Option<Arc<tls::Server>>, route: Arc<Route>) -> Self {
        let (settings, entrance) = (self.settings.clone(), Arc::clone(&self.entrance));
        Self { settings, route, crypt: self.crypt.clone(), tls, entrance }
    }
}
