//! Frames: version, type of one byte or two, length, payload. The client, and an endpoint as the shield's demo has it.
//!
//! Written a second time on purpose, as `message` is. Version 2 of a client's frame has a token between length and
//! payload; a frame to a client has none.

use std::io;
use std::net::SocketAddr;

use crate::endpoint::serve::{Bytes, Connection};
use crate::handshake::invalid;
use crate::{KcpClient, KcpOptions, KcpStream, TcpClient, TlsClient, TlsStream, Trust};

/// How wide a frame's type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeWidth {
    /// u8.
    One,
    /// u16, big endian.
    Two,
}

/// The usual types by their width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Types {
    /// A client's heartbeat.
    pub heartbeat: u16,
    /// The answer to it.
    pub heartbeat_reply: u16,
    /// The demo's request, which is answered with its own type.
    pub hello: u16,
    /// A device asks for a token.
    pub register: u16,
    /// It gets one.
    pub token: u16,
    /// It shows the one it has.
    pub login: u16,
    /// Something was refused.
    pub error: u16,
}

impl std::str::FromStr for TypeWidth {
    type Err = &'static str;

    /// By its bytes: `1` or `2`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "1" => Ok(Self::One),
            "2" => Ok(Self::Two),
            _ => Err("1 or 2"),
        }
    }
}

impl TypeWidth {
    /// Both.
    pub const ALL: [Self; 2] = [Self::One, Self::Two];

    /// The usual types.
    #[must_use]
    pub fn types(self) -> Types {
        match self {
            Self::One => Types {
                heartbeat: 1,
                heartbeat_reply: 2,
                hello: 20,
                register: 10,
                token: 11,
                login: 12,
                error: 19,
            },
            Self::Two => Types {
                heartbeat: 1000,
                heartbeat_reply: 1001,
                hello: 2000,
                register: 1100,
                token: 1101,
                login: 1102,
                error: 1199,
            },
        }
    }
}

/// A frame, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// 1 is the usual one; with 2 a client shows its token.
    pub version: u8,
    /// What the payload is.
    pub kind: u16,
    /// The device token, in version 2 of a client's frame.
    pub token: Option<[u8; 16]>,
    /// At most 65,535 bytes.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame of version 1.
    #[must_use]
    pub fn new(kind: u16, payload: &[u8]) -> Self {
        Self { version: 1, kind, token: None, payload: payload.into() }
    }

    /// The same in version 2, with a token.
    #[must_use]
    pub fn with_token(self, token: [u8; 16]) -> Self {
        Self { version: 2, token: Some(token), ..self }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] when the payload or the type has no room.
    pub fn encode(&self, width: TypeWidth) -> io::Result<Vec<u8>> {
        let no_room = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let mut bytes = vec![self.version];
        match width {
            TypeWidth::One => bytes.push(u8::try_from(self.kind).map_err(no_room)?),
            TypeWidth::Two => bytes.extend_from_slice(&self.kind.to_be_bytes()),
        }
        let length = u16::try_from(self.payload.len()).map_err(no_room)?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(self.token.as_ref().map_or(&[][..], |token| &token[..]));
        bytes.extend_from_slice(&self.payload);
        Ok(bytes)
    }

    /// Reads one whole; `None` when the stream ends where a frame would begin.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when it ends inside a frame, and whatever reading fails with.
    pub fn read(from: &mut impl io::Read, width: TypeWidth, has_tokens: bool) -> io::Result<Option<Self>> {
        let mut first = [0];
        if from.read(&mut first)? == 0 {
            return Ok(None);
        }
        let version = first[0];
        let kind = match width {
            TypeWidth::One => u16::from(take::<1>(from)?[0]),
            TypeWidth::Two => u16::from_be_bytes(take(from)?),
        };
        let length = u16::from_be_bytes(take(from)?);
        let token = if has_tokens && version == 2 { Some(take(from)?) } else { None };
        let mut payload = vec![0; usize::from(length)];
        from.read_exact(&mut payload)?;
        Ok(Some(Self { version, kind, token, payload }))
    }
}

