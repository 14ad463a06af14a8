//! The opening handshake of WebSocket over HTTP/1.1 (RFC 6455 section 4), both ends.
//!
//! Owns the bytes of an unfinished head and nothing else. A head is parsed once, when its blank line
//! arrives; whether the key it carries leads anywhere is for the resolvers.

pub mod client;
mod head;
mod key;
mod origin;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use key::KeyFault;

/// The largest head, in bytes, request line and blank line included.
pub const MAX_HEAD: usize = 8 * 1024;

/// The most header fields a head may have.
pub const MAX_HEADERS: usize = 64;

/// What every request of ours begins with.
const METHOD: &[u8] = b"GET ";

/// What a listener asks of an upgrade.
#[derive(Clone, Copy, Debug)]
pub struct UpgradeRules<'a> {
    /// The header that carries the key, in any case; also the name of the sub-protocol and of the query field.
    pub header: &'a str,
    /// May the key come in the query?
    pub query: bool,
    /// The origins that may connect; none listed = any. A request without an origin then needs `"none"` here.
    pub origins: &'a [Box<str>],
    /// The paths that exist, compared byte by byte, a trailing `*` for any rest; none listed = all.
    pub paths: &'a [Box<str>],
    /// The longest key, in bytes.
    pub max_key: u32,
}

/// Reads one upgrade request, however it is cut.
///
/// Memory: nothing while nothing arrived; then what was received, at most [`MAX_HEAD`].
#[derive(Clone, Debug, Default)]
pub struct UpgradeReader {
    seen: HeadBuffer,
}

/// What a request has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpgradeStep {
    /// The head is not whole yet.
    NeedMore {
        /// No more than this many bytes may still belong to the head.
        at_most: usize,
    },
    /// The head is whole and a valid upgrade; the reader is empty again.
    Done {
        /// What it asks for.
        upgrade: Upgrade,
        /// The 101 to send.
        response: Vec<u8>,
        /// What came after the head: the client's first frames.
        surplus: Box<[u8]>,
    },
}

/// A valid upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The key; `None` where the request has none. A key that cannot be read is a refusal after the 101, for
    /// the upgrade itself is valid.
    pub key: Result<Option<Box<str>>, KeyFault>,
    /// The path as it was sent, without the query.
    pub path: Box<str>,
    /// The values of `X-Forwarded-For`, in order and joined by commas; empty where there is none. Anybody can write
    /// them: see [`client`](super::forwarded::client).
    pub forwarded_for: Box<[u8]>,
}

/// Why a request is no valid upgrade. Nothing the client sent is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// It does not begin with `GET `.
    #[error("not an HTTP GET request")]
    NotGet,
    /// The head is over [`MAX_HEAD`] bytes.
    #[error("the request head is over 8 KiB")]
    HeadTooLarge,
    /// The head is over [`MAX_HEADERS`] fields.
    #[error("the request has more than 64 header fields")]
    TooManyHeaders,
    /// The head is not HTTP/1.1.
    #[error("the request head is not HTTP/1.1")]
    Malformed,
    /// There is not exactly one `Host`.
    #[error("the request has no host, or several")]
    Host,
    /// The request has a body.
    #[error("the request has a body")]
    Body,
    /// `Upgrade: websocket` or `Connection: Upgrade` is missing.
    #[error("the request asks for no WebSocket")]
    NoUpgrade,
    /// `Sec-WebSocket-Version` is not 13.
    #[error("the WebSocket version is not 13")]
    Version,
    /// `Sec-WebSocket-Key` is not 16 bytes of base64, once.
    #[error("`Sec-WebSocket-Key` is not 16 bytes of base64")]
    Key,
    /// The origin is not listed, or there are several.
    #[error("the origin is not in `origins`")]
    Origin,
    /// The path is not listed.
    #[error("the path is not in `paths`")]
    Path,
}

impl UpgradeError {
    /// The response to send before the connection is closed.
    #[must_use]
    pub fn response(self) -> &'static [u8] {
        match self {
            Self::NotGet
            | Self::HeadTooLarge
            | Self::TooManyHeaders
            | Self::Malformed
            | Self::Host
            | Self::Body
            | Self::Key => b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            Self::NoUpgrade | Self::Version => {
                b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\
                  Sec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n"
            }
            Self::Origin => b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            Self::Path => b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        }
    }
}

