//! The services of a WebSocket endpoint, over whatever carries it.

use std::io::{self, Read as _};

use super::frame::{Masked, Message, frame, parts, read};
use super::stream::WsStream;
use crate::endpoint::serve::{Bytes, Connection};
use crate::handshake::{Head, accept_for, invalid};

/// The services of a WebSocket endpoint.
#[derive(Debug)]
pub struct WsEndpoint;

impl WsEndpoint {
    /// Upgrades any request and sends back each message; for [`crate::Endpoint::start`].
    ///
    /// # Errors
    /// Whatever the connection fails with, and [`io::ErrorKind::InvalidData`] when the client breaks RFC 6455.
    pub fn echo<C: Connection>(stream: &C) -> io::Result<()> {
        accept(stream)?;
        while let Some(message) = read(&mut Bytes(stream), Masked::Yes)? {
            let answer = match message {
                Message::Ping(payload) => Message::Pong(payload),
                Message::Pong(_) => continue,
                other => other,
            };
            let (opcode, payload) = parts(&answer);
            stream.send(&frame(0x80 | opcode, None, &payload))?;
            if matches!(answer, Message::Close(_)) {
                break;
            }
        }
        Ok(())
    }

    /// Returns a service that upgrades any request and runs `service` on the bytes of the messages.
    ///
    /// When `service` has returned, a close frame is sent and the client's is waited for.
    pub fn bytes<C, F>(service: F) -> impl Fn(&C) -> io::Result<()> + Send + Sync
    where
        C: Connection,
        F: Fn(&WsStream<'_, C>) -> io::Result<()> + Send + Sync,
    {
        move |stream: &C| {
            accept(stream)?;
            let stream = WsStream::server(stream);
            service(&stream)?;
            stream.end()?;
            let mut rest = [0; 4096];
            while Bytes(&stream).read(&mut rest)? != 0 {}
            Ok(())
        }
    }
}

/// Answers the upgrade (section 4.2).
fn accept<C: Connection>(stream: &C) -> io::Result<()> {
    let head = Head::read(&mut Bytes(stream))?;
    let nonce = head.header("sec-websocket-key").ok_or_else(|| invalid("no Sec-WebSocket-Key"))?;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept_for(nonce)
    );
    stream.send(answer.as_bytes())
}
