use super::*;

fn sample(payload: &[u8]) -> Segment<'_> {
    Segment {
        conv: 0x0403_0201,
        command: Command::Push,
        fragment: 9,
        window: 0x0605,
        ts: 0x0a09_0807,
        sn: 0x0e0d_0c0b,
        una: 0x1211_100f,
        payload,
    }
}

fn wire(segments: &[Segment<'_>]) -> Vec<u8> {
    let mut out = Outbox::default();
    out.begin(0);
    segments.iter().for_each(|segment| segment.write(&mut out));
    out.finish();
    out.bytes().to_vec()
}

#[test]
fn a_segment_is_written_little_endian_as_ikcp_does() {
    let want: Vec<u8> =
        [&[1, 2, 3, 4, 81, 9, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 3, 0, 0, 0][..], b"abc"]
            .concat();
    assert_eq!(wire(&[sample(b"abc")]), want);
}

#[test]
fn what_is_written_is_read_back() {
    let commands = [Command::Push, Command::Ack, Command::WindowAsk, Command::WindowTell];
    let sent: Vec<Segment<'_>> =
        commands.iter().map(|command| Segment { command: *command, ..sample(b"payload") }).collect();
    let bytes = wire(&sent);
    assert_eq!(segments(&bytes).collect::<Result<Vec<_>, _>>(), Ok(sent));
}

#[test]
fn reading_stops_where_a_datagram_means_nothing() {
    let good = wire(&[sample(b"abc")]);
    let mut long = wire(&[sample(b"abc")]);
    long[20] = 4;
    let mut huge = long.clone();
    huge[23] = 0x80;
    let mut strange = good.clone();
    strange[4] = 85;
    let cases: [(&[u8], usize, Option<Malformed>); 7] = [
        (&[], 0, None),
        (&good[..23], 0, None),
        (&good, 1, None),
        (&[&good[..], &good[..23]].concat(), 1, None),
        (&[&good[..], &long, &good].concat(), 2, None),
        (&[&good[..], &huge].concat(), 1, Some(Malformed::Length { claimed: 0x8000_0004, left: 3 })),
        (&[&good[..], &strange, &good].concat(), 1, Some(Malformed::Command(85))),
    ];
    for (number, (bytes, good, malformed)) in cases.into_iter().enumerate() {
        let read: Vec<_> = segments(bytes).collect();
        assert_eq!(read.iter().filter(|item| item.is_ok()).count(), good, "case {number}");
        if malformed.is_some() {
            assert_eq!(read.last().and_then(|item| item.err()), malformed, "case {number}");
        }
        assert!(read.iter().rev().skip(1).all(Result::is_ok), "case {number}: an error is the last item");
    }
}

#[test]
fn numbers_are_compared_on_a_circle() {
    let cases = [
        (0, 0, false),
        (0, 1, true),
        (1, 0, false),
        (u32::MAX, 0, true),
        (0, u32::MAX, false),
        (u32::MAX - 5, 100, true),
        (0, (1 << 31) - 1, true),
        (0, (1 << 31) + 1, false),
    ];
    for (a, b, want) in cases {
        assert_eq!(before(a, b), want, "{a} before {b}");
    }
}

#[test]
fn somebody_is_here_is_told_in_one_header() {
    let told = window_tell(7);
    let read: Vec<_> = segments(&told).collect();
    let want = Segment { conv: 7, command: Command::WindowTell, window: 32, ..bare() };
    assert_eq!(read, [Ok(want)]);
}

fn bare() -> Segment<'static> {
    Segment { fragment: 0, ts: 0, sn: 0, una: 0, ..sample(&[]) }
}
