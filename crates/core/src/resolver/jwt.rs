//! The `jwt` resolver: JSON Web Tokens (RFC 7519) under the rules of RFC 8725.
//!
//! The algorithm belongs to the key and is never taken from the token; `kid` only finds a key; `exp` is
//! required. Nothing a token says about where keys are (`jku`, `jwk`, `x5u`, `x5c`) is looked at.

use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::{ReadFile, Refusal, ResolverError, TokenFault, read_files};
use crate::config::{self, NameTarget};
use crate::endpoint::{Endpoint, Host, parse_port};
use crate::name::{RouteName, UpstreamName};
use crate::ticket::is_printable;

mod json;
mod key;
#[cfg(test)]
mod tests;

use self::key::Key;
pub use self::key::KeyError;

/// The longest token, in bytes.
pub const MAX_LEN: usize = 4096;

/// The most keys of one route: what a token without `kid` may cost at worst.
const MAX_KEYS: usize = 32;

/// The last second of the year 9999: times beyond it are slips of unit, or worse.
const MAX_TIME: f64 = 253_402_300_799.0;

/// What a token that was accepted says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Claims `host` and `port`, or `upstream`. Not yet through `allow`.
    pub target: NameTarget,
    /// Claim `sub`.
    pub subject: Option<Box<str>>,
}

/// Keys, and what is asked of a token. Its `Debug` shows no key.
#[derive(Debug)]
pub struct Verifier {
    keys: Vec<Key>,
    audience: Vec<Box<str>>,
    issuer: Vec<Box<str>>,
    leeway: Duration,
}

/// Builds the verifier of a route.
pub(super) fn build(
    route: &RouteName,
    settings: &config::Jwt,
    read: ReadFile<'_>,
) -> Result<Verifier, ResolverError> {
    let fault =
        |path: &Path, fault| ResolverError::TokenKey { route: route.clone(), path: path.into(), fault };
    let keys = read_files(route, &settings.key_files, read, |path, bytes| {
        key::read(&bytes).map_err(|error| fault(path, error))
    })?;
    let keys: Vec<Key> = keys.into_iter().flatten().collect();
    if keys.len() > MAX_KEYS {
        let last = settings.key_files.last().map_or(Path::new(""), |path| path);
        return Err(fault(last, KeyError::TooMany));
    }
    let config::Jwt { audience, issuer, leeway, .. } = settings.clone();
    Ok(Verifier { keys, audience, issuer, leeway })
}

impl Verifier {
    /// Makes a verifier of the bytes of one key file (PEM, JWK, JWKS or raw), with 60 s leeway.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn of_key_file(bytes: &[u8]) -> Result<Self, KeyError> {
        let keys = key::read(bytes)?;
        if keys.len() > MAX_KEYS {
            return Err(KeyError::TooMany);
        }
        Ok(Self { keys, audience: vec![], issuer: vec![], leeway: Duration::from_secs(60) })
    }

    /// Asks for one of these `aud` and one of these `iss`; empty = not asked.
    #[must_use]
    pub fn expecting(mut self, audience: Vec<Box<str>>, issuer: Vec<Box<str>>) -> Self {
        (self.audience, self.issuer) = (audience, issuer);
        self
    }

    /// Checks a token's form, signature, time, audience and issuer, in this order.
    ///
    /// # Errors
    /// `Malformed` for what is not three parts of base64url, else the fault.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Claims, Refusal> {
        if token.len() > MAX_LEN {
            return Err(TokenFault::TooLong.into());
        }
        let parts = Parts::of(token).ok_or(Refusal::Malformed)?;
        let header = json::object(&parts.header).ok_or(TokenFault::Header)?;
        let mut tried = false;
        let signed = self.candidates(&header)?.any(|key| {
            tried = true;
            key.verifies(parts.message, &parts.signature)
        });
        match (signed, tried) {
            (true, _) => Ok(self.claims(&parts.payload, now)?),
            (false, true) => Err(TokenFault::Signature.into()),
            (false, false) => Err(TokenFault::Key.into()),
        }
    }

    /// The keys that the header allows to try: those of its algorithm, and of its `kid` if that is known.
    fn candidates<'a>(
        &'a self,
        header: &'a Map<String, Value>,
    ) -> Result<impl Iterator<Item = &'a Key>, TokenFault> {
        // Nothing critical is understood (RFC 7515 section 4.1.11), nor is an unencoded payload (RFC 7797).
        if header.contains_key("crit") || header.contains_key("b64") || header.contains_key("zip") {
            return Err(TokenFault::Header);
        }
        let algorithm = header.get("alg").and_then(Value::as_str).ok_or(TokenFault::Header)?;
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= 256 => Some(kid.as_str()),
            Some(_) => return Err(TokenFault::Header),
        };
        let known = kid.is_some_and(|kid| self.keys.iter().any(|key| key.kid() == Some(kid)));
        // Keys from PEM or raw files have no id: a token's id cannot speak against them, if it is an id at all.
        let plain = kid.is_none_or(is_plain_kid);
        Ok(self.keys.iter().filter(move |key| {
            let meant = match kid {
                Some(kid) if known => key.kid() == Some(kid),
                Some(_) => plain && key.kid().is_none(),
                None => true,
            };
            meant && key.algorithm() == algorithm
        }))
    }

    fn claims(&self, payload: &[u8], now: SystemTime) -> Result<Claims, TokenFault> {
        let claims = json::object(payload).ok_or(TokenFault::Claims)?;
        // A clock before 1970 is wrong: with it, nothing would ever expire.
        let now = now.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| TokenFault::Expired)?.as_secs_f64();
        let leeway = self.leeway.as_secs_f64();
        if now >= time(&claims, "exp")?.ok_or(TokenFault::Claims)? + leeway {
            return Err(TokenFault::Expired);
        }
        if time(&claims, "nbf")?.is_some_and(|begin| now + leeway < begin) {
            return Err(TokenFault::NotYet);
        }
        if !self.audience.is_empty() && !names_one_of(claims.get("aud"), &self.audience) {
            return Err(TokenFault::Audience);
        }
        if !self.issuer.is_empty() {
            let issuer = claims.get("iss").and_then(Value::as_str).ok_or(TokenFault::Issuer)?;
            if !self.issuer.iter().any(|known| **known == *issuer) {
                return Err(TokenFault::Issuer);
            }
        }
        Ok(Claims { target: target(&claims)?, subject: subject(&claims)? })
    }
}

