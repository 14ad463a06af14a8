#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// A frame as it was sent: its header and its payload.
type Frame = (Header, Vec<u8>);

#[test]
fn the_wire_is_that_of_the_demo_of_old() {
    let mut wire = Vec::new();
    push(&mut wire, TypeBytes::Two, (1, 2000), br#"{"message": "resp"}"#);
    assert_eq!(wire[..5], [0x01, 0x07, 0xd0, 0x00, 0x13]);
    wire.clear();
    push(&mut wire, TypeBytes::One, (1, 20), b"x");
    assert_eq!(wire, [1, 20, 0, 1, b'x']);
}

#[test]
fn version_2_shows_a_token_and_goes_on_without_it() {
    let token: [u8; TOKEN] = std::array::from_fn(|index| index as u8);
    let wire = [&[2, 0x03, 0xe8, 0, 1][..], &token, b"x"].concat();
    let (frames, is_between) = read(Decoder::of_client(TypeBytes::Two), &wire, 1);
    let header = Header { version: 2, kind: 1000, length: 1, token: Some(TokenBytes(token)) };
    assert_eq!((frames, is_between), (vec![(header, b"x".to_vec())], true));
    assert_eq!(*header.encode(TypeBytes::Two), wire[..21]);
    assert_eq!(*header.without_token().encode(TypeBytes::Two), [1, 0x03, 0xe8, 0, 1]);
    assert!(!format!("{header:?} {:?}", header.encode(TypeBytes::Two)).contains("15"), "{header:?}");
    // To a client it is a version like any other.
    let (frames, _) = read(Decoder::of_endpoint(TypeBytes::Two), &wire[..6], 6);
    assert_eq!(frames, [(Header { token: None, ..header }, vec![0])]);
}

#[test]
fn any_version_and_type_passes() {
    for (width, kind, version) in
        [(TypeBytes::Two, 65_535, 255), (TypeBytes::One, 255, 255), (TypeBytes::Two, 0, 0)]
    {
        for length in [0, 1, 65_535] {
            let payload: Vec<u8> = (0..length).map(|index: u32| index as u8).collect();
            let mut wire = Vec::new();
            push(&mut wire, width, (version, kind), &payload);
            let header = Header { version, kind, length: length as u16, token: None };
            assert_eq!(read(Decoder::of_client(width), &wire, 4096), (vec![(header, payload)], true));
        }
    }
}

#[test]
fn a_frame_is_skipped_to_its_very_end() {
    let mut wire = Vec::new();
    push(&mut wire, TypeBytes::One, (1, 20), b"first");
    let first = wire.len();
    push(&mut wire, TypeBytes::One, (1, 20), b"");
    push(&mut wire, TypeBytes::One, (1, 20), b"third");
    let mut decoder = Decoder::of_endpoint(TypeBytes::One);
    let mut cut = &wire[..3];
    assert!(!decoder.skip_frame(&mut cut) && cut.is_empty() && !decoder.is_between());
    let mut rest = &wire[3..];
    assert!(decoder.skip_frame(&mut rest) && decoder.is_between());
    assert_eq!(rest, &wire[first..]);
    assert!(decoder.skip_frame(&mut rest) && decoder.skip_frame(&mut rest) && rest.is_empty());
    assert!(!decoder.skip_frame(&mut rest) && decoder.is_between());
}

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let token = prop::option::of(any::<[u8; TOKEN]>());
    let payload = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..40),
        2 => (any::<u8>(), 4090_usize..4100).prop_map(|(byte, length)| vec![byte; length]),
        1 => Just(vec![7; 65_535]),
    ];
    let frame = (any::<u8>(), 0u16..256, token, payload).prop_map(|(version, kind, token, payload)| {
        let version = if token.is_some() { WITH_TOKEN } else { version };
        let token = (version == WITH_TOKEN).then(|| TokenBytes(token.unwrap_or_default()));
        let length = payload.len() as u16;
        (Header { version, kind, length, token }, payload)
    });
    prop::collection::vec(frame, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn frames_are_the_same_however_they_are_cut(
        frames in frames(), wide in any::<bool>(), size in 1usize..700, missing in 0usize..40,
    ) {
        let width = if wide { TypeBytes::Two } else { TypeBytes::One };
        let mut wire = Vec::new();
        for (header, payload) in &frames {
            wire.extend_from_slice(&header.encode(width));
            wire.extend_from_slice(payload);
        }
        let whole = read(Decoder::of_client(width), &wire, wire.len().max(1));
        prop_assert_eq!(&whole, &(frames, true));
        wire.truncate(wire.len().saturating_sub(missing));
        let want = read(Decoder::of_client(width), &wire, wire.len().max(1));
        prop_assert_eq!(read(Decoder::of_client(width), &wire, 1), want.clone());
        prop_assert_eq!(read(Decoder::of_client(width), &wire, size), want);
    }
}

/// The frames that end in `wire`, read in parts of `size`, and whether it ends between two.
fn read(mut decoder: Decoder, wire: &[u8], size: usize) -> (Vec<Frame>, bool) {
    let (mut frames, mut current): (Vec<Frame>, Option<Frame>) = (Vec::new(), None);
    for mut part in wire.chunks(size) {
        while let Some(event) = decoder.next(&mut part) {
            match event {
                Event::Header(header) => current = Some((header, Vec::new())),
                Event::Payload(piece) => {
                    assert!(!piece.is_empty());
                    current.as_mut().unwrap().1.extend_from_slice(piece);
                }
                Event::End => frames.push(current.take().unwrap()),
            }
        }
        assert!(part.is_empty());
    }
    (frames, decoder.is_between())
}
