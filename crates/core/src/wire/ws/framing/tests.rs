#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::super::frame::frame;
use super::super::{Decoder, Event, Role};
use super::*;

const MAX: u32 = 1 << 20;

#[test]
fn raw_up_is_the_payload_and_has_no_bound() {
    let mut up = Uplink::new(Framing::Raw, 4);
    for first in [true, false] {
        let start = Some(FrameStart { fin: false, first, len: 1 << 40 });
        assert_eq!(up.handle_data(start, b"payload", false), Ok(Piece::Bytes(b"payload")));
    }
    for _ in 0..10_000 {
        let start = Some(FrameStart { fin: false, first: false, len: 1 });
        assert_eq!(up.handle_data(start, b"x", false), Ok(Piece::Bytes(b"x")));
    }
    assert!(up.assembling.is_none());
}

#[test]
fn a_message_in_one_frame_is_streamed_behind_its_prefix() {
    let mut up = Uplink::new(Framing::LengthPrefixed, 4);
    let start = Some(FrameStart { fin: true, first: true, len: 0x0102_0304 });
    assert_eq!(up.handle_data(start, b"beginning", false), Ok(Piece::Prefixed([4, 3, 2, 1], b"beginning")));
    assert_eq!(up.handle_data(None, b"end", true), Ok(Piece::Bytes(b"end")));
    assert!(up.assembling.is_none(), "nothing is held");

    let start = Some(FrameStart { fin: true, first: true, len: 0 });
    assert_eq!(up.handle_data(start, b"", true), Ok(Piece::Prefixed([0; 4], b"")));

    let over = Some(FrameStart { fin: true, first: true, len: 1 << 32 });
    assert_eq!(up.handle_data(over, b"", false), Err(Violation::TooBig));
}

#[test]
fn a_fragmented_message_goes_up_as_one() {
    let mut up = Uplink::new(Framing::LengthPrefixed, 7);
    for _ in 0..2 {
        let steps = [
            (Some(FrameStart { fin: false, first: true, len: 3 }), &b"AA"[..], false),
            (None, b"A", false),
            (Some(FrameStart { fin: false, first: false, len: 0 }), b"", false),
            (Some(FrameStart { fin: true, first: false, len: 4 }), b"", false),
            (None, b"BBB", false),
        ];
        for (start, bytes, end) in steps {
            assert_eq!(up.handle_data(start, bytes, end), Ok(Piece::Bytes(b"")));
        }
        assert_eq!(up.handle_data(None, b"B", true), Ok(Piece::Whole(b"\x07\0\0\0AAABBBB".to_vec())));
        assert!(up.assembling.is_none());
    }
}

#[test]
fn a_fragmented_message_is_refused_by_its_header_before_its_bytes_are_held() {
    let rows: &[(&[u64], bool)] = &[
        (&[u64::from(MAX)], true),
        (&[u64::from(MAX) + 1], false),
        (&[(1 << 63) - 1], false),
        (&[1, u64::from(MAX) - 1], true),
        (&[1, u64::from(MAX)], false),
        (&[1, (1 << 63) - 1], false),
    ];
    for (lens, fits) in rows {
        let mut up = Uplink::new(Framing::LengthPrefixed, MAX);
        let mut got = Ok(Piece::Bytes(b""));
        for (i, len) in lens.iter().enumerate() {
            let start = Some(FrameStart { fin: false, first: i == 0, len: *len });
            got = up.handle_data(start, if *len == 1 { b"x" } else { b"" }, false);
        }
        assert_eq!(got.is_ok(), *fits, "{lens:?}");
        let held = up.assembling.map_or(0, |assembling| assembling.message.capacity());
        assert!(held <= 16, "{lens:?}: {held} bytes held for claims");
    }
}

