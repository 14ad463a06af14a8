#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use super::*;

mod model;

const NOW: Tick = Tick(1_000_000);
const PUSH: u8 = 81;
const ACK: u8 = 82;
const WASK: u8 = 83;
const WINS: u8 = 84;
const SECOND: Duration = Duration::from_secs(1);
const NOBODY: [u64; 0] = [];

#[test]
fn l14_a_stranger_begins_with_the_beginning_of_a_stream_and_nothing_else() {
    let newcomer = Verdict::Newcomer { conv: 7, framed: false };
    let nothing = Verdict::Drop(Dropped::NoOpening);
    let malformed = Verdict::Drop(Dropped::Malformed);
    let [first, last, late] = [0, 31, 32].map(|sn| segment(7, PUSH, sn, b"payload"));
    let other = segment(8, PUSH, 0, b"payload");
    let rows: [(&str, Vec<u8>, Verdict); 20] = [
        ("first", first.clone(), newcomer),
        ("last of a first window", last.clone(), newcomer),
        ("beyond a first window", late.clone(), nothing),
        ("late, then first", [&late[..], &first].concat(), newcomer),
        ("an ack before it", [&segment(7, ACK, 900, b"")[..], &first].concat(), newcomer),
        ("empty push", segment(7, PUSH, 0, b""), newcomer),
        ("two convs", [&first[..], &other].concat(), malformed),
        ("ack", segment(7, ACK, 0, b""), nothing),
        ("window told", segment(7, WINS, 0, b""), nothing),
        ("window asked", segment(7, WASK, 0, b""), Verdict::Answer { conv: 7 }),
        ("asked by who received", with_una(segment(7, WASK, 0, b""), 1), nothing),
        ("asked and begun", [&segment(7, WASK, 0, b"")[..], &first].concat(), newcomer),
        ("unknown command", segment(7, 85, 0, b""), malformed),
        ("cut payload", first[..first.len() - 1].to_vec(), malformed),
        ("cut header", first[..23].to_vec(), malformed),
        ("cut second header", [&first[..], &first[..23]].concat(), newcomer),
        ("nothing", vec![], malformed),
        ("five bytes", vec![0; 5], malformed),
        ("conv zero", segment(0, PUSH, 0, b"x"), Verdict::Newcomer { conv: 0, framed: false }),
        ("sn below zero", segment(7, PUSH, u32::MAX, b"x"), nothing),
    ];
    for (name, datagram, want) in rows {
        assert_eq!(roster().judge(NOW, address(1), &datagram), want, "{name}");
    }
}

#[test]
fn the_kinds_of_a_datagram_are_told_apart() {
    let first = segment(7, PUSH, 0, b"payload");
    let framed = framed(0, &first);
    let long = [&framed[..], b"!"].concat();
    let short = &framed[..framed.len() - 1];
    let newcomer = Verdict::Newcomer { conv: 7, framed: true };
    let malformed = Verdict::Drop(Dropped::Malformed);
    // A stranger's datagram, then the same for the session 7 of token 70.
    let rows: [(&str, &[u8], Verdict, Verdict); 9] = [
        ("framed", &framed, newcomer, Verdict::Deliver(70)),
        ("size too small", &long, malformed, malformed),
        ("size too large", short, malformed, malformed),
        ("no segment", &self::framed(0, b""), malformed, malformed),
        ("parity", &kind(0x00f2, &first), Verdict::Drop(Dropped::NoOpening), Verdict::Deliver(70)),
        ("shortest parity", &kind(0x00f2, b"xx"), Verdict::Drop(Dropped::NoOpening), Verdict::Deliver(70)),
        (
            "out of band",
            &kind(0x00f3, &first),
            Verdict::Drop(Dropped::OutOfBand),
            Verdict::Drop(Dropped::OutOfBand),
        ),
        ("no parity", &kind(0x00f2, b"x"), malformed, malformed),
        ("no kind", &kind(0x00f4, &first), malformed, malformed),
    ];
    for (name, datagram, stranger, known) in rows {
        assert_eq!(roster().judge(NOW, address(1), datagram), stranger, "{name}");
        let mut roster = roster();
        roster.enter(address(1), 7, 70);
        assert_eq!(roster.judge(NOW, address(1), datagram), known, "{name} for a session");
    }
}

