//! Which one-time tickets were used: exactly, in bounded memory, and closed when that is full.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use crate::resolver::{Refusal, TokenFault};

/// What a ticket is remembered by.
pub(super) type Name = [u8; 16];

/// Tickets that were used and have not ended. Times are since the Unix epoch.
#[derive(Debug, Default)]
pub(super) struct Used {
    names: HashSet<Name>,
    by_end: BTreeSet<(Duration, Name)>,
    /// Tickets that end no later than this may have been used and forgotten.
    forgotten: Duration,
}

impl Used {
    /// The most tickets remembered: about 6 MiB when full.
    pub(super) const MAX: usize = 65_536;

    /// Uses up a ticket that ends at `end`.
    ///
    /// # Errors
    /// `TicketUsed` for one that was used; `TicketsFull` when there is no room to remember it, since a ticket
    /// that is let in without being remembered could be used again.
    pub(super) fn enter(&mut self, name: Name, end: Duration, now: Duration) -> Result<(), Refusal> {
        self.forget_ended(now);
        // Only when the clock was set back: what ended by the earlier clock is no longer known.
        if end <= self.forgotten {
            return Err(TokenFault::Expired.into());
        }
        if self.names.contains(&name) {
            return Err(Refusal::TicketUsed);
        }
        if self.names.len() >= Self::MAX {
            return Err(Refusal::TicketsFull);
        }
        self.names.insert(name);
        self.by_end.insert((end, name));
        Ok(())
    }

    fn forget_ended(&mut self, now: Duration) {
        while let Some((end, name)) = self.by_end.first().copied().filter(|(end, _)| *end <= now) {
            self.by_end.pop_first();
            self.names.remove(&name);
            self.forgotten = self.forgotten.max(end);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn name(number: u128) -> Name {
        number.to_be_bytes()
    }

    #[test]
    fn a_name_is_let_in_once_until_it_ends() {
        let mut used = Used::default();
        assert_eq!(used.enter(name(1), SECOND * 100, SECOND * 10), Ok(()));
        assert_eq!(used.enter(name(1), SECOND * 100, SECOND * 99), Err(Refusal::TicketUsed));
        assert_eq!(used.enter(name(2), SECOND * 100, SECOND * 99), Ok(()));
        assert_eq!(used.enter(name(3), SECOND * 200, SECOND * 101), Ok(()));
        assert_eq!(used.names.len(), 1, "what has ended is forgotten");
    }

    #[test]
    fn a_clock_set_back_brings_no_ticket_back() {
        let mut used = Used::default();
        assert_eq!(used.enter(name(1), SECOND * 100, SECOND * 10), Ok(()));
        assert_eq!(used.enter(name(2), SECOND * 900, SECOND * 500), Ok(()));
        assert_eq!(used.enter(name(1), SECOND * 100, SECOND * 20), Err(TokenFault::Expired.into()));
        assert_eq!(used.enter(name(3), SECOND * 101, SECOND * 20), Ok(()));
    }

    #[test]
    fn a_full_memory_lets_nobody_in_until_one_ends() {
        let mut used = Used::default();
        for number in 0..Used::MAX as u128 {
            let end = if number == 0 { SECOND * 50 } else { SECOND * 100 };
            assert_eq!(used.enter(name(number), end, SECOND), Ok(()));
        }
        assert_eq!(used.enter(name(u128::MAX), SECOND * 100, SECOND * 49), Err(Refusal::TicketsFull));
        assert_eq!(used.enter(name(7), SECOND * 100, SECOND * 49), Err(Refusal::TicketUsed));
        assert_eq!(used.enter(name(u128::MAX), SECOND * 100, SECOND * 50), Ok(()));
        assert_eq!(used.names.len(), used.by_end.len());
    }
}
