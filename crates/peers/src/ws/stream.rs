//! A WebSocket as a stream of bytes: what is written leaves as binary messages, and the bytes of messages are read.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::frame::{Masked, Message, control, frame, parts, read_frame, whole};
use super::random;
use crate::endpoint::serve::Connection;
use crate::handshake::invalid;

/// The longest message that is sent, in bytes.
const PIECE: usize = 64 << 10;

/// A WebSocket after its upgrade, as a stream of bytes; text counts as its bytes.
///
/// Pings are answered, pongs are dropped, and a close frame is the end. Two threads may share it, one to read and
/// one to write; a reader that has a ping to answer waits for the writer's frame.
#[derive(Debug)]
pub struct WsStream<'s, C> {
    stream: &'s C,
    /// What is read must be masked exactly when what is written is not.
    incoming: Masked,
    inbound: Mutex<Inbound>,
    outbound: Mutex<Outbound>,
}

#[derive(Debug, Default)]
struct Inbound {
    /// Frames as they came, the last perhaps in part: a read that gives up must not lose its beginning.
    wire: Vec<u8>,
    /// The rest of a message.
    payload: Vec<u8>,
    taken: usize,
    ended: bool,
    /// What the close frame said.
    code: Option<u16>,
}

#[derive(Debug, Default)]
struct Outbound {
    closed: bool,
}

impl<'s, C: Connection> WsStream<'s, C> {
    /// The endpoint's side.
    pub(super) fn server(stream: &'s C) -> Self {
        Self { stream, incoming: Masked::Yes, inbound: Mutex::default(), outbound: Mutex::default() }
    }

    /// The client's side.
    pub(super) fn client(stream: &'s C) -> Self {
        Self { incoming: Masked::No, ..Self::server(stream) }
    }

    /// The code of the close frame that ended what is read, if it carried one.
    #[must_use]
    pub fn close_code(&self) -> Option<u16> {
        lock(&self.inbound).code
    }

    fn write(&self, message: &Message) -> io::Result<()> {
        let mut outbound = lock(&self.outbound);
        if outbound.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        outbound.closed = matches!(message, Message::Close(_));
        let (opcode, payload) = parts(message);
        let [a, b, c, d, ..] = random().to_ne_bytes();
        let mask = (self.incoming == Masked::No).then_some([a, b, c, d]);
        self.stream.send(&frame(0x80 | opcode, mask, &payload))
    }

    /// Takes the next frame of what has come; `false` when more is needed first.
    ///
    /// A fragment's bytes are taken as they come: no border is kept, so none has to be waited for.
    fn take_frame(&self, inbound: &mut Inbound) -> io::Result<bool> {
        let Some(length) = whole(&inbound.wire)? else { return Ok(false) };
        let frame: Vec<u8> = inbound.wire.drain(..length).collect();
        let (head, payload) =
            read_frame(&mut &frame[..], self.incoming, 0)?.ok_or_else(|| invalid("no frame"))?;
        if head & 0x70 != 0 {
            return Err(invalid("a reserved bit is set"));
        }
        match head & 0x0F {
            0x0..=0x2 => (inbound.payload, inbound.taken) = (payload, 0),
            opcode @ 0x8..=0xA => match control(opcode, payload)? {
                Message::Ping(payload) => self.write(&Message::Pong(payload))?,
                Message::Close(code) => {
                    (inbound.ended, inbound.code) = (true, code);
                    // Answered already when this side was the first to close.
                    self.write(&Message::Close(code)).ok();
                }
                Message::Pong(_) | Message::Text(_) | Message::Binary(_) => {}
            },
            opcode => return Err(invalid(format!("opcode {opcode:#x}"))),
        }
        Ok(true)
    }
}

impl<C: Connection> Connection for WsStream<'_, C> {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut inbound = lock(&self.inbound);
        loop {
            let rest = inbound.payload.get(inbound.taken..).unwrap_or_default();
            if !rest.is_empty() || buffer.is_empty() {
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                inbound.taken += count;
                return Ok(count);
            }
            if inbound.ended {
                return Ok(0);
            }
            if self.take_frame(&mut inbound)? {
                continue;
            }
            let mut arrived = [0; 16 << 10];
            match self.stream.receive(&mut arrived)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => inbound.wire.extend_from_slice(&arrived[..count]),
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        bytes.chunks(PIECE).try_for_each(|piece| self.write(&Message::Binary(piece.to_vec())))
    }

    /// Sends a close frame with code 1000; what the other side still sends can be read.
    fn end(&self) -> io::Result<()> {
        match self.write(&Message::Close(Some(1000))) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            sent => sent,
        }
    }

    fn wait_at_most(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.wait_at_most(timeout)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
