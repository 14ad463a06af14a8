//! What the gateway makes of messages where the other side is a stream: `raw` or `length-prefixed`.

use super::FrameStart;
pub use crate::config::Framing;

use super::frame::{FrameHeader, Opcode, Violation, header};

/// Fragments of one message that are assembled, at most: fragments of no bytes count too.
pub const MAX_FRAGMENTS: u32 = 1024;

/// Bytes of the length prefix, u32 little-endian.
const PREFIX: usize = 4;

/// Turns data events into bytes for a stream.
#[derive(Clone, Debug)]
pub struct Uplink {
    framing: Framing,
    max_message: u32,
    /// A fragmented message that is being put together: its prefix's place, then its bytes.
    assembling: Option<Box<Assembling>>,
}

#[derive(Clone, Debug)]
struct Assembling {
    message: Vec<u8>,
    fragments: u32,
}

/// What a part of a message becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'b> {
    /// Bytes to pass on, maybe none.
    Bytes(&'b [u8]),
    /// A prefix, then bytes.
    Prefixed([u8; PREFIX], &'b [u8]),
    /// A whole message that had been cut in fragments, its prefix included.
    Whole(Vec<u8>),
}

impl Uplink {
    /// Makes the framing of one connection; `max_message` bytes is the most that is assembled.
    #[must_use]
    pub fn new(framing: Framing, max_message: u32) -> Self {
        Self { framing, max_message, assembling: None }
    }

    /// Takes the fields of one [`super::Event::Data`].
    ///
    /// An unfragmented message is never held. A fragmented one is held as it arrives and passed on when whole.
    ///
    /// # Errors
    /// [`Violation::TooBig`] (1009): a message over 4 GiB - 1, or a fragmented one over `max_message` or
    /// [`MAX_FRAGMENTS`], told by the frame's header before its payload is waited for. `Raw` has no bound.
    pub fn handle_data<'b>(
        &mut self,
        start: Option<FrameStart>,
        bytes: &'b [u8],
        message_end: bool,
    ) -> Result<Piece<'b>, Violation> {
        if self.framing == Framing::Raw {
            return Ok(Piece::Bytes(bytes));
        }
        match start {
            Some(FrameStart { first: true, fin: true, len }) => {
                let len = u32::try_from(len).map_err(|_| Violation::TooBig)?;
                return Ok(Piece::Prefixed(len.to_le_bytes(), bytes));
            }
            Some(FrameStart { first, len, .. }) => self.begin_fragment(first, len)?,
            None => {}
        }
        let Some(assembling) = &mut self.assembling else { return Ok(Piece::Bytes(bytes)) };
        assembling.message.extend_from_slice(bytes);
        if !message_end {
            return Ok(Piece::Bytes(&[]));
        }
        let Some(whole) = self.assembling.take() else { return Ok(Piece::Bytes(&[])) };
        Ok(Piece::Whole(whole.with_prefix()))
    }

    fn begin_fragment(&mut self, first: bool, len: u64) -> Result<(), Violation> {
        if first {
            self.assembling = None;
        }
        let assembling = self
            .assembling
            .get_or_insert_with(|| Box::new(Assembling { message: vec![0; PREFIX], fragments: 0 }));
        assembling.fragments += 1;
        let held = (assembling.message.len() - PREFIX) as u64;
        if assembling.fragments > MAX_FRAGMENTS || held.saturating_add(len) > u64::from(self.max_message) {
            self.assembling = None;
            return Err(Violation::TooBig);
        }
        Ok(())
    }
}

impl Assembling {
    fn with_prefix(mut self) -> Vec<u8> {
        // `max_message` is a u32, so the length is one.
        let len = (self.message.len() - PREFIX) as u32;
        self.message[..PREFIX].copy_from_slice(&len.to_le_bytes());
        self.message
    }
}

/// Turns a stream of bytes into binary messages of a server (not masked).
///
/// A length-prefixed message is passed on as it arrives: each read's part of it is one frame, so that pongs
/// and a close frame may go between them at any time.
#[derive(Clone, Debug)]
pub struct Downlink {
    framing: Framing,
    prefix: [u8; PREFIX],
    /// How much of the prefix arrived.
    have: u8,
    /// How much of the message is still to come.
    left: u32,
    /// A frame of this message has been written.
    open: bool,
}

/// A frame to write: the header, then these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'b> {
    /// The frame's header, for exactly `bytes`.
    pub header: FrameHeader,
    /// The frame's whole payload.
    pub bytes: &'b [u8],
}

impl Downlink {
    /// Makes the framing of one connection.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self { framing, prefix: [0; PREFIX], have: 0, left: 0, open: false }
    }

    /// Is the stream between two messages? If it ends elsewhere, the last message was cut.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.have == 0
    }

    /// Takes the next frame off the front of `input`; `None` when `input` is used up.
    pub fn next<'b>(&mut self, input: &mut &'b [u8]) -> Option<Chunk<'b>> {
        match self.framing {
            Framing::Raw if input.is_empty() => None,
            Framing::Raw => {
                let bytes = std::mem::take(input);
                Some(Chunk { header: header(Opcode::Binary, true, bytes.len() as u64, None), bytes })
            }
            Framing::LengthPrefixed => self.next_prefixed(input),
        }
    }

    fn next_prefixed<'b>(&mut self, input: &mut &'b [u8]) -> Option<Chunk<'b>> {
        if usize::from(self.have) < PREFIX {
            let part = take(input, PREFIX - usize::from(self.have));
            self.prefix[usize::from(self.have)..][..part.len()].copy_from_slice(part);
            self.have += part.len() as u8;
            if usize::from(self.have) < PREFIX {
                return None;
            }
            self.left = u32::from_le_bytes(self.prefix);
        }
        if self.left > 0 && input.is_empty() {
            return None;
        }
        let bytes = take(input, self.left as usize);
        self.left -= bytes.len() as u32;
        let fin = self.left == 0;
        let opcode = if self.open { Opcode::Continuation } else { Opcode::Binary };
        self.open = !fin;
        if fin {
            self.have = 0;
        }
        Some(Chunk { header: header(opcode, fin, bytes.len() as u64, None), bytes })
    }
}

/// Splits at most `max` bytes off the front of `input`.
fn take<'b>(input: &mut &'b [u8], max: usize) -> &'b [u8] {
    let (front, rest) = input.split_at(max.min(input.len()));
    *input = rest;
    front
}

#[cfg(test)]
mod tests;
