//! The listening sockets of a configuration: bound all together, before anything serves.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use portcullis_core::config::{self, Config, Congestion, Protocol};
use portcullis_core::name::ListenerName;
use portcullis_sys::datagram::Datagrams;
use portcullis_sys::socket::{Listener, Tuning};

/// Bound sockets with the listener each belongs to.
#[derive(Clone, Debug)]
pub struct Sockets {
    bound: Vec<Bound>,
    /// Ports of datagrams that were taken away and stay bound as long as their sessions live.
    left: Vec<Left>,
    workers: usize,
}

#[derive(Clone, Debug)]
struct Left {
    listener: ListenerName,
    asked: SocketAddr,
    group: Weak<[Datagrams]>,
}

/// One bound socket.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) listener: ListenerName,
    /// As configured: a port of 0 stays 0, so that a reload knows it again.
    asked: SocketAddr,
    pub(crate) port: Port,
}

/// A port of this machine, as its protocol has it.
#[derive(Clone, Debug)]
pub(crate) enum Port {
    /// One socket that all workers accept from.
    Stream(Arc<Listener>),
    /// A socket for each worker; the kernel spreads the peers over them.
    Datagrams(Arc<[Datagrams]>),
}

impl Port {
    fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Stream(socket) => Some(socket.address()),
            Self::Datagrams(group) => group.first().map(Datagrams::address),
        }
    }
}

/// Why a listener cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Someone else is there.
    #[error(
        "listener `{listener}`: {address} is in use; stop the other process (`ss -tulnp`) or set another `bind`"
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
    /// No socket yet; a port of datagrams will have one for each of so many workers.
    #[must_use]
    pub fn none(workers: usize) -> Self {
        Self { bound: Vec::new(), left: Vec::new(), workers: workers.max(1) }
    }

    /// Binds what `config` asks for and `self` does not have, and shares the rest.
    ///
    /// # Errors
    /// All that cannot be bound, at once; nothing more is bound then, and `self` is as it was.
    pub fn bind_more(&self, config: &Config) -> Result<Self, Vec<BindError>> {
        let mut bound = Vec::new();
        let mut errors = Vec::new();
        for listener in &config.listeners {
            for asked in &listener.bind {
                match self.port(listener, *asked) {
                    Ok(port) => bound.push(Bound { listener: listener.name.clone(), asked: *asked, port }),
                    Err(error) => {
                        errors.push(explain(listener.name.clone(), *asked, &listener.congestion, error))
                    }
                }
            }
        }
        if errors.is_empty() {
            Ok(Self { left: self.left_beside(&bound), bound, workers: self.workers })
        } else {
            Err(errors)
        }
    }

    /// What sessions may still hold once `bound` is all that is in force.
    fn left_beside(&self, bound: &[Bound]) -> Vec<Left> {
        let before = self.bound.iter().filter_map(|one| match &one.port {
            Port::Datagrams(group) => {
                let (listener, group) = (one.listener.clone(), Arc::downgrade(group));
                Some(Left { listener, asked: one.asked, group })
            }
            Port::Stream(_) => None,
        });
        let is_in_force = |left: &Left| {
            let is_it = |one: &Bound| matches!(&one.port, Port::Datagrams(group) if std::ptr::eq(left.group.as_ptr(), Arc::as_ptr(group)));
            bound.iter().any(is_it)
        };
        let all = before.chain(self.left.iter().cloned());
        all.filter(|left| left.group.strong_count() > 0 && !is_in_force(left)).collect()
    }

    /// The port that is there already, or a new one.
    fn port(&self, listener: &config::Listener, asked: SocketAddr) -> io::Result<Port> {
        let known = self.bound.iter().find(|known| known.asked == asked && known.listener == listener.name);
        let known = known.map(|known| known.port.clone());
        let left = self.left.iter().find(|left| left.is(&listener.name, asked));
        let left = left.and_then(|left| left.group.upgrade());
        let tuning = tuning(&listener.congestion);
        match (listener.protocol, known) {
            (Protocol::Kcp, Some(Port::Datagrams(group))) => Ok(Port::Datagrams(group)),
            (Protocol::Kcp, _) => match left {
                Some(group) => Ok(Port::Datagrams(group)),
                None => Datagrams::bind_group(asked, self.workers).map(|group| Port::Datagrams(group.into())),
            },
            (_, Some(Port::Stream(socket))) => socket.tune(&tuning).map(|()| Port::Stream(socket)),
            (Protocol::Tcp | Protocol::Tls | Protocol::Ws | Protocol::Wss, _) => {
                Listener::bind(asked, &tuning).map(|socket| Port::Stream(Arc::new(socket)))
            }
        }
    }

    /// Where each listener really listens.
    #[must_use]
    pub fn addresses(&self) -> Vec<(ListenerName, SocketAddr)> {
        let address = |bound: &Bound| Some((bound.listener.clone(), bound.port.address()?));
        self.bound.iter().filter_map(address).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bound> {
        self.bound.iter()
    }
}

impl Left {
    fn is(&self, listener: &ListenerName, asked: SocketAddr) -> bool {
        self.listener == *listener && self.asked == asked
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
