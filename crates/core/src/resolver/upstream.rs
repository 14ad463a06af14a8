//! The `upstream` resolver: the key is ignored, the route's first upstream serves.

use super::ResolverError;
use crate::config::Route;
use crate::name::UpstreamName;

/// The upstream that a route leads to.
pub(super) fn of(route: &Route) -> Result<UpstreamName, ResolverError> {
    route.upstreams.first().cloned().ok_or_else(|| ResolverError::NoUpstream { route: route.name.clone() })
}
