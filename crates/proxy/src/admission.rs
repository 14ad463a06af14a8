//! How many sessions there may be, and who is let in.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use portcullis_core::limit::bucket::ClientNet;
use portcullis_core::limit::entrance::{Claims, Client};
use portcullis_core::outcome::Reason;
use portcullis_core::overload;
use portcullis_core::snapshot::ListenerPlan;
use portcullis_core::wheel::Tick;

use crate::handle::{Refused, Told};
use crate::io::Io;
use crate::meter::Meter;

/// The process-wide count of sessions.
#[derive(Debug)]
pub(crate) struct Admission {
    live: AtomicU32,
    maximum: u32,
}

/// A session's claim on the session maximum, and on whatever else is limited.
#[derive(Debug)]
#[must_use = "the session is counted only while its permit lives"]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    /// `None` where nothing else is.
    claims: Option<Box<Claims>>,
}

impl Admission {
    pub(crate) fn new(maximum: u32) -> Self {
        Self { live: AtomicU32::new(0), maximum: maximum.max(1) }
    }

    pub(crate) fn live(&self) -> u32 {
        self.live.load(Ordering::Relaxed)
    }

    pub(crate) fn maximum(&self) -> u32 {
        self.maximum
    }

    /// Claims one session; `None` when the maximum is reached.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Permit> {
        let before = self.live.fetch_add(1, Ordering::Relaxed);
        if before >= self.maximum {
            self.live.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Permit { admission: Arc::clone(self), claims: None })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.live.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Permit {
    /// Lets `claim` add to what it holds.
    fn claiming(&mut self, claim: impl FnOnce(&mut Claims) -> Result<(), Reason>) -> Result<(), Reason> {
        let mut claims = self.claims.take().map_or_else(Claims::default, |claims| *claims);
        let claimed = claim(&mut claims);
        self.claims = (!claims.is_empty()).then(|| Box::new(claims));
        claimed
    }
}

/// Is the client of a connection told later, by the peer it comes through?
pub(crate) fn is_told_later(plan: &ListenerPlan, peer: IpAddr) -> bool {
    let trusts = |ws: &portcullis_core::config::Ws| ws.trusted_proxies.iter().any(|net| net.contains(&peer));
    !plan.settings.proxy_protocol.is_empty() || plan.settings.ws.as_ref().is_some_and(trusts)
}

impl Io {
    /// Lets a newcomer in, or says why not. Nothing is made for it before.
    pub(crate) fn admit(
        &mut self,
        plan: &ListenerPlan,
        client: Client,
        permit: &mut Permit,
    ) -> Result<(), Reason> {
        if self.shared.step() >= overload::Step::Closed {
            return Err(Reason::Overload);
        }
        if !is_told_later(plan, client.ip) {
            self.admit_client(plan, client, permit)?;
        }
        let now = self.now.since(Tick(0));
        permit.claiming(|claims| plan.entrance.admit_session(claims, now))
    }

    /// Lets the client of a connection in, by what is known of its address.
    pub(crate) fn admit_client(
        &mut self,
        plan: &ListenerPlan,
        client: Client,
        permit: &mut Permit,
    ) -> Result<(), Reason> {
        if self.shared.bans.holds(client.ip, self.now) {
            return Err(Reason::Banned);
        }
        if self.shared.step() >= overload::Step::Share && self.crowded.contains(&ClientNet::of(client.ip)) {
            return Err(Reason::OverloadShare);
        }
        let now = self.now.since(Tick(0));
        permit.claiming(|claims| plan.entrance.admit_client(client, claims, now))
    }

    /// Counts a newcomer that was not let in. It is told once for each network and minute.
    pub(crate) fn turn_away(&mut self, meter: &Meter, peer: SocketAddr, reason: Reason) {
        meter.cell(usize::from(self.worker)).refused(reason);
        if self.turned_away.is_news(ClientNet::of(peer.ip()), self.now) {
            let refused = Refused { listener: meter.name().clone(), client: peer, reason };
            self.told.push(Told::Refused(Box::new(refused)));
        }
    }
}

/// Who was turned away in this minute. Bounded: what a flood of networks would add is counted, not told.
#[derive(Debug, Default)]
pub(crate) struct TurnedAway {
    told: HashSet<ClientNet>,
    until: Tick,
}

/// Networks that are told of in a minute, for each worker.
const TOLD: usize = 256;
const MINUTE: Duration = Duration::from_secs(60);

impl TurnedAway {
    /// Is it worth a line?
    fn is_news(&mut self, net: ClientNet, now: Tick) -> bool {
        if now >= self.until {
            self.told = HashSet::new();
            self.until = now.after(MINUTE);
        }
        self.told.len() < TOLD && self.told.insert(net)
    }
}

/// The networks of `clients` that have more than twice their share, and more than a few: a handful of players behind
/// one address is nobody's flood.
pub(crate) fn crowded(clients: impl Iterator<Item = IpAddr>) -> HashSet<ClientNet> {
    let (mut counts, mut all) = (HashMap::<ClientNet, u32>::new(), 0_u32);
    for client in clients {
        *counts.entry(ClientNet::of(client)).or_default() += 1;
        all = all.saturating_add(1);
    }
    let networks = u32::try_from(counts.len()).unwrap_or(u32::MAX).max(1);
    let share = (2 * (all / networks)).max(FEW);
    counts.into_iter().filter(|(_, count)| *count > share).map(|(net, _)| net).collect()
}

/// So many sessions of one network are never above its share.
const FEW: u32 = 8;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a26_who_is_turned_away_is_told_once_a_minute_and_a_flood_is_not_told() {
        let mut away = TurnedAway::default();
        let net = |host: u32| ClientNet::of(Ipv4Addr::from_bits(host).into());
        assert!(away.is_news(net(1), Tick(5)) && !away.is_news(net(1), Tick(60_004)));
        assert!(away.is_news(net(1), Tick(60_005)));
        let told = (0..100_000).filter(|host| away.is_news(net(*host), Tick(60_006))).count();
        assert_eq!(told, TOLD - 1);
    }

    #[test]
    fn a_network_is_crowded_when_it_has_more_than_twice_its_share() {
        let ip = |host: u32| IpAddr::from(Ipv4Addr::from_bits(host));
        let many = (0..100).map(ip).chain(std::iter::repeat_n(ip(7), 50));
        assert_eq!(crowded(many), HashSet::from([ClientNet::of(ip(7))]));
        assert!(crowded(std::iter::repeat_n(ip(7), 500)).is_empty(), "alone it has all of it");
        assert!(crowded((0..8).map(|_| ip(7)).chain((100..200).map(ip))).is_empty());
    }
}