/// The three parts of a compact token, decoded.
struct Parts<'a> {
    header: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
    /// Header and payload as they were signed.
    message: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Option<Self> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        // Strict: no padding, no other alphabet, no bits behind the last byte; a dot is not in the alphabet.
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        Some(Self {
            header: decode(header)?,
            payload: decode(payload)?,
            signature: decode(signature)?,
            message: message.as_bytes(),
        })
    }
}

/// Could this be the id of somebody's key, not a path or a query?
fn is_plain_kid(kid: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=64).contains(&kid.len()) && kid.bytes().all(plain)
}

/// A NumericDate (RFC 7519 section 2): seconds, perhaps with a fraction.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, TokenFault> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..=MAX_TIME).contains(seconds));
    seconds.map(Some).ok_or(TokenFault::Claims)
}

/// Is the claim (a string, or an array of strings) or one of its members among `known`?
fn names_one_of(claim: Option<&Value>, known: &[Box<str>]) -> bool {
    let is_known =
        |value: &Value| value.as_str().is_some_and(|text| known.iter().any(|known| **known == *text));
    match claim {
        Some(Value::Array(values)) => values.iter().all(Value::is_string) && values.iter().any(is_known),
        Some(value) => is_known(value),
        None => false,
    }
}

/// Claims `host` and `port`, or `upstream`; never both.
fn target(claims: &Map<String, Value>) -> Result<NameTarget, TokenFault> {
    match (claims.get("host"), claims.get("port"), claims.get("upstream")) {
        (Some(Value::String(host)), Some(port), None) => {
            let bare = host.parse().map(|ip: std::net::Ipv6Addr| Host::Ip(ip.into()));
            let host = bare.or_else(|_| Host::parse(host)).map_err(|_| TokenFault::Claims)?;
            let number = || port.as_u64().and_then(|port| u16::try_from(port).ok()?.try_into().ok());
            let port = port.as_str().map_or_else(number, |text| parse_port(text).ok());
            Ok(NameTarget::Endpoint(Endpoint { host, port: port.ok_or(TokenFault::Claims)? }))
        }
        (None, None, Some(Value::String(name))) => {
            Ok(NameTarget::Upstream(UpstreamName::from(name.as_str())))
        }
        _ => Err(TokenFault::Claims),
    }
}

fn subject(claims: &Map<String, Value>) -> Result<Option<Box<str>>, TokenFault> {
    match claims.get("sub") {
        None => Ok(None),
        Some(Value::String(subject)) if is_printable(subject) => Ok(Some(subject.as_str().into())),
        Some(_) => Err(TokenFault::Claims),
    }
}