#[test]
fn a_session_is_known_by_its_address_and_its_conv() {
    let mut roster = roster();
    roster.enter(address(1), 7, 70);
    roster.enter(address(1), 8, 80);
    roster.enter(address(2), 7, 72);
    for (from, conv, token) in [(1, 7, 70), (1, 8, 80), (2, 7, 72)] {
        for datagram in
            [segment(conv, ACK, 9000, b""), segment(conv, PUSH, 9000, b"x"), segment(conv, WASK, 0, b"")]
        {
            assert_eq!(roster.judge(NOW, address(from), &datagram), Verdict::Deliver(token));
            assert_eq!(roster.judge(NOW, address(from), &framed(9, &datagram)), Verdict::Deliver(token));
        }
    }
    assert_eq!(roster.judge(NOW, address(2), &segment(8, ACK, 0, b"")), Verdict::Drop(Dropped::NoOpening));
    let mapped = "[::ffff:192.0.2.1]:4000".parse().unwrap();
    assert_eq!(roster.judge(NOW, mapped, &segment(7, ACK, 0, b"")), Verdict::Deliver(70));
    assert_eq!(roster.len(), 3);
    roster.enter(address(1), 7, 71);
    assert_eq!(roster.judge(NOW, address(1), &segment(7, ACK, 0, b"")), Verdict::Deliver(71));
    roster.leave(NOW, address(9), 7, None);
    assert_eq!(roster.len(), 3);
}

#[test]
fn links_tell_link_local_addresses_apart() {
    let mut roster = roster();
    let [one, two] = ["[fe80::1%1]:4000", "[fe80::1%2]:4000"].map(|text| text.parse().unwrap());
    roster.enter(one, 7, 70);
    assert_eq!(roster.judge(NOW, two, &segment(7, ACK, 0, b"")), Verdict::Drop(Dropped::NoOpening));
}

#[test]
fn l12_what_comes_late_for_an_ended_session_raises_nothing() {
    let mut roster = roster();
    roster.enter(address(1), 7, 70);
    roster.leave(NOW, address(1), 7, Some(120 * SECOND));
    let late = [
        segment(7, PUSH, 0, b"first, again"),
        segment(7, PUSH, 31, b"x"),
        segment(7, PUSH, 5000, b"x"),
        segment(7, ACK, 3, b""),
        segment(7, WASK, 0, b""),
        segment(7, WINS, 0, b""),
        framed(0, &segment(7, PUSH, 0, b"x")),
    ];
    let before_its_end = NOW.0 + 119_999;
    for datagram in &late {
        let verdict = roster.judge(Tick(before_its_end), address(1), datagram);
        assert_eq!(verdict, Verdict::Drop(Dropped::Tombstone));
    }
    assert_eq!(roster.judge(NOW, address(1), &kind(0x00f2, b"parity")), Verdict::Drop(Dropped::NoOpening));
    // Another conv, and another address, are no concern of it.
    for (from, conv) in [(address(1), 8), (address(2), 7)] {
        let verdict = roster.judge(NOW, from, &segment(conv, PUSH, 0, b"x"));
        assert_eq!(verdict, Verdict::Newcomer { conv, framed: false });
    }
    // When it has expired, the middle of a stream is still no beginning of one.
    let after = Tick(before_its_end + 1);
    for datagram in &late[2..4] {
        assert_eq!(roster.judge(after, address(1), datagram), Verdict::Drop(Dropped::NoOpening));
    }
    assert!(matches!(roster.judge(after, address(1), &late[0]), Verdict::Newcomer { .. }));
}

