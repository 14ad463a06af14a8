//! `tls = { … }` of a route or an upstream.

use std::path::{Path, PathBuf};

use rustls::pki_types::ServerName;

use crate::config::error::Report;
use crate::config::key::{Key, Maybe, Reader, Row, Section};
use crate::config::kind::{Flag, Text};
use crate::config::process::FILE;
use crate::config::tls::CertFiles;
use crate::config::write::Writer;

/// How a TLS endpoint is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialTls {
    /// Who signs its certificate: a file of PEM; `None` = whom this system trusts.
    pub ca_file: Option<PathBuf>,
    /// The name its certificate must be for, and that it is asked for; `None` = the host that is dialled.
    pub server_name: Option<Box<str>>,
    /// Is its certificate verified?
    pub verify: bool,
    /// What is shown to an endpoint that asks for a certificate.
    pub cert: Option<CertFiles>,
}

impl DialTls {
    /// Every file of the operator's that it is made from; what the system trusts is not among them.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.ca_file.as_deref().into_iter().chain(self.cert.iter().flat_map(CertFiles::files))
    }
}

static ROWS: [&dyn Row; 5] = [&CA_FILE, &SERVER_NAME, &VERIFY, &CERT, &KEY];
pub(in crate::config) static ROUTE: Section = Section {
    path: "route.NAME.tls",
    doc: "How a route meets its TLS endpoints. The files are read at start and reload, and again when they change.",
    rows: &ROWS,
    later: &[],
};
pub(in crate::config) static UPSTREAM: Section = Section {
    path: "upstream.NAME.tls",
    doc: "How an upstream's TLS endpoints are met. The files are read at start and reload, and again when they change.",
    rows: &ROWS,
    later: &[],
};
static CA_FILE: Maybe<Text<PathBuf>> = Maybe {
    name: "ca_file",
    kind: FILE,
    absent: "whom this system trusts",
    doc: "who signs the endpoints' certificates: a file of PEM",
};
static SERVER_NAME: Maybe<Text<Box<str>>> = Maybe {
    name: "server_name",
    kind: Text {
        label: "name or address",
        example: "game.internal",
        parse: |text| match ServerName::try_from(text) {
            Ok(_) => Ok(text.into()),
            Err(_) => Err(format!("{text:?} is no name that a certificate can be for")),
        },
        show: |name| name.to_string(),
    },
    absent: "the host that is dialled",
    doc: "the name that endpoints are asked for, and that their certificates must be for",
};
static VERIFY: Key<Flag> = Key {
    name: "verify",
    kind: Flag,
    default: || true,
    doc: "are the endpoints' certificates verified? false: whoever stands in between reads and changes everything",
};
static CERT: Maybe<Text<PathBuf>> = Maybe {
    name: "cert",
    kind: FILE,
    absent: "none is shown",
    doc: "what is shown to endpoints that ask for a certificate: a file of PEM",
};
static KEY: Maybe<Text<PathBuf>> = Maybe {
    name: "key",
    kind: FILE,
    absent: "none; required with `cert`",
    doc: "the private key of `cert`: a file of PEM",
};

/// Reads the table.
pub(in crate::config) fn read(reader: &Reader<'_>) -> Option<DialTls> {
    let (ca_file, server_name) = (reader.find(&CA_FILE), reader.find(&SERVER_NAME));
    let verify = reader.get(&VERIFY);
    if !verify {
        let hint = "take it out, or take out `verify = false`";
        reader.refuse(&[CA_FILE.name], "with `verify = false`", hint);
        let text = "the endpoints' certificates are not verified: whoever stands in between reads and changes \
                    everything; `ca_file` names who signs them";
        reader.report.warn(&reader.at(VERIFY.name), text);
    }
    let pair = match (reader.find(&CERT), reader.find(&KEY)) {
        (Some(cert), Some(key)) => Some(CertFiles { cert, key }),
        (Some(_) | None, Some(_) | None) => {
            for (there, missing) in [(CERT.name, KEY.name), (KEY.name, CERT.name)] {
                if reader.has(there) && !reader.has(missing) {
                    let hint = format!("a certificate and its key: add `{missing} = \"client.{missing}\"`");
                    reader.error(there, format!("`{there}` stands without `{missing}`"), hint);
                }
            }
            None
        }
    };
    Some(DialTls { ca_file, server_name, verify, cert: pair })
}

/// Writes the table.
pub(in crate::config) fn write(writer: &mut Writer<'_>, tls: &DialTls) {
    if let Some(file) = &tls.ca_file {
        writer.put_maybe(&CA_FILE, file, false);
    }
    if let Some(name) = &tls.server_name {
        writer.put_maybe(&SERVER_NAME, name, false);
    }
    writer.put(&VERIFY, &tls.verify);
    if let Some(pair) = &tls.cert {
        writer.put_maybe(&CERT, &pair.cert, false);
        writer.put_maybe(&KEY, &pair.key, false);
    }
}

/// What an empty table says.
pub(in crate::config) fn unwritten() -> DialTls {
    let empty = Report::new("", "");
    let reader = Reader::empty(&empty);
    DialTls {
        ca_file: reader.find(&CA_FILE),
        server_name: reader.find(&SERVER_NAME),
        verify: reader.get(&VERIFY),
        cert: None,
    }
}
