//! The gateway's own messages: what it is asked for in frames, and what it answers.
//!
//! A codec is a file and a row of [`CODECS`]; the contract test loops over the rows. Every codec refuses a name that
//! stands twice, and reads no message longer than [`MESSAGE_MAX`].

mod json;
mod protobuf;
mod stamp;
#[cfg(test)]
mod tests;
mod xml;

use std::fmt;

use crate::config::FrameCodec;

pub use stamp::Stamp;

/// The longest message of a client that the gateway reads itself, in bytes; a longer one is refused.
pub const MESSAGE_MAX: usize = 8 * 1024;

/// What a request is told that is beyond a limit.
pub const RATE_LIMITED: &str = "error: request rate limit exceeded";

/// A message that is not of its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no message of this type")]
pub struct Malformed;

/// A device asks for a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Register {
    /// What it calls itself. A name, not a secret; its grammar is the caller's.
    pub client_id: Box<str>,
    /// What it shows besides, where the listener asks for that. A secret: it is not printed.
    pub proof: Option<Box<str>>,
}

impl fmt::Debug for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proof = self.proof.as_ref().map(|_| "***");
        f.debug_struct("Register").field("client_id", &self.client_id).field("proof", &proof).finish()
    }
}

/// A device shows the token that it has.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// What it calls itself.
    pub client_id: Box<str>,
    /// The token as text. A secret: it is not printed.
    pub token: Box<str>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("client_id", &self.client_id).field("token", &"***").finish()
    }
}

/// A token that a device is given, as text, and when it ends, in Unix seconds.
#[derive(Clone, Copy)]
pub struct Granted<'a> {
    /// The token. A secret: it is not printed.
    pub token: &'a str,
    /// When it ends, in Unix seconds.
    pub expires_at: u64,
}

impl fmt::Debug for Granted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Granted").field("token", &"***").field("expires_at", &self.expires_at).finish()
    }
}

/// What the gateway says.
#[derive(Clone, Copy, Debug)]
pub enum Reply<'a> {
    /// To a heartbeat: the time, and a token where it is changed.
    Heartbeat(Stamp, Option<Granted<'a>>),
    /// To a registration.
    Token(Granted<'a>),
    /// To a login: until when its token is good, in Unix seconds.
    LoggedIn {
        /// When the token ends, in Unix seconds.
        expires_at: u64,
    },
    /// To what was refused.
    Error(&'a str),
}

/// How messages are written.
#[derive(Clone, Copy, Debug)]
pub struct Codec {
    /// The one that is configured.
    pub codec: FrameCodec,
    /// Appends what the gateway says.
    pub write: fn(&Reply<'_>, &mut Vec<u8>),
    /// Reads a registration.
    pub register: fn(&[u8]) -> Result<Register, Malformed>,
    /// Reads a login.
    pub login: fn(&[u8]) -> Result<Login, Malformed>,
}

/// Every codec.
pub const CODECS: [Codec; 3] = [json::CODEC, protobuf::CODEC, xml::CODEC];

impl Codec {
    /// The row of a configured codec.
    #[must_use]
    pub fn of(codec: FrameCodec) -> &'static Self {
        match codec {
            FrameCodec::Json => &json::CODEC,
            FrameCodec::Protobuf => &protobuf::CODEC,
            FrameCodec::Xml => &xml::CODEC,
        }
    }
}
