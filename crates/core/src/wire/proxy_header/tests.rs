#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The source's text, then the destination's; `None` for a header that names no addresses.
type Told = Option<(String, String)>;

#[test]
fn lines_of_version_1_are_read() {
    let v6 = "PROXY TCP6 ffff:f...f:ffff 1 1\r\n";
    let longest = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!(longest.len(), MAX_LINE);
    let rows: &[(&str, Result<Told, HeaderError>)] = &[
        // the examples of section 2.1
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            told("255.255.255.255:65535", "255.255.255.255:65535"),
        ),
        (
            "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            told(
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
            ),
        ),
        ("PROXY UNKNOWN\r\n", Ok(None)),
        (longest, Ok(None)),
        ("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", told("192.168.0.1:56324", "192.168.0.11:443")),
        // and others
        ("PROXY TCP4 1.1.1.1 1.1.1.2 0 1\r\n", told("1.1.1.1:0", "1.1.1.2:1")),
        ("PROXY TCP6 :: ::1 1 2\r\n", told("[::]:1", "[::1]:2")),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", told("192.0.2.1:1", "[::1]:2")),
        ("PROXY UNKNOWN whatever \r there is\r\n", Ok(None)),
        ("PROXY UNKNOWN \r\n", Ok(None)),
        // refused
        ("PROXY UNKNOWNS\r\n", Err(HeaderError::Line)),
        ("PROXY \r\n", Err(HeaderError::Line)),
        ("PROXY TCP4\r\n", Err(HeaderError::Line)),
        ("PROXY TCP5 1.1.1.1 1.1.1.2 1 2\r\n", Err(HeaderError::Line)),
        ("PROXY UDP4 1.1.1.1 1.1.1.2 1 2\r\n", Err(HeaderError::Line)),
        ("PROXY tcp4 1.1.1.1 1.1.1.2 1 2\r\n", Err(HeaderError::Line)),
        ("proxy TCP4 1.1.1.1 1.1.1.2 1 2\r\n", Err(HeaderError::NotProxy)),
        (" PROXY TCP4 1.1.1.1 1.1.1.2 1 2\r\n", Err(HeaderError::NotProxy)),
        ("PROXY  TCP4 1.1.1.1 1.1.1.2 1 2\r\n", Err(HeaderError::Line)),
        ("PROXY TCP4  1.1.1.1 1.1.1.2 1 2\r\n", Err(HeaderError::Line)),
        ("PROXY TCP4 1.1.1.1 1.1.1.2 1 2 \r\n", Err(HeaderError::Line)),
        ("PROXY TCP4 1.1.1.1 1.1.1.2 1 2 3\r\n", Err(HeaderError::Line)),
        ("PROXY TCP4 1.1.1.1 1.1.1.2 1\r\n", Err(HeaderError::Line)),
        ("PROXY TCP4 1.1.1.1\t1.1.1.2 1 2\r\n", Err(HeaderError::Line)),
        ("PROXY TCP4 1.1.1.1 1.1.1.2 1 65536\r\n", Err(HeaderError::Line)),
        ("PROXY TCP4 1.1.1.1 1.1.1.2 +1 2\r\n", Err(HeaderError::Line)),
        ("PROXY TCP4 1.1.1.1 1.1.1.2 01 2\r\n", Err(HeaderError::Line)),
        ("PROXY TCP4 1.1.1.01 1.1.1.2 1 2\r\n", Err(HeaderError::Line)),
        ("PROXY TCP4 1.1.1 1.1.1.2 1 2\r\n", Err(HeaderError::Line)),
        ("PROXY TCP4 ::1 ::2 1 2\r\n", Err(HeaderError::Line)),
        ("PROXY TCP6 1.1.1.1 1.1.1.2 1 2\r\n", Err(HeaderError::Line)),
        ("PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n", Err(HeaderError::Line)),
        ("PROXY TCP4 1.1.1.1 1.1.1.2 1 2\r\r\n", Err(HeaderError::Line)),
        ("PROXY TCP4 1.1.1.1 1.1.1.2 1 2\n\r\n", Err(HeaderError::Line)),
        ("PROXY TCP4 1.1.1.1\0 1.1.1.2 1 2\r\n", Err(HeaderError::Line)),
        (v6, Err(HeaderError::Line)),
    ];
    for (line, want) in rows {
        assert_eq!(read_whole(line.as_bytes()).map(|(told, _)| told), *want, "{line:?}");
    }
}

