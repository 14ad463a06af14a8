//! The PROXY protocol: who the client is, told by what stands between it and us, or by us to an endpoint.
//!
//! Read in versions 1 and 2, written in version 2 (HAProxy's `proxy-protocol.txt`, sections 2.1 and 2.2).
//! Owns the bytes of an unfinished header and nothing else; whose header is believed is the caller's to say.

mod crc32c;
mod v1;
mod v2;

use std::net::SocketAddr;

pub use v1::MAX_LINE;
pub use v2::{Header, IDENTITY, MAX_HEADER, MAX_IDENTITY};

/// The header of a connection of our own, on which nobody is relayed: a health probe (section 2.2, `LOCAL`).
pub const LOCAL: [u8; 16] = *b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// Reads one header, however it is cut.
///
/// Memory: nothing while nothing arrived; then what was received, at most [`MAX_HEADER`] bytes.
#[derive(Clone, Debug, Default)]
pub struct HeaderReader {
    seen: Vec<u8>,
}

/// What a header has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderStep {
    /// The header is not whole yet.
    NeedMore {
        /// At least this many bytes of the header are missing, never zero: a reader that asks for no more than
        /// this never holds a byte of what follows.
        at_most: usize,
    },
    /// The header is whole; the reader is empty again.
    Done {
        /// The connection that was relayed; `None` where the header names none (`LOCAL`, `UNKNOWN`, a unix socket):
        /// then the addresses of the connection itself count.
        addresses: Option<Addresses>,
        /// What came with the header and belongs to what follows.
        surplus: Box<[u8]>,
    },
}

/// The connection that a header speaks of. IPv4-mapped addresses are told as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The client.
    pub source: SocketAddr,
    /// Where the client connected to.
    pub destination: SocketAddr,
}

/// Why a header was refused. Nothing the peer sent is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It begins like neither version.
    #[error("not a PROXY header")]
    NotProxy,
    /// A line of version 1 breaks its grammar.
    #[error("the PROXY line is malformed")]
    Line,
    /// A line of version 1 has no end within [`MAX_LINE`] bytes.
    #[error("the PROXY line is over 107 bytes")]
    LineTooLong,
    /// Version or command of a binary header are none that exist.
    #[error("the PROXY header's version or command is unknown")]
    Command,
    /// Family or transport of a binary header are none that exist.
    #[error("the PROXY header's address family is unknown")]
    Family,
    /// A binary header claims more than [`MAX_HEADER`] bytes, or fewer than its addresses take.
    #[error("the PROXY header's length fits neither its addresses nor the limit")]
    Length,
    /// A field behind the addresses runs over the header's end, or its value has a wrong size.
    #[error("the PROXY header's fields are malformed")]
    Field,
    /// The checksum is there and wrong.
    #[error("the PROXY header's checksum is wrong")]
    Checksum,
}

impl HeaderReader {
    /// What to ask for before anything arrived: every header has at least as many bytes, and they tell its version.
    pub const FIRST: usize = v2::SIGNATURE.len();

    /// Makes a reader.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what arrived, all of it.
    ///
    /// # Errors
    /// What cannot become a header, as soon as that is known; the bytes are dropped.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<HeaderStep, HeaderError> {
        if self.seen.is_empty() {
            // Nearly every header comes in one piece: it is read where it lies.
            let step = read(bytes)?;
            if matches!(step, HeaderStep::NeedMore { .. }) {
                self.seen.extend_from_slice(bytes);
            }
            return Ok(step);
        }
        let mut seen = std::mem::take(&mut self.seen);
        seen.extend_from_slice(bytes);
        let step = read(&seen)?;
        if matches!(step, HeaderStep::NeedMore { .. }) {
            self.seen = seen;
        }
        Ok(step)
    }
}

fn read(seen: &[u8]) -> Result<HeaderStep, HeaderError> {
    let begins = |want: &[u8]| seen.iter().zip(want).all(|(got, want)| got == want);
    if seen.is_empty() {
        Ok(HeaderStep::NeedMore { at_most: HeaderReader::FIRST })
    } else if begins(&v2::SIGNATURE) {
        v2::read(seen)
    } else if begins(v1::BEGIN) {
        v1::read(seen)
    } else {
        Err(HeaderError::NotProxy)
    }
}

/// An address as the rest of the gateway knows it: IPv4 is never written as IPv6.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests;
