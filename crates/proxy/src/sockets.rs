//! The listening sockets of a configuration: bound all together, before anything serves.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use portcullis_core::config::{Config, Congestion, Protocol};
use portcullis_core::name::ListenerName;
use portcullis_sys::socket::{Listener, Tuning};

/// Bound sockets with the listener each belongs to.
#[derive(Clone, Debug, Default)]
pub struct Sockets {
    bound: Vec<Bound>,
}

/// One bound socket.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) listener: ListenerName,
    /// As configured: a port of 0 stays 0, so that a reload knows it again.
    asked: SocketAddr,
    pub(crate) socket: Arc<Listener>,
}

/// Why a listener cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Someone else is there.
    #[error(
        "listener `{listener}`: {address} is in use; stop the other process (`ss -ltnp`) or set another `bind`"
    )]
    InUse {
        /// Which listener.
        listener: ListenerName,
        /// Where.
        address: SocketAddr,
    },
    /// The port is privileged.
    #[error("listener `{listener}`: port {} needs CAP_NET_BIND_SERVICE; grant it, or set a port above 1023", address.port())]
    Denied {
        /// Which listener.
        listener: ListenerName,
        /// Where.
        address: SocketAddr,
    },
    /// No interface has that address.
    #[error("listener `{listener}`: no interface of this machine has {}; see `ip address`", address.ip())]
    NotLocal {
        /// Which listener.
        listener: ListenerName,
        /// Where.
        address: SocketAddr,
    },
    /// The kernel does not have that congestion control.
    #[error(
        "listener `{listener}`: the kernel has no congestion control `{name}`; see /proc/sys/net/ipv4/tcp_available_congestion_control"
    )]
    Congestion {
        /// Which listener.
        listener: ListenerName,
        /// What was asked for.
        name: Box<str>,
    },
    /// Something else.
    #[error("listener `{listener}`: cannot listen on {address}")]
    Other {
        /// Which listener.
        listener: ListenerName,
        /// Where.
        address: SocketAddr,
        /// The kernel's word.
        #[source]
        source: io::Error,
    },
}

impl Sockets {
    /// Binds every listener.
    ///
    /// # Errors
    /// All that cannot be bound, at once; nothing is bound then.
    pub fn bind(config: &Config) -> Result<Self, Vec<BindError>> {
        Self::default().bind_more(config)
    }

    /// Binds what `config` asks for and `self` does not have, and shares the rest.
    ///
    /// # Errors
    /// As [`Sockets::bind`]; `self` is as it was.
    pub fn bind_more(&self, config: &Config) -> Result<Self, Vec<BindError>> {
        let mut bound = Vec::new();
        let mut errors = Vec::new();
        // A kcp listener is no stream to accept from.
        for listener in config.listeners.iter().filter(|listener| listener.protocol != Protocol::Kcp) {
            let tuning = tuning(&listener.congestion);
            for asked in &listener.bind {
                let known =
                    self.bound.iter().find(|known| known.asked == *asked && known.listener == listener.name);
                let socket = match known {
                    Some(known) => known.socket.tune(&tuning).map(|()| Arc::clone(&known.socket)),
                    None => Listener::bind(*asked, &tuning).map(Arc::new),
                };
                match socket {
                    Ok(socket) => {
                        bound.push(Bound { listener: listener.name.clone(), asked: *asked, socket })
                    }
                    Err(error) => {
                        errors.push(explain(listener.name.clone(), *asked, &listener.congestion, error))
                    }
                }
            }
        }
        if errors.is_empty() { Ok(Self { bound }) } else { Err(errors) }
    }

    /// Where each listener really listens.
    #[must_use]
    pub fn addresses(&self) -> Vec<(ListenerName, SocketAddr)> {
        self.bound.iter().map(|bound| (bound.listener.clone(), bound.socket.address())).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bound> {
        self.bound.iter()
    }
}

/// What every connection of a listener inherits. `auto` depends on the peer and is set per connection.
fn tuning(congestion: &Congestion) -> Tuning {
    let named = match congestion {
        Congestion::Named(name) => Some(name.clone()),
        Congestion::Auto | Congestion::System => None,
    };
    Tuning { congestion: named, ..Tuning::default() }
}

fn explain(
    listener: ListenerName,
    address: SocketAddr,
    congestion: &Congestion,
    error: io::Error,
) -> BindError {
    match (error.kind(), congestion) {
        (io::ErrorKind::AddrInUse, _) => BindError::InUse { listener, address },
        (io::ErrorKind::PermissionDenied, _) => BindError::Denied { listener, address },
        (io::ErrorKind::AddrNotAvailable, _) => BindError::NotLocal { listener, address },
        (io::ErrorKind::NotFound, Congestion::Named(name)) => {
            BindError::Congestion { listener, name: name.clone() }
        }
        _ => BindError::Other { listener, address, source: error },
    }
}
