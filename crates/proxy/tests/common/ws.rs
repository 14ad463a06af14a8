//! WebSocket peers of raw frames, written by hand: a client of the gateway and an endpoint behind it.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use portcullis_core::wire::http_upgrade::{UpgradeReader, UpgradeRules, UpgradeStep};

use crate::gate::{Gate, accept};
use crate::kcp::cell;

pub(crate) const MORE: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// Which end writes a frame: clients mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Client,
    Server,
}

/// A frame that arrived, unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    pub(crate) opcode: u8,
    pub(crate) mask: Option<[u8; 4]>,
    pub(crate) payload: Vec<u8>,
}

/// The header of a frame (RFC 6455 section 5.2).
pub(crate) fn header(by: By, fin: bool, opcode: u8, length: u64) -> Vec<u8> {
    let masked = if by == By::Client { 0x80 } else { 0 };
    let mut header = vec![opcode | if fin { 0x80 } else { 0 }];
    match length {
        0..126 => header.push(masked | length as u8),
        126..0x1_0000 => {
            header.push(masked | 126);
            header.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            header.push(masked | 127);
            header.extend_from_slice(&length.to_be_bytes());
        }
    }
    if by == By::Client {
        header.extend_from_slice(&[0; 4]); // a key like any other: payload stays as it is
    }
    header
}

/// One frame.
pub(crate) fn part(by: By, fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    [&header(by, fin, opcode, payload.len() as u64)[..], payload].concat()
}

/// A whole message, or a control frame.
pub(crate) fn frame(by: By, opcode: u8, payload: &[u8]) -> Vec<u8> {
    part(by, true, opcode, payload)
}

/// The payload of a close frame.
pub(crate) fn words(code: Option<u16>, reason: &str) -> Vec<u8> {
    let code = code.map(u16::to_be_bytes);
    [code.as_ref().map_or(&[][..], |code| code), reason.as_bytes()].concat()
}

/// The next frame.
pub(crate) fn read_frame(mut stream: &TcpStream) -> io::Result<Frame> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let length = match head[1] & 0x7f {
        126 => {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            u64::from(u16::from_be_bytes(length))
        }
        127 => {
            let mut length = [0; 8];
            stream.read_exact(&mut length)?;
            u64::from_be_bytes(length)
        }
        length => u64::from(length),
    };
    let mut mask = None;
    if head[1] & 0x80 != 0 {
        let mut key = [0; 4];
        stream.read_exact(&mut key)?;
        mask = Some(key);
    }
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut payload)?;
    for (place, byte) in payload.iter_mut().enumerate() {
        *byte ^= mask.map_or(0, |key| key[place % 4]);
    }
    Ok(Frame { fin: head[0] & 0x80 != 0, opcode: head[0] & 15, mask, payload })
}

/// The next message or close frame, put together; pings and pongs are passed over.
pub(crate) fn read_message(stream: &TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let (mut kind, mut whole) = (MORE, Vec::new());
    loop {
        let frame = read_frame(stream)?;
        match frame.opcode {
            PING | PONG => continue,
            CLOSE => return Ok((CLOSE, frame.payload)),
            MORE => assert_ne!(kind, MORE, "a continuation of nothing"),
            opcode => {
                assert_eq!(kind, MORE, "a message inside another");
                kind = opcode;
            }
        }
        whole.extend_from_slice(&frame.payload);
        if frame.fin {
            return Ok((kind, whole));
        }
    }
}

/// Reads a head, byte by byte.
pub(crate) fn read_head(mut stream: &TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8(head).unwrap())
}

/// The 101 that answers a request.
pub(crate) fn agreement(request: &str) -> String {
    let rules = UpgradeRules { header: "none", query: false, origins: &[], paths: &[], max_key: 64 };
    match UpgradeReader::new().handle_bytes(request.as_bytes(), &rules) {
        Ok(UpgradeStep::Done { response, .. }) => String::from_utf8(response).unwrap(),
        other => panic!("{other:?} to {request}"),
    }
}

/// Connects to a gateway's ws listener and upgrades.
pub(crate) fn upgraded(gate: &Gate) -> TcpStream {
    let mut client = gate.connect();
    client.write_all(REQUEST.as_bytes()).unwrap();
    let head = read_head(&client).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client
}

/// What a client asks; its path, key and cookies are the gateway's alone.
pub(crate) const REQUEST: &str = "GET /of-the-client?a=b HTTP/1.1\r\nHost: front.test\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\nserver-identify: secret-key\r\nCookie: secret-cookie\r\n\r\n";

/// Takes the next connection and agrees to its upgrade.
pub(crate) fn agree(listener: &TcpListener) -> TcpStream {
    let mut stream = accept(listener);
    let request = read_head(&stream).unwrap();
    stream.write_all(agreement(&request).as_bytes()).unwrap();
    stream
}

/// One open session of a tcp or ws client and a ws endpoint.
pub(crate) fn session(client: &str, settings: &str) -> (Gate, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::start(1, 100, &cell(client, "ws", listener.local_addr().unwrap(), settings));
    let client = if client == "ws" { upgraded(&gate) } else { gate.connect() };
    let endpoint = agree(&listener);
    gate.wait_for(|counts| counts.listeners[0].opened == 1);
    (gate, client, endpoint)
}

/// Gives every message back as it came, frame by frame, and answers a close; then closes first.
pub(crate) fn echo_messages(mut stream: &TcpStream) {
    while let Ok(frame) = read_frame(stream) {
        assert!(frame.mask.is_some(), "a client's frame that is not masked");
        match frame.opcode {
            PING => stream.write_all(&self::frame(By::Server, PONG, &frame.payload)).unwrap(),
            PONG => {}
            opcode => stream.write_all(&part(By::Server, frame.fin, opcode, &frame.payload)).unwrap(),
        }
        if frame.opcode == CLOSE {
            stream.shutdown(Shutdown::Write).unwrap();
            break;
        }
    }
}

/// Reads what is left; `Err` is how it broke.
pub(crate) fn rest_of(mut stream: &TcpStream) -> Result<Vec<u8>, io::ErrorKind> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).map(|_| rest).map_err(|error| error.kind())
}