#[test]
fn a_line_has_an_end_within_107_bytes() {
    let mut line = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; MAX_LINE - 16]].concat();
    assert!(matches!(HeaderReader::new().handle_bytes(&line), Ok(HeaderStep::NeedMore { at_most: 2 })));
    line.extend_from_slice(b"x\r\n");
    assert_eq!(HeaderReader::new().handle_bytes(&line), Err(HeaderError::LineTooLong));
    line.extend_from_slice(&[b'x'; 5000]);
    assert_eq!(HeaderReader::new().handle_bytes(&line), Err(HeaderError::LineTooLong));
}

#[test]
fn headers_of_version_2_are_read() {
    let four = [10, 0, 0, 7, 192, 0, 2, 1, 0x12, 0x34, 1, 187];
    let six = [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[7], &[0; 15], &[1], &[0, 9, 0, 10]].concat();
    let mapped = [&[0; 10][..], &[255, 255, 1, 2, 3, 4], &[0; 15], &[1], &[0, 9, 0, 10]].concat();
    let four_told = || told("10.0.0.7:4660", "192.0.2.1:443");
    let noop = [4, 0, 3, 0, 0, 0];
    let rows: &[(u8, u8, Vec<u8>, Result<Told, HeaderError>)] = &[
        (0x21, 0x11, four.into(), four_told()),
        (0x21, 0x12, four.into(), four_told()),
        (0x21, 0x21, six.clone(), told("[2001:db8::7]:9", "[::1]:10")),
        (0x21, 0x22, six.clone(), told("[2001:db8::7]:9", "[::1]:10")),
        (0x21, 0x21, mapped, told("1.2.3.4:9", "[::1]:10")),
        (0x21, 0x31, vec![b'/'; 216], Ok(None)),
        (0x21, 0x32, vec![b'/'; 216], Ok(None)),
        (0x21, 0x00, vec![], Ok(None)),
        (0x21, 0x00, vec![1, 2, 3, 4, 5], Ok(None)),
        // whatever a LOCAL header says, it is no client's
        (0x20, 0x00, vec![], Ok(None)),
        (0x20, 0x11, four.into(), Ok(None)),
        (0x20, 0xee, vec![1, 2, 3], Ok(None)),
        // fields
        (0x21, 0x11, [&four[..], &noop].concat(), four_told()),
        (0x21, 0x11, [&four[..], &noop, &[0xee, 0, 0], &noop].concat(), four_told()),
        (0x21, 0x11, [&four[..], &[2]].concat(), Err(HeaderError::Field)),
        (0x21, 0x11, [&four[..], &[2, 0]].concat(), Err(HeaderError::Field)),
        (0x21, 0x11, [&four[..], &[2, 0, 1]].concat(), Err(HeaderError::Field)),
        (0x21, 0x11, [&four[..], &[2, 255, 255, 1]].concat(), Err(HeaderError::Field)),
        (0x21, 0x11, [&four[..], &[3, 0, 3, 0, 0, 0]].concat(), Err(HeaderError::Field)),
        (0x21, 0x11, [&four[..], &[3, 0, 4, 0, 0, 0, 0]].concat(), Err(HeaderError::Checksum)),
        // lengths
        (0x21, 0x11, four[..11].into(), Err(HeaderError::Length)),
        (0x21, 0x11, vec![], Err(HeaderError::Length)),
        (0x21, 0x21, six[..35].into(), Err(HeaderError::Length)),
        (0x21, 0x31, vec![0; 215], Err(HeaderError::Length)),
        (0x20, 0x00, vec![0; MAX_HEADER - 16], Ok(None)),
        (0x20, 0x00, vec![0; MAX_HEADER - 15], Err(HeaderError::Length)),
        (0x20, 0x00, vec![0; 0xffff], Err(HeaderError::Length)),
        // versions, commands and families that do not exist
        (0x22, 0x11, four.into(), Err(HeaderError::Command)),
        (0x11, 0x11, four.into(), Err(HeaderError::Command)),
        (0x31, 0x11, four.into(), Err(HeaderError::Command)),
        (0x21, 0x10, four.into(), Err(HeaderError::Family)),
        (0x21, 0x13, four.into(), Err(HeaderError::Family)),
        (0x21, 0x01, four.into(), Err(HeaderError::Family)),
        (0x21, 0x41, four.into(), Err(HeaderError::Family)),
    ];
    for (command, family, body, want) in rows {
        let wire = v2_wire(*command, *family, body);
        let got = read_whole(&wire).map(|(told, _)| told);
        assert_eq!(got, *want, "{command:x} {family:x} {} bytes: {body:?}", body.len());
    }
}

