//! From the key of a `kcp` table to its cipher.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::{Kcp, KcpKey};
use crate::passphrase;
use crate::wire::kcp::crypt::{Crypt, Key, KeyError};

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{}: a passphrase is text of 1 to {} bytes", path.display(), passphrase::MAX)]
    NoPassphrase {
        /// Which file.
        path: PathBuf,
    },
    /// The key does not fit its cipher.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Makes the cipher of `kcp`; `read` reads its key file. Deriving a key takes about a millisecond.
pub(super) fn crypt(kcp: &Kcp, read: &dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Result<Crypt, SecretError> {
    let key = match &kcp.key {
        None => Key::from_bytes(&[]),
        Some(KcpKey::Raw(bytes)) => Key::from_bytes(bytes),
        Some(KcpKey::Passphrase(passphrase)) => Key::from_passphrase(passphrase),
        Some(KcpKey::File(path)) => Key::from_passphrase(&read_passphrase(path, read)?),
    };
    Ok(Crypt::new(kcp.cipher, &key)?)
}

fn read_passphrase(path: &Path, read: &dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Result<String, SecretError> {
    let bytes = read(path).map_err(|source| SecretError::Unreadable { path: path.into(), source })?;
    passphrase::parse(bytes).ok_or_else(|| SecretError::NoPassphrase { path: path.into() })
}
