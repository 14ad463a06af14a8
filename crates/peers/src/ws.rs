//! The WebSocket clients and endpoints: RFC 6455 framing of their own, so that a fault of the gateway's
//! codec cannot hide behind the same fault here.

use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use self::frame::{Masked, frame, parts, read};
use crate::endpoint::serve::{Bytes, Connection};
use crate::handshake::{Head, accept_for, invalid};
use crate::tls::{TlsClient, TlsStream, Trust};
use crate::{PATIENCE, TcpClient};

mod endpoint;
mod frame;
mod stream;

pub use endpoint::WsEndpoint;
pub use frame::Message;
pub use stream::WsStream;

/// How the client says its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// In the header.
    Header(&'a str),
    /// Percent-encoded in the query.
    Query(&'a str),
    /// base64url, as the second of two sub-protocols.
    SubProtocol(&'a str),
    /// Not at all.
    Absent,
}

/// What the client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade<'a> {
    /// The key and where it stands.
    pub key: Key<'a>,
    /// The name of the header, the query parameter and the sub-protocol.
    pub name: &'a str,
    /// The path, without a query.
    pub path: &'a str,
    /// More headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// Bytes sent in one segment with the request, before its answer.
    pub pipelined: &'a [u8],
}

impl<'a> From<Key<'a>> for Upgrade<'a> {
    fn from(key: Key<'a>) -> Self {
        Self { key, name: "server-identify", path: "/", headers: &[], pipelined: &[] }
    }
}

impl Upgrade<'_> {
    /// Writes the request's head for a nonce.
    fn head(&self, gate: SocketAddr, nonce: &str) -> String {
        let Self { name, path, .. } = self;
        let query = match self.key {
            Key::Query(key) => format!("?{name}={}", percent(key)),
            Key::Header(_) | Key::SubProtocol(_) | Key::Absent => String::new(),
        };
        let mut head = format!(
            "GET {path}{query} HTTP/1.1\r\nHost: {gate}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\n"
        );
        let mut line = |name: &str, value: &str| write!(head, "{name}: {value}\r\n").ok();
        match self.key {
            Key::Header(key) => line(name, key),
            Key::SubProtocol(key) => {
                line("Sec-WebSocket-Protocol", &format!("{name}, {}", URL_SAFE_NO_PAD.encode(key)))
            }
            Key::Query(_) | Key::Absent => None,
        };
        for (name, value) in self.headers {
            line(name, value);
        }
        head + "\r\n"
    }
}

/// A client of a `ws` listener, or over TLS of a `wss` listener ([`WssClient`]).
#[derive(Debug)]
pub struct WsClient<C = TcpStream> {
    stream: C,
    sub_protocol: Option<String>,
}

/// A client of a `wss` listener.
pub type WssClient = WsClient<TlsStream>;

impl WsClient {
    /// Connects and upgrades.
    ///
    /// # Errors
    /// See [`WsClient::upgrade`], and whatever connecting fails with.
    pub fn connect<'a>(gate: SocketAddr, upgrade: impl Into<Upgrade<'a>>) -> io::Result<Self> {
        Self::upgrade(TcpClient::connect(gate)?.into_stream(), gate, upgrade)
    }

    /// Connects, upgrades, and returns with the first message: the gateway's answer.
    ///
    /// # Errors
    /// See [`WsClient::connect`] and [`WsClient::read`].
    pub fn open<'a>(
        gate: SocketAddr,
        upgrade: impl Into<Upgrade<'a>>,
    ) -> io::Result<(Self, Option<Message>)> {
        let mut client = Self::connect(gate, upgrade)?;
        let answer = client.read()?;
        Ok((client, answer))
    }

    /// Returns a masked frame whose first byte (FIN, RSV and opcode) is `head`.
    #[must_use]
    pub fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
        let [a, b, c, d, ..] = random().to_ne_bytes();
        frame(head, Some([a, b, c, d]), payload)
    }

    /// Waits until something has come, or the end has, at most for `time`; `false` when nothing has.
    ///
    /// # Errors
    /// Whatever the connection fails with.
    pub fn wait(&self, time: Duration) -> io::Result<bool> {
        self.stream.set_read_timeout(Some(time.max(Duration::from_millis(1))))?;
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_read_timeout(Some(PATIENCE))?;
        match peeked {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

impl WssClient {
    /// Connects, meets the gateway by TLS, and upgrades.
    ///
    /// # Errors
    /// See [`WsClient::upgrade`] and [`TlsClient::connect`].
    pub fn connect_tls<'a>(
        gate: SocketAddr,
        trust: &Trust,
        upgrade: impl Into<Upgrade<'a>>,
    ) -> io::Result<Self> {
        Self::upgrade(TlsClient::connect(gate, trust)?.into_stream(), gate, upgrade)
    }

    /// Connects, upgrades, and returns with the first message: the gateway's answer.
    ///
    /// # Errors
    /// See [`WssClient::connect_tls`] and [`WsClient::read`].
    pub fn open_tls<'a>(
        gate: SocketAddr,
        trust: &Trust,
        upgrade: impl Into<Upgrade<'a>>,
    ) -> io::Result<(Self, Option<Message>)> {
        let mut client = Self::connect_tls(gate, trust, upgrade)?;
        let answer = client.read()?;
        Ok((client, answer))
    }
}

