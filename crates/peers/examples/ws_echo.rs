//! A WebSocket echo on the gateway's own codec, for foreign test suites: `ws_echo [ADDRESS]`.
//!
//! Prints the address it listens on, then serves until it is killed. Not the peers' own echo: that one has a
//! codec of its own, so that the two can be held against each other.

use std::error::Error;
use std::io::{self, Read, Write};
use std::mem;
use std::net::TcpStream;
use std::time::Duration;

use portcullis_core::wire::http_upgrade::{UpgradeReader, UpgradeRules, UpgradeStep};
use portcullis_core::wire::ws::{Control, Decoder, Event, Opcode, Role, Violation, frame};
use portcullis_peers::Endpoint;

/// The largest message that is echoed, in bytes.
const MAX_MESSAGE: usize = 64 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let endpoint = Endpoint::bind(address.parse()?, serve)?;
    println!("{}", endpoint.address());
    loop {
        std::thread::park();
    }
}

fn serve(mut stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 64 << 10];
    let Some(surplus) = upgrade(stream, &mut buffer)? else { return Ok(()) };
    let mut echo = Echo { decoder: Decoder::new(Role::Server), message: Vec::new(), out: Vec::new() };
    buffer[..surplus.len()].copy_from_slice(&surplus);
    let mut arrived = surplus.len();
    loop {
        let end = echo.handle_bytes(&mut buffer[..arrived]);
        stream.write_all(&mem::take(&mut echo.out))?;
        if end {
            break;
        }
        arrived = stream.read(&mut buffer)?;
        if arrived == 0 {
            return Ok(());
        }
    }
    linger(stream, &mut buffer)
}

/// Answers the upgrade; returns what came behind it, or nothing when there is no WebSocket.
fn upgrade(mut stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Option<Box<[u8]>>> {
    let rules =
        UpgradeRules { header: "server-identify", query: false, origins: &[], paths: &[], max_key: 4096 };
    let mut reader = UpgradeReader::new();
    loop {
        let arrived = stream.read(buffer)?;
        if arrived == 0 {
            return Ok(None);
        }
        match reader.handle_bytes(&buffer[..arrived], &rules) {
            Ok(UpgradeStep::NeedMore { .. }) => {}
            Ok(UpgradeStep::Done { response, surplus, .. }) => {
                stream.write_all(&response)?;
                return Ok(Some(surplus));
            }
            Err(error) => {
                stream.write_all(error.response())?;
                return Ok(None);
            }
        }
    }
}

/// Ends the own direction and waits for the other: closing over unread bytes would reset the connection, and
/// the peer might not read the close frame.
fn linger(mut stream: &TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    for _ in 0..1024 {
        if stream.read(buffer)? == 0 {
            break;
        }
    }
    Ok(())
}

struct Echo {
    decoder: Decoder,
    message: Vec<u8>,
    out: Vec<u8>,
}

impl Echo {
    /// Takes what arrived; true when the close frame is among what is to be sent.
    fn handle_bytes(&mut self, mut input: &mut [u8]) -> bool {
        loop {
            let handled = match self.decoder.next(&mut input) {
                Ok(None) => return false,
                Ok(Some(event)) => self.handle_event(event),
                Err(violation) => Err(violation),
            };
            match handled {
                Ok(Some(close)) => {
                    self.out.extend(frame(Opcode::Close, &close, None));
                    return true;
                }
                Ok(None) => {}
                Err(violation) => {
                    let close = Control::close(violation.code(), &violation.to_string());
                    self.out.extend(frame(Opcode::Close, &close, None));
                    return true;
                }
            }
        }
    }

    /// Returns the payload of the close frame to end with, if the peer has ended.
    fn handle_event(&mut self, event: Event<'_>) -> Result<Option<Control>, Violation> {
        match event {
            Event::Data { opcode, bytes, message_end, .. } => {
                if self.message.len() + bytes.len() > MAX_MESSAGE {
                    return Err(Violation::TooBig);
                }
                self.message.extend_from_slice(bytes);
                if message_end {
                    self.out.extend(frame(opcode, &mem::take(&mut self.message), None));
                }
            }
            Event::Ping(payload) => self.out.extend(frame(Opcode::Pong, &payload, None)),
            Event::Pong(_) => {}
            Event::Close(close) => return Ok(Some(close.answer())),
        }
        Ok(None)
    }
}
