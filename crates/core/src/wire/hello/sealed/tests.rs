#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use crate::wire::hello::HelloReader;

const MAX: u32 = 4096;
/// What base64 makes of `BYTES`.
const LINE: &str = "U2FsdGVkX18AAQIDBAUGBw==";
const BYTES: &[u8] = b"Salted__\x00\x01\x02\x03\x04\x05\x06\x07";

#[test]
fn a_sealed_hello_is_read_whole_however_it_is_cut() {
    let line = format!("{LINE}\n");
    let dos_line = format!("{LINE}\r\n");
    let blob = [&[0, 16], BYTES].concat();
    type Make = fn(u32) -> HelloReader;
    let rows: [(&str, Make, &[u8]); 5] = [
        ("frontd, line", HelloReader::frontd, line.as_bytes()),
        ("frontd, line of DOS", HelloReader::frontd, dos_line.as_bytes()),
        ("frontd, blob", HelloReader::frontd, &blob),
        ("funny, line", HelloReader::funny, line.as_bytes()),
        ("funny, line of DOS", HelloReader::funny, dos_line.as_bytes()),
    ];
    for (name, make, wire) in rows {
        for surplus in [&b""[..], b"first\n\0"] {
            let wire = [wire, surplus].concat();
            for cut in 0..=wire.len() {
                let mut reader = make(MAX);
                let (first, second) = wire.split_at(cut);
                let (key, got) = match (reader.handle_bytes(first).unwrap(), second) {
                    (HelloStep::Done { key, surplus }, rest) => (key, [&surplus[..], rest].concat()),
                    (HelloStep::NeedMore { .. }, rest) => match reader.handle_bytes(rest).unwrap() {
                        HelloStep::Done { key, surplus } => (key, surplus.into()),
                        HelloStep::NeedMore { .. } => panic!("{name}, cut at {cut}: not whole"),
                    },
                };
                assert_eq!((&*key, &got[..]), (LINE, surplus), "{name}, cut at {cut}");
            }
        }
    }
}

#[test]
fn what_is_asked_for_is_never_too_little_and_never_without_bound() {
    for (make, wire) in [
        (HelloReader::frontd as fn(u32) -> HelloReader, format!("{LINE}\n").into_bytes()),
        (HelloReader::frontd, [&[0, 16], BYTES].concat()),
        (HelloReader::funny, format!("{LINE}\n").into_bytes()),
    ] {
        let mut reader = make(MAX);
        let mut room = reader.wants();
        for (at, byte) in wire.iter().enumerate() {
            assert!(room >= 1, "byte {at}");
            assert!(room <= MAX as usize + 1, "byte {at}: {room}");
            match reader.handle_bytes(&[*byte]).unwrap() {
                HelloStep::NeedMore { at_most } => room = at_most,
                HelloStep::Done { key, .. } => {
                    assert_eq!((&*key, at), (LINE, wire.len() - 1));
                }
            }
        }
    }
}

#[test]
fn every_edge_of_a_line_has_one_outcome() {
    let long = |claimed, max| Err(HelloError::TooLong { claimed, max });
    let line = |len: usize, end: &str| [&vec![b'A'; len][..], end.as_bytes()].concat();
    type Row = (HelloReader, Vec<u8>, Result<bool, HelloError>);
    let rows: Vec<Row> = vec![
        (HelloReader::frontd(MAX), line(4096, "\n"), Ok(true)),
        (HelloReader::frontd(MAX), line(4096, ""), Ok(false)),
        (HelloReader::frontd(MAX), line(4097, ""), long(4097, MAX)),
        (HelloReader::frontd(MAX), line(4096, "\r\n"), long(4097, MAX)),
        (HelloReader::frontd(MAX), b"\n".into(), Err(HelloError::Empty)),
        (HelloReader::frontd(MAX), b"\r\n".into(), Err(HelloError::Empty)),
        (HelloReader::frontd(MAX), b"\0\0".into(), Err(HelloError::Empty)),
        (HelloReader::frontd(MAX), [&[0, 255][..], &[0xff; 255]].concat(), Ok(true)),
        (HelloReader::frontd(MAX), [&[0, 255][..], &[0xff; 254]].concat(), Ok(false)),
        (HelloReader::frontd(63), b"\0\x31".into(), long(68, 63)),
        (HelloReader::frontd(MAX), b"\xff\n".into(), Err(HelloError::NotUtf8)),
        (HelloReader::frontd(MAX), b"a\0b\n".into(), Err(HelloError::Nul)),
        (HelloReader::funny(MAX), line(64, "\n"), Ok(true)),
        (HelloReader::funny(MAX), line(65, ""), long(65, 64)),
        (HelloReader::funny(10), line(11, ""), long(11, 10)),
        (HelloReader::funny(MAX), b"\0\x01a\n".into(), Err(HelloError::Nul)),
        (HelloReader::funny(MAX), b"GET / HTTP/1.1\r\n".into(), Ok(true)),
    ];
    for (mut reader, wire, want) in rows {
        let shown = reader.clone();
        let got = reader.handle_bytes(&wire).map(|step| matches!(step, HelloStep::Done { .. }));
        assert_eq!(got, want, "{shown:?}, {} bytes", wire.len());
    }
}