impl UpgradeReader {
    /// Makes a reader.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what arrived, all of it.
    ///
    /// # Errors
    /// What cannot become a valid upgrade, as soon as that is known; the bytes are dropped.
    pub fn handle_bytes(
        &mut self,
        bytes: &[u8],
        rules: &UpgradeRules<'_>,
    ) -> Result<UpgradeStep, UpgradeError> {
        let begun = self.seen.0.iter().chain(bytes).zip(METHOD);
        if begun.into_iter().any(|(got, want)| got != want) {
            self.seen = HeadBuffer::default();
            return Err(UpgradeError::NotGet);
        }
        match self.seen.handle_bytes(bytes) {
            Cut::More { at_most } => Ok(UpgradeStep::NeedMore { at_most }),
            Cut::TooLarge => Err(UpgradeError::HeadTooLarge),
            Cut::Whole { head, surplus } => {
                let head = head::Head::read(&head, rules)?;
                let response = switching(head.accept, head.protocol);
                let upgrade =
                    Upgrade { key: head.key, path: head.path.into(), forwarded_for: head.forwarded_for };
                Ok(UpgradeStep::Done { upgrade, response, surplus: surplus.into() })
            }
        }
    }
}

/// What `Sec-WebSocket-Accept` is for a `Sec-WebSocket-Key` (section 4.2.2, item 5.4): 28 characters.
fn accept_key(key: &[u8]) -> String {
    let joined = [key, b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &joined))
}

/// Writes the 101; Chromium fails unless one of the sub-protocols it asked for is selected.
fn switching(accept: String, protocol: Option<&str>) -> Vec<u8> {
    let mut response = String::with_capacity(160);
    response.push_str("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
    response.push_str("Sec-WebSocket-Accept: ");
    response.push_str(&accept);
    if let Some(protocol) = protocol {
        response.push_str("\r\nSec-WebSocket-Protocol: ");
        response.push_str(protocol);
    }
    response.push_str("\r\n\r\n");
    response.into_bytes()
}

/// Collects a head; looks at each byte once.
#[derive(Clone, Debug, Default)]
struct HeadBuffer(Vec<u8>);

/// What a head's bytes have come to.
enum Cut<'b> {
    More { at_most: usize },
    TooLarge,
    Whole { head: std::borrow::Cow<'b, [u8]>, surplus: &'b [u8] },
}

impl HeadBuffer {
    /// Takes what arrived; the buffer is empty again unless more is needed.
    fn handle_bytes<'b>(&mut self, bytes: &'b [u8]) -> Cut<'b> {
        // The blank line may have been cut: it is looked for from three bytes before the new ones.
        let from = self.0.len().saturating_sub(END.len() - 1);
        let tail = self.0.len() - from;
        let end = find_end(&self.0[from..], bytes).map(|end| end - tail);
        let len = self.0.len() + end.unwrap_or(bytes.len());
        if len > MAX_HEAD || (end.is_none() && len == MAX_HEAD) {
            self.0 = Vec::new();
            return Cut::TooLarge;
        }
        let Some(end) = end else {
            self.0.extend_from_slice(bytes);
            return Cut::More { at_most: MAX_HEAD - len };
        };
        let (last, surplus) = bytes.split_at(end);
        if self.0.is_empty() {
            return Cut::Whole { head: last.into(), surplus };
        }
        let mut head = std::mem::take(&mut self.0);
        head.extend_from_slice(last);
        Cut::Whole { head: head.into(), surplus }
    }
}

/// The blank line, with the end of the line before it.
const END: &[u8] = b"\r\n\r\n";

/// Finds the end of the blank line in `tail`, at most three bytes, followed by `bytes`.
fn find_end(tail: &[u8], bytes: &[u8]) -> Option<usize> {
    let mut seam = [0; 6];
    let joined = tail.len() + bytes.len().min(3);
    for (place, byte) in seam.iter_mut().zip(tail.iter().chain(bytes)) {
        *place = *byte;
    }
    let in_seam = seam[..joined].windows(END.len()).position(|part| part == END);
    in_seam
        .or_else(|| bytes.windows(END.len()).position(|part| part == END).map(|at| tail.len() + at))
        .map(|at| at + END.len())
}

#[cfg(test)]
mod tests;