#[test]
fn fragments_are_counted_even_when_they_are_empty() {
    for len in [0, 1] {
        let mut up = Uplink::new(Framing::LengthPrefixed, MAX);
        let payload = &b"x"[..len as usize];
        for i in 0..MAX_FRAGMENTS {
            let start = Some(FrameStart { fin: false, first: i == 0, len });
            assert_eq!(up.handle_data(start, payload, false), Ok(Piece::Bytes(b"")), "fragment {i}");
        }
        let start = Some(FrameStart { fin: true, first: false, len });
        assert_eq!(up.handle_data(start, payload, true), Err(Violation::TooBig));
        assert!(up.assembling.is_none(), "what was held is dropped");
    }
}

#[test]
fn raw_down_is_one_frame_for_each_read() {
    let mut down = Downlink::new(Framing::Raw);
    let mut input = &b"hello world\n"[..];
    let chunk = down.next(&mut input).unwrap();
    assert_eq!((&*chunk.header, chunk.bytes), (&b"\x82\x0c"[..], &b"hello world\n"[..]));
    assert_eq!(down.next(&mut input), None);
    assert!(down.is_between_messages());
}

#[test]
fn length_prefixed_down_keeps_the_borders_however_it_is_cut() {
    let messages: &[&[u8]] = &[b"one", b"", &[7; 300], b"", b"four"];
    let wire: Vec<u8> = messages.iter().flat_map(|one| crate::wire::hello::length_prefixed(one)).collect();
    let want: Vec<Vec<u8>> = messages.iter().map(|one| one.to_vec()).collect();
    assert_eq!(received(&[&wire]), want);
    for cut in 0..=wire.len() {
        assert_eq!(received(&[&wire[..cut], &wire[cut..]]), want, "cut at {cut}");
    }
    let single: Vec<&[u8]> = wire.chunks(1).collect();
    assert_eq!(received(&single), want);
}

#[test]
fn a_message_that_is_here_whole_is_one_frame() {
    let mut down = Downlink::new(Framing::LengthPrefixed);
    let mut input = &b"\x02\0\0\0ok\x05\0\0\0he"[..];
    let whole = down.next(&mut input).unwrap();
    assert_eq!([&whole.header[..], whole.bytes].concat(), frame(Opcode::Binary, b"ok", None));
    let part = down.next(&mut input).unwrap();
    assert_eq!((&*part.header, part.bytes), (&b"\x02\x02"[..], &b"he"[..]));
    assert_eq!(down.next(&mut input), None);
    assert!(!down.is_between_messages(), "an end here cuts a message");
    let mut input = &b"llo"[..];
    let last = down.next(&mut input).unwrap();
    assert_eq!((&*last.header, last.bytes), (&b"\x80\x03"[..], &b"llo"[..]));
    assert!(down.is_between_messages());
}

#[test]
fn a_cut_prefix_is_no_border() {
    let mut down = Downlink::new(Framing::LengthPrefixed);
    assert_eq!(down.next(&mut &b"\x02"[..]), None);
    assert!(!down.is_between_messages());
}

#[test]
fn a_claim_of_4_gib_holds_nothing() {
    let mut down = Downlink::new(Framing::LengthPrefixed);
    assert_eq!(down.next(&mut &b"\xff\xff\xff\xff"[..]), None);
    let chunk = down.next(&mut &b"x"[..]).unwrap();
    assert_eq!((&*chunk.header, chunk.bytes), (&b"\x02\x01"[..], &b"x"[..]));
    assert!(size_of::<Downlink>() <= 16 && size_of::<Uplink>() <= 16);
}

/// The messages a client receives when the endpoint's stream comes in these parts.
fn received(parts: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut down = Downlink::new(Framing::LengthPrefixed);
    let mut decoder = Decoder::new(Role::Client);
    let mut messages = vec![];
    let mut open = vec![];
    for part in parts {
        let mut input = *part;
        while let Some(chunk) = down.next(&mut input) {
            let mut wire = [&chunk.header[..], chunk.bytes].concat();
            let mut wire = &mut wire[..];
            while let Some(event) = decoder.next(&mut wire).unwrap() {
                let Event::Data { opcode: Opcode::Binary, bytes, message_end, .. } = event else { panic!() };
                open.extend_from_slice(bytes);
                if message_end {
                    messages.push(std::mem::take(&mut open));
                }
            }
        }
        assert!(input.is_empty());
    }
    messages
}
