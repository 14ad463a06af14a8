//! AES in CFB mode (NIST SP 800-38A 6.3) with the one initialisation vector of kcp-go.
//!
//! With `Y[0] = E(iv)` and `Y[i] = E(C[i-1])`, CFB is `C[i] = P[i] ^ Y[i]`. Sealing, `Y[i] = E(P[i-1] ^ Y[i-1])`:
//! that is CBC of the plain text behind `Y[0]`, which the crypto library has whole in assembly. Opening, `Y` is
//! ECB of the cipher text, whose blocks do not wait for one another.

use aws_lc_rs::cipher::{AES_128, AES_192, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::iv::FixedLength;

use super::{KeyError, xor};

const BLOCK: usize = 16;
/// kcp-go's `initialVector`.
const IV: [u8; BLOCK] =
    [0xa7, 0x73, 0x4f, 0x9c, 0x12, 0xac, 0x1b, 0x01, 0xa4, 0x15, 0xf2, 0xc1, 0xfc, 0x78, 0xe6, 0x6b];
/// Bytes that are worked on at a time, on the stack: no datagram of kcp-go is longer.
const SPAN: usize = 94 * BLOCK;

/// AES in CFB mode.
pub(super) struct Cfb {
    cbc: EncryptingKey,
    ecb: EncryptingKey,
    /// `Y[0]`.
    first: [u8; BLOCK],
}

impl Cfb {
    /// Prepares a key of 16, 24 or 32 bytes.
    pub(super) fn new(key: &[u8]) -> Result<Self, KeyError> {
        let algorithm = match key.len() {
            16 => &AES_128,
            24 => &AES_192,
            _ => &AES_256,
        };
        let ecb = EncryptingKey::ecb(UnboundCipherKey::new(algorithm, key)?)?;
        let cbc = EncryptingKey::cbc(UnboundCipherKey::new(algorithm, key)?)?;
        let mut first = IV;
        ecb.less_safe_encrypt(&mut first, EncryptionContext::None)?;
        Ok(Self { cbc, ecb, first })
    }

    /// Encrypts in place. Should the library fail, which it has no cause to, zeros are left and no plain text.
    pub(super) fn encrypt(&self, bytes: &mut [u8]) {
        let cbc = |span: &mut [u8], before: &[u8; BLOCK]| {
            let context = EncryptionContext::Iv128(FixedLength::from(before));
            self.cbc.less_safe_encrypt(span, context).map(drop)
        };
        self.run(bytes, cbc);
    }

    /// Decrypts in place.
    pub(super) fn decrypt(&self, bytes: &mut [u8]) {
        let ecb = |span: &mut [u8], _: &[u8; BLOCK]| {
            self.ecb.less_safe_encrypt(span, EncryptionContext::None).map(drop)
        };
        self.run(bytes, ecb);
    }

    /// Lays `Y` over `bytes`; `next` makes of a span's whole blocks the `Y` that follows each of them.
    fn run(&self, bytes: &mut [u8], next: impl Fn(&mut [u8], &[u8; BLOCK]) -> Result<(), Unspecified>) {
        let mut before = self.first;
        for span in bytes.chunks_mut(SPAN) {
            let mut following = [0; SPAN];
            let (following, _) = following.split_at_mut(span.len() - span.len() % BLOCK);
            following.copy_from_slice(&span[..following.len()]);
            if next(following, &before).is_err() {
                span.fill(0);
            }
            let (head, tail) = span.split_at_mut(span.len().min(BLOCK));
            xor(head, &before);
            xor(tail, following);
            if let Some(last) = following.last_chunk() {
                before = *last;
            }
        }
    }
}
