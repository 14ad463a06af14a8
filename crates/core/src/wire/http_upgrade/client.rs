//! The client's end of the handshake (RFC 6455 section 4.1): for our peers and for ws endpoints.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::head::Fields;
use super::{Cut, HeadBuffer, MAX_HEADERS, accept_key};

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `host[:port]`.
    pub host: &'a str,
    /// Path and query, beginning with `/`.
    pub path: &'a str,
    /// Further header fields.
    pub headers: &'a [(&'a str, &'a str)],
    /// 16 random bytes.
    pub nonce: [u8; 16],
}

/// Why there is no WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// A part of the request has a control character or, in the path, a space.
    #[error("a part of the upgrade request cannot be sent")]
    Unsendable,
    /// The head is over 8 KiB or 64 fields.
    #[error("the answer to the upgrade is too large")]
    TooLarge,
    /// The answer is not HTTP/1.1.
    #[error("the answer to the upgrade is not HTTP/1.1")]
    Malformed,
    /// The answer is another status than 101.
    #[error("the answer to the upgrade is status {0}")]
    Status(u16),
    /// The answer does not agree to what was asked: token, accept key, extension.
    #[error("the answer to the upgrade does not match the request")]
    Mismatch,
}

/// Writes the request.
///
/// # Errors
/// [`AnswerError::Unsendable`] where a field would break out of its line.
pub fn request(request: &Request<'_>) -> Result<Vec<u8>, AnswerError> {
    let Request { host, path, headers, nonce } = *request;
    let texts = headers.iter().flat_map(|(name, value)| [*name, *value]).chain([host, path]);
    let names = headers.iter().map(|(name, _)| *name).chain([host, path]);
    if texts.into_iter().any(|text| text.bytes().any(|byte| byte.is_ascii_control()))
        || names.into_iter().any(|name| name.is_empty() || name.contains(' '))
    {
        return Err(AnswerError::Unsendable);
    }
    let mut out = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n",
        STANDARD.encode(nonce)
    );
    for (name, value) in headers {
        out.push_str(name);
        out.push_str(": ");
        out.push_str(value);
        out.push_str("\r\n");
    }
    out.push_str("\r\n");
    Ok(out.into_bytes())
}

/// The headers that tell a server whose connection this is: the two that everybody reads, and the one that
/// RFC 7239 made of them.
#[must_use]
pub fn forwarded(client: IpAddr, is_secure: bool) -> [(&'static str, String); 3] {
    let client = client.to_canonical();
    let scheme = if is_secure { "https" } else { "http" };
    let node = match client {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("\"[{ip}]\""), // a colon needs the quotes (RFC 7239 section 6)
    };
    [
        ("X-Forwarded-For", client.to_string()),
        ("X-Forwarded-Proto", scheme.into()),
        ("Forwarded", format!("for={node};proto={scheme}")),
    ]
}

/// What every answer begins with.
const VERSION: &[u8] = b"HTTP/1.";

/// Reads the answer to a request.
#[derive(Clone, Debug)]
pub struct AnswerReader {
    seen: HeadBuffer,
    accept: Box<str>,
}

/// What an answer has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerStep {
    /// The head is not whole yet.
    NeedMore {
        /// No more than this many bytes may still belong to the head.
        at_most: usize,
    },
    /// The WebSocket is open.
    Done {
        /// The sub-protocol that the server selected.
        protocol: Option<Box<str>>,
        /// What came after the head: the server's first frames.
        surplus: Box<[u8]>,
    },
}

impl AnswerReader {
    /// Makes the reader of the answer to a request with this nonce.
    #[must_use]
    pub fn new(nonce: [u8; 16]) -> Self {
        let accept = accept_key(STANDARD.encode(nonce).as_bytes());
        Self { seen: HeadBuffer::default(), accept: accept.into() }
    }

    /// Takes what arrived, all of it.
    ///
    /// # Errors
    /// Everything but a 101 that matches the request.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<AnswerStep, AnswerError> {
        let mut begun = self.seen.0.iter().chain(bytes).zip(VERSION);
        if begun.any(|(got, want)| got != want) {
            return Err(AnswerError::Malformed);
        }
        match self.seen.handle_bytes(bytes) {
            Cut::More { at_most } => Ok(AnswerStep::NeedMore { at_most }),
            Cut::TooLarge => Err(AnswerError::TooLarge),
            Cut::Whole { head, surplus } => {
                let protocol = self.check(&head)?;
                Ok(AnswerStep::Done { protocol, surplus: surplus.into() })
            }
        }
    }

    fn check(&self, head: &[u8]) -> Result<Option<Box<str>>, AnswerError> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut answer = httparse::Response::new(&mut fields);
        match answer.parse(head) {
            Ok(httparse::Status::Complete(len)) if len == head.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(AnswerError::TooLarge),
            Ok(_) | Err(_) => return Err(AnswerError::Malformed),
        }
        match (answer.version, answer.code) {
            (Some(1), Some(101)) => {}
            (_, Some(code)) => return Err(AnswerError::Status(code)),
            (_, None) => return Err(AnswerError::Malformed),
        }
        let fields = Fields(answer.headers);
        let matches = fields.has_token("upgrade", "websocket")
            && fields.has_token("connection", "upgrade")
            && fields.only("sec-websocket-accept") == Some(self.accept.as_bytes())
            && fields.all("sec-websocket-extensions").next().is_none()
            && fields.all("sec-websocket-protocol").count() <= 1;
        if !matches {
            return Err(AnswerError::Mismatch);
        }
        match fields.only("sec-websocket-protocol").map(std::str::from_utf8) {
            None => Ok(None),
            Some(Ok(protocol)) => Ok(Some(protocol.into())),
            Some(Err(_)) => Err(AnswerError::Mismatch),
        }
    }
}
