//! Where the gateway is and what to show it: as the command line says, else as its configuration does.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use portcullis_core::config::AdminBind;

use crate::config_file::{ConfigFile, ConfigFileError};

/// Why it is not known where to ask, or what to show.
#[derive(Debug, thiserror::Error)]
pub(super) enum FindError {
    /// The configuration cannot be read.
    #[error("{0}\n   = or say it: `--admin ADDRESS --token-file FILE`")]
    Config(ConfigFileError),
    /// The configuration has no admin listener, or none at a port that it says.
    #[error("{}: says no address of an admin listener; add `[admin]`, or name it: `--admin ADDRESS`", file.display())]
    Nowhere {
        /// The configuration.
        file: PathBuf,
    },
    /// The token cannot be read.
    #[error("the token file {} cannot be read; is it there, and may this user read it?", file.display())]
    Token {
        /// The token's file.
        file: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl FindError {
    /// The code to end with, by `sysexits.h`.
    pub(super) fn exit(&self) -> u8 {
        match self {
            Self::Token { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => 77,
            Self::Config(_) | Self::Nowhere { .. } | Self::Token { .. } => 78,
        }
    }
}

/// Where an admin listener is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AdminAddress(pub(super) AdminBind);

impl FromStr for AdminAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        bare.parse().map(|bind| Self(reachable(bind)))
    }
}

/// A wildcard is reached on loopback.
fn reachable(bind: AdminBind) -> AdminBind {
    match bind {
        // A wildcard of IPv6 is dual stack, so IPv4's loopback reaches either.
        AdminBind::Tcp(addr) if addr.ip().is_unspecified() => {
            AdminBind::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, addr.port())))
        }
        bind => bind,
    }
}

/// Finds the address and the token. The configuration is read for what is not said.
pub(super) fn find(
    config: Option<&Path>,
    admin: Option<AdminAddress>,
    token_file: Option<PathBuf>,
) -> Result<(AdminBind, String), FindError> {
    let (address, file) = match (admin, token_file) {
        (Some(AdminAddress(address)), Some(file)) => (address, file),
        (admin, token_file) => {
            let found = ConfigFile::read(config).map_err(FindError::Config)?;
            let nowhere = || FindError::Nowhere { file: found.path.clone() };
            let said = found.config.admin.as_ref().ok_or_else(nowhere)?;
            let address = admin.map_or_else(|| reachable(said.bind.clone()), |AdminAddress(address)| address);
            if address.tcp().is_some_and(|addr| addr.port() == 0) {
                return Err(nowhere());
            }
            (address, token_file.unwrap_or_else(|| said.token_file.clone()))
        }
    };
    match fs::read_to_string(&file) {
        Ok(token) => Ok((address, token.trim().to_owned())),
        Err(source) => Err(FindError::Token { file, source }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_address_is_written_in_any_of_its_forms() {
        for (text, want) in [
            ("127.0.0.1:9909", "127.0.0.1:9909"),
            ("http://127.0.0.1:9909/", "127.0.0.1:9909"),
            ("[::1]:1", "[::1]:1"),
            ("[::]:1", "127.0.0.1:1"),
            ("unix:/run/admin.sock", "unix:/run/admin.sock"),
        ] {
            assert_eq!(text.parse::<AdminAddress>().unwrap().0.to_string(), want);
        }
        for text in ["", "localhost", "https://127.0.0.1:1", "127.0.0.1:9909/v1", "/run/admin.sock"] {
            assert!(text.parse::<AdminAddress>().is_err(), "{text}");
        }
    }
}
