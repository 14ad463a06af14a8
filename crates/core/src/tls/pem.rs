//! From files to certificates, keys and roots.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{Read, TlsError};
use crate::config::CertFiles;

/// Where systems keep whom they trust: Debian and Alpine, Fedora, SUSE, another Fedora.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];

/// A chain and its key, known to fit each other.
pub(super) fn pair(
    files: &CertFiles,
    read: Read<'_>,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = certificates(&files.cert, read)?;
    let bytes = bytes(&files.key, read)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|source| {
        let path = files.key.clone();
        if matches!(source, pem::Error::NoItemsFound) {
            TlsError::NoKey { path }
        } else {
            TlsError::NotPem { path, source }
        }
    })?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|source| TlsError::Key { path: files.key.clone(), source })?;
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        // A key that cannot tell its public half is found out by the first handshake.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(Arc::new(pair))
        }
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::Mismatch { cert: files.cert.clone(), key: files.key.clone() })
        }
        Err(source) => Err(TlsError::Certificate { path: files.cert.clone(), source }),
    }
}

/// Every certificate of a file, in order; at least one.
pub(super) fn certificates(path: &Path, read: Read<'_>) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    parse(path, &bytes(path, read)?)
}

/// Those that a file trusts; what else a root may be is not looked at.
pub(super) fn roots(path: &Path, read: Read<'_>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, read)? {
        roots.add(certificate).map_err(|source| TlsError::Certificate { path: path.into(), source })?;
    }
    Ok(roots)
}

/// Those that this system trusts; one that the library does not understand is left out.
pub(super) fn system_roots(read: Read<'_>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for path in BUNDLES.map(Path::new) {
        let Ok(bytes) = read(path) else { continue };
        roots.add_parsable_certificates(parse(path, &bytes)?);
        if !roots.is_empty() {
            return Ok(roots);
        }
    }
    Err(TlsError::NoRoots { looked: BUNDLES.join(", ").into() })
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match parsed {
        Ok(certificates) if certificates.is_empty() => Err(TlsError::NoCertificate { path: path.into() }),
        Ok(certificates) => Ok(certificates),
        Err(source) => Err(TlsError::NotPem { path: path.into(), source }),
    }
}

fn bytes(path: &Path, read: Read<'_>) -> Result<Vec<u8>, TlsError> {
    read(path).map_err(|source| TlsError::Unreadable { path: path.into(), source })
}
