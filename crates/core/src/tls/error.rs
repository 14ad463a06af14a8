//! Why no TLS connection can be made of what was configured.

use std::io;
use std::path::PathBuf;

use rustls::pki_types::pem;

/// Why no TLS connection can be made of what was configured; every variant is the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The file is no PEM.
    #[error("{}: is no PEM file", path.display())]
    NotPem {
        /// Which file.
        path: PathBuf,
        /// What is the matter.
        #[source]
        source: pem::Error,
    },
    /// The file holds no certificate.
    #[error("{}: holds no certificate (`-----BEGIN CERTIFICATE-----`)", path.display())]
    NoCertificate {
        /// Which file.
        path: PathBuf,
    },
    /// The file holds no private key.
    #[error("{}: holds no private key that is not encrypted (`-----BEGIN PRIVATE KEY-----`)", path.display())]
    NoKey {
        /// Which file.
        path: PathBuf,
    },
    /// A certificate cannot be used.
    #[error("{}: a certificate in it cannot be used", path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// The library's word.
        #[source]
        source: rustls::Error,
    },
    /// The key is of a kind that is not spoken.
    #[error("{}: the key cannot be used; RSA of 2048 bits or more, ECDSA P-256, P-384 and Ed25519 can", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// The library's word.
        #[source]
        source: rustls::Error,
    },
    /// The key is another certificate's.
    #[error("{}: is not the key of the certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A listener without a certificate.
    #[error("no certificate is named")]
    NoneNamed,
    /// This system trusts nobody.
    #[error("this system has no bundle of roots ({looked}); name one with `ca_file`")]
    NoRoots {
        /// Where it was looked for.
        looked: Box<str>,
    },
    /// The name is none.
    #[error("`server_name` {name:?} is no name and no address")]
    Name {
        /// As written.
        name: Box<str>,
    },
    /// The library refuses the settings.
    #[error("these TLS settings cannot be put in force")]
    Settings {
        /// The library's word.
        #[source]
        source: rustls::Error,
    },
}

impl From<rustls::Error> for TlsError {
    fn from(source: rustls::Error) -> Self {
        Self::Settings { source }
    }
}
