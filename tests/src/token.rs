//! Tokens made by hand, so that a forged one is as easy as a good one.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// base64url without padding.
#[must_use]
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A JWT of that header and those claims, signed by `sign` over its first two parts.
#[must_use]
pub fn jwt(header: &str, claims: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let text = format!("{}.{}", b64(header), b64(claims));
    let signature = sign(text.as_bytes());
    format!("{text}.{}", b64(signature))
}

/// Signs with HMAC-SHA-256.
pub fn hs256(key: &[u8]) -> impl FnOnce(&[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    move |text| hmac::sign(&key, text).as_ref().to_vec()
}

/// A fresh Ed25519 key: its public half as PEM, and the key to sign with.
#[must_use]
pub fn ed25519() -> (String, Ed25519KeyPair) {
    let pair = Ed25519KeyPair::generate().unwrap();
    // RFC 8410: SEQUENCE { SEQUENCE { 1.3.101.112 }, BIT STRING }.
    let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let der = [&head[..], pair.public_key().as_ref()].concat();
    (format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der)), pair)
}

/// An `exp` that many seconds from now.
#[must_use]
pub fn ends_at(seconds: i64) -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 + seconds
}
