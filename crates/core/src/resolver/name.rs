//! The `name` resolver: a table of the config's own, and DNS names made from the key.

use super::{Ask, Guard, Own, Refusal, Target, address_or_name};
use crate::allow::{Allow, Forbidden, Rule, may_look_up};
use crate::config::{NameRule, NameTable, NameTarget};
use crate::endpoint::{Endpoint, Host, HostName};

/// The table, and what it vouches for.
#[derive(Debug)]
pub(super) struct Names {
    table: NameTable,
    /// One rule per endpoint of the table: what the operator wrote there needs no line in `allow`, but still
    /// passes the guard that no address is exempt from.
    allow: Allow,
}

impl Names {
    pub(super) fn build(table: &NameTable) -> Self {
        let endpoints = table.names.values().filter_map(|target| match target {
            NameTarget::Endpoint(endpoint) => Some(Rule::of(endpoint)),
            NameTarget::Upstream(_) => None,
        });
        Self { table: table.clone(), allow: Allow::Rules(endpoints.collect()) }
    }

    /// What the endpoints of the table may resolve to.
    pub(super) fn allow(&self) -> &Allow {
        &self.allow
    }

    pub(super) fn resolve(&self, guard: &Guard, ask: &Ask<'_>, own: &Own) -> Result<Target, Refusal> {
        match self.table.names.get(ask.key) {
            Some(NameTarget::Upstream(name)) => Ok(Target::Upstream(name.clone())),
            Some(NameTarget::Endpoint(endpoint)) => {
                address_or_name(&self.allow, endpoint.clone(), ask.client, own)
            }
            None => self.look_up(guard, ask, own),
        }
    }

    /// `{prefix}{key}{suffix}`, if that is a name and `allow` could have an answer.
    fn look_up(&self, guard: &Guard, ask: &Ask<'_>, own: &Own) -> Result<Target, Refusal> {
        HostName::service(ask.key).map_err(|_| Refusal::Malformed)?;
        let Some(NameRule { prefix, suffix, port }) = &self.table.dns else { return Err(Refusal::Unknown) };
        let whole = format!("{prefix}{}{suffix}", ask.key);
        if let Some(port) = *port {
            // Only a name: an address as the key has the `address` resolver.
            let host = Host::Name(HostName::parse(&whole).map_err(|_| Refusal::Malformed)?);
            return address_or_name(&guard.allow, Endpoint { host, port }, ask.client, own);
        }
        let host = HostName::service(&whole).map_err(|_| Refusal::Malformed)?;
        match may_look_up(&guard.allow, &host, None) {
            true => Ok(Target::Service { host }),
            false => Err(Forbidden::NotAllowed.into()),
        }
    }
}
