//! What a worker gives up under pressure, and whom it must not serve any longer.

use std::cmp::Reverse;

use ipnet::IpNet;
use portcullis_core::outcome::Reason;
use portcullis_core::overload::Step;

use crate::admission::crowded;
use crate::session::Session;
use crate::worker::Worker;

/// Sessions that are asked what is held for them in one second: each asks the kernel twice.
const ASKED: usize = 16_384;
/// Sessions that are ended in one second.
const ENDED: usize = 4;
/// Nobody is ended for less, in bytes: that is no more than a socket may always hold.
const GREEDY: usize = 256 * 1024;

impl Worker {
    /// Ends the sessions of a network.
    pub(super) fn expel(&mut self, network: IpNet) {
        let tenants = (0..self.tenants.slots()).filter_map(|slot| self.tenants.at(slot));
        let is_meant = |session: &Session| network.contains(&session.client_ip()) && !session.is_ending();
        let meant: Vec<u64> =
            tenants.filter(|(_, tenant)| is_meant(&tenant.session)).map(|(token, _)| token).collect();
        meant.into_iter().for_each(|token| self.end(token, Reason::Banned));
    }

    /// Gives up what a step asks for.
    pub(super) fn relieve(&mut self, step: Step) {
        if step >= Step::Trim {
            self.io.pipes.trim();
        }
        self.io.crowded.clear();
        if step >= Step::Share {
            let slots = 0..self.tenants.slots();
            let tenants = slots.filter_map(|slot| self.tenants.at(slot));
            self.io.crowded = crowded(tenants.map(|(_, tenant)| tenant.session.client_ip()));
        }
        if step >= Step::Shed {
            self.shed();
        }
    }

    /// Cuts the sessions for which most is held. What the kernel still had to send for them is dropped: that is what
    /// fills the memory.
    fn shed(&mut self) {
        let slots = self.tenants.slots();
        // A house with more sessions is asked in parts, another one each second.
        let from = if slots as usize > ASKED { self.asked_until % slots } else { 0 };
        self.asked_until = from.saturating_add(ASKED as u32);
        let asked = (from..slots).take(ASKED).filter_map(|slot| self.tenants.at(slot));
        let mut holders: Vec<(usize, u64)> = asked
            .map(|(token, tenant)| (tenant.session.held_bytes(), token))
            .filter(|(held, _)| *held >= GREEDY)
            .collect();
        holders.sort_unstable_by_key(|holder| Reverse(*holder));
        for (_, token) in holders.into_iter().take(ENDED) {
            if let Some(tenant) = self.tenants.find(token) {
                tenant.session.shed();
                self.step(token);
            }
        }
    }
}
