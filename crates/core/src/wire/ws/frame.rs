//! The parts of a frame (RFC 6455 section 5.2): opcodes, headers, control payloads, close codes.

use std::fmt;
use std::ops::Deref;

use super::mask::apply_mask;

/// The largest payload of a control frame, in bytes (section 5.5).
pub(super) const CONTROL_MAX: usize = 125;

/// The largest header, in bytes: two, an eight-byte length and a mask.
pub(super) const HEADER_MAX: usize = 14;

/// What a frame is (section 11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// The next fragment of a message.
    Continuation = 0x0,
    /// A message of UTF-8.
    Text = 0x1,
    /// A message of bytes.
    Binary = 0x2,
    /// The end.
    Close = 0x8,
    /// To be answered with a pong.
    Ping = 0x9,
    /// Answers a ping, or nothing.
    Pong = 0xa,
}

impl Opcode {
    /// Reads the low four bits of a frame's first byte; `None` for the reserved ones.
    pub(super) fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    /// Is it close, ping or pong?
    #[must_use]
    pub fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// How the peer broke the protocol: the connection is to be closed with [`Violation::code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// RSV1, RSV2 or RSV3 is set; no extension is ever agreed on.
    #[error("a reserved bit is set")]
    ReservedBit,
    /// The opcode has no meaning.
    #[error("a reserved opcode")]
    ReservedOpcode,
    /// A client's frame is not masked (section 5.1).
    #[error("a client's frame is not masked")]
    MaskMissing,
    /// A server's frame is masked (section 5.1).
    #[error("a server's frame is masked")]
    MaskUnexpected,
    /// A control frame is longer than 125 bytes.
    #[error("a control frame of more than 125 bytes")]
    ControlTooLong,
    /// A control frame is fragmented.
    #[error("a fragmented control frame")]
    ControlFragmented,
    /// A length is written in more bytes than it needs.
    #[error("a length not in its shortest form")]
    LengthNotMinimal,
    /// A length has its highest bit set.
    #[error("a length of 2^63 or more")]
    LengthReserved,
    /// A fragment goes on where no message is open.
    #[error("a continuation of no message")]
    NothingToContinue,
    /// A message begins inside another one.
    #[error("a message inside a fragmented one")]
    Interrupted,
    /// A close frame has one byte, half a code.
    #[error("a close frame of one byte")]
    CloseCut,
    /// A close code that must not be sent (section 7.4).
    #[error("close code {0} is not for the wire")]
    CloseCode(u16),
    /// A text message or a close reason is not UTF-8.
    #[error("text that is not UTF-8")]
    NotUtf8,
    /// A message is larger than it may be where it has to be assembled or counted.
    #[error("a message over its limit")]
    TooBig,
}

impl Violation {
    /// The close code to answer with: 1002, 1007 or 1009.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::NotUtf8 => 1007,
            Self::TooBig => 1009,
            Self::ReservedBit
            | Self::ReservedOpcode
            | Self::MaskMissing
            | Self::MaskUnexpected
            | Self::ControlTooLong
            | Self::ControlFragmented
            | Self::LengthNotMinimal
            | Self::LengthReserved
            | Self::NothingToContinue
            | Self::Interrupted
            | Self::CloseCut
            | Self::CloseCode(_) => 1002,
        }
    }
}

/// The payload of a control frame: at most 125 bytes, held in place.
#[derive(Clone, Copy)]
pub struct Control {
    bytes: [u8; CONTROL_MAX],
    len: u8,
}

impl Control {
    /// A payload of nothing.
    pub const EMPTY: Self = Self { bytes: [0; CONTROL_MAX], len: 0 };

    /// Takes as much of `bytes` as fits and returns how much that was.
    pub(super) fn push(&mut self, bytes: &[u8]) -> usize {
        let free = &mut self.bytes[usize::from(self.len)..];
        let count = free.len().min(bytes.len());
        free[..count].copy_from_slice(&bytes[..count]);
        // At most 125 in all.
        self.len += count as u8;
        count
    }

    /// Makes the payload of a close frame; a reason of more than 123 bytes is cut between characters.
    #[must_use]
    pub fn close(code: u16, reason: &str) -> Self {
        let mut payload = Self::EMPTY;
        payload.push(&code.to_be_bytes());
        payload.push(&reason.as_bytes()[..reason.floor_char_boundary(CONTROL_MAX - 2)]);
        payload
    }
}

impl Deref for Control {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Control({} bytes)", self.len)
    }
}

impl PartialEq for Control {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Control {}

/// A close frame that was checked: its code may be on the wire, its reason is UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    payload: Control,
}

impl Close {
    /// Checks the payload of a close frame.
    pub(super) fn read(payload: Control) -> Result<Self, Violation> {
        match payload.split_first_chunk::<2>() {
            None if payload.is_empty() => {}
            None => return Err(Violation::CloseCut),
            Some((code, reason)) => {
                let code = u16::from_be_bytes(*code);
                if !is_close_code(code) {
                    return Err(Violation::CloseCode(code));
                }
                if std::str::from_utf8(reason).is_err() {
                    return Err(Violation::NotUtf8);
                }
            }
        }
        Ok(Self { payload })
    }

    /// The code; `None` for a close frame without one.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        self.payload.first_chunk().map(|code| u16::from_be_bytes(*code))
    }

    /// The reason, UTF-8, at most 123 bytes.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        self.payload.get(2..).unwrap_or_default()
    }

    /// The whole payload: code and reason as the peer sent them.
    #[must_use]
    pub fn payload(&self) -> Control {
        self.payload
    }

    /// The payload to answer with: the peer's code and nothing else (section 5.5.1).
    #[must_use]
    pub fn answer(&self) -> Control {
        self.code().map_or(Control::EMPTY, |code| Control::close(code, ""))
    }
}

/// May this close code be on the wire? (section 7.4 and IANA's registry: 1012 to 1014 are in use)
#[must_use]
pub fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// A frame's header, held in place: 2 to 14 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    bytes: [u8; HEADER_MAX],
    len: u8,
}

impl Deref for FrameHeader {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for FrameHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameHeader({:02x?})", &**self)
    }
}

/// Writes the header of a frame of `len` payload bytes, `len` below 2^63; `fin` ends the message.
///
/// With a `mask` the caller masks the payload by [`apply_mask`]; only clients do.
#[must_use]
pub fn header(opcode: Opcode, fin: bool, len: u64, mask: Option<[u8; 4]>) -> FrameHeader {
    let mut bytes = [0; HEADER_MAX];
    bytes[0] = opcode as u8 | if fin { 0x80 } else { 0 };
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut end = match len {
        0..=125 => {
            bytes[1] = masked | len as u8;
            2
        }
        126..=0xffff => {
            bytes[1] = masked | 126;
            bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            4
        }
        _ => {
            bytes[1] = masked | 127;
            bytes[2..10].copy_from_slice(&len.to_be_bytes());
            10
        }
    };
    if let Some(mask) = mask {
        bytes[end..end + 4].copy_from_slice(&mask);
        end += 4;
    }
    FrameHeader { bytes, len: end as u8 }
}

/// Writes a frame that is a whole message, or a control frame.
///
/// A control frame's `payload` is at most 125 bytes: take it from a [`Control`].
#[must_use]
pub fn frame(opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let header = header(opcode, true, payload.len() as u64, mask);
    let mut out = Vec::with_capacity(header.len() + payload.len());
    out.extend_from_slice(&header);
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        // The frame ends here: nobody goes on with the turned mask.
        let _turned = apply_mask(&mut out[header.len()..], mask);
    }
    out
}
