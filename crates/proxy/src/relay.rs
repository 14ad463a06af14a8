//! Moves bytes from one leg to the other, the cheapest way there is.
//!
//! Copy is the common path: one read into the worker's buffer, one write, and only what the other side
//! has no room for is kept. A direction that carries bulk is promoted to [`splice`], where the bytes
//! never enter this process. Back-pressure is one rule: a leg is not read while the other holds unsent
//! bytes.

mod copy;
mod frames;
mod splice;
#[cfg(test)]
mod tests;

use portcullis_core::outcome::Reason;
use portcullis_sys::splice::Pipe;

use crate::io::Io;
use crate::leg::Leg;
use crate::ring::Lent;

/// Reads of one direction in one turn; then others have their turn.
const READS: usize = 16;

/// One direction of a session.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// Payload bytes taken from the source.
    pub(crate) bytes: u64,
    /// Of these, how many went through a pipe.
    pub(crate) spliced: u64,
    /// Was anything heard from the source since the session last asked?
    pub(crate) heard: bool,
    path: Path,
    /// Held only while there are bytes to move through it.
    pipe: Option<Box<Pipe>>,
}

/// How a direction moves its bytes.
#[derive(Clone, Copy, Debug)]
enum Path {
    /// Through the worker's buffer. Counts large reads in a row.
    Copy { large: u8 },
    /// Through a pipe. Counts small moves in a row.
    Splice { small: u8 },
}

impl Default for Path {
    fn default() -> Self {
        Self::Copy { large: 0 }
    }
}

/// Why a pump stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// The source has nothing more.
    Drained,
    /// The target has no room.
    Blocked,
    /// The turn's budget is spent.
    Spent,
    /// The source has ended or is broken.
    Ended,
    /// The source broke its protocol.
    Violation(Reason),
}

impl Flow {
    /// Moves what `from` has to `to` until it is drained, `to` is blocked or the turn's budget is spent.
    ///
    /// Memory: nothing of its own while `to` keeps up; at most one read (64 KiB) and its headers, or one
    /// assembled message, while it does not.
    pub(crate) fn pump(&mut self, from: &mut Leg, to: &mut Leg, zero_copy: bool, io: &mut Io) -> Pumped {
        // A path is changed at most once a turn: without a free pipe it would change for ever.
        for _ in 0..2 {
            let pumped = match &self.path {
                Path::Copy { .. } => self.copy(from, to, zero_copy, io),
                Path::Splice { .. } => self.splice(from, to, io),
            };
            if let Some(pumped) = pumped {
                return pumped;
            }
        }
        Pumped::Spent
    }

    /// Writes what came in one batch, from where it lies; what `to` has no room for is kept.
    pub(crate) fn hand_over(&mut self, run: &[&[u8]], to: &mut Leg, lent: &mut Lent) {
        self.bytes += run.iter().map(|part| part.len() as u64).sum::<u64>();
        self.heard = true;
        to.write_run(run, lent);
    }

    /// Are bytes in the pipe that the target has not taken yet?
    pub(crate) fn holds_bytes(&self) -> bool {
        self.pipe.as_ref().is_some_and(|pipe| pipe.held() > 0)
    }

    /// Gives the pipe back; bytes in it are lost, so only when the session is over.
    pub(crate) fn release(&mut self, io: &mut Io) {
        if let Some(pipe) = self.pipe.take() {
            io.pipes.give(pipe);
        }
    }
}
