#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::*;

#[test]
fn the_name_is_found_however_the_hello_is_cut() {
    let hello = in_records(&message(&[&grease(), &names(&[(0, b"Game.Example")])]), 1 << 14);
    let wire = [&hello[..], b"early data"].concat();
    for cut in 0..=wire.len() {
        assert_eq!(
            read(&[&wire[..cut], &wire[cut..]]),
            Ok((Some("game.example".into()), wire.clone())),
            "{cut}"
        );
    }
    let bytes: Vec<&[u8]> = wire.chunks(1).collect();
    assert_eq!(read(&bytes), Ok((Some("game.example".into()), wire.clone())));
}

#[test]
fn the_name_is_found_over_any_number_of_records() {
    let message = message(&[&names(&[(0, b"a.b")]), &extension(0xfe0d, &[7; 300])]);
    for size in [1, 2, 3, 4, 5, 40, 41, 42, 299, message.len()] {
        let wire = in_records(&message, size);
        assert_eq!(read(&[&wire]), Ok((Some("a.b".into()), wire.clone())), "records of {size}");
    }
}

#[test]
fn every_form_of_a_hello_has_one_outcome() {
    let long = [b'a'; 63];
    let longest = [&long[..], b".", &long, b".", &long, b".", &[b'b'; 61]].concat();
    assert_eq!(longest.len(), 253);
    let rows: &[(&[&[u8]], Result<Option<&str>, ClientHelloError>)] = &[
        (&[], Ok(None)),
        (&[&grease()], Ok(None)),
        (&[&names(&[(0, b"lobby")])], Ok(Some("lobby"))),
        (&[&names(&[(0, b"A_b-c.D")])], Ok(Some("a_b-c.d"))),
        (&[&names(&[(7, b"x"), (0, b"a")])], Ok(Some("a"))),
        (&[&names(&[(7, b"x")])], Ok(None)),
        (&[&names(&[])], Ok(None)),
        (&[&names(&[(0, &longest)])], Ok(Some(str::from_utf8(&longest).unwrap()))),
        (&[&names(&[(0, &[&longest[..], b"b"].concat())])], Err(ClientHelloError::Name)),
        (&[&names(&[(0, &[b'a'; 64])])], Err(ClientHelloError::Name)),
        (&[&names(&[(0, b"a"), (0, b"b")])], Err(ClientHelloError::Name)),
        (&[&names(&[(0, b"")])], Err(ClientHelloError::Name)),
        (&[&names(&[(0, b"a.")])], Err(ClientHelloError::Name)),
        (&[&names(&[(0, b".a")])], Err(ClientHelloError::Name)),
        (&[&names(&[(0, b"a b")])], Err(ClientHelloError::Name)),
        (&[&names(&[(0, b"a\0b")])], Err(ClientHelloError::Name)),
        (&[&names(&[(0, b"10.0.0.1")])], Err(ClientHelloError::Name)),
        (&[&names(&[(0, b"::1")])], Err(ClientHelloError::Name)),
        (&[&names(&[(0, "\u{e9}".as_bytes())])], Err(ClientHelloError::Name)),
        (&[&names(&[(0, b"a")]), &names(&[(0, b"a")])], Err(ClientHelloError::Malformed)),
        (&[&extension(0, b"")], Err(ClientHelloError::Malformed)),
        (&[&extension(0, b"\0\x05\0\0\x09abc")], Err(ClientHelloError::Malformed)),
        (&[&extension(0, b"\0\x04\0\0\x01aa")], Err(ClientHelloError::Malformed)),
        (&[b"\0\0\0"], Err(ClientHelloError::Malformed)),
        (&[b"\0\x05\xff\xff"], Err(ClientHelloError::Malformed)),
    ];
    for (extensions, want) in rows {
        let got = read(&[&in_records(&message(extensions), 1 << 14)]).map(|(name, _)| name);
        assert_eq!(
            got.as_ref().map(|name| name.as_deref()),
            want.as_ref().map(|name| *name),
            "{extensions:?}"
        );
    }
}

#[test]
fn a_body_with_a_wrong_size_is_refused() {
    let good = message(&[&names(&[(0, b"lobby")])]);
    let body = &good[4..];
    assert_eq!(server_name(body), Ok(Some("lobby".into())));
    for cut in 0..body.len() {
        let got = server_name(&body[..cut]);
        // Extensions may be absent altogether, so a body that ends before them is whole.
        assert!(got.is_err() || (cut == 41 && got == Ok(None)), "{cut}: {got:?}");
    }
    assert!(server_name(&[body, b"x"].concat()).is_err(), "a byte too many");
    for (at, value) in [(0, 2), (34, 33), (36, 0), (36, 3), (39, 0)] {
        let mut bent = body.to_vec();
        bent[at] = value;
        assert!(server_name(&bent).is_err(), "byte {at} = {value}");
    }
}