fn take<const N: usize>(from: &mut impl io::Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A client that speaks in frames, on any connection; on a WebSocket over [`WsClient::bytes`](crate::WsClient::bytes).
#[derive(Debug)]
pub struct FrameClient<C> {
    stream: C,
    width: TypeWidth,
}

impl FrameClient<std::net::TcpStream> {
    /// Connects by TCP.
    ///
    /// # Errors
    /// Whatever connecting fails with.
    pub fn tcp(gate: SocketAddr, width: TypeWidth) -> io::Result<Self> {
        Ok(Self::new(TcpClient::connect(gate)?.into_stream(), width))
    }
}

impl FrameClient<TlsStream> {
    /// Connects by TLS.
    ///
    /// # Errors
    /// Whatever connecting fails with.
    pub fn tls(gate: SocketAddr, trust: &Trust, width: TypeWidth) -> io::Result<Self> {
        Ok(Self::new(TlsClient::connect(gate, trust)?.into_stream(), width))
    }
}

impl FrameClient<KcpStream> {
    /// Begins a conversation.
    ///
    /// # Errors
    /// Whatever connecting fails with.
    pub fn kcp(gate: SocketAddr, options: &KcpOptions, width: TypeWidth) -> io::Result<Self> {
        Ok(Self::new(KcpClient::connect(gate, options)?.into_stream(), width))
    }
}

impl<C: Connection> FrameClient<C> {
    /// Speaks on a connection that is there.
    pub fn new(stream: C, width: TypeWidth) -> Self {
        Self { stream, width }
    }

    /// Sends a frame in one write.
    ///
    /// # Errors
    /// Whatever encoding or writing fails with.
    pub fn send(&self, frame: &Frame) -> io::Result<()> {
        self.stream.send(&frame.encode(self.width)?)
    }

    /// Sends several frames in one write.
    ///
    /// # Errors
    /// Whatever encoding or writing fails with.
    pub fn send_all(&self, frames: &[Frame]) -> io::Result<()> {
        let parts = frames.iter().map(|frame| frame.encode(self.width)).collect::<io::Result<Vec<_>>>()?;
        self.stream.send(&parts.concat())
    }

    /// Reads a frame; `None` at the end of the stream.
    ///
    /// # Errors
    /// As [`Frame::read`].
    pub fn read(&self) -> io::Result<Option<Frame>> {
        Frame::read(&mut Bytes(&self.stream), self.width, false)
    }

    /// Sends a frame and reads the next that comes.
    ///
    /// # Errors
    /// As sending and reading; [`io::ErrorKind::UnexpectedEof`] when none comes.
    pub fn ask(&self, frame: &Frame) -> io::Result<Frame> {
        self.send(frame)?;
        self.read()?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Sends a heartbeat and reads its answer's payload.
    ///
    /// # Errors
    /// As [`FrameClient::ask`]; [`io::ErrorKind::InvalidData`] when what comes is no answer to a heartbeat.
    pub fn heartbeat(&self) -> io::Result<Vec<u8>> {
        let types = self.width.types();
        let answer = self.ask(&Frame::new(types.heartbeat, b""))?;
        if answer.kind != types.heartbeat_reply {
            return Err(invalid("no answer to a heartbeat"));
        }
        Ok(answer.payload)
    }

    /// How wide its types are.
    pub fn width(&self) -> TypeWidth {
        self.width
    }

    /// The connection, for everything else.
    pub fn stream(&self) -> &C {
        &self.stream
    }
}

/// What the demo's server answers to each of its requests.
pub const DEMO_ANSWER: &[u8] = br#"{"message": "resp"}"#;

/// How the demo's server writes a frame with a type of two bytes: in four writes.
pub const DEMO_CUTS: &[usize] = &[1, 2, 2, usize::MAX];

/// A service that reads frames and sends what `answer` makes of each, in writes of as many bytes as `cuts` says, in
/// turn and from its beginning for each frame; an empty `cuts`: in one.
pub fn serve_frames<C, F>(
    width: TypeWidth,
    cuts: &'static [usize],
    answer: F,
) -> impl Fn(&C) -> io::Result<()> + Send + Sync
where
    C: Connection,
    F: Fn(&Frame) -> Vec<Frame> + Send + Sync,
{
    move |stream: &C| {
        // What the gateway hands on has no token, unless it is told to forward them.
        while let Some(frame) = Frame::read(&mut Bytes(stream), width, true)? {
            for answer in answer(&frame) {
                send_cut(stream, &answer.encode(width)?, cuts)?;
            }
        }
        stream.end()
    }
}

/// The demo's server: answers its requests, and nothing else.
pub fn serve_demo<C: Connection>(
    width: TypeWidth,
    cuts: &'static [usize],
) -> impl Fn(&C) -> io::Result<()> + Send + Sync {
    let hello = width.types().hello;
    let answer = move |frame: &Frame| {
        let is_request = frame.kind == hello;
        is_request.then(|| Frame::new(hello, DEMO_ANSWER)).into_iter().collect()
    };
    serve_frames(width, cuts, answer)
}

fn send_cut<C: Connection>(stream: &C, mut bytes: &[u8], cuts: &[usize]) -> io::Result<()> {
    let mut sizes = cuts.iter().cycle();
    while !bytes.is_empty() {
        let size = sizes.next().copied().unwrap_or(usize::MAX).max(1);
        let (piece, rest) = bytes.split_at_checked(size).unwrap_or((bytes, &[]));
        stream.send(piece)?;
        bytes = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::Endpoint;

    #[test]
    fn the_demo_answers_its_requests_however_it_cuts_them() {
        for width in TypeWidth::ALL {
            for cuts in [&[][..], &[1], DEMO_CUTS] {
                let endpoint = Endpoint::start(serve_demo(width, cuts)).unwrap();
                let client = FrameClient::tcp(endpoint.address(), width).unwrap();
                let request = Frame::new(width.types().hello, br#"{"message":"hello"}"#);
                client.send(&Frame::new(width.types().heartbeat, b"")).unwrap();
                assert_eq!(client.ask(&request).unwrap().payload, DEMO_ANSWER);
            }
        }
    }

    #[test]
    fn a_frame_that_was_written_is_read_back() {
        let frame = Frame::new(2000, b"x").with_token([7; 16]);
        let wire = frame.encode(TypeWidth::Two).unwrap();
        assert_eq!(wire[..5], [2, 0x07, 0xd0, 0, 1]);
        let read = Frame::read(&mut &wire[..], TypeWidth::Two, true).unwrap();
        assert_eq!(read, Some(frame.clone()));
        assert!(Frame::read(&mut &wire[..21], TypeWidth::Two, true).is_err());
        assert!(frame.encode(TypeWidth::One).is_err());
        assert_eq!(Frame::read(&mut &[][..], TypeWidth::One, true).unwrap(), None);
    }
}
