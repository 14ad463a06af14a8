//! A token is accepted only if this key signed it, and then only with a time and a target in bounds.

use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_core::resolver::jwt::Verifier;

const SECRET: &[u8; 32] = b"thirty-two bytes only for a test";
const NOW: Duration = Duration::from_secs(2_000_000_000);

/// `data`: what it is, then a token, a key file, or the claims or the header of a token that is signed here.
pub fn run(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let verifier = Verifier::of_key_file(SECRET).expect("32 bytes are a key");
    let now = SystemTime::UNIX_EPOCH + NOW;
    match choice % 4 {
        0 => {
            let Ok(token) = std::str::from_utf8(rest) else { return };
            let is_ours = token.rsplit_once('.').is_some_and(|(message, tag)| tag == signature(message));
            assert!(is_ours || verifier.verify(token, now).is_err(), "{token:?} was not signed by the key");
        }
        1 => {
            // Any bytes are read as a key file without a panic; a key of this file did not sign that token.
            if let Ok(other) = Verifier::of_key_file(rest) {
                let token = signed(br#"{"alg":"HS256"}"#, br#"{"exp":2000000100,"upstream":"lobby"}"#);
                let trimmed = rest.strip_suffix(b"\n").unwrap_or(rest);
                assert!(trimmed == SECRET || other.verify(&token, now).is_err());
            }
        }
        2 => {
            let accepted = verifier.verify(&signed(br#"{"alg":"HS256"}"#, rest), now).is_ok();
            assert!(
                !accepted || exp(rest).is_some_and(|exp| exp + 60.0 >= NOW.as_secs_f64()),
                "an old token"
            );
        }
        _ => {
            let token = signed(rest, br#"{"exp":2000000100,"upstream":"lobby"}"#);
            if verifier.verify(&token, now).is_ok() {
                let header: serde_json::Value =
                    serde_json::from_slice(rest).expect("an accepted header is JSON");
                assert_eq!(header["alg"], "HS256", "the algorithm is the key's");
            }
        }
    }
}

fn exp(claims: &[u8]) -> Option<f64> {
    serde_json::from_slice::<serde_json::Value>(claims).ok()?.get("exp")?.as_f64()
}

fn signed(header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let tag = signature(&message);
    format!("{message}.{tag}")
}

fn signature(message: &str) -> String {
    URL_SAFE_NO_PAD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), message.as_bytes()))
}
