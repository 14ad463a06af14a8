//! The decoder: bytes in, events out, in place.

use std::mem;

use super::frame::{CONTROL_MAX, Close, Control, HEADER_MAX, Opcode, Violation};
use super::mask::apply_mask;
use super::utf8::Utf8;

/// Which end this is: it decides who must mask (section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This end is the server: every frame that arrives must be masked.
    Server,
    /// This end is the client: no frame that arrives may be masked.
    Client,
}

/// Decodes the frames of one direction.
///
/// All of its state is here: it may be cloned, moved and written down between any two bytes. It holds no
/// payload but that of a control frame that a read has cut.
#[derive(Clone, Debug)]
pub struct Decoder {
    phase: Phase,
    /// The data message that is open between its frames.
    message: Option<Opcode>,
    utf8: Utf8,
    role: Role,
}

/// Where in the wire's grammar the next byte is.
#[derive(Clone, Debug)]
enum Phase {
    /// In a header of which `have` bytes arrived.
    Header { bytes: [u8; HEADER_MAX], have: u8 },
    /// In the payload of a data frame with `left` bytes to come, at least one.
    Payload { opcode: Opcode, fin: bool, left: u64, mask: Option<[u8; 4]> },
    /// In the payload of a control frame.
    Control(Box<CutControl>),
    /// After a close frame or a violation: nothing that arrives has a meaning.
    Over,
}

/// A control frame of which a part arrived.
#[derive(Clone, Debug)]
struct CutControl {
    opcode: Opcode,
    left: u8,
    mask: Option<[u8; 4]>,
    payload: Control,
}

/// How a data frame begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameStart {
    /// Is it the last, or the only, frame of its message?
    pub fin: bool,
    /// Is it the first, or the only, frame of its message?
    pub first: bool,
    /// Its payload in bytes, below 2^63, as the peer claims: not to be allocated.
    pub len: u64,
}

/// What arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// A part of a data message.
    Data {
        /// Of the message, also in its later fragments: text or binary.
        opcode: Opcode,
        /// Set where a frame begins; told once, maybe before any of its payload.
        start: Option<FrameStart>,
        /// Payload, unmasked, in the caller's buffer; may be empty.
        bytes: &'b mut [u8],
        /// The message ends with these bytes.
        message_end: bool,
    },
    /// To be answered by a pong with the same payload.
    Ping(Control),
    /// A pong, asked for or not.
    Pong(Control),
    /// The peer's last frame: what arrives later is dropped.
    Close(Close),
}

/// A header that passed every rule which needs no memory of earlier frames.
struct Head {
    opcode: Opcode,
    fin: bool,
    len: u64,
    mask: Option<[u8; 4]>,
}

