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
    /// The moment of its entry in the wheel; a later deadline waits for that entry.
    pub(crate) armed: Tick,
    /// Is it on the ready list?
    pub(crate) ready: bool,
    /// Is it in the line of hellos?
    pub(crate) in_line: bool,
    /// May its address be forged?
    pub(crate) is_young: bool,
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
    fn a_session_at_rest_fits_in_seven_cache_lines() {
        assert!(size_of::<Slot>() <= 7 * 64, "{} bytes", size_of::<Slot>());
    }
}
