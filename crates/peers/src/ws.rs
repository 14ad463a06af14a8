//! The WebSocket client and the echo endpoint: RFC 6455 framing of their own, so that a fault of the gateway's
//! codec cannot hide behind the same fault here.

use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::handshake::{Head, accept_for, invalid};
use crate::{MESSAGE_MAX, PATIENCE, TcpClient};

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

/// What one side says to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// UTF-8 text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
    /// A ping; the client answers it by itself before it returns it.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame with its code, if it carried one.
    Close(Option<u16>),
}

/// A client of a `ws` listener.
#[derive(Debug)]
pub struct WsClient {
    stream: TcpStream,
    sub_protocol: Option<String>,
}

impl WsClient {
    /// Connects and upgrades.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionRefused`] with the status line when the answer is not 101,
    /// [`io::ErrorKind::InvalidData`] when it is a 101 that RFC 6455 section 4.1 does not accept, and whatever
    /// the connection fails with.
    pub fn connect<'a>(gate: SocketAddr, upgrade: impl Into<Upgrade<'a>>) -> io::Result<Self> {
        let mut stream = TcpClient::connect(gate)?.into_stream();
        let nonce = STANDARD.encode([random().to_ne_bytes(), random().to_ne_bytes()].concat());
        let upgrade = upgrade.into();
        stream.write_all(&[upgrade.head(gate, &nonce).as_bytes(), upgrade.pipelined].concat())?;
        let head = Head::read(&mut stream)?;
        if !head.first.starts_with("HTTP/1.1 101 ") {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, head.first));
        }
        if head.header("sec-websocket-accept") != Some(&accept_for(&nonce)) {
            return Err(invalid("a 101 with a wrong Sec-WebSocket-Accept"));
        }
        let sub_protocol = head.header("sec-websocket-protocol").map(str::to_owned);
        Ok(Self { stream, sub_protocol })
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
        self.stream.write_all(&Self::frame(0x80 | opcode, &payload))
    }

    /// Sends bytes as they are: the way to send what RFC 6455 forbids.
    ///
    /// # Errors
    /// Whatever writing fails with.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Returns a masked frame whose first byte (FIN, RSV and opcode) is `head`.
    #[must_use]
    pub fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
        let [a, b, c, d, ..] = random().to_ne_bytes();
        frame(head, Some([a, b, c, d]), payload)
    }

    /// Reads the next message, fragments put together; `None` when the stream ends without a close frame.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when the gateway breaks RFC 6455 or a message is above [`MESSAGE_MAX`].
    pub fn read(&mut self) -> io::Result<Option<Message>> {
        let message = read(&mut self.stream, Masked::No)?;
        if let Some(Message::Ping(payload)) = &message {
            self.send(&Message::Pong(payload.clone()))?;
        }
        Ok(message)
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

    /// The connection, for everything else.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

/// The services of a WebSocket endpoint.
#[derive(Debug)]
pub struct WsEndpoint;

impl WsEndpoint {
    /// Upgrades any request and sends back each message; for [`crate::Endpoint::start`].
    ///
    /// # Errors
    /// Whatever the connection fails with, and [`io::ErrorKind::InvalidData`] when the client breaks RFC 6455.
    pub fn echo(mut stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let head = Head::read(&mut stream)?;
        let nonce = head.header("sec-websocket-key").ok_or_else(|| invalid("no Sec-WebSocket-Key"))?;
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            accept_for(nonce)
        );
        stream.write_all(answer.as_bytes())?;
        while let Some(message) = read(&mut stream, Masked::Yes)? {
            let answer = match message {
                Message::Ping(payload) => Message::Pong(payload),
                Message::Pong(_) => continue,
                other => other,
            };
            let (opcode, payload) = parts(&answer);
            stream.write_all(&frame(0x80 | opcode, None, &payload))?;
            if matches!(answer, Message::Close(_)) {
                break;
            }
        }
        Ok(())
    }
}

/// Must the frames that are read be masked (section 5.1)?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Masked {
    Yes,
    No,
}

fn parts(message: &Message) -> (u8, Vec<u8>) {
    match message {
        Message::Text(text) => (0x1, text.clone().into_bytes()),
        Message::Binary(bytes) => (0x2, bytes.clone()),
        Message::Close(code) => (0x8, code.map(|code| code.to_be_bytes().to_vec()).unwrap_or_default()),
        Message::Ping(bytes) => (0x9, bytes.clone()),
        Message::Pong(bytes) => (0xA, bytes.clone()),
    }
}

