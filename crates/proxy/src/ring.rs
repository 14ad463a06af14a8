//! Unsent bytes of one direction, and what a worker lends a leg for them.

use portcullis_core::wheel::Tick;
use portcullis_core::wire::ws::apply_mask;

use crate::io::Dice;

/// A ring's room is kept for the next user only up to this size, in bytes.
const KEPT_ROOM: usize = 128 * 1024;
/// At most this many are kept per worker.
const KEPT_RINGS: usize = 32;

/// Wire bytes that are received at once where they are to be opened, in bytes.
const SEALED: usize = 64 * 1024;

/// Bytes that a peer had no room for yet, as they go on the wire.
///
/// While it holds anything the other side is not read, so it never holds more than one turn's read
/// (64 KiB and the headers around it) or one assembled message.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    bytes: Vec<u8>,
    sent: usize,
}

impl Ring {
    /// What is still to be sent.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Marks `count` bytes as sent.
    pub(crate) fn advance(&mut self, count: usize) {
        self.sent += count;
    }

    /// Adds bytes behind what is there.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}

/// What a worker lends a leg in every call that may send, reads included: a read may have to answer.
#[derive(Debug, Default)]
pub(crate) struct Lent {
    #[expect(clippy::vec_box, reason = "a leg holds a ring by one pointer, and gives back that very one")]
    rings: Vec<Box<Ring>>,
    scratch: Vec<u8>,
    sealed: Vec<u8>,
    /// The moment of this turn.
    pub(crate) now: Tick,
    /// Frames of the leg that is written to just now.
    staged: Vec<u8>,
    /// For the keys of masked frames, which nobody may foretell (RFC 6455 section 5.3).
    pub(crate) masks: Dice,
}

impl Lent {
    /// Takes an empty scratch; one that is not there is made.
    pub(crate) fn scratch(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.scratch)
    }

    /// Gives the scratch back; its bytes are forgotten.
    pub(crate) fn give_scratch(&mut self, mut scratch: Vec<u8>) {
        if scratch.capacity() > self.scratch.capacity() && scratch.capacity() <= KEPT_ROOM {
            scratch.clear();
            self.scratch = scratch;
        }
    }

    /// Takes room for wire bytes that are to be opened, [`SEALED`] bytes of it.
    pub(crate) fn sealed(&mut self) -> Vec<u8> {
        let mut sealed = std::mem::take(&mut self.sealed);
        sealed.resize(SEALED, 0);
        sealed
    }

    /// Gives it back.
    pub(crate) fn give_sealed(&mut self, sealed: Vec<u8>) {
        self.sealed = sealed;
    }

    /// Adds a frame to those that are to be sent together.
    pub(crate) fn stage(&mut self, header: &[u8], payload: [&[u8]; 2], mask: Option<[u8; 4]>) {
        self.staged.extend_from_slice(header);
        let from = self.staged.len();
        payload.into_iter().for_each(|part| self.staged.extend_from_slice(part));
        if let Some(mask) = mask {
            // The frame ends here: nobody goes on with the turned mask.
            let _turned = apply_mask(&mut self.staged[from..], mask);
        }
    }

    /// How many bytes of frames are to be sent together so far.
    pub(crate) fn staged(&self) -> usize {
        self.staged.len()
    }

    /// Takes the frames that are to be sent together; to be given back.
    pub(crate) fn take_staged(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.staged)
    }

    /// Gives back what frames are put together in; they are forgotten.
    pub(crate) fn give_staged(&mut self, mut staged: Vec<u8>) {
        if staged.capacity() <= KEPT_ROOM {
            staged.clear();
            self.staged = staged;
        }
    }

    /// Takes an empty ring.
    pub(crate) fn ring(&mut self) -> Box<Ring> {
        self.rings.pop().unwrap_or_default()
    }

    /// Gives a ring back; its bytes are forgotten.
    pub(crate) fn give(&mut self, mut ring: Box<Ring>) {
        if self.rings.len() < KEPT_RINGS && ring.bytes.capacity() <= KEPT_ROOM {
            ring.bytes.clear();
            ring.sent = 0;
            self.rings.push(ring);
        }
    }
}
