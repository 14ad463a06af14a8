//! Frames: version u8, type (u8, or u16 big-endian), length u16 big-endian, payload of that length.
//!
//! Version 2 of a client's frame has a 16-byte device token between length and payload; a frame to a client never
//! has one. Every other version is a header and a payload. Owns the form; what a type means is in [`message`] and
//! with the caller. Nothing is ever assembled: a frame passes in pieces, as it comes.

pub mod message;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Deref;

use crate::config::TypeBytes;

/// The version whose frames show a device token.
pub const WITH_TOKEN: u8 = 2;
/// The version without one.
pub const WITHOUT_TOKEN: u8 = 1;
/// Bytes of a device token.
pub const TOKEN: usize = 16;
/// The longest header, in bytes: version, type of two, length, token.
pub const HEADER_MAX: usize = 1 + 2 + 2 + TOKEN;

/// The bytes of a device token, which nobody has judged yet. A secret: they are not printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenBytes(pub [u8; TOKEN]);

impl fmt::Debug for TokenBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What stands before a frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Of the form. Any is passed on; [`WITH_TOKEN`] has a meaning.
    pub version: u8,
    /// What the payload is.
    pub kind: u16,
    /// Bytes of the payload; a token is not counted.
    pub length: u16,
    /// The device token; `Some` exactly in version 2 of a client's frame.
    pub token: Option<TokenBytes>,
}

impl Header {
    /// The same frame without a token, as an endpoint gets it: what is left is a frame of version 1.
    #[must_use]
    pub fn without_token(self) -> Self {
        match self.token {
            Some(_) => Self { version: WITHOUT_TOKEN, token: None, ..self },
            None => self,
        }
    }

    /// Its bytes. A type that has no room in one byte is written as 255: configurations with such a type are
    /// refused.
    #[must_use]
    pub fn encode(&self, width: TypeBytes) -> HeaderBytes {
        let mut bytes = HeaderBytes { bytes: [0; HEADER_MAX], len: 0 };
        bytes.push(&[self.version]);
        match width {
            TypeBytes::One => bytes.push(&[u8::try_from(self.kind).unwrap_or(u8::MAX)]),
            TypeBytes::Two => bytes.push(&self.kind.to_be_bytes()),
        }
        bytes.push(&self.length.to_be_bytes());
        if let Some(TokenBytes(token)) = &self.token {
            bytes.push(token);
        }
        bytes
    }
}

/// The bytes of a header.
#[derive(Clone, Copy)]
pub struct HeaderBytes {
    bytes: [u8; HEADER_MAX],
    len: u8,
}

impl HeaderBytes {
    fn push(&mut self, more: &[u8]) {
        let from = usize::from(self.len);
        if let Some(place) = self.bytes.get_mut(from..from + more.len()) {
            place.copy_from_slice(more);
            self.len += u8::try_from(more.len()).unwrap_or_default();
        }
    }
}

impl Deref for HeaderBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl fmt::Debug for HeaderBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len) // a token may be among them
    }
}

/// Appends a frame without a token. A payload is cut at 65,535 bytes: the gateway's own messages are far shorter.
pub fn push(to: &mut Vec<u8>, width: TypeBytes, kind: (u8, u16), payload: &[u8]) {
    push_with(to, width, kind, |to| to.extend_from_slice(payload));
}

/// As [`push`], where `write` appends the payload.
pub fn push_with(
    to: &mut Vec<u8>,
    width: TypeBytes,
    (version, kind): (u8, u16),
    write: impl FnOnce(&mut Vec<u8>),
) {
    let header = |length| Header { version, kind, length, token: None }.encode(width);
    let from = to.len();
    to.extend_from_slice(&header(0));
    let payload = to.len();
    write(to);
    let length = u16::try_from(to.len() - payload).unwrap_or(u16::MAX);
    to.truncate(payload + usize::from(length));
    if let Some(place) = to.get_mut(from..payload) {
        place.copy_from_slice(&header(length));
    }
}

