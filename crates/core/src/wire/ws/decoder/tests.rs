#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::super::frame::{frame, header};
use super::*;

mod naive;

const MASK: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);

/// What a decoder says, with payload joined: it must not depend on how the bytes were cut.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Start(Opcode, FrameStart),
    Bytes(Vec<u8>),
    End,
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, Vec<u8>),
    Violation(Violation),
}

#[test]
fn an_idle_decoder_is_small() {
    assert!(size_of::<Decoder>() <= 64, "{} bytes", size_of::<Decoder>());
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    let start = |opcode, first, fin, len| Said::Start(opcode, FrameStart { fin, first, len });
    let hello = || Said::Bytes(b"Hello".to_vec());
    let rows: &[(Role, &[u8], Vec<Said>)] = &[
        (Role::Client, b"\x81\x05Hello", vec![start(Opcode::Text, true, true, 5), hello(), Said::End]),
        (
            Role::Server,
            b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
            vec![start(Opcode::Text, true, true, 5), hello(), Said::End],
        ),
        (
            Role::Client,
            b"\x01\x03Hel\x80\x02lo",
            vec![
                start(Opcode::Text, true, false, 3),
                Said::Bytes(b"Hel".to_vec()),
                start(Opcode::Text, false, true, 2),
                Said::Bytes(b"lo".to_vec()),
                Said::End,
            ],
        ),
        (Role::Client, b"\x89\x05Hello", vec![Said::Ping(b"Hello".to_vec())]),
        (Role::Server, b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", vec![Said::Pong(b"Hello".to_vec())]),
    ];
    for (role, wire, want) in rows {
        assert_eq!(&decode(*role, &[wire]), want, "{wire:02x?}");
    }
}

#[test]
fn every_cut_gives_the_same_events() {
    let wire = [
        frame(Opcode::Text, "caf\u{e9} \u{1f600}".as_bytes(), MASK),
        frame(Opcode::Ping, b"are you there", MASK),
        frame(Opcode::Binary, b"", MASK),
        frame(Opcode::Binary, &[7; 130], MASK),
        fragment(Opcode::Text, false, b"one \xe2"),
        frame(Opcode::Pong, b"", MASK),
        fragment(Opcode::Continuation, false, b""),
        fragment(Opcode::Continuation, true, b"\x82\xac"),
        frame(Opcode::Close, &Control::close(1000, "bye \u{20ac}"), MASK),
        b"what comes after a close frame has no meaning".to_vec(),
    ]
    .concat();
    let want = decode(Role::Server, &[&wire]);
    assert_eq!(want.last(), Some(&Said::Close(Some(1000), "bye \u{20ac}".into())));
    assert_eq!(want, naive::decode(Role::Server, &wire));
    for cut in 0..=wire.len() {
        let (front, back) = wire.split_at(cut);
        assert_eq!(decode(Role::Server, &[front, back]), want, "cut at {cut}");
    }
    let single: Vec<&[u8]> = wire.chunks(1).collect();
    assert_eq!(decode(Role::Server, &single), want);
}

#[test]
fn every_violation_is_told_at_the_byte_that_makes_it_one() {
    let masked_text = |payload: &[u8]| frame(Opcode::Text, payload, MASK);
    let close = |payload: &[u8]| frame(Opcode::Close, payload, MASK);
    let open = fragment(Opcode::Binary, false, b"x");
    // The wire, at which byte from its start or before its end it goes wrong, how, and the close code.
    let rows: &[(&[u8], usize, Violation, u16)] = &[
        (b"\xc2\x80....", 0, Violation::ReservedBit, 1002),
        (b"\xa2\x80....", 0, Violation::ReservedBit, 1002),
        (b"\x92\x80....", 0, Violation::ReservedBit, 1002),
        (b"\x83\x80....", 0, Violation::ReservedOpcode, 1002),
        (b"\x87\x80....", 0, Violation::ReservedOpcode, 1002),
        (b"\x8b\x80....", 0, Violation::ReservedOpcode, 1002),
        (b"\x8f\x80....", 0, Violation::ReservedOpcode, 1002),
        (b"\x09\x80....", 0, Violation::ControlFragmented, 1002),
        (b"\x08\x80....", 0, Violation::ControlFragmented, 1002),
        (b"\x82\x00", 1, Violation::MaskMissing, 1002),
        (b"\x89\x02hi", 1, Violation::MaskMissing, 1002),
        (b"\x89\xfe\x00\x7e....", 1, Violation::ControlTooLong, 1002),
        (b"\x88\xff\x00\x7e....", 1, Violation::ControlTooLong, 1002),
        (b"\x82\xfe\x00\x7d....", 3, Violation::LengthNotMinimal, 1002),
        (b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff....", 9, Violation::LengthNotMinimal, 1002),
        (b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00....", 9, Violation::LengthReserved, 1002),
        (b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff....", 9, Violation::LengthReserved, 1002),
        (b"\x80\x80....", 5, Violation::NothingToContinue, 1002),
        (&[&open[..], &open].concat(), open.len() + 5, Violation::Interrupted, 1002),
        (&close(b"\x03"), 6, Violation::CloseCut, 1002),
        (&close(b"\x03\xec"), 7, Violation::CloseCode(1004), 1002),
        (&close(b"\x03\xe8\xff"), 8, Violation::NotUtf8, 1007),
        (&masked_text(b"ok\xff.."), 8, Violation::NotUtf8, 1007),
        (&masked_text(b"ok\xf4\x90.."), 9, Violation::NotUtf8, 1007),
        (&masked_text(b"ok\xe2\x82"), 9, Violation::NotUtf8, 1007),
        (
            &[
                fragment(Opcode::Text, false, b"\xe2"),
                frame(Opcode::Ping, b"", MASK),
                fragment(Opcode::Continuation, false, b"("),
            ]
            .concat(),
            19,
            Violation::NotUtf8,
            1007,
        ),
    ];
    for (wire, at, want, code) in rows {
        let mut decoder = Decoder::new(Role::Server);
        assert!(
            !told(&mut decoder, &wire[..*at]).iter().any(is_violation),
            "{want:?} before byte {at}: {wire:02x?}"
        );
        let said = told(&mut decoder, &wire[*at..=*at]);
        assert_eq!(said.last(), Some(&Said::Violation(*want)), "at byte {at}: {wire:02x?}");
        assert_eq!(want.code(), *code);
        assert!(decoder.is_over());
        assert_eq!(told(&mut decoder, &wire[at + 1..]), [], "nothing after a violation");
        assert_eq!(decode(Role::Server, &[wire]).last(), Some(&Said::Violation(*want)), "whole: {wire:02x?}");
    }
}

#[test]
fn a_server_never_masks() {
    let masked = frame(Opcode::Binary, b"x", MASK);
    assert_eq!(decode(Role::Client, &[&masked]), [Said::Violation(Violation::MaskUnexpected)]);
}

#[test]
fn close_codes_are_those_that_may_be_sent() {
    let good =
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
    for code in 0..=u16::MAX {
        let wire = frame(Opcode::Close, &Control::close(code, ""), None);
        let is_good = good.contains(&code) || (3000..5000).contains(&code);
        let want = if is_good {
            Said::Close(Some(code), vec![])
        } else {
            Said::Violation(Violation::CloseCode(code))
        };
        assert_eq!(decode(Role::Client, &[&wire]), [want]);
    }
    assert_eq!(decode(Role::Client, &[b"\x88\x00"]), [Said::Close(None, vec![])]);
}

#[test]
fn the_longest_length_is_streamed_and_costs_nothing() {
    let mut decoder = Decoder::new(Role::Server);
    let len = (1_u64 << 63) - 1;
    let said = told(&mut decoder, &header(Opcode::Binary, true, len, MASK));
    assert_eq!(said, [Said::Start(Opcode::Binary, FrameStart { fin: true, first: true, len })]);
    for _ in 0..100 {
        let mut payload = [0; 4096];
        let mut input = &mut payload[..];
        let Ok(Some(Event::Data { start: None, bytes, message_end: false, .. })) = decoder.next(&mut input)
        else {
            panic!()
        };
        assert_eq!(bytes.len(), 4096);
        assert!(matches!(decoder.phase, Phase::Payload { .. }), "no payload is held");
    }
}

#[test]
fn fragments_without_end_hold_nothing() {
    let mut decoder = Decoder::new(Role::Server);
    told(&mut decoder, &fragment(Opcode::Binary, false, b"x"));
    for _ in 0..10_000 {
        told(&mut decoder, &fragment(Opcode::Continuation, false, b"x"));
        assert!(matches!(decoder.phase, Phase::Header { have: 0, .. }));
        assert!(!decoder.is_between_messages());
    }
    told(&mut decoder, &fragment(Opcode::Continuation, true, b"x"));
    assert!(decoder.is_between_messages());
}

#[test]
fn a_clone_goes_on_where_the_first_was() {
    let wire = [fragment(Opcode::Text, false, "\u{20ac}uro".as_bytes()), frame(Opcode::Ping, b"ping", MASK)]
        .concat();
    let want = decode(Role::Server, &[&wire]);
    for cut in 0..wire.len() {
        let mut decoder = Decoder::new(Role::Server);
        let mut said = told(&mut decoder, &wire[..cut]);
        said.extend(told(&mut decoder.clone(), &wire[cut..]));
        assert_eq!(joined(said), want, "cut at {cut}");
    }
}

#[test]
fn a_header_has_the_shortest_length_that_fits() {
    let rows: &[(u64, usize)] = &[
        (0, 2),
        (125, 2),
        (126, 4),
        (0xffff, 4),
        (0x1_0000, 10),
        (u64::from(u32::MAX) + 1, 10),
        ((1 << 63) - 1, 10),
    ];
    for (len, size) in rows {
        for (mask, role, more) in [(None, Role::Client, 0), (MASK, Role::Server, 4)] {
            let header = header(Opcode::Binary, false, *len, mask);
            assert_eq!(header.len(), size + more, "{len}");
            let want = Said::Start(Opcode::Binary, FrameStart { fin: false, first: true, len: *len });
            assert_eq!(decode(role, &[&header])[0], want);
        }
    }
}

#[test]
fn a_close_is_answered_by_its_code() {
    let rows = [(Control::close(4001, "why"), &b"\x0f\xa1"[..]), (Control::EMPTY, b"")];
    for (payload, want) in rows {
        assert_eq!(&*Close::read(payload).unwrap().answer(), want);
    }
    let cut = Control::close(1000, &"\u{20ac}".repeat(50));
    assert_eq!(cut.len(), 2 + 41 * 3, "a reason is cut between characters");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_frames_however_cut_are_what_the_naive_decoder_says(
        frames in prop::collection::vec(Draft::any(), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        server in any::<bool>(),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let wire: Vec<u8> = frames.iter().flat_map(|frame| frame.wire(role)).collect();
        prop_assert_eq!(settled(decode(role, &parts(&wire, &cuts))), settled(naive::decode(role, &wire)));
    }

    #[test]
    fn any_bytes_however_cut_are_what_the_naive_decoder_says(
        wire in prop::collection::vec(any::<u8>(), 0..64),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        for role in [Role::Server, Role::Client] {
            prop_assert_eq!(settled(decode(role, &parts(&wire, &cuts))), settled(naive::decode(role, &wire)));
        }
    }
}

/// A frame that is mostly right.
#[derive(Clone, Debug)]
struct Draft {
    first: u8,
    payload: Vec<u8>,
    mask: [u8; 4],
    wrongly_masked: bool,
}

impl Draft {
    fn any() -> impl Strategy<Value = Self> {
        let first = prop_oneof![
            8 => prop::sample::select(vec![0x81_u8, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a, 0x88]),
            1 => any::<u8>(),
        ];
        let payload = prop_oneof![
            4 => "\\PC{0,40}".prop_map(String::into_bytes),
            2 => prop::collection::vec(any::<u8>(), 0..300),
            1 => (1000_u16..1020).prop_map(|code| code.to_be_bytes().to_vec()),
        ];
        (first, payload, any::<[u8; 4]>(), prop::bool::weighted(0.03))
            .prop_map(|(first, payload, mask, wrongly_masked)| Self { first, payload, mask, wrongly_masked })
    }

    /// Writes it for a reader of this role.
    fn wire(&self, role: Role) -> Vec<u8> {
        let masked = (role == Role::Server) != self.wrongly_masked;
        let mut wire = frame(Opcode::Binary, &self.payload, masked.then_some(self.mask));
        wire[0] = self.first;
        wire
    }
}

fn parts<'w>(wire: &'w [u8], cuts: &[prop::sample::Index]) -> Vec<&'w [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
    at.extend([0, wire.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &wire[pair[0]..pair[1]]).collect()
}

/// Without the unfinished part in front of a violation: how much of it was told depends on the cuts.
fn settled(mut said: Vec<Said>) -> Vec<Said> {
    if said.last().is_some_and(is_violation) {
        let violation = said.pop();
        while said.last().is_some_and(|last| matches!(last, Said::Start(..) | Said::Bytes(_))) {
            said.pop();
        }
        said.extend(violation);
    }
    said
}

fn is_violation(said: &Said) -> bool {
    matches!(said, Said::Violation(_))
}

fn fragment(opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    let header = header(opcode, fin, payload.len() as u64, MASK);
    let _turned = apply_mask(&mut payload, MASK.unwrap());
    [&header[..], &payload].concat()
}

/// Decodes a stream that arrives in these parts.
fn decode(role: Role, parts: &[&[u8]]) -> Vec<Said> {
    let mut decoder = Decoder::new(role);
    joined(parts.iter().flat_map(|part| told(&mut decoder, part)).collect())
}

/// What a decoder says to one part.
fn told(decoder: &mut Decoder, part: &[u8]) -> Vec<Said> {
    let mut said = Vec::new();
    let mut part = part.to_vec();
    let mut input = &mut part[..];
    loop {
        match decoder.next(&mut input) {
            Ok(None) => break,
            Ok(Some(Event::Data { opcode, start, bytes, message_end })) => {
                said.extend(start.map(|start| Said::Start(opcode, start)));
                said.extend((!bytes.is_empty()).then(|| Said::Bytes(bytes.to_vec())));
                said.extend(message_end.then_some(Said::End));
            }
            Ok(Some(Event::Ping(payload))) => said.push(Said::Ping(payload.to_vec())),
            Ok(Some(Event::Pong(payload))) => said.push(Said::Pong(payload.to_vec())),
            Ok(Some(Event::Close(close))) => said.push(Said::Close(close.code(), close.reason().to_vec())),
            Err(violation) => {
                said.push(Said::Violation(violation));
                break;
            }
        }
    }
    assert!(input.is_empty() || said.last().is_some_and(is_violation), "{} bytes were left", input.len());
    said
}

fn joined(said: Vec<Said>) -> Vec<Said> {
    let mut out: Vec<Said> = Vec::new();
    for one in said {
        if let (Some(Said::Bytes(before)), Said::Bytes(bytes)) = (out.last_mut(), &one) {
            before.extend_from_slice(bytes);
        } else {
            out.push(one);
        }
    }
    out
}
