//! Networks that are kept out for a while. A reload leaves them as they are.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use ipnet::IpNet;

use super::network::canonical;
use crate::wheel::Tick;

#[cfg(test)]
mod tests;

/// The most bans at a time.
pub const MAX: usize = 65_536;
/// The longest reason that is kept, in bytes; the rest is cut off.
pub const MAX_WHY: usize = 256;

/// A network that is kept out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Whose clients.
    pub network: IpNet,
    /// Until when; [`Tick::NEVER`] = until it is lifted.
    pub until: Tick,
    /// What the operator said.
    pub why: Box<str>,
}

/// There are as many bans as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {MAX} bans already; lift some, or ban larger networks")]
pub struct TooMany;

/// All bans. Shared by all workers, and asked for each session; without a ban that costs one load.
#[derive(Debug, Default)]
pub struct Bans {
    count: AtomicUsize,
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    bans: HashMap<IpNet, Ban>,
    /// How many bans there are of each length of prefix: only those lengths are looked for.
    v4: BTreeMap<u8, usize>,
    v6: BTreeMap<u8, usize>,
}

impl Bans {
    /// Keeps the clients of `network` out until then; a ban of the same network is replaced.
    ///
    /// # Errors
    /// There are [`MAX`] that are not over.
    pub fn ban(&self, network: IpNet, until: Tick, why: &str, now: Tick) -> Result<(), TooMany> {
        let network = canonical(network);
        let why = &why[..why.floor_char_boundary(MAX_WHY)];
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if !table.bans.contains_key(&network) && table.bans.len() >= MAX {
            table.forget(now);
        }
        let kept = table.put(Ban { network, until, why: why.into() });
        self.count.store(table.bans.len(), Ordering::Release);
        kept
    }

    /// Lifts the ban of `network`; false: there was none.
    pub fn lift(&self, network: IpNet) -> bool {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let lifted = table.take(&canonical(network)).is_some();
        self.count.store(table.bans.len(), Ordering::Release);
        lifted
    }

    /// Is `ip` kept out at `now`?
    #[must_use]
    pub fn holds(&self, ip: IpAddr, now: Tick) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        self.table.read().unwrap_or_else(PoisonError::into_inner).holds(ip.to_canonical(), now)
    }

    /// Every ban that is not over at `now`, in order of their networks.
    #[must_use]
    pub fn list(&self, now: Tick) -> Vec<Ban> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut bans: Vec<Ban> = table.bans.values().filter(|ban| now < ban.until).cloned().collect();
        drop(table);
        bans.sort_by_key(|ban| ban.network);
        bans
    }
}

impl Table {
    fn put(&mut self, ban: Ban) -> Result<(), TooMany> {
        let network = ban.network;
        if !self.bans.contains_key(&network) {
            if self.bans.len() >= MAX {
                return Err(TooMany);
            }
            *self.lengths(&network).entry(network.prefix_len()).or_default() += 1;
        }
        self.bans.insert(network, ban);
        Ok(())
    }

    fn take(&mut self, network: &IpNet) -> Option<Ban> {
        let ban = self.bans.remove(network)?;
        let lengths = self.lengths(network);
        if let Some(count) = lengths.get_mut(&network.prefix_len()) {
            *count -= 1;
            if *count == 0 {
                lengths.remove(&network.prefix_len());
            }
        }
        Some(ban)
    }

    /// Forgets what is over.
    fn forget(&mut self, now: Tick) {
        let over = |ban: &&Ban| now >= ban.until;
        let over: Vec<IpNet> = self.bans.values().filter(over).map(|ban| ban.network).collect();
        for network in over {
            self.take(&network);
        }
    }

    fn holds(&self, ip: IpAddr, now: Tick) -> bool {
        let lengths = if ip.is_ipv4() { &self.v4 } else { &self.v6 };
        lengths.keys().any(|length| {
            let network = IpNet::new(ip, *length).map(|net| net.trunc());
            network.ok().and_then(|network| self.bans.get(&network)).is_some_and(|ban| now < ban.until)
        })
    }

    fn lengths(&mut self, network: &IpNet) -> &mut BTreeMap<u8, usize> {
        match network {
            IpNet::V4(_) => &mut self.v4,
            IpNet::V6(_) => &mut self.v6,
        }
    }
}
