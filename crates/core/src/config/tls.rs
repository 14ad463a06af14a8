//! `tls = { … }` of a listener.

use std::path::{Path, PathBuf};

use super::key::{Key, Maybe, Need, Reader, Section};
use super::kind::{Choice, List, Nested, Text};
use super::process::FILE;
use super::write::Writer;

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

impl Tls {
    /// Every file that it is made from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let signers = match &self.client_auth {
            ClientAuth::Off => None,
            ClientAuth::Optional(file) | ClientAuth::Required(file) => Some(file.as_path()),
        };
        self.certs.iter().flat_map(CertFiles::files).chain(signers)
    }
}

/// A certificate chain and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertFiles {
    /// PEM: the certificate, then those that signed it.
    pub cert: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
}

impl CertFiles {
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        [self.cert.as_path(), self.key.as_path()].into_iter()
    }
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

/// What `client_auth` says; whom it takes to be the signer stands in `client_ca`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Off,
    Optional,
    Required,
}

pub(super) static SECTION: Section = Section {
    path: "listener.tls",
    doc: "TLS settings of a listener. The files are read at start and reload, and again when they change.",
    rows: &[&CERTS, &CLIENT_AUTH, &CLIENT_CA, &MIN_VERSION],
    later: &[],
};
static CERTS: Need<List<Nested<CertFiles>>> = Need {
    name: "certs",
    kind: List { item: Nested { section: &PAIR, read: read_pair, write: write_pair }, min: 1, single: false },
    doc: "certificates, chosen by the name a client asks for; the first one also serves every other name",
};
static CLIENT_AUTH: Key<Choice<Asked>> = Key {
    name: "client_auth",
    kind: Choice {
        noun: "client authentication",
        words: &[("off", Asked::Off), ("optional", Asked::Optional), ("required", Asked::Required)],
        later: &[],
    },
    default: || Asked::Off,
    doc: "are clients asked for a certificate? \"optional\": one without is served too",
};
static CLIENT_CA: Maybe<Text<PathBuf>> = Maybe {
    name: "client_ca",
    kind: FILE,
    absent: "none; required with `client_auth`",
    doc: "who signs the clients' certificates: a file of PEM",
};
static MIN_VERSION: Key<Choice<TlsVersion>> = Key {
    name: "min_version",
    kind: Choice {
        noun: "version of TLS",
        words: &[("1.2", TlsVersion::V12), ("1.3", TlsVersion::V13)],
        later: &[],
    },
    default: || TlsVersion::V12,
    doc: "the oldest version that is spoken",
};

static PAIR: Section = Section {
    path: "listener.tls.certs",
    doc: "A certificate and its key.",
    rows: &[&CERT, &KEY],
    later: &[],
};
static CERT: Need<Text<PathBuf>> =
    Need { name: "cert", kind: FILE, doc: "a file of PEM: the certificate, then those that signed it" };
static KEY: Need<Text<PathBuf>> =
    Need { name: "key", kind: FILE, doc: "a file of PEM: the certificate's private key" };

/// Reads the table.
pub(super) fn read(reader: &Reader<'_>) -> Option<Tls> {
    let (certs, min_version) = (reader.need(&CERTS), reader.get(&MIN_VERSION));
    let (asked, signers) = (reader.get(&CLIENT_AUTH), reader.find(&CLIENT_CA));
    let client_auth = match (asked, signers) {
        (Asked::Off, _) => {
            if !reader.is_broken(&CLIENT_AUTH) {
                let hint = "take it out, or set `client_auth = \"required\"`";
                reader.refuse(&[CLIENT_CA.name], "with client_auth \"off\"", hint);
            }
            Some(ClientAuth::Off)
        }
        (Asked::Optional, Some(file)) => Some(ClientAuth::Optional(file)),
        (Asked::Required, Some(file)) => Some(ClientAuth::Required(file)),
        (Asked::Optional | Asked::Required, None) => {
            if !reader.has(CLIENT_CA.name) {
                let message = format!("`{}` is missing, `{}` needs it", CLIENT_CA.name, CLIENT_AUTH.name);
                let hint = "`client_ca = \"clients.pem\"`: who signs the clients' certificates";
                reader.error(CLIENT_AUTH.name, message, hint);
            }
            None
        }
    };
    Some(Tls { certs: certs?, client_auth: client_auth?, min_version })
}

/// Writes the table.
pub(super) fn write(writer: &mut Writer<'_>, tls: &Tls) {
    writer.put_needed(&CERTS, &tls.certs);
    let (asked, signers) = match &tls.client_auth {
        ClientAuth::Off => (Asked::Off, None),
        ClientAuth::Optional(file) => (Asked::Optional, Some(file)),
        ClientAuth::Required(file) => (Asked::Required, Some(file)),
    };
    writer.put(&CLIENT_AUTH, &asked);
    if let Some(file) = signers {
        writer.put_maybe(&CLIENT_CA, file, false);
    }
    writer.put(&MIN_VERSION, &tls.min_version);
}

fn read_pair(reader: &Reader<'_>) -> Option<CertFiles> {
    let (cert, key) = (reader.need(&CERT), reader.need(&KEY));
    Some(CertFiles { cert: cert?, key: key? })
}

fn write_pair(writer: &mut Writer<'_>, pair: &CertFiles) {
    writer.put_needed(&CERT, &pair.cert);
    writer.put_needed(&KEY, &pair.key);
}