/// Returns one frame (section 5.2); a length takes its shortest form.
fn frame(head: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut wire = vec![head];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..=125), _) => wire.push(masked | short),
        (_, Ok(medium)) => {
            wire.push(masked | 126);
            wire.extend(medium.to_be_bytes());
        }
        _ => {
            wire.push(masked | 127);
            wire.extend((payload.len() as u64).to_be_bytes());
        }
    }
    let key = mask.unwrap_or_default();
    wire.extend(mask.iter().flatten());
    wire.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    wire
}

/// Reads frames until a message is whole or a control frame comes.
fn read(from: &mut impl Read, masked: Masked) -> io::Result<Option<Message>> {
    let mut open: Option<(u8, Vec<u8>)> = None;
    loop {
        let Some((head, payload)) =
            read_frame(from, masked, open.as_ref().map_or(0, |(_, seen)| seen.len()))?
        else {
            return Ok(None);
        };
        let (fin, opcode) = (head & 0x80 != 0, head & 0x0F);
        if head & 0x70 != 0 {
            return Err(invalid("a reserved bit is set"));
        }
        match (opcode, fin, open.take()) {
            (0x8..=0xA, true, None) => return control(opcode, payload).map(Some),
            // A control frame between fragments would have to be told before the message is whole; the peers
            // of this room never need that.
            (0x8..=0xA, ..) => return Err(invalid("a control frame in fragments or between them")),
            (0x1 | 0x2, false, None) => open = Some((opcode, payload)),
            (0x1 | 0x2, true, None) => return data(opcode, payload).map(Some),
            (0x0, fin, Some((first, mut seen))) => {
                seen.extend(payload);
                if fin {
                    return data(first, seen).map(Some);
                }
                open = Some((first, seen));
            }
            (opcode, ..) => return Err(invalid(format!("opcode {opcode:#x} out of turn"))),
        }
    }
}

/// Reads one frame: its first byte and its unmasked payload.
fn read_frame(from: &mut impl Read, masked: Masked, before: usize) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut head = [0; 2];
    if from.read(&mut head[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut head[1..])?;
    if (head[1] & 0x80 != 0) != (masked == Masked::Yes) {
        return Err(invalid("masked by the wrong side"));
    }
    let length = match head[1] & 0x7F {
        126 => u64::from(u16::from_be_bytes(read_array(from)?)),
        127 => u64::from_be_bytes(read_array(from)?),
        short => u64::from(short),
    };
    if length.saturating_add(before as u64) > u64::from(MESSAGE_MAX) {
        return Err(invalid(format!("a message of {length} bytes and more")));
    }
    let key: [u8; 4] = if masked == Masked::Yes { read_array(from)? } else { [0; 4] };
    let mut payload = Vec::new();
    if from.take(length).read_to_end(&mut payload)? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    Ok(Some((head[0], payload)))
}

fn read_array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn data(opcode: u8, payload: Vec<u8>) -> io::Result<Message> {
    if opcode == 0x2 {
        return Ok(Message::Binary(payload));
    }
    String::from_utf8(payload).map(Message::Text).map_err(|error| invalid(error.to_string()))
}

fn control(opcode: u8, payload: Vec<u8>) -> io::Result<Message> {
    if payload.len() > 125 {
        return Err(invalid("a control frame above 125 bytes"));
    }
    Ok(match (opcode, payload.split_first_chunk::<2>()) {
        (0x8, code) => Message::Close(code.map(|(code, _)| u16::from_be_bytes(*code))),
        (0x9, _) => Message::Ping(payload),
        _ => Message::Pong(payload),
    })
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

    #[test]
    fn what_the_other_side_may_not_send_is_an_error() {
        for (wire, why) in [
            (&b"\x82\x80\0\0\0\0"[..], "masked"),
            (b"\xC2\x00", "rsv"),
            (b"\x83\x00", "opcode"),
            (b"\x80\x00", "continuation first"),
            (b"\x09\x00", "fragmented ping"),
            (b"\x81\x01\xFF", "utf-8"),
            (b"\x82\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", "length"),
        ] {
            let error = read(&mut &wire[..], Masked::No).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{why}");
        }
    }
}
