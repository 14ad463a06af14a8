//! Frames and messages of RFC 6455 section 5.

use std::io::{self, Read};

use crate::MESSAGE_MAX;
use crate::handshake::invalid;

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

/// Must the frames that are read be masked (section 5.1)?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Masked {
    Yes,
    No,
}

pub(super) fn parts(message: &Message) -> (u8, Vec<u8>) {
    match message {
        Message::Text(text) => (0x1, text.clone().into_bytes()),
        Message::Binary(bytes) => (0x2, bytes.clone()),
        Message::Close(code) => (0x8, code.map(|code| code.to_be_bytes().to_vec()).unwrap_or_default()),
        Message::Ping(bytes) => (0x9, bytes.clone()),
        Message::Pong(bytes) => (0xA, bytes.clone()),
    }
}

/// Returns one frame (section 5.2); a length takes its shortest form.
pub(super) fn frame(head: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
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
    wire.extend(mask.iter().flatten());
    let begin = wire.len();
    wire.extend_from_slice(payload);
    turn(&mut wire[begin..], mask.unwrap_or_default());
    wire
}

/// Masks or unmasks (section 5.3), eight bytes at a time: the demo moves megabytes.
fn turn(payload: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let double = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    words.iter_mut().for_each(|word| *word = (u64::from_ne_bytes(*word) ^ double).to_ne_bytes());
    rest.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
}

/// Reads frames until a message is whole or a control frame comes.
pub(super) fn read(from: &mut impl Read, masked: Masked) -> io::Result<Option<Message>> {
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

/// The length of the frame at the beginning of `wire`, head included; `None` while it is not whole.
pub(super) fn whole(wire: &[u8]) -> io::Result<Option<usize>> {
    let Some((head, rest)) = wire.split_first_chunk::<2>() else { return Ok(None) };
    let extended = match head[1] & 0x7F {
        126 => rest.first_chunk().map(|length| (2, u64::from(u16::from_be_bytes(*length)))),
        127 => rest.first_chunk().map(|length| (8, u64::from_be_bytes(*length))),
        short => Some((0, u64::from(short))),
    };
    let Some((more, payload)) = extended else { return Ok(None) };
    if payload > u64::from(MESSAGE_MAX) {
        return Err(invalid(format!("a frame of {payload} bytes")));
    }
    let key = if head[1] & 0x80 == 0 { 0 } else { 4 };
    let length = 2 + more + key + payload as usize;
    Ok((wire.len() >= length).then_some(length))
}

/// Reads one frame: its first byte and its unmasked payload; `before` is what its message has had so far.
pub(super) fn read_frame(
    from: &mut impl Read,
    masked: Masked,
    before: usize,
) -> io::Result<Option<(u8, Vec<u8>)>> {
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
    turn(&mut payload, key);
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

pub(super) fn control(opcode: u8, payload: Vec<u8>) -> io::Result<Message> {
    if payload.len() > 125 {
        return Err(invalid("a control frame above 125 bytes"));
    }
    Ok(match (opcode, payload.split_first_chunk::<2>()) {
        (0x8, code) => Message::Close(code.map(|(code, _)| u16::from_be_bytes(*code))),
        (0x9, _) => Message::Ping(payload),
        _ => Message::Pong(payload),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

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
