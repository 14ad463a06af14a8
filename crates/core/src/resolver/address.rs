//! The `address` resolver: the key is `host:port`, and `allow` decides.

use super::{Ask, Guard, Own, Refusal, Target, address_or_name};
use crate::endpoint::Endpoint;

/// Reads `host:port` strictly and lets it out if `allow` has it.
pub(super) fn resolve(guard: &Guard, ask: &Ask<'_>, own: &Own) -> Result<Target, Refusal> {
    let endpoint: Endpoint = ask.key.parse().map_err(|_| Refusal::Malformed)?;
    address_or_name(&guard.allow, endpoint, ask.client, own)
}
