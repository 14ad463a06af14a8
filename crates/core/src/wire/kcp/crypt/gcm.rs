//! AES in Galois/counter mode (NIST SP 800-38D): nonce, ciphertext, tag.

use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::{KeyError, NONCE};

const HEAD: usize = 12;
const TAG: usize = 16;
/// What it adds to a datagram.
pub(super) const OVERHEAD: usize = HEAD + TAG;

/// AES-GCM with its key.
pub(super) struct Gcm(LessSafeKey);

impl Gcm {
    /// Prepares a key of 16, 24 or 32 bytes.
    pub(super) fn new(key: &[u8]) -> Result<Self, KeyError> {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            24 => &AES_192_GCM,
            _ => &AES_256_GCM,
        };
        Ok(Self(LessSafeKey::new(UnboundKey::new(algorithm, key)?)))
    }

    /// Moves the content behind the nonce and seals it there. Leaves zeros when there is no room for the header.
    pub(super) fn seal(&self, datagram: &mut [u8], nonce: [u8; NONCE]) {
        if datagram.len() >= OVERHEAD {
            datagram.copy_within(OVERHEAD.., HEAD);
            if self.seal_in_place(datagram, nonce).is_some() {
                return;
            }
        }
        datagram.fill(0);
    }

    fn seal_in_place(&self, datagram: &mut [u8], nonce: [u8; NONCE]) -> Option<()> {
        let (head, rest) = datagram.split_first_chunk_mut::<HEAD>()?;
        let (content, tag_room) = rest.split_last_chunk_mut::<TAG>()?;
        head.copy_from_slice(nonce.first_chunk::<HEAD>()?);
        let tag =
            self.0.seal_in_place_separate_tag(Nonce::assume_unique_for_key(*head), Aad::empty(), content);
        tag_room.copy_from_slice(tag.ok()?.as_ref());
        Some(())
    }

    /// Returns the content of a datagram that was sealed with this key.
    pub(super) fn open<'b>(&self, datagram: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let (head, rest) = datagram.split_first_chunk_mut::<HEAD>()?;
        let (content, tag) = rest.split_last_chunk_mut::<TAG>()?;
        let nonce = Nonce::assume_unique_for_key(*head);
        self.0.open_in_place_separate_tag(nonce, Aad::empty(), tag, content).ok()
    }
}
