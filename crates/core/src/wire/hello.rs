//! Hellos that are the first bytes of a stream. The gateway's own is length-prefixed: u32 little-endian length,
//! then that many bytes of UTF-8, the key. Those of foreign gateways are in `sealed`.
//!
//! Owns the bytes of an unfinished hello and nothing else. Deadlines are the caller's.

mod sealed;

/// Bytes of the length prefix.
const PREFIX: usize = 4;

/// Reads one hello, however it is cut.
///
/// Memory: nothing while nothing arrived; then what was received, never what a prefix claims.
#[derive(Clone, Debug)]
pub struct HelloReader {
    seen: Vec<u8>,
    max: u32,
    form: Form,
}

/// How a hello is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    LengthPrefixed,
    Frontd,
    Funny,
}

/// What a hello has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelloStep {
    /// The hello is not whole yet.
    NeedMore {
        /// The hello wants at most this many bytes more, and at least one: a reader that asks for no more
        /// than this never holds a client's stream bytes here, unless the hello is a line.
        at_most: usize,
    },
    /// The hello is whole; the reader is empty again.
    Done {
        /// What the client said: not empty, no NUL.
        key: Box<str>,
        /// What came with the hello and belongs to the stream.
        surplus: Box<[u8]>,
    },
}

/// Why a hello was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// There is no key: the length is zero.
    #[error("the hello's length is zero")]
    Empty,
    /// The length is over the limit.
    #[error("the hello claims {claimed} bytes, at most {max} are read")]
    TooLong {
        /// What the prefix says, or what came without an end, in bytes.
        claimed: u32,
        /// The limit, in bytes.
        max: u32,
    },
    /// The key is not UTF-8.
    #[error("the hello is not UTF-8")]
    NotUtf8,
    /// The key has a NUL.
    #[error("the hello has a NUL byte")]
    Nul,
}

impl HelloReader {
    /// Makes a reader that refuses keys of more than `max` bytes.
    #[must_use]
    pub fn new(max: u32) -> Self {
        Self { seen: Vec::new(), max, form: Form::LengthPrefixed }
    }

    /// Makes a reader of frontd's hello: a sealed address as a line of base64, or as 0x00, a length byte and
    /// that many raw bytes. The key is base64 either way, of at most `max` bytes.
    #[must_use]
    pub fn frontd(max: u32) -> Self {
        Self { form: Form::Frontd, ..Self::new(max) }
    }

    /// Makes a reader of funny/gateway's hello: a sealed address as a line of base64, of at most `max` bytes
    /// and never more than 64.
    #[must_use]
    pub fn funny(max: u32) -> Self {
        Self { form: Form::Funny, ..Self::new(max.min(sealed::FUNNY_MAX)) }
    }

    /// How many bytes a hello that has not begun wants at most.
    #[must_use]
    pub fn wants(&self) -> usize {
        match self.form {
            Form::LengthPrefixed => PREFIX + self.max as usize,
            Form::Frontd | Form::Funny => sealed::longest_line(self.max),
        }
    }

    /// Takes what arrived, all of it.
    ///
    /// # Errors
    /// A length of zero or over the limit as soon as the prefix is whole; then a key that is not UTF-8 or
    /// has a NUL. The bytes of a refused hello are dropped.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<HelloStep, HelloError> {
        if self.seen.is_empty() {
            // Nearly every hello comes in one piece: it is read where it lies.
            let step = self.read(bytes)?;
            if matches!(step, HelloStep::NeedMore { .. }) {
                self.seen.extend_from_slice(bytes);
            }
            return Ok(step);
        }
        let mut seen = std::mem::take(&mut self.seen);
        seen.extend_from_slice(bytes);
        let step = self.read(&seen)?;
        if matches!(step, HelloStep::NeedMore { .. }) {
            self.seen = seen;
        }
        Ok(step)
    }

    fn read(&self, seen: &[u8]) -> Result<HelloStep, HelloError> {
        match self.form {
            Form::LengthPrefixed => self.read_prefixed(seen),
            Form::Frontd => sealed::read_line_or_blob(seen, self.max),
            Form::Funny => sealed::read_line(seen, self.max),
        }
    }

    fn read_prefixed(&self, seen: &[u8]) -> Result<HelloStep, HelloError> {
        let Some((prefix, rest)) = seen.split_first_chunk::<PREFIX>() else {
            return Ok(HelloStep::NeedMore { at_most: PREFIX + self.max as usize - seen.len() });
        };
        let claimed = u32::from_le_bytes(*prefix);
        if claimed == 0 {
            return Err(HelloError::Empty);
        }
        if claimed > self.max {
            return Err(HelloError::TooLong { claimed, max: self.max });
        }
        let len = claimed as usize;
        let Some((key, surplus)) = rest.split_at_checked(len) else {
            return Ok(HelloStep::NeedMore { at_most: len - rest.len() });
        };
        done(key, surplus)
    }
}

/// Ends a hello whose key is `key`.
fn done(key: &[u8], surplus: &[u8]) -> Result<HelloStep, HelloError> {
    let key = simdutf8::basic::from_utf8(key).map_err(|_| HelloError::NotUtf8)?;
    if key.contains('\0') {
        return Err(HelloError::Nul);
    }
    Ok(HelloStep::Done { key: key.into(), surplus: surplus.into() })
}

/// Puts a message behind its u32 little-endian length, as the seed's replies and hellos are.
///
/// A message is at most 4 GiB - 1: the rest of a longer one is left out.
#[must_use]
pub fn length_prefixed(message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(PREFIX + len as usize);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&message[..len as usize]);
    out
}

#[cfg(test)]
mod tests;