impl<C: Connection> WsClient<C> {
    /// Upgrades a connection to `gate`.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionRefused`] with the status line when the answer is not 101,
    /// [`io::ErrorKind::InvalidData`] when it is a 101 that RFC 6455 section 4.1 does not accept, and whatever
    /// the connection fails with.
    pub fn upgrade<'a>(stream: C, gate: SocketAddr, upgrade: impl Into<Upgrade<'a>>) -> io::Result<Self> {
        let nonce = STANDARD.encode([random().to_ne_bytes(), random().to_ne_bytes()].concat());
        let upgrade = upgrade.into();
        stream.send(&[upgrade.head(gate, &nonce).as_bytes(), upgrade.pipelined].concat())?;
        let head = Head::read(&mut Bytes(&stream))?;
        if !head.first.starts_with("HTTP/1.1 101 ") {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, head.first));
        }
        if head.header("sec-websocket-accept") != Some(&accept_for(&nonce)) {
            return Err(invalid("a 101 with a wrong Sec-WebSocket-Accept"));
        }
        let sub_protocol = head.header("sec-websocket-protocol").map(str::to_owned);
        Ok(Self { stream, sub_protocol })
    }

    /// The sub-protocol that the gateway selected.
    #[must_use]
    pub fn sub_protocol(&self) -> Option<&str> {
        self.sub_protocol.as_deref()
    }

    /// Sends one message in one frame.
    ///
    /// # Errors
    /// Whatever writing fails with.
    pub fn send(&mut self, message: &Message) -> io::Result<()> {
        let (opcode, payload) = parts(message);
        self.stream.send(&WsClient::frame(0x80 | opcode, &payload))
    }

    /// Sends bytes as they are: the way to send what RFC 6455 forbids.
    ///
    /// # Errors
    /// Whatever writing fails with.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.send(bytes)
    }

    /// Reads the next message, fragments put together; `None` when the stream ends without a close frame.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when the gateway breaks RFC 6455 or a message is above [`crate::MESSAGE_MAX`].
    pub fn read(&mut self) -> io::Result<Option<Message>> {
        let message = read(&mut Bytes(&self.stream), Masked::No)?;
        if let Some(Message::Ping(payload)) = &message {
            self.send(&Message::Pong(payload.clone()))?;
        }
        Ok(message)
    }

    /// The connection as a stream of bytes: what is written leaves as binary messages.
    ///
    /// What it has read and not given away is lost when it is dropped.
    #[must_use]
    pub fn bytes(&self) -> WsStream<'_, C> {
        WsStream::client(&self.stream)
    }

    /// The connection, for everything else.
    #[must_use]
    pub fn stream(&self) -> &C {
        &self.stream
    }
}

/// Masking keys and nonces of a peer need to differ, not to be secret.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            write!(out, "%{byte:02X}").ok();
        }
        out
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::Endpoint;

    #[test]
    fn client_and_echo_understand_each_other_at_every_length_form() {
        let endpoint = Endpoint::start(WsEndpoint::echo).unwrap();
        let mut client = WsClient::connect(endpoint.address(), Key::Header("x")).unwrap();
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let message = Message::Binary(vec![0x5A; length]);
            client.send(&message).unwrap();
            assert_eq!(client.read().unwrap(), Some(message), "{length} bytes");
        }
        client.send(&Message::Ping(b"there?".into())).unwrap();
        assert_eq!(client.read().unwrap(), Some(Message::Pong(b"there?".into())));
        client.send(&Message::Close(Some(1000))).unwrap();
        assert_eq!(client.read().unwrap(), Some(Message::Close(Some(1000))));
        assert_eq!(client.read().unwrap(), None);
    }

    #[test]
    fn a_key_stands_where_it_was_asked_to() {
        let head = |key| Upgrade::from(key).head("127.0.0.1:9082".parse().unwrap(), "n");
        assert!(head(Key::Header("10.0.0.7:9000")).contains("\r\nserver-identify: 10.0.0.7:9000\r\n"));
        assert!(
            head(Key::Query("[::1]:9000")).starts_with("GET /?server-identify=%5B%3A%3A1%5D%3A9000 HTTP")
        );
        assert!(
            head(Key::SubProtocol("a:1")).contains("\r\nSec-WebSocket-Protocol: server-identify, YTox\r\n")
        );
    }
}
