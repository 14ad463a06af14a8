#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

const MAX: u32 = 4096;

#[test]
fn hello_is_read_whole_however_it_is_cut() {
    let wire = [&length_prefixed(b"10.0.0.7:9000")[..], b"first"].concat();
    for cut in 0..=wire.len() {
        assert_eq!(read(&[&wire[..cut], &wire[cut..]]), done("10.0.0.7:9000", b"first"), "cut at {cut}");
    }
}

#[test]
fn hello_is_read_a_byte_at_a_time() {
    let wire = length_prefixed("sp\u{e9}cial-\u{1f600}".as_bytes());
    let bytes: Vec<&[u8]> = wire.chunks(1).collect();
    assert_eq!(read(&bytes), done("sp\u{e9}cial-\u{1f600}", b""));
}

#[test]
fn every_edge_of_the_length_has_one_outcome() {
    let rows: &[(u32, Result<(), HelloError>)] = &[
        (0, Err(HelloError::Empty)),
        (1, Ok(())),
        (MAX - 1, Ok(())),
        (MAX, Ok(())),
        (MAX + 1, Err(HelloError::TooLong { claimed: MAX + 1, max: MAX })),
        (0x7fff_ffff, Err(HelloError::TooLong { claimed: 0x7fff_ffff, max: MAX })),
        (0x8000_0000, Err(HelloError::TooLong { claimed: 0x8000_0000, max: MAX })),
        (u32::MAX, Err(HelloError::TooLong { claimed: u32::MAX, max: MAX })),
    ];
    for (len, want) in rows {
        let mut reader = HelloReader::new(MAX);
        let got = reader.handle_bytes(&len.to_le_bytes()).map(|step| {
            assert_eq!(step, HelloStep::NeedMore { at_most: *len as usize }, "length {len}");
        });
        assert_eq!(got, *want, "length {len}");
        assert!(reader.seen.capacity() <= 8, "length {len}: {} bytes held", reader.seen.capacity());
    }
}

#[test]
fn an_unfinished_hello_costs_what_arrived() {
    let mut reader = HelloReader::new(1 << 20);
    assert_eq!(reader.seen.capacity(), 0, "nothing before the first byte");
    let mut arrived = 0;
    for byte in (1_u32 << 20).to_le_bytes().into_iter().chain(std::iter::repeat_n(b'x', 1000)) {
        reader.handle_bytes(&[byte]).unwrap();
        arrived += 1;
        assert!(reader.seen.capacity() <= (2 * arrived).max(8), "{} for {arrived}", reader.seen.capacity());
    }
}

#[test]
fn a_reader_that_asks_for_no_more_than_is_wanted_has_no_surplus() {
    let wire = [&length_prefixed(b"lobby")[..], &[0x55; 5000]].concat();
    let mut reader = HelloReader::new(MAX);
    let mut at = 0;
    let mut at_most = 1;
    loop {
        match reader.handle_bytes(&wire[at..at + at_most]).unwrap() {
            HelloStep::NeedMore { at_most: more } => {
                at += at_most;
                // A first byte alone wants up to the limit; a whole prefix wants exactly its key.
                at_most = if at < 4 { 1 } else { more };
            }
            HelloStep::Done { key, surplus } => {
                assert_eq!((&*key, surplus.len()), ("lobby", 0));
                return;
            }
        }
    }
}

#[test]
fn a_key_that_is_no_text_is_refused() {
    let rows: &[(&[u8], HelloError)] = &[
        (b"\xff\xfe", HelloError::NotUtf8),
        (b"ok\xc3", HelloError::NotUtf8),
        (b"\xed\xa0\x80", HelloError::NotUtf8),
        (b"10.0.0.1:80\0", HelloError::Nul),
    ];
    for (key, want) in rows {
        assert_eq!(HelloReader::new(MAX).handle_bytes(&length_prefixed(key)), Err(*want), "{key:?}");
    }
}

fn done(key: &str, surplus: &[u8]) -> Result<(String, Vec<u8>), HelloError> {
    Ok((key.into(), surplus.into()))
}

/// Feeds the parts in order; what comes after the hello is surplus whether or not it came with it.
fn read(parts: &[&[u8]]) -> Result<(String, Vec<u8>), HelloError> {
    let mut reader = HelloReader::new(MAX);
    let mut found: Option<(String, Vec<u8>)> = None;
    for part in parts {
        if let Some((_, rest)) = &mut found {
            rest.extend_from_slice(part);
            continue;
        }
        if let HelloStep::Done { key, surplus } = reader.handle_bytes(part)? {
            found = Some((key.into(), surplus.into()));
        }
    }
    Ok(found.expect("the parts hold a whole hello"))
}