impl Decoder {
    /// Makes a decoder that is in front of a frame.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self { phase: Phase::START, message: None, utf8: Utf8::default(), role }
    }

    /// Has a close frame or a violation ended the stream?
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Is the peer between two messages, with nothing of a frame or a message outstanding?
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.message.is_none() && matches!(self.phase, Phase::Header { have: 0, .. })
    }

    /// Takes the next event off the front of `input`; `None` when `input` is used up.
    ///
    /// # Errors
    /// The first byte that breaks the protocol ends the stream: close with [`Violation::code`]. What
    /// arrives after that, or after a close frame, is used up without a meaning.
    pub fn next<'b>(&mut self, input: &mut &'b mut [u8]) -> Result<Option<Event<'b>>, Violation> {
        let event = self.advance(input);
        if event.is_err() {
            self.phase = Phase::Over;
        }
        event
    }

    fn advance<'b>(&mut self, input: &mut &'b mut [u8]) -> Result<Option<Event<'b>>, Violation> {
        loop {
            match &mut self.phase {
                Phase::Header { bytes, have } => {
                    if !fill(bytes, have, input, self.role)? {
                        return Ok(None);
                    }
                    let head = Head::read(bytes);
                    if let Some(event) = self.begin(head, input)? {
                        return Ok(Some(event));
                    }
                }
                Phase::Payload { .. } if input.is_empty() => return Ok(None),
                Phase::Payload { .. } => return self.payload(None, input).map(Some),
                Phase::Control(_) => return self.control(input),
                Phase::Over => {
                    take(input, usize::MAX);
                    return Ok(None);
                }
            }
        }
    }

    /// Begins the frame behind a whole header.
    fn begin<'b>(&mut self, head: Head, input: &mut &'b mut [u8]) -> Result<Option<Event<'b>>, Violation> {
        let Head { opcode, fin, len, mask } = head;
        let (opcode, first) = match (opcode, self.message) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => {
                // `fill` saw that a control frame has at most 125 bytes.
                return self.begin_control(opcode, len as u8, mask, input);
            }
            (Opcode::Continuation, None) => return Err(Violation::NothingToContinue),
            (Opcode::Continuation, Some(message)) => (message, false),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(Violation::Interrupted),
            (Opcode::Text | Opcode::Binary, None) => (opcode, true),
        };
        self.message = Some(opcode);
        self.phase = Phase::Payload { opcode, fin, left: len, mask };
        self.payload(Some(FrameStart { fin, first, len }), input).map(Some)
    }

    /// Begins a control frame: one that arrived whole is read where it lies, and nothing is allocated.
    fn begin_control<'b>(
        &mut self,
        opcode: Opcode,
        len: u8,
        mask: Option<[u8; 4]>,
        input: &mut &'b mut [u8],
    ) -> Result<Option<Event<'b>>, Violation> {
        let mut frame = CutControl { opcode, left: len, mask, payload: Control::EMPTY };
        if frame.fill(input) {
            return self.control_event(&frame).map(Some);
        }
        self.phase = Phase::Control(Box::new(frame));
        Ok(None)
    }

    /// Goes on with a control frame that was cut.
    fn control<'b>(&mut self, input: &mut &'b mut [u8]) -> Result<Option<Event<'b>>, Violation> {
        let Phase::Control(mut frame) = mem::replace(&mut self.phase, Phase::START) else { return Ok(None) };
        if frame.fill(input) {
            return self.control_event(&frame).map(Some);
        }
        self.phase = Phase::Control(frame);
        Ok(None)
    }

    fn control_event<'b>(&mut self, frame: &CutControl) -> Result<Event<'b>, Violation> {
        self.phase = Phase::START;
        Ok(match frame.opcode {
            Opcode::Ping => Event::Ping(frame.payload),
            Opcode::Pong => Event::Pong(frame.payload),
            Opcode::Close | Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                let close = Close::read(frame.payload)?;
                self.phase = Phase::Over;
                Event::Close(close)
            }
        })
    }

    /// Takes what `input` has of the payload of a data frame.
    fn payload<'b>(
        &mut self,
        start: Option<FrameStart>,
        input: &mut &'b mut [u8],
    ) -> Result<Event<'b>, Violation> {
        let Phase::Payload { opcode, fin, left, mask } = &mut self.phase else {
            return Err(Violation::NothingToContinue);
        };
        let (opcode, fin) = (*opcode, *fin);
        let bytes = take(input, usize::try_from(*left).unwrap_or(usize::MAX));
        if let Some(mask) = mask {
            *mask = apply_mask(bytes, *mask);
        }
        *left -= bytes.len() as u64;
        let frame_end = *left == 0;
        if opcode == Opcode::Text {
            self.utf8.check(bytes).map_err(|_| Violation::NotUtf8)?;
        }
        let message_end = frame_end && fin;
        if frame_end {
            self.phase = Phase::START;
        }
        if message_end {
            self.message = None;
            self.utf8.end().map_err(|_| Violation::NotUtf8)?;
        }
        Ok(Event::Data { opcode, start, bytes, message_end })
    }
}

impl Phase {
    /// In front of a frame.
    const START: Self = Self::Header { bytes: [0; HEADER_MAX], have: 0 };
}

