//! How a session ended: one bounded set of reasons for logs, metrics and replies.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::name::ListenerName;

/// Declares [`Reason`] with its label and what it means.
macro_rules! reasons {
    ($($name:ident $label:literal $meaning:literal),+ $(,)?) => {
        /// Why a session ended, or why it never began.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)+
        }
        impl Reason {
            /// Every reason, in declaration order.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)+];

            /// The label in logs and metrics.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self { $(Reason::$name => $label,)+ }
            }

            /// One sentence for the documentation.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Reason::$name => $meaning,)+ }
            }
        }
    };
}

reasons! {
    ClientEnded "client-ended" "The client closed first, and everything was delivered.",
    EndpointEnded "endpoint-ended" "The endpoint closed first, and everything was delivered.",
    ClientReset "client-reset" "The client's connection was reset, or its KCP link is dead.",
    EndpointReset "endpoint-reset" "The endpoint's connection was reset, or its KCP link is dead.",
    Idle "idle" "Nothing was heard for `idle_timeout`.",
    Heartbeat "heartbeat" "The client missed as many heartbeats as it may (`frames`).",
    MessageRate "message-rate" "The client sent more messages than its limits allow (`on_limit = \"close\"`).",
    HalfCloseTimeout "half-close-timeout" "One direction had ended and the other was silent for `half_close_timeout`.",
    Protocol "protocol" "The client broke the WebSocket protocol.",
    EndpointProtocol "endpoint-protocol" "The endpoint broke the WebSocket protocol.",
    TooLarge "too-large" "A message was larger than `max_message`.",
    HelloTimeout "hello-timeout" "The hello was not whole within `hello_timeout`.",
    HelloEvicted "hello-evicted" "Too many hellos were in progress and this one was the oldest.",
    Unproven "unproven" "KCP: too many addresses had not shown that they hear us, and this one was the oldest.",
    Replaced "replaced" "KCP: another conversation of the same address has shown that it is there.",
    ProxyHeader "proxy-header" "The peer sent no valid PROXY header, or may send none (`proxy_protocol`).",
    Handshake "handshake" "The TLS handshake with the client failed.",
    HelloMalformed "hello-malformed" "The hello broke its format or its size.",
    ClientLeft "client-left" "The client went away before its endpoint was open.",
    KeyMalformed "key-malformed" "The key is not of the resolver's grammar.",
    KeyUnknown "key-unknown" "Nothing goes by that key.",
    KeyForbidden "key-forbidden" "`allow` does not have that target.",
    TokenRefused "token-refused" "The token's signature, time or claims were not accepted.",
    TicketUsed "ticket-used" "A ticket for one use was used again.",
    DialBudget "dial-budget" "The client's address caused too many failed dials.",
    NameNotFound "name-not-found" "The target's name has no address.",
    NameTimeout "name-timeout" "No name server told the target's address in time.",
    DialRefused "dial-refused" "The endpoint refused the connection, or to speak WebSocket on it.",
    DialTimeout "dial-timeout" "The endpoint did not answer within the timeouts.",
    DialUnreachable "dial-unreachable" "There is no way to the endpoint, or no port left to dial from.",
    DialUntrusted "dial-untrusted" "The endpoint's certificate was not accepted.",
    NoEndpoint "no-endpoint" "The upstream has no endpoint to offer.",
    Denied "denied" "The listener's `allow` or `deny` keeps its address out.",
    Banned "banned" "Its network is banned.",
    IpSessions "ip-sessions" "Its address has as many sessions as it may.",
    IpRate "ip-rate" "Sessions of its address came too fast.",
    ListenerSessions "listener-sessions" "The listener has as many sessions as it may.",
    ListenerRate "listener-rate" "Sessions of the listener came too fast.",
    ProcessRate "process-rate" "Sessions of the process came too fast.",
    OverloadShare "overload-share" "Under pressure: its network has more than its share of the sessions.",
    Shed "shed" "Under pressure: the sessions for which most bytes were held had to end.",
    MaxAge "max-age" "It was as old as the listener's `max_age` lets it grow.",
    EndpointDown "endpoint-down" "Its endpoint was found down (`on_down`).",
    QueueFull "queue-full" "Every endpoint of the upstream was full, and so was its queue.",
    QueueTimeout "queue-timeout" "No endpoint of the upstream had room within the queue's timeout.",
    DeviceRefused "device-refused" "The device had not logged in, or what it showed was not accepted.",
    DeviceRevoked "device-revoked" "The device's tokens were revoked, or it was forgotten.",
    Overload "overload" "A limit of this process was reached.",
    Drained "drained" "The node was draining.",
    Killed "killed" "An operator closed the session.",
    Bug "bug" "A defect of the gateway ended the session.",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// How bytes are moved. Of what both sides of a session ask for, the later here is its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// Through user space, as they are.
    Copy,
    /// Inside the kernel.
    Splice,
    /// Encrypted or decrypted by TLS.
    Tls,
    /// As WebSocket messages, with TLS or without.
    Ws,
    /// As KCP datagrams, whatever the other side speaks.
    Kcp,
    /// As frames, whatever carries them.
    Frames,
}

impl Path {
    /// Every path, in declaration order.
    pub const ALL: [Self; 6] = [Self::Copy, Self::Splice, Self::Tls, Self::Ws, Self::Kcp, Self::Frames];

    /// The label in logs and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Splice => "splice",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Kcp => "kcp",
            Self::Frames => "frames",
        }
    }
}

/// Names one session of this process: never reused while it runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// What a session was, told once: the log line and the metrics come from this.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Which session.
    pub session: SessionId,
    /// Where it came in.
    pub listener: ListenerName,
    /// Who it was.
    pub client: SocketAddr,
    /// What the key asked for, as text that is safe to print; `None` before it was known.
    pub target: Option<Box<str>>,
    /// What it was connected to.
    pub endpoint: Option<SocketAddr>,
    /// Who a verified token or ticket says it is.
    pub identity: Option<Box<str>>,
    /// Why it ended.
    pub reason: Reason,
    /// Client to endpoint, payload bytes.
    pub up_bytes: u64,
    /// Endpoint to client, payload bytes.
    pub down_bytes: u64,
    /// How its bytes were moved; [`Path::Splice`] when some of them were.
    pub path: Path,
    /// When it began.
    pub began: SystemTime,
    /// From accept until the endpoint was open; `None` if it never was.
    pub opened_after: Option<Duration>,
    /// From accept to the end.
    pub lasted: Duration,
}
