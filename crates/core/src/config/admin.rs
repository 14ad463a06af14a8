//! `[admin]`: where operators reach the process, and what they must show.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::key::{Key, Maybe, Reader, Section};
use super::kind::Text;
use super::process::FILE;
use super::write::Writer;

const BIND_AT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9909);
const TOKEN: &str = "/var/lib/portcullis/admin.token";
/// What a path of the address begins with.
const UNIX: &str = "unix:";
/// The longest path of a unix socket, in bytes: `sun_path` holds 108 with the NUL at its end (unix(7)).
const LONGEST_PATH: usize = 107;

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub bind: AdminBind,
    /// The file of the token that may do everything, made with mode 0600 at first start.
    pub token_file: PathBuf,
    /// The file of the token that may look, made as the other; `None` = there is none.
    pub read_token_file: Option<PathBuf>,
}

/// Where an admin listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminBind {
    /// At an address with a port.
    Tcp(SocketAddr),
    /// A unix socket at an absolute path.
    Unix(PathBuf),
}

impl AdminBind {
    /// Its address; `None` = it has none on any network.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(addr) => Some(*addr),
            Self::Unix(_) => None,
        }
    }
}

impl FromStr for AdminBind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix(UNIX) else {
            let addr = text.parse().map_err(|_| format!("{text:?} is no address with a port"));
            return addr.map(Self::Tcp);
        };
        if !Path::new(path).is_absolute() || path.contains('\0') {
            return Err(format!("{path:?} is no absolute path"));
        }
        if path.len() > LONGEST_PATH {
            return Err(format!("the path of a unix socket has at most {LONGEST_PATH} bytes"));
        }
        Ok(Self::Unix(path.into()))
    }
}

impl fmt::Display for AdminBind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

pub(super) static ADMIN: Section = Section {
    path: "[admin]",
    doc: "The admin listener: health, readiness, metrics, and the admin API. Without this section there is none.",
    rows: &[&BIND, &TOKEN_FILE, &READ_TOKEN_FILE],
    later: &["health_bind"],
};
static BIND: Key<Text<AdminBind>> = Key {
    name: "bind",
    kind: Text {
        label: "address:port, or `unix:` and an absolute path",
        example: "127.0.0.1:9909",
        parse: AdminBind::from_str,
        show: AdminBind::to_string,
    },
    default: || AdminBind::Tcp(BIND_AT),
    doc: "where it listens; a unix socket is made with mode 0600",
};
static TOKEN_FILE: Key<Text<PathBuf>> = Key {
    name: "token_file",
    kind: FILE,
    default: || TOKEN.into(),
    doc: "the bearer token's file, made with mode 0600 at first start; who shows it may do everything",
};
static READ_TOKEN_FILE: Maybe<Text<PathBuf>> = Maybe {
    name: "read_token_file",
    kind: FILE,
    absent: "no such token",
    doc: "the file of a second token, made as the other; who shows it may look and change nothing",
};

pub(super) fn read_admin(reader: &Reader<'_>) -> Admin {
    let admin = Admin {
        bind: reader.get(&BIND),
        token_file: reader.get(&TOKEN_FILE),
        read_token_file: reader.find(&READ_TOKEN_FILE),
    };
    if admin.bind.tcp().is_some_and(|addr| !addr.ip().is_loopback()) {
        let text = "the admin listener is reachable from other machines; \
                    127.0.0.1 with a tunnel, or a firewall, keeps strangers away";
        reader.report.warn(&reader.at(BIND.name), text);
    }
    if admin.read_token_file.as_ref() == Some(&admin.token_file) {
        let message = "`read_token_file` is the `token_file`: who may look could change everything";
        reader.error(READ_TOKEN_FILE.name, message, "name another file; it is made at the next start");
    }
    admin
}

pub(super) fn write_admin(writer: &mut Writer<'_>, admin: &Admin) {
    writer.put(&BIND, &admin.bind);
    writer.put(&TOKEN_FILE, &admin.token_file);
    if let Some(file) = &admin.read_token_file {
        writer.put_maybe(&READ_TOKEN_FILE, file, false);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn an_admin_listener_is_at_an_address_or_a_path() {
        for text in ["127.0.0.1:9909", "[::1]:0", "unix:/run/portcullis/admin.sock"] {
            assert_eq!(text.parse::<AdminBind>().unwrap().to_string(), text);
        }
        let long = format!("unix:/{}", "a".repeat(LONGEST_PATH));
        for text in ["", "9909", "localhost:9909", "unix:", "unix:admin.sock", "/run/admin.sock", &long] {
            assert!(text.parse::<AdminBind>().is_err(), "{text}");
        }
    }
}
