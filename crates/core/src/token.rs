//! Device tokens: what a device shows to be the one that was registered.
//!
//! A *client id* is a name: whoever knows it proves nothing. A *token* is a secret that this gateway drew: it is
//! kept as a hash, never written in clear, and compared in constant time. [`record`] has what is known of one
//! device and every rule about it, [`bearer`] what a session knows of its device, [`guard`] who has failed too often. Keeps nothing itself: the control plane
//! has the store.

pub mod bearer;
pub mod guard;
pub mod record;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

use crate::config;

/// A moment: seconds since 1970 in UTC.
pub type Unix = u64;

/// A device token: a UUID of version 4 (RFC 9562 section 5.4), 122 random bits. Printed as `***`.
#[derive(Clone, Copy)]
pub struct DeviceToken([u8; 16]);

impl DeviceToken {
    /// Makes a token of bytes that nobody can foretell.
    #[must_use]
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// The token of a version-2 frame. Any bytes are one: whether they are good is the record's business.
    #[must_use]
    pub fn from_wire(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// As it stands in a version-2 frame.
    #[must_use]
    pub fn wire(&self) -> [u8; 16] {
        self.0
    }

    /// Reads the form of RFC 9562 section 4: 36 characters, in either case. `None`: it is no such text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        const DASHES: [usize; 4] = [8, 13, 18, 23];
        let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
        if DASHES.iter().any(|place| text[*place] != b'-') {
            return None;
        }
        let mut digits = text.iter().enumerate().filter(|(place, _)| !DASHES.contains(place));
        let mut digit =
            || char::from(*digits.next()?.1).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let mut bytes = [0; 16];
        for byte in &mut bytes {
            *byte = digit()? << 4 | digit()?;
        }
        Some(Self(bytes))
    }

    /// The form of RFC 9562 section 4, in lower case. For the device only: never for a log.
    #[must_use]
    pub fn text(&self) -> String {
        let digits = format!("{:032x}", u128::from_be_bytes(self.0));
        [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &self.0).as_ref());
        TokenHash(hash)
    }
}

impl fmt::Debug for DeviceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The SHA-256 of a token. Compared in constant time. It leads to no token: those have 122 random bits.
#[derive(Clone, Copy, Eq)]
pub struct TokenHash([u8; 32]);

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A device's name: 1 to 128 characters of `a-z A-Z 0-9 . _ : -`.
///
/// Usually the lowercase hex SHA-256 of the six bytes of its MAC address, 64 characters; any other stable id is
/// one too. It is no secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(Box<str>);

/// The longest client id, in bytes.
pub const CLIENT_ID_MAX: usize = 128;

impl ClientId {
    /// Reads a client id. `None`: too long, empty, or a character that none has.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:-".contains(byte);
        let fits = (1..=CLIENT_ID_MAX).contains(&text.len());
        (fits && text.as_bytes().iter().all(is_part)).then(|| Self(text.into()))
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// All tokens that descend from one registration. Another registration of the same client id begins another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Family(pub u64);

/// How long tokens are good, in whole seconds; at least one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long a token is good.
    pub ttl: u64,
    /// How old a token is when the next one is due, give or take a fifth.
    pub rotate_after: u64,
    /// So long unused, a device may be registered again.
    pub reregister_after: u64,
}

impl From<&config::Tokens> for Terms {
    fn from(tokens: &config::Tokens) -> Self {
        let whole = |time: Duration| time.as_secs().max(1);
        Self {
            ttl: whole(tokens.token_ttl),
            rotate_after: whole(tokens.rotate_after),
            reregister_after: whole(tokens.reregister_after),
        }
    }
}

/// Random bytes for one decision; drawn anew for each.
#[derive(Clone, Copy)]
pub struct Chance {
    /// Becomes a token, if one is given.
    pub token: [u8; 16],
    /// Names a family, if one begins.
    pub family: [u8; 8],
    /// Spreads rotation over time.
    pub spread: [u8; 2],
}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why a device is not let in. What it is told is the same for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The client id is registered, and its token is in use.
    Bound,
    /// Nobody is registered by that client id.
    Unknown,
    /// The token is none of that device's.
    WrongToken,
    /// The token has ended.
    Expired,
    /// The token was replaced by one that has been used since: two hold it. The family is revoked from here on.
    Stolen,
    /// The family was revoked before.
    Revoked,
    /// What had to be shown besides was not accepted.
    Proof,
    /// Too many refusals of this client's network, or of this client id.
    Throttled,
    /// The message is none that asks for a token.
    Malformed,
    /// A frame came before the device had logged in.
    NotLoggedIn,
    /// There is no room for another device.
    Full,
    /// The store cannot be read or written.
    Store,
}

impl Refusal {
    /// Every one, in declaration order.
    pub const ALL: [Self; 12] = [
        Self::Bound,
        Self::Unknown,
        Self::WrongToken,
        Self::Expired,
        Self::Stolen,
        Self::Revoked,
        Self::Proof,
        Self::Throttled,
        Self::Malformed,
        Self::NotLoggedIn,
        Self::Full,
        Self::Store,
    ];

    /// The label in the audit log and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Bound => "bound",
            Self::Unknown => "unknown",
            Self::WrongToken => "wrong-token",
            Self::Expired => "expired",
            Self::Stolen => "stolen",
            Self::Revoked => "revoked",
            Self::Proof => "proof",
            Self::Throttled => "throttled",
            Self::Malformed => "malformed",
            Self::NotLoggedIn => "not-logged-in",
            Self::Full => "full",
            Self::Store => "store",
        }
    }

    /// Does it speak against the client? What is the gateway's own trouble does not.
    #[must_use]
    pub fn is_the_clients(self) -> bool {
        !matches!(self, Self::Full | Self::Store | Self::Throttled)
    }
}
