//! Frames mean the same however they are cut, are written as they were read, and no message of theirs panics a codec.

use portcullis_core::config::TypeBytes;
use portcullis_core::wire::frame::message::{CODECS, MESSAGE_MAX};
use portcullis_core::wire::frame::{Decoder, Event, Header};

/// `data`: the size of the parts, a byte of which the lowest bit is the width and the next one the side, then the wire.
pub fn run(data: &[u8]) {
    let Some((size, data)) = super::cut(data) else { return };
    let Some((choice, wire)) = data.split_first() else { return };
    let width = if choice & 1 == 0 { TypeBytes::One } else { TypeBytes::Two };
    let begin = if choice & 2 == 0 { Decoder::of_client } else { Decoder::of_endpoint };
    let whole = read(begin(width), wire, wire.len().max(1));
    assert_eq!(read(begin(width), wire, size), whole, "in parts of {size}");
    let mut again = Vec::new();
    for (header, payload) in &whole.frames {
        assert_eq!(usize::from(header.length), payload.len());
        again.extend_from_slice(&header.encode(width));
        again.extend_from_slice(payload);
        for codec in CODECS {
            let (register, login) = ((codec.register)(payload), (codec.login)(payload));
            assert!(payload.len() <= MESSAGE_MAX || (register.is_err() && login.is_err()));
        }
    }
    assert_eq!(again, wire[..again.len()]);
    assert_eq!(whole.is_between, again.len() == wire.len(), "{} of {} bytes", again.len(), wire.len());
    let mut borders = begin(width);
    let (mut rest, mut count) = (wire, 0);
    while borders.skip_frame(&mut rest) {
        count += 1;
    }
    assert_eq!((count, borders.is_between()), (whole.frames.len(), whole.is_between));
}

/// What came of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    /// Those that are whole.
    frames: Vec<(Header, Vec<u8>)>,
    is_between: bool,
}

fn read(mut decoder: Decoder, wire: &[u8], size: usize) -> Read {
    let mut frames = Vec::new();
    let mut open: Option<(Header, Vec<u8>)> = None;
    for mut part in wire.chunks(size) {
        while let Some(event) = decoder.next(&mut part) {
            match (event, &mut open) {
                (Event::Header(header), None) => open = Some((header, Vec::new())),
                (Event::Payload(bytes), Some((_, payload))) => {
                    assert!(!bytes.is_empty());
                    payload.extend_from_slice(bytes);
                }
                (Event::End, Some(_)) => frames.extend(open.take()),
                (event, open) => panic!("{event:?} while {open:?}"),
            }
        }
        assert!(part.is_empty());
    }
    Read { frames, is_between: decoder.is_between() }
}
