//! A worker's sessions by token: slots with generations, so that what comes late misses.

use portcullis_core::wheel::Tick;

use crate::session::Session;

/// The lowest bit of a token says which leg; the rest is slot and generation.
const SIDE_BITS: u32 = 1;
const SLOT_BITS: u32 = 31;

/// A session in its slot, with what the worker keeps about it.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) session: Session,
    pub(crate) alarm: Alarm,
    /// Is it on the ready list?
    pub(crate) ready: bool,
    /// Is it in the line of hellos?
    pub(crate) in_line: bool,
    /// May its address be forged?
    pub(crate) is_young: bool,
    /// Has its address shown that it hears us, and was that told to the roster?
    pub(crate) is_proven: bool,
    /// Bytes of its client that are counted as held while it is young.
    pub(crate) held: u32,
}

/// What a tenant has in the wheel: its next entry, and a later one that is still there from before. Others may
/// be left, and fire for nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alarm {
    next: Tick,
    later: Tick,
}

impl Tenant {
    pub(crate) fn new(session: Session) -> Self {
        Self {
            session,
            alarm: Alarm::OFF,
            ready: false,
            in_line: false,
            is_young: false,
            is_proven: false,
            held: 0,
        }
    }
}

impl Alarm {
    const OFF: Self = Self { next: Tick::NEVER, later: Tick::NEVER };

    /// An entry may have fired.
    pub(crate) fn rang(&mut self, now: Tick) {
        if now >= self.next {
            self.next = if self.later > now { self.later } else { Tick::NEVER };
            self.later = Tick::NEVER;
        }
    }

    /// Must there be a new entry for a deadline? A later one waits for the entry that is there.
    pub(crate) fn must_arm(&mut self, at: Tick) -> bool {
        if at >= self.next {
            return false;
        }
        // Of two that are there the nearer will soon be gone. The farther one is kept in mind, or each exchange
        // of a busy session would leave one more behind.
        if self.later == Tick::NEVER {
            self.later = self.next;
        }
        self.next = at;
        true
    }
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    tenant: Option<Tenant>,
}

/// The slots of one worker.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    slots: Vec<Slot>,
    free: Vec<u32>,
    live: usize,
}

impl Tenants {
    /// The token that the next [`Tenants::insert`] will use.
    pub(crate) fn next_token(&mut self) -> u64 {
        if self.free.is_empty() {
            self.free.push(u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
            self.slots.push(Slot { generation: 0, tenant: None });
        }
        let slot = self.free.last().copied().unwrap_or_default();
        token(slot, self.slots[slot as usize].generation)
    }

    /// Puts a tenant into the slot of [`Tenants::next_token`].
    pub(crate) fn insert(&mut self, tenant: Tenant) {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize].tenant = Some(tenant);
            self.live += 1;
        }
    }

    /// The tenant of a token; `None` when it is gone.
    pub(crate) fn find(&mut self, token: u64) -> Option<&mut Tenant> {
        let slot = self.slots.get_mut(slot(token) as usize)?;
        if slot.generation == generation(token) { slot.tenant.as_mut() } else { None }
    }

    /// Takes a tenant out; its token misses from here on.
    pub(crate) fn remove(&mut self, token: u64) -> Option<Tenant> {
        let index = slot(token);
        let slot = self.slots.get_mut(index as usize)?;
        if slot.generation != generation(token) {
            return None;
        }
        let tenant = slot.tenant.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        self.live -= 1;
        Some(tenant)
    }

    /// The token of whoever is in `slot`.
    pub(crate) fn token_of(&self, slot: u32) -> Option<u64> {
        let found = self.slots.get(slot as usize)?;
        found.tenant.as_ref().map(|_| token(slot, found.generation))
    }

    /// Whoever is in `slot`, with its token.
    pub(crate) fn at(&self, slot: u32) -> Option<(u64, &Tenant)> {
        let found = self.slots.get(slot as usize)?;
        found.tenant.as_ref().map(|tenant| (token(slot, found.generation), tenant))
    }

    /// How many slots there are, those that are free included.
    pub(crate) fn slots(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// The tokens of those whose end is not under way.
    pub(crate) fn going_on(&self) -> impl Iterator<Item = u64> {
        let goes_on = |slot: &Slot| slot.tenant.as_ref().is_some_and(|tenant| !tenant.session.is_ending());
        (0u32..)
            .zip(&self.slots)
            .filter(move |(_, slot)| goes_on(slot))
            .map(|(index, slot)| token(index, slot.generation))
    }

    /// The tokens of all.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = u64> {
        (0u32..)
            .zip(&self.slots)
            .filter(|(_, slot)| slot.tenant.is_some())
            .map(|(index, slot)| token(index, slot.generation))
    }
}

/// The slot of a token.
pub(crate) fn slot(token: u64) -> u32 {
    ((token >> SIDE_BITS) & ((1 << SLOT_BITS) - 1)) as u32
}

fn generation(token: u64) -> u32 {
    (token >> (SIDE_BITS + SLOT_BITS)) as u32
}

fn token(slot: u32, generation: u32) -> u64 {
    (u64::from(generation) << (SIDE_BITS + SLOT_BITS)) | (u64::from(slot) << SIDE_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_session_leaves_no_trail_of_entries() {
        let (mut alarm, mut entries) = (Alarm::OFF, 0);
        for exchange in 0..1000 {
            let now = Tick(1000 + 50 * exchange);
            alarm.rang(now);
            for wait in [15_000, 30, 10] {
                entries += usize::from(alarm.must_arm(Tick(now.0 + wait)));
            }
        }
        assert!(
            entries <= 2 * 1000 + 10,
            "{entries} entries: two near ones an exchange, a far one each 15 s"
        );
    }

    #[test]
    fn an_alarm_never_rings_late() {
        let (mut alarm, mut entries) = (Alarm::OFF, std::collections::BTreeSet::new());
        let (mut wanted, mut dice) = (u64::MAX, 7_u64);
        for now in 0..200_000_u64 {
            let rings = entries.remove(&now);
            if rings {
                alarm.rang(Tick(now));
            }
            assert!(rings || wanted > now, "nobody came at {wanted}");
            // Now and then the deadline moves, to and fro; whoever is woken says it anew.
            if wanted <= now || now % 3 == 0 {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                wanted = now + 1 + (dice >> 33) % [3, 40, 900][(dice >> 20) as usize % 3];
            }
            if alarm.must_arm(Tick(wanted)) {
                entries.insert(wanted);
            }
        }
    }

    #[test]
    fn a_session_at_rest_fits_in_seven_cache_lines() {
        assert!(size_of::<Slot>() <= 7 * 64, "{} bytes", size_of::<Slot>());
    }
}
