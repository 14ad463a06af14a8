//! Keys: from a passphrase as kcptun makes them, or as they are.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA1};

use super::Cipher;

/// What kcptun salts and how often it hashes.
const SALT: &[u8] = b"kcp-go";
const ROUNDS: NonZeroU32 = NonZeroU32::new(4096).expect("not zero");
const DERIVED: usize = 32;

/// The same for the table of `xor` (kcp-go: `NewSimpleXORBlockCrypt`).
const XOR_SALT: &[u8] = b"sH3CIVoF#rWLtJo6";
const XOR_ROUNDS: NonZeroU32 = NonZeroU32::new(32).expect("not zero");
/// The largest datagram of kcp-go; what is behind it in a longer one stays as it is.
const XOR_TABLE: usize = 1500;

/// For a cipher that takes a key of any length but none.
pub(super) const ANY: &[usize] = &[];

/// A secret that both ends know.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Secret);

#[derive(Clone, PartialEq, Eq)]
enum Secret {
    Derived([u8; DERIVED]),
    Raw(Box<[u8]>),
}

impl Key {
    /// Derives a key as kcptun does: PBKDF2 with HMAC-SHA-1, salt `kcp-go`, 4,096 rounds, 32 bytes, of which
    /// each cipher takes as many as it needs from the front (`aes-gcm` 16). Takes about a millisecond.
    #[must_use]
    pub fn from_passphrase(passphrase: &str) -> Self {
        let mut derived = [0; DERIVED];
        pbkdf2::derive(PBKDF2_HMAC_SHA1, ROUNDS, SALT, passphrase.as_bytes(), &mut derived);
        Self(Secret::Derived(derived))
    }

    /// Takes bytes as they are. Whether they fit is seen when they meet a cipher: [`super::Crypt::new`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(Secret::Raw(bytes.into()))
    }

    /// The bytes for a cipher that takes one of `lengths`, shortest first.
    pub(super) fn fit(&self, cipher: Cipher, lengths: &'static [usize]) -> Result<&[u8], KeyError> {
        match &self.0 {
            Secret::Derived(bytes) => {
                Ok(bytes.get(..lengths.first().copied().unwrap_or(DERIVED)).unwrap_or(bytes))
            }
            Secret::Raw(bytes) if lengths.contains(&bytes.len()) => Ok(bytes),
            Secret::Raw(bytes) if lengths.is_empty() && !bytes.is_empty() => Ok(bytes),
            Secret::Raw(bytes) => Err(KeyError::Length { cipher, given: bytes.len(), lengths }),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

/// Why a key is none for a cipher.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is too short or too long.
    #[error("`{cipher}` takes a key of {} bytes, not of {given}", wanted(.lengths))]
    Length {
        /// The cipher.
        cipher: Cipher,
        /// Bytes of the key.
        given: usize,
        /// Bytes of the keys it takes; empty for 1 and more.
        lengths: &'static [usize],
    },
    /// The crypto library would not take it.
    #[error("the crypto library refuses the key")]
    Refused,
}

impl From<aws_lc_rs::error::Unspecified> for KeyError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        KeyError::Refused
    }
}

/// The lengths in words.
fn wanted(lengths: &[usize]) -> String {
    match lengths {
        ANY => "1 or more".into(),
        [only] => only.to_string(),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(usize::to_string).collect();
            format!("{} or {last}", first.join(", "))
        }
    }
}

/// The table that `xor` lays over each datagram.
pub(super) fn xor_table(key: &[u8]) -> Box<[u8]> {
    let mut table = vec![0; XOR_TABLE].into_boxed_slice();
    pbkdf2::derive(PBKDF2_HMAC_SHA1, XOR_ROUNDS, XOR_SALT, key, &mut table);
    table
}
