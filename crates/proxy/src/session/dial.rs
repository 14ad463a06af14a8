//! What is dialled and how: the plan of a session's attempts, and one of them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use portcullis_core::config::{Config, Dial};
use portcullis_core::endpoint::{Endpoint, Host, HostName};
use portcullis_core::opening::{DialError, Dialling};
use portcullis_core::tls;
use portcullis_core::upstream::Upstream;
use portcullis_sys::socket::{Socket, Tuning};
use rustls::pki_types::ServerName;

use crate::io::Io;
use crate::leg::{Leg, Onward};

/// What may be dialled.
#[derive(Debug)]
pub(super) enum Plan {
    Nothing,
    /// Checked addresses, in turn.
    Addresses {
        list: Vec<SocketAddr>,
        next: usize,
    },
    /// Endpoints as the upstream picks them.
    Upstream {
        upstream: Arc<Upstream>,
        tried: Vec<Endpoint>,
        /// Stands for the client where its place decides.
        client: u64,
    },
}

impl Plan {
    /// Takes note of an endpoint that is about to be tried.
    pub(super) fn tries(&mut self, endpoint: &Endpoint) {
        if let Self::Upstream { tried, .. } = self {
            tried.push(endpoint.clone());
        }
    }

    /// The name of the endpoint that is dialled, where it goes by one.
    pub(super) fn host(&self) -> Option<&HostName> {
        match self {
            Self::Nothing | Self::Addresses { .. } => None,
            Self::Upstream { tried, .. } => match &tried.last()?.host {
                Host::Name(name) => Some(name),
                Host::Ip(_) => None,
            },
        }
    }

    /// What the endpoint that is dialled at `address` is called.
    pub(super) fn called(&self, address: SocketAddr, target: Option<&str>) -> String {
        match self {
            Self::Upstream { tried, .. } if let Some(endpoint) = tried.last() => endpoint.to_string(),
            Self::Upstream { .. } | Self::Nothing => address.to_string(),
            Self::Addresses { .. } => target.map_or_else(|| address.to_string(), str::to_owned),
        }
    }

    /// Attempts made before this one at the same endpoint, or at these addresses.
    pub(super) fn earlier_attempts(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Addresses { next, .. } => next.saturating_sub(1),
            Self::Upstream { tried, .. } => {
                let same = |endpoint: &&Endpoint| tried.last() == Some(*endpoint);
                tried.iter().filter(same).count().saturating_sub(1)
            }
        }
    }
}

/// What an endpoint at `address` is told before it is ready; `host` is the name it goes by.
pub(crate) fn onward(
    dial: &Dial,
    tls: Option<&tls::Client>,
    host: Option<&HostName>,
    address: SocketAddr,
) -> Onward {
    let tls = tls.map(|tls| {
        let of_host = || ServerName::try_from(host?.as_str().to_owned()).ok();
        let name = tls.name.clone().or_else(of_host).unwrap_or_else(|| address.ip().into());
        let config = if dial.ws.is_some() { &tls.http } else { &tls.config };
        (Arc::clone(config), name)
    });
    Onward { tls, ..Onward::default() }
}

/// How often and how long an endpoint is tried.
pub(super) fn dialling(dial: &Dial, same: bool) -> Dialling {
    Dialling { attempts: dial.attempts, connect_timeout: dial.connect_timeout, same }
}

/// The local address to dial from: of the target's family, in turn.
pub(crate) fn source(dial: &Dial, target: SocketAddr, turn: u64) -> Option<IpAddr> {
    let fitting: Vec<_> = dial.source.iter().filter(|source| source.is_ipv4() == target.is_ipv4()).collect();
    let index = usize::try_from(turn).unwrap_or(0).checked_rem(fitting.len())?;
    fitting.get(index).map(|source| **source)
}

/// Begins a connection to `address`.
pub(crate) fn dial_tcp(
    address: SocketAddr,
    source: Option<IpAddr>,
    dial: &Dial,
    (config, io): (&Config, &mut Io),
) -> io::Result<Leg> {
    // A near endpoint needs no large window, and what is queued for a reader that stalls is bounded by it.
    let receive_room = io.near.is_near(address.ip(), config).then_some(NEAR_ROOM);
    let tuning = Tuning { receive_room, ..Tuning::default() };
    let socket = Socket::connect(address, source, &tuning)?;
    let leg = if dial.tls.is_some() { Leg::tls(socket) } else { Leg::tcp(socket) };
    if let Some(name) = io.near.congestion(&dial.congestion, address.ip(), config) {
        io.tune(&leg, &name);
    }
    Ok(leg)
}

/// What a failed connection is to the opening.
pub(crate) fn why(error: &io::Error) -> DialError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => DialError::Refused,
        io::ErrorKind::TimedOut => DialError::Timeout,
        // No fault of the endpoint's: our ports to it are used up.
        io::ErrorKind::AddrNotAvailable => DialError::NoPort,
        _ if matches!(error.raw_os_error(), Some(EMFILE | ENFILE | ENOMEM | ENOBUFS)) => DialError::Overload,
        _ => DialError::Unreachable,
    }
}

/// The receive buffer of a near endpoint's socket, in bytes; the kernel takes it twice.
const NEAR_ROOM: usize = 96 * 1024;

const ENOMEM: i32 = 12;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const ENOBUFS: i32 = 105;
