//! The ticket format: a routing key that the operator's own login service seals and only a gateway opens.
//!
//! A ticket is `v1.` and, in base64url without padding, a key id (4 bytes), a nonce (12 bytes) and an
//! AES-256-GCM box (JSON and a 16-byte tag). docs/ticket.md is the specification, with vectors. This room
//! owns sealing, opening and the key file; whether an open ticket is accepted is the resolver's business.

use std::fmt;
use std::net::IpAddr;

use aws_lc_rs::aead::{Aad, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::config::NameTarget;
use crate::endpoint::Endpoint;
use crate::name::UpstreamName;

mod ring;
#[cfg(test)]
mod tests;

pub use self::ring::{KeyRing, KeyRingError, TicketKey};

/// What every ticket begins with.
pub const PREFIX: &str = "v1.";

/// The longest ticket, in bytes of text.
pub const MAX_LEN: usize = 2048;

/// Bytes before the sealed text: key id and nonce.
const HEAD: usize = KeyId::LEN + NONCE;
/// Bytes of a nonce.
pub const NONCE: usize = 12;
const TAG: usize = 16;

/// Which key sealed a ticket: 4 bytes, written as 8 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; KeyId::LEN]);

impl KeyId {
    /// Length in bytes.
    pub const LEN: usize = 4;
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

/// What a ticket says once it is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Where it leads.
    pub target: NameTarget,
    /// When it ends, in Unix seconds; at most [`Ticket::MAX_EXP`].
    pub exp: u64,
    /// Its own name, unique among the tickets of a key: 1 to 64 letters, digits, `-` and `_`.
    pub jti: Box<str>,
    /// The only address it may come from.
    pub ip: Option<IpAddr>,
    /// Who it was made for: 1 to 128 printable characters.
    pub device: Option<Box<str>>,
    /// May it be used only once?
    pub once: bool,
}

/// Why a text is no ticket of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// It is not `v1.` and base64url of a box, or it is too long.
    #[error("this is no ticket: `v1.` and 44 to {MAX_LEN} characters of base64url without padding are")]
    Malformed,
    /// No key of the ring has its id.
    #[error("the ticket was sealed with key {0}, which is not in the key file")]
    UnknownKey(KeyId),
    /// The box does not open: another key under the same id, or a changed byte.
    #[error("the ticket was changed, or sealed with another key of the same id")]
    Sealed,
    /// The box opens, and what is in it is not a ticket's content.
    #[error("the ticket's content is wrong: {0}")]
    Content(Box<str>),
}

/// The content of the box, in the order in which it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upstream: Option<Box<str>>,
    exp: u64,
    jti: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    once: bool,
}

impl Ticket {
    /// The last second of the year 9999.
    pub const MAX_EXP: u64 = 253_402_300_799;

    /// Seals the ticket. `nonce` must never be used twice with one key: take it from the system's generator.
    ///
    /// # Errors
    /// [`TicketError::Content`] for a field outside its bounds, [`TicketError::Malformed`] for a ticket that
    /// would be too long.
    pub fn seal(&self, key: &TicketKey, nonce: [u8; NONCE]) -> Result<String, TicketError> {
        let mut sealed = self.to_json()?.into_bytes();
        let aad = Aad::from(associated(key.id()));
        key.key()
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .map_err(|_| TicketError::Sealed)?;
        let whole = [&key.id().0[..], &nonce, &sealed].concat();
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(whole));
        if text.len() > MAX_LEN { Err(TicketError::Malformed) } else { Ok(text) }
    }

    /// Writes the ticket's content as it is sealed: JSON without spaces, in the order of the specification.
    ///
    /// # Errors
    /// [`TicketError::Content`] for a field outside its bounds.
    pub fn to_json(&self) -> Result<String, TicketError> {
        let (target, upstream) = match &self.target {
            NameTarget::Endpoint(endpoint) => (Some(endpoint.to_string().into()), None),
            NameTarget::Upstream(name) => (None, Some(name.as_str().into())),
        };
        let Self { exp, jti, ip, device, once, .. } = self.clone();
        let content = Content { target, upstream, exp, jti, ip, device, once };
        let json = serde_json::to_string(&content).map_err(|error| wrong(&error.to_string()))?;
        Self::try_from(content).map(|_| json)
    }

    /// Opens a ticket, and says which key it was sealed with. Does not look at its time, address or use.
    ///
    /// # Errors
    /// See [`TicketError`].
    pub fn open(text: &str, ring: &KeyRing) -> Result<(Self, KeyId), TicketError> {
        let encoded = text.strip_prefix(PREFIX).filter(|_| text.len() <= MAX_LEN);
        let whole = encoded.and_then(|encoded| URL_SAFE_NO_PAD.decode(encoded).ok());
        let mut whole = whole.filter(|whole| whole.len() > HEAD + TAG).ok_or(TicketError::Malformed)?;
        let (head, sealed) = whole.split_at_mut(HEAD);
        let (id, nonce) = head.split_first_chunk().ok_or(TicketError::Malformed)?;
        let id = KeyId(*id);
        let key = ring.find(id).ok_or(TicketError::UnknownKey(id))?.key();
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| TicketError::Malformed)?;
        let plain =
            key.open_in_place(nonce, Aad::from(associated(id)), sealed).map_err(|_| TicketError::Sealed)?;
        let content: Content = serde_json::from_slice(plain).map_err(|error| wrong(&error.to_string()))?;
        Ok((Self::try_from(content)?, id))
    }
}

/// What the box vouches for besides its content: the version and the key's id.
fn associated(id: KeyId) -> [u8; PREFIX.len() + KeyId::LEN] {
    let [a, b, c, d] = id.0;
    [b'v', b'1', b'.', a, b, c, d]
}

impl TryFrom<Content> for Ticket {
    type Error = TicketError;

    fn try_from(content: Content) -> Result<Self, TicketError> {
        let target = match (content.target, content.upstream) {
            (Some(target), None) => {
                NameTarget::Endpoint(target.parse::<Endpoint>().map_err(|error| wrong(&error.to_string()))?)
            }
            (None, Some(name)) if !name.is_empty() => NameTarget::Upstream(UpstreamName::from(&*name)),
            _ => return Err(wrong("exactly one of `target` and `upstream` is needed")),
        };
        if content.exp > Self::MAX_EXP {
            return Err(wrong("`exp` is beyond the year 9999; it counts seconds"));
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(1..=64).contains(&content.jti.len()) || !content.jti.bytes().all(plain) {
            return Err(wrong("`jti` is 1 to 64 letters, digits, `-` and `_`"));
        }
        if content.device.as_deref().is_some_and(|device| !is_printable(device)) {
            return Err(wrong("`device` is 1 to 128 printable characters"));
        }
        let Content { exp, jti, ip, device, once, .. } = content;
        Ok(Self { target, exp, jti, ip, device, once })
    }
}

/// May this stand in a log line and in a PROXY header as who a session is? 1 to 128 characters, no controls.
pub(crate) fn is_printable(identity: &str) -> bool {
    let length = identity.chars().take(129).count();
    (1..=128).contains(&length) && !identity.chars().any(char::is_control)
}

fn wrong(what: &str) -> TicketError {
    TicketError::Content(what.into())
}
