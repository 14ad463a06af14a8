//! The first message of TLS, looked at and not consumed: which name does the client ask for?
//!
//! Owns the bytes of an unfinished `ClientHello` (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2) and gives all of
//! them back: they are for the endpoint, which alone judges them. Of an encrypted `ClientHello` the outer name is
//! what is seen, and a greasing client's unknown suites and extensions (RFC 8701) are stepped over.

mod name;

use name::server_name;

/// The longest `ClientHello` with the records around it, in bytes.
pub const MAX_CLIENT_HELLO: usize = 16 * 1024;

/// A record's type, version and length.
const RECORD_HEADER: usize = 5;
/// A handshake message's type and length.
const MESSAGE_HEADER: usize = 4;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// The most a record may carry (RFC 8446 section 5.1).
const MAX_RECORD: usize = 1 << 14;

/// Reads one `ClientHello`, however it is cut and over however many records.
///
/// Memory: nothing while nothing arrived; then what was received, twice at most, never what a length claims. Each
/// byte is looked at once until the message is whole.
#[derive(Clone, Debug, Default)]
pub struct ClientHelloReader {
    seen: Vec<u8>,
    /// So much of it was taken apart.
    taken: usize,
    /// So much of the current record is missing.
    left: usize,
    /// What the records carried.
    message: Vec<u8>,
}

/// What a `ClientHello` has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientHelloStep {
    /// It is not whole yet.
    NeedMore {
        /// No more than this many bytes may still belong to it.
        at_most: usize,
    },
    /// It is whole; the reader is empty again.
    Done {
        /// The name it asks for, in lower case; `None` where it asks for none.
        name: Option<Box<str>>,
        /// Every byte that was taken, to be given on.
        seen: Box<[u8]>,
    },
}

/// Why it is no `ClientHello`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientHelloError {
    /// It does not begin as TLS does.
    #[error("not TLS")]
    NotTls,
    /// A record is empty or over 16 KiB.
    #[error("a TLS record has no proper length")]
    Record,
    /// It is over [`MAX_CLIENT_HELLO`] bytes.
    #[error("the ClientHello is over 16 KiB")]
    TooLong,
    /// A field runs over its end, or does not fill it.
    #[error("the ClientHello is malformed")]
    Malformed,
    /// The name is none that a server may be asked for by, or there are several.
    #[error("the ClientHello's server name is malformed")]
    Name,
}

impl ClientHelloReader {
    /// Makes a reader.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what arrived, all of it.
    ///
    /// # Errors
    /// What cannot become a `ClientHello`, as soon as that is known; the bytes are dropped.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<ClientHelloStep, ClientHelloError> {
        let mut reader = std::mem::take(self);
        reader.seen.extend_from_slice(bytes);
        while reader.take_record()? {}
        if let Some(name) = reader.name()? {
            return Ok(ClientHelloStep::Done { name, seen: reader.seen.into() });
        }
        let at_most = MAX_CLIENT_HELLO.saturating_sub(reader.seen.len());
        if at_most == 0 {
            return Err(ClientHelloError::TooLong);
        }
        *self = reader;
        Ok(ClientHelloStep::NeedMore { at_most })
    }

    /// Takes a record's header, or what came of its payload; false: all is taken that came.
    fn take_record(&mut self) -> Result<bool, ClientHelloError> {
        let rest = self.seen.get(self.taken..).unwrap_or_default();
        if self.left > 0 {
            let part = rest.get(..self.left).unwrap_or(rest);
            self.message.extend_from_slice(part);
            self.taken += part.len();
            self.left -= part.len();
            return Ok(!part.is_empty());
        }
        // A whole message is not followed into the next record.
        if self.message_end().is_some_and(|end| self.message.len() >= end) {
            return Ok(false);
        }
        // Each byte is checked as it comes, so that what is not TLS is known at once.
        let plausible = |(at, byte): (usize, &u8)| match at {
            0 => *byte == HANDSHAKE,
            1 => *byte == 3,
            2 => *byte <= 4,
            _ => true,
        };
        if !rest.iter().take(RECORD_HEADER).enumerate().all(plausible) {
            return Err(ClientHelloError::NotTls);
        }
        let Some([_, _, _, high, low]) = rest.first_chunk::<RECORD_HEADER>() else { return Ok(false) };
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        if len == 0 || len > MAX_RECORD {
            return Err(ClientHelloError::Record);
        }
        self.taken += RECORD_HEADER;
        self.left = len;
        Ok(true)
    }

    /// Where the message ends, once its header is there.
    fn message_end(&self) -> Option<usize> {
        let [_, high, middle, low] = self.message.first_chunk::<MESSAGE_HEADER>()?;
        Some(MESSAGE_HEADER + u32::from_be_bytes([0, *high, *middle, *low]) as usize)
    }

    /// The name, once the message is whole.
    fn name(&self) -> Result<Option<Option<Box<str>>>, ClientHelloError> {
        if self.message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Err(ClientHelloError::NotTls);
        }
        let Some(end) = self.message_end() else { return Ok(None) };
        if end > MAX_CLIENT_HELLO {
            return Err(ClientHelloError::TooLong);
        }
        self.message.get(MESSAGE_HEADER..end).map(server_name).transpose()
    }
}

#[cfg(test)]
mod tests;
