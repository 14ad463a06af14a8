//! From the key of a `kcp` table to its cipher.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::{Kcp, KcpKey};
use crate::wire::kcp::crypt::{Crypt, Key, KeyError};

/// Longer than any passphrase: a file of this size is another than was meant.
const FILE_MAX: usize = 1024;

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
    #[error("{}: a passphrase is text of 1 to {FILE_MAX} bytes", path.display())]
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
        Some(KcpKey::File(path)) => Key::from_passphrase(&passphrase(path, read)?),
    };
    Ok(Crypt::new(kcp.cipher, &key)?)
}

fn passphrase(path: &Path, read: &dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Result<String, SecretError> {
    let bytes = read(path).map_err(|source| SecretError::Unreadable { path: path.into(), source })?;
    let text = String::from_utf8(bytes).ok();
    // An editor ends the last line, and nobody sees it.
    let text = text.map(|text| text.strip_suffix('\n').unwrap_or(&text).trim_end_matches('\r').to_owned());
    let text = text.filter(|text| (1..=FILE_MAX).contains(&text.len()));
    text.ok_or_else(|| SecretError::NoPassphrase { path: path.into() })
}
