//! Tokens made by hand, so that a forged one is as easy as a good one.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

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
