//! The copy path: one buffer per worker, none per session.

use crate::io::Io;
use crate::leg::{Leg, Received};
use crate::relay::{Flow, Path, Pumped, READS};

/// A read of at least this many bytes is large: half the buffer.
const LARGE_READ: usize = 32 * 1024;
/// So many large reads in a row promote a direction to splice (docs/decisions/0002).
const PROMOTE_AFTER: u8 = 2;

impl Flow {
    /// One turn of copying; `None` when the path was changed.
    pub(super) fn copy(
        &mut self,
        from: &mut Leg,
        to: &mut Leg,
        zero_copy: bool,
        io: &mut Io,
    ) -> Option<Pumped> {
        for _ in 0..READS {
            if to.is_blocked() {
                return Some(Pumped::Blocked);
            }
            let room = io.buffer.len().min(to.room().max(1));
            let mut moved = 0;
            let received = from.read(&mut io.buffer[..room], &mut io.lent, |unit, lent| {
                moved += unit.payload;
                to.write(unit, lent);
            });
            to.send_staged(&mut io.lent);
            self.bytes += moved as u64;
            let (count, more) = match received {
                Received::Some(count) => (count, true),
                Received::Last(count) => (count, false),
                Received::Eof | Received::Broken => return Some(Pumped::Ended),
                Received::Violation(reason) => return Some(Pumped::Violation(reason)),
            };
            self.heard |= count > 0;
            if self.is_bulk(count) && zero_copy && from.plain().is_some() && to.plain().is_some() {
                self.path = Path::Splice { small: 0 };
                return None;
            }
            if !more {
                return Some(Pumped::Drained);
            }
        }
        Some(Pumped::Spent)
    }

    /// Counts large reads in a row.
    fn is_bulk(&mut self, count: usize) -> bool {
        let Path::Copy { large } = &mut self.path else { return false };
        *large = if count >= LARGE_READ { large.saturating_add(1) } else { 0 };
        *large >= PROMOTE_AFTER
    }
}
