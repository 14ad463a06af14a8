//! Frames mean the same however they are cut, and the framings give back the messages that went in.

use portcullis_core::wire::ws::framing::{Downlink, Framing, Piece, Uplink};
use portcullis_core::wire::ws::{Decoder, Event, FrameStart, Opcode, Role, Violation};

/// Small, so that the fuzzer finds the bound.
const MAX_MESSAGE: u32 = 1000;

/// What came of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    /// Messages and control payloads in order.
    whole: Vec<(u8, Vec<u8>)>,
    violation: Option<Violation>,
    /// What the endpoint gets where messages go up behind their lengths, or why it gets no more.
    up: Vec<u8>,
    up_violation: Option<Violation>,
    /// Bytes of a message that is not whole.
    open: Vec<u8>,
}

/// `data`: the size of the parts, a byte of which the lowest bit is the role, then the wire.
pub fn run(data: &[u8]) {
    let Some((size, data)) = super::cut(data) else { return };
    let Some((choice, wire)) = data.split_first() else { return };
    let role = if choice & 1 == 0 { Role::Server } else { Role::Client };
    let mut whole = hear(role, wire, wire.len().max(1));
    let mut cut = hear(role, wire, size);
    for heard in [&mut whole, &mut cut] {
        if heard.violation.is_some() {
            // How much of the message that broke a rule was passed on before depends on the cuts.
            heard.open.clear();
            heard.up.clear();
            heard.up_violation = None;
        }
    }
    assert_eq!(whole, cut, "in parts of {size}");
    if whole.violation.is_none() && whole.up_violation.is_none() {
        let sent: Vec<&[u8]> =
            whole.whole.iter().filter(|(opcode, _)| *opcode < 8).map(|(_, payload)| &payload[..]).collect();
        assert_eq!(echoed(&whole.up, size), sent, "what went up comes back down");
    }
}

fn hear(role: Role, wire: &[u8], size: usize) -> Heard {
    let mut decoder = Decoder::new(role);
    let mut up = Uplink::new(Framing::LengthPrefixed, MAX_MESSAGE);
    let mut heard = Heard::default();
    for part in wire.chunks(size) {
        let mut part = part.to_vec();
        let mut input = &mut part[..];
        loop {
            match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(event)) => heard.take(event, &mut up),
                Err(violation) => {
                    assert!(matches!(violation.code(), 1002 | 1007));
                    assert!(decoder.is_over());
                    heard.violation = Some(violation);
                    return heard;
                }
            }
        }
        assert!(input.is_empty());
    }
    heard
}

impl Heard {
    fn take(&mut self, event: Event<'_>, up: &mut Uplink) {
        match event {
            Event::Ping(payload) => self.whole.push((9, payload.to_vec())),
            Event::Pong(payload) => self.whole.push((10, payload.to_vec())),
            Event::Close(close) => self.whole.push((8, close.reason().to_vec())),
            Event::Data { opcode, start, bytes, message_end } => {
                self.open.extend_from_slice(bytes);
                self.pass_up(start, bytes, message_end, up);
                if message_end {
                    let payload = std::mem::take(&mut self.open);
                    assert!(opcode != Opcode::Text || std::str::from_utf8(&payload).is_ok());
                    self.whole.push((opcode as u8, payload));
                }
            }
        }
    }

    fn pass_up(&mut self, start: Option<FrameStart>, bytes: &[u8], message_end: bool, up: &mut Uplink) {
        if self.up_violation.is_some() {
            return;
        }
        match up.handle_data(start, bytes, message_end) {
            Ok(Piece::Bytes(bytes)) => self.up.extend_from_slice(bytes),
            Ok(Piece::Prefixed(prefix, bytes)) => {
                self.up.extend_from_slice(&prefix);
                self.up.extend_from_slice(bytes);
            }
            Ok(Piece::Whole(message)) => {
                assert!(message.len() <= 4 + MAX_MESSAGE as usize);
                self.up.extend_from_slice(&message);
            }
            Err(violation) => {
                assert_eq!(violation, Violation::TooBig);
                self.up_violation = Some(violation);
            }
        }
    }
}

/// The messages a client gets when the endpoint sends back what it got.
fn echoed(stream: &[u8], size: usize) -> Vec<Vec<u8>> {
    let mut down = Downlink::new(Framing::LengthPrefixed);
    let mut decoder = Decoder::new(Role::Client);
    let mut messages = Vec::new();
    let mut open = Vec::new();
    for mut part in stream.chunks(size) {
        while let Some(chunk) = down.next(&mut part) {
            let mut wire = [&chunk.header[..], chunk.bytes].concat();
            let mut wire = &mut wire[..];
            while let Ok(Some(Event::Data { bytes, message_end, .. })) = decoder.next(&mut wire) {
                open.extend_from_slice(bytes);
                if message_end {
                    messages.push(std::mem::take(&mut open));
                }
            }
            assert!(wire.is_empty() && !decoder.is_over());
        }
    }
    messages
}