#[test]
fn what_is_not_tls_is_known_at_its_first_wrong_byte() {
    let rows: &[(&[u8], ClientHelloError)] = &[
        (b"G", ClientHelloError::NotTls),
        (b"\0", ClientHelloError::NotTls),
        (b"\x80", ClientHelloError::NotTls), // SSL 2.0
        (b"\x17", ClientHelloError::NotTls),
        (b"\x16\x02", ClientHelloError::NotTls),
        (b"\x16\x03\x05", ClientHelloError::NotTls),
        (b"\x16\x03\x01\0\0", ClientHelloError::Record),
        (b"\x16\x03\x01\x40\x01", ClientHelloError::Record),
        (b"\x16\x03\x01\x40\0\x02", ClientHelloError::NotTls),
        (b"\x16\x03\x01\x40\0\x01\0\x40\0", ClientHelloError::TooLong),
        (b"\x16\x03\x01\x40\0\x01\xff\xff\xff", ClientHelloError::TooLong),
        (b"\x16\x03\x01\0\x01\x01\x15", ClientHelloError::NotTls),
    ];
    for (wire, want) in rows {
        let (last, before) = wire.split_last().unwrap();
        let mut reader = ClientHelloReader::new();
        let first = reader.handle_bytes(before);
        assert!(matches!(first, Ok(ClientHelloStep::NeedMore { .. })), "{wire:?}: {first:?}");
        assert_eq!(reader.handle_bytes(&[*last]), Err(*want), "{wire:?}");
    }
}

#[test]
fn an_unfinished_hello_costs_what_arrived_and_ends_at_the_limit() {
    let wire = in_records(&[&[1, 0, 0x3f, 0xfc][..], &[0; 1 << 14]].concat(), 1);
    let mut reader = ClientHelloReader::new();
    assert_eq!(reader.seen.capacity() + reader.message.capacity(), 0, "nothing before the first byte");
    for (at, byte) in wire.iter().enumerate() {
        match reader.handle_bytes(&[*byte]) {
            Ok(ClientHelloStep::NeedMore { at_most }) => assert_eq!(at_most, MAX_CLIENT_HELLO - at - 1),
            end => {
                assert_eq!((end, at + 1), (Err(ClientHelloError::TooLong), MAX_CLIENT_HELLO));
                return;
            }
        }
        let held = reader.seen.capacity() + reader.message.capacity();
        assert!(held <= (4 * (at + 1)).max(64), "{held} for {}", at + 1);
    }
    panic!("it never ended");
}

proptest! {
    #[test]
    fn any_bytes_mean_the_same_however_they_are_cut(
        body in proptest::collection::vec(any::<u8>(), 0..80), record in 1..30_usize, size in 1..30_usize,
    ) {
        let wire = in_records(&[&[1, 0, 0, 70][..], &[3, 3], &body].concat(), record);
        let parts: Vec<&[u8]> = wire.chunks(size).collect();
        prop_assert_eq!(read(&parts), read(&[&wire]));
    }
}

type Read = (Option<Box<str>>, Vec<u8>);

/// Feeds the parts in order; the name, and every byte again.
fn read(parts: &[&[u8]]) -> Result<Read, ClientHelloError> {
    let mut reader = ClientHelloReader::new();
    let mut found: Option<Read> = None;
    for part in parts {
        match &mut found {
            Some((_, rest)) => rest.extend_from_slice(part),
            None => {
                if let ClientHelloStep::Done { name, seen } = reader.handle_bytes(part)? {
                    found = Some((name, seen.into()));
                }
            }
        }
    }
    found.ok_or(ClientHelloError::Malformed)
}

fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &sized(value)].concat()
}

fn names(names: &[(u8, &[u8])]) -> Vec<u8> {
    let list: Vec<u8> = names.iter().flat_map(|(kind, name)| [&[*kind][..], &sized(name)].concat()).collect();
    extension(0, &sized(&list))
}

/// Values that only see whether a server minds unknown ones (RFC 8701).
fn grease() -> Vec<u8> {
    [extension(0x0a0a, b""), extension(0xdada, b"\0")].concat()
}

fn sized(value: &[u8]) -> Vec<u8> {
    [&u16::try_from(value.len()).unwrap().to_be_bytes()[..], value].concat()
}

fn message(extensions: &[&[u8]]) -> Vec<u8> {
    let body =
        [&[3, 3][..], &[9; 32], &[0], &sized(&[0x0a, 0x0a]), &[1, 0], &sized(&extensions.concat())].concat();
    [&[1, 0][..], &sized(&body)].concat()
}

fn in_records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|part| [&[22, 3, 1][..], &sized(part)].concat()).collect()
}
