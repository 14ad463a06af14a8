//! Who has been refused too often: guesses are rationed by client network and by client id.
//!
//! A client id is no secret, so whoever knows one could use up its ration and shut its owner out. The ration of a
//! client id therefore binds only networks that were refused themselves of late: the owner's was not.

use std::net::IpAddr;
use std::time::Duration;

use super::ClientId;
use crate::limit::bucket::{Buckets, ClientNet, Rate};

/// Refusals that one network may cause at once, and a minute.
pub const PER_NETWORK: u32 = 20;
/// Refusals that may be caused for one client id.
pub const PER_CLIENT_ID: u32 = 20;
/// The most networks, and the most client ids, that are remembered: about 20 MiB when full.
const MAX: usize = 65_536;

/// Counts refusals. Time is since any fixed moment of a monotonic clock.
#[derive(Debug)]
pub struct Guard {
    networks: Buckets<ClientNet>,
    client_ids: Buckets<ClientId>,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            networks: Buckets::new(Rate::per_minute(PER_NETWORK), MAX),
            client_ids: Buckets::new(Rate::per_minute(PER_CLIENT_ID), MAX),
        }
    }
}

impl Guard {
    /// May a client at `ip` try for `client_id`?
    #[must_use]
    pub fn allows(&self, ip: IpAddr, client_id: &ClientId, now: Duration) -> bool {
        let network = self.networks.level(&ClientNet::of(ip), now);
        let was_refused = network < f64::from(PER_NETWORK) - 0.5;
        network >= 1.0 && (!was_refused || self.client_ids.level(client_id, now) >= 1.0)
    }

    /// It was refused.
    pub fn refused(&mut self, ip: IpAddr, client_id: &ClientId, now: Duration) {
        self.networks.charge(&ClientNet::of(ip), now, 1);
        self.client_ids.charge(client_id, now, 1);
    }
}