impl CutControl {
    /// Takes what `input` has of the payload; true when it is whole.
    fn fill(&mut self, input: &mut &mut [u8]) -> bool {
        let bytes = take(input, usize::from(self.left));
        if let Some(mask) = &mut self.mask {
            *mask = apply_mask(bytes, *mask);
        }
        // All of it fits: a control frame has at most 125 bytes.
        self.left -= self.payload.push(bytes) as u8;
        self.left == 0
    }
}

impl Head {
    /// Reads a header that [`fill`] found whole and right.
    fn read(bytes: &[u8; HEADER_MAX]) -> Self {
        let [first, second, rest @ ..] = bytes;
        // `fill` has refused the reserved opcodes.
        let opcode = Opcode::from_bits(first & 0xf).unwrap_or(Opcode::Close);
        let (len, at) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes([rest[0], rest[1]])), 2),
            127 => (long_len(rest), 8),
            short => (u64::from(short), 0),
        };
        let mask = (second & 0x80 != 0).then(|| [rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        Self { opcode, fin: first & 0x80 != 0, len, mask }
    }
}

fn long_len(rest: &[u8; HEADER_MAX - 2]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *rest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Takes what `input` has of a header; true when it is whole.
///
/// # Errors
/// Each rule is checked as soon as the bytes that break it are here.
fn fill(
    bytes: &mut [u8; HEADER_MAX],
    have: &mut u8,
    input: &mut &mut [u8],
    role: Role,
) -> Result<bool, Violation> {
    loop {
        let want = match *have {
            0 | 1 => 2,
            _ => header_len(bytes[1]),
        };
        let from = usize::from(*have);
        let part = take(input, want - from);
        bytes[from..from + part.len()].copy_from_slice(part);
        // At most 14 in all.
        *have += part.len() as u8;
        let have = usize::from(*have);
        if from < 2 && have >= 1 {
            check_first(bytes[0])?;
        }
        if from < 2 && have >= 2 {
            check_second(bytes[0], bytes[1], role)?;
        }
        check_len(bytes, from, have)?;
        if have < want {
            return Ok(false);
        }
        if have >= 2 && have == header_len(bytes[1]) {
            return Ok(true);
        }
    }
}

/// How long the header with this second byte is.
fn header_len(second: u8) -> usize {
    let len = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + len + if second & 0x80 != 0 { 4 } else { 0 }
}

fn check_first(first: u8) -> Result<(), Violation> {
    if first & 0x70 != 0 {
        return Err(Violation::ReservedBit);
    }
    match Opcode::from_bits(first & 0xf) {
        None => Err(Violation::ReservedOpcode),
        Some(opcode) if opcode.is_control() && first & 0x80 == 0 => Err(Violation::ControlFragmented),
        Some(_) => Ok(()),
    }
}

fn check_second(first: u8, second: u8, role: Role) -> Result<(), Violation> {
    match (role, second & 0x80 != 0) {
        (Role::Server, false) => return Err(Violation::MaskMissing),
        (Role::Client, true) => return Err(Violation::MaskUnexpected),
        (Role::Server, true) | (Role::Client, false) => {}
    }
    if first & 0x8 != 0 && usize::from(second & 0x7f) > CONTROL_MAX {
        return Err(Violation::ControlTooLong);
    }
    Ok(())
}

/// Checks an extended length once, when its last byte is among those from `from` to `have`.
fn check_len(bytes: &[u8; HEADER_MAX], from: usize, have: usize) -> Result<(), Violation> {
    let [_, second, rest @ ..] = bytes;
    match second & 0x7f {
        126 if from < 4 && have >= 4 && u16::from_be_bytes([rest[0], rest[1]]) <= 125 => {
            Err(Violation::LengthNotMinimal)
        }
        127 if from < 10 && have >= 10 => match long_len(rest) {
            0..=0xffff => Err(Violation::LengthNotMinimal),
            len if len >> 63 != 0 => Err(Violation::LengthReserved),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Splits at most `max` bytes off the front of `input`.
fn take<'b>(input: &mut &'b mut [u8], max: usize) -> &'b mut [u8] {
    let all = mem::take(input);
    let (front, rest) = all.split_at_mut(max.min(all.len()));
    *input = rest;
    front
}

#[cfg(test)]
mod tests;
