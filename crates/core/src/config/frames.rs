//! `frames = { … }` of a listener: messages with a header of version, type and length.

use std::time::Duration;

use super::limit::RateLimit;

mod numbers;
pub(super) mod rows;

/// How clients and endpoints speak in frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frames {
    /// How wide a frame's type is.
    pub type_bytes: TypeBytes,
    /// Which endpoint a frame goes to.
    pub dispatch: Dispatch,
    /// How the gateway's own messages are written.
    pub codec: FrameCodec,
    /// Messages of one session over time.
    pub message_rate: Option<RateLimit>,
    /// What happens to a message beyond a limit.
    pub on_limit: OnLimit,
    /// May a client be without heartbeats?
    pub heartbeat: Heartbeat,
    /// How often a client sends one.
    pub heartbeat_interval: Duration,
    /// How many in a row it may miss.
    pub heartbeat_misses: u8,
    /// Does the endpoint see heartbeats, and answer them?
    pub forward_heartbeats: bool,
    /// Does the endpoint see the tokens of version 2?
    pub forward_token: bool,
    /// The numbers of the gateway's own messages.
    pub types: FrameTypes,
}

/// How wide the type of a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeBytes {
    /// u8.
    One,
    /// u16, big endian.
    Two,
}

/// Which endpoint a frame goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatch {
    /// The session's: one for all of its frames, both ways at any time.
    Session,
    /// The one that the upstream picks for this frame, over a pooled connection.
    Request {
        /// Requests under way on one connection; at least 1.
        pipeline: u16,
        /// How long an answer may take.
        reply_timeout: Duration,
    },
}

/// How the gateway's own messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameCodec {
    /// RFC 8259.
    Json,
    /// proto3, as `docs/shield.proto` says.
    Protobuf,
    /// Elements of the same names.
    Xml,
}

/// What happens to a message beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLimit {
    /// It is answered with an error, and goes nowhere.
    Reply,
    /// It waits; one that would wait longer is answered with an error.
    Delay {
        /// The longest wait.
        max: Duration,
    },
    /// The session ends.
    Close,
}

/// May a client be without heartbeats?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// Until it has sent the first.
    Optional,
    /// Not at all.
    Required,
}

/// The numbers of the gateway's own messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTypes {
    /// A client's heartbeat.
    pub heartbeat: u16,
    /// The answer to it, and what a health probe of kind `frame` sends.
    pub heartbeat_reply: u16,
    /// A device asks for a token.
    pub register: u16,
    /// It gets one.
    pub token: u16,
    /// It shows the one it has.
    pub login: u16,
    /// Something was refused.
    pub error: u16,
}

impl FrameTypes {
    /// The usual numbers: those of two bytes are the demo's of old.
    #[must_use]
    pub fn usual(width: TypeBytes) -> Self {
        match width {
            TypeBytes::One => {
                Self { heartbeat: 1, heartbeat_reply: 2, register: 10, token: 11, login: 12, error: 19 }
            }
            TypeBytes::Two => Self {
                heartbeat: 1000,
                heartbeat_reply: 1001,
                register: 1100,
                token: 1101,
                login: 1102,
                error: 1199,
            },
        }
    }
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            type_bytes: TypeBytes::One,
            dispatch: Dispatch::Session,
            codec: FrameCodec::Json,
            message_rate: None,
            on_limit: OnLimit::Reply,
            heartbeat: Heartbeat::Optional,
            heartbeat_interval: Duration::from_secs(30),
            heartbeat_misses: 3,
            forward_heartbeats: false,
            forward_token: false,
            types: FrameTypes::usual(TypeBytes::One),
        }
    }
}
