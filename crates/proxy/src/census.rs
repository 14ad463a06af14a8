//! Looking through a worker's sessions, a few at a time: to tell of them, to count or to close them.
//!
//! A session stays in its slot from its beginning to its end. So whoever visits slot after slot meets each session
//! that lives all the while once, whoever comes and goes meanwhile, and nothing is kept between two visits.

use std::fmt;

use portcullis_core::census::{Filter, Live};
use portcullis_core::outcome::{Reason, SessionId};

use crate::handle::{CROWD, Command, ProxyHandle};

/// How many slots a worker looks at in one turn.
const SLOTS: u32 = 1024;

/// A place in the round of all workers' slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Which worker.
    pub worker: u16,
    /// The slot to begin at.
    pub slot: u32,
}

/// What is done with those that are met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// They are counted.
    Count,
    /// They are told of.
    Tell,
    /// They are closed politely, as a drain does; those whose end is under way are passed over.
    Close(Reason),
}

/// One visit to one worker.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Whom to look for.
    pub filter: Filter,
    /// Where to begin.
    pub from: Place,
    /// The most to be met.
    pub most: u32,
    /// What to do with them.
    pub act: Act,
}

/// What came of a visit.
#[derive(Clone, Debug, Default)]
pub struct Met {
    /// How many were met.
    pub count: u32,
    /// What is told of them, with [`Act::Tell`].
    pub sessions: Vec<Live>,
    /// Where to go on; `None` = every worker was visited.
    pub next: Option<Place>,
}

/// Why there is no visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VisitError {
    /// There is no such worker.
    #[error("there is no such place")]
    NoPlace,
    /// The worker has not answered for long.
    #[error("the worker does not answer")]
    Busy,
}

/// Where the answer goes: a function that must not wait. Dropped unused when the worker ends.
pub(crate) struct Answer(pub(crate) Box<dyn FnOnce(Met) + Send>);

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

/// The slots of a worker that one visit looks at.
pub(crate) fn slots(from: u32, all: u32) -> std::ops::Range<u32> {
    from.min(all)..from.saturating_add(SLOTS).min(all)
}

impl Place {
    /// Where to go on after a visit that looked at everything before `slot` of `all`.
    pub(crate) fn after(self, slot: u32, all: u32, workers: usize) -> Option<Self> {
        if slot < all {
            return Some(Self { slot, ..self });
        }
        let worker = self.worker + 1;
        (usize::from(worker) < workers).then_some(Self { worker, slot: 0 })
    }
}

impl ProxyHandle {
    /// Looks through a few hundred slots of one worker and gives what it met to `answer`, on the worker's thread:
    /// `answer` must not wait. A worker that ends drops it instead.
    ///
    /// # Errors
    /// No such worker, or one that has not read its commands for long.
    pub fn visit(&self, visit: Visit, answer: impl FnOnce(Met) + Send + 'static) -> Result<(), VisitError> {
        let mailbox = self.shared.mailboxes.get(usize::from(visit.from.worker)).ok_or(VisitError::NoPlace)?;
        let command = Command::Visit { visit, answer: Answer(Box::new(answer)) };
        if mailbox.offer(command, CROWD) { Ok(()) } else { Err(VisitError::Busy) }
    }

    /// Which worker a session of that number is at.
    #[must_use]
    pub fn home(&self, session: SessionId) -> u16 {
        u16::try_from(session.0 % self.shared.mailboxes.len().max(1) as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_goes_through_every_slot_of_every_worker_once() {
        let all = [0, 1, SLOTS, SLOTS + 1, 3 * SLOTS];
        let (mut place, mut seen, mut visits) = (Some(Place::default()), [0; 5], 0);
        while let Some(here) = place {
            let worker = usize::from(here.worker);
            let slots = slots(here.slot, all[worker]);
            assert_eq!(slots.start, seen[worker], "none is left out, none is met twice");
            seen[worker] = slots.end;
            place = here.after(slots.end, all[worker], all.len());
            visits += 1;
        }
        assert_eq!((seen, visits), (all, 1 + 1 + 1 + 2 + 3));
    }

    #[test]
    fn a_place_beyond_the_slots_meets_nobody() {
        assert_eq!(slots(u32::MAX, 7), 7..7);
    }
}
