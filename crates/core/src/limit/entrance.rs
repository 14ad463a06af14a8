//! Who may come in at a listener: its lists, and what it, a client address and the process may use.
//!
//! The settings are a snapshot's; what is counted outlives reloads. A session keeps the [`Claims`] it was let in with
//! for its whole life.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::bucket::{ClientNet, Rate};
use super::concurrency::{Clients, Excess, Held, Terms};
use super::network::Networks;
use super::rates::Rates;
use super::scope::{Node, Scope};
use crate::config::{self, Quota, Quotas, RateLimit};
use crate::outcome::Reason;

#[cfg(test)]
mod tests;

/// What is counted for a listener, or for the process.
#[derive(Clone, Debug)]
pub struct Tally {
    sessions: Arc<dyn Scope>,
    messages: Arc<dyn Scope>,
    up: Arc<dyn Scope>,
    down: Arc<dyn Scope>,
    /// Clients whose addresses are real, and those whose addresses may be forged: whoever forges one must not use up
    /// what its owner has.
    clients: [Arc<Clients>; 2],
}

impl Default for Tally {
    fn default() -> Self {
        let node = || Arc::new(Node::default()) as Arc<dyn Scope>;
        let (sessions, messages, up, down) = (node(), node(), node(), node());
        Self { sessions, messages, up, down, clients: Default::default() }
    }
}

/// A listener, or the process, with its limits.
#[derive(Clone, Debug)]
struct Party {
    quotas: Quotas,
    tally: Tally,
}

/// The way in at one listener.
#[derive(Clone, Debug)]
pub struct Entrance {
    allow: Option<Networks>,
    deny: Networks,
    listener: Party,
    process: Party,
}

/// A client as a limit sees it.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Where it comes from.
    pub ip: IpAddr,
    /// Is that only what its datagrams claim?
    pub is_claimed: bool,
}

/// What a session has been let in with: counted while this lives.
#[derive(Debug, Default)]
#[must_use = "the session is counted only while its claims live"]
pub struct Claims {
    clients: Vec<Held<ClientNet>>,
    places: Vec<Place>,
}

/// A session counted in a scope.
#[derive(Debug)]
struct Place(Arc<dyn Scope>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// What is rationed while a session lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ration {
    /// Messages of the client.
    Messages,
    /// Bytes from the client.
    Up,
    /// Bytes to the client.
    Down,
}

impl Entrance {
    /// The way in at `listener`, counting in `tally`; all sessions of the process count in `process`.
    #[must_use]
    pub fn new(listener: &config::Listener, tally: Tally, process: (Quotas, Tally)) -> Self {
        Self {
            allow: (!listener.allow.is_empty()).then(|| Networks::new(&listener.allow)),
            deny: Networks::new(&listener.deny),
            listener: Party { quotas: listener.limits, tally },
            process: Party { quotas: process.0, tally: process.1 },
        }
    }

