//! The `ticket` resolver: opens tickets, and lets those for one use in once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};

use super::{Ask, Guard, Own, ReadFile, Refusal, Resolved, ResolverError, TokenFault, read_files};
use crate::config;
use crate::name::RouteName;
use crate::ticket::{KeyId, KeyRing, KeyRingError, Ticket, TicketError};

#[cfg(test)]
mod tests;
mod used;

use self::used::Used;

/// The keys of a route's tickets, and which tickets were used.
#[derive(Debug)]
pub(super) struct Tickets {
    ring: KeyRing,
    leeway: Duration,
    /// Shared by all workers, and by the resolvers before and after a reload.
    used: Arc<Mutex<Used>>,
}

impl Tickets {
    pub(super) fn build(
        route: &RouteName,
        settings: &config::Ticket,
        read: ReadFile<'_>,
        previous: Option<&Self>,
    ) -> Result<Self, ResolverError> {
        let last = settings.key_files.last().cloned().unwrap_or_default();
        let fault = |path, fault| ResolverError::TicketKey { route: route.clone(), path, fault };
        let texts = read_files(route, &settings.key_files, read, |path, bytes| {
            let text =
                String::from_utf8(bytes).map_err(|_| fault(path.into(), KeyRingError::Line { line: 1 }))?;
            // Each file on its own first, so that the error counts the lines of the right one.
            KeyRing::parse(&text).map_err(|error| fault(path.into(), error))?;
            Ok(text)
        })?;
        let ring = KeyRing::parse(&texts.join("\n")).map_err(|error| fault(last, error))?;
        let used = previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.used));
        Ok(Self { ring, leeway: settings.leeway, used })
    }

    pub(super) fn resolve(&self, guard: &Guard, ask: &Ask<'_>, own: &Own) -> Result<Resolved, Refusal> {
        let (ticket, key) = Ticket::open(ask.key, &self.ring).map_err(|error| match error {
            TicketError::Malformed => Refusal::Malformed,
            TicketError::UnknownKey(_) => TokenFault::Key.into(),
            TicketError::Sealed => TokenFault::Signature.into(),
            TicketError::Content(_) => TokenFault::Claims.into(),
        })?;
        // A clock before 1970 is wrong: with it, nothing would ever expire.
        let now = ask.now.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| TokenFault::Expired)?;
        let end = Duration::from_secs(ticket.exp) + self.leeway;
        if now >= end {
            return Err(TokenFault::Expired.into());
        }
        if ticket.ip.is_some_and(|ip| ip.to_canonical() != ask.client.to_canonical()) {
            return Err(TokenFault::Client.into());
        }
        let target = guard.target(ticket.target, ask.client, own)?;
        // Last: a ticket refused for another reason is not used up.
        if ticket.once {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            used.enter(name_of(key, &ticket.jti), end, now)?;
        }
        Ok(Resolved { target, identity: ticket.device })
    }
}

/// The name of a ticket, in as many bytes for every one. A collision by chance refuses one ticket in 2^64.
fn name_of(key: KeyId, jti: &str) -> used::Name {
    let hash = digest(&SHA256, &[&key.0[..], jti.as_bytes()].concat());
    hash.as_ref().first_chunk().copied().unwrap_or_default()
}