/// What a piece of the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// A frame begins: its header is whole.
    Header(Header),
    /// A piece of its payload; never empty.
    Payload(&'b [u8]),
    /// The frame is whole. The stream stands between two frames.
    End,
}

/// Reads frames off a stream, however it is cut.
///
/// Memory: at most an unfinished header. Payload is never kept.
#[derive(Clone, Debug)]
pub struct Decoder {
    width: TypeBytes,
    /// Does version 2 carry a token?
    tokens: bool,
    head: HeaderBytes,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Header,
    Payload { left: u16 },
}

impl Decoder {
    /// For what a client sends: version 2 has a token.
    #[must_use]
    pub fn of_client(width: TypeBytes) -> Self {
        let head = HeaderBytes { bytes: [0; HEADER_MAX], len: 0 };
        Self { width, tokens: true, head, stage: Stage::Header }
    }

    /// For what an endpoint sends: no version has a token.
    #[must_use]
    pub fn of_endpoint(width: TypeBytes) -> Self {
        Self { tokens: false, ..Self::of_client(width) }
    }

    /// Does the stream stand between two frames, or before the first?
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.stage == Stage::Header && self.head.is_empty()
    }

    /// Bytes of the current frame's payload that are still to come; 0 in a header and between frames.
    #[must_use]
    pub fn left(&self) -> u16 {
        match self.stage {
            Stage::Header => 0,
            Stage::Payload { left } => left,
        }
    }

    /// Takes the next event off the front of `input`; `None`: more is needed, and `input` is empty.
    pub fn next<'b>(&mut self, input: &mut &'b [u8]) -> Option<Event<'b>> {
        match self.stage {
            Stage::Header => {
                let header = self.header(input)?;
                self.stage = Stage::Payload { left: header.length };
                Some(Event::Header(header))
            }
            Stage::Payload { left: 0 } => {
                self.stage = Stage::Header;
                Some(Event::End)
            }
            Stage::Payload { left } => {
                let (piece, rest) = input.split_at_checked(usize::from(left)).unwrap_or((input, &[]));
                if piece.is_empty() {
                    return None;
                }
                *input = rest;
                let count = u16::try_from(piece.len()).unwrap_or(left);
                self.stage = Stage::Payload { left: left - count };
                Some(Event::Payload(piece))
            }
        }
    }

    /// Takes bytes off the front of `input` up to the end of a frame: the one it stands in, or the next. False:
    /// `input` has no such end, and is taken whole.
    pub fn skip_frame(&mut self, input: &mut &[u8]) -> bool {
        while let Some(event) = self.next(input) {
            if event == Event::End {
                return true;
            }
        }
        false
    }

    fn header(&mut self, input: &mut &[u8]) -> Option<Header> {
        loop {
            let version = self.head.first().or_else(|| input.first()).copied()?;
            let want = self.length_of(version);
            let missing = want - self.head.len();
            let (piece, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
            *input = rest;
            self.head.push(piece);
            if piece.len() < missing {
                return None;
            }
            let header = self.parse();
            self.head.len = 0;
            if header.is_some() {
                return header;
            }
        }
    }

    /// How long a header of that version is, in bytes.
    fn length_of(&self, version: u8) -> usize {
        let kind = if self.width == TypeBytes::One { 1 } else { 2 };
        1 + kind + 2 + if self.tokens && version == WITH_TOKEN { TOKEN } else { 0 }
    }

    /// The header that is whole. `None` cannot be: its length was counted.
    fn parse(&self) -> Option<Header> {
        let (&version, rest) = self.head.split_first()?;
        let (kind, rest) = match self.width {
            TypeBytes::One => rest.split_first().map(|(kind, rest)| (u16::from(*kind), rest))?,
            TypeBytes::Two => {
                rest.split_first_chunk().map(|(kind, rest)| (u16::from_be_bytes(*kind), rest))?
            }
        };
        let (length, rest) = rest.split_first_chunk()?;
        let token = rest.first_chunk().copied().map(TokenBytes);
        Some(Header { version, kind, length: u16::from_be_bytes(*length), token })
    }
}
