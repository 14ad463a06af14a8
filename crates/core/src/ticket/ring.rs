//! The key file of tickets: one key a line, `id:key` in hex, the first one mints.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};

use super::KeyId;

/// A key that seals and opens tickets. Its `Debug` shows the id only.
pub struct TicketKey {
    id: KeyId,
    key: LessSafeKey,
}

/// The keys of a key file, in its order: all open tickets, the first one seals.
#[derive(Debug)]
pub struct KeyRing(Vec<TicketKey>);

/// Why a text is no key file. Never shows a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// A line is no key.
    #[error(
        "line {line} is no ticket key; write `id:key` as 8 and 64 hex digits (`portcullis ticket keygen` makes one)"
    )]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// Two keys have one id.
    #[error("line {line} has the id {id} of an earlier key; give every key an id of its own")]
    Twice {
        /// Counted from 1.
        line: usize,
        /// The id.
        id: KeyId,
    },
    /// There is no key.
    #[error("there is no key in it; `portcullis ticket keygen` makes one")]
    Empty,
    /// There are too many.
    #[error("there are more than {} keys; drop those whose tickets have all ended", KeyRing::MAX)]
    TooMany,
}

impl TicketKey {
    /// Length of a key in bytes.
    pub const LEN: usize = 32;

    /// Makes a key of its id and 32 secret bytes.
    ///
    /// # Errors
    /// When the bytes are not 32.
    pub fn new(id: KeyId, secret: &[u8]) -> Result<Self, WrongLength> {
        let key = UnboundKey::new(&AES_256_GCM, secret).map_err(|_| WrongLength { given: secret.len() })?;
        Ok(Self { id, key: LessSafeKey::new(key) })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    pub(super) fn key(&self) -> &LessSafeKey {
        &self.key
    }
}

/// A secret of the wrong length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a ticket key has 32 bytes, this has {given}")]
pub struct WrongLength {
    /// Its length in bytes.
    pub given: usize,
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKey").field("id", &self.id).field("key", &"***").finish()
    }
}

impl KeyRing {
    /// The most keys of one ring.
    pub const MAX: usize = 64;

    /// Reads key files' text: a key a line as `id:key` in hex; empty lines and `#` comments are passed over.
    ///
    /// # Errors
    /// See [`KeyRingError`].
    pub fn parse(text: &str) -> Result<Self, KeyRingError> {
        let mut keys: Vec<TicketKey> = Vec::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let key = parse_line(content).ok_or(KeyRingError::Line { line })?;
            if keys.iter().any(|earlier| earlier.id == key.id) {
                return Err(KeyRingError::Twice { line, id: key.id });
            }
            keys.push(key);
        }
        match keys.len() {
            0 => Err(KeyRingError::Empty),
            count if count > Self::MAX => Err(KeyRingError::TooMany),
            _ => Ok(Self(keys)),
        }
    }

    /// The key with this id.
    #[must_use]
    pub fn find(&self, id: KeyId) -> Option<&TicketKey> {
        self.0.iter().find(|key| key.id == id)
    }

    /// The key that seals: the first of the file.
    #[must_use]
    pub fn first(&self) -> Option<&TicketKey> {
        self.0.first()
    }
}

fn parse_line(line: &str) -> Option<TicketKey> {
    let (id, secret) = line.split_once(':')?;
    let mut bytes = [0; TicketKey::LEN];
    read_hex(secret, &mut bytes)?;
    let mut id_bytes = [0; KeyId::LEN];
    read_hex(id, &mut id_bytes)?;
    TicketKey::new(KeyId(id_bytes), &bytes).ok()
}

/// Fills `into` from exactly twice as many hex digits.
fn read_hex(text: &str, into: &mut [u8]) -> Option<()> {
    let digits = text.as_bytes();
    if digits.len() != 2 * into.len() {
        return None;
    }
    for (byte, pair) in into.iter_mut().zip(digits.chunks_exact(2)) {
        let mut value = 0;
        for &digit in pair {
            value = value << 4 | char::from(digit).to_digit(16)?;
        }
        *byte = u8::try_from(value).ok()?;
    }
    Some(())
}
