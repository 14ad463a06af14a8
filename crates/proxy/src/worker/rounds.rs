//! Visits to a worker's sessions.

use crate::census::{Act, Met, Visit, slots};
use crate::worker::Worker;

impl Worker {
    /// Looks through the slots that one turn can afford and does what is asked with those that are meant.
    pub(super) fn visit(&mut self, visit: &Visit) -> Met {
        let all = self.tenants.slots();
        let (mut met, mut seen) = (Met::default(), visit.from.slot);
        for slot in slots(visit.from.slot, all) {
            if met.count >= visit.most {
                break;
            }
            seen = slot + 1;
            let Some((token, tenant)) = self.tenants.at(slot) else { continue };
            if !visit.filter.has(&tenant.session.marks(&self.io)) {
                continue;
            }
            match visit.act {
                Act::Count => {}
                Act::Tell => met.sessions.push(tenant.session.live(&self.io)),
                Act::Close(_) if tenant.session.is_ending() => continue,
                Act::Close(reason) => self.end(token, reason),
            }
            met.count += 1;
        }
        met.next = visit.from.after(seen, all, self.io.shared.mailboxes.len());
        met
    }
}