#[test]
fn a_header_means_the_same_however_it_is_cut_and_never_asks_for_what_follows() {
    let written = header().encode();
    let rows: [&[u8]; 6] = [
        b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
        b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
        b"PROXY TCP6 ::1 2001:db8:1234:5678:9abc:def0:1234:5678 1 65535\r\n",
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN and \r more\r\n",
        &written,
    ];
    for header in rows {
        let wire = [header, b"first"].concat();
        let want = read_whole(header).unwrap().0;
        for cut in 0..=wire.len() {
            let mut reader = HeaderReader::new();
            let first = reader.handle_bytes(&wire[..cut]).unwrap();
            let (addresses, surplus) = match first {
                HeaderStep::NeedMore { at_most } => {
                    assert!(at_most >= 1 && cut + at_most <= header.len(), "cut at {cut}: {at_most}");
                    done(reader.handle_bytes(&wire[cut..]).unwrap())
                }
                HeaderStep::Done { addresses, surplus } => {
                    assert_eq!(*surplus, wire[header.len()..cut], "cut at {cut}");
                    (addresses, b"first".to_vec())
                }
            };
            assert_eq!((addresses.map(text), &surplus[..]), (want.clone(), &b"first"[..]), "cut at {cut}");
        }
        assert_eq!(read_as_asked(&wire), (header.len(), want), "{header:?}");
    }
}

#[test]
fn what_is_no_header_is_known_at_its_first_wrong_byte() {
    let v2 = v2_wire(0x21, 0x11, &[0; 12]);
    for (good, checked) in [(&b"PROXY TCP4 "[..], 11), (&v2, 14)] {
        for at in 0..checked {
            let mut wire = good[..=at].to_vec();
            wire[at] ^= 0x04;
            let got = HeaderReader::new().handle_bytes(&wire);
            assert!(got.is_err(), "byte {at} of {good:?}: {got:?}");
        }
    }
    for garbage in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01\x02\x00", b"\r\n", b"\0", b"\r\n\r\nQUIT"] {
        let whole_prefix = SIGNATURE.starts_with(garbage);
        assert_eq!(HeaderReader::new().handle_bytes(garbage).is_err(), !whole_prefix, "{garbage:?}");
    }
}

#[test]
fn what_is_claimed_costs_nothing() {
    let mut reader = HeaderReader::new();
    reader.handle_bytes(&v2_wire(0x20, 0, &[0; MAX_HEADER - 16])[..16]).unwrap();
    assert!(reader.seen.capacity() <= 64, "{} bytes held", reader.seen.capacity());
}

#[test]
fn what_is_written_is_read_again_and_sealed() {
    let wire = header().encode();
    assert_eq!(read_whole(&wire).unwrap(), (told("203.0.113.9:4711", "198.51.100.1:443").unwrap(), vec![]));
    // Behind the signature nothing may change unnoticed. A checksum that is called something else is none: only a
    // sum over everything, fields' names included, tells that, and there is no other.
    for at in (12..wire.len()).filter(|at| *at != wire.len() - 7) {
        let mut bent = wire.clone();
        bent[at] ^= 0x10;
        let got = HeaderReader::new().handle_bytes(&bent);
        assert!(!matches!(got, Ok(HeaderStep::Done { addresses: Some(_), .. })), "byte {at}: {got:?}");
    }
}

#[test]
fn fields_are_written_as_documented_and_left_out_when_unknown_or_too_long() {
    let all = header().encode();
    let fields = |wire: &[u8]| wire[28..].to_vec();
    let without_sum = fields(&all);
    assert_eq!(
        without_sum[..without_sum.len() - 4],
        [&b"\x02\0\x0cgame.example"[..], b"\x05\0\x02a7", b"\xe0\0\x05alice", b"\x03\0\x04"].concat()
    );
    let long = "x".repeat(MAX_IDENTITY + 1);
    let none =
        Header { authority: Some(&long), unique_id: &long, identity: Some(&long), ..header() }.encode();
    assert_eq!(none.len(), 28 + 7);
    let most = Header { identity: Some(&long[1..]), ..header() }.encode();
    assert!(most.len() > 28 + 7 + MAX_IDENTITY && read_whole(&most).is_ok());
}