#[test]
fn an_older_session_yields_to_one_that_is_proven() {
    let mut roster = roster();
    for (conv, token) in [(1, 10), (2, 20), (3, 30)] {
        roster.enter(address(1), conv, token);
    }
    assert_eq!(roster.proven(address(1), 1), NOBODY, "the oldest replaces nobody");
    assert_eq!(roster.proven(address(1), 2), [10]);
    assert_eq!(roster.len(), 3, "who is replaced is here until it leaves");
    roster.leave(NOW, address(1), 1, Some(SECOND));
    assert_eq!(roster.proven(address(1), 2), NOBODY);
    assert_eq!(roster.judge(NOW, address(1), &segment(3, ACK, 0, b"")), Verdict::Deliver(30));
    assert_eq!(roster.proven(address(1), 9), NOBODY, "nobody is there");
    assert_eq!(roster.proven(address(2), 1), NOBODY, "nobody is there");
}

#[test]
fn parity_goes_to_the_proven_session_else_to_the_newest() {
    let parity = kind(0x00f2, b"parity");
    let mut roster = roster();
    for (conv, token) in [(1, 10), (2, 20), (3, 30)] {
        roster.enter(address(1), conv, token);
        assert_eq!(roster.judge(NOW, address(1), &parity), Verdict::Deliver(token));
    }
    for (conv, token) in [(1, 10), (2, 20)] {
        assert!(roster.proven(address(1), conv).len() < 2);
        assert_eq!(roster.judge(NOW, address(1), &parity), Verdict::Deliver(token));
    }
    roster.leave(NOW, address(1), 2, None);
    assert_eq!(roster.judge(NOW, address(1), &parity), Verdict::Deliver(10));
}

#[test]
fn an_address_has_at_most_four_unproven_sessions() {
    let mut roster = roster();
    for conv in 0..4 {
        let opening = segment(conv, PUSH, 0, b"x");
        assert_eq!(roster.judge(NOW, address(1), &opening), Verdict::Newcomer { conv, framed: false });
        roster.enter(address(1), conv, u64::from(conv));
    }
    let fifth = segment(4, PUSH, 0, b"x");
    assert_eq!(roster.judge(NOW, address(1), &fifth), Verdict::Drop(Dropped::Crowded));
    assert!(roster.proven(address(1), 0).is_empty());
    assert!(matches!(roster.judge(NOW, address(1), &fifth), Verdict::Newcomer { .. }));
    roster.enter(address(1), 4, 4);
    assert_eq!(roster.judge(NOW, address(1), &segment(5, PUSH, 0, b"x")), Verdict::Drop(Dropped::Crowded));
    roster.leave(NOW, address(1), 2, None);
    assert!(matches!(roster.judge(NOW, address(1), &segment(5, PUSH, 0, b"x")), Verdict::Newcomer { .. }));
}

#[test]
fn a_closed_roster_takes_no_newcomers_and_answers_nobody() {
    let mut roster = roster();
    roster.enter(address(1), 7, 70);
    roster.close();
    let rows = [
        (segment(8, PUSH, 0, b"x"), Verdict::Drop(Dropped::Closed)),
        (segment(8, WASK, 0, b""), Verdict::Drop(Dropped::Closed)),
        (segment(8, ACK, 0, b""), Verdict::Drop(Dropped::NoOpening)),
        (segment(7, PUSH, 0, b"x"), Verdict::Deliver(70)),
    ];
    for (datagram, want) in rows {
        assert_eq!(roster.judge(NOW, address(1), &datagram), want);
    }
}

#[test]
fn a_network_opens_sessions_at_its_rate() {
    let open = |roster: &mut Roster, now: Tick, from: &str| {
        roster.judge(now, from.parse().unwrap(), &segment(7, PUSH, 0, b"x"))
            != Verdict::Drop(Dropped::Network)
    };
    let newcomers = Rate::new(10, SECOND, 3);
    for (same, other) in [
        (["192.0.2.1:1", "192.0.2.254:9", "[::ffff:192.0.2.7]:1"], "192.0.3.1:1"),
        (
            ["[2001:db8:0:aa00::1]:1", "[2001:db8:0:aaff::2]:1", "[2001:db8:0:aa01::]:1"],
            "[2001:db8:0:ab00::1]:1",
        ),
    ] {
        let mut roster = Roster::new(&Settings { newcomers, ..Settings::default() });
        assert!(same.iter().all(|from| open(&mut roster, NOW, from)));
        assert!(!open(&mut roster, NOW, same[0]));
        assert!(open(&mut roster, NOW, other));
        assert!(open(&mut roster, Tick(NOW.0 + 100), same[1]));
        assert!(!open(&mut roster, Tick(NOW.0 + 100), same[2]));
    }
}