    /// What is counted of its sessions, for the next snapshot.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.listener.tally.clone()
    }

    /// Do its lists let `ip` in?
    #[must_use]
    pub fn lists(&self, ip: IpAddr) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.contains(ip)) && !self.deny.contains(ip)
    }

    /// Counts a session of `client`, by the lists and by what one address may use.
    ///
    /// # Errors
    /// Why it may not come in.
    pub fn admit_client(&self, client: Client, claims: &mut Claims, now: Duration) -> Result<(), Reason> {
        if !self.lists(client.ip) {
            return Err(Reason::Denied);
        }
        for party in [&self.listener, &self.process] {
            let quota = party.quotas.per_ip;
            if quota.sessions.is_none() && quota.session_rate.is_none() {
                continue;
            }
            let terms = Terms { sessions: quota.sessions, rate: quota.session_rate.map(Rate::from) };
            let table = &party.tally.clients[usize::from(client.is_claimed)];
            let held = table.enter(ClientNet::of(client.ip), terms, now).map_err(|excess| match excess {
                Excess::Sessions => Reason::IpSessions,
                Excess::Rate => Reason::IpRate,
            })?;
            claims.clients.push(held);
        }
        Ok(())
    }

    /// Counts a session, by what the listener and the process may use.
    ///
    /// # Errors
    /// Which of them has used it up.
    pub fn admit_session(&self, claims: &mut Claims, now: Duration) -> Result<(), Reason> {
        let Self { listener, process, .. } = self;
        listener.place(claims, Reason::ListenerSessions)?;
        process.place(claims, Reason::Overload)?;
        listener.take(now, Reason::ListenerRate)?;
        process.take(now, Reason::ProcessRate).inspect_err(|_| listener.give_back())
    }

    /// The buckets that a session's bytes or messages pass. Each call makes a session of its own.
    #[must_use]
    pub fn rates(&self, ration: Ration) -> Rates {
        let mut rates = Rates::default();
        for party in [&self.listener, &self.process] {
            if let Some(limit) = ration.of(&party.quotas.per_session) {
                ration.push(&mut rates, limit, Arc::new(Node::default()));
            }
            if let Some(limit) = ration.of(&party.quotas.whole) {
                ration.push(&mut rates, limit, Arc::clone(ration.scope(&party.tally)));
            }
        }
        rates
    }

    /// Every limit in force here, with its name, where it counts, and its value: a count, or tokens a second.
    pub fn limits(&self) -> impl Iterator<Item = Limit> {
        [("listener", self.listener.quotas), ("process", self.process.quotas)].into_iter().flat_map(
            |(owner, quotas)| {
                let each = [
                    (owner, quotas.whole),
                    ("ip", quotas.per_ip),
                    ("device", quotas.per_device),
                    ("session", quotas.per_session),
                ];
                each.into_iter().flat_map(move |(scope, quota)| limits_of(owner, scope, quota))
            },
        )
    }
}

/// A limit in force.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Whose setting it is: `listener` or `process`.
    pub owner: &'static str,
    /// For whom it counts: `listener`, `process`, `ip`, `device` or `session`.
    pub scope: &'static str,
    /// Its key in the configuration.
    pub name: &'static str,
    /// A count, or tokens a second.
    pub value: f64,
}

fn limits_of(owner: &'static str, scope: &'static str, quota: Quota) -> impl Iterator<Item = Limit> {
    let per_second = |limit: RateLimit| limit.rate.per_second();
    let rows = [
        ("sessions", quota.sessions.map(f64::from)),
        ("session_rate", quota.session_rate.map(per_second)),
        ("message_rate", quota.message_rate.map(per_second)),
        ("up_rate", quota.up_rate.map(per_second)),
        ("down_rate", quota.down_rate.map(per_second)),
    ];
    rows.into_iter().filter_map(move |(name, value)| Some(Limit { owner, scope, name, value: value? }))
}

impl Claims {
    /// Is nothing claimed?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.places.is_empty()
    }
}

impl Party {
    fn place(&self, claims: &mut Claims, full: Reason) -> Result<(), Reason> {
        let Some(most) = self.quotas.whole.sessions else { return Ok(()) };
        if !self.tally.sessions.enter(most) {
            return Err(full);
        }
        claims.places.push(Place(Arc::clone(&self.tally.sessions)));
        Ok(())
    }

    fn take(&self, now: Duration, dry: Reason) -> Result<(), Reason> {
        let Some(limit) = self.quotas.whole.session_rate else { return Ok(()) };
        self.tally.sessions.take(limit.into(), now, 1).map_err(|_| dry)
    }

    fn give_back(&self) {
        if let Some(limit) = self.quotas.whole.session_rate {
            self.tally.sessions.give_back(limit.into(), 1);
        }
    }
}

impl Ration {
    /// What a quota says of it.
    #[must_use]
    pub fn of(self, quota: &Quota) -> Option<RateLimit> {
        match self {
            Self::Messages => quota.message_rate,
            Self::Up => quota.up_rate,
            Self::Down => quota.down_rate,
        }
    }

    fn scope(self, tally: &Tally) -> &Arc<dyn Scope> {
        match self {
            Self::Messages => &tally.messages,
            Self::Up => &tally.up,
            Self::Down => &tally.down,
        }
    }

    /// Adds a bucket of this kind: of a device, say.
    pub fn push(self, rates: &mut Rates, limit: RateLimit, scope: Arc<dyn Scope>) {
        match self {
            Self::Messages => rates.push(limit.into(), scope),
            Self::Up | Self::Down => rates.push_bytes(limit.into(), scope),
        }
    }
}
