//! `tls = { … }` of a listener.

use std::path::PathBuf;

/// TLS settings of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificates, chosen by the name the client asks for; the first one also serves every other name.
    pub certs: Vec<CertFiles>,
    /// Are clients asked for a certificate?
    pub client_auth: ClientAuth,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

/// A certificate chain and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertFiles {
    /// PEM: the certificate, then those that signed it.
    pub cert: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
}

/// Are clients asked for a certificate?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// No.
    Off,
    /// Yes, but one without is served too. Who signs them: a file of PEM.
    Optional(PathBuf),
    /// Yes, and one without is refused. Who signs them: a file of PEM.
    Required(PathBuf),
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    V12,
    /// RFC 8446.
    V13,
}