#[test]
fn another_rate_is_in_force_at_once() {
    let mut roster = Roster::new(&Settings { newcomers: Rate::new(10, SECOND, 1), ..Settings::default() });
    let open = |roster: &mut Roster| roster.judge(NOW, address(1), &segment(7, PUSH, 0, b"x"));
    assert!(matches!(open(&mut roster), Verdict::Newcomer { .. }));
    roster.pace(Rate::new(10, SECOND, 5));
    assert_eq!(open(&mut roster), Verdict::Drop(Dropped::Network), "what was used up stays used up");
    let mut fresh = || roster.judge(NOW, "198.51.100.1:1".parse().unwrap(), &segment(7, PUSH, 0, b"x"));
    assert!((0..5).all(|_| matches!(fresh(), Verdict::Newcomer { .. })));
    assert_eq!(fresh(), Verdict::Drop(Dropped::Network));
}

#[test]
fn the_oldest_tombstone_is_forgotten_when_there_are_too_many() {
    let mut roster = Roster::new(&Settings { tombstones: 2, ..Settings::default() });
    for (conv, wait) in [(1, 100), (2, 1), (1, 200), (3, 100)] {
        roster.leave(NOW, address(1), conv, Some(wait * SECOND));
    }
    let buried = |roster: &mut Roster, now, conv| {
        roster.judge(now, address(1), &segment(conv, ACK, 0, b"")) == Verdict::Drop(Dropped::Tombstone)
    };
    let later = NOW.after(2 * SECOND);
    assert!(!buried(&mut roster, NOW, 1) && buried(&mut roster, NOW, 2) && buried(&mut roster, NOW, 3));
    assert!(!buried(&mut roster, later, 2) && buried(&mut roster, later, 3));
    roster.leave(later, address(1), 4, Some(SECOND));
    assert!(buried(&mut roster, later, 3), "the one that had expired made room");
    assert_eq!(roster.tombstones.len(), 2);
    let mut none = Roster::new(&Settings { tombstones: 0, ..Settings::default() });
    none.leave(NOW, address(1), 1, Some(SECOND));
    assert_eq!(none.tombstones.len(), 0);
}

#[test]
fn every_reason_has_a_label_of_its_own() {
    let labels: std::collections::BTreeSet<_> = Dropped::ALL.map(Dropped::label).into();
    assert_eq!(labels.len(), Dropped::ALL.len());
    assert!(
        Dropped::ALL.iter().enumerate().all(|(index, why)| *why as usize == index),
        "counters are found by it"
    );
}

fn roster() -> Roster {
    Roster::new(&Settings::default())
}

fn address(last: u8) -> SocketAddr {
    ([192, 0, 2, last], 4000).into()
}

/// A segment with una 0.
fn segment(conv: u32, command: u8, sn: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = conv.to_le_bytes().to_vec();
    bytes.extend([command, 0, 128, 0]);
    for number in [5, sn, 0, u32::try_from(payload.len()).unwrap()] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(payload);
    bytes
}

fn with_una(mut segment: Vec<u8>, una: u32) -> Vec<u8> {
    segment[16..20].copy_from_slice(&una.to_le_bytes());
    segment
}

/// Six bytes of a header of forward error correction, and `rest`.
fn kind(kind: u16, rest: &[u8]) -> Vec<u8> {
    [&9_u32.to_le_bytes()[..], &kind.to_le_bytes(), rest].concat()
}

fn framed(seqid: u32, segments: &[u8]) -> Vec<u8> {
    let size = u16::try_from(segments.len() + 2).unwrap();
    [&seqid.to_le_bytes()[..], &[0xf1, 0], &size.to_le_bytes(), segments].concat()
}
