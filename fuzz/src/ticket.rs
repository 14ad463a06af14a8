//! A ticket opens only if this key sealed it, and what is inside stands in its bounds.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_core::ticket::{KeyId, KeyRing, Ticket, TicketKey};

const ID: KeyId = KeyId([1, 2, 3, 4]);
const SECRET: [u8; 32] = [7; 32];
const NONCE: [u8; 12] = [9; 12];

/// `data`: what it is, then a ticket, a key file, or the content of a ticket that is sealed here.
pub fn run(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let line = format!("{ID}:{}", SECRET.map(|byte| format!("{byte:02x}")).concat());
    let ring = KeyRing::parse(&line).expect("one line is a ring");
    match choice % 3 {
        0 => {
            let Ok(text) = std::str::from_utf8(rest) else { return };
            assert!(Ticket::open(text, &ring).is_err(), "{text:?} was not sealed by the key");
        }
        1 => {
            let Ok(text) = std::str::from_utf8(rest) else { return };
            if let Ok(ring) = KeyRing::parse(text) {
                assert!(ring.first().is_some(), "a ring has a key to seal with");
            }
        }
        _ => {
            let Ok((ticket, id)) = Ticket::open(&sealed(rest), &ring) else { return };
            assert_eq!(id, ID);
            assert!(ticket.exp <= Ticket::MAX_EXP && (1..=64).contains(&ticket.jti.len()));
            let key = TicketKey::new(ID, &SECRET).expect("32 bytes are a key");
            // Our own writing may be a little longer than the content was: too long is no fault.
            if let Ok(text) = ticket.seal(&key, NONCE) {
                assert_eq!(Ticket::open(&text, &ring).map(|(again, _)| again), Ok(ticket));
            }
        }
    }
}

/// Seals any content as docs/ticket.md says.
fn sealed(content: &[u8]) -> String {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &SECRET).expect("32 bytes are a key"));
    let mut text = content.to_vec();
    let associated = [&b"v1."[..], &ID.0].concat();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(NONCE), Aad::from(associated), &mut text)
        .expect("a short content can be sealed");
    format!("v1.{}", URL_SAFE_NO_PAD.encode([&ID.0[..], &NONCE, &text].concat()))
}
