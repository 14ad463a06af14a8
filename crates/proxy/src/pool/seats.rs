//! Connections that belong to no session just now, by token: slots with generations, so that what comes late misses.

use std::net::SocketAddr;

use portcullis_core::wheel::Tick;

use crate::leg::{Leg, Onward};

/// A token is this, then 32 bits of generation and 16 of slot. No session's token has these upper bits.
const MARK: u64 = 0xFFFE;
const MARK_SHIFT: u32 = 48;
const SLOT_BITS: u32 = 16;
/// The most connections of one worker.
const MOST: usize = 1 << SLOT_BITS;

/// One connection and where it is in its life.
#[derive(Debug)]
pub(super) struct Seat {
    /// Of the keep it belongs to.
    pub(super) place: usize,
    pub(super) life: Life,
    /// When it was begun or, once it is idle, made.
    pub(super) since: Tick,
    /// When it is given up or, once it is idle, too old.
    pub(super) until: Tick,
}

/// Where a connection is in its life.
#[derive(Debug)]
pub(super) enum Life {
    /// Its endpoint's name is being looked up.
    Asking,
    /// It is being made.
    Making { leg: Leg, address: SocketAddr, onward: Box<Onward> },
    /// It is open, and nobody has it.
    Idle { leg: Leg, address: SocketAddr },
}

impl Seat {
    pub(super) fn leg(&mut self) -> Option<&mut Leg> {
        match &mut self.life {
            Life::Asking => None,
            Life::Making { leg, .. } | Life::Idle { leg, .. } => Some(leg),
        }
    }
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    seat: Option<Seat>,
}

/// The slots of one worker.
#[derive(Debug, Default)]
pub(super) struct Seats {
    slots: Vec<Slot>,
    free: Vec<u16>,
}

/// Is it the token of a seat?
pub(crate) fn is_seat(token: u64) -> bool {
    token >> MARK_SHIFT == MARK
}

impl Seats {
    /// Puts a connection into a free slot; `None`: there is none.
    pub(super) fn insert(&mut self, seat: Seat) -> Option<u64> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() < MOST => {
                self.slots.push(Slot { generation: 0, seat: None });
                u16::try_from(self.slots.len() - 1).ok()?
            }
            None => return None,
        };
        let place = self.slots.get_mut(usize::from(slot))?;
        place.seat = Some(seat);
        Some(MARK << MARK_SHIFT | u64::from(place.generation) << SLOT_BITS | u64::from(slot))
    }

    /// The connection of a token; `None` when it is gone.
    pub(super) fn find(&mut self, token: u64) -> Option<&mut Seat> {
        let slot = self.slots.get_mut(usize::from(slot(token)))?;
        if slot.generation == generation(token) { slot.seat.as_mut() } else { None }
    }

    /// Takes a connection out; its token misses from here on.
    pub(super) fn remove(&mut self, token: u64) -> Option<Seat> {
        let index = slot(token);
        let slot =
            self.slots.get_mut(usize::from(index)).filter(|slot| slot.generation == generation(token))?;
        let seat = slot.seat.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        Some(seat)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lowest bits are what is asked for")]
fn slot(token: u64) -> u16 {
    token as u16
}

#[expect(clippy::cast_possible_truncation, reason = "the bits above the slot are what is asked for")]
fn generation(token: u64) -> u32 {
    (token >> SLOT_BITS) as u32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn seat() -> Seat {
        Seat { place: 0, life: Life::Asking, since: Tick(0), until: Tick(0) }
    }

    #[test]
    fn what_comes_late_misses() {
        let mut seats = Seats::default();
        let first = seats.insert(seat()).unwrap();
        assert!(is_seat(first) && seats.find(first).is_some());
        assert!(seats.remove(first).is_some());
        let second = seats.insert(seat()).unwrap();
        assert!(is_seat(second) && first != second && first & 0xFFFF == second & 0xFFFF);
        assert!(seats.find(first).is_none() && seats.remove(first).is_none());
        assert!(seats.find(second).is_some());
    }

    #[test]
    fn there_are_no_more_than_slots() {
        let mut seats = Seats::default();
        let tokens: Vec<u64> = (0..MOST).map(|_| seats.insert(seat()).unwrap()).collect();
        assert_eq!(seats.insert(seat()), None);
        assert!(seats.remove(tokens[77]).is_some());
        assert!(seats.insert(seat()).is_some());
    }
}