#[test]
fn two_families_are_told_as_ipv6() {
    let addresses = Addresses {
        source: "203.0.113.9:1".parse().unwrap(),
        destination: "[2001:db8::1]:2".parse().unwrap(),
    };
    let wire = Header { addresses, ..header() }.encode();
    assert_eq!(wire[13], 0x21);
    assert_eq!(read_whole(&wire).unwrap().0, told("203.0.113.9:1", "[2001:db8::1]:2").unwrap());
}

proptest! {
    #[test]
    fn any_bytes_mean_the_same_however_they_are_cut(
        v2 in any::<bool>(), body in proptest::collection::vec(any::<u8>(), 0..64), size in 1..20_usize,
    ) {
        let wire = if v2 { [SIGNATURE, &body].concat() } else { [b"PROXY TCP4 ", &body[..]].concat() };
        let whole = HeaderReader::new().handle_bytes(&wire);
        let mut reader = HeaderReader::new();
        let mut last = Ok(HeaderStep::NeedMore { at_most: 1 });
        let mut at = 0;
        for part in wire.chunks(size) {
            last = reader.handle_bytes(part);
            at += part.len();
            if !matches!(last, Ok(HeaderStep::NeedMore { .. })) {
                break;
            }
        }
        match (whole, last) {
            (Ok(HeaderStep::Done { addresses, surplus }), Ok(HeaderStep::Done { addresses: cut, surplus: first })) => {
                prop_assert_eq!(addresses, cut);
                prop_assert_eq!(&*surplus, &[&first[..], &wire[at..]].concat()[..]);
            }
            (whole, last) => prop_assert_eq!(whole, last),
        }
    }

    #[test]
    fn any_addresses_come_through(source: [u8; 16], destination: [u8; 16], four: bool, ports: (u16, u16)) {
        let ip = |bytes: [u8; 16]| match bytes.first_chunk::<4>() {
            Some(bytes) if four => std::net::IpAddr::from(*bytes),
            _ => std::net::IpAddr::from(bytes).to_canonical(),
        };
        let addresses = Addresses {
            source: SocketAddr::new(ip(source), ports.0),
            destination: SocketAddr::new(ip(destination), ports.1),
        };
        let wire = Header { addresses, ..header() }.encode();
        prop_assert_eq!(done(HeaderReader::new().handle_bytes(&wire).unwrap()), (Some(addresses), vec![]));
    }
}

fn header() -> Header<'static> {
    Header {
        addresses: Addresses {
            source: "203.0.113.9:4711".parse().unwrap(),
            destination: "198.51.100.1:443".parse().unwrap(),
        },
        authority: Some("game.example"),
        unique_id: "a7",
        identity: Some("alice"),
    }
}

fn v2_wire(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &len, body].concat()
}

fn told(source: &str, destination: &str) -> Result<Told, HeaderError> {
    Ok(Some((source.into(), destination.into())))
}

fn text(addresses: Addresses) -> (String, String) {
    (addresses.source.to_string(), addresses.destination.to_string())
}

fn done(step: HeaderStep) -> (Option<Addresses>, Vec<u8>) {
    match step {
        HeaderStep::Done { addresses, surplus } => (addresses, surplus.into()),
        HeaderStep::NeedMore { at_most } => panic!("{at_most} bytes are missing"),
    }
}

fn read_whole(wire: &[u8]) -> Result<(Told, Vec<u8>), HeaderError> {
    let (addresses, surplus) = done(HeaderReader::new().handle_bytes(wire)?);
    Ok((addresses.map(text), surplus))
}

/// Takes what is asked for and no more; how much that was in all.
fn read_as_asked(wire: &[u8]) -> (usize, Told) {
    let mut reader = HeaderReader::new();
    let (mut at, mut at_most) = (0, HeaderReader::FIRST);
    loop {
        let step = reader.handle_bytes(&wire[at..at + at_most]).unwrap();
        at += at_most;
        match step {
            HeaderStep::NeedMore { at_most: more } => at_most = more,
            HeaderStep::Done { addresses, surplus } => {
                assert!(surplus.is_empty());
                return (at, addresses.map(text));
            }
        }
    }
}
