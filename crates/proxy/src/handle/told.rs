//! What the data plane asks the control plane, and what it tells it.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use portcullis_core::endpoint::{Endpoint, HostName};
use portcullis_core::health::Change;
use portcullis_core::name::{ListenerName, UpstreamName};
use portcullis_core::outcome::{Ended, Reason, SessionId};

/// A question of a session to the control plane.
#[derive(Clone, Debug)]
pub struct Question {
    /// Gives the answer its way back.
    pub asked: Asked,
    /// The name to look up.
    pub host: HostName,
    /// The port for its addresses; `None` = an SRV look-up gives it.
    pub port: Option<NonZeroU16>,
}

/// Who asked. An answer to a session that is gone misses by its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    pub(crate) worker: u16,
    pub(crate) serial: u16,
    pub(crate) token: u64,
}

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It does not exist, or has no address.
    #[error("the name has no address")]
    NotFound,
    /// No server answered in time.
    #[error("no name server answered in time")]
    Timeout,
    /// Too many look-ups at a time.
    #[error("too many look-ups at a time")]
    Busy,
}

/// What the data plane tells, once each.
#[derive(Debug)]
pub enum Told {
    /// A session was opened. Told when [`ProxyHandle::tell`](crate::ProxyHandle::tell) asks for it.
    Opened(Box<Opened>),
    /// A session ended.
    Ended(Box<Ended>),
    /// A client was not let in. Told once for each network and minute; all are counted.
    Refused(Box<Refused>),
    /// Something about the whole changed.
    Event(Event),
}

/// A client that was not let in, for which nothing was made.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Where it came in.
    pub listener: ListenerName,
    /// Who it is.
    pub client: SocketAddr,
    /// Why not.
    pub reason: Reason,
}

/// A session that was opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Which session.
    pub session: SessionId,
    /// Where it came in.
    pub listener: ListenerName,
    /// Who it is.
    pub client: SocketAddr,
    /// What it is connected to.
    pub endpoint: SocketAddr,
    /// Who a verified token or ticket says it is.
    pub identity: Option<Box<str>>,
}

/// A change of the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Accepting paused: the process has no file left.
    AcceptPausedNoFiles,
    /// Accepting paused: the session maximum is reached.
    AcceptPausedFull,
    /// Accepting goes on.
    AcceptResumed,
    /// A step of a session ended in a panic; the session was closed.
    Bug {
        /// What the panic said.
        message: Box<str>,
    },
    /// An endpoint is fit for sessions, or is not any more.
    Endpoint {
        /// Of which upstream.
        upstream: UpstreamName,
        /// Which endpoint.
        endpoint: Endpoint,
        /// From what to what.
        change: Change,
        /// What has shown it; printable.
        why: Box<str>,
    },
    /// A listener or socket option was refused by the kernel; traffic goes on without it.
    Degraded {
        /// What does not work, and why.
        what: Box<str>,
    },
}
