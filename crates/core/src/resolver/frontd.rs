//! The `frontd` resolver: an address encrypted as `openssl enc -aes-256-cbc -md md5 -a` does, which is what frontd
//! and funny/gateway read.
//!
//! The format proves nothing: it has no integrity check, no expiry and binds nobody. Whoever saw a key may use it
//! again, and whoever may try often enough can change one. So every fault in it is one refusal, and `allow` decides.

use std::fmt;
use std::path::Path;

use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

use super::{Ask, Guard, Own, ReadFile, Refusal, ResolverError, Target, address_or_name};
use crate::endpoint::Endpoint;
use crate::name::RouteName;
use crate::passphrase;

/// What a blob begins with; its salt follows.
const MAGIC: &[u8] = b"Salted__";
const SALT: usize = 8;
/// Length of an MD5 digest.
const DIGEST: usize = 16;
const KEY: usize = 32;
const IV: usize = 16;

/// What the addresses of a route are encrypted with. Its `Debug` shows nothing of it.
pub(super) struct Passphrase(Box<str>);

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(***)")
    }
}

impl Passphrase {
    pub(super) fn build(route: &RouteName, path: &Path, read: ReadFile<'_>) -> Result<Self, ResolverError> {
        let unreadable =
            |source| ResolverError::Unreadable { route: route.clone(), path: path.into(), source };
        let bytes = read(path).map_err(unreadable)?;
        let text = passphrase::parse(bytes)
            .ok_or_else(|| ResolverError::Passphrase { route: route.clone(), path: path.into() })?;
        Ok(Self(text.into()))
    }

    /// Decrypts the key and lets the address out if `allow` has it.
    pub(super) fn resolve(&self, guard: &Guard, ask: &Ask<'_>, own: &Own) -> Result<Target, Refusal> {
        let endpoint: Endpoint = self.open(ask.key).ok_or(Refusal::Malformed)?;
        address_or_name(&guard.allow, endpoint, ask.client, own)
    }

    /// Decrypts `base64("Salted__" salt ciphertext)` and reads the `host:port` in it.
    fn open(&self, key: &str) -> Option<Endpoint> {
        let mut blob = STANDARD.decode(key).ok()?;
        let (salt, sealed) = blob.strip_prefix(MAGIC)?.split_first_chunk::<SALT>()?;
        let (key, iv) = self.derive(salt);
        let at = blob.len() - sealed.len();
        let key = UnboundCipherKey::new(&AES_256, &key).ok()?;
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
        let iv = DecryptionContext::Iv128(FixedLength::from(iv));
        let text = key.decrypt(blob.get_mut(at..)?, iv).ok()?;
        std::str::from_utf8(text).ok()?.parse().ok()
    }

    /// `EVP_BytesToKey` with MD5 and one round: each digest is of the one before, the passphrase and the salt.
    fn derive(&self, salt: &[u8; SALT]) -> ([u8; KEY], [u8; IV]) {
        let next = |previous: &[u8]| -> [u8; DIGEST] {
            Md5::new().chain_update(previous).chain_update(&*self.0).chain_update(salt).finalize().into()
        };
        let first = next(&[]);
        let second = next(&first);
        let mut key = [0; KEY];
        key[..DIGEST].copy_from_slice(&first);
        key[DIGEST..].copy_from_slice(&second);
        (key, next(&second))
    }
}

#[cfg(test)]
mod tests;
