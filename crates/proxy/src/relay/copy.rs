//! The copy path: one buffer per worker, none per session.

use crate::io::Io;
use crate::leg::{Codec, Leg, Received};
use crate::relay::{Flow, Path, Pumped, READS, both_plain};

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
            let (count, more) = match from.receive(&mut io.buffer) {
                Received::Some(count) => (count, true),
                Received::Last(count) => (count, false),
                Received::Eof | Received::Broken => return Some(Pumped::Ended),
            };
            self.heard |= count > 0;
            match from.codec() {
                Codec::Raw if count > 0 => {
                    self.bytes += count as u64;
                    to.write(&[], &io.buffer[..count], &mut io.rings);
                }
                Codec::Raw | Codec::Upgrading(_) => {}
                Codec::Ws(ws) => {
                    let (bytes, rings) = (&mut io.buffer[..count], &mut io.rings);
                    let decoded = ws.decode(bytes, |lead, payload| {
                        self.bytes += payload.len() as u64;
                        to.write(lead, payload, rings);
                    });
                    from.flush(&mut io.rings);
                    match decoded {
                        Ok(true) => from.mark_ended(),
                        Ok(false) => {}
                        Err(reason) => return Some(Pumped::Violation(reason)),
                    }
                    if from.has_ended() {
                        return Some(Pumped::Ended);
                    }
                }
            }
            if self.is_bulk(count) && zero_copy && both_plain(from, to) {
                self.path = Path::Splice { pipe: None, small: 0 };
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
