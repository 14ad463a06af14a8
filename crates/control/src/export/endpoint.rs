//! The families of endpoints.

use portcullis_proxy::EndpointCounts;

use super::page::Page;
use super::{EJECTIONS, ENDPOINT_RESPONSE, ENDPOINT_SESSIONS, ENDPOINT_UP, PROBES};

/// Writes what is known of endpoints; one that nothing was measured of has no response time.
pub(super) fn write(page: &mut Page, endpoints: &[EndpointCounts]) {
    let named: Vec<_> = endpoints.iter().map(|one| (one, one.endpoint.to_string())).collect();
    page.family(ENDPOINT_UP);
    for (one, address) in &named {
        page.sample(&[one.upstream.as_str(), address], one.is_up.into());
    }
    page.family(ENDPOINT_SESSIONS);
    for (one, address) in &named {
        page.sample(&[one.upstream.as_str(), address], one.sessions.into());
    }
    page.family(ENDPOINT_RESPONSE);
    for (one, address) in &named {
        if let Some(response) = one.response {
            page.fraction(&[one.upstream.as_str(), address], response.as_secs_f64());
        }
    }
    page.family(PROBES);
    for (one, address) in &named {
        page.sample(&[one.upstream.as_str(), address, "ok"], one.counted.good);
        page.sample(&[one.upstream.as_str(), address, "failed"], one.counted.bad);
    }
    page.family(EJECTIONS);
    for (one, address) in &named {
        page.sample(&[one.upstream.as_str(), address], one.counted.ejections.into());
    }
}
